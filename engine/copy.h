/* SPDX-License-Identifier: MIT */
/*
 * copy.h - a set of streams from beginning to end: measure, share, check the
 * space, move, sync
 */
#ifndef ENGINE_COPY_H
#define ENGINE_COPY_H

#include "stream.h"
#include "tuning.h"
#include "watch.h"

/*
 * Destinations are on stable storage when this returns RP_OK, but for those of streams
 * that are to be synced later; on failure they are the caller's to remove. Counters and
 * reasons of the streams are filled.
 */
uint32_t copy_streams(struct stream *streams, size_t count, const struct tuning *tuning,
		      struct watch *w, struct rp_error *err);

#endif
