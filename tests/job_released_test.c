/* SPDX-License-Identifier: MIT */
/*
 * job_released_test.c - who has waited for the end of a job can do what it was in the way
 * of, however slow the disk and the end of a thread are
 */
#include <dlfcn.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
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

/* Its buffers and its queue are given back by a thread. */
int pthread_join(pthread_t thread, void **ret)
{
	int (*real)(pthread_t, void **) = dlsym(RTLD_NEXT, "pthread_join");

	if (slow)
		usleep(300000);
	return real(thread, ret);
}

/* It has something to give back. */
static void await_copying(struct rp_job *job)
{
	struct rp_progress progress = {.phase = ""};
	uint64_t begin = now_ms();
	struct rp_error err;

	while (strcmp(progress.phase, "copying") && now_ms() - begin < SOON_MS) {
		GIVES(OK, rp_job_state(job, NULL, &progress, &err));
		usleep(1000);
	}
	ASSERT_STREQ(progress.phase, "copying");
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
	await_copying(self->job);
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
