/* SPDX-License-Identifier: MIT */
/*
 * job_resumed_test.c - a job that is resumed while others look at it is there all the
 * time
 */
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "harness.h"
#include "intercept.h"
#include "jobs.h"

static _Thread_local const char *watched; /* a folder: when it is looked into, ... */
static struct rp_job *resumed;		  /* ... this is resumed */

/* Who works on it is looked for, once: it is cancelled before, and resumed after. */
static _Thread_local struct rp_job *looked_at;

static bool is_watched(int dirfd)
{
	struct stat here, there;

	return watched && fstat(dirfd, &here) == 0 && stat(watched, &there) == 0 &&
	       here.st_dev == there.st_dev && here.st_ino == there.st_ino;
}

/* The library's calls come by here. */
int openat(int dirfd, const char *path, int flags, ...)
{
	mode_t mode = OPEN_MODE(flags);

	if (is_watched(dirfd)) {
		watched = NULL;
		jobs_request(resumed, RP_JOB_START);
	}
	return (int)syscall(SYS_openat, dirfd, path, flags, mode);
}

int flock(int fd, int operation)
{
	struct rp_job *job = looked_at;
	int r;

	if (!job || !(operation & LOCK_SH))
		return (int)syscall(SYS_flock, fd, operation);
	looked_at = NULL;
	jobs_request(job, RP_JOB_TERMINATE);
	r = (int)syscall(SYS_flock, fd, LOCK_SH); /* when it is let go of */
	syscall(SYS_flock, fd, LOCK_UN);
	jobs_request(job, RP_JOB_START);
	return r;
}

FIXTURE(resumed)
{
	struct stage stage;
	struct rp_job *job;
};

FIXTURE_SETUP(resumed)
{
	stage_make(&self->stage, test_dir(), 8 * MIB, test_seed());
	self->job = stage_start(&self->stage);
}

FIXTURE_TEARDOWN(resumed)
{
	struct rp_error err;

	if (self->job)
		rp_job_request_state_change(self->job, RP_JOB_KILL, SOON_MS, &err);
	rp_job_close(self->job);
	stage_close(&self->stage);
}

/* It is resumed when it is looked for where it lies. */
static void cancel(struct resumed_fixture *self)
{
	const struct stage *s = &self->stage;

	jobs_request(self->job, RP_JOB_TERMINATE);
	while (*listing(fmt("%s/jobs/active", s->path)))
		usleep(1000);
	resumed = self->job;
	watched = fmt("%s/jobs/ended", s->path);
}

static void expect_found(struct resumed_fixture *self, const char *id)
{
	struct rp_error err;
	char *text = NULL;
	json_t *doc;

	cancel(self);
	GIVES(OK, rp_job_show(self->stage.store, id, &text, &err));
	EXPECT_EQ(watched, NULL);
	doc = take_json(text);
	EXPECT_EQ(json_number(doc, "JobState"), RP_JOB_RUNNING);
	json_decref(doc);
}

TEST_F(resumed, is_found)
{
	expect_found(self, rp_job_id(self->job));
}

TEST_F(resumed, is_found_by_the_beginning_of_its_id)
{
	expect_found(self, fmt("%.8s", rp_job_id(self->job)));
}

TEST_F(resumed, is_listed)
{
	struct rp_error err;
	char *text = NULL;
	json_t *list;

	cancel(self);
	GIVES(OK, rp_job_list(self->stage.store, &text, &err));
	EXPECT_EQ(watched, NULL);
	list = take_json(text);
	EXPECT_EQ(json_array_size(list), 1);
	EXPECT_EQ(json_number(json_array_get(list, 0), "JobState"), RP_JOB_RUNNING);
	json_decref(list);
}

/* Its owner is gone, and there is another one. */
TEST_F(resumed, is_not_dead)
{
	enum rp_job_state state;
	struct rp_error err;

	looked_at = self->job;
	GIVES(OK, rp_job_state(self->job, &state, NULL, &err));
	EXPECT_EQ(looked_at, NULL);
	EXPECT_EQ(state, RP_JOB_RUNNING);
	EXPECT_EQ(rp_job_wait(self->job, NULL, 1, &err), RP_TIMEOUT, "%s", err.message);
}

/* Who looks only now has not seen that its owner was another. */
TEST_F(resumed, is_told_of_by_its_new_owner)
{
	struct pollfd fd = {.fd = rp_job_fd(self->job), .events = POLLIN};
	enum rp_job_state state;
	struct rp_job *other;
	struct rp_error err;
	unsigned looks = 0;

	GIVES(OK, rp_job_open(self->stage.store, rp_job_id(self->job), &other, &err));
	jobs_request(other, RP_JOB_TERMINATE);
	jobs_request(other, RP_JOB_START);
	jobs_request(other, RP_JOB_SUSPEND);
	/* It may be told of what was there to be seen at the first look. */
	do
		GIVES(OK, rp_job_state(self->job, &state, NULL, &err));
	while (poll(&fd, 1, 100) > 0 && ++looks < 10);
	EXPECT_EQ(state, RP_JOB_SUSPENDED);
	EXPECT_LT(looks, 10);
	jobs_request(other, RP_JOB_TERMINATE);
	EXPECT_EQ(poll(&fd, 1, SOON_MS), 1);
	rp_job_close(other);
}

TEST_MAIN
