/* SPDX-License-Identifier: MIT */
/*
 * backend.h - what a backend and the queue above it owe each other
 *
 * A backend moves one piece of a request at a time. It reports every piece
 * exactly once with io_piece_done(), from reap() only; the queue then finishes
 * the request or hands the backend its next piece. Five verbs, one const table
 * per file; adding a backend is adding a file and a row in io.c.
 */
#ifndef IO_BACKEND_H
#define IO_BACKEND_H

#include "io.h"

/* The piece of @req that is to be moved next. For IO_SYNC only fd is set. */
struct io_piece {
	int fd;
	void *buf;
	uint64_t start;
	size_t len;
};

struct io_backend {
	const char *name;
	size_t block; /* the transfer size it is fastest with */
	/* Sets q->state, or says in q->note why not. */
	int (*open)(struct io_queue *q);
	/* Takes the next piece of @req. There is always room for q->depth pieces. */
	int (*queue)(struct io_queue *q, struct io_req *req);
	int (*kick)(struct io_queue *q);
	/* Kicks, then waits for at least @min pieces, not more than it holds; it may
	 * return sooner. 0 or -errno (-EINTR, -ETIME are fine). */
	int (*reap)(struct io_queue *q, unsigned min, int timeout_ms);
	void (*close)(struct io_queue *q); /* idle; NULL state is fine */
};

struct io_queue {
	const struct io_backend *backend;
	void *state; /* the backend's own */
	struct io_pool *pool;
	unsigned depth;
	size_t block;		 /* 0 = the backend's */
	unsigned in_flight;	 /* requests taken and not delivered */
	unsigned in_backend;	 /* pieces the backend holds */
	struct io_req *finished; /* done, to be delivered by reap, oldest first */
	struct io_req **last;
	char reason[256]; /* why no better one, then this one's remarks */
	char note[96];	  /* why the one that was tried last cannot be used */
};

extern const struct io_backend io_backend_uring;
extern const struct io_backend io_backend_aio;
extern const struct io_backend io_backend_sync;

/* What works differently here, at any time: "buffers not registered: ...". */
__attribute__((format(printf, 2, 3))) void io_queue_remark(struct io_queue *q,
							   const char *format, ...);

void io_req_piece(const struct io_req *req, struct io_piece *ret);

/* Moves the piece here and now, by one pread, pwrite or fdatasync: bytes or -errno. */
ssize_t io_piece_move(const struct io_req *req);

/* @result: bytes moved or -errno, of the piece the backend was given last. */
void io_piece_done(struct io_queue *q, struct io_req *req, ssize_t result);

/* Opens a queue on exactly this backend: how tests put their own below. */
int io_queue_open_backend(struct io_queue **ret, const struct io_backend *backend,
			  unsigned depth, struct io_pool *pool);

#endif
