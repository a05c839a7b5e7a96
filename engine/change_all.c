/* SPDX-License-Identifier: MIT */
/*
 * change_all.c - change evidence: none, so all data has changed
 */
#include "change_source.h"
#include "io/base.h"
#include "io/extent.h"

static bool fits(struct change_pair *p)
{
	change_because(p, "%s", p->no_base);
	return true;
}

static uint32_t compare(struct change_pair *p, struct ranges *ranges,
			struct rp_error *err)
{
	uint64_t pos = 0, start, end, size = p->target.size;
	int r;

	while ((r = io_next_data(p->target.fd, pos, size, &start, &end)) == 0) {
		r = ranges_add(ranges, pos, start, CHANGE_ZERO);
		if (r == 0)
			r = ranges_add(ranges, start, end, CHANGE_DATA);
		if (r == 0)
			r = watch_tick(p->w);
		if (r < 0)
			break;
		pos = end;
	}
	if (r == -ENXIO)
		r = ranges_add(ranges, pos, size, CHANGE_ZERO);
	return r < 0 ? change_fail(p, &p->target, r, "map", pos, err) : RP_OK;
}

const struct change_source change_all = {
	.name = "all",
	.fits = fits,
	.compare = compare,
};
