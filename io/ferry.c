/* SPDX-License-Identifier: MIT */
/*
 * ferry.c - syncfs() for many threads
 */
#include "ferry.h"

#include <linux/magic.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <sys/vfs.h>

#include "base.h"
#include "dirty.h"
#include "fs.h"
#include "tree.h"

/* Of the page cache, whosever it is: some tenths of a second. */
#define OTHERS_MAX (256 * MIB)

struct io_ferry {
	int fd; /* opened before anything is written: errors since then are told */
	int file;
	pthread_mutex_t lock; /* of what follows */
	/* Those of every second crossing, so that none wakes those of the next one: more
	 * than two cannot be waited for. */
	pthread_cond_t back[2];
	bool away, sunk;
	uint64_t left;	/* crossings that have begun */
	uint64_t good;	/* the last one that has ended well */
	uint64_t empty; /* the last one that was not made */
};

/* Before 5.8 syncfs() says nothing of pages that could not be written. */
static bool tells_errors(void)
{
	struct utsname kernel;
	unsigned major, minor;

	return uname(&kernel) == 0 &&
	       sscanf(kernel.release, "%u.%u", &major, &minor) == 2 &&
	       (major > 5 || (major == 5 && minor >= 8));
}

static bool can_sync(int dirfd)
{
	struct statfs vfs;
	struct io_xfs xfs;

	if (!tells_errors() || fstatfs(dirfd, &vfs) < 0)
		return false;
	/* FUSE does nothing; data of Btrfs goes by the page cache, so that its errors are
	 * known late; and what network file systems do is not known. */
	return vfs.f_type == EXT4_SUPER_MAGIC ||
	       (io_xfs_of(dirfd, &xfs) == 0 && !xfs.realtime);
}

int io_ferry_open(struct io_ferry **ret, int dirfd)
{
	struct io_ferry *f;

	if (!can_sync(dirfd))
		return -EOPNOTSUPP;
	f = calloc(1, sizeof(*f));
	if (!f)
		return -ENOMEM;
	pthread_mutex_init(&f->lock, NULL);
	for (size_t i = 0; i < ARRAY_SIZE(f->back); i++)
		pthread_cond_init(&f->back[i], NULL);
	f->fd = io_dir_open(dirfd, ".");
	f->file = io_unnamed_file(dirfd);
	if (f->fd < 0 || f->file < 0) {
		io_ferry_close(f);
		return -EOPNOTSUPP;
	}
	*ret = f;
	return 0;
}

bool io_ferry_serves(const struct io_ferry *f, int fd)
{
	struct stat ours, theirs;

	return f && fstat(f->fd, &ours) == 0 && fstat(fd, &theirs) == 0 &&
	       ours.st_dev == theirs.st_dev;
}

void io_ferry_close(struct io_ferry *f)
{
	if (!f)
		return;
	int fds[] = {f->fd, f->file};

	for (size_t i = 0; i < ARRAY_SIZE(fds); i++)
		if (fds[i] >= 0)
			close(fds[i]);
	for (size_t i = 0; i < ARRAY_SIZE(f->back); i++)
		pthread_cond_destroy(&f->back[i]);
	pthread_mutex_destroy(&f->lock);
	free(f);
}

/*
 * syncfs() of XFS does not flush the device if its log is empty, though blocks may have
 * been written again that it had before; that of ext4 without a journal flushes too
 * early. The sync of a file does it last, and in any case.
 */
static int sync_all(const struct io_ferry *f)
{
	if (io_dirty_bytes() > OTHERS_MAX)
		return -EBUSY;
	if (syncfs(f->fd) < 0 || fdatasync(f->file) < 0)
		return -EIO;
	return 0;
}

/* With the lock, which is given up meanwhile. */
static void make_crossing(struct io_ferry *f)
{
	uint64_t number = ++f->left;
	int r;

	f->away = true;
	pthread_mutex_unlock(&f->lock);
	r = sync_all(f);
	pthread_mutex_lock(&f->lock);
	f->away = false;
	if (r == 0)
		f->good = number;
	else
		f->empty = number;
	f->sunk |= r == -EIO;
	pthread_cond_broadcast(&f->back[number % 2]);
	if (f->sunk)
		pthread_cond_broadcast(&f->back[(number + 1) % 2]);
	else /* it makes the next one, of which the others hear at its end */
		pthread_cond_signal(&f->back[(number + 1) % 2]);
}

uint64_t io_ferry_ticket(struct io_ferry *f)
{
	uint64_t ticket;

	pthread_mutex_lock(&f->lock);
	ticket = f->left + 1;
	pthread_mutex_unlock(&f->lock);
	return ticket;
}

int io_ferry_cross(struct io_ferry *f, uint64_t ticket)
{
	int r;

	pthread_mutex_lock(&f->lock);
	while (f->good < ticket && f->empty < ticket && !f->sunk) {
		if (f->away)
			pthread_cond_wait(&f->back[ticket % 2], &f->lock);
		else
			make_crossing(f);
	}
	r = f->good >= ticket ? 0 : -EAGAIN;
	pthread_mutex_unlock(&f->lock);
	return r;
}
