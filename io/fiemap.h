/* SPDX-License-Identifier: MIT */
/*
 * fiemap.h - the records that FIEMAP has of a file, in batches
 *
 * As the file system tells them: what they mean for a file that nobody writes is said in
 * extent.h and map.h.
 */
#ifndef IO_FIEMAP_H
#define IO_FIEMAP_H

#include <linux/fiemap.h>
#include <stdint.h>

#define IO_FIEMAP_BATCH 256 /* records: more are not read any faster */

struct io_fiemap {
	int fd;
	uint32_t flags;
	uint64_t start;	    /* what lies before it was told */
	uint64_t end;	    /* what lies behind it is not asked for; may be moved on */
	unsigned at, count; /* records of the batch: told, and all */
	union {
		struct fiemap batch;
		char room[sizeof(struct fiemap) +
			  IO_FIEMAP_BATCH * sizeof(struct fiemap_extent)];
	} u;
};

/* For [@start, @end) of @fd; @flags is FIEMAP_FLAG_SYNC or 0. */
void io_fiemap_begin(struct io_fiemap *f, int fd, uint32_t flags, uint64_t start,
		     uint64_t end);

/*
 * The next record, which may begin before the range and end behind it; it is the
 * reader's, until the next call. NULL at the end: *ret_error is then 0, -EOPNOTSUPP
 * without FIEMAP, or -errno.
 */
const struct fiemap_extent *io_fiemap_next(struct io_fiemap *f, int *ret_error);

#endif
