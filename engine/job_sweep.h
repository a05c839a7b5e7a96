/* SPDX-License-Identifier: MIT */
/*
 * job_sweep.h - what is left of jobs that have ended, or died: found, and forgotten
 */
#ifndef ENGINE_JOB_SWEEP_H
#define ENGINE_JOB_SWEEP_H

#include "job.h"

/* What @job, which will not work on it, has kept goes, unless another has gone on from it
 * or it cannot be reached. */
void job_discard_kept(struct job *job);

/* What an ended job has kept for a resume goes; it is Killed. RP_INVALID_STATE if it is
 * not one that can be resumed. */
uint32_t job_forget(struct rp_store *store, const char *id, struct rp_error *err);

/* Records of exports that ended longer ago than they are to be kept go, with what those
 * have kept; not more than once a minute. */
void job_forget_old(struct rp_store *store);

/* What ended jobs have kept of point @id, whose data has gone, goes. */
void job_forget_point(struct rp_store *store, const char *id);

/* Entry @name of jobs/active/: if its process is gone, ends it, as interrupted or as it
 * was told to, and removes what it left at its target if a resume could do nothing with
 * it, or nobody wants it to. While the target is not there (not mounted), or does not
 * answer, the job stays, for the next command. One whose record is damaged is put with
 * those that have ended. */
void job_sweep(struct rp_store *store, const char *name);

#endif
