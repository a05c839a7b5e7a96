/* SPDX-License-Identifier: MIT */
/*
 * io.h - moving bytes: requests, queues, and the table of backends
 *
 *	queue ── kick ──> kernel ── reap ──> done()
 *
 * A request covers a whole range and ends with the whole range moved or one
 * negative errno: short transfers, EINTR, EAGAIN and unaligned tails are dealt
 * with here. Completions are delivered from io_queue_reap() only, each exactly
 * once, so a request's done() has one context and late completions of an aborted
 * batch (H27) cannot be missed: a queue is closed only when it is idle.
 *
 * A queue belongs to one thread.
 */
#ifndef IO_IO_H
#define IO_IO_H

#include <stdint.h>
#include <sys/types.h>

#include "buf.h"
#include "file.h"

enum io_op {
	IO_READ,
	IO_WRITE,
	IO_SYNC, /* fdatasync; covers what was delivered before it was queued */
};

/* Embedded in the caller's own struct; the backend's until it is delivered. */
struct io_req {
	enum io_op op;
	struct io_file *file; /* borrowed until done */
	uint64_t start, len;  /* IO_SYNC: both 0 */
	void *buf;	      /* borrowed until done; from the pool or 4096-aligned */
	int result;	      /* 0 = the whole length, else -errno */
	void (*done)(struct io_req *req);

	/* io's own */
	uint64_t moved;
	struct io_req *next;
};

struct io_queue;

/*
 * Opens a queue on the first backend of @names that works; @names is a NULL
 * terminated list, best first ({"uring", "aio", "sync"}, or just the one that was
 * asked for). @depth requests may be in flight; buffers of @pool (may be NULL,
 * else must outlive the queue) may be registered with the kernel.
 * Returns -errno of the first backend if none works.
 */
int io_queue_open(struct io_queue **ret, const char *const *names, unsigned depth,
		  struct io_pool *pool);

/* Only an idle queue; NULL is fine. */
void io_queue_close(struct io_queue *q);

/* 0, -EAGAIN = full, reap first; waits for no I/O, never calls done(). */
int io_queue_add(struct io_queue *q, struct io_req *req);

/* Hands queued requests to the kernel. 0 or -errno. */
int io_queue_kick(struct io_queue *q);

/*
 * Waits until @min requests are delivered (bounded by what is in flight) or
 * @timeout_ms has passed (-1 = none). Returns the number delivered or -errno; a
 * signal may end the wait early.
 */
int io_queue_reap(struct io_queue *q, unsigned min, int timeout_ms);

unsigned io_queue_in_flight(const struct io_queue *q);
const char *io_queue_backend(const struct io_queue *q); /* "uring", "aio", "sync" */

/* The transfer size to use: what was set, else what the backend is fastest with. */
size_t io_queue_block(const struct io_queue *q);
void io_queue_set_block(struct io_queue *q, size_t block);

/* Why this backend: "first choice" or why the better ones do not work here; and what of
 * it does not, which may show late. */
const char *io_queue_reason(const struct io_queue *q);

#endif
