/* SPDX-License-Identifier: MIT */
/*
 * job_ref.c - a reference to a job: what it has come to
 */
#include "job_ref.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "doc.h"
#include "job.h"

uint32_t rp_job_open(struct rp_store *store, const char *id, struct rp_job **ret,
		     struct rp_error *reterr)
{
	struct rp_job *job;
	uint32_t rc;
	int r;

	rp_error_clear(reterr);
	if (!store || !ret)
		return rp_fail(reterr, RP_INVALID_PARAMETER, "check",
			       "an argument is NULL");
	job = calloc(1, sizeof(*job));
	if (!job)
		return rp_fail_os(reterr, -ENOMEM, "open", "job");
	job->fd = -1;
	job->notice = (struct io_notice)IO_NOTICE_NONE;
	r = store_dup(store, &job->store);
	rc = r < 0 ? rp_fail_os(reterr, r, "open", "store %s", store->path)
		   : job_find(job->store, id, job->id, &job->fd, reterr);
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

uint32_t job_ref_look(struct rp_job *job, struct job_view *ret, struct rp_error *err)
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

struct rp_progress job_ref_progress(const struct job_view *v)
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
	rc = job_ref_look(job, &v, reterr);
	if (rc)
		return rc;
	note_end(job, &v);
	if (ret_state)
		*ret_state = v.state;
	if (ret_progress)
		*ret_progress = job_ref_progress(&v);
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
	rc = job_ref_look(job, &v, reterr);
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
	if (job_ref_look(job, &v, NULL) == RP_OK) { /* it may have ended just before */
		note_end(job, &v);
		job_view_close(&v);
	}
	return job->notice.fd;
}
