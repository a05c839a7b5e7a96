/* SPDX-License-Identifier: MIT */
/*
 * diff.c - two maps in lockstep
 */
#include "diff.h"

#include "io/base.h"

void diff_init(struct diff *d, void *maps, diff_next_extent *base_next,
	       diff_next_extent *target_next, uint64_t base_size, uint64_t size,
	       uint64_t block)
{
	*d = (struct diff){
		.maps = maps,
		.base_next = base_next,
		.target_next = target_next,
		.base_size = base_size,
		.size = size,
		.block = block,
	};
}

/* Makes @e the extent of the map that holds @pos; behind the map's end there are zeros.
 */
static int extent_at(const struct diff *d, diff_next_extent *next, uint64_t map_size,
		     uint64_t pos, struct io_extent *e)
{
	int r;

	if (pos >= map_size) {
		*e = (struct io_extent){
			.start = pos, .end = UINT64_MAX, .kind = IO_EXTENT_ZERO};
		return 0;
	}
	if (pos < e->end) {
		io_extent_cut(e, pos);
		return 0;
	}
	r = next(d->maps, e);
	if (r == -ENXIO || (r == 0 && (e->start != pos || e->end <= pos)))
		r = -EIO; /* a gap, or no progress */
	return r;
}

static enum diff_verdict judge(const struct diff *d)
{
	if (io_extent_same(&d->base, &d->target))
		return DIFF_SAME;
	if (d->base.kind == IO_EXTENT_TAINT || d->target.kind == IO_EXTENT_TAINT)
		return DIFF_UNSURE;
	return d->target.kind == IO_EXTENT_ZERO ? DIFF_ZERO : DIFF_DATA;
}

int diff_next(struct diff *d, struct diff_range *ret)
{
	uint64_t edge = round_down(min_u64(d->base_size, d->size), d->block);
	uint64_t end;
	int r;

	if (d->pos >= d->size)
		return -ENXIO;
	r = extent_at(d, d->base_next, d->base_size, d->pos, &d->base);
	if (r == 0)
		r = extent_at(d, d->target_next, d->size, d->pos, &d->target);
	if (r < 0)
		return r;
	end = min_u64(min_u64(d->base.end, d->target.end), d->size);
	*ret = (struct diff_range){.start = d->pos, .verdict = judge(d)};
	if (d->base_size != d->size && d->pos < edge) {
		end = min_u64(end, edge);
	} else if (d->base_size != d->size && d->pos < edge + d->block) {
		end = min_u64(end, edge + d->block);
		ret->verdict = d->target.kind == IO_EXTENT_ZERO ? DIFF_ZERO : DIFF_DATA;
	}
	ret->end = end;
	d->pos = end;
	return 0;
}
