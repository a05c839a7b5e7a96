/* SPDX-License-Identifier: MIT */
/*
 * ferry.h - one sync of a file system for all threads that wait for one
 *
 * The more of them cross at once, the fewer syncs each of them costs; and a device that
 * syncs does nothing else. So it waits for those who are at work and will want to cross
 * too, but not for long, and less if that was in vain; whoever comes while it is away
 * goes with the next one.
 *
 * A sync of the whole file system also writes what others have left in the page cache.
 * Where that is much the ferry does not leave, for it would be late and in their way.
 */
#ifndef IO_FERRY_H
#define IO_FERRY_H

#include <stdbool.h>
#include <stdint.h>

/* Where the ferries of some file systems leave from: who waits for one of them is not on
 * the way to another. */
struct io_quay;

int io_quay_open(struct io_quay **ret);

void io_quay_close(struct io_quay *quay); /* after its ferries. NULL is fine */

/* The calling thread works on what will want to cross before long; or does so no more.
 * Who crosses without having entered is not waited for. */
void io_quay_enter(struct io_quay *quay);
void io_quay_exit(struct io_quay *quay);

struct io_ferry;

/* For what will be written to the file system of folder @dirfd from now on. -EOPNOTSUPP
 * if it is not one of which is known that syncfs() leaves everything on stable storage
 * and tells of every error. @quay outlives it. */
int io_ferry_open(struct io_ferry **ret, struct io_quay *quay, int dirfd);

void io_ferry_close(struct io_ferry *ferry); /* NULL is fine */

/* Whether what @fd is of lies on its file system. NULL serves nobody. */
bool io_ferry_serves(const struct io_ferry *ferry, int fd);

/* For all that has been written until now. */
uint64_t io_ferry_ticket(struct io_ferry *ferry);

/*
 * Returns when all that was written before @ticket is on stable storage: 0. -EAGAIN: that
 * is not known, and each file has to be synced by itself. It is that for ever after a
 * sync has failed: an error is told to one crossing, whosever file it was, but again to
 * who then syncs this file on a descriptor that was open when it was written.
 */
int io_ferry_cross(struct io_ferry *ferry, uint64_t ticket);

#endif
