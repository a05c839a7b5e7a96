/* SPDX-License-Identifier: MIT */
/*
 * loopfs.h - a real file system for one test: image, mkfs, loop device, mount
 *
 * Everything lies in test_dir() and is mounted in a mount namespace of the test's own
 * (its threads, and the processes it starts, see it too); the loop device detaches
 * itself with the last mount. So however the test ends, nothing stays behind.
 */
#ifndef TESTS_LOOPFS_H
#define TESTS_LOOPFS_H

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>

struct loopfs {
	char mnt[PATH_MAX]; /* where it is mounted */
	char img[PATH_MAX]; /* the image; "" for tmpfs */
	char loop[32];	    /* "/dev/loop3" */
	bool mounted;
};

/* Why @type ("ext4", "xfs", "btrfs", "tmpfs") cannot be had here; NULL if it can. */
const char *loopfs_skip_reason(const char *type);

/*
 * Makes and mounts a file system. @size 0 is the smallest that mkfs takes: ext4 64 MiB,
 * btrfs 128 MiB, XFS 300 MiB. @mkfs_opts are words for a shell, @mount_opts go to
 * mount(2) as they are; both may be NULL. Ends the test with SKIP where it cannot be
 * done and with FAIL where it should have worked.
 */
void loopfs_mount(struct loopfs *fs, const char *type, uint64_t size,
		  const char *mkfs_opts, const char *mount_opts);

/* Nothing can be written to it any more. Nobody has a file open for writing. */
void loopfs_read_only(const struct loopfs *fs);

/* Unmounts and removes the image. Zeros are fine. A mount that stays busy is a failure:
 * somebody has leaked a file. */
void loopfs_umount(struct loopfs *fs);

#endif
