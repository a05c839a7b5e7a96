/* SPDX-License-Identifier: MIT */
/*
 * concurrency_test.c - many at once on one store, as processes and as threads: each call
 * gives a documented value, whatever was exported is whole, and nothing is left behind;
 * and who waits for whom, one by one
 */
#include <dirent.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "data.h"
#include "harness.h"
#include "loopfs.h"
#include "stage.h"

#define SIZE	   (2 * MIB)
#define WORKERS	   5  /* the first does nothing but open the store */
#define SECONDS	   3  /* that each works for; longer, ... */
#define CALLS	   24 /* ... if it has not done so many */
#define MOST	   12 /* points; more are destroyed */
#define MAX_VALUES 6
#define LONG_MS	   600000

/* ------------------------------------------------------------------ all at once */

struct worker {
	const struct stage *stage;
	struct rp_store *store; /* its own */
	unsigned number;
	uint64_t random;
	unsigned done; /* calls that did what they are for */
	pthread_t thread;
};

/* The values a call may give while others are at work; 0 ends the list, RP_OK is always
 * fine. What was not done says why. */
static void expect_one_of(struct worker *w, uint32_t value, const struct rp_error *err,
			  const char *call, const uint32_t values[MAX_VALUES])
{
	if (value == RP_OK) {
		w->done++;
		return;
	}
	EXPECT_NE(err->message[0], '\0');
	for (size_t i = 0; i < MAX_VALUES && values[i]; i++)
		if (value == values[i])
			return;
	FAIL("%s gave %u: %s", call, value, err->message);
}

#define EXPECT_ONE_OF(w, call, ...) \
	expect_one_of(w, call, &err, #call, (const uint32_t[MAX_VALUES]){__VA_ARGS__})

/* One of the newest points, if there is any by then. */
static const char *some_point(struct worker *w)
{
	return fmt("web1@latest~%u", (unsigned)(data_random(&w->random) % MOST));
}

static void do_create(struct worker *w)
{
	struct rp_error err;
	char *point = NULL;

	EXPECT_ONE_OF(w, rp_create_reference_point(w->store, "web1", NULL, &point, &err),
		      RP_TIMEOUT);
	rp_free(point);
}

/* The oldest goes, but for the first, if there are many. */
static void do_list(struct worker *w)
{
	struct rp_error err;
	char *text = NULL;
	json_t *points;

	EXPECT_ONE_OF(w, rp_list_reference_points(w->store, NULL, &text, &err),
		      RP_TIMEOUT);
	if (!text)
		return;
	points = take_json(text);
	EXPECT_GE(json_array_size(points), 1);
	if (json_array_size(points) > MOST) {
		const char *id = json_text(json_array_get(points, 1), "InstanceID");

		EXPECT_ONE_OF(
			w, rp_destroy_reference_point(w->store, fmt("web1@%s", id), &err),
			RP_IN_USE, RP_NOT_AVAILABLE);
	}
	json_decref(points);
}

static void do_show(struct worker *w)
{
	struct rp_error err;
	char *text = NULL;
	json_t *point;

	EXPECT_ONE_OF(w, rp_show_reference_point(w->store, some_point(w), &text, &err),
		      RP_NOT_AVAILABLE);
	if (!text)
		return;
	point = take_json(text);
	EXPECT_STREQ(json_text(point, "VirtualSystemIdentifier"), "web1");
	json_decref(point);
}

/* To a folder of its own, where it is verified and removed. */
static void do_export(struct worker *w)
{
	const char *folder = fmt("%s/own%u", w->stage->exports, w->number);
	struct rp_export_options options = stage_copying(RP_IO_AUTO);
	struct rp_error err;
	char *text = NULL;
	json_t *report;

	if (data_random(&w->random) % 2)
		options.clone = RP_CLONE_AUTO;
	ASSERT_OK(mkdir(folder, 0700));
	EXPECT_ONE_OF(w,
		      rp_export(w->store, some_point(w), folder, &options, &text, &err),
		      RP_IN_USE, RP_NOT_AVAILABLE);
	if (text) {
		report = take_json(text);
		EXPECT_TRUE(stage_good_export(
			folder, fmt("web1@%s", json_text(report, "ReferencePointId")),
			w->stage->twin));
		json_decref(report);
		ASSERT_OK(system(fmt("rm -r '%s/web1'", folder)));
	}
	ASSERT_OK(rmdir(folder), "%s holds %s", folder, listing(folder));
}

/* To where all export, so that they meet. It stays. */
static void do_export_together(struct worker *w)
{
	const char *folder = fmt("%s/all", w->stage->exports);
	struct rp_error err;

	EXPECT_ONE_OF(w, rp_export(w->store, some_point(w), folder, NULL, NULL, &err),
		      RP_IN_USE, RP_NOT_AVAILABLE, RP_INVALID_STATE);
}

static void do_destroy(struct worker *w)
{
	const char *point = fmt("web1@latest~%u", /* not all of them */
				(unsigned)(1 + data_random(&w->random) % 4));
	struct rp_error err;
	char *text = NULL;
	json_t *shown;
	bool first;

	if (rp_show_reference_point(w->store, point, &text, &err) != RP_OK)
		return;
	shown = take_json(text);
	point = fmt("web1@%s", json_text(shown, "InstanceID"));
	first = strcmp(point, w->stage->point) == 0;
	json_decref(shown);
	if (!first)
		EXPECT_ONE_OF(w, rp_destroy_reference_point(w->store, point, &err),
			      RP_IN_USE, RP_NOT_AVAILABLE);
}

/* What a command does first and last; it removes what is left by the dead. */
static void do_reopen(struct worker *w)
{
	rp_store_close(w->store);
	w->store = stage_open(w->stage, 0);
}

static void *work(void *arg)
{
	static void (*const acts[])(struct worker * w) = {
		do_create, do_create,	       do_list,	   do_show,
		do_export, do_export_together, do_destroy, do_reopen,
	};
	struct worker *w = arg;
	uint64_t end = now_ms() + (uint64_t)SECONDS * 1000;

	w->store = stage_open(w->stage, 0);
	while (now_ms() < end || (w->number && w->done < CALLS))
		if (w->number)
			acts[data_random(&w->random) % ARRAY_SIZE(acts)](w);
		else
			do_reopen(w);
	rp_store_close(w->store);
	return NULL;
}

FIXTURE(together)
{
	struct loopfs fs;
	struct stage stage;
	struct worker workers[WORKERS];
};

FIXTURE_SETUP(together)
{
	uint64_t random = test_seed();

	loopfs_mount(&self->fs, "xfs", 0, NULL, NULL);
	stage_make(&self->stage, self->fs.mnt, SIZE, random);
	ASSERT_OK(mkdir(fmt("%s/all", self->stage.exports), 0700));
	for (unsigned i = 0; i < WORKERS; i++)
		self->workers[i] = (struct worker){
			.stage = &self->stage,
			.number = i,
			.random = data_random(&random),
		};
}

FIXTURE_TEARDOWN(together)
{
	stage_close(&self->stage);
	loopfs_umount(&self->fs);
}

/* Calls @check for each entry of a folder, and counts them. */
static unsigned each(const struct stage *s, const char *folder,
		     void (*check)(const struct stage *s, const char *folder,
				   const char *name))
{
	DIR *dir = opendir(folder);
	struct dirent *entry;
	unsigned count = 0;

	ASSERT_NE(dir, NULL, "%s", folder);
	while ((entry = readdir(dir))) {
		if (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, ".."))
			continue;
		check(s, folder, entry->d_name);
		count++;
	}
	closedir(dir);
	return count;
}

static void check_export(const struct stage *s, const char *folder, const char *name)
{
	EXPECT_TRUE(
		stage_good_export(fmt("%s/..", folder), fmt("web1@%s", name), s->twin));
}

/* Nobody has died: each has ended as its caller was told. */
static void check_job(const struct stage *s, const char *folder, const char *name)
{
	json_t *job = load_json(fmt("%s/%s/job.json", folder, name));
	int64_t code = json_number(job, "ErrorCode");

	EXPECT_EQ(json_number(job, "JobState"), code ? 10 : 7);
	EXPECT_NE(code, RP_FAILED, "%s: %s", s->path, json_text(job, "ErrorDescription"));
	json_decref(job);
}

/* When all is quiet, all that is there is whole. */
static void expect_peace(const struct stage *s)
{
	json_t *points = stage_points(s->store), *point;
	char scratch[PATH_MAX];
	struct rp_error err;
	unsigned exports, jobs;
	size_t i;

	stage_expect_idle(s);
	snprintf(scratch, sizeof(scratch), "%s/all/web1", s->exports);
	exports = each(s, scratch, check_export);
	snprintf(scratch, sizeof(scratch), "%s/jobs/ended", s->path);
	jobs = each(s, scratch, check_job);
	EXPECT_STREQ(listing(s->exports), "all");
	snprintf(scratch, sizeof(scratch), "%s/last", s->exports);
	ASSERT_OK(mkdir(scratch, 0700));
	json_array_foreach(points, i, point) {
		const char *name = fmt("web1@%s", json_text(point, "InstanceID"));

		EXPECT_STREQ(json_text(point, "Status"), "");
		EXPECT_EQ(rp_export(s->store, name, scratch, NULL, NULL, &err), RP_OK,
			  "%s", err.message);
		EXPECT_TRUE(stage_good_export(scratch, name, s->twin));
	}
	test_log("%zu points, %u exports, %u jobs", i, exports, jobs);
	EXPECT_GT(i, 1);
	EXPECT_GT(exports, 1);
	json_decref(points);
	EXPECT_TRUE(data_same(s->disk, s->twin));
}

TEST_F(together, as_processes)
{
	pid_t pids[WORKERS];
	int status;

	for (unsigned i = 0; i < WORKERS; i++) {
		pids[i] = fork();
		if (pids[i] == 0) {
			work(&self->workers[i]);
			_exit(0);
		}
	}
	for (unsigned i = 0; i < WORKERS; i++) {
		ASSERT_EQ(waitpid(pids[i], &status, 0), pids[i]);
		EXPECT_EQ(status, 0);
	}
	expect_peace(&self->stage);
}

TEST_F(together, as_threads)
{
	for (unsigned i = 0; i < WORKERS; i++)
		ASSERT_OK(pthread_create(&self->workers[i].thread, NULL, work,
					 &self->workers[i]));
	for (unsigned i = 0; i < WORKERS; i++)
		ASSERT_OK(pthread_join(self->workers[i].thread, NULL));
	expect_peace(&self->stage);
}

/* ------------------------------------------------------------------- one by one */

/* How often a thread asked for a lock that another had: the calls come by here. */
static atomic_uint refused;

int flock(int fd, int operation)
{
	int r = (int)syscall(SYS_flock, fd, operation);

	if (r < 0 && errno == EWOULDBLOCK && gettid() != getpid())
		atomic_fetch_add(&refused, 1);
	return r;
}

/* An operation in a thread of its own that stops at its first progress until told to go
 * on. It works on a handle of its own. */
struct operation {
	const struct stage *stage;
	struct rp_store *store;
	sem_t stopped, go;
	bool stops;
	uint64_t timeout_ms; /* of an export */
	uint32_t (*run)(struct operation *op);
	uint32_t value;
	uint64_t took_ms;
	atomic_bool ended;
	struct rp_error err;
	pthread_t thread;
};

static int stop(void *context, const struct rp_progress *progress)
{
	struct operation *op = context;

	(void)progress;
	if (!op->stops)
		return 0;
	op->stops = false;
	sem_post(&op->stopped);
	while (sem_wait(&op->go) < 0)
		;
	return 0;
}

static uint32_t run_create(struct operation *op)
{
	const struct rp_watch watch = {
		.size = sizeof(watch), .context = op, .progress = stop};
	const struct rp_create_options options = {
		.size = sizeof(options), .allow_copy = true, .watch = &watch};
	char *point = NULL;
	uint32_t rc;

	rc = rp_create_reference_point(op->store, "web1", &options, &point, &op->err);
	rp_free(point);
	return rc;
}

static uint32_t run_export(struct operation *op)
{
	const struct rp_watch watch = {
		.size = sizeof(watch), .context = op, .progress = stop};
	struct rp_export_options options = stage_copying(RP_IO_AUTO);

	options.watch = &watch;
	options.timeout_ms = op->timeout_ms;
	return rp_export(op->store, op->stage->point, op->stage->exports, &options, NULL,
			 &op->err);
}

static uint32_t run_destroy(struct operation *op)
{
	return rp_destroy_reference_point(op->store, op->stage->point, &op->err);
}

static void *run_operation(void *arg)
{
	struct operation *op = arg;
	uint64_t begin = now_ms();

	op->value = op->run(op);
	op->took_ms = now_ms() - begin;
	op->ended = true;
	return NULL;
}

/* @limit_ms is how long it waits for locks; 0 = as it does by itself. */
static void begin(struct operation *op, const struct stage *s,
		  uint32_t (*run)(struct operation *op), bool stops, uint64_t limit_ms)
{
	*op = (struct operation){.stage = s, .stops = stops, .run = run};
	op->store = stage_open(s, limit_ms);
	sem_init(&op->stopped, 0, 0);
	sem_init(&op->go, 0, 0);
	ASSERT_OK(pthread_create(&op->thread, NULL, run_operation, op));
	while (stops && sem_wait(&op->stopped) < 0)
		;
}

static void go_on(struct operation *op)
{
	sem_post(&op->go);
}

static void end(struct operation *op, uint32_t value)
{
	ASSERT_OK(pthread_join(op->thread, NULL));
	EXPECT_EQ(op->value, value, "%s", op->err.message);
	rp_store_close(op->store);
	sem_destroy(&op->stopped);
	sem_destroy(&op->go);
}

/* Begins one that has to wait for another, and sees that it does. */
static void begin_to_wait(struct operation *op, const struct stage *s,
			  uint32_t (*run)(struct operation *op), uint64_t limit_ms)
{
	refused = 0;
	begin(op, s, run, false, limit_ms);
	while (refused < 3) {
		ASSERT_FALSE(op->ended, "%s", op->err.message);
		usleep(1000);
	}
}

/* On a file system without FICLONE, where create has progress to stop at. */
FIXTURE(waits)
{
	struct loopfs fs;
	struct stage stage;
	struct operation first, second;
};

FIXTURE_SETUP(waits)
{
	loopfs_mount(&self->fs, "ext4", 64 * MIB, NULL, NULL);
	stage_make(&self->stage, self->fs.mnt, SIZE, test_seed());
}

FIXTURE_TEARDOWN(waits)
{
	if (self->stage.store)
		stage_expect_idle(&self->stage);
	stage_close(&self->stage);
	loopfs_umount(&self->fs);
}

static void expect_points(const struct stage *s, size_t count)
{
	json_t *points = stage_points(s->store), *point;
	size_t i;

	EXPECT_EQ(json_array_size(points), count);
	json_array_foreach(points, i, point)
		EXPECT_EQ(json_number(point, "Sequence"), i + 1);
	json_decref(points);
}

TEST_F(waits, an_exported_point_is_not_destroyed)
{
	const struct stage *s = &self->stage;

	begin(&self->first, s, run_export, true, 0);
	begin(&self->second, s, run_destroy, false, 0);
	end(&self->second, RP_IN_USE);
	EXPECT_STREQ(self->second.err.system, "web1");
	begin(&self->second, s, run_destroy, false, 300);
	end(&self->second, RP_TIMEOUT);
	EXPECT_GE(self->second.took_ms, 300);
	go_on(&self->first);
	end(&self->first, RP_OK);
	EXPECT_TRUE(stage_good_export(s->exports, s->point, s->twin));
	begin(&self->second, s, run_destroy, false, 0);
	end(&self->second, RP_OK);
	expect_points(s, 0);
	/* An export needs its point no more. */
	EXPECT_TRUE(stage_good_export(s->exports, s->point, s->twin));
}

TEST_F(waits, a_destroy_waits_for_the_end_of_an_export)
{
	const struct stage *s = &self->stage;

	begin(&self->first, s, run_export, true, 0);
	begin_to_wait(&self->second, s, run_destroy, LONG_MS);
	expect_points(s, 1);
	go_on(&self->first);
	end(&self->first, RP_OK);
	end(&self->second, RP_OK);
	EXPECT_TRUE(stage_good_export(s->exports, s->point, s->twin));
}

/* The same point to the same place. */
TEST_F(waits, an_export_runs_once)
{
	const struct stage *s = &self->stage;
	const char *partial = fmt("%s/web1/.%s.partial", s->exports,
				  strchr(s->point, '@') + 1);

	begin(&self->first, s, run_export, true, 0);
	begin(&self->second, s, run_export, false, 0);
	end(&self->second, RP_IN_USE);
	begin(&self->second, s, run_export, false, 300);
	end(&self->second, RP_TIMEOUT);
	EXPECT_GE(self->second.took_ms, 300);
	EXPECT_TRUE(exists(partial));
	EXPECT_FALSE(exists(stage_export_path(s->exports, s->point)));
	rp_store_close(stage_open(s, 0)); /* it is not taken for dead */
	EXPECT_TRUE(exists(partial));
	go_on(&self->first);
	end(&self->first, RP_OK);
	begin(&self->second, s, run_export, false, 0);
	end(&self->second, RP_INVALID_STATE);
	EXPECT_TRUE(stage_good_export(s->exports, s->point, s->twin));
	EXPECT_FALSE(exists(partial));
	expect_points(s, 1);
}

TEST_F(waits, an_export_waits_for_the_same_and_finds_it_done)
{
	const struct stage *s = &self->stage;

	begin(&self->first, s, run_export, true, 0);
	begin_to_wait(&self->second, s, run_export, LONG_MS);
	go_on(&self->first);
	end(&self->first, RP_OK);
	end(&self->second, RP_INVALID_STATE);
	EXPECT_TRUE(stage_good_export(s->exports, s->point, s->twin));
}

/* Its own time limit counts for locks too. */
TEST_F(waits, an_export_waits_no_longer_than_its_limit)
{
	const struct stage *s = &self->stage;
	struct rp_export_options options = {.size = sizeof(options), .timeout_ms = 300};
	uint64_t from;
	struct rp_error err;

	begin(&self->first, s, run_export, true, 0);
	from = now_ms();
	EXPECT_EQ(stage_export(s, &options, &err), RP_TIMEOUT, "%s", err.message);
	EXPECT_GE(now_ms() - from, 295);
	go_on(&self->first);
	end(&self->first, RP_OK);
}

/* Several read one point. */
TEST_F(waits, exports_to_different_places_do_not_wait)
{
	struct stage elsewhere = self->stage;

	snprintf(elsewhere.exports, sizeof(elsewhere.exports), "%s",
		 fmt("%s", self->fs.mnt));
	begin(&self->first, &self->stage, run_export, true, 0);
	begin(&self->second, &elsewhere, run_export, false, 0);
	end(&self->second, RP_OK);
	go_on(&self->first);
	end(&self->first, RP_OK);
	EXPECT_TRUE(stage_good_export(self->stage.exports, self->stage.point,
				      self->stage.twin));
	EXPECT_TRUE(
		stage_good_export(elsewhere.exports, elsewhere.point, elsewhere.twin));
}

TEST_F(waits, a_create_waits_for_another_of_the_system)
{
	const struct stage *s = &self->stage;

	begin(&self->first, s, run_create, true, 0);
	begin(&self->second, s, run_create, false, 300);
	end(&self->second, RP_TIMEOUT);
	EXPECT_GE(self->second.took_ms, 300);
	begin_to_wait(&self->second, s, run_create, 0);
	rp_store_close(stage_open(s, 0)); /* neither is taken for dead */
	EXPECT_NE(strlen(listing(fmt("%s/pending", s->path))), 0);
	go_on(&self->first);
	end(&self->first, RP_OK);
	end(&self->second, RP_OK);
	expect_points(s, 3);
}

/* Whoever only looks waits for nobody. */
TEST_F(waits, readers_never_wait)
{
	const struct stage *s = &self->stage;
	struct rp_error err;
	char *text = NULL;

	begin(&self->first, s, run_create, true, 0);
	begin(&self->second, s, run_export, true, 0);
	json_decref(stage_points(s->store));
	EXPECT_EQ(rp_show_reference_point(s->store, s->point, &text, &err), RP_OK);
	rp_free(text);
	EXPECT_EQ(rp_system_list(s->store, &text, &err), RP_OK);
	rp_free(text);
	EXPECT_EQ(rp_system_show(s->store, "web1", &text, &err), RP_OK);
	rp_free(text);
	go_on(&self->first);
	go_on(&self->second);
	end(&self->first, RP_OK);
	end(&self->second, RP_OK);
	expect_points(s, 2);
}

TEST_F(waits, a_system_is_not_removed_under_a_create)
{
	const struct stage *s = &self->stage;
	struct rp_store *hurried = stage_open(s, 300);
	struct rp_error err;

	EXPECT_EQ(rp_destroy_reference_point(s->store, s->point, &err), RP_OK);
	begin(&self->first, s, run_create, true, 0);
	EXPECT_EQ(rp_system_remove(hurried, "web1", &err), RP_TIMEOUT, "%s", err.message);
	go_on(&self->first);
	end(&self->first, RP_OK);
	EXPECT_EQ(rp_system_remove(hurried, "web1", &err), RP_INVALID_STATE);
	rp_store_close(hurried);
	expect_points(s, 1);
}

TEST_MAIN
