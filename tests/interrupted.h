/* SPDX-License-Identifier: MIT */
/*
 * interrupted.h - exports by the real command that are killed on the way, and go on
 *
 * The program is $REFPOINT; its options are words with blanks between.
 */
#ifndef TESTS_INTERRUPTED_H
#define TESTS_INTERRUPTED_H

#include <sys/types.h>

#include "stage.h"

struct interrupted {
	const struct stage *stage;
	const char *options;
	uint64_t written; /* by all runs */
	unsigned killed;
};

/* Why there are no such tests; NULL if there are. */
const char *interrupted_missing(void);

/* A number from the environment, or else @otherwise. */
unsigned interrupted_count(const char *variable, unsigned otherwise);

/* Begins the export of the stage's point, at no more than @rate. */
pid_t interrupted_start(const struct interrupted *x, const char *rate);

/* Kills it after a while; false if it has ended before. */
bool interrupted_kill(struct interrupted *x, const char *rate, uint64_t ms);

/* To its end, at full speed; it must work. */
void interrupted_finish(const struct interrupted *x);

/* What a process has written so far, to all files. */
uint64_t interrupted_bytes_written(pid_t pid);

/* Of the export that is there: bytes that were moved and did not lie there before. */
uint64_t interrupted_new_bytes(const struct interrupted *x);
uint64_t interrupted_kept_bytes(const struct interrupted *x);

#endif
