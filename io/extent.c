/* SPDX-License-Identifier: MIT */
/*
 * extent.c - SEEK_DATA/SEEK_HOLE and FIEMAP of frozen files
 */
#include "extent.h"

#include <linux/fiemap.h>
#include <linux/fs.h>
#include <sys/ioctl.h>

#include "base.h"

int io_next_data(int fd, uint64_t pos, uint64_t size, uint64_t *ret_start,
		 uint64_t *ret_end)
{
	off_t start, end;

	if (pos >= size)
		return -ENXIO;
	start = lseek(fd, (off_t)pos, SEEK_DATA);
	if (start < 0 && errno == EINVAL) {
		*ret_start = pos; /* no holes known here: all of it is data */
		*ret_end = size;
		return 0;
	}
	if (start < 0)
		return -errno;
	if ((uint64_t)start >= size)
		return -ENXIO;
	end = lseek(fd, start, SEEK_HOLE);
	if (end < 0)
		return -errno;
	if (end <= start) /* H11: never go round without progress */
		return -EIO;
	*ret_start = (uint64_t)start;
	*ret_end = min_u64((uint64_t)end, size);
	return 0;
}

int io_count_extents(int fd, uint64_t *ret_count)
{
	struct fiemap map = {
		.fm_length = FIEMAP_MAX_OFFSET,
		.fm_flags = FIEMAP_FLAG_SYNC,
	};

	if (ioctl(fd, FS_IOC_FIEMAP, &map) < 0)
		return errno == ENOTTY || errno == EBADR ? -EOPNOTSUPP : -errno;
	*ret_count = map.fm_mapped_extents;
	return 0;
}

/* One file's map, read in batches and joined to maximal runs. */
#define BATCH 512

struct walk {
	int fd;
	uint64_t size;
	uint64_t pos; /* asked for up to here */
	bool last;    /* no more batches */
	unsigned at, count;
	struct fiemap *map;
	uint64_t start, end; /* of the run to compare; both 0 = none left */
};

static int walk_batch(struct walk *w)
{
	struct fiemap *map = w->map;

	*map = (struct fiemap){
		.fm_start = w->pos,
		.fm_length = FIEMAP_MAX_OFFSET - w->pos,
		.fm_flags = FIEMAP_FLAG_SYNC,
		.fm_extent_count = BATCH,
	};
	if (ioctl(w->fd, FS_IOC_FIEMAP, map) < 0)
		return -errno;
	w->at = 0;
	w->count = map->fm_mapped_extents;
	if (w->count == 0) {
		w->last = true;
	} else {
		struct fiemap_extent *e = &map->fm_extents[w->count - 1];

		if (e->fe_logical + e->fe_length <= w->pos)
			return -EIO; /* no progress */
		w->pos = e->fe_logical + e->fe_length;
		w->last = (e->fe_flags & FIEMAP_EXTENT_LAST) || w->pos >= w->size;
	}
	return 0;
}

/* The next record, clipped to the size; fe_length 0 at the end. */
static int walk_record(struct walk *w, struct fiemap_extent *ret)
{
	while (w->at == w->count) {
		int r;

		if (w->last) {
			*ret = (struct fiemap_extent){0};
			return 0;
		}
		r = walk_batch(w);
		if (r < 0)
			return r;
	}
	*ret = w->map->fm_extents[w->at++];
	if (ret->fe_logical >= w->size) /* preallocated behind the end of the file */
		ret->fe_length = 0;
	else
		ret->fe_length = min_u64(ret->fe_length, w->size - ret->fe_logical);
	return 0;
}

/*
 * Records that go on where the last one ended are one run: how a file system splits them
 * says nothing (H7). Nor do addresses: pieces of one compressed extent have the same
 * (H1), and what lies in the inode of one file may have a block in the other (H2).
 * Unwritten records are holes to a reader.
 */
static int walk_run(struct walk *w)
{
	struct fiemap_extent e;
	int r;

	w->start = 0;
	w->end = 0;
	while ((r = walk_record(w, &e)) == 0 && e.fe_length) {
		if (e.fe_flags & FIEMAP_EXTENT_UNWRITTEN)
			continue;
		if (!w->end) {
			w->start = e.fe_logical;
		} else if (e.fe_logical != w->end) {
			w->at--;
			return 0;
		}
		w->end = e.fe_logical + e.fe_length;
	}
	return r;
}

static int walk_open(struct walk *w, int fd, uint64_t size)
{
	*w = (struct walk){.fd = fd, .size = size};
	w->map = malloc(sizeof(*w->map) + BATCH * sizeof(w->map->fm_extents[0]));
	return w->map ? 0 : -ENOMEM;
}

int io_same_ranges(int a, int b, uint64_t size)
{
	struct walk wa = {0}, wb = {0};
	int r;

	r = walk_open(&wa, a, size);
	if (r == 0)
		r = walk_open(&wb, b, size);
	while (r == 0) {
		r = walk_run(&wa);
		if (r == 0)
			r = walk_run(&wb);
		if (r < 0)
			break;
		if (wa.start != wb.start || wa.end != wb.end)
			r = -EIO;
		if (!wa.end)
			break;
	}
	free(wa.map);
	free(wb.map);
	return r;
}
