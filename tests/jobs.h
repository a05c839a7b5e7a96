/* SPDX-License-Identifier: MIT */
/*
 * jobs.h - jobs that processes of their own work at, as others see and command them
 *
 * The program is $REFPOINT. What is not said to give a value ends the test if it fails.
 */
#ifndef TESTS_JOBS_H
#define TESTS_JOBS_H

#include <stdint.h>
#include <sys/types.h>

#include "stage.h"

struct jobs {
	struct stage stage;
	struct rp_job *job; /* that the test is about; jobs_close() closes it */
	unsigned folders;   /* of exports: the next one's name */
	pid_t stopped;	    /* by SIGSTOP; 0 = none */
};

/* A stage of 24 MiB without a job. */
void jobs_make(struct jobs *j);

/* Kills what still goes on. */
void jobs_close(struct jobs *j);
void jobs_end_all(struct jobs *j);

/* So many may work at once. */
void jobs_limit(const struct stage *s, unsigned limit);

/* A job of a process of its own; it never ends by itself if it is @slow. */
struct rp_job *jobs_start(struct jobs *j, bool slow);

/* The record, which the caller frees; one number of it. */
json_t *jobs_show(const struct jobs *j, const struct rp_job *job);
int64_t jobs_shown(const struct jobs *j, const struct rp_job *job, const char *key);
double jobs_elapsed(const struct jobs *j); /* ElapsedTime of its job */
bool jobs_resumable(const struct jobs *j);

enum rp_job_state jobs_state(struct rp_job *job);

/* Wait for a state, and for a phase. */
void jobs_expect(struct rp_job *job, enum rp_job_state want);
void jobs_reach(const struct jobs *j, const struct rp_job *job, const char *phase);

/* Asks for it and waits until it is done. */
void jobs_request(struct rp_job *job, uint32_t requested);

/* Make j->job one in this state that never ends by itself. Where it waits for its turn
 * another one works, and the limit has to be 1. */
void jobs_make_new(struct jobs *j);
void jobs_make_starting(struct jobs *j);
void jobs_make_running(struct jobs *j);
void jobs_make_suspended(struct jobs *j);

/* The same as running; returns its process. */
pid_t jobs_make_copying(struct jobs *j);

/* The process of j->job stands still, hears of nothing, and is there; until it is let
 * go (one that is not held is fine). */
void jobs_hold(struct jobs *j);
void jobs_let_go(struct jobs *j);

#endif
