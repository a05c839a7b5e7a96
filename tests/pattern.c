/* SPDX-License-Identifier: MIT */
/*
 * pattern.c - where a pattern has data
 */
#include "pattern.h"

#include <errno.h>

#include "io/base.h"

static int next_of_pattern(struct source *source, uint64_t pos, struct source_range *ret)
{
	struct pattern *p = container_of(source, struct pattern, source);
	uint64_t start = p->step ? pos / p->step * p->step : 0;

	if (p->step && pos - start >= p->len)
		pos = start += p->step;
	if (!p->step || pos >= source->size)
		return -ENXIO;
	*ret = (struct source_range){.start = pos,
				     .end = min_u64(start + p->len, source->size)};
	return 0;
}

struct pattern pattern(uint64_t size, uint64_t step, uint64_t len)
{
	return (struct pattern){
		{.size = size, .next = next_of_pattern}, .step = step, .len = len};
}
