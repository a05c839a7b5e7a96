/* SPDX-License-Identifier: MIT */
/*
 * grains.c - a disk as runs of grains
 */
#include "grains.h"

#include "io/base.h"

void grains_init(struct grains *g, const struct image *image)
{
	*g = (struct grains){.image = image};
}

static uint64_t grain_after(const struct image *image, uint64_t end)
{
	return (end - 1) / image->grain + 1;
}

/* The changed grains at or after pos; in a full image all of them. */
static int next_changed(struct grains *g)
{
	const struct image *im = g->image;
	uint64_t size = im->source->size, pos = g->pos * im->grain, start, end;
	int r;

	if (g->pos < g->changed_end)
		return 0;
	if (pos >= size)
		return -ENXIO;
	start = pos;
	end = size;
	r = im->next_change ? im->next_change(im->changes, pos, &start, &end) : 0;
	if (r < 0)
		return r;
	start = max_u64(start, pos);
	end = min_u64(end, size); /* the disk has shrunk */
	if (start >= size)
		return -ENXIO;
	if (start >= end)
		return -EIO; /* no progress */
	g->pos = start / im->grain;
	g->changed_end = grain_after(im, end);
	return 0;
}

int grains_next(struct grains *g, struct grain_run *ret)
{
	const struct image *im = g->image;
	struct source_range range;
	uint64_t start, end;
	int r;

	for (;;) {
		r = next_changed(g);
		if (r < 0)
			return r;
		r = im->source->next(im->source, g->pos * im->grain, &range);
		if (r < 0 && r != -ENXIO)
			return r;
		if (r == 0 && range.start >= range.end)
			return -EIO;
		start = end = g->changed_end;
		if (r == 0 && range.start / im->grain < g->changed_end) {
			start = max_u64(range.start / im->grain, g->pos);
			end = min_u64(grain_after(im, range.end), g->changed_end);
		}
		if (start > g->pos && im->next_change) {
			*ret = (struct grain_run){g->pos, start, .zero = true};
			g->pos = start;
			return 0;
		}
		if (start < end) {
			*ret = (struct grain_run){start, end, .zero = false};
			g->pos = end;
			return 0;
		}
		g->pos = g->changed_end; /* holes only */
	}
}
