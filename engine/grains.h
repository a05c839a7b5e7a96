/* SPDX-License-Identifier: MIT */
/*
 * grains.h - a disk as runs of grains: clusters or blocks that have data, or became zeros
 *
 * Pure: data and changes come from callbacks.
 */
#ifndef ENGINE_GRAINS_H
#define ENGINE_GRAINS_H

#include "format.h"

/* Grains [start, end). Runs of one kind may follow each other without a gap. */
struct grain_run {
	uint64_t start, end;
	bool zero; /* changed, and has no data: in a differential image only */
};

struct grains {
	const struct image *image;
	uint64_t pos;	      /* grains before it have been given out */
	uint64_t changed_end; /* grains up to it have changed */
};

void grains_init(struct grains *g, const struct image *image);

/* The next run: 0, -ENXIO at the end, or -errno. */
int grains_next(struct grains *g, struct grain_run *ret);

#endif
