/* SPDX-License-Identifier: MIT */
/*
 * lock.h - the lock of a folder or file: taken, waited for, given up, or another's
 */
#ifndef IO_LOCK_H
#define IO_LOCK_H

#include <stdbool.h>
#include <stdint.h>

#include "base.h"

/*
 * flock of a folder or file: exclusive or shared, waiting up to @timeout_ms.
 * 0, -EWOULDBLOCK (held, @timeout_ms 0), -ETIME (held all that time), -errno.
 */
int io_lock(int fd, bool exclusive, uint64_t timeout_ms);

/* Takes over @fd, which may be the -errno of its open: that, locked exclusively, or
 * -errno and it is closed. */
int io_locked(int fd, uint64_t timeout_ms);

/*
 * Gives up the lock of @fd, if it has one, and closes it; < 0 is fine. A close alone
 * would leave the lock to a child that was forked meanwhile, which has the same open
 * file. So has a dup() of @fd: this is for the one that is closed last.
 */
void io_unlock_close(int fd);

#define _cleanup_unlock_ _cleanup_(cleanup_unlock)

static inline void cleanup_unlock(const int *fd)
{
	io_unlock_close(*fd);
}

/* Whether anybody else holds a lock of a part of the file, as QEMU does of its images, or
 * flock()'s, for longer than a moment: 1, 0, or -errno if that cannot be told, as on NFS
 * where @fd is not writable. It has no lock of its own. */
int io_is_in_use(int fd);

#endif
