/* SPDX-License-Identifier: MIT */
/*
 * detach.h - a job in a process of its own, which survives the shell
 */
#ifndef CLI_DETACH_H
#define CLI_DETACH_H

#include "cli/cli.h"

/* Begins a job: RP_JOB_STARTED with the job, or an error. Called in the new process,
 * which has nothing open but its standard descriptors: it opens its own store. */
typedef uint32_t start_job(void *context, struct rp_job **ret, struct rp_error *reterr);

struct started {
	uint32_t value; /* what @start returned */
	char id[40];	/* of the job */
	struct rp_error error;
};

/*
 * Forks a process that begins the job and works until it has ended; returns when it has
 * begun, or has failed to. SIGTERM and SIGINT terminate the job cleanly.
 */
void detach_job(start_job *start, void *context, struct started *ret);

#endif
