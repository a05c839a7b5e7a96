/* SPDX-License-Identifier: MIT */
/*
 * set.h - many points exported at once, by threads that share buffers and syncs
 *
 *	points, smallest first ──> workers ──> results ──> done()
 *
 * Each point is an export like any other, with its own job, folder and end; what is
 * common to them is the pool of buffers, the caller's watch, the limit of time, and
 * the syncs: one serves all who are under way (io/ferry.h).
 */
#ifndef ENGINE_SET_H
#define ENGINE_SET_H

#include "exporting.h"

typedef void set_done(void *context, size_t index, uint32_t value, const char *report,
		      const struct rp_error *error);

/* As rp_export_set(), with arguments that were checked. */
uint32_t set_export(struct rp_store *store, const char *const *points, size_t count,
		    const char *directory, const struct rp_export_options *options,
		    set_done *done, void *context, struct rp_error *err);

#endif
