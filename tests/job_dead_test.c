/* SPDX-License-Identifier: MIT */
/*
 * job_dead_test.c - jobs whose process has died, or whose target does not answer: what
 * was asked of them counts, and nobody else waits for them
 */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "badfs.h"
#include "harness.h"
#include "jobs.h"
#include "loopfs.h"

/* One job that works, slowly, and has something to keep. */
FIXTURE(dead)
{
	struct jobs jobs;
	struct loopfs lower;
	struct badfs fs; /* of its target; its server may stand still */
};

FIXTURE_VARIANT(dead)
{
	char none;
};
FIXTURE_VARIANT_ADD(dead, by_a_job){0};

static bool has_mark(const struct jobs *j)
{
	const char *directory = fmt("%s/0", j->stage.exports);
	const char *partial = stage_partial_path(directory, j->stage.point);
	struct stat st;

	return stat(fmt("%s/.journal", partial), &st) == 0 && st.st_size > 0;
}

FIXTURE_SETUP(dead)
{
	struct jobs *j = &self->jobs;
	struct rp_error err;

	loopfs_mount(&self->lower, "ext4", 96 * MIB, NULL, NULL);
	badfs_mount(&self->fs, &self->lower);
	jobs_make(j);
	snprintf(j->stage.exports, sizeof(j->stage.exports), "%s", self->fs.mnt);
	j->job = jobs_start(j, true);
	GIVES(OK, rp_job_set_bandwidth(j->job, 2 * MIB, &err));
	while (!has_mark(j))
		usleep(1000);
}

FIXTURE_TEARDOWN(dead)
{
	if (self->fs.server > 0) {
		self->fs.orders->stalls = false;
		kill(self->fs.server, SIGCONT);
	}
	jobs_close(&self->jobs);
	badfs_umount(&self->fs);
	loopfs_umount(&self->lower);
}

static const char *left(const struct jobs *j)
{
	return listing(fmt("%s/0", j->stage.exports));
}

static pid_t process_of(const struct jobs *j)
{
	return (pid_t)jobs_shown(j, j->job, "ProcessId");
}

/* Whoever looks next will see that. */
static void kill_process(struct jobs *j, pid_t pid)
{
	ASSERT_OK(kill(pid, SIGKILL));
	j->stopped = 0;
	jobs_expect(j->job, RP_JOB_EXCEPTION);
}

/* As every command does. */
static void open_store(const struct jobs *j)
{
	rp_store_close(stage_open(&j->stage, 0));
}

/* When its server is heard of again. */
static void kill_at_last(const struct jobs *j)
{
	uint64_t begin = now_ms();
	struct rp_error err;

	while (rp_job_request_state_change(j->job, RP_JOB_KILL, SOON_MS, &err) !=
	       RP_JOB_DONE) {
		ASSERT_EQ(err.code, RP_TIMEOUT, "%s", err.message);
		ASSERT_LT(now_ms() - begin, SOON_MS);
		usleep(100000);
	}
	EXPECT_STREQ(left(j), "");
}

static void expect_told(struct jobs *j, uint32_t request, enum rp_job_state state)
{
	pid_t pid = process_of(j);
	struct rp_error err;

	j->stopped = pid;
	ASSERT_OK(kill(pid, SIGSTOP));
	EXPECT_EQ(rp_job_request_state_change(j->job, request, 200, &err),
		  RP_JOB_NOT_IN_TIME);
	EXPECT_NE(strstr(err.message, "the request stands"), NULL, "%s", err.message);
	kill_process(j, pid);
	open_store(j);
	EXPECT_EQ(jobs_state(j->job), state);
	EXPECT_FALSE(jobs_resumable(j));
	EXPECT_STREQ(left(j), "");
}

TEST_F(dead, was_told_to_keep_nothing)
{
	expect_told(&self->jobs, RP_JOB_KILL, RP_JOB_KILLED);
}

TEST_F(dead, was_told_to_stop_and_keep_nothing)
{
	expect_told(&self->jobs, RP_JOB_TERMINATE | RP_JOB_DISCARD, RP_JOB_TERMINATED);
}

/* Where it cannot be looked at while that happens. */
static void expect_gone_without(struct jobs *j, bool released)
{
	const char *away = fmt("%s/away", j->stage.exports);
	struct rp_error err;

	kill_process(j, process_of(j));
	ASSERT_OK(rename(fmt("%s/0", j->stage.exports), away));
	if (released)
		GIVES(OK, rp_release(j->stage.store, j->stage.point, NULL, &err));
	else
		GIVES(OK,
		      rp_destroy_reference_point(j->stage.store, j->stage.point, &err));
	open_store(j);
	ASSERT_OK(rename(away, fmt("%s/0", j->stage.exports)));
	EXPECT_TRUE(*left(j));
	open_store(j);
	EXPECT_STREQ(left(j), "");
}

/* Nobody can go on from what is left of a point that is gone, or has no data. */
TEST_F(dead, has_no_point_any_more)
{
	expect_gone_without(&self->jobs, false);
}

TEST_F(dead, has_a_point_without_data)
{
	expect_gone_without(&self->jobs, true);
}

/* Not when somebody noticed. */
TEST_F(dead, has_ended_when_it_died)
{
	struct jobs *j = &self->jobs;
	double before;

	usleep(500000);
	kill_process(j, process_of(j));
	before = jobs_elapsed(j);
	EXPECT_TRUE(before >= 0.5, "%f", before);
	usleep(1500000);
	EXPECT_TRUE(jobs_elapsed(j) == before, "%f and %f", jobs_elapsed(j), before);
	open_store(j);
	EXPECT_TRUE(jobs_elapsed(j) == before, "%f and %f", jobs_elapsed(j), before);
}

/* Root, who only looks, does not take it from the user whose it is. */
TEST_F(dead, stays_its_owners)
{
	struct jobs *j = &self->jobs;
	struct stat st;

	kill_process(j, process_of(j));
	ASSERT_OK(system(fmt("chown -R 65534:65533 '%s/jobs/active/%s'", j->stage.path,
			     rp_job_id(j->job))));
	open_store(j);
	ASSERT_OK(stat(fmt("%s/jobs/ended/%s/job.json", j->stage.path, rp_job_id(j->job)),
		       &st));
	EXPECT_EQ(st.st_uid, 65534);
	EXPECT_EQ(st.st_gid, 65533);
	EXPECT_TRUE(jobs_resumable(j));
}

/* With all its threads: what one of them still answers would be taken for an answer. */
static void stop_server(const struct dead_fixture *self)
{
	pid_t server = self->fs.server;
	int status;

	ASSERT_OK(kill(server, SIGSTOP));
	ASSERT_EQ(waitpid(server, &status, WUNTRACED), server);
	ASSERT_TRUE(WIFSTOPPED(status));
}

/* Its server is gone, and may never be back. */
TEST_F(dead, does_not_hold_others)
{
	struct jobs *j = &self->jobs;
	char other[POINT_SIZE], *text;
	const char *const points[] = {j->stage.point, other};
	struct rp_error err;

	kill_process(j, process_of(j));
	stop_server(self);
	open_store(j);
	GIVES(OK, rp_job_list(j->stage.store, &text, &err));
	rp_free(text);
	EXPECT_EQ(jobs_state(j->job), RP_JOB_EXCEPTION);
	stage_take(&j->stage, other);
	ASSERT_OK(mkdir(fmt("%s/both", test_dir()), 0700));
	GIVES(OK, rp_export_set(j->stage.store, points, 2, fmt("%s/both", test_dir()),
				NULL, NULL, NULL, &err));
	EXPECT_EQ(rp_job_request_state_change(j->job, RP_JOB_KILL, SOON_MS, &err),
		  RP_JOB_UNSPECIFIED);
	EXPECT_EQ(err.code, RP_NOT_AVAILABLE, "%s", err.message);
	EXPECT_EQ(rp_job_request_state_change(j->job, RP_JOB_START, SOON_MS, &err),
		  RP_JOB_UNSPECIFIED);
	EXPECT_EQ(err.code, RP_NOT_AVAILABLE, "%s", err.message);

	ASSERT_OK(kill(self->fs.server, SIGCONT));
	open_store(j);
	EXPECT_TRUE(has_mark(j));
	EXPECT_TRUE(jobs_resumable(j));
	kill_at_last(j);
}

/* Nor does one that has ended, whose point is destroyed. */
TEST_F(dead, does_not_hold_the_end_of_its_point)
{
	struct jobs *j = &self->jobs;
	struct rp_error err;

	jobs_request(j->job, RP_JOB_TERMINATE);
	stop_server(self);
	GIVES(OK, rp_destroy_reference_point(j->stage.store, j->stage.point, &err));
	EXPECT_EQ(rp_job_request_state_change(j->job, RP_JOB_KILL, SOON_MS, &err),
		  RP_JOB_UNSPECIFIED);
	EXPECT_EQ(err.code, RP_TIMEOUT, "%s", err.message);
	EXPECT_TRUE(jobs_resumable(j));
	ASSERT_OK(kill(self->fs.server, SIGCONT));
	kill_at_last(j);
}

/* One that cannot stop, as its target does not answer. */
static void cannot_stop(struct dead_fixture *self)
{
	self->fs.orders->stalls = true;
	while (!self->fs.orders->stalled)
		usleep(1000);
	ASSERT_EQ(
		rp_job_request_state_change(self->jobs.job, RP_JOB_TERMINATE, 500, NULL),
		RP_JOB_NOT_IN_TIME);
}

TEST_F(dead, hears_that_it_is_to_keep_nothing)
{
	struct jobs *j = &self->jobs;

	cannot_stop(self);
	EXPECT_EQ(rp_job_request_state_change(j->job, RP_JOB_KILL, 0, NULL),
		  RP_JOB_TRANSITION);
	self->fs.orders->stalls = false;
	jobs_expect(j->job, RP_JOB_KILLED);
	EXPECT_FALSE(jobs_resumable(j));
	EXPECT_STREQ(left(j), "");
}

TEST_F(dead, leaves_its_turn_to_others)
{
	struct jobs *j = &self->jobs;
	struct rp_job *other, *hung = j->job;
	struct rp_error err;

	jobs_limit(&j->stage, 1);
	cannot_stop(self);
	snprintf(j->stage.exports, sizeof(j->stage.exports), "%s/exports", test_dir());
	other = jobs_start(j, false);
	GIVES(OK, rp_job_wait(other, NULL, SOON_MS, &err));
	rp_job_close(other);
	self->fs.orders->stalls = false;
	jobs_expect(hung, RP_JOB_TERMINATED);
}

static const char *missing(void)
{
	return program_missing() ?: badfs_skip_reason() ?: loopfs_skip_reason("ext4");
}

TEST_MAIN_REQUIRES(missing)
