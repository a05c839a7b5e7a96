/* SPDX-License-Identifier: MIT */
/*
 * aio.c - the backend over Linux native AIO
 *
 * What io_submit() refuses is delivered by reap() like everything else. -EAGAIN is
 * the queue's word for "do this one with a plain call", which is what becomes of
 * a sync where there is no IO_CMD_FDSYNC, and of the first piece when the kernel
 * takes none at all.
 */
#include "backend.h"

#include <libaio.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base.h"

/* All arrays have q->depth elements. */
struct aio {
	io_context_t ctx;
	unsigned in_kernel;
	struct iocb *slots;
	struct iocb **free; /* a stack */
	unsigned free_count;
	struct iocb **queued; /* oldest first */
	unsigned queued_count;
	struct io_req **refused; /* req->result says why */
	unsigned refused_count;
	struct io_event *events;
};

static void aio_free(struct aio *a)
{
	free(a->slots);
	free(a->free);
	free(a->queued);
	free(a->refused);
	free(a->events);
	free(a);
}

static struct aio *aio_new(unsigned depth)
{
	struct aio *a = calloc(1, sizeof(*a));

	if (!a)
		return NULL;
	a->slots = calloc(depth, sizeof(*a->slots));
	a->free = calloc(depth, sizeof(*a->free));
	a->queued = calloc(depth, sizeof(*a->queued));
	a->refused = calloc(depth, sizeof(*a->refused));
	a->events = calloc(depth, sizeof(*a->events));
	if (!a->slots || !a->free || !a->queued || !a->refused || !a->events) {
		aio_free(a);
		return NULL;
	}
	while (a->free_count < depth) {
		a->free[a->free_count] = &a->slots[a->free_count];
		a->free_count++;
	}
	return a;
}

/* A filter may allow the setup and not the use: nothing could be drained then. To reap
 * without a wait would ask nobody: libaio looks for itself. */
static int try_use(struct io_queue *q, struct aio *a)
{
	struct timespec moment = {.tv_nsec = 1};
	const char *call = "io_submit";
	int r = io_submit(a->ctx, 0, NULL);

	if (r >= 0) {
		call = "io_getevents";
		do
			r = io_getevents(a->ctx, 0, 1, a->events, &moment);
		while (r == -EINTR);
	}
	if (r < 0)
		snprintf(q->note, sizeof(q->note), "%s: %s", call, strerrordesc_np(-r));
	return r;
}

static int aio_open(struct io_queue *q)
{
	struct aio *a = aio_new(q->depth);
	int r;

	if (!a)
		return -ENOMEM;
	r = io_setup((int)q->depth, &a->ctx);
	if (r < 0) {
		snprintf(q->note, sizeof(q->note), "io_setup: %s%s", strerrordesc_np(-r),
			 r == -EAGAIN ? " (fs.aio-max-nr)" : "");
		aio_free(a);
		return r;
	}
	r = try_use(q, a);
	if (r < 0) {
		io_destroy(a->ctx);
		aio_free(a);
		return r;
	}
	q->state = a;
	return 0;
}

static void aio_close(struct io_queue *q)
{
	struct aio *a = q->state;

	if (!a)
		return;
	io_destroy(a->ctx);
	aio_free(a);
}

static int aio_queue(struct io_queue *q, struct io_req *req)
{
	struct aio *a = q->state;
	struct iocb *cb = a->free[--a->free_count];
	struct io_piece p;

	io_req_piece(req, &p);
	switch (req->op) {
	case IO_READ:
		io_prep_pread(cb, p.fd, p.buf, p.len, (long long)p.start);
		break;
	case IO_WRITE:
		io_prep_pwrite(cb, p.fd, p.buf, p.len, (long long)p.start);
		break;
	case IO_SYNC:
		io_prep_fdsync(cb, p.fd);
		break;
	}
	cb->data = req;
	a->queued[a->queued_count++] = cb;
	return 0;
}

static void drop_queued(struct aio *a, unsigned count)
{
	a->queued_count -= count;
	memmove(a->queued, a->queued + count, a->queued_count * sizeof(*a->queued));
}

/* The kernel does not take the oldest one. */
static void refuse(struct aio *a, int error)
{
	struct iocb *cb = a->queued[0];
	struct io_req *req = cb->data;

	drop_queued(a, 1);
	a->free[a->free_count++] = cb;
	req->result = req->op == IO_SYNC && error == -EINVAL ? -EAGAIN : error;
	a->refused[a->refused_count++] = req;
}

static int aio_kick(struct io_queue *q)
{
	struct aio *a = q->state;

	while (a->queued_count) {
		int r = io_submit(a->ctx, a->queued_count, a->queued);

		if (r > 0) {
			a->in_kernel += (unsigned)r;
			drop_queued(a, (unsigned)r);
		} else if (r == -EAGAIN && a->in_kernel) {
			break; /* there is room after the next reap */
		} else {
			refuse(a, r);
		}
	}
	return 0;
}

static unsigned take_refused(struct io_queue *q, struct aio *a)
{
	unsigned count = a->refused_count;

	for (unsigned i = 0; i < count; i++)
		io_piece_done(q, a->refused[i], a->refused[i]->result);
	a->refused_count = 0;
	return count;
}

static int take_events(struct io_queue *q, struct aio *a, unsigned min, int timeout_ms)
{
	struct timespec timeout = {
		.tv_sec = timeout_ms / 1000,
		.tv_nsec = timeout_ms % 1000 * 1000000L,
	};
	int count = io_getevents(a->ctx, min, a->in_kernel, a->events,
				 timeout_ms < 0 ? NULL : &timeout);

	for (int i = 0; i < count; i++) {
		const struct io_event *event = &a->events[i];

		a->in_kernel--;
		a->free[a->free_count++] = event->obj;
		io_piece_done(q, event->data, (ssize_t)event->res);
	}
	if (count < 0)
		return count;
	return (unsigned)count < min ? -ETIME : 0;
}

static int aio_reap(struct io_queue *q, unsigned min, int timeout_ms)
{
	struct aio *a = q->state;

	aio_kick(q);
	if (take_refused(q, a))
		min = 0; /* these may have left pieces to kick: do not wait now */
	if (!a->in_kernel)
		return 0;
	return take_events(q, a, (unsigned)min_u64(min, a->in_kernel), timeout_ms);
}

const struct io_backend io_backend_aio = {
	.name = "aio",
	.block = MIB,
	.open = aio_open,
	.queue = aio_queue,
	.kick = aio_kick,
	.reap = aio_reap,
	.close = aio_close,
};
