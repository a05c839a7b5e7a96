/* SPDX-License-Identifier: MIT */
/*
 * fs.h - which file system a file is on, and what that says of its map
 */
#ifndef IO_FS_H
#define IO_FS_H

#include <linux/magic.h>
#include <stdbool.h>
#include <stdint.h>

/* Not in every <linux/magic.h>. */
#ifndef XFS_SUPER_MAGIC
#define XFS_SUPER_MAGIC 0x58465342
#endif
#ifndef ZFS_SUPER_MAGIC
#define ZFS_SUPER_MAGIC 0x2fc12fc1
#endif

/* Whether the file is on a file system of that number of <linux/magic.h>. */
bool io_fs_is(int fd, uint32_t magic);

enum io_fs_type {
	IO_FS_OTHER,
	IO_FS_XFS,
	IO_FS_BTRFS,
};

struct io_fs {
	enum io_fs_type type;
	const char *name; /* for people: "XFS", "Btrfs", "another kind" */
	/* Its own ID on Btrfs, where every subvolume has another st_dev; else st_dev. */
	uint8_t id[16];
	bool realtime; /* XFS: the file is on the realtime device, with addresses of its
			  own (H8) */
};

int io_fs_of(int fd, struct io_fs *ret);

/* Whether the two files are on one file system. */
bool io_fs_same(const struct io_fs *a, const struct io_fs *b);

/* What only XFS has. */
struct io_xfs {
	bool reflink;
	bool reverse_map;
	bool realtime; /* a device of its own for the data of some files */
};

int io_xfs_of(int fd, struct io_xfs *ret); /* -EOPNOTSUPP if it is another one */

#endif
