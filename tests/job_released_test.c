/* SPDX-License-Identifier: MIT */
/*
 * job_released_test.c - who has waited for the end of a job can do what it was in the way
 * of, however slow the disk is
 */
#include <stdatomic.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "harness.h"
#include "stage.h"

static atomic_bool slow;

/* The library's calls come by here. */
int fsync(int fd)
{
	if (slow)
		usleep(300000);
	return (int)syscall(SYS_fsync, fd);
}

FIXTURE(released)
{
	struct stage stage;
	struct rp_job *job;
};

FIXTURE_SETUP(released)
{
	stage_make(&self->stage, test_dir(), 8 * MIB, test_seed());
	self->job = stage_start(&self->stage);
	slow = true;
}

FIXTURE_TEARDOWN(released)
{
	rp_job_close(self->job);
	stage_close(&self->stage);
}

static void destroy(struct released_fixture *self)
{
	struct rp_error err;

	GIVES(OK, rp_destroy_reference_point(self->stage.store, self->stage.point, &err));
}

TEST_F(released, when_it_was_cancelled)
{
	struct rp_error err;

	EXPECT_EQ(rp_job_request_state_change(self->job, RP_JOB_TERMINATE, SOON_MS, &err),
		  RP_JOB_DONE, "%s", err.message);
	destroy(self);
}

TEST_F(released, when_it_was_waited_for)
{
	struct rp_error err;

	EXPECT_EQ(rp_job_request_state_change(self->job, RP_JOB_KILL, 0, &err),
		  RP_JOB_TRANSITION, "%s", err.message);
	GIVES(FAILED, rp_job_wait(self->job, NULL, SOON_MS, &err));
	destroy(self);
}

TEST_MAIN
