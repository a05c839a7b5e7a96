/* SPDX-License-Identifier: MIT */
/*
 * uring.c - the backend over io_uring
 *
 * Completions are taken by the thread that submits, when it asks for them
 * (DEFER_TASKRUN): one system call submits a batch and waits for the last one.
 * Buffers of the pool are registered, so their pages are looked up once; each when it is
 * first used, as the pages of all of them together can cost as much as a short export.
 */
#include "backend.h"

#include <assert.h>
#include <liburing.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base.h"

#define QUIET_MS   50 /* nothing came back for so long: something may be lost */
#define MAX_NUDGES 16 /* a device that is slow needs no more of them */

struct uring {
	struct io_uring ring;
	int quiet_ms;	 /* how long was waited for nothing */
	unsigned nudges; /* that have not come back */
	char *area;	 /* the pool's; NULL if nothing of it is to be registered */
	size_t count;
	bool registered[]; /* which of its pages the kernel knows, by their number */
};

static int ring_open(struct io_uring *ring, unsigned depth, bool *ret_deferred)
{
	struct io_uring_params params = {
		.flags = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN,
	};
	int r = io_uring_queue_init_params(depth, ring, &params);

	*ret_deferred = r != -EINVAL;
	if (r == -EINVAL) { /* before Linux 6.1 */
		params = (struct io_uring_params){0};
		r = io_uring_queue_init_params(depth, ring, &params);
	}
	if (r < 0)
		return r;
	/* Waiting with a timeout would take up entries of the ring without it. */
	if (!(params.features & IORING_FEAT_EXT_ARG)) {
		io_uring_queue_exit(ring);
		return -ENOSYS;
	}
	return 0;
}

/* What is behind an error that says little by itself. */
static const char *hint(int error)
{
	switch (error) {
	case -EPERM:
		return " (seccomp or kernel.io_uring_disabled)";
	case -ENOMEM:
		return " (RLIMIT_MEMLOCK)";
	default:
		return "";
	}
}

static void do_without(struct io_queue *q, struct uring *u, int error)
{
	u->area = NULL;
	io_queue_remark(q, "buffers not registered: %s%s", strerrordesc_np(-error),
			hint(error));
}

/* Its pages are had and locked now. */
static int register_buffer(struct io_queue *q, struct uring *u, size_t index)
{
	struct iovec iov = {.iov_base = u->area + index * IO_POOL_PAGE,
			    .iov_len = IO_POOL_PAGE};
	int r = io_uring_register_buffers_update_tag(&u->ring, (unsigned)index, &iov,
						     NULL, 1);

	u->registered[index] = r >= 0;
	if (r < 0)
		do_without(q, u, r);
	return r;
}

/* The first one shows whether it can be done. */
static void register_pool(struct io_queue *q, struct uring *u)
{
	int r = io_uring_register_buffers_sparse(&u->ring, (unsigned)u->count);

	if (r < 0) /* before Linux 5.19 */
		do_without(q, u, r);
	else
		register_buffer(q, u, 0);
}

/* A filter may allow the setup and not the use: nothing could be drained then. */
static int try_ring(struct io_uring *ring)
{
	struct io_uring_cqe *cqe;
	int r;

	io_uring_prep_nop(io_uring_get_sqe(ring));
	r = io_uring_submit_and_wait(ring, 1);
	if (r < 0)
		return r;
	r = io_uring_peek_cqe(ring, &cqe);
	if (r == 0)
		io_uring_cqe_seen(ring, cqe);
	return r;
}

static int refuse(struct io_queue *q, const char *call, int error)
{
	snprintf(q->note, sizeof(q->note), "%s: %s%s", call, strerrordesc_np(-error),
		 hint(error));
	return error;
}

static int uring_open(struct io_queue *q)
{
	_cleanup_free_ struct uring *u = NULL;
	size_t size = 0;
	char *area = q->pool ? io_pool_area(q->pool, &size) : NULL;
	bool deferred;
	int r;

	u = calloc(1, sizeof(*u) + size / IO_POOL_PAGE * sizeof(u->registered[0]));
	if (!u)
		return -ENOMEM;
	u->area = area;
	u->count = size / IO_POOL_PAGE;
	r = ring_open(&u->ring, q->depth + 1, &deferred); /* a nudge's room */
	if (r < 0)
		return refuse(q, "io_uring_setup", r);
	r = try_ring(&u->ring);
	if (r < 0) {
		io_uring_queue_exit(&u->ring);
		return refuse(q, "io_uring_enter", r);
	}
	if (!deferred)
		io_queue_remark(q, "without DEFER_TASKRUN");
	if (area)
		register_pool(q, u);
	q->state = take_ptr(u);
	return 0;
}

static void uring_close(struct io_queue *q)
{
	struct uring *u = q->state;

	if (!u)
		return;
	io_uring_queue_exit(&u->ring);
	free(u);
}

/* Whether the piece lies in one registered buffer, and in which. */
static bool find_buffer(struct io_queue *q, struct uring *u, const struct io_piece *p,
			unsigned *ret)
{
	size_t at = (uintptr_t)p->buf - (uintptr_t)u->area, index = at / IO_POOL_PAGE;

	if (!u->area || index >= u->count || (at + p->len - 1) / IO_POOL_PAGE != index)
		return false;
	if (!u->registered[index]) {
		/* It takes milliseconds where memory is cold; the others go first. */
		io_uring_submit(&u->ring);
		if (register_buffer(q, u, index) < 0)
			return false;
	}
	*ret = (unsigned)index;
	return true;
}

static int uring_queue(struct io_queue *q, struct io_req *req)
{
	struct uring *u = q->state;
	struct io_uring_sqe *sqe;
	unsigned len, index = 0;
	struct io_piece p;
	bool fixed;

	io_req_piece(req, &p);
	fixed = p.len && find_buffer(q, u, &p, &index);
	len = (unsigned)p.len;
	/* XFS refuses to change a file's times without waiting: each first write of a
	 * tick, and those queued with it, would go to other threads. */
	if (req->op == IO_WRITE)
		io_file_touch(req->file);
	sqe = io_uring_get_sqe(&u->ring);
	assert(sqe); /* the ring has room for q->depth */
	if (req->op == IO_SYNC)
		io_uring_prep_fsync(sqe, p.fd, IORING_FSYNC_DATASYNC);
	else if (req->op == IO_READ && fixed)
		io_uring_prep_read_fixed(sqe, p.fd, p.buf, len, p.start, (int)index);
	else if (req->op == IO_READ)
		io_uring_prep_read(sqe, p.fd, p.buf, len, p.start);
	else if (fixed)
		io_uring_prep_write_fixed(sqe, p.fd, p.buf, len, p.start, (int)index);
	else
		io_uring_prep_write(sqe, p.fd, p.buf, len, p.start);
	io_uring_sqe_set_data(sqe, req);
	return 0;
}

/* Short of memory for now: what was not taken stays in the ring for the next try. */
static bool is_busy(int error)
{
	return error == -EAGAIN || error == -EBUSY;
}

static int uring_kick(struct io_queue *q)
{
	struct uring *u = q->state;
	int r = io_uring_submit(&u->ring);

	return r < 0 && !is_busy(r) ? r : 0;
}

static unsigned take_completions(struct io_queue *q, struct uring *u)
{
	struct io_uring_cqe *cqe;
	unsigned count = 0;

	for (; !io_uring_peek_cqe(&u->ring, &cqe); count++) {
		struct io_req *req = io_uring_cqe_get_data(cqe);
		int result = cqe->res;

		io_uring_cqe_seen(&u->ring, cqe);
		if (req)
			io_piece_done(q, req, result);
		else
			u->nudges--;
	}
	return count;
}

/*
 * What the kernel cannot do without waiting it leaves to a thread, and it can lose it:
 * one that is about to end, as the ring it worked for is closed, is still taken for one
 * that will see to it (io-wq, seen on Linux 6.18). More such work starts a new thread,
 * which sees to all there is; so does this, which is none.
 */
static void nudge(struct uring *u)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(&u->ring);

	if (!sqe)
		return;
	io_uring_prep_nop(sqe);
	io_uring_sqe_set_flags(sqe, IOSQE_ASYNC);
	io_uring_sqe_set_data(sqe, NULL);
	u->nudges++;
}

static void stay_quiet(struct uring *u, int ms)
{
	u->quiet_ms += ms;
	if (u->quiet_ms < QUIET_MS || u->nudges == MAX_NUDGES)
		return;
	u->quiet_ms = 0;
	nudge(u);
}

static int uring_reap(struct io_queue *q, unsigned min, int timeout_ms)
{
	struct uring *u = q->state;
	int ms = timeout_ms < 0 || timeout_ms > QUIET_MS ? QUIET_MS : timeout_ms;
	struct __kernel_timespec timeout = {.tv_nsec = ms * 1000000L};
	struct io_uring_cqe *cqe;
	unsigned count;
	int r;

	if (min)
		r = io_uring_submit_and_wait_timeout(&u->ring, &cqe, min, &timeout, NULL);
	else
		r = io_uring_submit_and_get_events(&u->ring);
	count = take_completions(q, u);
	if (count)
		u->quiet_ms = 0;
	else if (r == -ETIME)
		stay_quiet(u, ms);
	/* Nothing to wait for but memory: do not spin. */
	if (is_busy(r) && min && !count)
		nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
	return r < 0 && r != -ETIME && !is_busy(r) ? r : 0;
}

const struct io_backend io_backend_uring = {
	.name = "uring",
	.block = 2 * MIB,
	.open = uring_open,
	.queue = uring_queue,
	.kick = uring_kick,
	.reap = uring_reap,
	.close = uring_close,
};
