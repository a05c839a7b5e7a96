/* SPDX-License-Identifier: MIT */
/*
 * ferry.c - syncfs() for many threads
 */
#include "ferry.h"

#include <pthread.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/utsname.h>

#include "base.h"
#include "clock.h"
#include "dirty.h"
#include "fs.h"
#include "small_file.h"
#include "tree.h"

/* Of the page cache, whosever it is: some tenths of a second. */
#define OTHERS_MAX (256 * MIB)

/* How long it waits for others: as long as a device takes to sync what they move in that
 * time, but no longer than pays. It is halved if nobody came, and doubled if somebody
 * did. */
#define PATIENCE_NS	  (500 * IO_MS)
#define PATIENCE_LEAST_NS (4 * IO_MS)

struct io_quay {
	pthread_mutex_t lock; /* of all its ferries, too */
	unsigned inside;
	unsigned waiting; /* for any ferry, or on one */
	struct io_ferry *ferries;
};

struct io_ferry {
	struct io_quay *quay;
	struct io_ferry *next; /* of the quay */
	int fd; /* opened before anything is written: errors since then are told */
	int file;
	/* With the quay's lock. Those of every second crossing, so that none wakes those
	 * of the next one: more than two cannot be waited for. */
	pthread_cond_t back[2];
	unsigned aboard[2];
	uint64_t leaves_ns; /* at the latest, if somebody is aboard; 0 = now */
	uint64_t patience_ns;
	unsigned met; /* were aboard when it began to wait */
	bool away, sunk;
	uint64_t left;	/* crossings that have begun */
	uint64_t good;	/* the last one that has ended well */
	uint64_t empty; /* the last one that was not made */
};

/* ------------------------------------------------------------------------ quay */

int io_quay_open(struct io_quay **ret)
{
	struct io_quay *quay = calloc(1, sizeof(*quay));

	if (!quay)
		return -ENOMEM;
	pthread_mutex_init(&quay->lock, NULL);
	*ret = quay;
	return 0;
}

void io_quay_close(struct io_quay *quay)
{
	if (!quay)
		return;
	pthread_mutex_destroy(&quay->lock);
	free(quay);
}

/* With the lock. */
static bool all_wait(const struct io_quay *quay)
{
	return quay->waiting >= quay->inside;
}

/* With the lock, when all wait: each ferry leaves that is not away. */
static void call_out(const struct io_quay *quay)
{
	for (struct io_ferry *f = quay->ferries; f; f = f->next)
		if (!f->away) {
			f->leaves_ns = 0;
			pthread_cond_signal(&f->back[(f->left + 1) % 2]);
		}
}

void io_quay_enter(struct io_quay *quay)
{
	pthread_mutex_lock(&quay->lock);
	quay->inside++;
	pthread_mutex_unlock(&quay->lock);
}

void io_quay_exit(struct io_quay *quay)
{
	pthread_mutex_lock(&quay->lock);
	quay->inside--;
	if (all_wait(quay))
		call_out(quay);
	pthread_mutex_unlock(&quay->lock);
}

/* ----------------------------------------------------------------------- ferry */

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
	struct io_xfs xfs;

	if (!tells_errors())
		return false;
	/* FUSE does nothing; data of Btrfs goes by the page cache, so that its errors are
	 * known late; and what network file systems do is not known. */
	return io_fs_is(dirfd, EXT4_SUPER_MAGIC) ||
	       (io_xfs_of(dirfd, &xfs) == 0 && !xfs.realtime);
}

int io_ferry_open(struct io_ferry **ret, struct io_quay *quay, int dirfd)
{
	struct io_ferry *f;

	if (!can_sync(dirfd))
		return -EOPNOTSUPP;
	f = calloc(1, sizeof(*f));
	if (!f)
		return -ENOMEM;
	f->quay = quay;
	f->patience_ns = PATIENCE_NS;
	for (size_t i = 0; i < ARRAY_SIZE(f->back); i++)
		pthread_cond_init(&f->back[i], NULL);
	pthread_mutex_lock(&quay->lock);
	f->next = quay->ferries;
	quay->ferries = f;
	pthread_mutex_unlock(&quay->lock);
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
	struct io_ferry **at = &f->quay->ferries;

	pthread_mutex_lock(&f->quay->lock);
	while (*at != f)
		at = &(*at)->next;
	*at = f->next;
	pthread_mutex_unlock(&f->quay->lock);
	for (size_t i = 0; i < ARRAY_SIZE(fds); i++)
		if (fds[i] >= 0)
			close(fds[i]);
	for (size_t i = 0; i < ARRAY_SIZE(f->back); i++)
		pthread_cond_destroy(&f->back[i]);
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

/* With the lock. */
static bool has_crossed(const struct io_ferry *f, uint64_t ticket)
{
	return f->good >= ticket || f->empty >= ticket;
}

/* With the lock, which is given up meanwhile. */
static void make_crossing(struct io_ferry *f)
{
	uint64_t number = ++f->left;
	unsigned here = number % 2, next = (number + 1) % 2;
	bool paid = !f->leaves_ns || f->aboard[here] > f->met;
	int r;

	f->away = true;
	pthread_mutex_unlock(&f->quay->lock);
	r = sync_all(f);
	pthread_mutex_lock(&f->quay->lock);
	f->away = false;
	if (r == 0)
		f->good = number;
	else
		f->empty = number;
	f->sunk |= r == -EIO;
	/* Whether they run already or not, they do not wait any more. */
	f->quay->waiting -= f->aboard[here];
	f->aboard[here] = 0;
	if (paid && r == 0)
		f->patience_ns = min_u64(2 * f->patience_ns, PATIENCE_NS);
	else
		f->patience_ns = max_u64(f->patience_ns / 2, PATIENCE_LEAST_NS);
	f->leaves_ns = all_wait(f->quay) ? 0 : io_now_ns() + f->patience_ns;
	f->met = f->aboard[next];
	pthread_cond_broadcast(&f->back[here]);
	if (f->sunk)
		pthread_cond_broadcast(&f->back[next]);
	else /* it sees to the next one, of which the others hear at its end */
		pthread_cond_signal(&f->back[next]);
}

/* With the lock, which is given up meanwhile: aboard until the crossing of @ticket is
 * over, or there will be none. */
static void travel(struct io_ferry *f, uint64_t ticket)
{
	pthread_cond_t *back = &f->back[ticket % 2];

	while (!has_crossed(f, ticket) && !f->sunk) {
		if (f->away)
			pthread_cond_wait(back, &f->quay->lock);
		else if (io_now_ns() >= f->leaves_ns)
			make_crossing(f);
		else
			io_wait_until(back, &f->quay->lock, f->leaves_ns);
	}
}

uint64_t io_ferry_ticket(struct io_ferry *f)
{
	uint64_t ticket;

	pthread_mutex_lock(&f->quay->lock);
	ticket = f->left + 1;
	pthread_mutex_unlock(&f->quay->lock);
	return ticket;
}

/* With the lock. */
static void board(struct io_ferry *f, uint64_t ticket)
{
	unsigned *aboard = &f->aboard[ticket % 2];

	if (!(*aboard)++ && !f->away) {
		f->leaves_ns = io_now_ns() + f->patience_ns;
		f->met = 1;
	}
	f->quay->waiting++;
	if (all_wait(f->quay))
		call_out(f->quay);
	travel(f, ticket);
	if (!has_crossed(f, ticket)) {
		(*aboard)--;
		f->quay->waiting--;
	}
}

int io_ferry_cross(struct io_ferry *f, uint64_t ticket)
{
	int r;

	pthread_mutex_lock(&f->quay->lock);
	if (!has_crossed(f, ticket) && !f->sunk)
		board(f, ticket);
	r = f->good >= ticket ? 0 : -EAGAIN;
	pthread_mutex_unlock(&f->quay->lock);
	return r;
}
