/* SPDX-License-Identifier: MIT */
/*
 * entries.h - a table of 64-bit entries on its way into a file
 *
 * Entries are given in ascending order and written in large aligned pieces; what is not
 * given stays a hole, that is 0. Their byte order is the caller's.
 */
#ifndef ENGINE_ENTRIES_H
#define ENGINE_ENTRIES_H

#include <stddef.h>
#include <stdint.h>

#include "io/file.h"

struct entries {
	struct io_file *file;
	uint64_t at;	 /* of entry 0; a multiple of 4096 */
	uint64_t window; /* the first entry in the buffer */
	size_t used_from, used_to;
	uint64_t *buf;
};

/* -ENOMEM; entries_close() it in any case. */
int entries_open(struct entries *e, struct io_file *file, uint64_t at);
int entries_put(struct entries *e, uint64_t index, uint64_t entry);
int entries_flush(struct entries *e);
void entries_close(struct entries *e); /* what was not flushed is lost */

#endif
