/* SPDX-License-Identifier: MIT */
/*
 * fs.c - asking the kernel which file system it is
 */
#include "fs.h"

#include <linux/btrfs.h>
#include <linux/fs.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#include "base.h"

bool io_fs_is(int fd, uint32_t magic)
{
	struct statfs vfs;

	return fstatfs(fd, &vfs) == 0 && (uint32_t)vfs.f_type == magic;
}

static int ask_btrfs(int fd, struct io_fs *fs)
{
	struct btrfs_ioctl_fs_info_args info = {0};

	_Static_assert(sizeof(fs->id) == sizeof(info.fsid), "a whole fsid");
	if (ioctl(fd, BTRFS_IOC_FS_INFO, &info) < 0)
		return -errno;
	memcpy(fs->id, info.fsid, sizeof(fs->id));
	return 0;
}

static int ask_xfs(int fd, struct io_fs *fs)
{
	struct fsxattr attr;

	if (ioctl(fd, FS_IOC_FSGETXATTR, &attr) < 0)
		return -errno;
	fs->realtime = attr.fsx_xflags & FS_XFLAG_REALTIME;
	return 0;
}

int io_fs_of(int fd, struct io_fs *ret)
{
	struct io_fs fs = {.name = "another kind"};
	struct statfs vfs;
	struct stat st;
	int r = 0;

	if (fstatfs(fd, &vfs) < 0 || fstat(fd, &st) < 0)
		return -errno;
	memcpy(fs.id, &st.st_dev, sizeof(st.st_dev));
	if ((unsigned long)vfs.f_type == BTRFS_SUPER_MAGIC) {
		fs.type = IO_FS_BTRFS;
		fs.name = "Btrfs";
		r = ask_btrfs(fd, &fs);
	} else if ((unsigned long)vfs.f_type == XFS_SUPER_MAGIC) {
		fs.type = IO_FS_XFS;
		fs.name = "XFS";
		r = ask_xfs(fd, &fs);
	}
	if (r == 0)
		*ret = fs;
	return r;
}

bool io_fs_same(const struct io_fs *a, const struct io_fs *b)
{
	return a->type == b->type && !memcmp(a->id, b->id, sizeof(a->id));
}

/* The head of what XFS_IOC_FSGEOMETRY_V1 fills; the header is not everywhere. */
struct xfs_geometry {
	uint32_t sizes[8];
	uint64_t data_blocks, realtime_blocks, realtime_extents, log_start;
	uint8_t uuid[16];
	uint32_t stripe[2];
	int32_t version;
	uint32_t flags;
	uint32_t more[3];
};
#define XFS_GEOMETRY	_IOR('X', 100, struct xfs_geometry)
#define XFS_REVERSE_MAP (1u << 19)
#define XFS_REFLINK	(1u << 20)

int io_xfs_of(int fd, struct io_xfs *ret)
{
	struct xfs_geometry geometry;
	struct statfs vfs;

	if (fstatfs(fd, &vfs) < 0)
		return -errno;
	if ((unsigned long)vfs.f_type != XFS_SUPER_MAGIC)
		return -EOPNOTSUPP;
	if (ioctl(fd, XFS_GEOMETRY, &geometry) < 0)
		return -errno;
	*ret = (struct io_xfs){
		.reflink = geometry.flags & XFS_REFLINK,
		.reverse_map = geometry.flags & XFS_REVERSE_MAP,
		.realtime = geometry.realtime_blocks != 0,
	};
	return 0;
}
