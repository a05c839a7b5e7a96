/* SPDX-License-Identifier: MIT */
/*
 * tuning.h - how bytes are to be moved: by which backend, in which blocks, how many at
 * once, in how much memory, and why
 */
#ifndef ENGINE_TUNING_H
#define ENGINE_TUNING_H

#include <stdbool.h>

#include "error.h"

/* Of all buffers, unless something else is asked for. Twice as much costs processor time,
 * to clear it, and is faster between devices in memory alone. */
#define TUNING_MEMORY (16 * MIB)

struct gear;
struct probe_pair;

struct tuning {
	const char *const *backends; /* best first, NULL terminated; static */
	uint64_t block;		     /* bytes of a request; 0 = what the backend likes */
	unsigned depth;		     /* blocks in flight; 0 = what is seen to help */
	uint64_t memory;	     /* of all buffers: a multiple of 2 MiB */
	struct gear *gear;	     /* to use; NULL = new ones; borrowed */
	bool choose;		     /* a measurement may decide: nothing was asked for */
	struct probe_pair *pair;     /* of these folders; NULL = none does; borrowed */
	char reason[160];	     /* why not the defaults; "" if they are */
};

/* The defaults. */
void tuning_init(struct tuning *t, enum rp_io io);

/*
 * What @o asks for. RP_INVALID_PARAMETER for a block or depth that cannot be,
 * RP_OUT_OF_MEMORY if o->memory cannot hold one set of buffers of that kind.
 */
uint32_t tuning_of_options(struct tuning *ret, const struct rp_export_options *o,
			   struct rp_error *err);

/* What a measurement found best, with the other backends to fall back to. -EINVAL, and no
 * change, for what can not be. */
int tuning_prefer(struct tuning *t, const char *backend, uint64_t block);

/* For what goes by the page cache: the kernel hands that to other threads for io_uring,
 * but io_submit() writes it itself, so plain calls by two threads come before. */
void tuning_for_page_cache(struct tuning *t);

/* Buffers for no more than @bytes to move; less memory is sooner ready. */
void tuning_shrink(struct tuning *t, uint64_t bytes);

#endif
