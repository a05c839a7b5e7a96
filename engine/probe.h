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

#include <stddef.h>

#include "store.h"
#include "tuning.h"

/*
 * Lets what was found between the two folders decide where @t has nothing that was asked
 * for. If it was found on another kernel or mount it is found out again, where @bytes to
 * move make that worth its second. Without a result, and on any error, @t stays.
 */
void probe_tune(struct rp_store *store, int src_dirfd, int dst_dirfd, uint64_t bytes,
		struct tuning *t);

#endif
