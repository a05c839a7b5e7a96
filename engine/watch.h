/* SPDX-License-Identifier: MIT */
/*
 * watch.h - what a long operation tells its caller, and when it must stop
 */
#ifndef ENGINE_WATCH_H
#define ENGINE_WATCH_H

#include <errno.h>
#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "error.h"
#include "pressure.h"

struct watch {
	const struct rp_watch *user; /* may be NULL */
	struct rp_progress progress;
	uint64_t begin_ns;    /* of the operation */
	uint64_t rested_ns;   /* so long it has rested */
	uint64_t still_ns;    /* where watch_now() stands still; 0 = it goes on */
	uint64_t phase_ns;    /* of the phase, by watch_now(): its rate is measured from
			       * here */
	uint64_t phase_bytes; /* done before the phase */
	uint64_t told_ns;     /* when the caller was told last */
	uint64_t limit_ms;    /* of its time; 0 = none */
	uint64_t deadline_ns; /* when that is over, CLOCK_MONOTONIC; 0 = none */
	int stopped;	      /* why, by the caller or its job, who are not asked again */
	uint64_t bandwidth;   /* bytes a second to move at most; 0 = no limit. May change
			       * with a tick */
	uint64_t iops;	      /* reads and writes a second at most; 0 = no limit */
	struct pressure *pressure; /* what to give way to; NULL = nothing */
	/* Called with a tick, some 50 times a second at most: the job whose work it is. A
	 * negative value stops the work. May block; but while the work @holds what others
	 * wait for, it sets @to_rest instead, and blocks when that has been let go of. */
	int (*attend)(void *attendant, struct watch *w);
	void *attendant;
	uint64_t attended_ns;
	bool holds, to_rest;
	json_t *warnings; /* keeps what is warned of; NULL = nobody wants it later */
};

/* When that time from now is over, in nanoseconds of io_now_ns(); 0: there is none. */
uint64_t watch_deadline(uint64_t timeout_ms);

/* @user must outlive @w; @timeout_ms 0 = no limit. */
void watch_init(struct watch *w, const struct rp_watch *user, uint64_t timeout_ms);

/* The time of the work: as io_now_ns(), but it stands still from watch_rest() to
 * watch_go_on(), which is given what that returned: it may rest while it rests. */
uint64_t watch_now(const struct watch *w);
uint64_t watch_rest(struct watch *w);
void watch_go_on(struct watch *w, uint64_t before);

/* @phase is static text; the caller is told at once. If it cancels, the next tick
 * says so. */
void watch_phase(struct watch *w, const char *phase);

/* The static text of a phase that is called so; that of the first one if there is none.
 */
const char *watch_phase_word(const char *word);

/* Tells the caller if it is time to, and the job, also of one that was told to stop and
 * has not. 0, -ECANCELED or -ETIME: stop, watch_fail() knows why. NULL: nobody watches.
 */
int watch_tick(struct watch *w);

/* Whether a tick has stopped the work, which has ended with @error. */
static inline bool watch_is_stop(int error)
{
	return error == -ECANCELED || error == -ETIME;
}

bool watch_is_late(const struct watch *w); /* its time limit has passed */

/* Whether it is for that, or for what a tick gave, that the work has ended. */
static inline bool watch_has_stopped(const struct watch *w)
{
	return w->stopped || watch_is_late(w);
}

/* Asks the caller whether to go on, without a tick. 0 or -ECANCELED. */
int watch_ask(struct watch *w);

/* How long what is left to do takes if it goes on as in this phase until @now, which is
 * of watch_now(); UINT64_MAX if nobody knows. */
uint64_t watch_work_left_ns(const struct watch *w, uint64_t now);

void watch_warn(const struct watch *w, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
void watch_warn_again(const struct watch *w); /* a user who was not there before */

/* The error of an operation that watch_tick() stopped with @why. */
uint32_t watch_fail(const struct watch *w, int why, struct rp_error *err);

/* What is left of the time limit, at least 1; @otherwise if there is none. */
uint64_t watch_left_ms(const struct watch *w, uint64_t otherwise);

#endif
