/* SPDX-License-Identifier: MIT */
/*
 * ranges.h - ranges of a disk, in order, kept compactly: a few bytes each, and what
 * does not fit into a megabyte in a file without a name
 *
 * Written once, front to back; then read by any number of cursors. What is added is
 * brought to whole blocks of 4096 bytes without ever saying too little: ranges grow
 * outward, but one that is zero (or not decided yet) only holds the blocks that are
 * wholly so, and the blocks at its edges become data.
 */
#ifndef ENGINE_RANGES_H
#define ENGINE_RANGES_H

#include <stddef.h>
#include <stdint.h>

#define RANGES_GRAIN 4096

enum change_kind {
	CHANGE_DATA,   /* take the bytes from the newer point */
	CHANGE_ZERO,   /* reads as zeros in the newer point */
	CHANGE_UNSURE, /* while a map is made: bytes must be compared; in no finished map
			*/
};

/* Bytes [start, end) of a disk. */
struct change {
	uint64_t start, end;
	enum change_kind kind;
};

struct ranges {
	uint64_t size; /* of the disk: nothing ends behind it */
	int dirfd;     /* where the file is made; borrowed */
	/* Of what was added, in whole blocks. */
	uint64_t count;
	uint64_t bytes[3]; /* by kind */

	struct change raw;  /* added last, may go on */
	struct change last; /* in blocks, may go on */
	uint64_t coded_to;
	uint8_t *code; /* behind the first in_file bytes */
	size_t code_len;
	int fd; /* -1 = none was needed */
	uint64_t in_file;
};

/* A cursor begins zeroed but for ranges, which outlives it. */
struct ranges_cursor {
	const struct ranges *ranges;
	struct change now; /* read last */
	uint64_t at;	   /* the code behind it */
	uint64_t window;   /* of the file */
	size_t window_len;
	uint8_t buf[4096];
};

int ranges_begin(struct ranges *r, uint64_t size, int dirfd);

/* In order; may begin within the block that the one before ends in. */
int ranges_add(struct ranges *r, uint64_t start, uint64_t end, enum change_kind kind);

/* Nothing more is added. */
int ranges_end(struct ranges *r);

void ranges_free(struct ranges *r); /* begun or zeroed */

/* The first range that ends behind @pos, whole: to walk, pass the end of the one before.
 * 0, -ENXIO if there is none, or -errno (of the file). Cheap if @pos does not go back. */
int ranges_next(struct ranges_cursor *c, uint64_t pos, struct change *ret);

/* For who looks ahead, who comes behind, and who looks elsewhere. */
#define RANGES_CURSORS 3

/* A cursor that has to go back begins anew: the one that is closest behind @pos. */
struct ranges_cursor *ranges_closest(struct ranges_cursor cursors[RANGES_CURSORS],
				     uint64_t pos);

#endif
