/* SPDX-License-Identifier: MIT */
/*
 * clone.c - FICLONE, FICLONERANGE, copy_file_range and inode flags
 */
#include "clone.h"

#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "base.h"
#include "fs.h"

#ifndef CIFS_SUPER_MAGIC
#define CIFS_SUPER_MAGIC 0xFF534D42
#endif
#ifndef CEPH_SUPER_MAGIC
#define CEPH_SUPER_MAGIC 0x00c36400
#endif
#ifndef SMB2_SUPER_MAGIC
#define SMB2_SUPER_MAGIC 0xFE534D42
#endif

/* Who wants to stop waits for one call. */
#define SERVER_MOST (64 * MIB)

/* H21: its clones have read as holes, and wait for or fail on dirty data. */
static bool on_zfs(int fd)
{
	return io_fs_is(fd, ZFS_SUPER_MAGIC);
}

int io_clone_file(int src, int dst)
{
	int r;

	if (on_zfs(dst))
		return -EOPNOTSUPP;
	do
		r = ioctl(dst, FICLONE, src);
	while (r < 0 && errno == EINTR);
	return r < 0 ? -errno : 0;
}

int io_clone_range(int src, uint64_t start, int dst, uint64_t to, uint64_t len)
{
	struct file_clone_range range = {
		.src_fd = src,
		.src_offset = start,
		.src_length = len,
		.dest_offset = to,
	};
	int r;

	if (on_zfs(dst))
		return -EOPNOTSUPP;
	do
		r = ioctl(dst, FICLONERANGE, &range);
	while (r < 0 && errno == EINTR);
	return r < 0 ? -errno : 0;
}

bool io_clone_refused(int error)
{
	switch (error) {
	case -ENOSYS:
	case -ENOTTY:
	case -EOPNOTSUPP:
	case -EINVAL:
	case -EBADF:
	case -EXDEV:
	case -ETXTBSY:
	case -EPERM:
	case -EACCES:
		return true;
	default:
		return false;
	}
}

bool io_server_copies(uint32_t src_fs, uint32_t dst_fs)
{
	if (src_fs != dst_fs)
		return false;
	switch (src_fs) {
	case NFS_SUPER_MAGIC:
	case CIFS_SUPER_MAGIC:
	case SMB2_SUPER_MAGIC:
	case CEPH_SUPER_MAGIC:
	case FUSE_SUPER_MAGIC:
		return true;
	default:
		return false;
	}
}

int64_t io_server_copy(int src, int dst, uint64_t start, uint64_t len)
{
	loff_t in = (loff_t)start, out = (loff_t)start;
	long r;

	/* The raw call: glibc 2.41 and 2.42 return wrong numbers (H14). */
	do
		r = syscall(SYS_copy_file_range, src, &in, dst, &out,
			    (size_t)min_u64(len, SERVER_MOST), 0u);
	while (r < 0 && errno == EINTR);
	return r < 0 ? -errno : r;
}

bool io_is_nocow(int fd)
{
	int flags = 0;

	return ioctl(fd, FS_IOC_GETFLAGS, &flags) == 0 && (flags & FS_NOCOW_FL);
}

int io_set_immutable(int fd, bool on)
{
	int flags = 0, want;

	if (ioctl(fd, FS_IOC_GETFLAGS, &flags) < 0)
		return -errno;
	want = on ? flags | FS_IMMUTABLE_FL : flags & ~FS_IMMUTABLE_FL;
	if (want == flags)
		return 0;
	return ioctl(fd, FS_IOC_SETFLAGS, &want) < 0 ? -errno : 0;
}
