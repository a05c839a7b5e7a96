/* SPDX-License-Identifier: MIT */
/*
 * sync.c - the backend over plain calls, made by two threads
 *
 *	queued ── kick ──> todo ── worker ──> ended ── reap
 *
 * It works everywhere. One thread reads while the other writes; more of them
 * gained nothing with requests of some MiB.
 */
#include "backend.h"

#include <pthread.h>

#include "base.h"
#include "clock.h"
#include "thread.h"

#define WORKERS 2

/* First in, first out, linked by req->next. */
struct fifo {
	struct io_req *first, **last;
	unsigned count;
};

struct sync {
	struct fifo queued; /* the queue's own thread only */
	pthread_t workers[WORKERS];
	unsigned worker_count;

	pthread_mutex_t lock; /* of what follows */
	pthread_cond_t more;  /* todo or stop */
	pthread_cond_t ready; /* ended */
	struct fifo todo, ended;
	bool stop;
};

static void fifo_init(struct fifo *f)
{
	*f = (struct fifo){.last = &f->first};
}

static void fifo_put(struct fifo *f, struct io_req *req)
{
	req->next = NULL;
	*f->last = req;
	f->last = &req->next;
	f->count++;
}

static struct io_req *fifo_take(struct fifo *f)
{
	struct io_req *req = f->first;

	if (!req)
		return NULL;
	f->first = req->next;
	if (!f->first)
		f->last = &f->first;
	f->count--;
	return req;
}

/* All of @from behind what is in @to. */
static void fifo_move(struct fifo *to, struct fifo *from)
{
	if (!from->first)
		return;
	*to->last = from->first;
	to->last = from->last;
	to->count += from->count;
	fifo_init(from);
}

static void *work(void *state)
{
	struct sync *s = state;
	struct io_req *req;

	pthread_mutex_lock(&s->lock);
	while (!s->stop) {
		req = fifo_take(&s->todo);
		if (!req) {
			pthread_cond_wait(&s->more, &s->lock);
			continue;
		}
		pthread_mutex_unlock(&s->lock);
		req->result = (int)io_piece_move(req);
		pthread_mutex_lock(&s->lock);
		fifo_put(&s->ended, req);
		pthread_cond_signal(&s->ready);
	}
	pthread_mutex_unlock(&s->lock);
	return NULL;
}

static int start_workers(struct sync *s)
{
	int r = 0;

	while (r == 0 && s->worker_count < WORKERS) {
		r = io_thread_start(&s->workers[s->worker_count], work, s);
		if (r == 0)
			s->worker_count++;
	}
	return r;
}

static void sync_close(struct io_queue *q)
{
	struct sync *s = q->state;

	if (!s)
		return;
	pthread_mutex_lock(&s->lock);
	s->stop = true;
	pthread_cond_broadcast(&s->more);
	pthread_mutex_unlock(&s->lock);
	while (s->worker_count)
		pthread_join(s->workers[--s->worker_count], NULL);
	pthread_cond_destroy(&s->ready);
	pthread_cond_destroy(&s->more);
	pthread_mutex_destroy(&s->lock);
	free(s);
	q->state = NULL;
}

static int sync_open(struct io_queue *q)
{
	struct sync *s = calloc(1, sizeof(*s));
	int r;

	if (!s)
		return -ENOMEM;
	fifo_init(&s->queued);
	fifo_init(&s->todo);
	fifo_init(&s->ended);
	pthread_mutex_init(&s->lock, NULL);
	pthread_cond_init(&s->more, NULL);
	pthread_cond_init(&s->ready, NULL);
	q->state = s;
	r = start_workers(s);
	if (r < 0)
		sync_close(q);
	return r;
}

static int sync_queue(struct io_queue *q, struct io_req *req)
{
	struct sync *s = q->state;

	fifo_put(&s->queued, req);
	return 0;
}

static int sync_kick(struct io_queue *q)
{
	struct sync *s = q->state;

	if (!s->queued.first)
		return 0;
	pthread_mutex_lock(&s->lock);
	fifo_move(&s->todo, &s->queued);
	pthread_cond_broadcast(&s->more);
	pthread_mutex_unlock(&s->lock);
	return 0;
}

static int sync_reap(struct io_queue *q, unsigned min, int timeout_ms)
{
	struct sync *s = q->state;
	uint64_t until = io_now_ns() +
			 (timeout_ms > 0 ? (uint64_t)timeout_ms * IO_MS : 0);
	struct fifo ended;
	struct io_req *req;
	int r = 0;

	sync_kick(q);
	fifo_init(&ended);
	pthread_mutex_lock(&s->lock);
	while (!r && s->ended.count < min)
		r = timeout_ms < 0 ? pthread_cond_wait(&s->ready, &s->lock)
				   : io_wait_until(&s->ready, &s->lock, until);
	fifo_move(&ended, &s->ended);
	pthread_mutex_unlock(&s->lock);
	while ((req = fifo_take(&ended)))
		io_piece_done(q, req, req->result);
	return r ? -ETIME : 0;
}

const struct io_backend io_backend_sync = {
	.name = "sync",
	.block = 4 * MIB,
	.open = sync_open,
	.queue = sync_queue,
	.kick = sync_kick,
	.reap = sync_reap,
	.close = sync_close,
};
