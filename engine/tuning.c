/* SPDX-License-Identifier: MIT */
/*
 * tuning.c - how bytes are to be moved: the defaults, and what was asked for instead
 */
#include "tuning.h"

#include <stdio.h>
#include <string.h>

#include "doc.h"
#include "io/base.h"

#define GRAIN	  (2 * MIB) /* the pool is made of huge pages */
#define BLOCK_MIN MIB
#define BLOCK_MAX (64 * MIB)
#define DEPTH_MAX 256

static const char *const *backends_of(enum rp_io io)
{
	static const char *const all[] = {"uring", "aio", "sync", NULL};
	static const char *const uring[] = {"uring", NULL};
	static const char *const aio[] = {"aio", NULL};
	static const char *const sync[] = {"sync", NULL};

	switch (io) {
	case RP_IO_URING:
		return uring;
	case RP_IO_AIO:
		return aio;
	case RP_IO_SYNC:
		return sync;
	default:
		return all;
	}
}

void tuning_init(struct tuning *t, enum rp_io io)
{
	*t = (struct tuning){
		.backends = backends_of(io),
		.memory = TUNING_MEMORY,
		.choose = io == RP_IO_AUTO,
	};
}

int tuning_prefer(struct tuning *t, const char *backend, uint64_t block)
{
	static const char *const orders[][4] = {
		{"uring", "aio", "sync", NULL},
		{"aio", "uring", "sync", NULL},
		{"sync", "uring", "aio", NULL},
	};

	if (block < BLOCK_MIN || block > BLOCK_MAX || (block & (block - 1)) ||
	    block > t->memory)
		return -EINVAL;
	for (size_t i = 0; i < ARRAY_SIZE(orders); i++) {
		if (strcmp(orders[i][0], backend))
			continue;
		t->backends = orders[i];
		t->block = block;
		return 0;
	}
	return -EINVAL;
}

void tuning_for_page_cache(struct tuning *t)
{
	static const char *const order[] = {"uring", "sync", "aio", NULL};

	if (t->backends[1] && !strcmp(t->backends[0], order[0]))
		t->backends = order;
}

static uint32_t check(const struct rp_export_options *o, struct rp_error *err)
{
	if (o->block_size && (o->block_size < BLOCK_MIN || o->block_size > BLOCK_MAX ||
			      (o->block_size & (o->block_size - 1))))
		return rp_fail(err, RP_INVALID_PARAMETER, "check",
			       "block size %llu: not a power of two from 1 MiB to 64 MiB",
			       (unsigned long long)o->block_size);
	if (o->queue_depth > DEPTH_MAX)
		return rp_fail(err, RP_INVALID_PARAMETER, "check",
			       "queue depth %u: more than %u", o->queue_depth, DEPTH_MAX);
	return RP_OK;
}

static uint32_t too_small(uint64_t need, uint64_t memory, struct rp_error *err)
{
	return rp_fail(err, RP_OUT_OF_MEMORY, "check",
		       "memory limit of %s MiB: the buffers take at least %llu MiB",
		       decimal_of(memory, MIB).text, (unsigned long long)(need / MIB));
}

uint32_t tuning_of_options(struct tuning *ret, const struct rp_export_options *o,
			   struct rp_error *err)
{
	uint64_t limit = o->memory ? round_down(o->memory, GRAIN) : UINT64_MAX;
	struct tuning t;
	uint32_t rc = check(o, err);

	if (rc)
		return rc;
	tuning_init(&t, o->io);
	t.block = o->block_size;
	t.depth = o->queue_depth;
	if (t.depth && !t.block)
		t.block = o->io == RP_IO_SYNC ? 4 * MIB : MIB;
	if (t.block)
		t.memory = round_up(
			t.block * (t.depth ?: max_u64(TUNING_MEMORY / t.block, 1)),
			GRAIN);
	if (t.depth && t.memory > limit)
		return too_small(t.memory, o->memory, err);
	t.memory = min_u64(t.memory, limit);
	if (t.memory < max_u64(t.block, GRAIN))
		return too_small(max_u64(t.block, GRAIN), o->memory, err);
	/* Who is to be held back is not to find out how fast it could go, either. */
	t.choose = t.choose && !o->block_size && !o->queue_depth && !o->memory &&
		   !o->bandwidth && !o->iops && !o->max_pressure;
	if (o->block_size || o->queue_depth || o->memory)
		snprintf(t.reason, sizeof(t.reason), "asked for:%s%s%s",
			 o->block_size ? " block size" : "",
			 o->queue_depth ? " queue depth" : "",
			 o->memory ? " memory limit" : "");
	*ret = t;
	return RP_OK;
}

void tuning_shrink(struct tuning *t, uint64_t bytes)
{
	uint64_t grain = max_u64(t->block, 4 * MIB);

	if (!t->depth)
		t->memory = min_u64(t->memory, max_u64(round_up(bytes, grain), grain));
}
