/* SPDX-License-Identifier: MIT */
/*
 * ferry.h - one sync of a file system for all threads that wait for one
 *
 * It leaves as soon as somebody wants to cross, with those who are there; whoever comes
 * meanwhile goes with the next one. So nobody waits for longer than two crossings, and
 * the more they are, the fewer syncs each of them costs.
 *
 * A sync of the whole file system also writes what others have left in the page cache.
 * Where that is much the ferry does not leave, for it would be late and in their way.
 */
#ifndef IO_FERRY_H
#define IO_FERRY_H

#include <stdbool.h>
#include <stdint.h>

struct io_ferry;

/* For what will be written to the file system of folder @dirfd from now on. -EOPNOTSUPP
 * if it is not one of which is known that syncfs() leaves everything on stable storage
 * and tells of every error. */
int io_ferry_open(struct io_ferry **ret, int dirfd);

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
