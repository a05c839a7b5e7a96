/* SPDX-License-Identifier: MIT */
/*
 * salvage.h - what can still be had of a damaged chain, and what not
 *
 * Every part is read before. What cannot be read, differs from its digest, or was to come
 * from a part that is missing or unusable is lost: zeros stand for it, and never what an
 * older part has there.
 */
#ifndef ENGINE_SALVAGE_H
#define ENGINE_SALVAGE_H

#include <jansson.h>

#include "chain_disk.h"

struct salvage {
	struct layer **layer; /* those of the disk, without what is lost */
	size_t count;
	struct layers layers;
	json_t *lost; /* [{Offset, Length}]: the first of them */
	uint64_t lost_bytes, lost_count, lost_end; /* of the last of them */
};

#define SALVAGE_MOST_LISTED 10000

/* Reads all of @disk, which ends before its time if it is @cut. @chain and @disk outlive
 * @ret. */
uint32_t salvage_open(const struct chain *chain, const struct chain_disk *disk, bool cut,
		      struct watch *w, struct salvage *ret, struct rp_error *err);
void salvage_close(struct salvage *s); /* zeros are fine */

#endif
