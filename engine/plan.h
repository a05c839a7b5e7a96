/* SPDX-License-Identifier: MIT */
/*
 * plan.h - from the data ranges of a disk to the windows the engine works on
 *
 * A window is an aligned stretch of the disk that fits one buffer. The plan gives
 * out, in order, the windows that hold data, each with its segments: the data
 * ranges in it, grown outward to @align and joined where they then touch. What is
 * in no segment is a hole. Pure: data ranges come from a callback.
 */
#ifndef ENGINE_PLAN_H
#define ENGINE_PLAN_H

#include <stdbool.h>
#include <stdint.h>

/* The first data range at or after @pos: 0, -ENXIO if there is none, or -errno. */
typedef int plan_next_data(void *context, uint64_t pos, uint64_t *ret_start,
			   uint64_t *ret_end);

struct plan {
	plan_next_data *next_data;
	void *context;
	uint64_t size;	 /* of the disk */
	uint64_t window; /* power of two */
	uint64_t align;	 /* power of two, <= window */
	uint64_t pos;	 /* windows before it have been given out */
	/* The run of data that goes on at or after pos; empty at the beginning. */
	uint64_t run_start, run_end;
	/* The range after it, found while looking for its end. */
	uint64_t ahead_start, ahead_end;
	bool have_ahead;
	bool ended; /* no run after this one */
};

struct plan_segment {
	uint32_t start, end; /* relative to the window */
};

/* Segments of one window at most: every second unit of @align. */
#define PLAN_MAX_SEGMENTS(window, align) ((window) / (align) / 2 + 1)

void plan_init(struct plan *p, plan_next_data *next_data, void *context, uint64_t size,
	       uint64_t window, uint64_t align, uint64_t pos);

/*
 * The next window with data: its offset and segments. 0, -ENXIO at the end, or
 * -errno. @ret_segments has room for PLAN_MAX_SEGMENTS().
 */
int plan_next(struct plan *p, uint64_t *ret_window, struct plan_segment *ret_segments,
	      unsigned *ret_count);

#endif
