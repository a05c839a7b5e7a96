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
 * Whether @s may be written if it is known that all of it has to be, and whether there is
 * room for it: so that this is not found out when hours were spent reading it. It counts
 * in the total then.
 */
uint32_t copy_check_room(struct stream *s, struct watch *w, struct rp_error *err);

/*
 * Destinations are on stable storage when this returns RP_OK, but for those of streams
 * that are to be synced later; on failure they are the caller's to remove. Counters and
 * reasons of the streams are filled.
 */
uint32_t copy_streams(struct stream *streams, size_t count, const struct tuning *tuning,
		      struct watch *w, struct rp_error *err);

#endif
