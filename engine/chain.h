/* SPDX-License-Identifier: MIT */
/*
 * chain.h - an export, and the older ones that its differential disks need
 *
 *	export T3 (differential)  ──> T2 (differential)  ──> T1 (full)
 *
 * Each names its base by ReferencePointId; where that was exported to is for us to find:
 * beside the export, or in one of the folders given. Nothing in them is believed: the
 * base has the right name, system and disk, of the size its differential was made for.
 */
#ifndef ENGINE_CHAIN_H
#define ENGINE_CHAIN_H

#include "exported.h"
#include "stream.h"
#include "tuning.h"
#include "watch.h"

struct chain {
	struct exported *parts; /* the export itself first */
	char **paths;		/* of the parts */
	size_t count;
	json_t *depths; /* of each disk: how many parts leave something to the next */
	bool rests;	/* the folders of its parts are closed */
};

/*
 * Opens @path, and what its disk @disk (NULL = every one) needs. Bases are looked for in
 * the folders of the parts there are, the last one's first, then in @search as
 * DIR/SYSTEM/ID and DIR/ID. The caller closes it, whatever this gives: with an error it
 * has the parts that were found until then, of which chain_was_merged() tells.
 *
 * Errors: those of exported_open(), RP_NOT_AVAILABLE (a base was not found: says which),
 * RP_UNKNOWN_STATUS (what is there is not it, or damaged; a cycle).
 */
uint32_t chain_open(const char *path, const char *disk, const char *const *search,
		    size_t search_count, struct chain *ret, struct rp_error *err);
void chain_close(struct chain *chain); /* zeros are fine */

/* Whether it is for a merge that failure @rc has met a file that is not there: at the
 * path of a part is another folder now, and the old one is gone. Then all is to be tried
 * again.
 */
bool chain_was_merged(const struct chain *chain, uint32_t rc);

/* @path alone, whatever its disks need; then what one of them needs, beside the parts
 * there are. RP_NOT_AVAILABLE too if one of these does not have it. */
uint32_t chain_open_alone(const char *path, struct chain *ret, struct rp_error *err);
uint32_t chain_reach(struct chain *chain, const char *disk, struct rp_error *err);

/* Of one whose disks are only opened, by chain_disk.h, no folder is open in between. */
void chain_rest(struct chain *chain);

/* As chain_open(), but what ends the chain before its time is no failure: *ret_cut tells
 * why it was, its code RP_OK if it was not. @err is not NULL. */
uint32_t chain_open_some(const char *path, const char *disk, const char *const *search,
			 size_t search_count, struct chain *ret, struct rp_error *ret_cut,
			 struct rp_error *err);

/* Whether part @k has to have disk @id: all above it leave something to it. */
bool chain_needs(const struct chain *chain, size_t k, const char *id);

/* Whether failure @rc, of which @err tells, only ends the chain: then @cut, which is NULL
 * if nothing may, tells of it instead. */
bool chain_is_cut(uint32_t rc, struct rp_error *cut, struct rp_error *err);

/* Whether all disks that are needed of part @k have digests. */
bool chain_has_digests(const struct chain *chain, size_t k);

/* Whether each of the first @count parts has a digest of disk @id: what they have of it
 * is proven. */
bool chain_proves(const struct chain *chain, size_t count, const char *id);

/* Reads the data that parts [first, end) have of disk @id (NULL = all) and compares it
 * with their digests; without a digest there is nothing to compare. */
uint32_t chain_check(const struct chain *chain, size_t first, size_t end, const char *id,
		     const struct tuning *tuning, struct watch *w, struct rp_error *err);

#endif
