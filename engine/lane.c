/* SPDX-License-Identifier: MIT */
/*
 * lane.c - one stream's way through the mover
 */
#include "lane.h"

#include "io/base.h"

/* Not worth a sync of its own. */
#define SMALL (16 * MIB)

static uint64_t align_of(const struct stream *s)
{
	uint64_t align = 4096;

	if (!s->from)
		align = max_u64(align, s->src.align);
	if (stream_writes(s))
		align = max_u64(align, max_u64(s->dst.align, s->dst.block));
	return align;
}

void lane_open(struct lane *lane, struct mover *mover, struct stream *s, uint64_t window)
{
	/* A digest needs every byte, also those that were shared. */
	uint64_t shared = s->digest == STREAM_NO_DIGEST ? s->shared_to : 0;
	uint64_t pos = max_u64(shared, s->kept_to);

	*lane = (struct lane){.s = s,
			      .mover = mover,
			      .reserves = stream_writes(s),
			      .lost_at = UINT64_MAX};
	/* Not even read. */
	lane->planned = lane->synced = !stream_writes(s) && s->digest == STREAM_NO_DIGEST;
	plan_init(&lane->plan, stream_next_data, s, stream_size(s), window, align_of(s),
		  round_down(pos, window));
}

/* [start, end) of the disk, wherever it goes. */
static int allocate(struct lane *lane, uint64_t start, uint64_t end)
{
	while (start < end) {
		uint64_t at, placed;
		int r = stream_place(lane->s, start, &at, &placed);

		if (r < 0)
			return r;
		placed = min_u64(placed, end);
		r = io_file_allocate(&lane->s->dst, at, placed - start);
		if (r < 0)
			return r;
		start = placed;
	}
	return 0;
}

int lane_reserve(struct lane *lane, const struct chunk *c)
{
	for (unsigned i = 0; i < c->count && lane->reserves; i++) {
		uint64_t start = max_u64(c->window + c->plan[i].start, lane->reserved_to);
		uint64_t end = c->window + c->plan[i].end;
		int r;

		if (i + 1 == c->count && lane->plan.run_start < end)
			end = max_u64(end, lane->plan.run_end);
		start = max_u64(start, stream_placed_to(lane->s));
		if (start >= end)
			continue;
		r = allocate(lane, start, end);
		if (r == -EOPNOTSUPP)
			lane->reserves = false;
		else if (r < 0)
			return r;
		lane->reserved_to = end;
	}
	return 0;
}

void lane_lose(struct lane *lane, uint64_t window)
{
	lane->lost_at = min_u64(lane->lost_at, window);
}

bool lane_wants_sync(const struct lane *lane)
{
	return lane->planned && !lane->in_flight && !lane->syncing && !lane->synced;
}

/* A small one may have company later, and beside the last one nothing moves. One that
 * went by the page cache knows of errors that no later sync tells (io/file.h). */
bool lane_may_wait(const struct lane *lane, bool last)
{
	const struct stream *s = lane->s;

	return s->sync_later && io_file_is_direct(&s->dst) && !s->dst.error &&
	       (s->data_bytes <= SMALL || last);
}

uint64_t lane_passed(const struct lane *lane)
{
	uint64_t pos = lane->planned ? stream_size(lane->s) : lane->plan.pos;

	return min_u64(min_u64(pos, lane->lost_at), stream_size(lane->s));
}
