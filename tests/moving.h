/* SPDX-License-Identifier: MIT */
/*
 * moving.h - real disks, moved through a backend that follows a script: what the tests
 * of move_streams() have in common
 *
 *	moving_open(&m, 16 * MIB, 64);
 *	fd = moving_disk(&m, 8 * MIB);		"d0", one hole; for data_write()
 *	moving_begin(&m, direct);		opens it and a destination
 *	fakeio_rule(m.fake, ...);
 *	moving_run(&m);
 *
 * The backend is fakeio with a witness in front: it knows what was begun after the end
 * had come.
 */
#ifndef TESTS_MOVING_H
#define TESTS_MOVING_H

#include <limits.h>
#include <stdbool.h>

#include "engine/move.h"
#include "fakeio.h"

#define MOVING_MOST 3 /* disks */

struct moving {
	struct io_pool *pool;
	uint64_t pool_bytes;
	struct io_queue *q;
	struct fakeio *fake;
	size_t count;
	struct stream s[MOVING_MOST];
	char id[MOVING_MOST][8]; /* "d0", ... */
	char src[MOVING_MOST][PATH_MAX + 16], dst[MOVING_MOST][PATH_MAX + 16];
	bool only_read; /* set before moving_begin(): no destinations */

	/* What the caller of the engine asks for and is told. */
	struct watch w;
	struct rp_watch user;
	struct rp_error err;
	unsigned told, cancels_at; /* progress calls; the one that cancels, 0 = none */
	uint64_t bytes_done;	   /* as told last */

	/* The witness. */
	bool over;	  /* something has failed, or the caller has cancelled */
	size_t looked_at; /* pieces before it have all come in */
	unsigned begun_late;
	unsigned begun;	  /* requests so far */
	unsigned refuses; /* this one is refused, from 1; 0 = none ... */
	int refuses_with; /* ... with this */
	bool begun_early; /* a sync while writes before it were on their way */
	void (*at_reap)(struct moving *m); /* called before each reap */
	uint64_t first, most;		   /* its own */
};

/* @pool_bytes makes that many MiB of chunks. */
void moving_open(struct moving *m, uint64_t pool_bytes, unsigned depth);
void moving_close(struct moving *m); /* zeros are fine */

/* Another disk, all of it a hole; the caller closes what is returned. */
int moving_disk(struct moving *m, uint64_t size);

/* Opens sources and destinations; direct where the file system can, or never. */
void moving_begin(struct moving *m, bool direct);

/* Lets the script cut transfers anywhere, as O_DIRECT itself does not. */
void moving_allow_cuts(struct moving *m);

/* Gives disk @i a file of leaves. */
void moving_digest(struct moving *m, size_t i, enum stream_digest what);

/* Moves, and checks that nothing is on its way when it returns. */
uint32_t moving_run(struct moving *m);

/* How many pieces of @ops the disk @i was asked for; -1 = all disks. */
unsigned moving_pieces(const struct moving *m, unsigned ops, int i);

/* It has worked, and destinations are as their sources, holes and all. */
void moving_expect_copies(const struct moving *m, uint32_t rc);

/* It has failed, with all that is known about it, and nothing was begun after it. */
void moving_expect_error(const struct moving *m, uint32_t rc, uint32_t code, int error,
			 const char *step, size_t disk, uint64_t offset);

#endif
