/* SPDX-License-Identifier: MIT */
/*
 * fakeio.h - a backend that does what a script says and remembers what it was asked
 *
 *	io_queue_open_backend(&q, &fakeio_backend, depth, pool);
 *	struct fakeio *fake = fakeio_of(q);
 *
 *	fakeio_rule(fake, (struct fakeio_rule){ .ops = FAKEIO_WRITE, .nth = 3,
 *						.error = -ENOSPC });
 *	... run ...
 *	fake->pieces[0 .. fake->count) is all that was asked for, in order
 *
 * Bytes are really moved, by plain calls, and not before the completion is
 * reported: a buffer reused too early shows. All of it ends with the queue.
 */
#ifndef TESTS_FAKEIO_H
#define TESTS_FAKEIO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "io/backend.h"

enum {
	FAKEIO_READ = 1 << IO_READ,
	FAKEIO_WRITE = 1 << IO_WRITE,
	FAKEIO_SYNC = 1 << IO_SYNC,
};

/*
 * Which pieces - all that is set must fit, nothing set fits all - and what becomes
 * of them. The first rule that fits is the one that counts.
 */
struct fakeio_rule {
	unsigned ops;		    /* FAKEIO_READ | ...; 0 = any */
	const struct io_file *file; /* NULL = any */
	uint64_t from, to;	    /* touches [from, to); to 0 = anywhere */
	unsigned nth;		    /* the nth that fits so far, from 1; 0 = every one */

	int error;	/* -errno instead of moving anything */
	bool nothing;	/* moves nothing and says so: result 0 */
	size_t at_most; /* a short transfer: moves no more than this; 0 = all */
	bool held;	/* completes only after fakeio_release() */
};

enum fakeio_order {
	FAKEIO_FIFO,
	FAKEIO_LIFO,
	FAKEIO_RANDOM, /* from .seed */
};

/* A piece that was asked for. */
struct fakeio_piece {
	enum io_op op;
	const struct io_file *file;
	bool tail; /* through file->fd of a direct file */
	uint64_t start;
	size_t len;
	bool done;
	int64_t result; /* once done: bytes or -errno */
};

struct fakeio {
	/* Script, to be set at any time; besides the rules. */
	enum fakeio_order order; /* of completions */
	uint64_t seed;		 /* for what is random */
	unsigned batch;		 /* no more completions than this per reap; 0 = all */
	size_t short_random;	 /* transfers cut at random to 1 ... this; 0 = not */
	int queue_error, kick_error, reap_error; /* what the next call fails with, once */

	/* Record. */
	struct fakeio_piece *pieces;
	size_t count;

	/* fakeio's own */
	struct fakeio_rule rules[16];
	unsigned rule_fits[16]; /* how many pieces fitted so far */
	unsigned rule_count;
	struct fakeio_pending *pending; /* in the order they were queued */
	unsigned pending_count;
	unsigned kicked; /* of these, the first so many */
};

extern const struct io_backend fakeio_backend;

struct fakeio *fakeio_of(struct io_queue *q);

void fakeio_rule(struct fakeio *fake, struct fakeio_rule rule);

/* Lets go of what is held, now and by the rules. */
void fakeio_release(struct fakeio *fake);

/* Lets go of what is held now of these. */
void fakeio_release_only(struct fakeio *fake, unsigned ops);

/* Drops rules and record: a new scene. Nothing may be in flight. */
void fakeio_forget(struct fakeio *fake);

#endif
