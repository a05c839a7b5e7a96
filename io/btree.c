/* SPDX-License-Identifier: MIT */
/*
 * btree.c - the map of a Btrfs file by TREE_SEARCH_V2, as root
 */
#include <endian.h>
#include <linux/btrfs.h>
#include <linux/btrfs_tree.h>
#include <linux/fiemap.h>
#include <linux/fs.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>

#include "base.h"
#include "map.h"
#include "tree.h"

#define FOUND_BYTES MIB

struct tree_reader {
	struct io_map map;
	int fd;
	uint64_t ino;
	uint64_t next;				 /* offset of the next item to ask for */
	uint64_t searched_to;			 /* there is none from there up to here */
	uint32_t left;				 /* items found and not given out */
	const char *at;				 /* the next of them */
	struct btrfs_ioctl_search_args_v2 found; /* and FOUND_BYTES of them */
};

/* Items that begin in [t->next, end). */
static int search(struct tree_reader *t, uint64_t end)
{
	int r;

	t->found.key = (struct btrfs_ioctl_search_key){
		.min_objectid = t->ino,
		.max_objectid = t->ino,
		.min_type = BTRFS_EXTENT_DATA_KEY,
		.max_type = BTRFS_EXTENT_DATA_KEY,
		.min_offset = t->next,
		.max_offset = end - 1,
		.max_transid = UINT64_MAX,
		.nr_items = UINT32_MAX,
	};
	t->found.buf_size = FOUND_BYTES;
	do
		r = ioctl(t->fd, BTRFS_IOC_TREE_SEARCH_V2, &t->found);
	while (r < 0 && errno == EINTR);
	if (r < 0)
		return -errno;
	t->left = t->found.key.nr_items;
	t->at = (const char *)t->found.buf;
	if (!t->left)
		t->searched_to = end;
	return 0;
}

/* The next item as it lies there: its offset and what it says. -EIO if it cannot be. */
static int next_item(struct tree_reader *t, uint64_t *ret_offset,
		     struct btrfs_file_extent_item *ret)
{
	const char *end = (const char *)t->found.buf + FOUND_BYTES;
	const size_t least = offsetof(struct btrfs_file_extent_item, disk_bytenr);
	struct btrfs_ioctl_search_header head;

	if ((size_t)(end - t->at) < sizeof(head))
		return -EIO;
	memcpy(&head, t->at, sizeof(head)); /* they are not aligned */
	t->at += sizeof(head);
	if (head.len > (size_t)(end - t->at) || head.len < least ||
	    head.objectid != t->ino || head.type != BTRFS_EXTENT_DATA_KEY ||
	    head.offset < t->next)
		return -EIO;
	*ret = (struct btrfs_file_extent_item){0};
	memcpy(ret, t->at, min_u64(head.len, sizeof(*ret)));
	if (ret->type != BTRFS_FILE_EXTENT_INLINE && head.len < sizeof(*ret))
		return -EIO;
	t->at += head.len;
	t->left--;
	t->next = head.offset + 1;
	*ret_offset = head.offset;
	return 0;
}

static int extent_of(const struct btrfs_file_extent_item *item, uint64_t offset,
		     struct io_extent *ret)
{
	uint64_t len = le64toh(item->num_bytes), address = le64toh(item->disk_bytenr);

	if (item->type == BTRFS_FILE_EXTENT_INLINE) /* the rest of its block is zeros */
		len = round_up(le64toh(item->ram_bytes), 4096);
	*ret = (struct io_extent){.start = offset, .kind = IO_EXTENT_TAINT};
	if (add_overflows(offset, len, &ret->end) ||
	    item->type > BTRFS_FILE_EXTENT_PREALLOC)
		return -EIO;
	if (item->type == BTRFS_FILE_EXTENT_PREALLOC ||
	    (item->type == BTRFS_FILE_EXTENT_REG && address == 0)) {
		ret->kind = IO_EXTENT_ZERO;
	} else if (item->type == BTRFS_FILE_EXTENT_REG && !item->encryption &&
		   !item->other_encoding) {
		ret->kind = IO_EXTENT_DATA;
		ret->at = le64toh(item->offset);
		if (item->compression) {
			ret->packed = address;
			ret->packing = item->compression;
		} else if (add_overflows(ret->at, address, &ret->at)) {
			return -EIO;
		}
	}
	return 0;
}

static int tree_record(struct io_map *map, struct io_extent *ret)
{
	struct tree_reader *t = container_of(map, struct tree_reader, map);
	struct btrfs_file_extent_item item = {0};
	uint64_t offset = 0;
	int r = 0;

	if (!t->left && t->searched_to < map->limit)
		r = search(t, map->limit);
	if (r == 0 && !t->left)
		return -ENXIO;
	if (r == 0)
		r = next_item(t, &offset, &item);
	if (r == 0)
		r = extent_of(&item, offset, ret);
	if (r == 0 && ret->end > map->limit) /* to be told again */
		t->next = offset;
	return r;
}

/*
 * Who takes an extent out of the tree, to put another there, holds the lock of that range
 * until that is done. A search does not ask for it: it sees a hole, for as long as the
 * other one is not given the processor. FIEMAP takes the lock of all it is asked for.
 */
static int tree_await(struct io_map *map)
{
	const struct tree_reader *t = container_of(map, struct tree_reader, map);
	union {
		struct fiemap map;
		char room[sizeof(struct fiemap) + sizeof(struct fiemap_extent)];
	} u = {.map = {.fm_length = FIEMAP_MAX_OFFSET, .fm_extent_count = 1}};
	int r;

	do
		r = ioctl(t->fd, FS_IOC_FIEMAP, &u.map);
	while (r < 0 && errno == EINTR);
	return r < 0 ? -errno : 0;
}

static void tree_close(struct io_map *map)
{
	free(container_of(map, struct tree_reader, map));
}

int io_map_open_tree(struct io_map **ret, int fd, uint64_t size)
{
	struct tree_reader *t;
	struct stat st;
	int r = io_fsync(fd); /* what is not allocated yet has no items */

	if (r < 0)
		return r;
	if (fstat(fd, &st) < 0)
		return -errno;
	t = malloc(sizeof(*t) + FOUND_BYTES);
	if (!t)
		return -ENOMEM;
	*t = (struct tree_reader){
		.map = {.size = size,
			.limit = size,
			.record = tree_record,
			.await = tree_await,
			.close = tree_close},
		.fd = fd,
		.ino = st.st_ino,
	};
	r = search(t, 1); /* whether it is allowed is told now */
	t->left = 0;
	if (r < 0)
		free(t);
	else
		*ret = &t->map;
	return r;
}
