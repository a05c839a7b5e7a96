/* SPDX-License-Identifier: MIT */
/*
 * fiemap.c - the map of a file by FIEMAP, in batches
 */
#include <linux/fiemap.h>
#include <linux/fs.h>
#include <sys/ioctl.h>

#include "base.h"
#include "map.h"

#define BATCH 512

/* What says nothing of the contents, and may change when other files do (H7). */
#define VOLATILE (FIEMAP_EXTENT_LAST | FIEMAP_EXTENT_SHARED | FIEMAP_EXTENT_MERGED)

struct fiemap_reader {
	struct io_map map;
	int fd;
	uint64_t asked_to;   /* batches before it were read */
	unsigned at, count;  /* records of the batch: given out, and all */
	struct fiemap batch; /* and room for its records */
};

/*
 * Reserved space reads as zeros wherever it is (H3). Pieces of one compressed extent have
 * the same address (H1), what lies in the inode has none (H2), and a flag that is not
 * known here may mean anything.
 */
static enum io_extent_kind kind_of(uint32_t flags)
{
	flags &= ~(uint32_t)VOLATILE;
	if (flags == FIEMAP_EXTENT_UNWRITTEN)
		return IO_EXTENT_ZERO;
	return flags ? IO_EXTENT_TAINT : IO_EXTENT_DATA;
}

static int read_batch(struct fiemap_reader *f)
{
	uint64_t end = f->map.limit < f->map.size ? f->map.limit : FIEMAP_MAX_OFFSET;
	const struct fiemap_extent *e;
	int r;

	f->batch = (struct fiemap){
		.fm_start = f->asked_to,
		.fm_length = end - f->asked_to,
		.fm_flags = FIEMAP_FLAG_SYNC,
		.fm_extent_count = BATCH,
	};
	do
		r = ioctl(f->fd, FS_IOC_FIEMAP, &f->batch);
	while (r < 0 && errno == EINTR);
	if (r < 0)
		return errno == ENOTTY || errno == EBADR ? -EOPNOTSUPP : -errno;
	f->at = 0;
	f->count = f->batch.fm_mapped_extents;
	if (f->count == 0) { /* the rest is a hole */
		f->asked_to = end;
		return 0;
	}
	e = &f->batch.fm_extents[f->count - 1];
	if (e->fe_length > FIEMAP_MAX_OFFSET - e->fe_logical ||
	    e->fe_logical + e->fe_length <= f->asked_to)
		return -EIO; /* no progress */
	f->asked_to = e->fe_flags & FIEMAP_EXTENT_LAST
			      ? end
			      : min_u64(e->fe_logical + e->fe_length, end);
	return 0;
}

static int fiemap_record(struct io_map *map, struct io_extent *ret)
{
	struct fiemap_reader *f = container_of(map, struct fiemap_reader, map);
	const struct fiemap_extent *e;

	while (f->at == f->count) {
		int r = f->asked_to >= f->map.limit ? -ENXIO : read_batch(f);

		if (r < 0)
			return r;
	}
	e = &f->batch.fm_extents[f->at++];
	*ret = (struct io_extent){
		.start = e->fe_logical,
		.end = e->fe_logical + e->fe_length,
		.kind = kind_of(e->fe_flags),
		.at = e->fe_physical,
	};
	return 0;
}

static void fiemap_close(struct io_map *map)
{
	free(container_of(map, struct fiemap_reader, map));
}

int io_map_open_fiemap(struct io_map **ret, int fd, uint64_t size)
{
	struct fiemap_reader *f = calloc(
		1, sizeof(*f) + BATCH * sizeof(f->batch.fm_extents[0]));

	if (!f)
		return -ENOMEM;
	f->map = (struct io_map){
		.size = size,
		.limit = size,
		.record = fiemap_record,
		.close = fiemap_close,
	};
	f->fd = fd;
	*ret = &f->map;
	return 0;
}
