/* SPDX-License-Identifier: MIT */
/*
 * badfs.h - a FUSE file system that shows the contents of another one, and misbehaves
 * on command: reads, writes and syncs that fail, a server-side copy with the faults that
 * real ones have
 *
 * Its server is a process of the test's; orders are obeyed from the moment they are
 * written. Zeros are a file system without faults.
 */
#ifndef TESTS_BADFS_H
#define TESTS_BADFS_H

#include <limits.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "loopfs.h"

struct badfs_orders {
	/* What reads or writes this byte of a file fails with the error. */
	uint64_t read_at, write_at;
	int read_error, write_error;
	int sync_error;	   /* of files; folders are synced ... */
	char unsynced[32]; /* ... but one of this name, which fails with EIO */
	char stuck[64];	   /* what has this name cannot get another: EIO */
	int allocate_error;
	atomic_bool stalls;  /* writes that are not small, until it does no more, ... */
	atomic_bool stalled; /* ... and one has come */

	/* copy_file_range: */
	bool copy_stops;     /* after copy_bytes bytes in all ... */
	uint64_t copy_bytes; /* ... each call */
	int copy_error;	     /* gives this, or 0: "end of file" */
	size_t copy_most;    /* bytes per call; 0 = as asked */

	/* What has happened. */
	uint64_t copied;
	unsigned copy_calls;
};

struct badfs {
	char mnt[PATH_MAX];
	struct badfs_orders *orders; /* shared with the server */
	pid_t server;
	bool mounted;
};

/* Why there is no such file system here; NULL if there is. */
const char *badfs_skip_reason(void);

/* Shows @below in a folder beside its mount point. Ends the test where it fails. */
void badfs_mount(struct badfs *fs, const struct loopfs *below);

/* Waits until the server has ended. Zeros are fine. */
void badfs_umount(struct badfs *fs);

#endif
