/* SPDX-License-Identifier: MIT */
/*
 * open_removed_test.c - nothing is removed while it is open: on NFS it would get another
 * name, and its folder stay
 */
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "harness.h"
#include "stage.h"

static unsigned renamed;

static bool is_open(int dirfd, const char *name)
{
	DIR *dir = opendir("/proc/self/fd");
	struct stat st, open;
	struct dirent *entry;
	bool found = false;

	ASSERT_NE(dir, NULL);
	if (fstatat(dirfd, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(st.st_mode))
		while (!found && (entry = readdir(dir)))
			found = fstat(atoi(entry->d_name), &open) == 0 &&
				entry->d_name[0] != '.' && open.st_dev == st.st_dev &&
				open.st_ino == st.st_ino;
	closedir(dir);
	return found;
}

/* The library's calls come by here: as the client of an NFS server does it. */
int unlinkat(int dirfd, const char *name, int flags)
{
	if (flags || !is_open(dirfd, name))
		return (int)syscall(SYS_unlinkat, dirfd, name, flags);
	renamed++;
	return renameat(dirfd, name, dirfd, fmt(".nfs%04u", renamed));
}

/* Wherever it is stopped. */
TEST(an_export_that_is_discarded)
{
	static const char *const phases[] = {"planning", "copying", "publishing"};
	struct rp_export_options options = stage_copying(RP_IO_AUTO);
	struct rp_error err;
	struct stage s;

	stage_make(&s, test_dir(), 2 * MIB, test_seed());
	for (size_t i = 0; i < ARRAY_SIZE(phases); i++) {
		const struct rp_watch watch = cancel_in(phases[i]);

		options.watch = &watch;
		GIVES(FAILED, stage_export(&s, &options, &err));
		EXPECT_STREQ(listing(s.exports), "", "stopped while %s", phases[i]);
		EXPECT_EQ(system(fmt("rm -rf %s/*", s.exports)), 0);
	}
	stage_close(&s);
}

TEST_MAIN
