/* SPDX-License-Identifier: MIT */
/*
 * set_work.c - the threads of a set: each exports one point after another
 */
#include "set_state.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "io/base.h"
#include "io/thread.h"
#include "io/tree.h"

#define LITTLE (64 * MIB) /* to move */

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
	warning->next = NULL;
	snprintf(warning->text, size, "%s: %s", w->point, text);
	pthread_mutex_lock(&w->set->lock);
	*w->set->last_warning = warning;
	w->set->last_warning = &warning->next;
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
		.limit_ms = w->set->watch.limit_ms,
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
		options.base = m->base[0] ? m->base : w->set->options->base;
		w->point = m->point ?: "";
		be_inside(w, is_little(w->set, m));
		if (m->value && !rp_is_shortage(m->value, &m->err))
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

uint32_t set_start_workers(struct set *set, unsigned want, struct rp_error *err)
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

void set_join_workers(struct set *set)
{
	for (unsigned i = 0; i < set->worker_count; i++) {
		struct worker *w = &set->workers[i];

		pthread_join(w->thread, NULL);
		rp_store_close(w->store);
	}
	set->worker_count = 0;
}
