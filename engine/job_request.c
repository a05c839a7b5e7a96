/* SPDX-License-Identifier: MIT */
/*
 * job_request.c - asking things of a job
 *
 * Who requests something locks the requests, decides by the table of job_states.c, writes
 * the request and rings the bell.
 */
#include <errno.h>
#include <string.h>

#include "doc.h"
#include "io/bell.h"
#include "io/tree.h"
#include "job.h"
#include "job_ref.h"
#include "job_sweep.h"
#include "slip.h"
#include "worker.h"

#define LOCK_MS 30000

/* Locks the requests: who asks next waits until we have asked. Its fd, or -errno. */
static int lock_requests(struct rp_job *job)
{
	int fd = slip_open(job->fd, JOB_REQUESTS);
	int r = fd < 0 ? fd : io_lock(fd, true, LOCK_MS);

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
			strcmp(job_ref_progress(v).phase, "waiting"));
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
	uint32_t rc = waiting_end(&w, &v, err);
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
	if (!reached && job_has_ended(v.state))
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
	waiting_release(&(struct waiting){.job = job});
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

	if (job_ref_look(job, &v, err))
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
