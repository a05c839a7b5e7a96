/* SPDX-License-Identifier: MIT */
/*
 * set.c - many points exported at once, by threads that share buffers and syncs
 */
#include "set.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>

#include "crowd.h"
#include "doc.h"
#include "io/base.h"
#include "io/clock.h"
#include "io/fs.h"
#include "io/thread.h"
#include "io/tree.h"
#include "job_sweep.h"
#include "point.h"
#include "tuning.h"
#include "watch.h"

/* Who shares blocks, or moves little, does little but wait for syncs, and the more wait
 * for one the fewer are made. Who moves much has the device busy alone. */
#define WORKERS 128
#define MOVERS	16 /* of them, at most, what is not little */
#define LITTLE	(64 * MIB)
#define TICK_NS (50 * IO_MS)

/* How often those are tried again alone that found no room beside others. */
#define TIMES_ALONE 2

/* Descriptors: of an export, of each of its disks, and what others in the process want
 * to open meanwhile. */
#define EXPORT_FILES 16
#define DISK_FILES   5
#define OTHERS_FILES 32

/* One point. */
struct member {
	const char *point;
	char ref[NAME_SIZE + ID_SIZE]; /* its name and ID, if it was found */
	uint64_t size;
	size_t disks;
	uint32_t value;
	char *report;
	struct rp_error err;
	struct member *next; /* in the list of those that have ended */
};

struct worker {
	struct set *set;
	pthread_t thread;
	struct rp_store *store;
	struct gear gear;
	struct pressure pressure; /* of all it exports: there is one worker then */
	struct rp_watch watch;
	const char *point; /* the one it works on */
	bool inside;	   /* the quay */
	/* Under the set's lock: of the point it works on. */
	struct rp_progress progress;
};

struct warning {
	struct warning *next;
	char text[];
};

struct set {
	struct rp_store *store; /* the caller's */
	const char *directory;
	const struct rp_export_options *options;
	struct watch watch; /* of the caller's thread */
	struct member *members;
	size_t *order; /* indices of members, smallest first; then again who is alone */
	size_t count;
	size_t planned; /* entries of order */
	struct worker workers[WORKERS];
	unsigned worker_count;
	unsigned movers; /* the first of them, who take what is not little, too */
	struct io_pool *pool;
	bool shareable;	      /* blocks of the store, in the directory */
	struct io_quay *quay; /* NULL = no ferries */
	struct io_ferry *to_store, *to_directory; /* may be one */

	pthread_mutex_t lock; /* of what follows */
	pthread_cond_t changed;
	size_t taken;
	unsigned running; /* workers */
	bool stop;
	uint64_t done_bytes, done_total; /* of the points that have ended */
	struct member *ended, **last;
	struct member *alone; /* to be tried again when nobody else is at work */
	unsigned times_alone; /* that they may be, still */
	struct warning *warnings;
};

/* ------------------------------------------------------------ in a worker's thread */

static int on_progress(void *context, const struct rp_progress *progress)
{
	struct worker *w = context;
	bool stop;

	pthread_mutex_lock(&w->set->lock);
	w->progress = *progress;
	stop = w->set->stop;
	pthread_mutex_unlock(&w->set->lock);
	return stop;
}

static void on_warning(void *context, const char *text)
{
	struct worker *w = context;
	size_t size = strlen(w->point) + strlen(": ") + strlen(text) + 1;
	struct warning *warning = malloc(sizeof(*warning) + size);

	if (!warning)
		return;
	snprintf(warning->text, size, "%s: %s", w->point, text);
	pthread_mutex_lock(&w->set->lock);
	warning->next = w->set->warnings;
	w->set->warnings = warning;
	pthread_mutex_unlock(&w->set->lock);
}

/* Whether it will soon want a sync; the others are not waited for. */
static bool is_little(const struct set *set, const struct member *m)
{
	return m->size <= LITTLE || set->movers == WORKERS;
}

/* Not left between two members: a ferry would leave at once. */
static void be_inside(struct worker *w, bool inside)
{
	if (!w->set->quay || w->inside == inside)
		return;
	w->inside = inside;
	if (inside)
		io_quay_enter(w->set->quay);
	else
		io_quay_exit(w->set->quay);
}

static struct member *take(struct worker *w)
{
	struct set *set = w->set;
	struct member *m = NULL;

	pthread_mutex_lock(&set->lock);
	if (!set->stop && set->taken < set->planned)
		m = &set->members[set->order[set->taken]];
	if (m && !is_little(set, m) && w >= set->workers + set->movers)
		m = NULL; /* nor is any that comes after */
	set->taken += m != NULL;
	pthread_mutex_unlock(&set->lock);
	return m;
}

static void give_back(struct worker *w, struct member *m)
{
	struct set *set = w->set;

	pthread_mutex_lock(&set->lock);
	set->done_bytes += w->progress.bytes_total; /* a failed one will not go on */
	set->done_total += w->progress.bytes_total;
	w->progress = (struct rp_progress){0};
	m->next = NULL; /* it may have been tried before */
	*set->last = m;
	set->last = &m->next;
	pthread_cond_signal(&set->changed);
	pthread_mutex_unlock(&set->lock);
}

/* ext4 and Btrfs give out again what was removed when that is committed. Without a ferry,
 * which Btrfs has none of and which does not leave where others have written much. */
static void await_room(const struct set *set)
{
	_cleanup_close_ int directory = io_dir_open(AT_FDCWD, set->directory);

	if (directory >= 0)
		syncfs(directory);
}

static uint32_t export_member(struct worker *w, struct member *m,
			      const struct rp_export_options *options)
{
	const struct exporting_tools tools = {
		.gear = &w->gear,
		.ferry = w->set->to_directory,
		.pressure = &w->pressure,
		.yields = w->set->times_alone, /* as long as it may be tried again */
	};
	struct exporting *x;
	uint32_t rc;

	rp_error_clear(&m->err);
	rc = exporting_new(w->store, m->point, w->set->directory, options, false, &x,
			   &m->err);
	if (rc)
		return rc;
	exporting_use(x, &tools);
	rc = exporting_run(x, &m->report, &m->err);
	exporting_free(x);
	return rc;
}

static void *work(void *arg)
{
	struct worker *w = arg;
	struct rp_export_options options = *w->set->options;
	struct member *m;

	options.watch = &w->watch;
	while ((m = take(w))) {
		/* The limit is one of the whole set. */
		options.timeout_ms = watch_left_ms(&w->set->watch, 0);
		w->point = m->point ?: "";
		be_inside(w, is_little(w->set, m));
		if (m->value)
			await_room(w->set);
		m->value = export_member(w, m, &options);
		give_back(w, m);
	}
	be_inside(w, false);
	gear_close(&w->gear);
	pthread_mutex_lock(&w->set->lock);
	w->set->running--;
	pthread_cond_signal(&w->set->changed);
	pthread_mutex_unlock(&w->set->lock);
	return NULL;
}

/* -------------------------------------------------------------- in the caller's */

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

static bool can_share(int fd, const struct io_fs *fs)
{
	struct io_xfs xfs;

	return fs->type == IO_FS_BTRFS || (io_xfs_of(fd, &xfs) == 0 && xfs.reflink);
}

/* Without them each file is synced by itself. */
static void open_ferries(struct set *set)
{
	struct rp_store *store = set->store;
	_cleanup_close_ int directory = io_dir_open(AT_FDCWD, set->directory);
	struct io_fs here, there;
	bool same;

	if (directory < 0 || io_fs_of(store->active_fd, &here) < 0 ||
	    io_fs_of(directory, &there) < 0)
		return;			   /* the exports will say why */
	store_any_holds(store, directory); /* found out once for all */
	same = io_fs_same(&here, &there);
	set->shareable = same && can_share(store->active_fd, &here);
	if (io_quay_open(&set->quay) < 0)
		return;
	io_ferry_open(&set->to_store, set->quay, store->active_fd);
	if (same)
		set->to_directory = set->to_store;
	else
		io_ferry_open(&set->to_directory, set->quay, directory);
}

static int start(struct set *set, struct worker *w)
{
	int r;

	w->set = set;
	w->gear.pool = set->pool;
	w->watch = (struct rp_watch){
		.size = sizeof(w->watch),
		.context = w,
		.progress = on_progress,
		.warning = on_warning,
	};
	w->store = store_share(set->store);
	if (!w->store)
		return -ENOMEM;
	w->store->ferry = set->to_store;
	set->running++;
	r = io_thread_start(&w->thread, work, w);
	if (r < 0) {
		set->running--;
		rp_store_close(w->store);
	}
	return r;
}

/* With fewer than wanted the set takes longer. */
static uint32_t start_workers(struct set *set, unsigned want, struct rp_error *err)
{
	int r = 0;

	pthread_mutex_lock(&set->lock);
	while (r == 0 && set->worker_count < want) {
		r = start(set, &set->workers[set->worker_count]);
		if (r == 0)
			set->worker_count++;
	}
	pthread_mutex_unlock(&set->lock);
	return set->worker_count ? RP_OK
				 : rp_fail_os(err, r, "start", "threads of the set");
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
	return m->value == RP_FAILED && set->times_alone &&
	       (m->err.os_error == ENOSPC || m->err.os_error == EDQUOT);
}

/* With the lock, which is given up meanwhile. */
static void deliver(struct set *set, set_done *done, void *context)
{
	struct member *m = set->ended, *after;
	struct warning *warning = set->warnings, *next;

	set->ended = NULL;
	set->last = &set->ended;
	set->warnings = NULL;
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

static void join_workers(struct set *set)
{
	for (unsigned i = 0; i < set->worker_count; i++) {
		struct worker *w = &set->workers[i];

		pthread_join(w->thread, NULL);
		rp_store_close(w->store);
	}
	set->worker_count = 0;
}

static void set_close(struct set *set)
{
	join_workers(set);
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

static uint32_t first_failure(const struct set *set, struct rp_error *err)
{
	for (size_t i = 0; i < set->count; i++)
		if (set->members[i].value) {
			*err = set->members[i].err;
			return set->members[i].value;
		}
	return RP_OK;
}

/*
 * One after another, the smallest first, those that found no room beside others. They
 * come behind the others: if the set was stopped, these have not all been begun.
 */
static int try_alone(struct set *set, set_done *done, void *context)
{
	size_t first = set->planned;
	struct rp_error err;
	int why = 0;

	join_workers(set);
	set->times_alone--;
	for (const struct member *m = set->alone; m; m = m->next)
		set->order[set->planned++] = (size_t)(m - set->members);
	set->alone = NULL;
	qsort_r(set->order + first, set->planned - first, sizeof(*set->order), by_size,
		set->members);
	if (start_workers(set, 1, &err) == RP_OK)
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
		rc = start_workers(&set, workers, err);
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
