/* SPDX-License-Identifier: MIT */
/*
 * set_state.h - what set.c and set_work.c know of one set
 */
#ifndef ENGINE_SET_STATE_H
#define ENGINE_SET_STATE_H

#include <pthread.h>

#include "name.h"
#include "pressure.h"
#include "set.h"
#include "watch.h"

/* Who shares blocks, or moves little, does little but wait for syncs, and the more wait
 * for one the fewer are made. Who moves much has the device busy alone. */
#define WORKERS 64
#define MOVERS	16 /* of them, at most, what is not little */

/* One point. */
struct member {
	const char *point;
	char ref[NAME_SIZE + ID_SIZE];	/* its name and ID, if it was found */
	char base[NAME_SIZE + ID_SIZE]; /* and those of its base */
	uint64_t size;
	size_t disks;
	uint32_t value;
	char *report;
	struct rp_error err;
	struct member *next; /* in the list of those that have ended */
};

struct worker {
	struct set *set;
	pthread_t thread;
	struct rp_store *store;
	struct gear gear;
	struct pressure pressure; /* of all it exports: there is one worker then */
	struct rp_watch watch;
	const char *point; /* the one it works on */
	bool inside;	   /* the quay */
	/* Under the set's lock: of the point it works on. */
	struct rp_progress progress;
};

struct warning {
	struct warning *next;
	char text[];
};

struct set {
	struct rp_store *store; /* the caller's */
	const char *directory;
	const struct rp_export_options *options;
	struct watch watch; /* of the caller's thread */
	struct member *members;
	size_t *order; /* indices of members, smallest first; then again who is alone */
	size_t count;
	size_t planned; /* entries of order */
	struct worker workers[WORKERS];
	unsigned worker_count;
	unsigned movers; /* the first of them, who take what is not little, too */
	struct io_pool *pool;
	bool shareable;	      /* blocks of the store, in the directory */
	struct io_quay *quay; /* NULL = no ferries */
	struct io_ferry *to_store, *to_directory; /* may be one */

	pthread_mutex_t lock; /* of what follows */
	pthread_cond_t changed;
	size_t taken;
	unsigned running; /* workers */
	bool stop;
	uint64_t done_bytes, done_total; /* of the points that have ended */
	struct member *ended, **last;
	struct member *alone; /* to be tried again when nobody else is at work */
	unsigned times_alone; /* that they may be, still */
	struct warning *warnings, **last_warning;
};

/* Threads that take the members planned, one after another. With fewer than wanted it
 * takes longer. */
uint32_t set_start_workers(struct set *set, unsigned want, struct rp_error *err);

/* When they have ended. */
void set_join_workers(struct set *set);

#endif
