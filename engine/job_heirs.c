/* SPDX-License-Identifier: MIT */
/*
 * job_heirs.c - reading the records, and looking for those of the same place
 */
#include "job_heirs.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "doc.h"
#include "io/clock.h"
#include "io/tree.h"
#include "job_record.h"

#define TICK_NS	    (20 * IO_MS)   /* in which a folder's time may stay the same; */
#define SECOND_NS   (1020 * IO_MS) /* where there are whole seconds only */
#define LOOKS	    2
#define ANY_POINT   "" /* of those whose record cannot be read, or is not there yet */
#define RECORD_SIZE (ID_SIZE + sizeof("/job.json"))

/* Where a job exports to, and since when it is what it is. */
struct place {
	const char *directory, *system, *point, *since;
};

static bool place_of(const json_t *doc, struct place *ret)
{
	return job_record_target(doc, &ret->directory, &ret->system, &ret->point) &&
	       doc_string(doc, "TimeOfLastStateChange", &ret->since) == 0;
}

/* However they are written. @mine answers. */
static bool same_directory(struct rp_store *store, const char *mine, const char *its)
{
	struct stat a, b;

	return !strcmp(mine, its) ||
	       (store_answers(store, its) == 0 && stat(mine, &a) == 0 &&
		stat(its, &b) == 0 && a.st_dev == b.st_dev && a.st_ino == b.st_ino);
}

/* Whether the job of @other, which works or has kept something, came there after that of
 * @doc. */
static bool went_on(struct rp_store *store, const json_t *doc, const json_t *other)
{
	struct place mine, its;

	return place_of(doc, &mine) && place_of(other, &its) &&
	       !strcmp(mine.system, its.system) && !strcmp(mine.point, its.point) &&
	       strcmp(its.since, mine.since) > 0 &&
	       same_directory(store, mine.directory, its.directory);
}

void job_heirs_close(struct job_heirs *h)
{
	json_decref(h->ended);
	json_decref(h->active);
	h->ended = h->active = NULL;
}

/* ------------------------------------------------------------------------ reading */

static int load_active(const struct rp_store *store, const char *id, json_t **ret)
{
	char path[RECORD_SIZE];

	snprintf(path, sizeof(path), "%s/job.json", id);
	return doc_load(store->active_fd, path, ret);
}

/* Takes @value over. */
static int note(json_t *table, const char *point, json_t *value)
{
	json_t *list = json_object_get(table, point);

	if (!list) {
		list = json_array();
		if (json_object_set_new(table, point, list) < 0) {
			json_decref(value);
			return -ENOMEM;
		}
	}
	return json_array_append_new(list, value) < 0 ? -ENOMEM : 0;
}

static int note_active(struct job_heirs *h, const char *id)
{
	_cleanup_doc_ json_t *doc = NULL;
	int r = load_active(h->store, id, &doc);
	struct place its;
	bool known = r == 0 && place_of(doc, &its);

	if (is_shortage(r))
		return r;
	return note(h->active, known ? its.point : ANY_POINT, json_string(id));
}

/* No more of it than what is asked for: there may be many. */
static int note_ended(struct job_heirs *h, const char *id)
{
	_cleanup_doc_ json_t *doc = NULL;
	struct place its;
	int r = job_record_load_resumable(h->store->ended_fd, id, NULL, &doc);

	if (is_shortage(r))
		return r;
	if (r < 0 || !job_record_has_kept(doc) || !place_of(doc, &its))
		return 0;
	return note(h->ended, its.point,
		    json_pack("{s:s, s:s, s:s, s:s}", "ExportDirectory", its.directory,
			      "VirtualSystemIdentifier", its.system, "ReferencePointId",
			      its.point, "TimeOfLastStateChange", its.since));
}

static int read_folder(struct job_heirs *h, int dirfd,
		       int (*note_job)(struct job_heirs *h, const char *id))
{
	char **names;
	size_t count;
	int r = io_dir_names(dirfd, &names, &count);

	if (r < 0)
		return r;
	for (size_t i = 0; r == 0 && i < count; i++)
		if (id_valid(names[i]))
			r = note_job(h, names[i]);
	io_names_free(names, count);
	return r;
}

static int64_t nanoseconds(const struct timespec *t)
{
	return (int64_t)t->tv_sec * 1000000000 + t->tv_nsec;
}

/* Until another change of a folder that was @changed then has another time; false if its
 * clock is not ours. */
static bool await_tick(const struct timespec *changed)
{
	int64_t tick = (int64_t)(changed->tv_nsec ? TICK_NS : SECOND_NS), age;
	struct timespec now, left = {0};

	clock_gettime(CLOCK_REALTIME, &now);
	age = nanoseconds(&now) - nanoseconds(changed);
	if (age >= 0 && age < tick) {
		left.tv_sec = (tick - age) / 1000000000;
		left.tv_nsec = (tick - age) % 1000000000;
		nanosleep(&left, NULL);
	}
	return age >= 0;
}

/* Those that begin meanwhile, or go from one folder to the other, change jobs/active/. */
static int read_records(struct job_heirs *h)
{
	uint64_t began = io_now_ns();
	struct stat st;
	int r;

	job_heirs_close(h);
	h->ended = json_object();
	h->active = json_object();
	h->settled = fstat(h->store->active_fd, &st) == 0 && await_tick(&st.st_ctim);
	if (h->settled)
		h->changed = st.st_ctim;
	r = read_folder(h, h->store->active_fd, note_active);
	if (r == 0)
		r = read_folder(h, h->store->ended_fd, note_ended);
	h->settled = h->settled && r == 0; /* else not all of them are known */
	h->took_ns = io_now_ns() - began;
	return r;
}

/* ------------------------------------------------------------------------- asking */

static bool is_current(const struct job_heirs *h)
{
	struct stat st;

	return h->settled && fstat(h->store->active_fd, &st) == 0 &&
	       nanoseconds(&st.st_ctim) == nanoseconds(&h->changed);
}

/* One that has never worked has not gone on from anything. */
static int is_at_work(const struct job_heirs *h, const char *id, const json_t *doc)
{
	_cleanup_doc_ json_t *other = NULL;
	int r = load_active(h->store, id, &other);

	if (is_shortage(r))
		return r;
	return r == 0 && !json_is_null(json_object_get(other, "StartTime")) &&
	       went_on(h->store, doc, other);
}

static int are_at_work(const struct job_heirs *h, const char *point, const json_t *doc)
{
	json_t *id;
	size_t i;
	int r;

	json_array_foreach(json_object_get(h->active, point), i, id) {
		r = is_at_work(h, json_string_value(id), doc);
		if (r != 0)
			return r;
	}
	return 0;
}

static int is_among(const struct job_heirs *h, const char *point, const json_t *doc)
{
	json_t *other;
	size_t i;
	int r;

	json_array_foreach(json_object_get(h->ended, point), i, other)
		if (went_on(h->store, doc, other))
			return 1;
	r = are_at_work(h, point, doc);
	return r == 0 ? are_at_work(h, ANY_POINT, doc) : r;
}

int job_heirs_have(struct job_heirs *h, const json_t *doc)
{
	struct place mine;
	unsigned looks = 0;
	int r;

	if (!place_of(doc, &mine))
		return 0;
	do {
		r = is_current(h) ? 0 : read_records(h);
		if (r == 0)
			r = is_among(h, mine.point, doc);
	} while (r == 0 && ++looks < LOOKS && !is_current(h));
	return r;
}
