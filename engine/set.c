/* SPDX-License-Identifier: MIT */
/*
 * set.c - many points exported at once, by threads that share buffers and syncs
 */
#include "set_state.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>

#include "crowd.h"
#include "doc.h"
#include "io/base.h"
#include "io/clock.h"
#include "io/fs.h"
#include "io/tree.h"
#include "job_sweep.h"
#include "point.h"
#include "share.h"
#include "tuning.h"

#define TICK_NS (50 * IO_MS)

/* How often those are tried again alone that lacked room, or descriptors, beside others.
 */
#define TIMES_ALONE 2

/* Descriptors: of an export, of each of its disks (its file at both ends twice, digests
 * and a list of changes), and what others in the process want to open meanwhile. What is
 * open of a base is among the first, however long its chain is; who merges with a chain
 * may lack some, and is tried again. */
#define EXPORT_FILES 16
#define DISK_FILES   6
#define OTHERS_FILES 32

/* What an older "latest" is, too. One that is not there is for the export to tell. */
static void look_at_base(const struct set *set, struct member *m, const struct point *of)
{
	struct point base = POINT_NONE;

	if (!set->options->base ||
	    point_open_base(set->store, set->options->base, of, POINT_UNLOCKED, 0, NULL,
			    &base, NULL) != RP_OK)
		return;
	snprintf(m->base, sizeof(m->base), "%s@%s", base.system, base.id);
	point_close(&base);
}

/* What is not known is small: it fails soon. */
static void look_at(void *context, size_t i)
{
	struct set *set = context;
	struct member *m = &set->members[i];
	struct point point = POINT_NONE;
	json_t *disk;
	uint64_t one;

	if (!m->point || point_open(set->store, m->point, POINT_UNLOCKED, 0, NULL, &point,
				    NULL) != RP_OK)
		return;
	json_array_foreach(json_object_get(point.doc, "Disks"), m->disks, disk)
		if (doc_u64(disk, "VirtualSize", &one) == 0 &&
		    add_overflows(m->size, one, &m->size))
			m->size = UINT64_MAX;
	snprintf(m->ref, sizeof(m->ref), "%s@%s", point.system, point.id);
	m->point = m->ref; /* "latest" is looked for once */
	look_at_base(set, m, &point);
	point_close(&point);
}

static int by_size(const void *a, const void *b, void *members)
{
	const struct member *m = members;
	size_t i = *(const size_t *)a, k = *(const size_t *)b;

	if (m[i].size != m[k].size)
		return m[i].size < m[k].size ? -1 : 1;
	return i < k ? -1 : 1;
}

static uint32_t set_open(struct set *set, const char *const *points, struct rp_error *err)
{
	set->members = calloc(set->count, sizeof(*set->members));
	set->order = calloc((1 + TIMES_ALONE) * set->count, sizeof(*set->order));
	if (!set->members || !set->order)
		return rp_fail_os(err, -ENOMEM, "export", "set of %zu points",
				  set->count);
	for (size_t i = 0; i < set->count; i++) {
		set->members[i].point = points[i];
		set->order[i] = i;
	}
	set->planned = set->count;
	crowd(set->count, look_at, set);
	qsort_r(set->order, set->count, sizeof(*set->order), by_size, set->members);
	return RP_OK;
}

/* How many exports the process has descriptors for. */
static uint64_t open_at_once(const struct set *set)
{
	int next = fcntl(set->store->fd, F_DUPFD_CLOEXEC, 0); /* the first that is free */
	uint64_t used = OTHERS_FILES + (next < 0 ? 0 : (uint64_t)next);
	struct rlimit limit;
	size_t disks = 1;

	if (next >= 0)
		close(next);
	for (size_t i = 0; i < set->count; i++)
		disks = max_u64(disks, set->members[i].disks);
	if (getrlimit(RLIMIT_NOFILE, &limit) < 0 || limit.rlim_cur <= used)
		return 1;
	return max_u64((limit.rlim_cur - used) / (EXPORT_FILES + DISK_FILES * disks), 1);
}

static bool shares(const struct set *set)
{
	const struct rp_export_options *o = set->options;

	return set->shareable && o->clone != RP_CLONE_NEVER &&
	       o->digest != RP_DIGEST_ALWAYS;
}

/* Limits are of all exports together, so there is one at a time. */
static unsigned workers_for(const struct set *set)
{
	const struct rp_export_options *o = set->options;

	if (o->bandwidth || o->iops || o->max_pressure)
		return 1;
	return (unsigned)min_u64(min_u64(WORKERS, set->count), open_at_once(set));
}

/* A limit of memory is no reservation: no more than the workers can use and there is.
 * What cannot be had at all is for each export to say. */
static uint32_t open_pool(struct set *set, unsigned workers, struct rp_error *err)
{
	const struct rp_export_options *o = set->options;
	uint64_t bytes = TUNING_MEMORY, least = TUNING_MEMORY;
	struct tuning t;
	int r;

	if (tuning_of_options(&t, o, NULL) == RP_OK) {
		bytes = least = t.memory;
		if (o->memory)
			bytes = min_u64(round_down(o->memory, 2 * MIB), workers * least);
	}
	while ((r = io_pool_open(&set->pool, bytes)) == -ENOMEM && bytes > least)
		bytes = max_u64(round_down(bytes / 2, 2 * MIB), least);
	return r < 0 ? rp_fail_os(err, r, "export", "set of %zu points", set->count)
		     : RP_OK;
}

/* Without them each file is synced by itself. */
static void open_ferries(struct set *set)
{
	struct rp_store *store = set->store;
	_cleanup_close_ int directory = io_dir_open(AT_FDCWD, set->directory);
	struct io_fs here, there;
	enum ground ground;
	bool same;

	if (directory < 0 || io_fs_of(store->active_fd, &here) < 0 ||
	    io_fs_of(directory, &there) < 0)
		return;				    /* the exports will say why */
	store_ground_of(store, directory, &ground); /* found out once for all */
	same = io_fs_same(&here, &there);
	set->shareable = same && share_is_known(store->active_fd, &here);
	if (io_quay_open(&set->quay) < 0)
		return;
	io_ferry_open(&set->to_store, set->quay, store->active_fd);
	if (same)
		set->to_directory = set->to_store;
	else
		io_ferry_open(&set->to_directory, set->quay, directory);
}

/* With the lock. */
static void add_up(struct set *set)
{
	struct rp_progress *p = &set->watch.progress;
	uint64_t done = set->done_bytes;

	p->bytes_total = set->done_total;
	for (unsigned i = 0; i < set->worker_count; i++) {
		const struct rp_progress *one = &set->workers[i].progress;

		p->bytes_total += one->bytes_total;
		done += one->bytes_done;
		if (one->phase)
			p->phase = one->phase;
	}
	p->bytes_done = max_u64(p->bytes_done, done);
}

/* Each of those at work may have taken what was enough for some of them. */
static bool may_fit_alone(const struct set *set, const struct member *m)
{
	int lacks = m->err.os_error;

	return m->value == RP_FAILED && set->times_alone &&
	       (lacks == ENOSPC || lacks == EDQUOT || lacks == EMFILE || lacks == ENFILE);
}

/* With the lock, which is given up meanwhile. */
static void deliver(struct set *set, set_done *done, void *context)
{
	struct member *m = set->ended, *after;
	struct warning *warning = set->warnings, *next;

	set->ended = NULL;
	set->last = &set->ended;
	set->warnings = NULL;
	set->last_warning = &set->warnings;
	pthread_mutex_unlock(&set->lock);
	for (; warning; warning = next) {
		next = warning->next;
		watch_warn(&set->watch, "%s", warning->text);
		free(warning);
	}
	for (; m; m = after) {
		after = m->next;
		if (may_fit_alone(set, m)) {
			m->next = set->alone;
			set->alone = m;
			continue;
		}
		if (done)
			done(context, (size_t)(m - set->members), m->value,
			     m->value ? NULL : m->report, m->value ? &m->err : NULL);
		rp_free(m->report);
		m->report = NULL;
	}
	pthread_mutex_lock(&set->lock);
}

/* Until all workers have ended: 0, or why they were stopped. */
static int attend(struct set *set, set_done *done, void *context)
{
	int r = 0;

	pthread_mutex_lock(&set->lock);
	while (set->running || set->ended || set->warnings) {
		if (!set->ended && !set->warnings)
			io_wait_until(&set->changed, &set->lock, io_now_ns() + TICK_NS);
		add_up(set);
		deliver(set, done, context);
		r = r ?: watch_tick(&set->watch);
		set->stop = r != 0;
	}
	pthread_mutex_unlock(&set->lock);
	if (r == 0) /* the last of it, however soon it came */
		watch_phase(&set->watch, set->watch.progress.phase);
	return r;
}

/* Those that no worker has begun, in the order they would have been. */
static void refuse_rest(struct set *set, int why, set_done *done, void *context)
{
	set->watch.progress.phase = "waiting";
	for (; set->taken < set->planned; set->taken++) {
		struct member *m = &set->members[set->order[set->taken]];
		struct point_ref ref;

		if (!m->value) { /* else it was tried, and has failed by itself */
			m->value = watch_fail(&set->watch, why ?: -ECANCELED, &m->err);
			if (m->point && point_ref_parse(m->point, &ref) == 0)
				rp_fail_of(&m->err, ref.system, NULL);
		}
		if (done)
			done(context, (size_t)(m - set->members), m->value, NULL,
			     &m->err);
	}
}

/* The ends of all jobs; what of them is lost in a power cut is found out again. */
static void settle_records(struct set *set)
{
	if (set->to_store &&
	    io_ferry_cross(set->to_store, io_ferry_ticket(set->to_store)) < 0)
		io_fsync(set->store->ended_fd);
	job_forget_old(set->store);
}

static void set_close(struct set *set)
{
	set_join_workers(set);
	if (set->to_directory != set->to_store)
		io_ferry_close(set->to_directory);
	io_ferry_close(set->to_store);
	io_quay_close(set->quay);
	io_pool_close(set->pool);
	pthread_cond_destroy(&set->changed);
	pthread_mutex_destroy(&set->lock);
	free(set->members);
	free(set->order);
}

static bool was_there(const struct member *m)
{
	return m->err.os_error == EEXIST;
}

/* What is there already, as after a set that was cut off, hides no other failure. */
static uint32_t first_failure(const struct set *set, struct rp_error *err)
{
	const struct member *first = NULL;

	for (size_t i = 0; i < set->count; i++) {
		const struct member *m = &set->members[i];

		if (m->value && (!first || (was_there(first) && !was_there(m))))
			first = m;
	}
	if (!first)
		return RP_OK;
	*err = first->err;
	return first->value;
}

/*
 * One after another, the smallest first, those that lacked something beside others. They
 * come behind the others: if the set was stopped, these have not all been begun.
 */
static int try_alone(struct set *set, set_done *done, void *context)
{
	size_t first = set->planned;
	struct rp_error err;
	int why = 0;

	set_join_workers(set);
	set->times_alone--;
	for (const struct member *m = set->alone; m; m = m->next)
		set->order[set->planned++] = (size_t)(m - set->members);
	set->alone = NULL;
	qsort_r(set->order + first, set->planned - first, sizeof(*set->order), by_size,
		set->members);
	if (set_start_workers(set, 1, &err) == RP_OK)
		why = attend(set, done, context);
	else
		why = -err.os_error;
	return why;
}

uint32_t set_export(struct rp_store *store, const char *const *points, size_t count,
		    const char *directory, const struct rp_export_options *options,
		    set_done *done, void *context, struct rp_error *err)
{
	struct set set = {.store = store,
			  .directory = directory,
			  .options = options,
			  .count = count};
	unsigned workers;
	uint32_t rc;
	int why;

	if (!count) /* no export will do it */
		return exporting_check(store, directory, options, err);
	set.last = &set.ended;
	set.last_warning = &set.warnings;
	pthread_mutex_init(&set.lock, NULL);
	pthread_cond_init(&set.changed, NULL);
	watch_init(&set.watch, options->watch, options->timeout_ms);
	watch_phase(&set.watch, "planning");
	rc = set_open(&set, points, err);
	if (rc == RP_OK && count > 1)
		open_ferries(&set);
	why = watch_tick(&set.watch);
	set.stop = why != 0;
	workers = rc == RP_OK ? workers_for(&set) : 0;
	set.movers = shares(&set) ? WORKERS : MOVERS;
	if (rc == RP_OK)
		rc = open_pool(&set, workers, err);
	set.times_alone = workers > 1 ? TIMES_ALONE : 0;
	if (rc == RP_OK)
		rc = set_start_workers(&set, workers, err);
	if (rc == RP_OK) {
		why = attend(&set, done, context) ?: why;
		while (set.alone)
			why = try_alone(&set, done, context) ?: why;
		refuse_rest(&set, why, done, context);
		settle_records(&set);
		rc = first_failure(&set, err);
	}
	set_close(&set);
	return rc;
}
