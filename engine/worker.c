/* SPDX-License-Identifier: MIT */
/*
 * worker.c - starting threads for jobs
 *
 * A worker shares nothing with who started it: what others know of it they read from
 * the job's record.
 */
#include "worker.h"

#include "io/base.h"
#include "io/thread.h"

struct worker {
	struct rp_store *store;
	struct exporting *x;
};

static void worker_free(struct worker *w)
{
	exporting_free(w->x);
	rp_store_close(w->store);
	free(w);
}

static uint32_t worker_new(const struct rp_store *store, struct worker **ret,
			   struct rp_error *err)
{
	struct worker *w = calloc(1, sizeof(*w));
	int r;

	if (!w)
		return rp_fail_os(err, -ENOMEM, "start", "job");
	r = store_dup(store, &w->store);
	if (r < 0) {
		worker_free(w);
		return rp_fail_os(err, r, "open", "store %s", store->path);
	}
	*ret = w;
	return RP_OK;
}

static void *work(void *arg)
{
	struct worker *w = arg;
	struct rp_error err; /* in the record by the time it is lost here */

	exporting_run(w->x, NULL, &err);
	worker_free(w);
	return NULL;
}

static uint32_t worker_start(struct worker *w, struct rp_error *err)
{
	pthread_t thread;
	int r = io_thread_start(&thread, work, w);

	if (r < 0)
		return rp_fail_os(err, r, "start", "thread of the job");
	pthread_detach(thread);
	return RP_OK;
}

/* What nobody works on has ended, and its record says why. */
static uint32_t worker_fail(struct worker *w, uint32_t rc, struct rp_error *why,
			    struct rp_error *err)
{
	if (w->x)
		exporting_drop(take_ptr(w->x), rc, why);
	worker_free(w);
	if (err)
		*err = *why;
	return rc;
}

uint32_t worker_export(struct rp_store *store, const char *point, const char *directory,
		       const struct rp_export_options *options, struct rp_job **ret,
		       struct rp_error *err)
{
	struct rp_job *job = NULL;
	struct rp_error why;
	struct worker *w;
	uint32_t rc = worker_new(store, &w, err);

	if (rc)
		return rc;
	rc = exporting_new(w->store, point, directory, options, true, &w->x, &why);
	if (rc == RP_OK)
		rc = rp_job_open(w->store, exporting_job(w->x), &job, &why);
	if (rc == RP_OK)
		rc = worker_start(w, &why);
	if (rc) {
		rp_job_close(job);
		return worker_fail(w, rc, &why, err);
	}
	*ret = job;
	return RP_OK;
}

uint32_t worker_resume(struct rp_store *store, const char *id, struct rp_error *err)
{
	struct rp_error why;
	struct worker *w;
	uint32_t rc = worker_new(store, &w, err);

	if (rc)
		return rc;
	rc = exporting_resume(w->store, id, &w->x, &why);
	if (rc == RP_OK)
		rc = worker_start(w, &why);
	return rc ? worker_fail(w, rc, &why, err) : RP_OK;
}
