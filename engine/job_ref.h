/* SPDX-License-Identifier: MIT */
/*
 * job_ref.h - what job_ref.c, job_wait.c and job_request.c know of a reference to a job
 *
 * All of it goes through the job's folder, so it makes no difference which thread of
 * which process works on the job.
 */
#ifndef ENGINE_JOB_REF_H
#define ENGINE_JOB_REF_H

#include "io/notice.h"
#include "job_view.h"
#include "store.h"

struct rp_job {
	struct rp_store *store; /* its own */
	char id[ID_SIZE];
	int fd; /* its folder, wherever it goes */
	struct io_notice notice;
};

uint32_t job_ref_look(struct rp_job *job, struct job_view *ret, struct rp_error *err);
struct rp_progress job_ref_progress(const struct job_view *v);

/* A wait for the job's end, or for what has been requested of it. */
struct waiting {
	struct rp_job *job;
	const struct rp_watch *watch; /* NULL = nobody looks on */
	uint64_t deadline_ns;	      /* 0 = none */
	uint32_t request;	      /* 0 = none */
};

/* RP_OK with the view in which it was over. */
uint32_t waiting_end(const struct waiting *w, struct job_view *ret, struct rp_error *err);

/* Its owner lets go of it, and of its point, a moment after its end could be seen; unless
 * it is resumed before. */
void waiting_release(const struct waiting *w);

#endif
