/* SPDX-License-Identifier: MIT */
/*
 * forked_test.c - what has ended is in nobody's way, though children that its process
 * forked meanwhile live on with all that it had open
 */
#include <fcntl.h>
#include <ftw.h>
#include <poll.h>
#include <pthread.h>
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
#include "jobs.h"
#include "links.h"

#define PROMPT_MS 10000 /* locks that are kept are waited for for 30 s */

static atomic_bool forking;
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pid_t children[512];
static size_t child_count;

static void fork_child(void)
{
	pid_t pid;

	pthread_mutex_lock(&mutex);
	pid = child_count < ARRAY_SIZE(children) ? fork() : -1;
	if (pid == 0)
		for (;;)
			pause();
	if (pid > 0)
		children[child_count++] = pid;
	pthread_mutex_unlock(&mutex);
	ASSERT_GT(pid, 0);
}

static int real_flock(int fd, int operation)
{
	return (int)syscall(SYS_flock, fd, operation);
}

/* The library's calls come by here: of every lock it takes there is a child that has it
 * too. */
int flock(int fd, int operation)
{
	int r = real_flock(fd, operation);

	if (r == 0 && operation != LOCK_UN && forking)
		fork_child();
	return r;
}

static void end_children(void)
{
	forking = false;
	pthread_mutex_lock(&mutex);
	while (child_count) {
		kill(children[--child_count], SIGKILL);
		waitpid(children[child_count], NULL, 0);
	}
	pthread_mutex_unlock(&mutex);
}

static int expect_free(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	uint64_t begin = now_ms();
	int fd, r = -1;

	(void)type;
	(void)ftw;
	if (!S_ISREG(st->st_mode) && !S_ISDIR(st->st_mode))
		return 0;
	fd = open(path, O_RDONLY | O_CLOEXEC);
	ASSERT_GE(fd, 0, "%s", path);
	/* The thread of a job ends a little later than that. */
	while ((r = real_flock(fd, LOCK_EX | LOCK_NB)) < 0 && now_ms() - begin < 2000)
		usleep(1000);
	EXPECT_EQ(r, 0, "%s is locked", path);
	close(fd);
	return 0;
}

/* Nothing in the test's folder is locked, and the children live. */
static void expect_all_free(void)
{
	EXPECT_GT(child_count, 0);
	ASSERT_OK(nftw(test_dir(), expect_free, 16, FTW_PHYS));
}

FIXTURE(forked)
{
	struct links links;
	struct stage *stage;
	struct rp_job *job, *next;
};

FIXTURE_SETUP(forked)
{
	self->stage = &self->links.stage;
	links_make(&self->links);
	forking = true;
}

FIXTURE_TEARDOWN(forked)
{
	rp_job_close(self->job);
	rp_job_close(self->next);
	links_close(&self->links);
	end_children();
}

static struct rp_job *start(const struct forked_fixture *self, const char *folder,
			    uint64_t bandwidth)
{
	struct rp_export_options options = stage_copying(RP_IO_AUTO);
	const char *directory = fmt("%s/%s", test_dir(), folder);
	struct rp_job *job;
	struct rp_error err;

	options.bandwidth = bandwidth;
	ASSERT_OK(mkdir(directory, 0700));
	ASSERT_EQ(rp_export_start(self->stage->store, self->stage->point, directory,
				  &options, &job, &err),
		  RP_JOB_STARTED, "%s", err.message);
	return job;
}

TEST_F(forked, points_are_taken_exported_and_destroyed)
{
	const char *directory = fmt("%s/more", test_dir());
	uint64_t begin = now_ms();
	char points[2][POINT_SIZE];
	struct rp_error err;

	ASSERT_OK(mkdir(directory, 0700));
	for (size_t i = 0; i < ARRAY_SIZE(points); i++)
		stage_take(self->stage, points[i]);
	for (size_t i = 0; i < ARRAY_SIZE(points); i++) {
		GIVES(OK, rp_export(self->stage->store, points[i], directory, NULL, NULL,
				    &err));
		GIVES(OK,
		      rp_destroy_reference_point(self->stage->store, points[i], &err));
	}
	expect_all_free();
	EXPECT_LT(now_ms() - begin, PROMPT_MS);
}

TEST_F(forked, systems_and_stores_are_made_and_removed)
{
	const struct rp_disk disk = {"vda", self->stage->disk};
	const char *path = fmt("%s/other", test_dir());
	struct rp_error err;

	GIVES(OK, rp_store_init(path, &err));
	GIVES(INVALID_STATE, rp_store_init(path, &err));
	GIVES(OK, rp_system_add(self->stage->store, "web2", &disk, 1, NULL, 0, &err));
	GIVES(OK, rp_system_remove(self->stage->store, "web2", &err));
	expect_all_free();
}

TEST_F(forked, points_are_released_and_imported)
{
	struct rp_store *store = self->stage->store;
	const char *point = self->links.points[0];
	struct rp_error err;
	char *text = NULL;

	GIVES(OK, rp_release(store, point, NULL, &err));
	GIVES(OK, rp_destroy_reference_point(store, point, &err));
	GIVES(OK, rp_import(store, self->links.paths[0], &text, &err));
	rp_free(text);
	GIVES(OK, rp_destroy_reference_point(store, point, &err));
	GIVES(OK, rp_probe(store, self->stage->path, self->stage->exports, &text, &err));
	rp_free(text);
	GIVES(OK, rp_probe(store, self->stage->path, self->stage->exports, &text, &err));
	rp_free(text);
	expect_all_free();
}

TEST_F(forked, exports_are_stopped_and_begun_again)
{
	const struct rp_watch watch = cancel_in("publishing");
	const char *directory = fmt("%s/more", test_dir());
	struct rp_export_options options = stage_copying(RP_IO_AUTO);
	struct rp_error err;

	ASSERT_OK(mkdir(directory, 0700));
	options.watch = &watch;
	GIVES(FAILED, rp_export(self->stage->store, self->stage->point, directory,
				&options, NULL, &err));
	expect_all_free();
	options.watch = NULL;
	options.restart = true;
	GIVES(OK, rp_export(self->stage->store, self->stage->point, directory, &options,
			    NULL, &err));
	expect_all_free();
}

TEST_F(forked, disks_are_restored_in_place_of_another)
{
	const struct rp_read_options replace = {.size = sizeof(replace), .replace = true};
	const char *output = fmt("%s/vda", test_dir());
	struct rp_error err;

	for (unsigned i = 0; i < LINKS; i++)
		GIVES(OK, rp_restore(self->links.paths[i], "vda", output, &replace, NULL,
				     &err));
	EXPECT_TRUE(data_same(output, self->stage->disk));
	expect_all_free();
}

TEST_F(forked, exports_are_merged)
{
	struct rp_error err;

	GIVES(OK, rp_merge(self->links.paths[1], NULL, NULL, &err));
	GIVES(OK, rp_merge(self->links.paths[2], NULL, NULL, &err));
	GIVES(INVALID_STATE, rp_merge(self->links.paths[2], NULL, NULL, &err));
	expect_all_free();
}

TEST_F(forked, the_end_of_a_job_is_told)
{
	uint64_t begin = now_ms();
	struct rp_error err;

	self->job = start(self, "more", 0);
	GIVES(OK, rp_job_wait(self->job, NULL, SOON_MS, &err));
	GIVES(OK,
	      rp_destroy_reference_point(self->stage->store, self->stage->point, &err));
	EXPECT_LT(now_ms() - begin, PROMPT_MS);
	expect_all_free();
}

/* By a descriptor, again and again. */
TEST_F(forked, a_job_that_has_ended_is_readable)
{
	enum rp_job_state state = RP_JOB_NEW;
	struct pollfd fd = {.events = POLLIN};
	struct rp_error err;

	self->job = start(self, "more", 0);
	fd.fd = rp_job_fd(self->job);
	ASSERT_GE(fd.fd, 0);
	while (state < RP_JOB_COMPLETED) {
		ASSERT_EQ(poll(&fd, 1, PROMPT_MS), 1, "in state %d", state);
		GIVES(OK, rp_job_state(self->job, &state, NULL, &err));
	}
	for (unsigned i = 0; i < 3; i++) {
		ASSERT_EQ(poll(&fd, 1, PROMPT_MS), 1, "%u", i);
		GIVES(OK, rp_job_state(self->job, &state, NULL, &err));
	}
}

/* Also for who has seen nothing of it before. */
TEST_F(forked, a_job_that_ended_before_is_readable)
{
	struct pollfd fd = {.events = POLLIN};
	struct rp_error err;

	self->job = start(self, "more", 0);
	GIVES(OK, rp_job_wait(self->job, NULL, SOON_MS, &err));
	fd.fd = rp_job_fd(self->job);
	ASSERT_GE(fd.fd, 0);
	EXPECT_EQ(poll(&fd, 1, PROMPT_MS), 1);
}

/* Not because it had ended before. */
TEST_F(forked, a_job_that_goes_on_is_readable_now_and_then)
{
	struct pollfd fd = {.events = POLLIN};
	struct rp_error err;
	bool quiet = false;

	self->job = start(self, "more", 1024);
	fd.fd = rp_job_fd(self->job);
	ASSERT_GE(fd.fd, 0);
	jobs_request(self->job, RP_JOB_TERMINATE);
	GIVES(OK, rp_job_state(self->job, NULL, NULL, &err));
	EXPECT_EQ(poll(&fd, 1, PROMPT_MS), 1);
	jobs_request(self->job, RP_JOB_START);
	for (unsigned i = 0; !quiet && i < 100; i++) {
		GIVES(OK, rp_job_state(self->job, NULL, NULL, &err));
		quiet = poll(&fd, 1, 0) == 0;
		usleep(10000);
	}
	EXPECT_TRUE(quiet);
	jobs_request(self->job, RP_JOB_KILL);
}

TEST_F(forked, jobs_do_what_is_requested)
{
	static const uint32_t requests[] = {RP_JOB_SUSPEND, RP_JOB_START,
					    RP_JOB_TERMINATE, RP_JOB_START, RP_JOB_KILL};
	uint64_t begin = now_ms();
	struct rp_error err;

	self->job = start(self, "more", 1024);
	for (size_t i = 0; i < ARRAY_SIZE(requests); i++) {
		EXPECT_EQ(rp_job_set_bandwidth(self->job, 1024, &err),
			  i == 3 ? RP_INVALID_STATE : RP_OK, "%zu: %s", i, err.message);
		EXPECT_EQ(rp_job_request_state_change(self->job, requests[i], SOON_MS,
						      &err),
			  RP_JOB_DONE, "%zu: %s", i, err.message);
	}
	EXPECT_LT(now_ms() - begin, PROMPT_MS);
	expect_all_free();
}

TEST_F(forked, jobs_get_their_turn)
{
	uint64_t begin = now_ms();
	struct rp_error err;

	jobs_limit(self->stage, 1);
	stage_close(self->stage);
	self->stage->store = stage_open(self->stage, 0);
	self->job = start(self, "more", 1024);
	self->next = start(self, "next", 0);
	EXPECT_EQ(rp_job_request_state_change(self->job, RP_JOB_KILL, SOON_MS, &err),
		  RP_JOB_DONE, "%s", err.message);
	GIVES(OK, rp_job_wait(self->next, NULL, SOON_MS, &err));
	EXPECT_LT(now_ms() - begin, PROMPT_MS);
	expect_all_free();
}

TEST_MAIN
