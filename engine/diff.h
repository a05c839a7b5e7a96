/* SPDX-License-Identifier: MIT */
/*
 * diff.h - two maps of one disk, side by side: what differs, may differ, is the same
 *
 * Pure: the maps come from a callback. O(extents), nothing kept but one extent of each.
 */
#ifndef ENGINE_DIFF_H
#define ENGINE_DIFF_H

#include "io/map.h"

enum diff_verdict {
	DIFF_SAME,   /* both are zeros, or the same data */
	DIFF_DATA,   /* the target has other data */
	DIFF_ZERO,   /* the target reads as zeros, the base had data */
	DIFF_UNSURE, /* the maps do not say: compare the bytes */
};

struct diff_range {
	uint64_t start, end;
	enum diff_verdict verdict;
};

/* The next extent of one of the maps: as io_map_next(). */
typedef int diff_next_extent(void *maps, struct io_extent *ret);

struct diff {
	void *maps;
	diff_next_extent *base_next, *target_next;
	uint64_t base_size, size;
	uint64_t block; /* of the file system; power of two */
	uint64_t pos;
	struct io_extent base, target; /* those that hold pos, or are to be read */
};

/* The two maps, to which both callbacks come, cover [0, base_size) and [0, size). */
void diff_init(struct diff *d, void *maps, diff_next_extent *base_next,
	       diff_next_extent *target_next, uint64_t base_size, uint64_t size,
	       uint64_t block);

/*
 * The next range: together they cover [0, size) once, in order. Behind its end a disk
 * reads as zeros; if the sizes differ, the block that holds the smaller one has changed.
 * 0, -ENXIO at the end, or -errno.
 */
int diff_next(struct diff *d, struct diff_range *ret);

#endif
