/* SPDX-License-Identifier: MIT */
/*
 * layer.h - one file of a chain of exports, and the chain as one disk
 *
 * A layer says of each position whether it has the bytes, knows them to be zeros, or
 * leaves them to the layer below. What no layer has is zeros.
 *
 *	top	[ data ][ below ][ zero ][ below ]
 *	below	[ data ][ data  ][ data ][ zero  ]
 */
#ifndef ENGINE_LAYER_H
#define ENGINE_LAYER_H

#include <stddef.h>
#include <stdint.h>

#include "io/file.h"
#include "source.h"

enum layer_state {
	LAYER_DATA,
	LAYER_ZERO,
	LAYER_BELOW,
};

/* The layer is in @state for bytes [start, end) of the disk; if it has them, the first is
 * byte @at of its file. */
struct layer_range {
	uint64_t start, end;
	enum layer_state state;
	uint64_t at;
};

/* Embedded by those who know a format; closed by who opened it. */
struct layer {
	uint64_t size; /* of its disk: behind it are zeros, whatever the layers below have
			*/
	struct io_file file;
	const char *path;	 /* for people; borrowed */
	struct layer_range last; /* of a raw image: what was found last */
	/* The range that holds @pos, which is below size. 0 or -errno; -EBADMSG: damaged.
	 */
	int (*at)(struct layer *layer, uint64_t pos, struct layer_range *ret);
	void (*close)(
		struct layer *layer); /* all but the file; NULL = there is nothing */
};

/* A whole raw image: its holes are zeros. @l has file and path; the rest is set. */
void layer_raw(struct layer *l);

void layer_close(
	struct layer *l); /* the file too; zeros with an unopened file are fine */

/* A chain as a source. */
struct layers {
	struct source source;
	struct layer *const *layer; /* top first; borrowed, as the layers are */
	size_t count;
};

/* What the layers say of @pos, below the size of the top one: BELOW if none has or knows
 * anything. 0 or -errno. */
int layers_at(const struct layers *layers, uint64_t pos, struct layer_range *ret);

/* The disk has the size of the top layer. @count is at least 1. */
void layers_init(struct layers *layers, struct layer *const *layer, size_t count);

#endif
