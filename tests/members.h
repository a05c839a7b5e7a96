/* SPDX-License-Identifier: MIT */
/*
 * members.h - what tests of sets stand on: many systems with a point of each, and what an
 * export of them all has told
 */
#ifndef TESTS_MEMBERS_H
#define TESTS_MEMBERS_H

#include <pthread.h>

#include "engine_fixture.h"

#define MEMBERS 24 /* vm00, vm01, ..., most of them small */

struct members {
	struct engine e;
	char names[MEMBERS + 1][POINT_SIZE];
	const char *points[MEMBERS + 1]; /* the names, until a test wants others */
	pthread_t caller;
	/* What was told. */
	unsigned told[MEMBERS];
	uint32_t values[MEMBERS];
	char messages[MEMBERS][1024];
};

/* On an XFS of their own. */
void members_open(struct members *m);
void members_close(struct members *m);

/* One more: number MEMBERS, with a disk of 16 MiB, half of it, in as many runs as can be.
 */
void members_add_scattered(struct members *m);

/* Of each but those before @first the next night: its disk changes, and its latest point
 * is the one that is exported. */
void members_go_on(struct members *m, unsigned first);

/* To be given as set_done, with the members as context. */
void members_told(void *context, size_t index, uint32_t value, const char *report,
		  const struct rp_error *error);

/* All but the scattered one, into e.out. */
uint32_t members_export(struct members *m, const struct rp_export_options *options,
			struct rp_error *err);

/* Whether point @i is there; then it must verify, and be the disk. */
bool members_arrived(const struct members *m, unsigned i);

/* Whether point @i is there as what has changed, with what it is based on; then it must
 * verify, and the disk be restored from it. */
bool members_arrived_as_change(const struct members *m, unsigned i);

/* Each was told of once, and has arrived, and the store is idle. */
void members_expect_all(const struct members *m);

#endif
