/* SPDX-License-Identifier: MIT */
/*
 * job_ref.c - a reference to a job: waiting for it, asking things of it
 *
 * All of it goes through the job's folder, so it makes no difference which thread of
 * which process works on the job. Who requests something locks the requests, decides by
 * the table of job_states.c, writes the request and rings the bell.
 */
#include <stdio.h>
#include <string.h>

#include "doc.h"
#include "io/bell.h"
#include "io/clock.h"
#include "io/notice.h"
#include "io/tree.h"
#include "job.h"
#include "job_sweep.h"
#include "job_view.h"
#include "slip.h"
#include "worker.h"

#define REQUEST_LOCK_MS 30000
#define GLANCE_MS	50
#define LOOK_MS		1000 /* callers are asked, and owners looked for, so often */

struct rp_job {
	struct rp_store *store; /* its own */
	char id[ID_SIZE];
	int fd; /* its folder, wherever it goes */
	struct io_notice notice;
};

uint32_t rp_job_open(struct rp_store *store, const char *id, struct rp_job **ret,
		     struct rp_error *reterr)
{
	struct rp_job *job;
	uint32_t rc;

	rp_error_clear(reterr);
	if (!store || !ret)
		return rp_fail(reterr, RP_INVALID_PARAMETER, "check",
			       "an argument is NULL");
	job = calloc(1, sizeof(*job));
	if (!job)
		return rp_fail_os(reterr, -ENOMEM, "open", "job");
	job->fd = -1;
	job->notice = (struct io_notice)IO_NOTICE_NONE;
	job->store = store_dup(store);
	if (job->store)
		rc = job_find(job->store, id, job->id, &job->fd, reterr);
	else
		rc = rp_fail_os(reterr, errno ? -errno : -ENOMEM, "open", "store %s",
				store->path);
	if (rc)
		rp_job_close(job);
	else
		*ret = job;
	return rc;
}

void rp_job_close(struct rp_job *job)
{
	if (!job)
		return;
	io_notice_close(&job->notice);
	if (job->fd >= 0)
		close(job->fd);
	rp_store_close(job->store);
	free(job);
}

const char *rp_job_id(const struct rp_job *job)
{
	return job ? job->id : "";
}

static uint32_t look(struct rp_job *job, struct job_view *ret, struct rp_error *err)
{
	int r = job_view(job->store, job->fd, ret);

	return r < 0 ? job_view_fail(r, job->id, err) : RP_OK;
}

/* For rp_job_fd(). */
static void note_end(struct rp_job *job, const struct job_view *v)
{
	if (job_has_ended(v->state))
		io_notice_end(&job->notice);
}

static struct rp_progress progress_of(const struct job_view *v)
{
	const char *phase = "waiting";
	struct rp_progress p = {0};

	doc_string(v->doc, "Phase", &phase);
	p.phase = watch_phase_word(phase); /* it outlives the view */
	doc_u64(v->doc, "BytesTotal", &p.bytes_total);
	doc_u64(v->doc, "BytesDone", &p.bytes_done);
	doc_u64(v->doc, "BytesPerSecond", &p.bytes_per_second);
	return p;
}

uint32_t rp_job_state(struct rp_job *job, enum rp_job_state *ret_state,
		      struct rp_progress *ret_progress, struct rp_error *reterr)
{
	struct job_view v;
	uint32_t rc;

	rp_error_clear(reterr);
	if (!job)
		return rp_fail(reterr, RP_INVALID_PARAMETER, "check", "job is NULL");
	io_notice_take(&job->notice);
	rc = look(job, &v, reterr);
	if (rc)
		return rc;
	note_end(job, &v);
	if (ret_state)
		*ret_state = v.state;
	if (ret_progress)
		*ret_progress = progress_of(&v);
	job_view_close(&v);
	return RP_OK;
}

uint32_t rp_job_error(struct rp_job *job, struct rp_error *reterr)
{
	struct job_view v;
	uint32_t rc;

	rp_error_clear(reterr);
	if (!job)
		return rp_fail(reterr, RP_INVALID_PARAMETER, "check", "job is NULL");
	rc = look(job, &v, reterr);
	if (rc)
		return rc;
	rc = job_view_error(&v, reterr);
	job_view_close(&v);
	return rc;
}

int rp_job_fd(struct rp_job *job)
{
	struct job_view v;
	char path[32];
	int r;

	if (!job)
		return -EINVAL;
	if (job->notice.fd >= 0)
		return job->notice.fd;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", job->fd);
	r = io_notice_open(job->fd, path, JOB_BELL, &job->notice);
	if (r < 0)
		return r;
	if (look(job, &v, NULL) == RP_OK) { /* it may have ended just before */
		note_end(job, &v);
		job_view_close(&v);
	}
	return job->notice.fd;
}

/* ----------------------------------------------------------------------- waiting */

/* A wait for the job's end, or for what has been requested of it. */
struct waiting {
	struct rp_job *job;
	const struct rp_watch *watch; /* NULL = nobody looks on */
	uint64_t deadline_ns;	      /* 0 = none */
	uint32_t request;	      /* 0 = none */
};

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
	const struct rp_progress p = progress_of(v);

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

/* Its owner lets go of it, and of its point, a moment after its end could be seen; unless
 * it is resumed before. */
static void await_release(const struct waiting *w)
{
	const uint64_t end = min_u64(w->deadline_ns ?: UINT64_MAX,
				     watch_deadline(REQUEST_LOCK_MS));
	_cleanup_unlock_ int fd = io_dir_open(w->job->fd, ".");
	bool ended = fd >= 0;

	while (ended && io_now_ns() < end && io_lock(fd, false, GLANCE_MS) == -ETIME) {
		struct job_view v = {0};

		ended = job_view(w->job->store, w->job->fd, &v) == 0 && has_ended(&v);
		job_view_close(&v);
	}
}

/* RP_OK with the view in which it was over. */
static uint32_t wait_until(const struct waiting *w, struct job_view *ret,
			   struct rp_error *err)
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
		await_release(w);
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
	if (!job || (watch && watch->size < sizeof(*watch)))
		return rp_fail(reterr, RP_INVALID_PARAMETER, "check",
			       job ? "watch.size is not set" : "job is NULL");
	rc = wait_until(&w, &v, reterr);
	if (rc)
		return rc;
	tell_warnings(watch, v.doc);
	rc = job_view_error(&v, reterr);
	job_view_close(&v);
	return rc;
}

/* ---------------------------------------------------------------------- requests */

/* Locks the requests: who asks next waits until we have asked. Its fd, or -errno. */
static int lock_requests(struct rp_job *job)
{
	int fd = slip_open(job->fd, JOB_REQUESTS);
	int r = fd < 0 ? fd : io_lock(fd, true, REQUEST_LOCK_MS);

	if (r < 0 && fd >= 0)
		close(fd);
	return r < 0 ? r : fd;
}

/* With @requests locked: makes @changes to it and wakes who works. 0 or -errno. */
static int put_request(struct rp_job *job, int requests, json_t *changes)
{
	_cleanup_doc_ json_t *doc = NULL;
	uint64_t serial = 0;
	int r = slip_read(job->fd, JOB_REQUESTS, &doc);

	if (r == -ENOENT) /* the first one */
		r = (doc = json_object()) ? 0 : -ENOMEM;
	if (r < 0)
		return r;
	doc_u64(doc, "Serial", &serial);
	if (json_object_get(changes, "Request"))
		json_object_set_new(changes, "Serial",
				    json_integer((json_int_t)serial + 1));
	if (json_object_update(doc, changes) < 0)
		return -ENOMEM;
	r = slip_write(requests, doc);
	if (r == 0)
		io_bell_ring(job->fd, JOB_BELL);
	return r;
}

static uint32_t refuse(struct rp_job *job, uint32_t answer, const struct job_view *v,
		       struct rp_error *err)
{
	switch (answer) {
	case RP_JOB_INVALID:
		rp_fail(err, RP_INVALID_PARAMETER, "request",
			"job %s: the requested state is not one that can be requested",
			job->id);
		break;
	case RP_JOB_BUSY:
		rp_fail(err, RP_IN_USE, "request", "job %s: is shutting down already",
			job->id);
		break;
	default:
		rp_fail(err, RP_INVALID_STATE, "request",
			"job %s: this cannot be requested in state %s", job->id,
			job_state_name(v->state));
	}
	return answer;
}

/* Whether @request has led to this, or the job has come to another end. */
static bool is_reached(uint32_t request, const struct job_view *v)
{
	switch (request) {
	case RP_JOB_START:
		return v->state == RP_JOB_RUNNING || v->state == RP_JOB_COMPLETED ||
		       (v->state == RP_JOB_EXCEPTION &&
			strcmp(progress_of(v).phase, "waiting"));
	case RP_JOB_SUSPEND:
		return v->state == RP_JOB_SUSPENDED;
	case RP_JOB_KILL: /* Terminated has kept something */
		return v->state == RP_JOB_KILLED;
	default:
		return v->state == RP_JOB_TERMINATED || v->state == RP_JOB_KILLED;
	}
}

/* Whether the transition is through, after which the job may be in another state. */
static uint32_t await(struct rp_job *job, uint32_t request, uint64_t timeout_ms,
		      struct rp_error *err)
{
	const struct waiting w = {job, NULL, watch_deadline(timeout_ms), request};
	struct job_view v;
	uint32_t rc = wait_until(&w, &v, err);
	bool reached;

	if (rc == RP_TIMEOUT) {
		rp_fail(err, RP_TIMEOUT, "request",
			"job %s: is not through with it in time; the request stands",
			job->id);
		return RP_JOB_NOT_IN_TIME;
	}
	if (rc)
		return RP_JOB_UNSPECIFIED;
	reached = is_reached(request, &v);
	if (!reached && has_ended(&v))
		refuse(job, RP_JOB_FORBIDDEN, &v, err);
	else if (!reached)
		rp_fail(err, RP_INVALID_STATE, "request",
			"job %s: another request has overtaken this one", job->id);
	job_view_close(&v);
	return reached ? RP_JOB_DONE : RP_JOB_FORBIDDEN;
}

/* A job nobody works on: it lies in jobs/ended/, or its owner has died just now. */
static uint32_t request_of_ended(struct rp_job *job, uint32_t request,
				 struct rp_error *err)
{
	/* It may have ended a moment ago, and be on its way to jobs/ended/. */
	await_release(&(struct waiting){.job = job});
	job_sweep(job->store, job->id);
	if (io_dir_is_at(job->store->active_fd, job->id, job->fd)) {
		rp_fail(err, RP_NOT_AVAILABLE, "request",
			"job %s: what it has left cannot be seen now; is its directory "
			"mounted?",
			job->id);
		return RP_JOB_UNSPECIFIED;
	}
	if (request == RP_JOB_START)
		return worker_resume(job->store, job->id, err) ? RP_JOB_UNSPECIFIED
							       : RP_JOB_TRANSITION;
	return job_forget(job->store, job->id, err) ? RP_JOB_UNSPECIFIED : RP_JOB_DONE;
}

/* With @requests locked. */
static uint32_t request_locked(struct rp_job *job, int requests, uint32_t request,
			       struct rp_error *err)
{
	_cleanup_doc_ json_t *changes = json_pack("{s:i}", "Request", (int)request);
	struct job_view v;
	uint32_t answer;
	int r;

	if (look(job, &v, err))
		return RP_JOB_UNSPECIFIED;
	answer = job_answer(v.state, v.resumable, v.last, request);
	if (answer != RP_JOB_TRANSITION && answer != RP_JOB_DONE) {
		refuse(job, answer, &v, err);
	} else if (job_has_ended(v.state)) {
		answer = request_of_ended(job, request, err);
	} else {
		r = changes ? put_request(job, requests, changes) : -ENOMEM;
		if (r < 0) {
			rp_fail_os(err, r, "request", "of job %s", job->id);
			answer = RP_JOB_UNSPECIFIED;
		}
	}
	job_view_close(&v);
	return answer;
}

uint32_t rp_job_request_state_change(struct rp_job *job, uint32_t requested,
				     uint64_t timeout_ms, struct rp_error *reterr)
{
	_cleanup_unlock_ int requests = -1;
	uint32_t answer;

	rp_error_clear(reterr);
	if (!job) {
		rp_fail(reterr, RP_INVALID_PARAMETER, "check", "job is NULL");
		return RP_JOB_INVALID;
	}
	requests = lock_requests(job);
	if (requests < 0) {
		rp_fail_os(reterr, requests, "request", "of job %s", job->id);
		return RP_JOB_UNSPECIFIED;
	}
	answer = request_locked(job, requests, requested, reterr);
	io_unlock_close(take_fd(&requests));
	return answer == RP_JOB_TRANSITION && timeout_ms
		       ? await(job, requested, timeout_ms, reterr)
		       : answer;
}

uint32_t rp_job_set_bandwidth(struct rp_job *job, uint64_t bandwidth,
			      struct rp_error *reterr)
{
	_cleanup_unlock_ int requests = -1;
	_cleanup_doc_ json_t *changes = NULL;
	enum rp_job_state state;
	uint32_t rc;
	int r;

	rp_error_clear(reterr);
	if (!job || bandwidth > INT64_MAX)
		return rp_fail(reterr, RP_INVALID_PARAMETER, "check", "%s",
			       job ? "bandwidth is out of range" : "job is NULL");
	changes = json_pack("{s:I}", "BandwidthLimit", (json_int_t)bandwidth);
	r = requests = lock_requests(job);
	if (r < 0)
		return rp_fail_os(reterr, r, "request", "of job %s", job->id);
	rc = rp_job_state(job, &state, NULL, reterr);
	if (rc)
		return rc;
	if (job_has_ended(state))
		return rp_fail(reterr, RP_INVALID_STATE, "request", "job %s: has ended",
			       job->id);
	r = changes ? put_request(job, requests, changes) : -ENOMEM;
	return r < 0 ? rp_fail_os(reterr, r, "request", "of job %s", job->id) : RP_OK;
}
