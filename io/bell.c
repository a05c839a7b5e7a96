/* SPDX-License-Identifier: MIT */
/*
 * bell.c - owning, ringing and watching a bell
 */
#include "bell.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/stat.h>

#include "base.h"

int io_bell_make(int dirfd, const char *name)
{
	return mkfifoat(dirfd, name, 0600) < 0 && errno != EEXIST ? -errno : 0;
}

static int open_bell(int dirfd, const char *name, int flags)
{
	int fd = openat(dirfd, name, flags | O_NONBLOCK | O_CLOEXEC | O_NOFOLLOW);
	struct stat st;

	if (fd < 0)
		return -errno;
	if (fstat(fd, &st) < 0 || !S_ISFIFO(st.st_mode)) {
		close(fd);
		return -EINVAL;
	}
	return fd;
}

int io_bell_own(int dirfd, const char *name)
{
	return open_bell(dirfd, name, O_RDWR);
}

int io_bell_watch(int dirfd, const char *name)
{
	return open_bell(dirfd, name, O_WRONLY);
}

/* Opened for both, so that there is a reader and no SIGPIPE, whoever goes meanwhile. */
void io_bell_ring(int dirfd, const char *name)
{
	int fd = open_bell(dirfd, name, O_RDWR);

	if (fd < 0)
		return;
	while (write(fd, "", 1) < 0 && errno == EINTR) /* full: it was rung already */
		;
	close(fd);
}

bool io_bell_is_ringing(int watched)
{
	int rings = 0;

	return watched >= 0 && ioctl(watched, FIONREAD, &rings) == 0 && rings > 0;
}

bool io_bell_rung(int own)
{
	char rings[64];
	bool rung = false;

	while (read(own, rings, sizeof(rings)) > 0)
		rung = true;
	return rung;
}

bool io_bell_wait(int own, const int *watched, size_t count, int timeout_ms)
{
	struct pollfd fds[1 + IO_BELL_WATCHED] = {{.fd = own, .events = POLLIN}};

	count = min_u64(count, IO_BELL_WATCHED);
	for (size_t i = 0; i < count; i++)
		fds[1 + i] = (struct pollfd){.fd = watched[i]};
	return poll(fds, 1 + count, timeout_ms) != 0;
}
