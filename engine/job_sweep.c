/* SPDX-License-Identifier: MIT */
/*
 * job_sweep.c - what is left of jobs that have ended, or died: found, and forgotten
 */
#include "job_sweep.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "doc.h"
#include "io/clock.h"
#include "io/lock.h"
#include "io/tree.h"
#include "job.h"
#include "job_heirs.h"
#include "job_record.h"
#include "journal.h"
#include "target.h"

#define FORGET_SECONDS 60
#define FORGET_NS      (1000 * IO_MS) /* the rest is left for the next time */
#define FORGOT	       "jobs/forgot"  /* when it was done last, by whichever process */

/* What it has left at its target: as target_discard_dead(), negative also if it may be
 * where nobody can look now. The target answers. */
static int discard_target(const json_t *doc, bool (*keep)(int dir))
{
	const char *directory, *system, *id;
	bool published = false;
	uint64_t device;
	struct stat st;
	int r;

	/* One that was never Running has waited, and touched nothing. */
	if (!job_record_target(doc, &directory, &system, &id) ||
	    json_is_null(json_object_get(doc, "StartTime")) || !job_record_has_kept(doc))
		return 0;
	r = target_discard_dead(directory, system, id, keep, &published);
	if (r != 0 || published)
		return r;
	/* It may have written to what is not mounted there now. Only if nothing is found:
	 * Btrfs and network file systems have another number with every mount. */
	if (stat(directory, &st) < 0)
		return -errno;
	return doc_u64(doc, "ExportDevice", &device) == 0 && device != (uint64_t)st.st_dev
		       ? -ENODEV
		       : 0;
}

/* Unless another went on from it, for that one's sake. 0 or -errno. */
static int discard_kept(const struct job *job, struct job_heirs *heirs)
{
	int r;

	if (!job_record_has_kept(job->doc))
		return 0;
	r = job_record_answers(job->store, job->doc);
	if (r == 0)
		r = job_heirs_have(heirs, job->doc);
	if (r == 0)
		r = discard_target(job->doc, NULL);
	return r < 0 ? r : 0;
}

void job_discard_kept(struct job *job)
{
	struct job_heirs heirs = JOB_HEIRS(job->store);

	job->kept = job->kept && discard_kept(job, &heirs) < 0;
	job_heirs_close(&heirs);
}

static uint32_t forget(struct job_heirs *heirs, const char *id, struct rp_error *err)
{
	struct job job;
	uint32_t rc = job_open_resumable(heirs->store, id, &job, err);
	int r;

	if (rc)
		return rc;
	r = discard_kept(&job, heirs);
	json_object_set_new(job.doc, "Resumable", json_false());
	json_object_set_new(job.doc, "Kept", json_false());
	if (r == 0)
		r = job_record_set_state(job.doc, RP_JOB_KILLED);
	if (r == 0)
		r = job_save(&job);
	job_release(&job);
	return r < 0 ? rp_fail_os(err, r, "discard", "what job %s has kept", id) : RP_OK;
}

uint32_t job_forget(struct rp_store *store, const char *id, struct rp_error *err)
{
	struct job_heirs heirs = JOB_HEIRS(store);
	uint32_t rc = forget(&heirs, id, err);

	job_heirs_close(&heirs);
	return rc;
}

void job_forget_point(struct rp_store *store, const char *id)
{
	struct job_heirs heirs = JOB_HEIRS(store);
	char **names;
	size_t count;

	if (io_dir_names(store->ended_fd, &names, &count) < 0)
		return;
	for (size_t i = 0; i < count; i++) {
		_cleanup_doc_ json_t *doc = NULL;

		if (id_valid(names[i]) &&
		    job_record_load_resumable(store->ended_fd, names[i], id, &doc) == 0)
			forget(&heirs, names[i], NULL);
	}
	io_names_free(names, count);
	job_heirs_close(&heirs);
}

static bool is_recent(const struct stat *st, time_t now)
{
	return st->st_mtime <= now && now - st->st_mtime < FORGET_SECONDS;
}

/* Of a thousand exports one looks through the records, however many commands they are:
 * -EAGAIN if another does, or did lately; else what to close when it is done, or
 * -errno. */
static int begin_forgetting(struct rp_store *store, time_t now)
{
	_cleanup_unlock_ int fd = -1;
	struct stat before = {0}, st;

	if (store->forgot && now - store->forgot < FORGET_SECONDS)
		return -EAGAIN;
	store->forgot = now;
	if (fstatat(store->fd, FORGOT, &before, AT_SYMLINK_NOFOLLOW) == 0 &&
	    is_recent(&before, now))
		return -EAGAIN;
	fd = openat(store->fd, FORGOT,
		    O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0600);
	if (fd < 0)
		return -errno;
	if (io_lock(fd, true, 0) == -EWOULDBLOCK)
		return -EAGAIN;
	/* Another was quicker, unless it is new. */
	if (before.st_nlink && fstat(fd, &st) == 0 && st.st_mtime != before.st_mtime)
		return -EAGAIN;
	futimens(fd, NULL);
	return take_fd(&fd);
}

/* What an old one has kept goes with it: 0, -EAGAIN if it cannot be read for now, or as
 * discard_kept(). What is damaged for good tells no more. */
static int discard_old(struct job *job, struct job_heirs *heirs)
{
	int r = job_record_load(job->fd, &job->doc);

	if (r == -ENOENT || r == -EBADMSG)
		return 0;
	if (r < 0)
		return -EAGAIN;
	return json_is_true(json_object_get(job->doc, "Resumable"))
		       ? discard_kept(job, heirs)
		       : 0;
}

/* With its folder locked, so that nobody takes it up by halves; who looks at it for a
 * moment leaves it to the next time. */
static void forget_old(struct job_heirs *heirs, const char *name)
{
	struct rp_store *store = heirs->store;
	struct job job = JOB_NONE;
	int r = 0;

	job.store = store;
	job.fd = io_dir_open(store->ended_fd, name);
	if (is_shortage(job.fd) || job.fd == -ENOENT)
		return;
	if (job.fd >= 0 && (io_lock(job.fd, true, 0) < 0 ||
			    !io_dir_is_at(store->ended_fd, name, job.fd)))
		r = -EAGAIN;
	/* With what it has kept, when that answers. */
	else if (job.fd >= 0 && id_valid(name))
		r = discard_old(&job, heirs);
	if (r != -EAGAIN && r != -ETIME && r != -ETIMEDOUT && !is_shortage(r))
		io_tree_remove(store->ended_fd, name);
	job_release(&job);
}

/* For no longer than an export may be held up by it; what is read for that is read again
 * the next time, and is to be of use. */
static void forget_all_old(struct rp_store *store, time_t now)
{
	time_t oldest = now - (time_t)store->keep_seconds;
	uint64_t until = io_now_ns() + FORGET_NS;
	struct job_heirs heirs = JOB_HEIRS(store);
	char **names;
	size_t count;

	if (io_dir_names(store->ended_fd, &names, &count) < 0)
		return;
	/* Not always the same ones first: they may stay, and take all the time. */
	for (size_t i = 0; i < count && io_now_ns() < until + heirs.took_ns; i++) {
		const char *name = names[(i + (size_t)now) % count];
		struct stat st;

		if (fstatat(store->ended_fd, name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
		    st.st_mtime < oldest)
			forget_old(&heirs, name);
	}
	io_names_free(names, count);
	job_heirs_close(&heirs);
}

void job_forget_old(struct rp_store *store)
{
	time_t now = time(NULL);
	int forgetting = begin_forgetting(store, now);

	if (forgetting == -EAGAIN)
		return;
	forget_all_old(store, now);
	io_unlock_close(forgetting);
}

/* So long ago that its target will not come back. */
static bool is_old(const struct job *job)
{
	struct stat st;

	return fstat(job->fd, &st) == 0 &&
	       st.st_mtime < time(NULL) - (time_t)job->store->keep_seconds;
}

/* Nobody will go on from what it has left: it was told to keep nothing, or the data of
 * its point has gone. */
static bool is_unwanted(const struct job *job, uint32_t request)
{
	const char *directory, *system, *id;
	char point[NAME_SIZE + ID_SIZE + sizeof("/points/")];
	_cleanup_close_ int fd = -1;
	_cleanup_doc_ json_t *doc = NULL;

	if (request == RP_JOB_KILL || (request & RP_JOB_DISCARD))
		return true;
	if (!job_record_target(job->doc, &directory, &system, &id))
		return false;
	snprintf(point, sizeof(point), "%s/points/%s", system, id);
	fd = io_dir_open(job->store->systems_fd, point);
	if (fd < 0)
		return fd == -ENOENT;
	return doc_load(fd, "point.json", &doc) == 0 &&
	       json_is_false(json_object_get(doc, "HasAssociatedData"));
}

/* What it has come to, as it did not say so itself. */
static void set_dead(struct job *job, bool published, uint32_t request)
{
	enum rp_job_state state = request == RP_JOB_KILL     ? RP_JOB_KILLED
				  : request & RP_JOB_DISCARD ? RP_JOB_TERMINATED
							     : RP_JOB_EXCEPTION;

	job_record_set_dead(job->doc, job->fd, published ? RP_JOB_COMPLETED : state);
}

/* As discard_target(): all of it, if nobody will go on from it. All records are read to
 * know that, so only where there is something: a target may be away for days, and every
 * command comes by here. */
static int discard_dead(const struct job *job, uint32_t request)
{
	int r = discard_target(job->doc, journal_worth_keeping);
	struct job_heirs heirs = JOB_HEIRS(job->store);
	int wanted;

	if (r != TARGET_STAYS || !is_unwanted(job, request))
		return r;
	wanted = job_heirs_have(&heirs, job->doc);
	job_heirs_close(&heirs);
	if (wanted < 0)
		return wanted;
	return wanted ? r : discard_target(job->doc, NULL);
}

static void end_dead(struct job *job)
{
	struct job_asked asked;
	bool published = false;
	int r;

	job_read_asked(job->fd, job->doc, &asked);
	r = job_record_answers(job->store, job->doc);
	if (r == 0) {
		/* Asked before what shows that it has not is removed. */
		published = job_record_confirm_published(job->doc);
		r = discard_dead(job, asked.request);
	}
	if (r < 0 && !is_old(job)) {
		job_release(job);
		return;
	}
	if (r >= 0)
		json_object_set_new(job->doc, "Kept", json_boolean(r == TARGET_STAYS));
	/* Else it was killed between its end and its move. */
	if (!job_has_ended(job_record_state(job->doc)))
		set_dead(job, published, asked.request);
	job_retire(job);
	job_release(job);
}

/* Killed, or cut off from power, before it was written: the job has no target yet. */
static bool is_empty(int fd)
{
	struct stat st;

	return fstatat(fd, "job.json", &st, AT_SYMLINK_NOFOLLOW) == 0 && st.st_size == 0;
}

/* For who asks what has become of it. */
static void retire_damaged(struct job *job)
{
	unlinkat(job->fd, JOB_BELL, 0);
	renameat(job->store->active_fd, job->id, job->store->ended_fd, job->id);
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
	r = job_record_load(job.fd, &job.doc);
	if (r == 0) {
		end_dead(&job);
		return;
	}
	if (r == -ENOENT || (r == -EBADMSG && is_empty(job.fd)))
		io_tree_remove(store->active_fd, name);
	else if (r == -EBADMSG)
		retire_damaged(&job);
	job_release(&job);
}
