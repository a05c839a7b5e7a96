/* SPDX-License-Identifier: MIT */
/*
 * probe.h - what works between two mounts, and how fast: measured, kept in the store
 *
 *	probes/HASH.json	of one pair: facts, speeds, and the choice made of them
 *
 * A result counts as long as the kernel and both mounts are those it was found on.
 */
#ifndef ENGINE_PROBE_H
#define ENGINE_PROBE_H

#include <jansson.h>

#include "store.h"
#include "tuning.h"
#include "watch.h"

/* Two folders, and the store that keeps what is found between them. */
struct probe_pair {
	struct rp_store *store;
	int src_dirfd, dst_dirfd;
	/* What was, once it was looked for: who merges moves bytes several times. */
	enum {
		PROBE_UNASKED,
		PROBE_NONE,
		PROBE_STALE,
		PROBE_FOUND
	} known;
	json_t *found;
};

void probe_pair_close(struct probe_pair *pair); /* zeros are fine */

/*
 * Lets what was found between the two folders of @t decide where @t has nothing that was
 * asked for. If it was found on another kernel or mount it is found out again, where
 * @bytes to move make that worth its second. Without a result, and on any error, @t
 * stays. 0, or what a tick of @w says; one that is to rest measures another time.
 */
int probe_tune(struct tuning *t, uint64_t bytes, struct watch *w);

#endif
