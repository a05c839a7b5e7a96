/* SPDX-License-Identifier: MIT */
/*
 * job.c - the beginning, the taking up and the end of a job
 */
#include "job.h"

#include <string.h>
#include <sys/stat.h>

#include "doc.h"
#include "io/bell.h"
#include "io/clock.h"
#include "io/lock.h"
#include "io/small_file.h"
#include "io/tree.h"
#include "job_queue.h"
#include "job_record.h"
#include "settings.h"
#include "slip.h"

#define DEFAULT_PRIORITY 50

int job_save(const struct job *job)
{
	return doc_save(job->fd, "job.json", job->doc);
}

/* In place, where no room is needed for it. 0 or -errno. */
static int tell_state(struct job *job)
{
	_cleanup_doc_ json_t *told = NULL;
	int r;

	if (job->progress < 0)
		job->progress = slip_open(job->fd, JOB_PROGRESS);
	if (job->progress < 0)
		return job->progress;
	if (slip_read(job->fd, JOB_PROGRESS, &told) < 0)
		told = json_object();
	if (!told || job_record_copy_state(job->doc, told) < 0)
		return -ENOMEM;
	r = slip_write(job->progress, told);
	if (r == -EMSGSIZE) { /* a long sentence: the codes are left */
		json_object_set_new(told, "ErrorDescription", json_null());
		json_object_del(told, "Error");
		r = slip_write(job->progress, told);
	}
	return r;
}

int job_save_state(struct job *job)
{
	int r = job_save(job);

	job->unsaved = r < 0;
	return r < 0 && tell_state(job) == 0 ? 0 : r;
}

int job_set_device(struct job *job, dev_t device, bool found)
{
	uint64_t before;

	if (doc_u64(job->doc, "ExportDevice", &before) < 0 || before == device)
		return 0;
	if (job->kept && !found)
		return -ENODEV;
	if (json_object_set_new(job->doc, "ExportDevice",
				json_integer((json_int_t)device)) < 0)
		return -ENOMEM;
	return job_save_state(job);
}

static int set_state(struct job *job, enum rp_job_state state)
{
	if (state == RP_JOB_RUNNING &&
	    json_is_null(json_object_get(job->doc, "StartTime")))
		job->start_ns = io_now_ns();
	return job_record_set_state(job->doc, state);
}

int job_set_state(struct job *job, enum rp_job_state state)
{
	int r = set_state(job, state);

	return r < 0 ? r : job_save_state(job);
}

static int job_fill(struct job *job, const struct job_order *o)
{
	json_t *settings;
	struct stat st;

	if (stat(o->directory, &st) < 0)
		return -errno;
	job->priority = o->options->priority ?: DEFAULT_PRIORITY;
	job->queued = o->queued;
	job->doc = job_record_new(job, o);
	settings = settings_doc(o->options);
	if (!job->doc || !settings ||
	    json_object_set_new(job->doc, "Settings", settings) < 0 ||
	    json_object_set_new(job->doc, "ExportDevice",
				json_integer((json_int_t)st.st_dev)) < 0)
		return -ENOMEM;
	if (job_record_set_error(job->doc, RP_OK, NULL) < 0)
		return -ENOMEM;
	return set_state(job, o->queued ? RP_JOB_NEW : RP_JOB_RUNNING);
}

/* All but the lock of its folder. */
static void let_go(struct job *job)
{
	int *fds[] = {&job->progress, &job->bell, &job->place};

	json_decref(job->doc);
	job->doc = NULL;
	io_unsynced_forget(&job->unsynced);
	for (size_t i = 0; i < ARRAY_SIZE(fds); i++) {
		if (*fds[i] >= 0)
			close(*fds[i]);
		*fds[i] = -1;
	}
}

void job_release(struct job *job)
{
	let_go(job);
	io_unlock_close(take_fd(&job->fd));
}

static int open_bell(struct job *job)
{
	int r = io_bell_make(job->fd, JOB_BELL);

	if (r == 0)
		r = job->bell = io_bell_own(job->fd, JOB_BELL);
	if (!job->queued && (r == -ENOSYS || r == -EOPNOTSUPP || r == -EPERM))
		r = 0; /* a file system without FIFOs: heard with the next tick */
	return r < 0 ? r : 0;
}

/* What was asked of it before does not count any more, but for the limit. */
static int reset_requests(struct job *job, uint64_t bandwidth)
{
	_cleanup_doc_ json_t *none = json_pack("{s:i, s:i, s:I}", "Request", 0, "Serial",
					       0, "BandwidthLimit",
					       (json_int_t)bandwidth);
	_cleanup_close_ int requests = slip_open(job->fd, JOB_REQUESTS);

	return requests < 0 ? requests : none ? slip_write(requests, none) : -ENOMEM;
}

int job_make_requests(struct job *job)
{
	_cleanup_unlock_ int fd = slip_open(job->fd, JOB_REQUESTS);
	int r = fd < 0 ? fd : io_lock(fd, true, 0);
	struct job_asked asked;

	if (r == -EWOULDBLOCK) /* somebody writes the first one */
		return 0;
	if (r == 0 && job_read_asked(job->fd, job->doc, &asked) == -ENOENT)
		r = reset_requests(job, asked.bandwidth);
	return r;
}

/* @doc as its record, not yet under the name. 0 or -errno. */
static int begin_record(struct job *job, const json_t *doc)
{
	int fd = doc_swap_begin(job->fd, "job.json", doc);

	if (fd < 0)
		return fd;
	job->unsynced.ferry = job->store->ferry;
	io_unsynced_take(&job->unsynced, fd, "");
	return 0;
}

/*
 * Others see it whole, or not at all. After a power cut it may be neither, and is that of
 * a job that was not begun.
 */
static int write_record(struct job *job)
{
	int r = begin_record(job, job->doc);

	if (r == 0)
		r = io_swap_end(job->fd, "job.json", 0);
	if (r < 0)
		return r;
	io_unsynced_add_folder(&job->unsynced, job->fd, "");
	io_unsynced_add_folder(&job->unsynced, job->store->active_fd, "");
	return 0;
}

static uint32_t drop(struct job *job, int error, struct rp_error *err)
{
	io_tree_remove(job->store->active_fd, job->id);
	job_release(job);
	job->id[0] = '\0';
	return rp_fail_os(err, error, "write", "job record in store %s",
			  job->store->path);
}

uint32_t job_settle(struct job *job, struct rp_error *err)
{
	const char *name;
	int r = io_unsynced_settle(&job->unsynced, &name);

	return r < 0 ? drop(job, r, err) : RP_OK;
}

uint32_t job_begin(struct rp_store *store, const struct job_order *order, struct job *ret,
		   struct rp_error *err)
{
	struct job job = JOB_NONE;
	uint32_t rc;
	int r;

	job.store = store;
	rc = store_birth(store, store->active_fd, job.id, &job.fd, err);
	if (rc)
		return rc;
	r = job_fill(&job, order);
	if (r == 0)
		r = open_bell(&job);
	if (r == 0 && job.queued) /* its record is not found yet */
		r = job_make_requests(&job);
	if (r == 0)
		r = write_record(&job);
	if (r == 0 && job.queued) {
		rc = job_settle(&job, err);
		if (rc)
			return rc;
		r = job_queue_enter(&job);
	}
	if (r < 0)
		return drop(&job, r, err);
	*ret = job;
	return RP_OK;
}

/* Locked, as others may be asking. The limit may have been changed since it was ordered.
 */
static int forget_requests(struct job *job)
{
	_cleanup_unlock_ int fd = io_locked(slip_open(job->fd, JOB_REQUESTS),
					    job->store->wait_ms);
	struct job_asked asked;

	if (fd < 0)
		return fd;
	job_read_asked(job->fd, job->doc, &asked);
	return reset_requests(job, asked.bandwidth);
}

/* With its folder locked. */
static int take_up(struct job *job)
{
	uint64_t priority = DEFAULT_PRIORITY;
	int r;

	doc_u64(job->doc, "Priority", &priority);
	job->priority = (unsigned)min_u64(priority, 99);
	job->queued = true;
	job->kept = job_record_has_kept(job->doc);
	json_object_del(job->doc, "Kept"); /* who knows, while it works */
	json_object_del(job->doc, "ElapsedTime");
	if (job_record_set_state(job->doc, RP_JOB_STARTING) < 0 ||
	    job_record_set_error(job->doc, RP_OK, NULL) < 0 ||
	    json_object_set_new(job->doc, "Resumable", json_false()) < 0 ||
	    json_object_set_new(job->doc, "Cancellable", json_true()) < 0 ||
	    json_object_set_new(job->doc, "ProcessId", json_integer(getpid())) < 0)
		return -ENOMEM;
	r = forget_requests(job);
	return r < 0 ? r : open_bell(job);
}

uint32_t job_open_resumable(struct rp_store *store, const char *id, struct job *ret,
			    struct rp_error *err)
{
	struct job job = JOB_NONE;
	int r;

	job.store = store;
	memcpy(job.id, id, ID_SIZE);
	job.fd = r = io_dir_open(store->ended_fd, id);
	if (r >= 0)
		r = io_lock(job.fd, true, STORE_GLANCE_MS);
	if (r == 0)
		r = job_record_load(job.fd, &job.doc);
	if (r == 0 && io_dir_is_at(store->ended_fd, id, job.fd) &&
	    json_is_true(json_object_get(job.doc, "Resumable"))) {
		*ret = job;
		return RP_OK;
	}
	job_release(&job);
	if (r == 0 || r == -ETIME || r == -ENOENT)
		return rp_fail(err, RP_INVALID_STATE, "resume",
			       "job %s: is not one that can be resumed", id);
	return rp_fail_os(err, r, "resume", "job %s", id);
}

uint32_t job_resume(struct rp_store *store, const char *id, struct job *ret,
		    struct rp_error *err)
{
	struct job job;
	uint32_t rc = job_open_resumable(store, id, &job, err);
	int r;

	if (rc)
		return rc;
	r = take_up(&job);
	if (r == 0 && renameat(store->ended_fd, id, store->active_fd, id) < 0)
		r = -errno;
	if (r == 0)
		r = job_save(&job);
	if (r == 0)
		r = job_queue_enter(&job);
	if (r < 0) { /* in either folder it is one that has died: the next sweep's */
		job_release(&job);
		return rp_fail_os(err, r, "resume", "job %s", id);
	}
	*ret = job;
	return RP_OK;
}

/* The last state: the folder is not synced yet. */
static int save_last(struct job *job)
{
	const char *name;
	int r;

	if (job->written)
		return io_swap_end(job->fd, "job.json", 0);
	r = begin_record(job, job->doc);
	return r < 0 ? r
		     : io_swap_end(job->fd, "job.json",
				   io_unsynced_settle(&job->unsynced, &name));
}

void job_retire(struct job *job)
{
	struct rp_store *store = job->store;
	bool saved = save_last(job) == 0;
	bool ended = saved &&
		     renameat(store->active_fd, job->id, store->ended_fd, job->id) == 0;

	if (!saved)
		tell_state(job);
	/* What has been published tells of itself. */
	if (ended && !store->ferry && !job->written) {
		io_fsync(job->fd);
		io_fsync(store->ended_fd);
	}
	job_queue_leave(job);
	unlinkat(job->fd, JOB_BELL, 0);
	let_go(job);
}

static enum rp_job_state end_state(const struct job *job, uint32_t rc,
				   const struct rp_error *err)
{
	if (rc == RP_OK)
		return RP_JOB_COMPLETED;
	if (job->kill)
		return RP_JOB_KILLED;
	/* The caller may have stopped it too. */
	return job->terminate || (err && err->os_error == ECANCELED) ? RP_JOB_TERMINATED
								     : RP_JOB_EXCEPTION;
}

/* The same again would come to another end, or could: it was stopped, or something
 * failed that may have been mended by then. */
static bool may_resume(const struct job *job, enum rp_job_state state, uint32_t rc)
{
	if (rc == RP_OK)
		return false;
	if (job->kept) /* nothing else would find it, to go on or to remove it */
		return true;
	if (job->discard)
		return false;
	return state == RP_JOB_TERMINATED ||
	       (state == RP_JOB_EXCEPTION && (rc == RP_FAILED || rc == RP_TIMEOUT ||
					      rc == RP_OUT_OF_MEMORY || rc == RP_IN_USE));
}

/* In @doc, the record of @job or a copy. */
static void set_end(const struct job *job, json_t *doc, uint32_t rc,
		    const json_t *manifest, const struct rp_error *err)
{
	enum rp_job_state state = end_state(job, rc, err);

	job_record_set_state(doc, state);
	job_record_set_error(doc, rc, err);
	json_object_set_new(doc, "Cancellable", json_false());
	json_object_set_new(doc, "Resumable", json_boolean(may_resume(job, state, rc)));
	json_object_set_new(doc, "Kept", json_boolean(rc && job->kept));
	if (job->start_ns) /* the wall clock may have been set meanwhile */
		json_object_set_new(
			doc, "ElapsedTime",
			json_real((double)(io_now_ns() - job->start_ns) / 1e9));
	if (rc == RP_OK && manifest)
		job_record_set_exported(doc, manifest);
}

void job_write_end(struct job *job, const json_t *manifest)
{
	_cleanup_doc_ json_t *doc = json_copy(job->doc); /* it may fail yet */
	const char *name;

	if (!doc)
		return;
	set_end(job, doc, RP_OK, manifest, NULL);
	job->written = begin_record(job, doc) == 0 &&
		       io_unsynced_settle(&job->unsynced, &name) == 0;
}

void job_end(struct job *job, uint32_t rc, const json_t *manifest,
	     const struct rp_error *err)
{
	if (!job->doc)
		return;
	job->written &= rc == RP_OK;
	if (!job->written)
		set_end(job, job->doc, rc, manifest, err);
	job_retire(job);
}
