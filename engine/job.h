/* SPDX-License-Identifier: MIT */
/*
 * job.h - the record of one export in the store
 *
 * A job's folder is in jobs/active/ and locked while its export runs, and in
 * jobs/ended/ afterwards. The record names the export's target, so that what an
 * export that died has left there can be found.
 */
#ifndef ENGINE_JOB_H
#define ENGINE_JOB_H

#include <jansson.h>

#include "store.h"

enum job_state { /* CIM_ConcreteJob.JobState */
	JOB_RUNNING = 4,
	JOB_COMPLETED = 7,
	JOB_EXCEPTION = 10,
};

struct job {
	struct rp_store *store;
	char id[ID_SIZE];
	int fd; /* its folder; holds the lock */
	json_t *doc;
};

/* Begins a job of exporting point @id of @system to @directory. */
uint32_t job_begin(struct rp_store *store, const char *system, const char *id,
		   const char *directory, struct job *ret, struct rp_error *err);

/* Ends it with return value @rc (and @err's sentence if it failed) and releases
 * it. What is done is done: a record that cannot be written changes nothing. Fine for a
 * job that was never begun (zeros). */
void job_end(struct job *job, uint32_t rc, const struct rp_error *err);

/* Entry @name of jobs/active/: if its process is gone, removes what it left at its
 * target and ends it as interrupted. While the target is not there (not mounted) the
 * job stays, for the next command. */
void job_sweep(struct rp_store *store, const char *name);

#endif
