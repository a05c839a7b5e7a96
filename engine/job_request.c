/* SPDX-License-Identifier: MIT */
/*
 * job_request.c - asking things of a job
 *
 * Who requests something locks the requests, decides by the table of job_states.c, writes
 * the request and rings the bell. Of a job that has ended there is nobody who would hear
 * it: then he does it himself, without the lock, as that may take long; and if another
 * was there first, he decides again.
 */
#include <errno.h>
#include <string.h>

#include "doc.h"
#include "io/bell.h"
#include "io/clock.h"
#include "io/lock.h"
#include "io/tree.h"
#include "job.h"
#include "job_ref.h"
#include "job_sweep.h"
#include "slip.h"
#include "worker.h"

/* Locks the requests: who asks next waits until we have asked. Its fd, or -errno. */
static int lock_requests(struct rp_job *job)
{
	return io_locked(slip_open(job->fd, JOB_REQUESTS), job->store->wait_ms);
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

static bool is_active(const struct rp_job *job)
{
	return io_dir_is_at(job->store->active_fd, job->id, job->fd);
}

/* It was not where the ended ones are, but may be by now. */
static uint32_t refuse_active(const struct rp_job *job, struct rp_error *err)
{
	if (job_is_alive(job->fd) || !is_active(job))
		return rp_fail(err, RP_INVALID_STATE, "resume",
			       "job %s: another has resumed it", job->id);
	return rp_fail(err, RP_NOT_AVAILABLE, "request",
		       "job %s: what it has left cannot be seen now; is its directory "
		       "mounted?",
		       job->id);
}

/* A job nobody works on: it lies in jobs/ended/, or its owner has died just now. */
static uint32_t change_ended(struct rp_job *job, uint32_t request, struct rp_error *err)
{
	/* It may have ended a moment ago, and be on its way to jobs/ended/. */
	waiting_release(&(struct waiting){.job = job});
	job_sweep(job->store, job->id);
	if (is_active(job))
		return refuse_active(job, err);
	return request == RP_JOB_START ? worker_resume(job->store, job->id, err)
				       : job_forget(job->store, job->id, err);
}

/* By who has resumed it or removed what it has kept: it is not what we took it for. */
static bool is_forestalled(uint32_t rc, const struct rp_error *err)
{
	return (rc == RP_INVALID_STATE || rc == RP_NOT_AVAILABLE) &&
	       !strcmp(err->step, "resume");
}

/* With @requests locked; *ret_ended: what is left to do is change_ended()'s. */
static uint32_t request_locked(struct rp_job *job, int requests, uint32_t request,
			       bool *ret_ended, struct rp_error *err)
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
		*ret_ended = true;
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

static uint32_t ask(struct rp_job *job, uint32_t request, bool *ret_ended,
		    struct rp_error *err)
{
	_cleanup_unlock_ int requests = lock_requests(job);

	*ret_ended = false;
	if (requests >= 0)
		return request_locked(job, requests, request, ret_ended, err);
	rp_fail_os(err, requests, "request", "of job %s", job->id);
	return RP_JOB_UNSPECIFIED;
}

uint32_t rp_job_request_state_change(struct rp_job *job, uint32_t requested,
				     uint64_t timeout_ms, struct rp_error *reterr)
{
	struct rp_error own, *err = reterr ?: &own;
	uint64_t deadline_ns;
	uint32_t answer, rc;
	bool ended, late;

	rp_error_clear(err);
	if (!job) {
		rp_fail(err, RP_INVALID_PARAMETER, "check", "job is NULL");
		return RP_JOB_INVALID;
	}
	deadline_ns = watch_deadline(job->store->wait_ms);
	do { /* once more at least, however long it took to come too late */
		late = io_now_ns() >= deadline_ns;
		rp_error_clear(err);
		answer = ask(job, requested, &ended, err);
		rc = ended ? change_ended(job, requested, err) : RP_OK;
	} while (is_forestalled(rc, err) && !late);
	if (rc)
		return RP_JOB_UNSPECIFIED;
	return answer == RP_JOB_TRANSITION && timeout_ms
		       ? await(job, requested, timeout_ms, err)
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
