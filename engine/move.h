/* SPDX-License-Identifier: MIT */
/*
 * move.h - the rung that moves bytes: all streams through one queue and one pool
 *
 *	fill ──> kick ──> reap ──> (chunks change state) ──> fill ...
 *
 * Streams take turns for buffers, so a small disk does not wait behind a large
 * one. Memory is the pool: nothing grows with the size of a disk. After a failure
 * nothing new begins, and the same loop runs until nothing is in flight (H27).
 */
#ifndef ENGINE_MOVE_H
#define ENGINE_MOVE_H

#include "io/io.h"
#include "stream.h"
#include "watch.h"

/*
 * Moves what the rungs above left of @streams, digests as they ask for, and syncs
 * every destination that its owner does not sync later. @q is open over @pool; idle again
 * when this returns. @depth full windows are on their way at once, at most; 0 = as many
 * as are seen to help (flight.h), and the pool holds.
 */
uint32_t move_streams(struct stream *streams, size_t count, struct io_queue *q,
		      struct io_pool *pool, unsigned depth, struct watch *w,
		      struct rp_error *err);

#endif
