/* SPDX-License-Identifier: MIT */
/*
 * touched.h - the digest chunks of a disk that layers over it have touched
 *
 * When layers are merged into the image below them, the digest tree of that image stays
 * true for all other chunks: only these are read.
 */
#ifndef ENGINE_TOUCHED_H
#define ENGINE_TOUCHED_H

#include "digest.h"
#include "layer.h"
#include "source.h"

/* The chunks of a file, as a source: whole ones, holes too. */
struct touched {
	struct source source;
	struct layer *const *layer; /* borrowed; may be none */
	size_t count;
	uint64_t edge; /* no larger than any of the disk's sizes, before and between */
	struct io_file *file;
	const char *path;
};

/* The first @size bytes of @file, over which @layer lay (top first) with @below bytes
 * below them. */
void touched_init(struct touched *t, struct layer *const *layer, size_t count,
		  uint64_t below, uint64_t size, struct io_file *file, const char *path);

/* Copies to @to, which is all 0, the leaves of @from of touched chunks. 0, -errno, or
 * what a tick of @w says. */
int touched_copy(struct touched *t, const struct digest *from, const struct digest *to,
		 struct watch *w);

/* Copies to @to the leaves of all others; 0 for those that touched has, and where the
 * disk has been cut off. */
int touched_carry(struct touched *t, const struct digest *from, const struct digest *to,
		  struct watch *w);

#endif
