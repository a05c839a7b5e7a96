/* SPDX-License-Identifier: MIT */
/*
 * digest.h - a tree of XXH3-128 over the content of a disk
 *
 * Leaf i is the hash of bytes [64 KiB * i, 64 KiB * (i+1)), the last one of what is left.
 * A chunk of zeros, hole or not, has the leaf 0: holes cost nothing, and a copy that
 * punched or filled them has the same digest. The leaves are a sparse file of 16
 * bytes each (canonical, big-endian). A node is the hash of 65536 leaves (1 MiB of
 * that file), again 0 if they are all 0, and the root is the hash of all nodes
 * followed by the disk's size as 8 bytes, little-endian.
 *
 * Chunks are as small as what guests write here and there: the tree of the next point
 * then costs little more than reading what has changed.
 */
#ifndef ENGINE_DIGEST_H
#define ENGINE_DIGEST_H

#include <stddef.h>
#include <stdint.h>

#include "io/base.h"

#define DIGEST_ALGORITHM "XXH3-128"
#define DIGEST_CHUNK	 (64 * KIB)
#define DIGEST_SIZE	 16
#define DIGEST_TEXT_SIZE 33 /* hexadecimal, with NUL */

struct watch;

struct digest {
	int fd;	       /* the file of leaves, sized digest_file_size() */
	uint64_t size; /* of the disk */
};

uint64_t digest_file_size(uint64_t disk_size);
uint64_t digest_chunk_count(uint64_t disk_size);

/* The leaf of one chunk: @len bytes, DIGEST_CHUNK except for the last. */
void digest_leaf(const void *chunk, size_t len, uint8_t ret[DIGEST_SIZE]);

/* @count leaves from @index on, one after another in memory. */
int digest_put(const struct digest *d, uint64_t index, const uint8_t *leaves,
	       size_t count);
int digest_get(const struct digest *d, uint64_t index, uint8_t *ret, size_t count);

/* Copies leaves [first, end) to @to, where they are 0. Also what a tick of @w says. */
int digest_copy(const struct digest *from, const struct digest *to, uint64_t first,
		uint64_t end, struct watch *w);

/* The first chunk at or after @index whose leaf is not 0; -ENXIO if there is none. */
int digest_next(const struct digest *d, uint64_t index, uint64_t *ret_index);

/* The first one whose leaf is not 0 in one of them at least. */
int digest_next_of_two(const struct digest *a, const struct digest *b, uint64_t index,
		       uint64_t *ret_index);

/* The first chunk whose leaves differ, of two trees of one size; -ENXIO if none do. */
int digest_compare(const struct digest *a, const struct digest *b, uint64_t *ret_index);

/* Reads all leaves that are not 0. Also what a tick of @w says. */
int digest_root(const struct digest *d, struct watch *w, uint8_t ret[DIGEST_SIZE]);

void digest_text(const uint8_t digest[DIGEST_SIZE], char ret[DIGEST_TEXT_SIZE]);

#endif
