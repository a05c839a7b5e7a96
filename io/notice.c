/* SPDX-License-Identifier: MIT */
/*
 * notice.c - inotify and a bell behind one descriptor
 */
#include "notice.h"

#include <poll.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>

#include "base.h"
#include "bell.h"

static int add(const struct io_notice *n, int fd, unsigned events)
{
	struct epoll_event event = {.events = events, .data.fd = fd};

	return epoll_ctl(n->fd, EPOLL_CTL_ADD, fd, &event) < 0 ? -errno : 0;
}

/* Of one that a forked child has too, epoll would go on telling. */
static void drop_bell(struct io_notice *n)
{
	if (n->bell < 0)
		return;
	epoll_ctl(n->fd, EPOLL_CTL_DEL, n->bell, NULL);
	close(n->bell);
}

/* Something that is always ready in place of the bell, which nobody owns. */
static int stand_in(struct io_notice *n)
{
	int bell = eventfd(1, EFD_CLOEXEC);

	if (bell < 0)
		return -errno;
	drop_bell(n);
	n->bell = bell;
	n->gone = true;
	return add(n, bell, EPOLLIN);
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
	n->dirfd = dirfd;
	n->name = name;
	n->bell = io_bell_watch(dirfd, name);
	if (n->bell != -ENXIO && n->bell != -ENOENT)
		return n->bell < 0 ? n->bell : add(n, n->bell, 0);
	return stand_in(n);
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

/* Then there may be another, with a bell of its own. */
static bool has_lost_owner(const struct io_notice *n)
{
	struct pollfd fd = {.fd = n->bell};

	return poll(&fd, 1, 0) > 0 && (fd.revents & POLLERR);
}

void io_notice_take(struct io_notice *n)
{
	char events[4096] __attribute__((aligned(__alignof__(struct inotify_event))));
	int bell;

	while (n->changes >= 0 && read(n->changes, events, sizeof(events)) > 0)
		;
	if (!n->gone && !has_lost_owner(n))
		return;
	bell = io_bell_watch(n->dirfd, n->name);
	if (bell < 0)
		return;
	drop_bell(n);
	n->bell = bell;
	n->gone = false;
	add(n, bell, 0);
}

void io_notice_end(struct io_notice *n)
{
	if (n->fd >= 0 && !n->gone)
		stand_in(n);
}

void io_notice_wait(const struct io_notice *n, int timeout_ms)
{
	struct pollfd fd = {.fd = n->gone ? n->changes : n->fd, .events = POLLIN};

	poll(&fd, 1, timeout_ms);
}
