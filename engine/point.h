/* SPDX-License-Identifier: MIT */
/*
 * point.h - a reference point as it lies in the store: finding, opening, destroying
 *
 * point.json holds what rp_show_reference_point() returns. No physical address of
 * a block is ever in it: blocks move, and addresses are used again (H5, H6).
 */
#ifndef ENGINE_POINT_H
#define ENGINE_POINT_H

#include <jansson.h>

#include "system.h"

/* ReferencePointType: based on change tracking. 1, log based, is not made here. */
#define POINT_TYPE 2

enum point_lock {
	POINT_UNLOCKED, /* to look at its metadata */
	POINT_SHARED,	/* to read its data */
	POINT_EXCLUSIVE /* to destroy it or its data; a damaged one by its whole ID */
};

struct point {
	char system[NAME_SIZE];
	char id[ID_SIZE];
	int fd;	     /* its folder; holds the lock */
	json_t *doc; /* point.json, checked; NULL if it cannot be read */
	int error;   /* of point_load(): why */

	/* Its age, which outlives doc where many are looked at. */
	uint64_t sequence; /* which of its system's points it is; 0 if nobody knows */
	uint64_t numbered; /* that, or what its export has, if it is more */
	char *created;	   /* CreationTime; NULL if it cannot be read */
};

#define POINT_NONE       \
	{                \
		.fd = -1 \
	}

/* @ref is SYSTEM@POINT. Waits up to @busy_ms for its lock: RP_IN_USE if that is 0
 * and it is held, else RP_TIMEOUT; or until @w, which may be NULL, says stop. */
uint32_t point_open(struct rp_store *store, const char *ref, enum point_lock lock,
		    uint64_t busy_ms, struct watch *w, struct point *ret,
		    struct rp_error *err);
void point_close(struct point *point); /* unopened is fine */

/* The same of a base of @of: @ref may be "@POINT", which is of the same system. */
uint32_t point_open_base(struct rp_store *store, const char *ref, const struct point *of,
			 enum point_lock lock, uint64_t busy_ms, struct watch *w,
			 struct point *ret, struct rp_error *err);

/* Opens its folder and reads it, without a lock; the caller closes it, whatever this
 * gives. -EBADMSG: it is damaged; without a folder it has no fd. With any error it has
 * no doc. */
int point_load(const struct system *system, const char *id, struct point *ret);

/* The error of point @ref, of which point_load() gave @error. */
uint32_t point_load_fail(int error, const char *ref, struct rp_error *err);

/* Its disk @id; NULL if it has none of that name. Borrowed. */
json_t *point_disk(const struct point *point, const char *id);

/* < 0 if @a is older, > 0 if it is newer than @b; damaged points are older than all. */
int point_compare_age(const struct point *a, const struct point *b);

#endif
