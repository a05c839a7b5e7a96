/* SPDX-License-Identifier: MIT */
/*
 * lock.c - flock() with a time limit, and a look at the locks of others
 */
#include "lock.h"

#include <fcntl.h>
#include <sys/file.h>
#include <time.h>

#include "base.h"
#include "clock.h"

/* A device is locked by udev while that looks what is on it. */
#define GLANCE_MS 1000

/* flock() itself has no time limit, and a library has no signals to end it with. */
int io_lock(int fd, bool exclusive, uint64_t timeout_ms)
{
	uint64_t begin_ns = io_now_ns(), pause_ms = 1;

	for (;;) {
		uint64_t spent;

		if (flock(fd, (exclusive ? LOCK_EX : LOCK_SH) | LOCK_NB) == 0)
			return 0;
		if (errno == EINTR)
			continue;
		if (errno != EWOULDBLOCK)
			return -errno;
		if (timeout_ms == 0)
			return -EWOULDBLOCK;
		spent = (io_now_ns() - begin_ns) / IO_MS;
		if (spent >= timeout_ms)
			return -ETIME;
		pause_ms = min_u64(min_u64(pause_ms * 2, 50), timeout_ms - spent);
		nanosleep(&(struct timespec){.tv_nsec = (long)pause_ms * 1000000}, NULL);
	}
}

int io_locked(int fd, uint64_t timeout_ms)
{
	int r = fd < 0 ? fd : io_lock(fd, true, timeout_ms);

	if (r < 0 && fd >= 0)
		close(fd);
	return r < 0 ? r : fd;
}

void io_unlock_close(int fd)
{
	int saved = errno;

	if (fd < 0)
		return;
	while (flock(fd, LOCK_UN) < 0 && errno == EINTR)
		;
	close(fd);
	errno = saved;
}

int io_is_in_use(int fd)
{
	struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
	int r;

	if (fcntl(fd, F_OFD_GETLK, &lock) < 0)
		return -errno;
	if (lock.l_type != F_UNLCK)
		return 1;
	r = io_lock(fd, true, GLANCE_MS);
	if (r == 0)
		flock(fd, LOCK_UN);
	return r == -ETIME ? 1 : r;
}
