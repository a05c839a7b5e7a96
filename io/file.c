/* SPDX-License-Identifier: MIT */
/*
 * file.c - opening one side of a copy in the best mode its file system allows
 */
#include "file.h"

#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <linux/stat.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#include "base.h"
#include "clone.h"
#include "fs.h"
#include "small_file.h"
#include "tree.h"

/* Bodies and tails must not share a page of the page cache, so never below it. */
#define PAGE 4096u

/* Behind a buffered front two of these may stay in the page cache, each longer by a block
 * at most: 16 MiB. */
#define BEHIND_STEP (6 * MIB)

static int device_block(struct io_file *file)
{
	int sector;

	if (ioctl(file->fd, BLKGETSIZE64, &file->size) < 0 ||
	    ioctl(file->fd, BLKSSZGET, &sector) < 0)
		return -errno;
	file->block = (uint32_t)max_u64((uint64_t)sector, PAGE);
	/* Not connected, or nothing in the drive: that is no empty disk. */
	return file->size ? 0 : -ENOMEDIUM;
}

/* The file system's block, which st_blksize is only a hint of (XFS, NFS). */
static int file_block(struct io_file *file)
{
	struct statfs fs;

	if (file->device)
		return device_block(file);
	if (fstatfs(file->fd, &fs) < 0)
		return -errno;
	file->fs = (uint32_t)fs.f_type;
	/* Network file systems name their transfer size; that is no grain of holes. */
	if (fs.f_bsize > 0 && fs.f_bsize <= 65536 && !(fs.f_bsize & (fs.f_bsize - 1)))
		file->block = (uint32_t)fs.f_bsize;
	else
		file->block = PAGE;
	return 0;
}

uint32_t io_file_direct_align(const struct io_file *file)
{
	uint32_t align = file->block;
	struct statx stx;

	if (statx(file->fd, "", AT_EMPTY_PATH, STATX_DIOALIGN, &stx) == 0 &&
	    (stx.stx_mask & STATX_DIOALIGN)) {
		if (stx.stx_dio_offset_align == 0)
			return 0;
		align = stx.stx_dio_offset_align;
		if (stx.stx_dio_mem_align > align)
			align = stx.stx_dio_mem_align;
	}
	if (align > MIB)
		return 0;
	return align > PAGE ? align : PAGE;
}

/* Btrfs goes through the page cache to write data checksums, and to read what is
 * compressed, which NOCOW files have neither of. */
static bool buffers_some(const struct io_file *file)
{
	return file->fs == BTRFS_SUPER_MAGIC && !io_is_nocow(file->fd);
}

/* Adds an O_DIRECT descriptor of the same file; without one it stays buffered. */
static int file_go_direct(struct io_file *file)
{
	char self[32];
	uint32_t align;
	int fd;

	file->may_cache = buffers_some(file);
	if (file->writable && file->may_cache) {
		file->buffered = "Btrfs with data checksums buffers direct writes";
		return 0;
	}
	snprintf(self, sizeof(self), "/proc/self/fd/%d", file->fd);
	fd = open(self, (file->writable ? O_RDWR : O_RDONLY) | O_DIRECT | O_CLOEXEC);
	if (fd < 0 && errno == ENOENT) {
		file->buffered = "O_DIRECT needs /proc to be mounted";
		return 0;
	}
	if (fd < 0 && errno != EINVAL && errno != EOPNOTSUPP)
		return -errno;
	align = fd < 0 ? 0 : io_file_direct_align(file);
	if (!align) {
		if (fd >= 0)
			close(fd);
		file->buffered = "the file system refuses O_DIRECT";
		return 0;
	}
	file->direct_fd = fd;
	file->align = align;
	return 0;
}

static int set_flags(int fd, int flags)
{
	return ioctl(fd, FS_IOC_SETFLAGS, &flags) < 0 ? -errno : 0;
}

/* Whether the two may share blocks, for which the flag has to be the same. */
static bool may_share(const struct io_file *file, int twin_fd)
{
	struct io_fs a, b;

	return twin_fd >= 0 && file->fs == BTRFS_SUPER_MAGIC &&
	       io_fs_of(file->fd, &a) == 0 && io_fs_of(twin_fd, &b) == 0 &&
	       io_fs_same(&a, &b);
}

/* On an empty file only; it may have taken flags from its folder. What is compressed, or
 * was said not to be, is not NOCOW before that has gone. */
static int match_nocow(const struct io_file *file, int twin_fd)
{
	const int compression = FS_COMPR_FL | FS_NOCOMP_FL;
	int flags = 0, fd = file->fd, r = 0;

	if (!may_share(file, twin_fd))
		return 0;
	if (ioctl(fd, FS_IOC_GETFLAGS, &flags) < 0)
		return -errno;
	if (io_is_nocow(twin_fd) == !!(flags & FS_NOCOW_FL))
		return 0;
	if (flags & FS_NOCOW_FL)
		return set_flags(fd, flags & ~FS_NOCOW_FL);
	if (flags & compression)
		r = set_flags(fd, flags & ~compression);
	return r ? r : set_flags(fd, (flags & ~compression) | FS_NOCOW_FL);
}

/* @only is the one kind it may be, or 0: a regular file or a block device. */
static int check_kind(mode_t kind, mode_t only)
{
	if (only ? kind == only : kind == S_IFREG || kind == S_IFBLK)
		return 0;
	return only == S_IFREG ? -EINVAL : -ENOTBLK;
}

/* All that is to be known of it before a byte is moved. */
static int get_ready(struct io_file *file, mode_t only, int twin_fd)
{
	struct stat st;
	int r;

	if (fstat(file->fd, &st) < 0)
		return -errno;
	r = check_kind(st.st_mode & S_IFMT, only);
	if (r < 0)
		return r;
	file->device = S_ISBLK(st.st_mode);
	file->size = (uint64_t)st.st_size;
	r = file_block(file);
	if (r == 0)
		r = match_nocow(file, twin_fd);
	if (r == 0)
		r = file_go_direct(file);
	if (r == 0 && !io_file_is_direct(file))
		posix_fadvise(file->fd, 0, 0, POSIX_FADV_SEQUENTIAL);
	return r;
}

/* Takes over @fd, also if it fails. */
static int adopt(int fd, bool writable, mode_t only, int twin_fd, struct io_file *ret)
{
	struct io_file file = {
		.fd = fd, .direct_fd = -1, .writable = writable, .align = 1};
	int r = get_ready(&file, only, twin_fd);

	if (r < 0)
		io_file_close(&file);
	else
		*ret = file;
	return r;
}

int io_file_open_read(int dirfd, const char *path, struct io_file *ret)
{
	int fd = io_open_read(dirfd, path);

	return fd < 0 ? fd : adopt(fd, false, 0, -1, ret);
}

int io_file_create(int dirfd, const char *path, int twin_fd, struct io_file *ret)
{
	int fd = openat(dirfd, path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW,
			0600);
	int r;

	if (fd < 0)
		return -errno;
	r = adopt(fd, true, S_IFREG, twin_fd, ret);
	if (r < 0)
		unlinkat(dirfd, path, 0);
	return r;
}

int io_file_create_unnamed(int dirfd, struct io_file *ret)
{
	int fd = io_unnamed_file(dirfd);

	return fd < 0 ? fd : adopt(fd, true, S_IFREG, -1, ret);
}

int io_file_open_write(int dirfd, const char *path, struct io_file *ret)
{
	int fd = openat(dirfd, path, O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);

	return fd < 0 ? -errno : adopt(fd, true, S_IFREG, -1, ret);
}

int io_file_open_device(const char *path, struct io_file *ret)
{
	int fd = open(path, O_RDWR | O_EXCL | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);

	return fd < 0 ? -errno : adopt(fd, true, S_IFBLK, -1, ret);
}

void io_file_close(struct io_file *file)
{
	if (file->front && !file->writable) /* nobody syncs it, which would do this */
		posix_fadvise(file->fd, 0, 0, POSIX_FADV_DONTNEED);
	if (file->direct_fd >= 0)
		close(file->direct_fd);
	if (file->fd >= 0)
		close(file->fd);
	file->direct_fd = -1;
	file->fd = -1;
}

bool io_file_was_cut(const struct io_file *file)
{
	struct stat st;

	return fstat(file->fd, &st) < 0 ||
	       (S_ISREG(st.st_mode) && (uint64_t)st.st_size < file->size);
}

int io_file_set_size(struct io_file *file, uint64_t size)
{
	if (size > INT64_MAX)
		return -EFBIG;
	if (ftruncate(file->fd, (off_t)size) < 0)
		return -errno;
	file->size = size;
	return 0;
}

/* Missing in the kernel or refused by a filter, it is as if the file system had it not.
 */
static int file_allocate(struct io_file *file, int mode, uint64_t start, uint64_t len)
{
	int r;

	do
		r = fallocate(file->fd, mode | FALLOC_FL_KEEP_SIZE, (off_t)start,
			      (off_t)len);
	while (r < 0 && errno == EINTR);
	if (r < 0 && (errno == ENOSYS || errno == ENODEV || errno == EPERM))
		return -EOPNOTSUPP;
	return r < 0 ? -errno : 0;
}

int io_file_allocate(struct io_file *file, uint64_t start, uint64_t len)
{
	/* Reserving before a buffered write defeats delayed allocation. */
	if (!io_file_is_direct(file) || file->device)
		return -EOPNOTSUPP;
	return file_allocate(file, 0, start, len);
}

/* Without filling the page cache: it may be a whole device. */
static int write_zeros(struct io_file *file, uint64_t start, uint64_t end)
{
	static const char zeros[64 * KIB];
	int r = 0;

	while (r == 0 && start < end) {
		size_t len = (size_t)min_u64(end - start, sizeof(zeros));

		r = io_pwrite_all(file->fd, zeros, len, start);
		start += len;
		if (r == 0)
			r = io_file_advance(file, start);
	}
	return r;
}

int io_file_clear(struct io_file *file, uint64_t start, uint64_t len)
{
	int r = file_allocate(file, FALLOC_FL_PUNCH_HOLE, start, len);

	return r == -EOPNOTSUPP ? write_zeros(file, start, start + len) : r;
}

/* The device zeroes whole sectors, if it can; the edges are written. */
int io_file_zero(struct io_file *file, uint64_t start, uint64_t len)
{
	uint64_t end = start + len;
	uint64_t body = min_u64(round_up(start, file->block), end);
	uint64_t tail = max_u64(round_down(end, file->block), body);
	int r = 0;

	if (body < tail)
		r = file_allocate(file, FALLOC_FL_ZERO_RANGE, body, tail - body);
	if (r == -EOPNOTSUPP)
		return write_zeros(file, start, end);
	if (r == 0)
		r = write_zeros(file, start, body);
	return r < 0 ? r : write_zeros(file, tail, end);
}

void io_file_touch(struct io_file *file)
{
	static const struct timespec times[2] = {{.tv_nsec = UTIME_OMIT},
						 {.tv_nsec = UTIME_NOW}};
	struct timespec tick;

	/* Where changing a file's times waits, and so does a write. */
	if (file->fs != XFS_SUPER_MAGIC)
		return;
	clock_gettime(CLOCK_REALTIME_COARSE, &tick);
	if (tick.tv_nsec == file->touched.tv_nsec && tick.tv_sec == file->touched.tv_sec)
		return;
	file->touched = tick;
	futimens(file->fd, times);
}

static void write_back(struct io_file *file, uint64_t start, uint64_t end, unsigned flags)
{
	if (start < end && !file->error)
		file->error = io_write_pages(file->fd, start, end - start, flags);
}

/*
 * Starts writing back what is new, and drops from the cache what was started a
 * step ago; so about two steps of a file are in it.
 */
int io_file_advance(struct io_file *file, uint64_t end)
{
	uint64_t start;

	/* The file is gone through once more, as to digest what was written into it. */
	if (end < file->behind)
		file->behind = file->front = 0;
	start = file->front;
	if (end < start + BEHIND_STEP)
		return file->error;
	if (file->writable) {
		write_back(file, start, end, SYNC_FILE_RANGE_WRITE);
		write_back(file, file->behind, start,
			   SYNC_FILE_RANGE_WAIT_BEFORE | SYNC_FILE_RANGE_WRITE |
				   SYNC_FILE_RANGE_WAIT_AFTER);
	}
	if (start > file->behind) /* a length of 0 would be the whole file */
		posix_fadvise(file->fd, (off_t)file->behind,
			      (off_t)(start - file->behind), POSIX_FADV_DONTNEED);
	/* Pieces that end out of order lie within the last step: look again. */
	file->behind = start > BEHIND_STEP ? start - BEHIND_STEP : 0;
	file->front = end;
	return file->error;
}

int io_file_drop_cache(struct io_file *file)
{
	/* All of it: requests that ended long after their neighbours were passed by. */
	if (!io_file_is_direct(file) || file->may_cache)
		posix_fadvise(file->fd, 0, 0, POSIX_FADV_DONTNEED);
	return file->error;
}

int io_file_allocated(const struct io_file *file, uint64_t *ret_bytes)
{
	struct stat st;

	if (fstat(file->fd, &st) < 0)
		return -errno;
	*ret_bytes = file->device ? file->size : (uint64_t)st.st_blocks * 512;
	return 0;
}
