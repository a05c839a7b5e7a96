/* SPDX-License-Identifier: MIT */
/*
 * extent.h - where a file has data, and in how many pieces
 *
 * Only for files that nobody writes (H4, H10): what these say of a live file may
 * be old before it is read.
 */
#ifndef IO_EXTENT_H
#define IO_EXTENT_H

#include <stdint.h>

/*
 * The first data range at or after @pos, clipped to @size: 0 and [ret_start,
 * ret_end), -ENXIO if the rest is a hole, or -ENODATA if the file ends before @size
 * by now. Where holes cannot be asked for, everything is data.
 */
int io_next_data(int fd, uint64_t pos, uint64_t size, uint64_t *ret_start,
		 uint64_t *ret_end);

/*
 * Where that begins. Its end is looked for extent by extent: who does not need it, and
 * asks again and again, does well not to.
 */
int io_seek_data(int fd, uint64_t pos, uint64_t size, uint64_t *ret_start);

/*
 * How many extents the file system maps the file with, and where the last byte before
 * @size is that one of them has data for (UINT64_MAX: none). Of a live file, too: an
 * estimate. -EOPNOTSUPP without FIEMAP.
 */
int io_survey_extents(int fd, uint64_t size, uint64_t *ret_count, uint64_t *ret_last);

/* Whether an extent with data is mapped at or behind @pos, before @size: 1 or 0; errors
 * as above. What is cached of reserved space is none. */
int io_has_data_from(int fd, uint64_t pos, uint64_t size);

/*
 * Whether @b has data mapped where @a has over [0, size), both files being frozen:
 * 0 yes, -EIO no (H18: a clone that lost its tail without an error), or -errno.
 */
int io_same_ranges(int a, int b, uint64_t size);

#endif
