/* SPDX-License-Identifier: MIT */
/*
 * point.h - reference points as they lie in the store: finding, opening, listing
 *
 * point.json holds what rp_show_reference_point() returns. No physical address of
 * a block is ever in it: blocks move, and addresses are used again (H5, H6).
 */
#ifndef ENGINE_POINT_H
#define ENGINE_POINT_H

#include <jansson.h>

#include "system.h"

enum point_lock {
	POINT_UNLOCKED, /* to look at its metadata */
	POINT_SHARED,	/* to read its data */
	POINT_EXCLUSIVE /* to destroy it */
};

struct point {
	char system[NAME_SIZE];
	char id[ID_SIZE];
	int fd;	     /* its folder; holds the lock */
	json_t *doc; /* point.json, checked */
};

#define POINT_NONE       \
	{                \
		.fd = -1 \
	}

/* @ref is SYSTEM@POINT. Waits up to @busy_ms for its lock: RP_IN_USE if that is 0
 * and it is held, else RP_TIMEOUT. */
uint32_t point_open(struct rp_store *store, const char *ref, enum point_lock lock,
		    uint64_t busy_ms, struct point *ret, struct rp_error *err);
void point_close(struct point *point); /* unopened is fine */

/* Its disk @id; NULL if it has none of that name. Borrowed. */
json_t *point_disk(const struct point *point, const char *id);

/* < 0 if @a is older, > 0 if it is newer than @b; damaged points are older than all. */
int point_compare_age(const struct point *a, const struct point *b);

/* The sequence number of a point made at @time and registered now: that of the newest
 * one older than it. */
int point_sequence_at(const struct system *system, const char *time, uint64_t *ret);

/* The sequence number the next point of @system gets; the caller holds its lock. */
int point_next_sequence(const struct system *system, uint64_t *ret);

#endif
