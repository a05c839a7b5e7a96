/* SPDX-License-Identifier: MIT */
/*
 * notice.h - being told of changes in a folder, and of the end of its bell's owner
 *
 * One descriptor that polls readable: inotify for the files, the bell for the owner,
 * because a file's last close is told before its locks are free.
 */
#ifndef IO_NOTICE_H
#define IO_NOTICE_H

#include <stdbool.h>

struct io_notice {
	int fd; /* to poll; -1 = unopened */
	int changes, bell;
	bool gone; /* the bell has no owner, and .bell is something that is always ready
		    */
	int dirfd;
	const char *name;
};

#define IO_NOTICE_NONE                              \
	{                                           \
		.fd = -1, .changes = -1, .bell = -1 \
	}

/*
 * Watches the files in folder @dirfd, which lies at @path, and its bell @name; both are
 * borrowed. Without an owner the descriptor is readable all the time. 0 or -errno.
 */
int io_notice_open(int dirfd, const char *path, const char *name, struct io_notice *ret);
void io_notice_close(struct io_notice *n); /* unopened is fine */

/* Forgets the changes so far, so that the descriptor is unreadable until the next; looks
 * for a new owner if there was none, or the one there was has gone. */
void io_notice_take(struct io_notice *n);

/* The owner is known to be through with it, though its bell may be held, as by a child
 * that it has forked: readable all the time, as without an owner. */
void io_notice_end(struct io_notice *n);

/* Until something changes or @timeout_ms (-1 = none) is over; that there is no owner is
 * no change. Of one that is unopened only the time. */
void io_notice_wait(const struct io_notice *n, int timeout_ms);

#endif
