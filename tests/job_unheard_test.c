/* SPDX-License-Identifier: MIT */
/*
 * job_unheard_test.c - jobs that nobody could wake, for want of a descriptor, look for
 * themselves
 */
#include <dlfcn.h>
#include <fcntl.h>
#include <poll.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "harness.h"
#include "jobs.h"

#define RING  "bell"  /* of whoever asks for something */
#define LEAVE "/bell" /* of the one that is next in the queue only */
#define LIMIT 2

static const char *_Atomic unrung, *_Atomic unwatched; /* are in these paths */
static atomic_bool hasty;			       /* half a minute is soon over */

static bool has(const char *path, const char *part)
{
	return part && strstr(path, part);
}

/* The library's calls come by here. */
int openat(int dirfd, const char *path, int flags, ...)
{
	int access = flags & O_ACCMODE;
	va_list args;
	mode_t mode;

	va_start(args, flags);
	mode = flags & (O_CREAT | __O_TMPFILE) ? va_arg(args, mode_t) : 0;
	va_end(args);
	if ((access == O_RDWR && has(path, unrung)) ||
	    (access == O_WRONLY && has(path, unwatched))) {
		errno = EMFILE;
		return -1;
	}
	return (int)syscall(SYS_openat, dirfd, path, flags, mode);
}

int poll(struct pollfd *fds, nfds_t count, int timeout)
{
	int (*real)(struct pollfd *, nfds_t, int) = dlsym(RTLD_NEXT, "poll");
	bool soon = hasty && timeout > 1000 && timeout <= 60000;

	return real(fds, count, soon ? 300 : timeout);
}

FIXTURE(unheard)
{
	struct stage stage;
	struct rp_job *jobs[2 * LIMIT];
	size_t count;
};

FIXTURE_SETUP(unheard)
{
	struct stage *s = &self->stage;

	stage_make(s, test_dir(), 8 * MIB, test_seed());
	jobs_limit(s, LIMIT);
	stage_close(s);
	s->store = stage_open(s, 0);
}

FIXTURE_TEARDOWN(unheard)
{
	unrung = unwatched = NULL;
	for (size_t i = 0; i < self->count; i++) {
		rp_job_request_state_change(self->jobs[i], RP_JOB_KILL, SOON_MS, NULL);
		rp_job_close(self->jobs[i]);
	}
	stage_close(&self->stage);
}

/* A job of this process that never ends by itself. */
static struct rp_job *start(struct unheard_fixture *self)
{
	const char *directory = fmt("%s/%zu", self->stage.exports, self->count);
	struct rp_export_options options = stage_copying(RP_IO_AUTO);
	struct rp_job *job;
	struct rp_error err;

	options.bandwidth = 1024;
	ASSERT_OK(mkdir(directory, 0700));
	ASSERT_EQ(rp_export_start(self->stage.store, self->stage.point, directory,
				  &options, &job, &err),
		  RP_JOB_STARTED, "%s", err.message);
	return self->jobs[self->count++] = job;
}

/* As many as may. */
static void start_working(struct unheard_fixture *self)
{
	for (unsigned i = 0; i < LIMIT; i++)
		jobs_expect(start(self), RP_JOB_RUNNING);
}

/* One that sleeps until it is its turn. */
static struct rp_job *start_waiting(struct unheard_fixture *self)
{
	struct rp_job *job = start(self);

	usleep(300000);
	EXPECT_EQ(jobs_state(job), RP_JOB_NEW);
	return job;
}

static void ask(struct rp_job *job, uint32_t requested)
{
	struct rp_error err;

	EXPECT_EQ(rp_job_request_state_change(job, requested, 0, &err), RP_JOB_TRANSITION,
		  "%s", err.message);
}

/* It was told of one place by the one before it, which is to tell it of the other. */
TEST_F(unheard, take_the_turn_that_is_theirs)
{
	struct rp_job *first, *second;

	hasty = true;
	start_working(self);
	first = start_waiting(self);
	second = start_waiting(self);
	unrung = LEAVE;
	for (unsigned i = 0; i < LIMIT; i++)
		jobs_request(self->jobs[i], RP_JOB_TERMINATE);
	jobs_expect(first, RP_JOB_RUNNING);
	jobs_expect(second, RP_JOB_RUNNING);
}

TEST_F(unheard, look_soon_at_what_cannot_be_watched)
{
	static char last[64]; /* others may look at it after the job was closed */
	struct rp_job *waiting;
	uint64_t begin;

	start_working(self);
	snprintf(last, sizeof(last), "%s", rp_job_id(self->jobs[LIMIT - 1]));
	unwatched = last;
	waiting = start_waiting(self);
	unrung = LEAVE;
	begin = now_ms();
	jobs_request(self->jobs[LIMIT - 1], RP_JOB_TERMINATE);
	jobs_expect(waiting, RP_JOB_RUNNING);
	EXPECT_LT(now_ms() - begin, 15000);
}

TEST_F(unheard, go_on)
{
	struct rp_job *job = start(self);

	hasty = true;
	jobs_expect(job, RP_JOB_RUNNING);
	jobs_request(job, RP_JOB_SUSPEND);
	unrung = RING;
	ask(job, RP_JOB_START);
	jobs_expect(job, RP_JOB_RUNNING);
}

TEST_F(unheard, stop_while_they_wait)
{
	struct rp_job *waiting;

	hasty = true;
	start_working(self);
	waiting = start_waiting(self);
	unrung = RING;
	ask(waiting, RP_JOB_TERMINATE);
	jobs_expect(waiting, RP_JOB_TERMINATED);
}

TEST_MAIN
