/* SPDX-License-Identifier: MIT */
/*
 * gear.h - what one thread moves bytes with: a queue and a share of a pool, kept from one
 * move to the next
 *
 * The threads of a set have one pool together. Nobody takes more than his share of it
 * while there are others, so that a large disk leaves room for the small ones.
 *
 * What was opened for one move is closed behind its owner's back, who has files to sync
 * meanwhile: the kernel takes some 30 ms to give up a context of native AIO.
 */
#ifndef ENGINE_GEAR_H
#define ENGINE_GEAR_H

#include <pthread.h>
#include <stdbool.h>

#include "error.h"
#include "io/io.h"
#include "tuning.h"

struct gear {
	struct io_pool *pool; /* of a set, borrowed; NULL: each move opens its own */
	struct io_queue *q;   /* over it, opened by the first move */
	const char *const *backends; /* it was opened for; of struct tuning */

	pthread_t closer;
	bool closing; /* there is a closer, of these */
	struct io_queue *old_q;
	struct io_pool *old_pool;
};

/*
 * A queue over a pool as @t wants them, for @bytes to move: those of its gear, or new
 * ones. Give them back with gear_give(). RP_NOT_SUPPORTED: the backend that was asked for
 * does not work here.
 */
uint32_t gear_take(const struct tuning *t, uint64_t bytes, struct io_pool **ret_pool,
		   struct io_queue **ret_q, struct rp_error *err);
void gear_give(const struct tuning *t, struct io_pool *pool, struct io_queue *q);

/* Waits for what is being closed; zeros are fine. */
void gear_close(struct gear *gear);

#endif
