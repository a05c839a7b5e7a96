/* SPDX-License-Identifier: MIT */
/*
 * ground.c - up to the root, looking for what is in a store or an export only
 */
#include "ground.h"

#include <fcntl.h>
#include <stdbool.h>
#include <sys/stat.h>
#include <unistd.h>

#include "io/base.h"
#include "io/tree.h"
#include "journal.h"

/* An export has folders of its own, but none in these. */
#define EXPORT_DEPTH 1

static bool has(int fd, const char *name)
{
	return faccessat(fd, name, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

/* A folder may have the name as well: of a system, in a directory to export to. */
static bool has_file(int fd, const char *name)
{
	struct stat st;

	return fstatat(fd, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(st.st_mode);
}

/* One is not made of a folder by what a command has printed into a file there. */
static bool is_export(int fd)
{
	return has_file(fd, JOURNAL_FILE) ||
	       (has_file(fd, "export.json") && has(fd, "config"));
}

static enum ground ground_at(int fd, unsigned depth)
{
	if (has_file(fd, "store.json") && has(fd, "pending") && has(fd, "systems"))
		return GROUND_STORE;
	return depth <= EXPORT_DEPTH && is_export(fd) ? GROUND_EXPORT : GROUND_FREE;
}

static bool is_known(const struct stat *st, const struct stat *known)
{
	return known && st->st_dev == known->st_dev && st->st_ino == known->st_ino;
}

int ground_of(int fd, const struct stat *known, enum ground *ret)
{
	_cleanup_close_ int at = openat(fd, ".", O_PATH | O_DIRECTORY | O_CLOEXEC);
	struct stat st;
	int r = at < 0 || fstat(at, &st) < 0 ? -errno : 1;

	*ret = GROUND_FREE;
	for (unsigned depth = 0; r == 1 && !is_known(&st, known); depth++) {
		*ret = ground_at(at, depth);
		if (*ret != GROUND_FREE)
			return 0;
		r = io_dir_up(&at, &st);
	}
	return r < 0 ? r : 0;
}
