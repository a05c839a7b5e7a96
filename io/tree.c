/* SPDX-License-Identifier: MIT */
/*
 * tree.c - folders and small files
 */
#include "tree.h"

#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/fs.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>

#include "base.h"
#include "clock.h"
#include "clone.h"

/* A device is locked by udev while that looks what is on it. */
#define GLANCE_MS 1000

#define NAMES_MAX 1000 /* that others may have at this moment */

int io_dir_open(int dirfd, const char *path)
{
	int fd = openat(dirfd, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	return fd < 0 ? -errno : fd;
}

int io_dir_make(int dirfd, const char *path, bool *ret_made)
{
	bool made = true;
	int fd;

	if (mkdirat(dirfd, path, 0700) < 0) {
		if (errno != EEXIST)
			return -errno;
		made = false;
	}
	fd = io_dir_open(dirfd, path);
	if (fd >= 0 && ret_made)
		*ret_made = made;
	return fd;
}

bool io_dir_is_at(int dirfd, const char *name, int fd)
{
	struct stat there, here;

	return fstatat(dirfd, name, &there, 0) == 0 && fstat(fd, &here) == 0 &&
	       there.st_dev == here.st_dev && there.st_ino == here.st_ino;
}

int io_dir_up(int *at)
{
	int up = openat(*at, "..", O_PATH | O_DIRECTORY | O_CLOEXEC);

	if (up < 0)
		return -errno;
	if (io_dir_is_at(*at, ".", up)) { /* the root is its own parent */
		close(up);
		return 0;
	}
	close(*at);
	*at = up;
	return 1;
}

int io_fsync(int fd)
{
	int r;

	do
		r = fsync(fd);
	while (r < 0 && errno == EINTR);
	return r < 0 ? -errno : 0;
}

/* Without flags it touches nothing. */
static bool can_write_pages(int fd)
{
	return sync_file_range(fd, 0, 0, 0) == 0;
}

int io_write_pages(int fd, uint64_t start, uint64_t len, unsigned flags)
{
	int r;

	if (sync_file_range(fd, (off_t)start, (off_t)len, flags) == 0)
		return 0;
	r = -errno;
	switch (-r) {
	case EINVAL:
	case ENOSYS:
	case EOPNOTSUPP:
	case EPERM:
	case ESPIPE: /* FUSE, SMB and NFS may have said any of them of a page */
		return can_write_pages(fd) ? r : 0;
	default:
		return r;
	}
}

static int by_name(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

int io_dir_names(int dirfd, char ***ret_names, size_t *ret_count)
{
	char **names = NULL;
	size_t count = 0, room = 0;
	struct dirent *entry;
	DIR *dir;
	int fd, r = 0;

	fd = io_dir_open(dirfd, ".");
	if (fd < 0)
		return fd;
	dir = fdopendir(fd);
	if (!dir) {
		r = -errno;
		close(fd);
		return r;
	}
	while ((errno = 0, entry = readdir(dir))) {
		if (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, ".."))
			continue;
		if (count == room) {
			char **more = reallocarray(names, room = room ? 2 * room : 16,
						   sizeof(*names));
			if (!more) {
				r = -ENOMEM;
				break;
			}
			names = more;
		}
		names[count] = strdup(entry->d_name);
		if (!names[count]) {
			r = -ENOMEM;
			break;
		}
		count++;
	}
	if (r == 0 && !entry)
		r = -errno;
	closedir(dir);
	if (r < 0) {
		io_names_free(names, count);
		return r;
	}
	if (count)
		qsort(names, count, sizeof(*names), by_name);
	*ret_names = names;
	*ret_count = count;
	return 0;
}

void io_names_free(char **names, size_t count)
{
	for (size_t i = 0; i < count; i++)
		free(names[i]);
	free(names);
}

static int remove_file(int dirfd, const char *name)
{
	int fd;

	if (unlinkat(dirfd, name, 0) == 0)
		return 0;
	if (errno != EPERM)
		return -errno;
	/* Perhaps an immutable clone. */
	fd = openat(dirfd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	if (fd < 0)
		return -errno;
	io_set_immutable(fd, false);
	close(fd);
	return unlinkat(dirfd, name, 0) < 0 ? -errno : 0;
}

int io_tree_empty(int fd, const char *but)
{
	char **names;
	size_t count;
	int r = io_dir_names(fd, &names, &count);

	if (r < 0)
		return r;
	for (size_t i = 0; i < count; i++) {
		int one = but && !strcmp(names[i], but) ? 0
							: io_tree_remove(fd, names[i]);

		r = r ?: one;
	}
	io_names_free(names, count);
	return r;
}

int io_tree_remove(int dirfd, const char *name)
{
	_cleanup_close_ int fd = -1;
	int r;

	fd = openat(dirfd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0) {
		if (errno == ENOENT)
			return 0;
		return errno == ENOTDIR || errno == ELOOP ? remove_file(dirfd, name)
							  : -errno;
	}
	r = io_tree_empty(fd, NULL);
	if (r == 0 && unlinkat(dirfd, name, AT_REMOVEDIR) < 0 && errno != ENOENT)
		r = -errno;
	return r;
}

int io_rename_new(int from_dirfd, const char *from, int to_dirfd, const char *to)
{
	struct stat st;

	if (renameat2(from_dirfd, from, to_dirfd, to, RENAME_NOREPLACE) == 0)
		return 0;
	if (errno != EINVAL && errno != ENOSYS && errno != EOPNOTSUPP)
		return -errno;
	/* No such flag there (NFS, FUSE). A folder with something in it is not replaced
	 * by a rename anyway; for a file a moment is left in which one may come. */
	if (fstatat(to_dirfd, to, &st, AT_SYMLINK_NOFOLLOW) == 0)
		return -EEXIST;
	return renameat(from_dirfd, from, to_dirfd, to) < 0 ? -errno : 0;
}

int io_rename_exchange(int a_dirfd, const char *a, int b_dirfd, const char *b)
{
	if (renameat2(a_dirfd, a, b_dirfd, b, RENAME_EXCHANGE) == 0)
		return 0;
	return errno == EINVAL || errno == ENOSYS ? -EOPNOTSUPP : -errno;
}

int io_can_exchange(int dirfd)
{
	static const char *const names[] = {".this", ".that"};
	int r = 0;

	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		if (r == 0 && mkdirat(dirfd, names[i], 0700) < 0)
			r = -errno;
	if (r == 0)
		r = io_rename_exchange(dirfd, names[0], dirfd, names[1]);
	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		if (unlinkat(dirfd, names[i], AT_REMOVEDIR) < 0 && r == 0)
			r = -errno;
	return r;
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

/* flock() itself has no time limit, and a library has no signals to end it with. */
int io_lock(int fd, bool exclusive, uint64_t timeout_ms)
{
	uint64_t begin_ns = io_now_ns(), pause_ms = 1;

	for (;;) {
		uint64_t spent;

		if (flock(fd, (exclusive ? LOCK_EX : LOCK_SH) | LOCK_NB) == 0)
			return 0;
		if (errno == EINTR)
			continue;
		if (errno != EWOULDBLOCK)
			return -errno;
		if (timeout_ms == 0)
			return -EWOULDBLOCK;
		spent = (io_now_ns() - begin_ns) / IO_MS;
		if (spent >= timeout_ms)
			return -ETIME;
		pause_ms = min_u64(min_u64(pause_ms * 2, 50), timeout_ms - spent);
		nanosleep(&(struct timespec){.tv_nsec = (long)pause_ms * 1000000}, NULL);
	}
}

int io_locked(int fd, uint64_t timeout_ms)
{
	int r = fd < 0 ? fd : io_lock(fd, true, timeout_ms);

	if (r < 0 && fd >= 0)
		close(fd);
	return r < 0 ? r : fd;
}

void io_unlock_close(int fd)
{
	int saved = errno;

	if (fd < 0)
		return;
	while (flock(fd, LOCK_UN) < 0 && errno == EINTR)
		;
	close(fd);
	errno = saved;
}

int io_is_in_use(int fd)
{
	struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
	int r;

	if (fcntl(fd, F_OFD_GETLK, &lock) < 0)
		return -errno;
	if (lock.l_type != F_UNLCK)
		return 1;
	r = io_lock(fd, true, GLANCE_MS);
	if (r == 0)
		flock(fd, LOCK_UN);
	return r == -ETIME ? 1 : r;
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
