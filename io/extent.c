/* SPDX-License-Identifier: MIT */
/*
 * extent.c - SEEK_DATA/SEEK_HOLE and FIEMAP of frozen files
 */
#include "extent.h"

#include <sys/stat.h>

#include "base.h"
#include "fiemap.h"
#include "fs.h"
#include "map.h"

#define SHORT MIB

/* How far, up to @end, written extents follow each other without a gap from @start on. */
static int written_to(int fd, uint64_t start, uint64_t end, uint64_t *ret)
{
	const struct fiemap_extent *e;
	struct io_fiemap f;
	int r = 0;

	io_fiemap_begin(&f, fd, 0, start, end);
	while (start < end && (e = io_fiemap_next(&f, &r)) && e->fe_logical <= start &&
	       !(e->fe_flags & FIEMAP_EXTENT_UNWRITTEN))
		start = e->fe_logical + e->fe_length;
	*ret = min_u64(start, end);
	return r;
}

/*
 * SEEK_HOLE walks to the next hole, however far that is: who asks for short ranges of a
 * large disk in many extents would walk all of it again and again.
 */
static bool is_written(int fd, uint64_t start, uint64_t end)
{
	uint64_t to;

	return written_to(fd, start, end, &to) == 0 && to == end;
}

/*
 * Btrfs takes a file for one without holes if as much is allocated as it has bytes,
 * though that may be reserved and never written: a clone of such a file is not known to
 * have been preallocated.
 */
static uint64_t hole_in(int fd, uint64_t start, uint64_t end)
{
	struct stat st;
	uint64_t to;

	if (io_fs_is(fd, BTRFS_SUPER_MAGIC) && fstat(fd, &st) == 0 &&
	    st.st_blocks * INT64_C(512) >= st.st_size &&
	    written_to(fd, start, end, &to) == 0 && to > start)
		return to;
	return end;
}

/* lseek() has failed. What a file that is shorter than @size has lost is no hole. */
static int seek_error(int fd, uint64_t size)
{
	int r = -errno;
	struct stat st;

	if (r == -ENXIO && fstat(fd, &st) == 0 && S_ISREG(st.st_mode) &&
	    (uint64_t)st.st_size < size)
		return -ENODATA;
	return r;
}

/* 0, -errno, or 1 where no holes are known: all of it is data. */
static int seek_data(int fd, uint64_t pos, uint64_t size, uint64_t *ret_start)
{
	off_t start;

	if (pos >= size)
		return -ENXIO;
	start = lseek(fd, (off_t)pos, SEEK_DATA);
	if (start < 0 && errno == EINVAL) {
		*ret_start = pos;
		return 1;
	}
	if (start < 0)
		return seek_error(fd, size);
	if ((uint64_t)start >= size)
		return -ENXIO;
	*ret_start = (uint64_t)start;
	return 0;
}

int io_seek_data(int fd, uint64_t pos, uint64_t size, uint64_t *ret_start)
{
	int r = seek_data(fd, pos, size, ret_start);

	return r < 0 ? r : 0;
}

int io_next_data(int fd, uint64_t pos, uint64_t size, uint64_t *ret_start,
		 uint64_t *ret_end)
{
	uint64_t start = pos;
	off_t end;
	int r = seek_data(fd, pos, size, &start);

	if (r < 0)
		return r;
	if (r == 1 || (size - start <= SHORT && is_written(fd, start, size))) {
		*ret_start = start;
		*ret_end = size;
		return 0;
	}
	end = lseek(fd, (off_t)start, SEEK_HOLE);
	if (end < 0)
		return seek_error(fd, size);
	if ((uint64_t)end <= start) /* H11: never go round without progress */
		return -EIO;
	*ret_start = start;
	*ret_end = (uint64_t)end < size ? (uint64_t)end : hole_in(fd, start, size);
	return 0;
}

int io_survey_extents(int fd, uint64_t size, uint64_t *ret_count, uint64_t *ret_last)
{
	uint64_t count = 0, last = UINT64_MAX;
	const struct fiemap_extent *e;
	struct io_fiemap f;
	int r;

	io_fiemap_begin(&f, fd, FIEMAP_FLAG_SYNC, 0, FIEMAP_MAX_OFFSET);
	for (; (e = io_fiemap_next(&f, &r)); count++)
		if (e->fe_logical < size && !(e->fe_flags & FIEMAP_EXTENT_UNWRITTEN))
			last = min_u64(e->fe_logical + e->fe_length, size) - 1;
	if (r < 0)
		return r;
	*ret_count = count;
	*ret_last = last;
	return 0;
}

int io_has_data_from(int fd, uint64_t pos, uint64_t size)
{
	const struct fiemap_extent *e;
	struct io_fiemap f;
	int r;

	io_fiemap_begin(&f, fd, FIEMAP_FLAG_SYNC, pos, size);
	while ((e = io_fiemap_next(&f, &r)))
		if (!(e->fe_flags & FIEMAP_EXTENT_UNWRITTEN))
			return 1;
	return r;
}

/*
 * The next maximal run that is not zeros: how a file system splits it says nothing (H7),
 * nor do addresses: what lies in the inode of one file may have a block in the other
 * (H2). @ret->end is 0 if none is left.
 */
static int next_run(struct io_map *map, struct io_extent *ahead, struct io_extent *ret)
{
	int r = 0;

	*ret = *ahead;
	*ahead = (struct io_extent){0};
	while ((r = io_map_next(map, ahead)) == 0) {
		if (ahead->kind == IO_EXTENT_ZERO)
			continue;
		if (ret->end && ahead->start != ret->end)
			return 0;
		if (!ret->end)
			ret->start = ahead->start;
		ret->end = ahead->end;
	}
	*ahead = (struct io_extent){0};
	return r == -ENXIO ? 0 : r;
}

int io_same_ranges(int a, int b, uint64_t size)
{
	struct io_extent ahead_a = {0}, ahead_b = {0}, run_a, run_b;
	struct io_map *map_a = NULL, *map_b = NULL;
	int r;

	r = io_map_open_fiemap(&map_a, a, size);
	if (r == 0)
		r = io_map_open_fiemap(&map_b, b, size);
	do {
		if (r == 0)
			r = next_run(map_a, &ahead_a, &run_a);
		if (r == 0)
			r = next_run(map_b, &ahead_b, &run_b);
		if (r == 0 && (run_a.start != run_b.start || run_a.end != run_b.end))
			r = -EIO;
	} while (r == 0 && run_a.end);
	io_map_close(map_a);
	io_map_close(map_b);
	return r;
}
