/* SPDX-License-Identifier: MIT */
/*
 * job.c - beginning, ending and burying export records
 */
#include "job.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "doc.h"
#include "io/tree.h"
#include "target.h"

/* How long the record of an ended job is kept (TimeBeforeRemoval). */
#define KEEP_SECONDS (7 * 24 * 60 * 60)

static int set_string(json_t *doc, const char *key, const char *text)
{
	return json_object_set_new(doc, key, text ? json_string(text) : json_null());
}

static int set_state(json_t *doc, enum job_state state, uint32_t code, const char *why)
{
	char now[DOC_TIME_SIZE];

	doc_time(now);
	if (json_object_set_new(doc, "JobState", json_integer(state)) < 0 ||
	    json_object_set_new(doc, "ErrorCode", json_integer(code)) < 0 ||
	    set_string(doc, "ErrorDescription", why) < 0 ||
	    set_string(doc, "TimeOfLastStateChange", now) < 0)
		return -ENOMEM;
	return 0;
}

static int job_save(const struct job *job)
{
	return doc_save(job->fd, "job.json", job->doc);
}

static int job_fill(struct job *job, const char *system, const char *id,
		    const char *directory)
{
	char now[DOC_TIME_SIZE];
	struct stat st;

	doc_time(now);
	if (stat(directory, &st) < 0)
		return -errno;
	job->doc = doc_new();
	if (!job->doc || set_string(job->doc, "InstanceID", job->id) < 0 ||
	    set_string(job->doc, "VirtualSystemIdentifier", system) < 0 ||
	    set_string(job->doc, "ReferencePointId", id) < 0 ||
	    set_string(job->doc, "BaseReferencePointId", NULL) < 0 ||
	    set_string(job->doc, "ExportDirectory", directory) < 0 ||
	    set_string(job->doc, "TimeSubmitted", now) < 0 ||
	    json_object_set_new(job->doc, "ExportDevice",
				json_integer((json_int_t)st.st_dev)) < 0 ||
	    json_object_set_new(job->doc, "ProcessId", json_integer(getpid())) < 0)
		return -ENOMEM;
	return set_state(job->doc, JOB_RUNNING, 0, NULL);
}

static void job_release(struct job *job)
{
	json_decref(job->doc);
	job->doc = NULL;
	if (job->fd >= 0)
		close(job->fd);
	job->fd = -1;
}

uint32_t job_begin(struct rp_store *store, const char *system, const char *id,
		   const char *directory, struct job *ret, struct rp_error *err)
{
	struct job job = {.store = store, .fd = -1};
	uint32_t rc;
	int r;

	rc = store_birth(store, store->active_fd, job.id, &job.fd, err);
	if (rc)
		return rc;
	r = job_fill(&job, system, id, directory);
	if (r == 0)
		r = job_save(&job);
	if (r == 0)
		r = io_fsync(store->active_fd);
	if (r < 0) {
		io_tree_remove(store->active_fd, job.id);
		job_release(&job);
		return rp_fail_os(err, r, "write", "job record in store %s", store->path);
	}
	*ret = job;
	return RP_OK;
}

static bool is_running(const json_t *doc)
{
	uint64_t state;

	return doc_u64(doc, "JobState", &state) < 0 || state == JOB_RUNNING;
}

/* Records of exports that ended longer ago go. */
static void forget_old(struct rp_store *store)
{
	time_t oldest = time(NULL) - KEEP_SECONDS;
	char **names;
	size_t count;

	if (io_dir_names(store->ended_fd, &names, &count) < 0)
		return;
	for (size_t i = 0; i < count; i++) {
		struct stat st;

		if (fstatat(store->ended_fd, names[i], &st, AT_SYMLINK_NOFOLLOW) == 0 &&
		    st.st_mtime < oldest)
			io_tree_remove(store->ended_fd, names[i]);
	}
	io_names_free(names, count);
}

/* Saves the last state and moves the folder to jobs/ended/. A state that cannot be
 * saved leaves it to a later sweep. */
static void job_retire(struct job *job)
{
	struct rp_store *store = job->store;

	if (job_save(job) == 0 &&
	    renameat(store->active_fd, job->id, store->ended_fd, job->id) == 0) {
		io_fsync(store->ended_fd);
		forget_old(store);
	}
	job_release(job);
}

void job_end(struct job *job, uint32_t rc, const struct rp_error *err)
{
	if (!job->doc)
		return;
	if (rc == RP_OK)
		set_state(job->doc, JOB_COMPLETED, 0, NULL);
	else
		set_state(job->doc, JOB_EXCEPTION, rc, err ? err->message : NULL);
	job_retire(job);
}

/* What it has left at its target; negative if that may still be somewhere. */
static int discard_target(const json_t *doc, bool *ret_published)
{
	const char *directory, *system, *id;
	uint64_t device;
	struct stat st;
	int r;

	if (doc_string(doc, "ExportDirectory", &directory) < 0 ||
	    doc_string(doc, "VirtualSystemIdentifier", &system) < 0 ||
	    doc_string(doc, "ReferencePointId", &id) < 0 || directory[0] != '/' ||
	    !name_valid(system) || !id_valid(id))
		return 0;
	r = target_discard_dead(directory, system, id, ret_published);
	if (r != 0 || *ret_published)
		return r;
	/* It may have written to what is not mounted there now. Only if nothing is found:
	 * Btrfs and network file systems have another number with every mount. */
	if (stat(directory, &st) < 0)
		return -errno;
	return doc_u64(doc, "ExportDevice", &device) == 0 && device != (uint64_t)st.st_dev
		       ? -ENODEV
		       : 0;
}

/* So long ago that its target will not come back. */
static bool is_old(const struct job *job)
{
	struct stat st;

	return fstat(job->fd, &st) == 0 && st.st_mtime < time(NULL) - KEEP_SECONDS;
}

static void end_dead(struct job *job)
{
	bool published = false;

	if (discard_target(job->doc, &published) < 0 && !is_old(job)) {
		job_release(job);
		return;
	}
	/* Else it was killed between its end and its move. */
	if (is_running(job->doc)) {
		if (published)
			set_state(job->doc, JOB_COMPLETED, 0, NULL);
		else
			set_state(job->doc, JOB_EXCEPTION, RP_FAILED, "interrupted");
	}
	job_retire(job);
}

void job_sweep(struct rp_store *store, const char *name)
{
	struct job job = {.store = store, .fd = -1};
	int r;

	job.fd = io_dir_open(store->active_fd, name);
	/* By the time it can be locked it may have ended, and lie elsewhere. */
	if (job.fd < 0 || !id_valid(name) || io_lock(job.fd, true, 0) < 0 ||
	    !io_dir_is_at(store->active_fd, name, job.fd)) {
		job_release(&job);
		return;
	}
	memcpy(job.id, name, ID_SIZE);
	r = doc_load(job.fd, "job.json", &job.doc);
	if (r == 0) {
		end_dead(&job);
		return;
	}
	/* Killed before its record was written, so it has no target yet; or damaged. */
	if (r == -ENOENT || r == -EBADMSG)
		io_tree_remove(store->active_fd, name);
	job_release(&job);
}
