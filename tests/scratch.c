/* SPDX-License-Identifier: MIT */
/*
 * scratch.c - the folders tests work in
 */
#include <fcntl.h>
#include <ftw.h>
#include <limits.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "harness.h"
#include "scratch.h"

static char run_dir[PATH_MAX + 32];
static char case_dir[PATH_MAX + 64];

/* The store makes files immutable. */
static int make_mutable(const char *path, const struct stat *st, int type,
			struct FTW *ftw)
{
	int flags, fd;

	(void)type;
	(void)ftw;
	if (!S_ISREG(st->st_mode) && !S_ISDIR(st->st_mode))
		return 0;
	fd = open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0)
		return 0;
	if (ioctl(fd, FS_IOC_GETFLAGS, &flags) == 0 && flags & FS_IMMUTABLE_FL) {
		flags &= ~FS_IMMUTABLE_FL;
		ioctl(fd, FS_IOC_SETFLAGS, &flags);
	}
	close(fd);
	return 0;
}

static int remove_entry(const char *path, const struct stat *st, int type,
			struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	if (remove(path) < 0)
		test_log("cannot remove %s: %s", path, strerror(errno));
	return 0;
}

/* Stays on one file system: what is mounted in there is not ours to empty. */
static void remove_tree(const char *path)
{
	if (access(path, F_OK) < 0)
		return;
	if (geteuid() == 0)
		nftw(path, make_mutable, 16, FTW_PHYS | FTW_MOUNT);
	nftw(path, remove_entry, 16, FTW_PHYS | FTW_MOUNT | FTW_DEPTH);
}

bool scratch_open(void)
{
	const char *tmp = getenv("TMPDIR");
	char base[PATH_MAX];

	if (!realpath(tmp && *tmp ? tmp : "/var/tmp", base))
		return false;
	snprintf(run_dir, sizeof(run_dir), "%s/refpoint-test.XXXXXX", base);
	return mkdtemp(run_dir) && chmod(run_dir, 0711) == 0; /* tests may change uid */
}

void scratch_begin(size_t index)
{
	snprintf(case_dir, sizeof(case_dir), "%s/%zu", run_dir, index);
}

const char *test_dir(void)
{
	if (mkdir(case_dir, 0700) < 0 && errno != EEXIST)
		FAIL("mkdir %s: %s", case_dir, strerror(errno));
	return case_dir;
}

void scratch_end(void)
{
	remove_tree(case_dir);
}

void scratch_close(void)
{
	remove_tree(run_dir);
}
