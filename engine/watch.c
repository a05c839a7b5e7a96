/* SPDX-License-Identifier: MIT */
/*
 * watch.c - progress, warnings, cancellation, deadline
 */
#include "watch.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "doc.h"
#include "io/base.h"
#include "io/clock.h"

#define TELL_NS	  100000000u
#define ATTEND_NS 20000000u

/* 146 years: no sum of times overflows. */
#define LONGEST_MS (INT64_MAX / 2000000u)

/* All that there are; the public header lists them. */
static const char *const phases[] = {
	"waiting", "planning", "mapping",   "comparing", "proving",
	"cloning", "copying",  "verifying", "syncing",	 "publishing",
};

uint64_t watch_deadline(uint64_t timeout_ms)
{
	return timeout_ms ? io_now_ns() + min_u64(timeout_ms, LONGEST_MS) * 1000000u : 0;
}

void watch_init(struct watch *w, const struct rp_watch *user, uint64_t timeout_ms)
{
	uint64_t now = io_now_ns();

	*w = (struct watch){.user = user, .begin_ns = now, .phase_ns = now};
	w->progress.phase = "planning";
	w->limit_ms = timeout_ms;
	w->deadline_ns = watch_deadline(timeout_ms);
}

uint64_t watch_now(const struct watch *w)
{
	return w->still_ns ?: io_now_ns() - w->rested_ns;
}

uint64_t watch_rest(struct watch *w)
{
	uint64_t before = w->still_ns;

	w->still_ns = watch_now(w);
	return before;
}

void watch_go_on(struct watch *w, uint64_t before)
{
	w->rested_ns = io_now_ns() - w->still_ns;
	w->still_ns = before;
}

static void tell(struct watch *w, uint64_t now)
{
	uint64_t ns = watch_now(w) - w->phase_ns;
	uint64_t bytes = w->progress.bytes_done - w->phase_bytes;

	w->told_ns = now;
	w->progress.bytes_per_second = ns ? (uint64_t)((double)bytes * 1e9 / (double)ns)
					  : 0;
	if (w->user && w->user->progress && !w->stopped &&
	    w->user->progress(w->user->context, &w->progress) != 0)
		w->stopped = -ECANCELED;
}

uint64_t watch_work_left_ns(const struct watch *w, uint64_t now)
{
	const struct rp_progress *p = &w->progress;
	uint64_t done = p->bytes_done - w->phase_bytes;
	double ns;

	if (!done)
		return UINT64_MAX;
	ns = (double)(now - w->phase_ns) * (double)(p->bytes_total - p->bytes_done) /
	     (double)done;
	return ns < 1e18 ? (uint64_t)ns : UINT64_MAX;
}

const char *watch_phase_word(const char *word)
{
	for (size_t i = 0; i < ARRAY_SIZE(phases); i++)
		if (!strcmp(phases[i], word))
			return phases[i];
	return phases[0];
}

void watch_phase(struct watch *w, const char *phase)
{
	w->progress.phase = phase;
	w->phase_ns = watch_now(w);
	w->phase_bytes = w->progress.bytes_done;
	w->attended_ns = 0; /* the next tick tells of it */
	tell(w, io_now_ns());
}

/* What else has stopped the work is known to watch_fail(). */
static int stop_of(const struct watch *w)
{
	if (!w->stopped || w->stopped == -ETIME)
		return w->stopped;
	return -ECANCELED;
}

bool watch_is_late(const struct watch *w)
{
	return w->deadline_ns && io_now_ns() >= w->deadline_ns;
}

int watch_tick(struct watch *w)
{
	uint64_t now = io_now_ns();
	bool late;

	if (!w)
		return 0;
	late = watch_is_late(w);
	if (now - w->told_ns >= TELL_NS)
		tell(w, now);
	if (w->attend && !w->stopped &&
	    (now - w->attended_ns >= ATTEND_NS || (w->to_rest && !w->holds))) {
		int r;

		w->attended_ns = now;
		r = w->attend(w->attendant, w);
		w->stopped = w->stopped ?: r; /* it ticks itself while it waits */
	}
	return late ? -ETIME : stop_of(w);
}

int watch_ask(struct watch *w)
{
	tell(w, io_now_ns());
	return stop_of(w);
}

void watch_warn(const struct watch *w, const char *format, ...)
{
	_cleanup_free_ char *text = NULL;
	va_list args;
	int length;

	va_start(args, format);
	length = vasprintf(&text, format, args);
	va_end(args);
	if (length < 0) {
		text = NULL;
		return;
	}
	json_array_append_new(w->warnings, json_string(text));
	if (w->user && w->user->warning)
		w->user->warning(w->user->context, text);
}

void watch_warn_again(const struct watch *w)
{
	json_t *text;
	size_t i;

	if (!w->user || !w->user->warning)
		return;
	json_array_foreach(w->warnings, i, text)
		w->user->warning(w->user->context, json_string_value(text));
}

uint32_t watch_fail(const struct watch *w, int why, struct rp_error *err)
{
	uint32_t rc;

	if (why == -ETIME && !w->deadline_ns)
		return rp_fail_os(err, why, "wait", "for the job's turn");
	if (why == -ETIME)
		rc = rp_fail(err, RP_TIMEOUT, w->progress.phase,
			     "%s: the time limit of %s s has passed", w->progress.phase,
			     decimal_of(w->limit_ms, 1000).text);
	else if (w->stopped && w->stopped != -ECANCELED)
		return rp_fail_os(err, w->stopped, "record", "what the job does");
	else
		rc = rp_fail(err, RP_FAILED, w->progress.phase, "%s: cancelled",
			     w->progress.phase);
	if (err)
		err->os_error = -why;
	return rc;
}

uint64_t watch_left_ms(const struct watch *w, uint64_t otherwise)
{
	uint64_t now = io_now_ns();

	if (!w->deadline_ns)
		return otherwise;
	return w->deadline_ns > now ? (w->deadline_ns - now + IO_MS - 1) / IO_MS : 1;
}
