/* SPDX-License-Identifier: MIT */
/*
 * job_view.h - a job as those see it who do not work on it
 */
#ifndef ENGINE_JOB_VIEW_H
#define ENGINE_JOB_VIEW_H

#include <jansson.h>

#include "job_states.h"
#include "store.h"

struct job_view {
	json_t *doc; /* the record, its progress, and what follows from both */
	enum rp_job_state state;
	bool alive; /* somebody works on it */
	bool resumable;
	uint32_t last; /* of enum rp_job_request, as it was requested; 0 = nothing */
};

/* Of the job whose folder is @fd. 0, -ENOENT (removed), -EBADMSG, -EAGAIN (damaged, but
 * somebody works on it and will write it again) or -errno. */
int job_view(struct rp_store *store, int fd, struct job_view *ret);
void job_view_close(struct job_view *v); /* zeros are fine */

/* Whether somebody works on the job whose folder is @fd. Who cannot see that does not
 * take it for dead. */
bool job_is_alive(int fd);

/* The error of a job_view() that failed with @error. */
uint32_t job_view_fail(int error, const char *id, struct rp_error *err);

/* The job with this ID, or whose ID alone begins so: its folder is *ret_fd. */
uint32_t job_find(struct rp_store *store, const char *id, char ret_id[ID_SIZE],
		  int *ret_fd, struct rp_error *err);

/* What it has ended with; RP_JOB_STARTED if it has not. */
uint32_t job_view_error(const struct job_view *v, struct rp_error *err);

#endif
