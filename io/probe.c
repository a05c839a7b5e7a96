/* SPDX-License-Identifier: MIT */
/*
 * probe.c - trying out what a file system really does, with files that have no name
 */
#include "probe.h"

#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#include "base.h"
#include "clock.h"
#include "clone.h"
#include "file.h"
#include "fs.h"
#include "small_file.h"
#include "tree.h"

#define DIRECT_BYTES (4 * MIB)
#define BUFFER_TRIES 8
#define EXTENTS	     256
#define TEXT_SIZE    100001 /* neither blocks nor pages */

static enum io_fact fact(bool yes)
{
	return yes ? IO_FACT_YES : IO_FACT_NO;
}

/* ------------------------------------------------------------------ one mount */

/* Pages that became dirty, of the whole machine. */
static uint64_t read_dirtied(void)
{
	unsigned long long count = 0;
	FILE *f = fopen("/proc/vmstat", "re");
	char line[128];

	while (f && fgets(line, sizeof(line), f) &&
	       sscanf(line, "nr_dirtied %llu", &count) != 1)
		;
	if (f)
		fclose(f);
	return count;
}

/*
 * H24. Btrfs drops the pages again when they are written, so that they cannot be found in
 * the cache; but they were dirty. Others dirty pages as well: one try that did not is
 * enough.
 */
static enum io_fact probe_buffers(int fd, void *buf)
{
	for (unsigned i = 0; i < BUFFER_TRIES; i++) {
		uint64_t before = read_dirtied();

		if (pwrite(fd, buf, DIRECT_BYTES, 0) != (ssize_t)DIRECT_BYTES)
			return IO_FACT_UNKNOWN;
		if (read_dirtied() - before < DIRECT_BYTES / 4096 / 2)
			return IO_FACT_NO;
		/* Others may be writing as well. */
		nanosleep(&(struct timespec){.tv_nsec = (long)(i + 1) * 10000000}, NULL);
	}
	return IO_FACT_YES;
}

static void probe_direct(int dirfd, struct io_mount_facts *ret)
{
	_cleanup_close_ int direct = -1;
	struct io_file file;
	char self[32];
	void *buf;

	if (io_file_create_unnamed(dirfd, &file) < 0)
		return;
	snprintf(self, sizeof(self), "/proc/self/fd/%d", file.fd);
	direct = open(self, O_RDWR | O_DIRECT | O_CLOEXEC);
	if (direct >= 0)
		ret->direct_align = io_file_direct_align(&file);
	io_file_close(&file);
	if (!ret->direct_align)
		return;
	buf = mmap(NULL, DIRECT_BYTES, PROT_READ | PROT_WRITE,
		   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (buf == MAP_FAILED)
		return;
	memset(buf, 'x', DIRECT_BYTES);
	ret->buffers = probe_buffers(direct, buf);
	munmap(buf, DIRECT_BYTES);
}

/* H10: a page dirtied through a map, in the middle of a hole. */
static enum io_fact probe_seek(int dirfd)
{
	_cleanup_close_ int fd = io_unnamed_file(dirfd);
	const off_t at = MIB / 2;
	off_t data = -1;
	char *map;
	bool written;

	if (fd < 0 || ftruncate(fd, MIB) < 0)
		return IO_FACT_UNKNOWN;
	map = mmap(NULL, MIB, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (map == MAP_FAILED)
		return IO_FACT_UNKNOWN;
	/* By the kernel: where there is no room for the page, that is no signal. */
	written = getrandom(map + at, 1, 0) == 1;
	if (written)
		data = lseek(fd, 0, SEEK_DATA);
	munmap(map, MIB);
	if (!written)
		return IO_FACT_UNKNOWN;
	if (data < 0 && errno == EINVAL)
		return IO_FACT_UNKNOWN; /* knows no holes: everything is data */
	return fact(data >= 0 && data <= at);
}

/* H19. */
static enum io_fact probe_nocow(int dirfd)
{
	_cleanup_close_ int src = io_unnamed_file(dirfd), dst = io_unnamed_file(dirfd);
	char block[65536] = "x";
	int flags = 0;

	if (src < 0 || dst < 0 || !io_fs_is(src, BTRFS_SUPER_MAGIC) ||
	    ioctl(src, FS_IOC_GETFLAGS, &flags) < 0)
		return IO_FACT_UNKNOWN;
	flags ^= FS_NOCOW_FL;
	if (ioctl(src, FS_IOC_SETFLAGS, &flags) < 0 ||
	    io_pwrite_all(src, block, sizeof(block), 0) < 0 || io_fsync(src) < 0)
		return IO_FACT_UNKNOWN;
	return fact(io_clone_file(src, dst) < 0);
}

static enum io_fact probe_reverse_map(int dirfd)
{
	struct io_xfs xfs;

	return io_xfs_of(dirfd, &xfs) < 0 ? IO_FACT_UNKNOWN : fact(xfs.reverse_map);
}

int io_probe_mount(int dirfd, struct io_mount_facts *ret)
{
	_cleanup_close_ int fd = io_unnamed_file(dirfd);
	struct statfs fs;

	if (fd < 0)
		return fd;
	*ret = (struct io_mount_facts){0};
	if (fstatfs(fd, &fs) == 0)
		ret->block = (uint32_t)fs.f_bsize;
	probe_direct(dirfd, ret);
	ret->sees_maps = probe_seek(dirfd);
	ret->nocow_refused = probe_nocow(dirfd);
	ret->reverse_map = probe_reverse_map(dirfd);
	return 0;
}

/* ------------------------------------------------------------------ two folders */

/* @count blocks of data with as large holes between. */
static int fill(int fd, size_t block, unsigned count)
{
	_cleanup_free_ char *data = malloc(block);

	if (!data)
		return -ENOMEM;
	memset(data, 'x', block);
	for (unsigned i = 0; i < count; i++) {
		int r = io_pwrite_all(fd, data, block, (uint64_t)i * 2 * block);

		if (r < 0)
			return r;
	}
	return io_fsync(fd);
}

/* The least of three clones of a new file of @count extents. 0 or what refuses it. */
static int time_clone(int src_dirfd, int dst_dirfd, size_t block, unsigned count,
		      uint64_t *ret_ns)
{
	_cleanup_close_ int src = io_unnamed_file(src_dirfd);
	int r = src < 0 ? src : fill(src, block, count);

	*ret_ns = UINT64_MAX;
	for (unsigned i = 0; r == 0 && i < 3; i++) {
		_cleanup_close_ int dst = io_unnamed_file(dst_dirfd);
		uint64_t begin = io_now_ns();

		r = dst < 0 ? dst : io_clone_file(src, dst);
		*ret_ns = min_u64(*ret_ns, io_now_ns() - begin);
	}
	return r;
}

/* H17. */
static enum io_fact probe_tail(int src_dirfd, int dst_dirfd, size_t block)
{
	_cleanup_close_ int src = io_unnamed_file(src_dirfd);
	_cleanup_close_ int dst = io_unnamed_file(dst_dirfd);

	if (src < 0 || dst < 0 || fill(src, block, 1) < 0 || fill(dst, block, 4) < 0 ||
	    ftruncate(src, (off_t)block / 2) < 0)
		return IO_FACT_UNKNOWN;
	return fact(io_clone_range(src, 0, dst, 2 * block, block / 2) < 0);
}

static void probe_clone(int src_dirfd, int dst_dirfd, struct io_pair_facts *ret)
{
	uint64_t many = 0;
	struct statfs fs;
	size_t block;

	if (fstatfs(src_dirfd, &fs) < 0)
		return;
	block = (size_t)max_u64((uint64_t)fs.f_bsize, 4096);
	if (block > 65536)
		block = 4096;
	ret->clone_error = time_clone(src_dirfd, dst_dirfd, block, 1, &ret->clone_ns);
	if (ret->clone_error)
		return;
	if (time_clone(src_dirfd, dst_dirfd, block, EXTENTS, &many) == 0 &&
	    many > ret->clone_ns)
		ret->extent_ns = (many - ret->clone_ns) / (EXTENTS - 1);
	ret->tail_refused = probe_tail(src_dirfd, dst_dirfd, block);
}

/* H13: who believes an early end has copied a part of the file. */
static void probe_copy(int src_dirfd, int dst_dirfd, struct io_pair_facts *ret)
{
	_cleanup_close_ int src = io_unnamed_file(src_dirfd);
	_cleanup_close_ int dst = io_unnamed_file(dst_dirfd);
	_cleanup_free_ char *text = malloc(TEXT_SIZE), *copy = malloc(TEXT_SIZE);
	uint64_t done = 0;
	int64_t n;

	if (src < 0 || dst < 0 || !text || !copy)
		return;
	for (size_t i = 0; i < TEXT_SIZE; i++)
		text[i] = (char)(i * 7 % 251);
	if (io_pwrite_all(src, text, TEXT_SIZE, 0) < 0)
		return;
	while ((n = io_server_copy(src, dst, done, TEXT_SIZE)) > 0 && done < TEXT_SIZE)
		done += (uint64_t)n;
	ret->copy_error = n < 0 ? (int)n : 0;
	if (n < 0)
		return;
	ret->copy_ends_late = fact(done == TEXT_SIZE &&
				   io_pread_all(dst, copy, TEXT_SIZE, 0) == 0 &&
				   !memcmp(text, copy, TEXT_SIZE));
}

void io_probe_pair(int src_dirfd, int dst_dirfd, struct io_pair_facts *ret)
{
	*ret = (struct io_pair_facts){0};
	probe_clone(src_dirfd, dst_dirfd, ret);
	probe_copy(src_dirfd, dst_dirfd, ret);
}
