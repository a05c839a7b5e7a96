/* SPDX-License-Identifier: MIT */
/*
 * tree.c - folders
 */
#include "tree.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base.h"
#include "clone.h"

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

int io_dir_up(int *at, struct stat *st)
{
	int up = openat(*at, "..", O_PATH | O_DIRECTORY | O_CLOEXEC);
	struct stat of_up = *st;

	if (up < 0)
		return -errno;
	if (fstat(up, &of_up) == 0 && of_up.st_dev == st->st_dev &&
	    of_up.st_ino == st->st_ino) { /* the root is its own parent */
		close(up);
		return 0;
	}
	close(*at);
	*at = up;
	*st = of_up;
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
