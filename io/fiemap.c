/* SPDX-License-Identifier: MIT */
/*
 * fiemap.c - FIEMAP in batches, and the map of a file by it
 */
#include "fiemap.h"

#include <linux/fs.h>
#include <sys/ioctl.h>

#include "base.h"
#include "map.h"

/* What says nothing of the contents, and may change when other files do (H7). */
#define VOLATILE (FIEMAP_EXTENT_LAST | FIEMAP_EXTENT_SHARED | FIEMAP_EXTENT_MERGED)

void io_fiemap_begin(struct io_fiemap *f, int fd, uint32_t flags, uint64_t start,
		     uint64_t end)
{
	f->fd = fd;
	f->flags = flags;
	f->start = start;
	f->end = end;
	f->at = f->count = 0;
}

static int read_batch(struct io_fiemap *f)
{
	int r;

	f->at = f->count = 0;
	f->u.batch = (struct fiemap){
		.fm_start = f->start,
		.fm_length = f->end - f->start,
		.fm_flags = f->flags,
		.fm_extent_count = IO_FIEMAP_BATCH,
	};
	do
		r = ioctl(f->fd, FS_IOC_FIEMAP, &f->u.batch);
	while (r < 0 && errno == EINTR);
	if (r < 0)
		return errno == ENOTTY || errno == EBADR ? -EOPNOTSUPP : -errno;
	f->count = f->u.batch.fm_mapped_extents;
	if (f->count == 0) /* the rest is a hole */
		f->start = f->end;
	return 0;
}

const struct fiemap_extent *io_fiemap_next(struct io_fiemap *f, int *ret_error)
{
	const struct fiemap_extent *e;

	*ret_error = 0;
	if (f->at == f->count && f->start < f->end)
		*ret_error = read_batch(f);
	if (f->at == f->count)
		return NULL;
	e = &f->u.batch.fm_extents[f->at++];
	if (e->fe_length > FIEMAP_MAX_OFFSET - e->fe_logical ||
	    e->fe_logical + e->fe_length <= f->start) {
		*ret_error = -EIO; /* no progress */
		return NULL;
	}
	f->start = e->fe_flags & FIEMAP_EXTENT_LAST
			   ? f->end
			   : min_u64(e->fe_logical + e->fe_length, f->end);
	return e;
}

struct fiemap_reader {
	struct io_map map;
	struct io_fiemap records;
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

static int fiemap_record(struct io_map *map, struct io_extent *ret)
{
	struct fiemap_reader *f = container_of(map, struct fiemap_reader, map);
	const struct fiemap_extent *e;
	int r;

	f->records.end = map->limit < map->size ? map->limit : FIEMAP_MAX_OFFSET;
	e = io_fiemap_next(&f->records, &r);
	if (!e)
		return r < 0 ? r : -ENXIO;
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
	struct fiemap_reader *f = malloc(sizeof(*f));

	if (!f)
		return -ENOMEM;
	f->map = (struct io_map){
		.size = size,
		.limit = size,
		.record = fiemap_record,
		.close = fiemap_close,
	};
	io_fiemap_begin(&f->records, fd, FIEMAP_FLAG_SYNC, 0, size);
	*ret = &f->map;
	return 0;
}
