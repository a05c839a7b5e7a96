/* SPDX-License-Identifier: MIT */
/*
 * job_wait.c - waiting for a job's end, or for what was requested of it
 */
#include <errno.h>
#include <stdio.h>

#include "io/bell.h"
#include "io/clock.h"
#include "io/lock.h"
#include "io/tree.h"
#include "job.h"
#include "job_ref.h"
#include "options.h"

#define RELEASE_MS 30000
#define GLANCE_MS  50
#define LOOK_MS	   1000 /* callers are asked, and owners looked for, so often */

static bool has_ended(const struct job_view *v)
{
	return job_has_ended(v->state);
}

/* Whether there is nothing to wait for any more. What is as requested stays so if it was
 * @heard of before: else who works may be on the way to what was requested before. */
static bool is_over(const struct waiting *w, const struct job_view *v, bool heard)
{
	if (has_ended(v))
		return true;
	switch (w->request) {
	case RP_JOB_START:
		return v->last == RP_JOB_SUSPEND || (heard && v->state == RP_JOB_RUNNING);
	case RP_JOB_SUSPEND:
		return v->last == RP_JOB_START || (heard && v->state == RP_JOB_SUSPENDED);
	default:
		return false;
	}
}

/* @told: of every change, and of the owner's end. */
static int time_left_ms(const struct waiting *w, bool told)
{
	uint64_t now = io_now_ns(), left = UINT64_MAX;

	if (w->deadline_ns)
		left = w->deadline_ns > now ? (w->deadline_ns - now) / 1000000 + 1 : 0;
	if (!told || (w->watch && w->watch->progress))
		left = min_u64(left, LOOK_MS);
	return left > INT32_MAX ? -1 : (int)left;
}

static uint32_t tell_waiter(const struct waiting *w, const struct job_view *v,
			    struct rp_error *err)
{
	const struct rp_progress p = job_ref_progress(v);

	if (w->watch && w->watch->progress && w->watch->progress(w->watch->context, &p)) {
		rp_fail(err, RP_FAILED, "wait", "wait for job %s: cancelled", w->job->id);
		if (err)
			err->os_error = ECANCELED;
		return RP_FAILED;
	}
	if (w->deadline_ns && io_now_ns() >= w->deadline_ns)
		return rp_fail(err, RP_TIMEOUT, "wait",
			       "wait for job %s: the time limit has passed", w->job->id);
	return RP_OK;
}

void waiting_release(const struct waiting *w)
{
	const uint64_t end = min_u64(w->deadline_ns ?: UINT64_MAX,
				     watch_deadline(RELEASE_MS));
	_cleanup_unlock_ int fd = io_dir_open(w->job->fd, ".");
	bool ended = fd >= 0;

	while (ended && io_now_ns() < end && io_lock(fd, false, GLANCE_MS) == -ETIME) {
		struct job_view v = {0};

		ended = job_view(w->job->store, w->job->fd, &v) == 0 && has_ended(&v);
		job_view_close(&v);
	}
}

uint32_t waiting_end(const struct waiting *w, struct job_view *ret, struct rp_error *err)
{
	uint32_t rc = RP_OK;
	/* Opened before the first look, so that no change is missed; anew, as a job that
	 * was resumed may have an owner again. */
	struct io_notice n = IO_NOTICE_NONE;
	char path[32];
	bool heard, near;
	int r;

	/* A user's instances of inotify run out: then it is looked at from time to time.
	 */
	snprintf(path, sizeof(path), "/proc/self/fd/%d", w->job->fd);
	io_notice_open(w->job->fd, path, JOB_BELL, &n);
	for (;;) {
		io_notice_take(&n);
		heard = !w->request || n.gone || !io_bell_is_ringing(n.bell);
		r = job_view(w->job->store, w->job->fd, ret);
		if (r == -EAGAIN) /* all that is known is that it goes on */
			*ret = (struct job_view){.state = RP_JOB_RUNNING};
		else if (r < 0)
			rc = job_view_fail(r, w->job->id, err);
		if (rc || (r == 0 && is_over(w, ret, heard)))
			break;
		near = r == 0 && is_over(w, ret, true); /* nothing tells of that */
		rc = tell_waiter(w, ret, err);
		job_view_close(ret);
		if (rc)
			break;
		io_notice_wait(&n,
			       near ? GLANCE_MS
				    : time_left_ms(w, r == 0 && n.fd >= 0 && !n.gone));
	}
	io_notice_close(&n);
	if (rc == RP_OK && has_ended(ret))
		waiting_release(w);
	return rc;
}

static void tell_warnings(const struct rp_watch *watch, const json_t *doc)
{
	json_t *text;
	size_t i;

	if (!watch || !watch->warning)
		return;
	json_array_foreach(json_object_get(doc, "Warnings"), i, text)
		if (json_is_string(text))
			watch->warning(watch->context, json_string_value(text));
}

uint32_t rp_job_wait(struct rp_job *job, const struct rp_watch *watch,
		     uint64_t timeout_ms, struct rp_error *reterr)
{
	const struct waiting w = {job, watch, watch_deadline(timeout_ms), 0};
	struct job_view v;
	uint32_t rc;

	rp_error_clear(reterr);
	if (!job)
		return rp_fail(reterr, RP_INVALID_PARAMETER, "check", "job is NULL");
	rc = options_check(watch, sizeof(*watch), "watch", reterr);
	if (rc)
		return rc;
	rc = waiting_end(&w, &v, reterr);
	if (rc)
		return rc;
	tell_warnings(watch, v.doc);
	rc = job_view_error(&v, reterr);
	job_view_close(&v);
	return rc;
}
