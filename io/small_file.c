/* SPDX-License-Identifier: MIT */
/*
 * small_file.c - read and written to the end, replaced by a rename
 */
#include "small_file.h"

#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "base.h"
#include "tree.h"

#define NAMES_MAX 1000 /* that others may have at this moment */

int io_pread_all(int fd, void *buf, size_t len, uint64_t start)
{
	while (len > 0) {
		ssize_t n = pread(fd, buf, len, (off_t)start);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			return -ENODATA;
		buf = (char *)buf + n;
		len -= (size_t)n;
		start += (uint64_t)n;
	}
	return 0;
}

int io_pwrite_all(int fd, const void *buf, size_t len, uint64_t start)
{
	while (len > 0) {
		ssize_t n = pwrite(fd, buf, len, (off_t)start);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? -errno : -EIO;
		buf = (const char *)buf + n;
		len -= (size_t)n;
		start += (uint64_t)n;
	}
	return 0;
}

/* A kernel before 5.6 has no openat2(), nor have some filters, nor valgrind: each step by
 * itself, and none up. */
static int open_step_by_step(int dirfd, const char *path, int flags)
{
	_cleanup_close_ int at = -1;
	char name[NAME_MAX + 1];
	size_t len;
	int fd;

	for (const char *p = path;; p += len + 1) {
		len = strcspn(p, "/");
		if (len > NAME_MAX)
			return -ENAMETOOLONG;
		memcpy(name, p, len);
		name[len] = '\0';
		if (!len || !strcmp(name, ".."))
			return -EXDEV;
		fd = openat(p == path ? dirfd : at, name, flags | O_NOFOLLOW);
		if (fd < 0)
			return -errno;
		if (at >= 0)
			close(at);
		at = fd;
		if (!p[len])
			return take_fd(&at);
	}
}

int io_open_read(int dirfd, const char *path)
{
	const struct open_how how = {
		.flags = O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY,
		.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS,
	};
	int fd;

	if (dirfd == AT_FDCWD)
		fd = open(path, (int)how.flags);
	else
		fd = (int)syscall(SYS_openat2, dirfd, path, &how, sizeof(how));
	if (fd < 0 && dirfd != AT_FDCWD && (errno == ENOSYS || errno == EPERM))
		return open_step_by_step(dirfd, path, (int)how.flags);
	return fd < 0 ? -errno : fd;
}

int io_read_file(int dirfd, const char *name, size_t max, char **ret, size_t *ret_len)
{
	_cleanup_close_ int fd = -1;
	_cleanup_free_ char *text = NULL;
	struct stat st;
	int r;

	fd = io_open_read(dirfd, name);
	if (fd < 0)
		return fd;
	if (fstat(fd, &st) < 0)
		return -errno;
	if (!S_ISREG(st.st_mode))
		return -EINVAL;
	if ((uint64_t)st.st_size > max)
		return -EFBIG;
	text = malloc((size_t)st.st_size + 1);
	if (!text)
		return -ENOMEM;
	r = io_pread_all(fd, text, (size_t)st.st_size, 0);
	if (r < 0)
		return r;
	text[st.st_size] = '\0';
	*ret = take_ptr(text);
	*ret_len = (size_t)st.st_size;
	return 0;
}

int io_write_unsynced(int dirfd, const char *name, const void *data, size_t len)
{
	int fd, r;

	fd = openat(dirfd, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW,
		    0600);
	if (fd < 0)
		return -errno;
	r = io_pwrite_all(fd, data, len, 0);
	if (r < 0) {
		close(fd);
		return r;
	}
	return fd;
}

int io_write_new_file(int dirfd, const char *name, const void *data, size_t len)
{
	int fd = io_write_unsynced(dirfd, name, data, len), r;

	if (fd < 0)
		return fd;
	r = io_fsync(fd);
	if (close(fd) < 0 && r == 0)
		r = -errno;
	return r;
}

/* What is to replace @name stays whose that is, as far as it is ours to give. */
static void keep_owner(int dirfd, const char *name, int fd)
{
	struct stat old, ours;

	if (fstatat(dirfd, name, &old, AT_SYMLINK_NOFOLLOW) < 0 || fstat(fd, &ours) < 0 ||
	    (old.st_uid == ours.st_uid && old.st_gid == ours.st_gid))
		return;
	if (fchown(fd, old.st_uid, old.st_gid) < 0)
		return; /* then it is ours */
}

int io_swap_begin(int dirfd, const char *name, const void *data, size_t len, mode_t mode)
{
	char temp[300];
	int fd, r;

	/* One writer at a time holds the folder's lock, so one name will do. */
	if ((size_t)snprintf(temp, sizeof(temp), ".%s.new", name) >= sizeof(temp))
		return -ENAMETOOLONG;
	fd = openat(dirfd, temp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW,
		    mode);
	if (fd < 0)
		return -errno;
	r = io_pwrite_all(fd, data, len, 0);
	if (r < 0) {
		close(fd);
		unlinkat(dirfd, temp, 0);
		return r;
	}
	keep_owner(dirfd, name, fd);
	return fd;
}

int io_swap_end(int dirfd, const char *name, int synced)
{
	char temp[300];
	int r = synced;

	snprintf(temp, sizeof(temp), ".%s.new", name);
	if (r == 0 && renameat(dirfd, temp, dirfd, name) < 0)
		r = -errno;
	if (r < 0)
		unlinkat(dirfd, temp, 0);
	return r;
}

int io_swap_file(int dirfd, const char *name, const void *data, size_t len, mode_t mode)
{
	int fd = io_swap_begin(dirfd, name, data, len, mode), r;

	if (fd < 0)
		return fd;
	r = io_fsync(fd);
	if (close(fd) < 0 && r == 0)
		r = -errno;
	return io_swap_end(dirfd, name, r);
}

int io_replace_file(int dirfd, const char *name, const void *data, size_t len,
		    mode_t mode)
{
	int r = io_swap_file(dirfd, name, data, len, mode);

	return r < 0 ? r : io_fsync(dirfd);
}

int io_temporary_file(int dirfd)
{
	const int flags = O_TMPFILE | O_RDWR | O_EXCL | O_CLOEXEC;
	int fd = openat(dirfd, ".", flags, 0600);

	if (fd < 0 &&
	    (errno == EROFS || errno == EACCES || errno == EOPNOTSUPP || errno == EISDIR))
		fd = open("/var/tmp", flags, 0600);
	return fd < 0 ? -errno : fd;
}

/* Where there is no O_TMPFILE. Threads, and hosts, may want one at once. */
static int nameless(int dirfd)
{
	char name[64];
	int fd;

	for (unsigned i = 0; i < NAMES_MAX; i++) {
		snprintf(name, sizeof(name), ".refpoint.%d.%u", (int)gettid(), i);
		fd = openat(dirfd, name,
			    O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
		if (fd >= 0)
			unlinkat(dirfd, name, 0);
		if (fd >= 0 || errno != EEXIST)
			return fd < 0 ? -errno : fd;
	}
	return -EEXIST;
}

int io_unnamed_file(int dirfd)
{
	int fd = openat(dirfd, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);

	if (fd >= 0)
		return fd;
	if (errno != EOPNOTSUPP && errno != EISDIR && errno != ENOENT && errno != EINVAL)
		return -errno;
	return nameless(dirfd);
}
