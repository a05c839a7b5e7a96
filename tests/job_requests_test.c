/* SPDX-License-Identifier: MIT */
/*
 * job_requests_test.c - jobs of which one thing is asked, and then another before they
 * have come to the first
 *
 * While its process is held nothing is carried out, however long that takes.
 */
#include <fcntl.h>
#include <pthread.h>
#include <unistd.h>

#include "engine/slip.h"
#include "harness.h"
#include "jobs.h"

static void make(struct jobs *j)
{
	jobs_make(j);
	jobs_limit(&j->stage, 1);
}

static void expect_answer(struct rp_job *job, uint32_t requested, uint64_t timeout_ms,
			  uint32_t want)
{
	struct rp_error err;

	EXPECT_EQ(rp_job_request_state_change(job, requested, timeout_ms, &err), want,
		  "request %u: %s", requested, err.message);
}

/* ------------------------------------------------------------------------- overtaken */

/* Another thread, which waits for what it has asked for. */
struct asker {
	struct jobs *jobs;
	uint32_t requested, answer;
	struct rp_error err;
	pthread_t thread;
};

static void *ask(void *context)
{
	struct asker *a = context;
	struct rp_job *job;

	ASSERT_EQ(rp_job_open(a->jobs->stage.store, rp_job_id(a->jobs->job), &job, NULL),
		  RP_OK);
	a->answer = rp_job_request_state_change(job, a->requested, SOON_MS, &a->err);
	rp_job_close(job);
	return NULL;
}

/* Until it is written where the job's process will look. */
static void await_request(const struct jobs *j, uint32_t requested)
{
	const char *folder = fmt("%s/jobs/active/%s", j->stage.path, rp_job_id(j->job));
	int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	uint64_t begin = now_ms();
	int64_t seen = 0;

	ASSERT_GE(fd, 0, "%s", folder);
	while (seen != requested && now_ms() - begin < SOON_MS) {
		json_t *doc;

		ASSERT_OK(slip_read(fd, "requests", &doc));
		seen = json_number(doc, "Request");
		json_decref(doc);
		usleep(1000);
	}
	close(fd);
	ASSERT_EQ(seen, requested);
}

static void begin_to_ask(struct asker *a)
{
	ASSERT_OK(pthread_create(&a->thread, NULL, ask, a));
	await_request(a->jobs, a->requested);
}

FIXTURE(overtaken)
{
	struct jobs jobs;
};

FIXTURE_SETUP(overtaken)
{
	make(&self->jobs);
}

FIXTURE_TEARDOWN(overtaken)
{
	jobs_close(&self->jobs);
}

FIXTURE_VARIANT(overtaken)
{
	void (*make)(struct jobs * j);
	uint32_t requested;
};
FIXTURE_VARIANT_ADD(overtaken, suspend){jobs_make_running, RP_JOB_SUSPEND};
FIXTURE_VARIANT_ADD(overtaken, start){jobs_make_suspended, RP_JOB_START};

/* A request that another one has overtaken has not led to anything. */
TEST_F(overtaken, by_kill)
{
	struct jobs *j = &self->jobs;
	struct asker a = {.jobs = j, .requested = variant->requested};

	variant->make(j);
	jobs_hold(j);
	begin_to_ask(&a);
	expect_answer(j->job, RP_JOB_KILL, 0, RP_JOB_TRANSITION);
	jobs_let_go(j);
	ASSERT_OK(pthread_join(a.thread, NULL));
	EXPECT_EQ(a.answer, RP_JOB_FORBIDDEN);
	EXPECT_EQ(a.err.code, RP_INVALID_STATE, "%s", a.err.message);
	EXPECT_EQ(jobs_state(j->job), RP_JOB_KILLED);
}

TEST_MAIN_REQUIRES(jobs_missing)
