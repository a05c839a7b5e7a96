/* SPDX-License-Identifier: MIT */
/*
 * waits_test.c - who waits for whom on one store, and who does not: one operation stopped
 * in the middle, another beside it
 */
#include <fcntl.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
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

#define SIZE	(2 * MIB)
#define LONG_MS 600000

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
	const char *partial = stage_partial_path(s->exports, s->point);

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

/* Waits until @count exports are Running, as their records say. */
static void expect_running(const struct stage *s, unsigned count)
{
	unsigned running = 0;

	for (unsigned ms = 0; running < count && ms < LONG_MS; ms++) {
		json_t *list, *job;
		char *text;
		size_t i;

		running = 0;
		ASSERT_EQ(rp_job_list(s->store, &text, NULL), RP_OK);
		list = take_json(text);
		json_array_foreach(list, i, job)
			running += json_number(job, "JobState") == RP_JOB_RUNNING;
		json_decref(list);
		usleep(1000);
	}
	ASSERT_EQ(running, count);
}

/* What another has published is not what one that died while it waited has done. */
TEST_F(waits, an_export_that_dies_waiting_has_failed)
{
	const struct stage *s = &self->stage;
	const struct rp_export_options options = {.size = sizeof(options),
						  .timeout_ms = LONG_MS};
	struct rp_error err;
	json_t *list, *job;
	unsigned seen = 0;
	char *text;
	pid_t pid;
	size_t i;

	begin(&self->first, s, run_export, true, 0);
	pid = fork();
	if (pid == 0)
		_exit((int)stage_export(s, &options, &err));
	expect_running(s, 2);
	ASSERT_OK(kill(pid, SIGKILL));
	ASSERT_EQ(waitpid(pid, &(int){0}, 0), pid);
	go_on(&self->first);
	end(&self->first, RP_OK);
	rp_store_close(stage_open(s, 0));
	ASSERT_EQ(rp_job_list(s->store, &text, &err), RP_OK);
	list = take_json(text);
	json_array_foreach(list, i, job) {
		bool dead = json_number(job, "ProcessId") == pid;

		EXPECT_EQ(json_number(job, "JobState"),
			  dead ? RP_JOB_EXCEPTION : RP_JOB_COMPLETED);
		seen += dead;
	}
	EXPECT_EQ(seen, 1);
	json_decref(list);
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

/* Called with the progress; *@context is when it has had enough. */
static int cancel_at(void *context, const struct rp_progress *progress)
{
	(void)progress;
	return now_ms() > *(uint64_t *)context;
}

/* Also while it waits, for the place or for the point. */
TEST_F(waits, an_export_that_waits_can_be_cancelled)
{
	const struct stage *s = &self->stage;
	uint64_t enough;
	const struct rp_watch watch = {
		.size = sizeof(watch), .context = &enough, .progress = cancel_at};
	const struct rp_export_options options = {.size = sizeof(options),
						  .watch = &watch};
	struct stage patient = *s;
	struct rp_error err;
	int fd;

	patient.store = stage_open(s, LONG_MS);
	begin(&self->first, s, run_export, true, 0);
	enough = now_ms() + 300;
	EXPECT_EQ(stage_export(&patient, &options, &err), RP_FAILED, "%s", err.message);
	EXPECT_EQ(err.os_error, ECANCELED);
	go_on(&self->first);
	end(&self->first, RP_OK);
	fd = open(stage_point_path(s, s->point), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	ASSERT_OK(flock(fd, LOCK_EX));
	enough = now_ms() + 300;
	EXPECT_EQ(stage_export(&patient, &options, &err), RP_FAILED, "%s", err.message);
	EXPECT_EQ(err.os_error, ECANCELED);
	close(fd);
	rp_store_close(patient.store);
}

/* As one that was stopped while it has the lock; close() gives it up. */
static int hold(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	ASSERT_GE(fd, 0, "%s", path);
	ASSERT_OK(flock(fd, LOCK_EX));
	return fd;
}

/* A caller that lets go of the lock the export waits for when it has seen enough. */
struct caller {
	uint64_t enough;	/* when that is, ms */
	uint64_t told, longest; /* when it was told last, and the longest it was not */
	int lock;
};

static int let_go(void *context, const struct rp_progress *progress)
{
	struct caller *c = context;
	uint64_t now = now_ms();

	(void)progress;
	if (c->lock < 0)
		return 0;
	c->longest = max_u64(c->longest, now - (c->told ?: now));
	c->told = now;
	if (now > c->enough) {
		close(c->lock);
		c->lock = -1;
	}
	return 0;
}

/* As somebody does who removes a large folder in it. */
TEST_F(waits, an_export_tells_while_the_folder_of_its_system_is_locked)
{
	const struct stage *s = &self->stage;
	const char *folder = fmt("%s/web1", s->exports);
	struct caller caller = {.enough = now_ms() + 1500};
	const struct rp_watch watch = {
		.size = sizeof(watch), .context = &caller, .progress = let_go};
	const struct rp_export_options options = {.size = sizeof(options),
						  .watch = &watch};
	struct rp_error err;

	ASSERT_OK(mkdir(folder, 0755));
	caller.lock = hold(folder);
	GIVES(OK, stage_export(s, &options, &err));
	EXPECT_EQ(caller.lock, -1);
	EXPECT_LT(caller.longest, 1000);
	EXPECT_TRUE(stage_good_export(s->exports, s->point, s->twin));
}

TEST_F(waits, an_export_is_stopped_while_the_folder_of_its_system_is_locked)
{
	const struct stage *s = &self->stage;
	const char *folder = fmt("%s/web1", s->exports);
	uint64_t enough = now_ms() + 300, from = now_ms();
	const struct rp_watch watch = {
		.size = sizeof(watch), .context = &enough, .progress = cancel_at};
	const struct rp_export_options options = {.size = sizeof(options),
						  .watch = &watch};
	struct rp_error err;
	struct rp_job *job;
	int fd;

	ASSERT_OK(mkdir(folder, 0755));
	fd = hold(folder);
	GIVES(FAILED, stage_export(s, &options, &err));
	EXPECT_EQ(err.os_error, ECANCELED, "%s", err.message);
	EXPECT_GE(now_ms() - from, 300);
	EXPECT_LT(now_ms() - from, 15000);
	refused = 0;
	job = stage_start(s);
	while (refused < 3)
		usleep(1000);
	from = now_ms();
	EXPECT_EQ(rp_job_request_state_change(job, RP_JOB_TERMINATE, SOON_MS, &err),
		  RP_JOB_DONE, "%s", err.message);
	EXPECT_LT(now_ms() - from, 15000);
	rp_job_close(job);
	EXPECT_STREQ(listing(folder), "");
	close(fd);
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

TEST_F(waits, a_create_that_waits_can_be_cancelled)
{
	const struct stage *s = &self->stage;
	uint64_t enough;
	const struct rp_watch watch = {
		.size = sizeof(watch), .context = &enough, .progress = cancel_at};
	const struct rp_create_options options = {
		.size = sizeof(options), .allow_copy = true, .watch = &watch};
	struct rp_error err;
	char *point = NULL;

	begin(&self->first, s, run_create, true, 0);
	enough = now_ms() + 300;
	EXPECT_EQ(rp_create_reference_point(s->store, "web1", &options, &point, &err),
		  RP_FAILED, "%s", err.message);
	EXPECT_EQ(err.os_error, ECANCELED);
	go_on(&self->first);
	end(&self->first, RP_OK);
	expect_points(s, 2);
}

TEST_F(waits, who_asks_of_a_job_waits_no_longer_than_told)
{
	const struct stage *s = &self->stage;
	struct rp_job *job = stage_start(s), *hurried;
	struct rp_store *store = stage_open(s, 300);
	uint64_t from = now_ms();
	struct rp_error err;
	int fd;

	fd = hold(fmt("%s/jobs/active/%s/requests", s->path, rp_job_id(job)));
	GIVES(OK, rp_job_open(store, rp_job_id(job), &hurried, &err));
	EXPECT_EQ(rp_job_request_state_change(hurried, RP_JOB_KILL, SOON_MS, &err),
		  RP_JOB_UNSPECIFIED);
	EXPECT_EQ(err.code, RP_TIMEOUT, "%s", err.message);
	GIVES(TIMEOUT, rp_job_set_bandwidth(hurried, 2048, &err));
	EXPECT_GE(now_ms() - from, 600);
	EXPECT_LT(now_ms() - from, 15000);
	close(fd);
	EXPECT_EQ(rp_job_request_state_change(hurried, RP_JOB_KILL, SOON_MS, &err),
		  RP_JOB_DONE, "%s", err.message);
	rp_job_close(hurried);
	rp_job_close(job);
	rp_store_close(store);
}

TEST_F(waits, an_export_that_is_started_waits_no_longer_for_the_queue)
{
	const struct stage *s = &self->stage;
	struct rp_store *store = stage_open(s, 300);
	int fd = hold(fmt("%s/jobs/queue", s->path));
	uint64_t from = now_ms();
	struct rp_error err;
	struct rp_job *job;

	GIVES(TIMEOUT, rp_export_start(store, s->point, s->exports, NULL, &job, &err));
	EXPECT_GE(now_ms() - from, 300);
	EXPECT_LT(now_ms() - from, 15000);
	EXPECT_STREQ(listing(fmt("%s/jobs/active", s->path)), "");
	close(fd);
	rp_store_close(store);
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
