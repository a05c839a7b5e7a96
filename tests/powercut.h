/* SPDX-License-Identifier: MIT */
/*
 * powercut.h - a file system whose power goes: it lies in an image, which is cloned at
 * random instants, and a clone mounted elsewhere is what the device had then
 */
#ifndef TESTS_POWERCUT_H
#define TESTS_POWERCUT_H

#include <limits.h>
#include <stdint.h>
#include <sys/types.h>

#include "loopfs.h"

/* A file system to have power cuts on. XFS does not mount what has a UUID it knows. */
struct powercut_kind {
	const char *type, *size, *mkfs, *mount;
};

#define POWERCUT_XFS(mib)                                               \
	{                                                               \
		.type = "xfs", .size = #mib "M", .mkfs = "mkfs.xfs -q", \
		.mount = "loop,nouuid",                                 \
	}
#define POWERCUT_EXT4(mib)                                                   \
	{                                                                    \
		.type = "ext4", .size = #mib "M", .mkfs = "mkfs.ext4 -q -F", \
		.mount = "loop",                                             \
	}
#define POWERCUT_BTRFS(mib)                                                 \
	{                                                                   \
		.type = "btrfs", .size = #mib "M", .mkfs = "mkfs.btrfs -q", \
		.mount = "loop",                                            \
	}

/*
 *	host/image	the file system, mounted at mnt or not
 *	host/cutN	what its device had at cut N
 */
struct powercut {
	struct loopfs host;
	const struct powercut_kind *kind;
	uint64_t random;
	char image[PATH_MAX / 2], mnt[PATH_MAX / 4];
	bool mounted;
	unsigned within_ms; /* cuts come; a little longer than what they come in takes */
};

/* Skips the test if there is no such file system; @host_size is of what holds the image
 * and its clones. Cuts are to come within @within_ms at first. */
void powercut_make(struct powercut *p, const struct powercut_kind *kind,
		   uint64_t host_size, unsigned within_ms);
void powercut_destroy(struct powercut *p);

void powercut_mount(struct powercut *p); /* the file system itself */
void powercut_unmount(struct powercut *p);

/* Cuts 0 to @count - 1, at random instants while process @pid runs or has just ended,
 * which must have worked. */
void powercut_take(struct powercut *p, unsigned count, pid_t pid);

/* Mounts what cut @number has left; it is gone with powercut_drop(). */
void powercut_look(struct powercut *p, unsigned number);
void powercut_drop(struct powercut *p, unsigned number);

#endif
