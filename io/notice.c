/* SPDX-License-Identifier: MIT */
/*
 * notice.c - inotify and a bell behind one descriptor
 */
#include "notice.h"

#include <poll.h>
#include <sys/epoll.h>
#include <sys/inotify.h>

#include "base.h"
#include "bell.h"

static int add(const struct io_notice *n, int fd, unsigned events)
{
	struct epoll_event event = {.events = events, .data.fd = fd};

	return epoll_ctl(n->fd, EPOLL_CTL_ADD, fd, &event) < 0 ? -errno : 0;
}

static int open_notice(struct io_notice *n, int dirfd, const char *path, const char *name)
{
	int r;

	n->fd = epoll_create1(EPOLL_CLOEXEC);
	if (n->fd < 0)
		return -errno;
	n->changes = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
	if (n->changes < 0 ||
	    inotify_add_watch(n->changes, path,
			      IN_MODIFY | IN_MOVED_TO | IN_CLOSE_WRITE | IN_MOVE_SELF |
				      IN_DELETE_SELF) < 0)
		return -errno;
	r = add(n, n->changes, EPOLLIN);
	if (r < 0)
		return r;
	n->bell = io_bell_watch(dirfd, name);
	if (n->bell == -ENXIO || n->bell == -ENOENT) /* nobody has it */
		return 0;
	return n->bell < 0 ? n->bell : add(n, n->bell, 0);
}

int io_notice_open(int dirfd, const char *path, const char *name, struct io_notice *ret)
{
	struct io_notice n = IO_NOTICE_NONE;
	int r = open_notice(&n, dirfd, path, name);

	if (r < 0)
		io_notice_close(&n);
	else
		*ret = n;
	return r;
}

void io_notice_close(struct io_notice *n)
{
	int fds[] = {n->fd, n->changes, n->bell};

	for (size_t i = 0; i < ARRAY_SIZE(fds); i++)
		if (fds[i] >= 0)
			close(fds[i]);
	*n = (struct io_notice)IO_NOTICE_NONE;
}

void io_notice_take(struct io_notice *n)
{
	char events[4096] __attribute__((aligned(__alignof__(struct inotify_event))));

	while (n->changes >= 0 && read(n->changes, events, sizeof(events)) > 0)
		;
}

void io_notice_wait(const struct io_notice *n, int timeout_ms)
{
	struct pollfd fd = {.fd = n->fd, .events = POLLIN};

	poll(&fd, 1, timeout_ms);
}
