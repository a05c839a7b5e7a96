/* SPDX-License-Identifier: MIT */
/*
 * compare.h - two files read side by side: which blocks differ
 *
 * Reads of several windows are in flight at once, as many as there are buffers for; what
 * is found is told in order.
 */
#ifndef ENGINE_COMPARE_H
#define ENGINE_COMPARE_H

#include "io/file.h"
#include "tuning.h"
#include "watch.h"

struct compare;

/* Blocks of [start, end) differ; @zero: the second file's are zeros. 0, or -errno to
 * stop. Called from compare_add() and compare_finish(). */
typedef int compare_found(void *context, uint64_t start, uint64_t end, bool zero);

/* The files, @t and @w outlive @ret. Its buffers are out of the pool of @t: until it is
 * closed the thread takes no others of that. RP_OK, or as gear_take(). */
uint32_t compare_open(struct compare **ret, struct io_file *a, struct io_file *b,
		      const struct tuning *t, struct watch *w, compare_found *found,
		      void *context, struct rp_error *err);

/* Compares [start, end) too: behind what was added before, and within both files; no
 * faster than the requests of the watch allow. */
int compare_add(struct compare *c, uint64_t start, uint64_t end);

/* All that was added is compared, and told. */
int compare_finish(struct compare *c);

/* After a failure: which file it was (NULL = none: memory, or the watch), and where. */
const struct io_file *compare_failed(const struct compare *c, uint64_t *ret_offset);

void compare_close(struct compare *c); /* NULL is fine; waits for what is in flight */

#endif
