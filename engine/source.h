/* SPDX-License-Identifier: MIT */
/*
 * source.h - where the bytes of a disk lie, when that is not one plain file
 *
 * Ranges are half-open, in bytes of the disk. What is in no range reads as zeros. A
 * source may be asked about any position at any time, so one range is asked for more
 * than once; it is cheap where it was asked last.
 */
#ifndef ENGINE_SOURCE_H
#define ENGINE_SOURCE_H

#include <stdint.h>

#include "io/file.h"

/* Bytes [start, end) of the disk are bytes [at, at + end - start) of the file. */
struct source_range {
	uint64_t start, end;
	struct io_file *file; /* frozen, like any source; lives as long as its source */
	uint64_t at;
	const char *path; /* of the file, for people */
};

struct source {
	uint64_t size; /* of the disk */
	/* The range of data that holds @pos or, if there is none, the next one, clipped
	 * to begin at @pos. 0, -ENXIO if all that is left reads as zeros, or -errno. */
	int (*next)(struct source *source, uint64_t pos, struct source_range *ret);
	void (*close)(struct source *source); /* NULL: that is somebody else's */
};

#endif
