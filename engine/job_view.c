/* SPDX-License-Identifier: MIT */
/*
 * job_view.c - finding, reading and listing job records
 */
#include "job_view.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "doc.h"
#include "io/bell.h"
#include "io/lock.h"
#include "io/tree.h"
#include "job_record.h"
#include "slip.h"

#define PREFIX_MIN 4
#define MEND_TRIES 100 /* 5 ms apart */
#define LOOKS	   3   /* for a job's folder */

void job_view_close(struct job_view *v)
{
	json_decref(v->doc);
	*v = (struct job_view){0};
}

/* Whoever works on it has it locked. */
bool job_is_alive(int fd)
{
	_cleanup_unlock_ int look = io_dir_open(fd, ".");

	return look < 0 ? is_shortage(look) : io_lock(look, false, 0) == -EWOULDBLOCK;
}

static int load(int fd, struct job_view *v)
{
	int r = job_record_load(fd, &v->doc);

	if (r < 0)
		return r;
	v->state = job_record_state(v->doc);
	v->resumable = json_is_true(json_object_get(v->doc, "Resumable"));
	return 0;
}

/* As a record that is damaged, or gone, is written again by who works on the job, when he
 * hears of it. -EAGAIN: not yet. */
static int load_whole(int fd, struct job_view *v)
{
	int r = load(fd, v);

	for (int tries = 0; (r == -EBADMSG || r == -ENOENT) && job_is_alive(fd);
	     tries++) {
		if (tries == MEND_TRIES)
			return -EAGAIN;
		io_bell_ring(fd, JOB_BELL);
		nanosleep(&(struct timespec){.tv_nsec = 5000000}, NULL);
		r = load(fd, v);
	}
	return r;
}

/* Nobody has ended it, and nobody will. */
static int see_dead(struct rp_store *store, int fd, struct job_view *v)
{
	bool published = job_record_answers(store, v->doc) == 0 &&
			 job_record_confirm_published(v->doc);

	v->state = published ? RP_JOB_COMPLETED : RP_JOB_EXCEPTION;
	v->resumable = !published;
	return job_record_set_dead(v->doc, fd, v->state);
}

/* What is asked of it, if it has not ended. */
static void see_requests(int fd, struct job_view *v)
{
	struct job_asked asked;
	uint32_t request;

	job_read_asked(fd, v->doc, &asked);
	json_object_set_new(v->doc, "BandwidthLimit",
			    json_integer((json_int_t)asked.bandwidth));
	v->last = asked.request;
	request = asked.request & ~(uint32_t)RP_JOB_DISCARD;
	if (v->alive && !job_has_ended(v->state) &&
	    (request == RP_JOB_TERMINATE || request == RP_JOB_KILL))
		v->state = RP_JOB_SHUTTING_DOWN;
}

/* Who ended it has written it down, unless it was begun by another, or has died. */
static double elapsed(const json_t *doc, bool ended)
{
	const json_t *told = json_object_get(doc, "ElapsedTime");
	const char *started, *changed;
	double begin, end;

	if (ended && json_is_number(told))
		return json_number_value(told);
	if (doc_string(doc, "StartTime", &started) < 0 ||
	    doc_string(doc, "TimeOfLastStateChange", &changed) < 0)
		return 0;
	begin = doc_time_seconds(started);
	end = doc_time_seconds(ended ? changed : NULL);
	return end > begin ? end - begin : 0;
}

static int see_progress(int fd, struct job_view *v)
{
	_cleanup_doc_ json_t *progress = NULL;
	uint64_t total = 0, done = 0, rate = 0;

	/* One that ended before the first time has it in its record. */
	if (slip_read(fd, JOB_PROGRESS, &progress) < 0)
		progress = json_object_get(v->doc, "Phase")
				   ? json_object()
				   : json_pack("{s:n, s:i, s:i, s:i, s:i}", "Phase",
					       "PercentComplete", 0, "BytesTotal", 0,
					       "BytesDone", 0, "BytesPerSecond", 0);
	job_record_drop_state(progress);
	if (!progress || json_object_update(v->doc, progress) < 0)
		return -ENOMEM;
	doc_u64(v->doc, "BytesTotal", &total);
	doc_u64(v->doc, "BytesDone", &done);
	doc_u64(v->doc, "BytesPerSecond", &rate);
	if (v->state == RP_JOB_COMPLETED)
		json_object_set_new(v->doc, "PercentComplete", json_integer(100));
	json_object_set_new(v->doc, "EstimatedTime",
			    rate && total >= done && !job_has_ended(v->state)
				    ? json_integer((json_int_t)((total - done) / rate))
				    : json_null());
	return 0;
}

/* Where nobody works on it, it may have ended, or even been resumed, since its record was
 * read: it is dead if that still says the same. */
static int load_state(struct rp_store *store, int fd, struct job_view *v)
{
	_cleanup_doc_ json_t *before = NULL;
	int r;

	for (;;) {
		r = load_whole(fd, v);
		if (r < 0 || job_has_ended(v->state))
			return r;
		v->alive = job_is_alive(fd);
		if (v->alive)
			return 0;
		if (before && json_equal(before, v->doc))
			return see_dead(store, fd, v);
		json_decref(before);
		before = take_ptr(v->doc);
	}
}

int job_view(struct rp_store *store, int fd, struct job_view *ret)
{
	struct job_view v = {0};
	int r = load_state(store, fd, &v);

	if (r == 0)
		r = see_progress(fd, &v);
	if (r == 0) {
		see_requests(fd, &v);
		json_object_set_new(v.doc, "JobState", json_integer(v.state));
		json_object_set_new(v.doc, "Resumable", json_boolean(v.resumable));
		job_record_set_string(v.doc, "JobStatus", job_state_name(v.state));
		json_object_set_new(v.doc, "ElapsedTime",
				    json_real(elapsed(v.doc, job_has_ended(v.state))));
		*ret = v;
	} else {
		job_view_close(&v);
	}
	return r;
}

uint32_t job_view_error(const struct job_view *v, struct rp_error *err)
{
	const json_t *error = json_object_get(v->doc, "Error");
	const char *text = "", *step = "";
	uint64_t code, number;

	rp_error_clear(err);
	if (!job_has_ended(v->state))
		return RP_JOB_STARTED;
	if (v->state == RP_JOB_COMPLETED)
		return RP_OK;
	if (doc_u64(v->doc, "ErrorCode", &code) < 0 || code < RP_FAILED ||
	    code > RP_OUT_OF_MEMORY)
		return rp_fail(err, RP_UNKNOWN_STATUS, "read",
			       "its record is damaged: it has failed without an error");
	doc_string(v->doc, "ErrorDescription", &text);
	doc_string(error, "Step", &step);
	rp_fail(err, (uint32_t)code, *step ? step : "export", "%s",
		*text ? text : job_state_name(v->state));
	if (!err)
		return (uint32_t)code;
	if (doc_string(error, "System", &text) == 0)
		snprintf(err->system, sizeof(err->system), "%s", text);
	if (doc_string(error, "Disk", &text) == 0)
		snprintf(err->disk, sizeof(err->disk), "%s", text);
	if (doc_u64(error, "Errno", &number) == 0)
		err->os_error = (int)number;
	if (doc_u64(error, "Offset", &number) == 0)
		err->offset = number;
	return (uint32_t)code;
}

/* Where to look: one may move meanwhile, one way or the other. */
static int folder(const struct rp_store *store, unsigned look)
{
	return look == 1 ? store->ended_fd : store->active_fd;
}

static int open_job(const struct rp_store *store, const char *id)
{
	int fd = -ENOENT;

	for (unsigned look = 0; fd == -ENOENT && look < LOOKS; look++)
		fd = io_dir_open(folder(store, look), id);
	return fd;
}

uint32_t job_find(struct rp_store *store, const char *id, char ret_id[ID_SIZE],
		  int *ret_fd, struct rp_error *err)
{
	_cleanup_doc_ json_t *found = json_object();
	const char *whole;
	int r = found ? 0 : -ENOMEM;

	if (!id || strlen(id) < PREFIX_MIN || id[strspn(id, "0123456789abcdef-")] != '\0')
		return rp_fail(err, RP_INVALID_PARAMETER, "find",
			       "job '%s': not an ID, nor at least %u characters of one",
			       id ?: "", PREFIX_MIN);
	for (unsigned look = 0; r == 0 && look < LOOKS; look++)
		r = store_find_ids(folder(store, look), id, found);
	if (r < 0)
		return rp_fail_os(err, r, "read", "store %s", store->path);
	if (json_object_size(found) > 1)
		return rp_fail(err, RP_INVALID_PARAMETER, "find",
			       "job %s: ambiguous, %zu jobs begin so", id,
			       json_object_size(found));
	whole = json_object_iter_key(json_object_iter(found));
	r = whole ? open_job(store, whole) : -ENOENT;
	if (r == -ENOENT)
		return rp_fail(err, RP_NOT_AVAILABLE, "find", "job %s: no such job", id);
	if (r < 0)
		return rp_fail_os(err, r, "open", "job %s", id);
	memcpy(ret_id, whole, ID_SIZE);
	*ret_fd = r;
	return RP_OK;
}

/* What is told of a record that cannot be read; NULL if nothing is. */
static const char *unreadable_status(int error)
{
	if (is_damage(error) || error == -EAGAIN)
		return "damaged";
	switch (error) {
	case -EOPNOTSUPP:
		return "made by a newer version";
	case -EACCES:
	case -EPERM:
		return "not permitted to be read";
	default:
		return NULL;
	}
}

/* Of the job whose folder is @fd, or -errno. One that has no record yet is not begun, and
 * not waited for. */
static int list_job(struct rp_store *store, int fd, const char *id, json_t *list)
{
	const char *status;
	struct job_view v;
	int r = fd;

	if (r >= 0)
		r = faccessat(fd, "job.json", F_OK, 0) < 0 ? -errno
							   : job_view(store, fd, &v);
	status = unreadable_status(r);
	if (is_shortage(r))
		return r;
	if (r == 0) {
		r = json_object_set(list, id, v.doc);
		job_view_close(&v);
	} else {
		r = status ? json_object_set_new(list, id,
						 json_pack("{s:s, s:s}", "InstanceID", id,
							   "JobStatus", status))
			   : 0;
	}
	return r < 0 ? -ENOMEM : 0;
}

/* Adds what jobs lie in @dirfd, but for those it has; one that cannot be read must not
 * hide the others. */
static int list_folder(struct rp_store *store, int dirfd, json_t *list)
{
	char **names;
	size_t count;
	int r = io_dir_names(dirfd, &names, &count);

	if (r < 0)
		return r;
	for (size_t i = 0; r == 0 && i < count; i++) {
		_cleanup_close_ int fd = -1;

		if (!id_valid(names[i]) || json_object_get(list, names[i]))
			continue;
		fd = io_dir_open(dirfd, names[i]);
		r = list_job(store, fd, names[i], list);
	}
	io_names_free(names, count);
	return r;
}

static int by_time(const void *a, const void *b)
{
	const char *ta = "", *tb = "";

	doc_string(*(json_t *const *)a, "TimeSubmitted", &ta);
	doc_string(*(json_t *const *)b, "TimeSubmitted", &tb);
	return strcmp(ta, tb);
}

/* Oldest first. */
static json_t *sorted(json_t *list)
{
	size_t count = 0;
	_cleanup_free_ json_t **jobs = calloc(json_object_size(list) + 1,
					      sizeof(json_t *));
	json_t *ret = json_array(), *job;
	const char *id;

	if (!jobs || !ret)
		return json_decref(ret), NULL;
	json_object_foreach(list, id, job)
		jobs[count++] = job;
	qsort(jobs, count, sizeof(jobs[0]), by_time);
	for (size_t i = 0; i < count; i++)
		json_array_append(ret, jobs[i]);
	return ret;
}

uint32_t rp_job_list(struct rp_store *store, char **ret_json, struct rp_error *reterr)
{
	_cleanup_doc_ json_t *list = json_object(), *jobs = NULL;
	int r = list ? 0 : -ENOMEM;

	rp_error_clear(reterr);
	if (!store || !ret_json)
		return rp_fail(reterr, RP_INVALID_PARAMETER, "check",
			       "an argument is NULL");
	for (unsigned look = 0; r == 0 && look < LOOKS; look++)
		r = list_folder(store, folder(store, look), list);
	jobs = r == 0 ? sorted(list) : NULL;
	r = r ?: doc_give(jobs, ret_json);
	return r < 0 ? rp_fail_os(reterr, r, "read", "jobs of store %s", store->path)
		     : RP_OK;
}

uint32_t job_view_fail(int error, const char *id, struct rp_error *err)
{
	if (error == -ENOENT)
		return rp_fail(err, RP_NOT_AVAILABLE, "read", "job %s: was removed", id);
	if (is_damage(error) || error == -EAGAIN)
		return rp_fail(err, RP_UNKNOWN_STATUS, "read",
			       "job %s: its record is damaged", id);
	if (error == -EOPNOTSUPP)
		return rp_fail(err, RP_NOT_SUPPORTED, "read",
			       "job %s: made by a newer version of refpoint", id);
	return rp_fail_os(err, error, "read", "job %s", id);
}

uint32_t rp_job_show(struct rp_store *store, const char *id, char **ret_json,
		     struct rp_error *reterr)
{
	_cleanup_close_ int fd = -1;
	char found[ID_SIZE];
	struct job_view v;
	uint32_t rc;
	int r;

	rp_error_clear(reterr);
	if (!store || !ret_json)
		return rp_fail(reterr, RP_INVALID_PARAMETER, "check",
			       "an argument is NULL");
	rc = job_find(store, id, found, &fd, reterr);
	if (rc)
		return rc;
	r = job_view(store, fd, &v);
	if (r < 0)
		return job_view_fail(r, found, reterr);
	r = doc_give(v.doc, ret_json);
	job_view_close(&v);
	return r < 0 ? rp_fail_os(reterr, r, "read", "job %s", found) : RP_OK;
}
