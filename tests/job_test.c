/* SPDX-License-Identifier: MIT */
/*
 * job_test.c - jobs in every state, commanded from another process: every request
 */
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "data.h"
#include "harness.h"
#include "jobs.h"

FIXTURE(jobs)
{
	struct jobs jobs;
};

FIXTURE_SETUP(jobs)
{
	jobs_make(&self->jobs);
	jobs_limit(&self->jobs.stage, 1);
}

FIXTURE_TEARDOWN(jobs)
{
	jobs_close(&self->jobs);
}

/* ------------------------------------------------------------------- into every state */

/* It is asked to stop and does not come to it. */
static void make_shutting_down(struct jobs *j)
{
	jobs_make_running(j);
	jobs_hold(j);
	ASSERT_EQ(rp_job_request_state_change(j->job, RP_JOB_TERMINATE, 0, NULL),
		  RP_JOB_TRANSITION);
}

static void make_completed(struct jobs *j)
{
	struct rp_error err;

	j->job = jobs_start(j, false);
	ASSERT_EQ(rp_job_wait(j->job, NULL, SOON_MS, &err), RP_OK, "%s", err.message);
}

static void make_terminated(struct jobs *j)
{
	jobs_make_running(j);
	jobs_request(j->job, RP_JOB_TERMINATE);
}

static void make_discarded(struct jobs *j)
{
	jobs_make_running(j);
	jobs_request(j->job, RP_JOB_TERMINATE | RP_JOB_DISCARD);
}

static void make_killed(struct jobs *j)
{
	jobs_make_running(j);
	jobs_request(j->job, RP_JOB_KILL);
}

/* Its export is there already. */
static void make_exception(struct jobs *j)
{
	struct rp_error err;

	make_completed(j);
	rp_job_close(j->job);
	j->folders--;
	ASSERT_OK(rename(fmt("%s/%u", j->stage.exports, j->folders),
			 fmt("%s/away", j->stage.exports)));
	j->job = jobs_start(j, true);
	jobs_expect(j->job, RP_JOB_RUNNING);
	jobs_reach(j, j->job, "copying");
	/* Somebody else publishes it, which no refpoint would. */
	ASSERT_OK(rename(
		fmt("%s/away/web1/%s", j->stage.exports, strchr(j->stage.point, '@') + 1),
		fmt("%s/%u/web1/%s", j->stage.exports, j->folders - 1,
		    strchr(j->stage.point, '@') + 1)));
	ASSERT_EQ(rp_job_set_bandwidth(j->job, 0, &err), RP_OK, "%s", err.message);
	EXPECT_EQ(rp_job_wait(j->job, NULL, SOON_MS, &err), RP_INVALID_STATE, "%s",
		  err.message);
}

static void make_interrupted(struct jobs *j)
{
	jobs_make_running(j);
	ASSERT_OK(kill((pid_t)jobs_shown(j, j->job, "ProcessId"), SIGKILL));
	ASSERT_EQ(rp_job_wait(j->job, NULL, SOON_MS, NULL), RP_FAILED);
}

FIXTURE_VARIANT(jobs)
{
	void (*make)(struct jobs * j);
	enum rp_job_state state;
	uint32_t answer[RP_JOB_KILL + 1];
};

FIXTURE_VARIANT_ADD(jobs, new){jobs_make_new, RP_JOB_NEW, {[2] = 4097, 4096, 4096, 4096}};
FIXTURE_VARIANT_ADD(jobs, starting){
	jobs_make_starting, RP_JOB_STARTING, {[2] = 4097, 4096, 4096, 4096}};
FIXTURE_VARIANT_ADD(jobs, running){
	jobs_make_running, RP_JOB_RUNNING, {[2] = 4097, 4096, 4096, 4096}};
FIXTURE_VARIANT_ADD(jobs, suspended){
	jobs_make_suspended, RP_JOB_SUSPENDED, {[2] = 4096, 4097, 4096, 4096}};
FIXTURE_VARIANT_ADD(jobs, shutting_down){
	make_shutting_down, RP_JOB_SHUTTING_DOWN, {[2] = 4099, 4099, 4099, 4096}};
FIXTURE_VARIANT_ADD(jobs, completed){
	make_completed, RP_JOB_COMPLETED, {[2] = 4097, 4097, 4097, 4097}};
FIXTURE_VARIANT_ADD(jobs, discarded){
	make_discarded, RP_JOB_TERMINATED, {[2] = 4097, 4097, 4097, 4097}};
FIXTURE_VARIANT_ADD(jobs,
		    killed){make_killed, RP_JOB_KILLED, {[2] = 4097, 4097, 4097, 4097}};
FIXTURE_VARIANT_ADD(jobs, exception){
	make_exception, RP_JOB_EXCEPTION, {[2] = 4097, 4097, 4097, 4097}};
FIXTURE_VARIANT_ADD(jobs, terminated){
	make_terminated, RP_JOB_TERMINATED, {[2] = 4096, 4097, 4097, 0}};
FIXTURE_VARIANT_ADD(jobs, interrupted){
	make_interrupted, RP_JOB_EXCEPTION, {[2] = 4096, 4097, 4097, 0}};

/* What an answer of 4096 has led to. */
static void expect_transition(struct jobs *j, enum rp_job_state before,
			      uint32_t requested)
{
	jobs_let_go(j);
	switch (requested) {
	case RP_JOB_START:
		jobs_expect(j->job, RP_JOB_RUNNING);
		break;
	case RP_JOB_SUSPEND:
		jobs_expect(j->job, RP_JOB_SUSPENDED);
		break;
	case RP_JOB_TERMINATE:
		jobs_expect(j->job, RP_JOB_TERMINATED);
		break;
	default:
		jobs_expect(j->job, RP_JOB_KILLED);
		EXPECT_EQ(jobs_shown(j, j->job, "Resumable"), 0);
	}
	EXPECT_NE(jobs_state(j->job), before);
}

TEST_F(jobs, answers_every_request)
{
	struct jobs *j = &self->jobs;
	static const uint32_t nonsense[] = {0, 1, 6, 7, 11, 0x10002, UINT32_MAX};
	struct rp_error err;
	uint32_t answer;

	for (uint32_t requested = RP_JOB_START; requested <= RP_JOB_KILL; requested++) {
		if (!j->job)
			variant->make(j);
		ASSERT_EQ(jobs_state(j->job), variant->state);
		for (size_t i = 0; i < ARRAY_SIZE(nonsense); i++)
			EXPECT_EQ(
				rp_job_request_state_change(j->job, nonsense[i], 0, &err),
				RP_JOB_INVALID);
		EXPECT_EQ(err.code, RP_INVALID_PARAMETER);
		answer = rp_job_request_state_change(j->job, requested, 0, &err);
		EXPECT_EQ(answer, variant->answer[requested], "request %u: %s", requested,
			  err.message);
		if (answer == RP_JOB_TRANSITION || answer == RP_JOB_DONE) {
			expect_transition(j, variant->state, requested);
			jobs_end_all(j);
			continue;
		}
		EXPECT_EQ(err.code, answer == RP_JOB_BUSY ? RP_IN_USE : RP_INVALID_STATE);
		EXPECT_EQ(jobs_state(j->job), variant->state, "nothing has changed");
	}
}

/* ----------------------------------------------------------------- what a kill leaves */

FIXTURE(killed)
{
	struct jobs jobs;
};

FIXTURE_SETUP(killed)
{
	jobs_make(&self->jobs);
}

FIXTURE_TEARDOWN(killed)
{
	jobs_close(&self->jobs);
}

FIXTURE_VARIANT(killed)
{
	uint32_t before; /* is requested; then it goes on */
};
FIXTURE_VARIANT_ADD(killed, suspended){RP_JOB_SUSPEND};
FIXTURE_VARIANT_ADD(killed, cancelled){RP_JOB_TERMINATE};

/* Something of it is on stable storage, and is kept by who does not kill it. */
static void await_mark(const struct jobs *j)
{
	const char *directory = fmt("%s/0", j->stage.exports);
	const char *partial = stage_partial_path(directory, j->stage.point);
	const char *path = fmt("%s/.journal", partial);
	struct stat st = {0};

	while (stat(path, &st) < 0 || !st.st_size)
		usleep(1000);
}

/* The system's folder, which it made itself, goes too, whichever process made it. */
TEST_F(killed, leaves_nothing)
{
	struct jobs *j = &self->jobs;

	jobs_make_running(j);
	ASSERT_EQ(rp_job_set_bandwidth(j->job, 2 * MIB, NULL), RP_OK);
	await_mark(j);
	jobs_request(j->job, variant->before);
	ASSERT_TRUE(exists(fmt("%s/0/web1", j->stage.exports)));
	jobs_request(j->job, RP_JOB_START);
	jobs_reach(j, j->job, "copying");
	jobs_request(j->job, RP_JOB_KILL);
	EXPECT_STREQ(listing(fmt("%s/0", j->stage.exports)), "");
}

TEST_MAIN_REQUIRES(program_missing)
