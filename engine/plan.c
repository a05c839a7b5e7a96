/* SPDX-License-Identifier: MIT */
/*
 * plan.c - cutting data ranges into windows
 */
#include "plan.h"

#include "io/base.h"

void plan_init(struct plan *p, plan_next_data *next_data, void *context, uint64_t size,
	       uint64_t window, uint64_t align, uint64_t pos)
{
	*p = (struct plan){
		.next_data = next_data,
		.context = context,
		.size = size,
		.window = window,
		.align = align,
		.pos = pos,
		.run_start = pos,
		.run_end = pos,
	};
}

/* One data range, grown to the alignment; never back over what was given out. */
static int next_range(struct plan *p, uint64_t pos, uint64_t *ret_start,
		      uint64_t *ret_end)
{
	uint64_t start, end;
	int r;

	if (pos >= p->size)
		return -ENXIO;
	r = p->next_data(p->context, pos, &start, &end);
	if (r < 0)
		return r;
	start = max_u64(start, pos);
	if (start >= min_u64(end, p->size))
		return -EIO; /* no progress (H11) */
	*ret_start = round_down(start, p->align);
	*ret_end = min_u64(round_up(end, p->align), p->size);
	return 0;
}

/* The next maximal run: ranges that touch once grown are one. */
static int next_run(struct plan *p)
{
	uint64_t start, end;
	int r = 0;

	if (!p->have_ahead)
		r = next_range(p, p->run_end, &p->ahead_start, &p->ahead_end);
	if (r < 0)
		return r;
	start = p->ahead_start;
	end = p->ahead_end;
	p->have_ahead = false;
	while ((r = next_range(p, end, &p->ahead_start, &p->ahead_end)) == 0) {
		p->have_ahead = p->ahead_start > end;
		if (p->have_ahead)
			break;
		end = p->ahead_end;
	}
	if (r < 0 && r != -ENXIO)
		return r;
	p->run_start = start;
	p->run_end = end;
	return 0;
}

int plan_next(struct plan *p, uint64_t *ret_window, struct plan_segment *ret_segments,
	      unsigned *ret_count)
{
	uint64_t window, end;
	unsigned count = 0;
	int r;

	if (p->run_end <= p->pos && !p->ended) {
		r = next_run(p);
		if (r == -ENXIO)
			p->ended = true;
		else if (r < 0)
			return r;
	}
	if (p->ended)
		return -ENXIO;

	window = round_down(max_u64(p->run_start, p->pos), p->window);
	end = min_u64(window + p->window, p->size);
	while (!p->ended && p->run_start < end) {
		uint64_t start = max_u64(p->run_start, p->pos);

		ret_segments[count++] = (struct plan_segment){
			.start = (uint32_t)(start - window),
			.end = (uint32_t)(min_u64(p->run_end, end) - window),
		};
		if (p->run_end >= end)
			break;
		r = next_run(p);
		if (r == -ENXIO)
			p->ended = true;
		else if (r < 0)
			return r;
	}
	p->pos = end;
	*ret_window = window;
	*ret_count = count;
	return 0;
}
