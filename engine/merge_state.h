/* SPDX-License-Identifier: MIT */
/*
 * merge_state.h - what merge.c and merge_disks.c know of one merge
 */
#ifndef ENGINE_MERGE_STATE_H
#define ENGINE_MERGE_STATE_H

#include <limits.h>

#include "chain.h"
#include "tuning.h"
#include "watch.h"

struct merge {
	const struct rp_read_options *options;
	struct chain chain;
	struct tuning tuning;
	struct watch watch;
	char name[NAME_MAX + 1], partial[NAME_MAX + 1];
	int parent; /* the folder it lies in */
	int fd;	    /* the new one; locked */
	bool made;
	json_t *manifest;
};

static inline const struct exported *tip(const struct merge *m)
{
	return &m->chain.parts[0];
}

/* A differential disk of the export is put together with what its bases have of it. */
uint32_t merge_disk(struct merge *m, const char *id, struct rp_error *err);

/* A whole disk comes along as it is, in whatever format, if it is what its digest says.
 */
uint32_t merge_keep_disk(struct merge *m, json_t *disk, struct rp_error *err);

#endif
