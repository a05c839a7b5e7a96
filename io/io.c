/* SPDX-License-Identifier: MIT */
/*
 * io.c - the queue above the backends: picks one, cuts requests into pieces and
 * makes whole requests of the pieces that come back
 *
 *	add ──> io_req_piece ──> backend ──> io_piece_done ──> finished ──> done()
 *	               ^                            │
 *	               └──────── more to move ──────┘
 *
 * A request is at one place at a time: with the backend or on the finished list.
 * The next piece follows from what was moved so far, so no state of a cut is kept.
 */
#include "backend.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base.h"
#include "clock.h"
#include "reason.h"

#define MAX_PIECE UINT64_C(0x7ffff000) /* the kernel moves no more at once */
#define MEM_ALIGN 4096		       /* of memory for direct I/O */

static const struct io_backend *const backends[] = {
	&io_backend_uring,
	&io_backend_aio,
	&io_backend_sync,
};

static const struct io_backend *find_backend(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(backends); i++) {
		if (!strcmp(backends[i]->name, name))
			return backends[i];
	}
	return NULL;
}

void io_queue_remark(struct io_queue *q, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	io_reason_add_va(q->reason, sizeof(q->reason), format, args);
	va_end(args);
}

static struct io_queue *queue_new(unsigned depth, struct io_pool *pool)
{
	struct io_queue *q = calloc(1, sizeof(*q));

	if (!q)
		return NULL;
	q->depth = depth;
	q->pool = pool;
	q->last = &q->finished;
	return q;
}

static int queue_start(struct io_queue *q, const struct io_backend *backend)
{
	size_t used = strlen(q->reason);
	int r;

	q->note[0] = '\0';
	q->backend = backend;
	if (!used)
		io_queue_remark(q, "first choice");
	r = backend->open(q);
	if (r < 0) {
		q->reason[used] = '\0';
		io_queue_remark(q, "%s not used: %s", backend->name,
				q->note[0] ? q->note : strerrordesc_np(-r));
	}
	return r < 0 ? r : 0;
}

int io_queue_open(struct io_queue **ret, const char *const *names, unsigned depth,
		  struct io_pool *pool)
{
	_cleanup_free_ struct io_queue *q = queue_new(depth, pool);
	int first = -EINVAL;

	if (!q)
		return -ENOMEM;
	for (size_t i = 0; names[i]; i++) {
		const struct io_backend *backend = find_backend(names[i]);
		int r = -EINVAL;

		if (backend)
			r = queue_start(q, backend);
		else
			io_queue_remark(q, "%s not used: no such backend", names[i]);
		if (!r) {
			*ret = take_ptr(q);
			return 0;
		}
		if (!i)
			first = r;
	}
	return first;
}

int io_queue_open_backend(struct io_queue **ret, const struct io_backend *backend,
			  unsigned depth, struct io_pool *pool)
{
	_cleanup_free_ struct io_queue *q = queue_new(depth, pool);
	int r;

	if (!q)
		return -ENOMEM;
	r = queue_start(q, backend);
	if (r < 0)
		return r;
	*ret = take_ptr(q);
	return 0;
}

void io_queue_close(struct io_queue *q)
{
	if (!q)
		return;
	assert(!q->in_flight);
	q->backend->close(q);
	free(q);
}

/*
 * On a direct file what is aligned goes to direct_fd and what is not to fd: the end
 * of the range and, after an odd short transfer, the rest of the block it ended in.
 */
void io_req_piece(const struct io_req *req, struct io_piece *ret)
{
	const struct io_file *file = req->file;
	uint64_t start = req->start + req->moved, end = req->start + req->len;
	uint64_t stop = end, most = MAX_PIECE;

	*ret = (struct io_piece){.fd = io_file_is_direct(file) ? file->direct_fd
							       : file->fd};
	if (req->op == IO_SYNC)
		return;
	/* Memory and file must be aligned together, or they never will be. */
	if (io_file_is_direct(file) && (req->start - (uintptr_t)req->buf) % MEM_ALIGN) {
		ret->fd = file->fd;
	} else if (io_file_is_direct(file)) {
		most = round_down(MAX_PIECE, file->align);
		stop = round_down(end, file->align);
		if (start % file->align || start >= stop) {
			ret->fd = file->fd;
			stop = min_u64(end, round_up(start + 1, file->align));
		}
	}
	ret->buf = (char *)req->buf + req->moved;
	ret->start = start;
	ret->len = min_u64(stop - start, most);
}

ssize_t io_piece_move(const struct io_req *req)
{
	struct io_piece p;
	ssize_t r = -1;

	io_req_piece(req, &p);
	switch (req->op) {
	case IO_READ:
		r = pread(p.fd, p.buf, p.len, (off_t)p.start);
		break;
	case IO_WRITE:
		r = pwrite(p.fd, p.buf, p.len, (off_t)p.start);
		break;
	case IO_SYNC:
		r = fdatasync(p.fd);
		break;
	}
	return r < 0 ? -errno : r;
}

static void finish(struct io_queue *q, struct io_req *req, int result)
{
	if (!result && req->len &&
	    (!io_file_is_direct(req->file) || req->file->may_cache))
		result = io_file_advance(req->file, req->start + req->len);
	if (!result && req->op == IO_SYNC)
		result = io_file_drop_cache(req->file);
	/* The kernel tells it once, and calls what it has lost clean. */
	if (result && req->op == IO_SYNC && !req->file->error)
		req->file->error = result;
	req->result = result;
	req->next = NULL;
	*q->last = req;
	q->last = &req->next;
}

static void advance(struct io_req *req, size_t bytes)
{
	const struct io_file *file = req->file;
	struct io_piece p;
	uint64_t stop;

	io_req_piece(req, &p);
	assert(bytes <= p.len);
	stop = p.start + bytes;
	/* Move part of a block again rather than go on unaligned, if that is progress. */
	if (p.fd == file->direct_fd && round_down(stop, file->align) > p.start)
		stop = round_down(stop, file->align);
	req->moved = stop - req->start;
}

/* What a piece's result makes of the request: 1 = go on, 0 = complete, or -errno. */
static int account(struct io_req *req, ssize_t result)
{
	if (result == -EINTR)
		return 1;
	if (result < 0)
		return (int)result;
	if (req->op == IO_SYNC)
		return 0;
	if (!result)
		return req->op == IO_READ ? -ENODATA : -EIO;
	advance(req, (size_t)result);
	return req->moved < req->len;
}

static int hand_on(struct io_queue *q, struct io_req *req)
{
	int r = q->backend->queue(q, req);

	if (!r)
		q->in_backend++;
	return r;
}

void io_piece_done(struct io_queue *q, struct io_req *req, ssize_t result)
{
	int r;

	assert(q->in_backend);
	q->in_backend--;
	/* A plain call waits where the kernel would not, or had no thread to wait in, as
	 * where their number is limited; asking again would spin. Nobody else cancels. */
	if (result == -EAGAIN || result == -ECANCELED)
		result = io_piece_move(req);
	r = account(req, result);
	if (r > 0) {
		r = hand_on(q, req);
		if (!r)
			return;
	}
	finish(q, req, r);
}

int io_queue_add(struct io_queue *q, struct io_req *req)
{
	uint64_t end;
	int r;

	if (q->in_flight == q->depth)
		return -EAGAIN;
	if (add_overflows(req->start, req->len, &end))
		return -EOVERFLOW;
	req->moved = 0;
	if (req->op != IO_SYNC && !req->len) {
		finish(q, req, 0);
	} else {
		r = hand_on(q, req);
		if (r < 0)
			return r;
	}
	q->in_flight++;
	return 0;
}

int io_queue_kick(struct io_queue *q)
{
	return q->backend->kick(q);
}

/* What is there now, each taken off before its done() may add it again. */
static unsigned deliver(struct io_queue *q)
{
	struct io_req *req = q->finished, *next;
	unsigned count = 0;

	q->finished = NULL;
	q->last = &q->finished;
	for (; req; req = next, count++) {
		next = req->next;
		q->in_flight--;
		req->done(req);
	}
	return count;
}

int io_queue_reap(struct io_queue *q, unsigned min, int timeout_ms)
{
	uint64_t until = timeout_ms < 0 ? 0 : io_now_ns() + (uint64_t)timeout_ms * IO_MS;
	int left_ms = timeout_ms;
	unsigned delivered = 0;

	for (;;) {
		unsigned want = delivered < min ? min - delivered : 0;
		int r = 0;

		if (q->finished)
			want = 0; /* deliver these first */
		if (q->in_backend)
			r = q->backend->reap(q, (unsigned)min_u64(want, q->in_backend),
					     left_ms);
		delivered += deliver(q);
		if (r < 0 && r != -EINTR && r != -ETIME)
			return r;
		if (r < 0 || delivered >= min || !q->in_flight)
			return (int)delivered;
		if (timeout_ms >= 0) {
			uint64_t now = io_now_ns();

			if (now >= until)
				return (int)delivered;
			left_ms = (int)((until - now + IO_MS - 1) / IO_MS);
		}
	}
}

unsigned io_queue_in_flight(const struct io_queue *q)
{
	return q->in_flight;
}

size_t io_queue_block(const struct io_queue *q)
{
	return q->block ?: q->backend->block;
}

void io_queue_set_block(struct io_queue *q, size_t block)
{
	q->block = block;
}

const char *io_queue_backend(const struct io_queue *q)
{
	return q->backend->name;
}

const char *io_queue_reason(const struct io_queue *q)
{
	return q->reason;
}
