/* SPDX-License-Identifier: MIT */
/*
 * checkpoint.h - making what was moved so far durable, and noting it, while more moves
 *
 *	marks ──> sync of each destination ──> journal
 *
 * A mark is taken when its sync is queued: the sync covers what was delivered before
 * (io.h). The journal is written by a thread of its own, as that waits for stable storage
 * and the mover's queue would run dry; until it is back nobody changes the journal.
 *
 * The first one comes when there is something to lose, and the next when many times as
 * long has passed as this one took, so that all of them together cost next to nothing,
 * whatever the device; neither counts what the work rests. None comes shortly before the
 * end.
 */
#ifndef ENGINE_CHECKPOINT_H
#define ENGINE_CHECKPOINT_H

#include <pthread.h>
#include <stdatomic.h>

#include "io/io.h"
#include "stream.h"
#include "watch.h"

struct checkpoint_sync { /* of one stream */
	struct io_req req;
	struct stream *s;
	uint64_t mark;
	bool wanted; /* waits for room in the queue */
	struct checkpoint *checkpoint;
};

struct checkpoint {
	struct checkpoint_sync *syncs;
	size_t count;	  /* of streams; 0 = nobody wants to know */
	size_t in_flight; /* syncs */
	bool running, noted;
	const struct watch *watch; /* by whose time; borrowed */
	uint64_t began_ns, next_ns, cost_ns;
	pthread_t noter;
	bool noting;	   /* there is a noter */
	atomic_bool ready; /* it has nothing left to do */
	int note_error;	   /* the noter's until it was joined */
	/* The first failure, and of which stream. */
	int error;
	const char *step;
	struct stream *failed;
};

int checkpoint_open(struct checkpoint *c, struct stream *streams, size_t count,
		    const struct watch *w);
void checkpoint_close(struct checkpoint *c); /* zeros are fine */

/* Whether it is time for one; @now_ns is of watch_now(). */
bool checkpoint_due(const struct checkpoint *c, uint64_t now_ns);

/* What is left to do has to take so long, or one costs more than it saves. */
uint64_t checkpoint_worth_ns(const struct checkpoint *c);

/* Begins one; checkpoint_mark() is called for each stream, then checkpoint_step(). */
void checkpoint_begin(struct checkpoint *c, uint64_t now_ns);
void checkpoint_mark(struct checkpoint *c, size_t stream, uint64_t mark);

/* Queues what is to be queued, and ends the checkpoint when all syncs are in. */
void checkpoint_step(struct checkpoint *c, struct io_queue *q);

/* No more of them: the queue is idle, and waits for the journal if that is being written.
 */
void checkpoint_end(struct checkpoint *c);

/* At once and without the queue, after checkpoint_end(): the last one of work that stops.
 * What fails is not noted, no more. */
void checkpoint_last(struct checkpoint *c);

#endif
