/* SPDX-License-Identifier: MIT */
/*
 * job.c - beginning, ending and burying export records
 */
#include "job.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "doc.h"
#include "io/bell.h"
#include "io/tree.h"
#include "job_queue.h"
#include "journal.h"
#include "settings.h"
#include "slip.h"
#include "target.h"

#define DEFAULT_PRIORITY 50

/* A reader may look at the lock, or a sweep, for a moment. */
#define GLANCE_MS 50

int job_set_string(json_t *doc, const char *key, const char *text)
{
	return json_object_set_new(doc, key, text ? json_string(text) : json_null());
}

enum rp_job_state job_doc_state(const json_t *doc)
{
	uint64_t state;

	return doc_u64(doc, "JobState", &state) < 0 || !job_state_valid(state)
		       ? RP_JOB_RUNNING
		       : (enum rp_job_state)state;
}

static int set_state(json_t *doc, enum rp_job_state state)
{
	char now[DOC_TIME_SIZE];

	doc_time(now);
	if (json_object_set_new(doc, "JobState", json_integer(state)) < 0 ||
	    job_set_string(doc, "TimeOfLastStateChange", now) < 0)
		return -ENOMEM;
	if (state == RP_JOB_RUNNING && json_is_null(json_object_get(doc, "StartTime")) &&
	    job_set_string(doc, "StartTime", now) < 0)
		return -ENOMEM;
	return 0;
}

/* The error it ended with; none if @rc is RP_OK. */
static int set_error(json_t *doc, uint32_t rc, const struct rp_error *err)
{
	_cleanup_doc_ json_t *error = json_object();

	if (!error || json_object_set_new(doc, "ErrorCode", json_integer(rc)) < 0 ||
	    job_set_string(doc, "ErrorDescription", rc && err ? err->message : NULL) <
		    0 ||
	    job_set_string(doc, "ErrorSummaryDescription",
			   rc ? rp_return_name(rc) : NULL) < 0)
		return -ENOMEM;
	if (!rc || !err)
		return json_object_del(doc, "Error"), 0;
	if (job_set_string(error, "Step", err->step) < 0 ||
	    job_set_string(error, "System", err->system) < 0 ||
	    job_set_string(error, "Disk", err->disk) < 0 ||
	    json_object_set_new(error, "Errno", json_integer(err->os_error)) < 0 ||
	    json_object_set_new(error, "Offset",
				err->offset == RP_NO_OFFSET
					? json_null()
					: json_integer((json_int_t)err->offset)) < 0)
		return -ENOMEM;
	return json_object_set(doc, "Error", error);
}

static int job_save(const struct job *job)
{
	return doc_save(job->fd, "job.json", job->doc);
}

void job_set_state(struct job *job, enum rp_job_state state)
{
	if (set_state(job->doc, state) == 0)
		job_save(job);
}

/* What the model's class has. */
static json_t *new_record(const struct job *job, const struct job_order *o)
{
	char now[DOC_TIME_SIZE];

	doc_time(now);
	return json_pack(
		"{s:i, s:s, s:s+++, s:s, s:n, s:s, s:i, s:b, s:s, s:s+++++, s:s, s:s, "
		"s:s, s:s?, s:[], s:n, s:[], s:i, s:b, s:b, s:I}",
		"FormatVersion", DOC_VERSION, "InstanceID", job->id, "Name", "Export ",
		o->system, "@", o->id, "TimeSubmitted", now, "StartTime", "Owner",
		store_owner(job->store), "Priority", (int)job->priority, "Cancellable", 1,
		"ExportDirectory", o->directory, "ExportPath", o->directory, "/",
		o->system, "/", o->id, "", "VirtualSystemIdentifier", o->system,
		"VirtualMachineId", o->system, "ReferencePointId", o->id,
		"BaseReferencePointId", o->base, "ExportedDisks",
		"ExportedConfigFilePath", "Disks", "ProcessId", (int)getpid(),
		"Resumable", 0, "Queued", (int)o->queued, "TimeBeforeRemoval",
		(json_int_t)job->store->keep_seconds);
}

static int job_fill(struct job *job, const struct job_order *o)
{
	json_t *settings;
	struct stat st;

	if (stat(o->directory, &st) < 0)
		return -errno;
	job->priority = o->options->priority ?: DEFAULT_PRIORITY;
	job->queued = o->queued;
	job->doc = new_record(job, o);
	settings = settings_doc(o->options);
	if (!job->doc || !settings ||
	    json_object_set_new(job->doc, "Settings", settings) < 0 ||
	    json_object_set_new(job->doc, "ExportDevice",
				json_integer((json_int_t)st.st_dev)) < 0)
		return -ENOMEM;
	if (set_error(job->doc, RP_OK, NULL) < 0)
		return -ENOMEM;
	return set_state(job->doc, o->queued ? RP_JOB_NEW : RP_JOB_RUNNING);
}

static void job_release(struct job *job)
{
	int *fds[] = {&job->progress, &job->bell, &job->fd};

	json_decref(job->doc);
	job->doc = NULL;
	io_unsynced_forget(&job->unsynced);
	for (size_t i = 0; i < ARRAY_SIZE(fds); i++) {
		if (*fds[i] >= 0)
			close(*fds[i]);
		*fds[i] = -1;
	}
}

uint64_t job_bandwidth(const struct job *job)
{
	const json_t *settings = json_object_get(job->doc, "Settings");
	uint64_t bandwidth = 0;
	json_t *requests;

	doc_u64(json_object_get(settings, "Options"), "BandwidthLimit", &bandwidth);
	if (slip_read(job->fd, JOB_REQUESTS, &requests) == 0) {
		doc_u64(requests, "BandwidthLimit", &bandwidth);
		json_decref(requests);
	}
	return bandwidth;
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

/*
 * Others see it whole, or not at all. After a power cut it may be neither, and is that of
 * a job that was not begun.
 */
static int write_record(struct job *job)
{
	int fd = doc_swap_begin(job->fd, "job.json", job->doc), r;

	if (fd < 0)
		return fd;
	job->unsynced.ferry = job->store->ferry;
	io_unsynced_take(&job->unsynced, fd, "");
	r = io_swap_end(job->fd, "job.json", 0);
	if (r < 0)
		return r;
	io_unsynced_add(&job->unsynced, job->fd, "");
	io_unsynced_add(&job->unsynced, job->store->active_fd, "");
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

/* With its folder locked. The limit may have been changed since it was ordered. */
static int take_up(struct job *job)
{
	uint64_t priority = DEFAULT_PRIORITY, bandwidth = job_bandwidth(job);
	int r;

	doc_u64(job->doc, "Priority", &priority);
	job->priority = (unsigned)min_u64(priority, 99);
	job->queued = true;
	if (set_state(job->doc, RP_JOB_STARTING) < 0 ||
	    set_error(job->doc, RP_OK, NULL) < 0 ||
	    json_object_set_new(job->doc, "Resumable", json_false()) < 0 ||
	    json_object_set_new(job->doc, "ProcessId", json_integer(getpid())) < 0)
		return -ENOMEM;
	r = reset_requests(job, bandwidth);
	return r < 0 ? r : open_bell(job);
}

/* Locks and loads an ended job that can be resumed. */
static uint32_t open_resumable(struct rp_store *store, const char *id, struct job *ret,
			       struct rp_error *err)
{
	struct job job = JOB_NONE;
	int r;

	job.store = store;
	memcpy(job.id, id, ID_SIZE);
	job.fd = r = io_dir_open(store->ended_fd, id);
	if (r >= 0)
		r = io_lock(job.fd, true, GLANCE_MS);
	if (r == 0)
		r = doc_load(job.fd, "job.json", &job.doc);
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
	uint32_t rc = open_resumable(store, id, &job, err);
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

#define FORGET_SECONDS 60

void job_forget_old(struct rp_store *store)
{
	time_t now = time(NULL), oldest = now - (time_t)store->keep_seconds;
	char **names;
	size_t count;

	/* Of a thousand exports one looks through the records. */
	if (store->forgot && now - store->forgot < FORGET_SECONDS)
		return;
	store->forgot = now;
	if (io_dir_names(store->ended_fd, &names, &count) < 0)
		return;
	for (size_t i = 0; i < count; i++) {
		struct stat st;

		if (fstatat(store->ended_fd, names[i], &st, AT_SYMLINK_NOFOLLOW) < 0 ||
		    st.st_mtime >= oldest)
			continue;
		if (id_valid(names[i])) /* with what it has kept */
			job_forget(store, names[i], NULL);
		io_tree_remove(store->ended_fd, names[i]);
	}
	io_names_free(names, count);
}

/* The last state: the folder is not synced yet. */
static int save_last(const struct job *job)
{
	struct io_unsynced unsynced = {.ferry = job->store->ferry};
	int fd = doc_swap_begin(job->fd, "job.json", job->doc);
	const char *name;

	if (fd < 0)
		return fd;
	io_unsynced_take(&unsynced, fd, "");
	return io_swap_end(job->fd, "job.json", io_unsynced_settle(&unsynced, &name));
}

/*
 * Saves the last state and moves the folder to jobs/ended/. A state that cannot be
 * saved leaves it to a later sweep, and so does a move that a power cut undoes: of what
 * was published it says the same. Who has a ferry syncs the folders when all is done.
 */
static void job_retire(struct job *job)
{
	struct rp_store *store = job->store;
	bool ended = save_last(job) == 0 &&
		     renameat(store->active_fd, job->id, store->ended_fd, job->id) == 0;

	if (ended && !store->ferry) {
		io_fsync(job->fd);
		io_fsync(store->ended_fd);
	}
	job_queue_leave(job);
	unlinkat(job->fd, JOB_BELL, 0);
	job_release(job);
	if (ended) /* nobody waits for that */
		job_forget_old(store);
}

/* What was exported, as the manifest has it. */
static int describe(json_t *doc, const json_t *manifest)
{
	const char *path = json_string_value(json_object_get(doc, "ExportPath"));
	json_t *disks = json_object_get(manifest, "Disks"), *disk;
	_cleanup_doc_ json_t *files = json_array();
	size_t i;

	if (!files || json_object_set(doc, "Disks", disks) < 0)
		return -ENOMEM;
	json_array_foreach(disks, i, disk)
		if (json_array_append_new(files,
					  json_sprintf("%s/%s", path,
						       json_string_value(json_object_get(
							       disk, "File")))) < 0)
			return -ENOMEM;
	if (json_object_set(doc, "ExportedDisks", files) < 0 ||
	    json_object_set_new(doc, "ExportedConfigFilePath",
				json_sprintf("%s/config", path)) < 0)
		return -ENOMEM;
	return 0;
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
	if (job->discard)
		return false;
	return state == RP_JOB_TERMINATED ||
	       (state == RP_JOB_EXCEPTION && (rc == RP_FAILED || rc == RP_TIMEOUT ||
					      rc == RP_OUT_OF_MEMORY || rc == RP_IN_USE));
}

void job_end(struct job *job, uint32_t rc, const json_t *manifest,
	     const struct rp_error *err)
{
	enum rp_job_state state = end_state(job, rc, err);

	if (!job->doc)
		return;
	set_state(job->doc, state);
	set_error(job->doc, rc, err);
	json_object_set_new(job->doc, "Cancellable", json_false());
	json_object_set_new(job->doc, "Resumable",
			    json_boolean(may_resume(job, state, rc)));
	if (rc == RP_OK && manifest)
		describe(job->doc, manifest);
	job_retire(job);
}

/* What it has left at its target; negative if that may still be somewhere. */
static int discard_target(const json_t *doc, bool (*keep)(int dir), bool *ret_published)
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
	r = target_discard_dead(directory, system, id, keep, ret_published);
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

uint32_t job_forget(struct rp_store *store, const char *id, struct rp_error *err)
{
	bool published = false;
	struct job job;
	uint32_t rc = open_resumable(store, id, &job, err);
	int r;

	if (rc)
		return rc;
	r = discard_target(job.doc, NULL, &published);
	json_object_set_new(job.doc, "Resumable", json_false());
	if (r >= 0)
		r = set_state(job.doc, RP_JOB_KILLED);
	if (r >= 0)
		r = job_save(&job);
	job_release(&job);
	return r < 0 ? rp_fail_os(err, r, "discard", "what job %s has kept", id) : RP_OK;
}

void job_forget_point(struct rp_store *store, const char *id)
{
	char **names;
	size_t count;

	if (io_dir_names(store->ended_fd, &names, &count) < 0)
		return;
	for (size_t i = 0; i < count; i++) {
		_cleanup_close_ int fd = io_dir_open(store->ended_fd, names[i]);
		_cleanup_doc_ json_t *doc = NULL;
		const char *point;

		if (fd >= 0 && doc_load(fd, "job.json", &doc) == 0 &&
		    doc_string(doc, "ReferencePointId", &point) == 0 &&
		    !strcmp(point, id) && id_valid(names[i]))
			job_forget(store, names[i], NULL);
	}
	io_names_free(names, count);
}

/* So long ago that its target will not come back. */
static bool is_old(const struct job *job)
{
	struct stat st;

	return fstat(job->fd, &st) == 0 &&
	       st.st_mtime < time(NULL) - (time_t)job->store->keep_seconds;
}

static void end_dead(struct job *job)
{
	enum rp_job_state state = job_doc_state(job->doc);
	struct rp_error err;
	bool published = false;

	if (discard_target(job->doc, journal_worth_keeping, &published) < 0 &&
	    !is_old(job)) {
		job_release(job);
		return;
	}
	/* Who waited has published nothing: what is there is another's. */
	if (state != RP_JOB_RUNNING && state != RP_JOB_SHUTTING_DOWN)
		published = false;
	/* Else it was killed between its end and its move. */
	if (!job_has_ended(state)) {
		rp_error_clear(&err);
		if (!published)
			rp_fail(&err, RP_FAILED, "export", "interrupted");
		set_error(job->doc, err.code, &err);
		set_state(job->doc, published ? RP_JOB_COMPLETED : RP_JOB_EXCEPTION);
		json_object_set_new(job->doc, "Cancellable", json_false());
		json_object_set_new(job->doc, "Resumable", json_boolean(!published));
	}
	job_retire(job);
}

void job_sweep(struct rp_store *store, const char *name)
{
	struct job job = JOB_NONE;
	int r;

	job.store = store;
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
