/* SPDX-License-Identifier: MIT */
/*
 * job_queue.c - entering, taking a turn, leaving
 */
#include "job_queue.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "io/base.h"
#include "io/bell.h"
#include "io/lock.h"
#include "io/tree.h"

/* The entries as they are while the folder is locked: first those that work, then those
 * that wait, in order, as their names sort. */
struct queue {
	int lock;
	char **names;
	size_t count;
};

static bool works(const char *name)
{
	return name[0] == 'r';
}

/* Who waits for it hears nothing meanwhile: no longer than is usual, whatever the caller
 * would wait for a point. */
static int queue_lock(const struct rp_store *store)
{
	return io_locked(io_dir_open(store->queue_fd, "."),
			 min_u64(store->wait_ms, STORE_WAIT_MS));
}

/* Removes those whose owner is gone. */
static void drop_dead(const struct rp_store *store, struct queue *q)
{
	size_t kept = 0;

	for (size_t i = 0; i < q->count; i++) {
		int fd = io_bell_watch(store->queue_fd, q->names[i]);

		if (fd == -ENXIO)
			unlinkat(store->queue_fd, q->names[i], 0);
		if (fd < 0 && !is_shortage(fd)) {
			free(q->names[i]);
			continue;
		}
		if (fd >= 0)
			close(fd);
		q->names[kept++] = q->names[i];
	}
	q->count = kept;
}

static int queue_open(const struct rp_store *store, struct queue *ret)
{
	struct queue q = {.lock = queue_lock(store)};
	int r;

	if (q.lock < 0)
		return q.lock;
	r = io_dir_names(store->queue_fd, &q.names, &q.count);
	if (r < 0) {
		io_unlock_close(q.lock);
		return r;
	}
	drop_dead(store, &q);
	*ret = q;
	return 0;
}

static void queue_close(struct queue *q)
{
	io_names_free(q->names, q->count);
	io_unlock_close(q->lock);
}

/* The first entry at or after @from that waits; count if there is none. */
static size_t next_waiting(const struct queue *q, size_t from)
{
	while (from < q->count && works(q->names[from]))
		from++;
	return from;
}

static void ring(const struct rp_store *store, const struct queue *q, size_t at)
{
	const char *id = at < q->count ? strrchr(q->names[at], '.') : NULL;
	char bell[ID_SIZE + sizeof("/" JOB_BELL)];

	if (!id || !id_valid(++id))
		return;
	snprintf(bell, sizeof(bell), "%s/" JOB_BELL, id);
	io_bell_ring(store->active_fd, bell);
}

static void drop_entry(struct job *job)
{
	unlinkat(job->store->queue_fd, job->entry, 0);
	job->entry[0] = '\0';
	if (job->place >= 0)
		close(take_fd(&job->place));
}

int job_queue_enter(struct job *job)
{
	struct timespec now;
	int lock, r;

	clock_gettime(CLOCK_REALTIME, &now);
	lock = queue_lock(job->store);
	if (lock < 0)
		return lock;
	snprintf(job->entry, sizeof(job->entry), "w.%02u.%011lld%09ld.%s", job->priority,
		 (long long)now.tv_sec, now.tv_nsec, job->id);
	r = io_bell_make(job->store->queue_fd, job->entry);
	if (r == 0)
		r = job->place = io_bell_own(job->store->queue_fd, job->entry);
	if (r < 0)
		drop_entry(job);
	io_unlock_close(lock);
	return r < 0 ? r : 0;
}

/* All that work, if @self is the first that waits; else the one before it. None if one of
 * them cannot be: it has died just now, or there is no descriptor for it. */
static size_t watch_others(const struct rp_store *store, const struct queue *q,
			   size_t self, int ret_watched[IO_BELL_WATCHED])
{
	size_t from = self == next_waiting(q, 0) ? 0 : self - 1, count = 0;

	for (size_t i = from; i < self && count < IO_BELL_WATCHED; i++) {
		int fd = io_bell_watch(store->queue_fd, q->names[i]);

		if (fd < 0) {
			while (count)
				close(ret_watched[--count]);
			break;
		}
		ret_watched[count++] = fd;
	}
	return count;
}

static int take_turn(struct job *job)
{
	char name[sizeof(job->entry)];

	memcpy(name, job->entry, sizeof(name));
	name[0] = 'r';
	if (renameat(job->store->queue_fd, job->entry, job->store->queue_fd, name) < 0)
		return -errno;
	memcpy(job->entry, name, sizeof(name));
	return 1;
}

int job_queue_turn(struct job *job, int ret_watched[IO_BELL_WATCHED], size_t *ret_count)
{
	struct queue q;
	size_t self, first;
	int r = queue_open(job->store, &q);

	*ret_count = 0;
	if (r < 0)
		return r;
	first = next_waiting(&q, 0);
	for (self = first; self < q.count && strcmp(q.names[self], job->entry); self++)
		;
	if (self == q.count) {
		r = -ENOENT; /* somebody has cleaned up too much */
	} else if (self == first && first < job->store->job_limit) {
		r = take_turn(job);
		ring(job->store, &q, self + 1); /* it is the first now */
	} else {
		*ret_count = watch_others(job->store, &q, self, ret_watched);
	}
	queue_close(&q);
	return r;
}

void job_queue_leave(struct job *job)
{
	struct queue q;
	size_t self;

	if (!job->entry[0])
		return;
	/* Without the lock the others are woken a little too often, or by our end. */
	if (queue_open(job->store, &q) < 0) {
		drop_entry(job);
		return;
	}
	for (self = 0; self < q.count && strcmp(q.names[self], job->entry); self++)
		;
	drop_entry(job);
	if (next_waiting(&q, 0) != self)
		ring(job->store, &q, next_waiting(&q, 0));
	ring(job->store, &q, self + 1);
	queue_close(&q);
}
