/* SPDX-License-Identifier: MIT */
/*
 * job_requests_test.c - jobs of which one thing is asked, and then another before they
 * have come to the first, or several at once of one that has ended
 *
 * While its process is held nothing is carried out, however long that takes.
 */
#include <fcntl.h>
#include <pthread.h>
#include <string.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <unistd.h>

#include "data.h"
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

/* ------------------------------------------------------------------------ taken back */

FIXTURE(taken_back)
{
	struct jobs jobs;
};

FIXTURE_SETUP(taken_back)
{
	make(&self->jobs);
}

FIXTURE_TEARDOWN(taken_back)
{
	jobs_close(&self->jobs);
}

FIXTURE_VARIANT(taken_back)
{
	void (*make)(struct jobs * j);
	enum rp_job_state state;
	uint32_t requested, opposite;
};
FIXTURE_VARIANT_ADD(taken_back, new){jobs_make_new, RP_JOB_NEW, RP_JOB_SUSPEND,
				     RP_JOB_START};
FIXTURE_VARIANT_ADD(taken_back, starting){jobs_make_starting, RP_JOB_STARTING,
					  RP_JOB_SUSPEND, RP_JOB_START};
FIXTURE_VARIANT_ADD(taken_back, running){jobs_make_running, RP_JOB_RUNNING,
					 RP_JOB_SUSPEND, RP_JOB_START};
FIXTURE_VARIANT_ADD(taken_back, suspended){jobs_make_suspended, RP_JOB_SUSPENDED,
					   RP_JOB_START, RP_JOB_SUSPEND};

/* For as long as it would take to do something else. */
static void expect_stays(struct rp_job *job, enum rp_job_state state)
{
	uint64_t begin = now_ms();

	jobs_expect(job, state);
	while (now_ms() - begin < 400 && jobs_state(job) == state)
		usleep(1000);
	EXPECT_EQ(jobs_state(job), state);
}

/* It is as if nothing had been asked, as often as it is. */
TEST_F(taken_back, before_it_is_carried_out)
{
	struct jobs *j = &self->jobs;

	variant->make(j);
	jobs_hold(j);
	for (unsigned times = 0; times < 2; times++) {
		expect_answer(j->job, variant->requested, 0, RP_JOB_TRANSITION);
		EXPECT_EQ(jobs_state(j->job), variant->state);
		expect_answer(j->job, variant->opposite, 0, RP_JOB_TRANSITION);
		expect_answer(j->job, variant->opposite, 0, RP_JOB_FORBIDDEN);
	}
	jobs_let_go(j);
	expect_stays(j->job, variant->state);
}

TEST_F(taken_back, when_it_was_not_in_time)
{
	struct jobs *j = &self->jobs;

	variant->make(j);
	jobs_hold(j);
	expect_answer(j->job, variant->requested, 20, RP_JOB_NOT_IN_TIME);
	expect_answer(j->job, variant->opposite, 0, RP_JOB_TRANSITION);
	jobs_let_go(j);
	expect_stays(j->job, variant->state);
}

/* The same again goes on. */
TEST_F(taken_back, not_by_itself)
{
	struct jobs *j = &self->jobs;

	variant->make(j);
	jobs_hold(j);
	expect_answer(j->job, variant->requested, 20, RP_JOB_NOT_IN_TIME);
	expect_answer(j->job, variant->requested, 0, RP_JOB_TRANSITION);
	jobs_let_go(j);
	expect_stays(j->job, variant->requested == RP_JOB_SUSPEND ? RP_JOB_SUSPENDED
								  : RP_JOB_RUNNING);
}

/* A stop is not: neither of them takes its place. */
TEST_F(taken_back, but_for_a_stop)
{
	struct jobs *j = &self->jobs;
	static const uint32_t stops[] = {RP_JOB_TERMINATE,
					 RP_JOB_TERMINATE | RP_JOB_DISCARD, RP_JOB_KILL};

	for (size_t i = 0; i < ARRAY_SIZE(stops); i++) {
		variant->make(j);
		jobs_hold(j);
		expect_answer(j->job, variant->requested, 0, RP_JOB_TRANSITION);
		expect_answer(j->job, stops[i], 0, RP_JOB_TRANSITION);
		EXPECT_EQ(jobs_state(j->job), RP_JOB_SHUTTING_DOWN);
		expect_answer(j->job, variant->opposite, 0, RP_JOB_BUSY);
		expect_answer(j->job, variant->requested, 0, RP_JOB_BUSY);
		expect_answer(j->job, RP_JOB_TERMINATE, 0, RP_JOB_BUSY);
		jobs_let_go(j);
		jobs_expect(j->job,
			    stops[i] == RP_JOB_KILL ? RP_JOB_KILLED : RP_JOB_TERMINATED);
		jobs_end_all(j);
	}
}

/* ------------------------------------------------------------------------- overtaken */

/* Another thread, which waits for what it has asked for. */
struct asker {
	struct jobs *jobs;
	struct rp_store *store; /* NULL = that of the jobs */
	uint32_t requested, answer;
	struct rp_error err;
	pthread_t thread;
};

static void *ask(void *context)
{
	struct asker *a = context;
	struct rp_job *job;

	ASSERT_EQ(rp_job_open(a->store ?: a->jobs->stage.store, rp_job_id(a->jobs->job),
			      &job, NULL),
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
	uint32_t requested, opposite;
	enum rp_job_state state;
};
FIXTURE_VARIANT_ADD(overtaken, suspend){jobs_make_running, RP_JOB_SUSPEND, RP_JOB_START,
					RP_JOB_RUNNING};
FIXTURE_VARIANT_ADD(overtaken, start){jobs_make_suspended, RP_JOB_START, RP_JOB_SUSPEND,
				      RP_JOB_SUSPENDED};

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

/* Who waits for it need not wait for the job. */
TEST_F(overtaken, by_the_opposite)
{
	struct jobs *j = &self->jobs;
	struct asker a = {.jobs = j, .requested = variant->requested};

	variant->make(j);
	jobs_hold(j);
	begin_to_ask(&a);
	expect_answer(j->job, variant->opposite, 0, RP_JOB_TRANSITION);
	ASSERT_OK(pthread_join(a.thread, NULL));
	EXPECT_EQ(a.answer, RP_JOB_FORBIDDEN);
	EXPECT_EQ(a.err.code, RP_INVALID_STATE);
	EXPECT_NE(strstr(a.err.message, "overtaken"), NULL, "%s", a.err.message);
	jobs_let_go(j);
	expect_stays(j->job, variant->state);
}

/* Nor does it wake itself and all others who look on. */
TEST_F(overtaken, not_and_waits_asleep)
{
	struct jobs *j = &self->jobs;
	struct asker a = {.jobs = j, .requested = variant->requested};
	struct rusage before, after;

	variant->make(j);
	jobs_hold(j);
	begin_to_ask(&a);
	ASSERT_OK(getrusage(RUSAGE_SELF, &before));
	usleep(1000000);
	ASSERT_OK(getrusage(RUSAGE_SELF, &after));
	EXPECT_LT(after.ru_nvcsw - before.ru_nvcsw, 100);
	jobs_let_go(j);
	ASSERT_OK(pthread_join(a.thread, NULL));
	EXPECT_EQ(a.answer, RP_JOB_DONE, "%s", a.err.message);
}

/* Who takes something back, and has time, knows that the job is not on its way to it. */
TEST_F(overtaken, for_good)
{
	struct jobs *j = &self->jobs;
	struct asker a = {.jobs = j, .requested = variant->opposite};

	variant->make(j);
	jobs_hold(j);
	expect_answer(j->job, variant->requested, 0, RP_JOB_TRANSITION);
	expect_answer(j->job, variant->opposite, 200, RP_JOB_NOT_IN_TIME);
	expect_answer(j->job, variant->requested, 0, RP_JOB_TRANSITION);
	begin_to_ask(&a);
	jobs_let_go(j);
	ASSERT_OK(pthread_join(a.thread, NULL));
	EXPECT_EQ(a.answer, RP_JOB_DONE, "%s", a.err.message);
	expect_stays(j->job, variant->state);
}

/* So it is at whatever instant of the way. */
TEST_F(overtaken, at_random)
{
	struct jobs *j = &self->jobs;
	uint64_t random = test_seed();

	variant->make(j);
	for (unsigned round = 0; round < 100; round++) {
		expect_answer(j->job, variant->requested, 0, RP_JOB_TRANSITION);
		usleep((useconds_t)(data_random(&random) % 60000));
		expect_answer(j->job, variant->opposite, SOON_MS, RP_JOB_DONE);
		ASSERT_EQ(jobs_state(j->job), variant->state, "round %u", round);
		usleep((useconds_t)(data_random(&random) % 30000));
		ASSERT_EQ(jobs_state(j->job), variant->state, "round %u", round);
	}
}

/* ---------------------------------------------------------- of one that has ended */

FIXTURE(ended)
{
	struct jobs jobs;
};

FIXTURE_SETUP(ended)
{
	make(&self->jobs);
	jobs_make_running(&self->jobs);
	jobs_request(self->jobs.job, RP_JOB_TERMINATE);
}

FIXTURE_TEARDOWN(ended)
{
	jobs_close(&self->jobs);
}

/* Who starts it and has to wait for that keeps nobody from asking for something else. */
TEST_F(ended, is_killed_while_its_point_is_waited_for)
{
	struct jobs *j = &self->jobs;
	struct asker a = {.jobs = j,
			  .store = stage_open(&j->stage, 10000),
			  .requested = RP_JOB_START};
	int point = open(stage_point_path(&j->stage, j->stage.point),
			 O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	uint64_t begin;

	ASSERT_OK(flock(point, LOCK_EX)); /* as if it was being released */
	ASSERT_OK(pthread_create(&a.thread, NULL, ask, &a));
	usleep(500000);
	begin = now_ms();
	expect_answer(j->job, RP_JOB_KILL, 0, RP_JOB_DONE);
	EXPECT_LT(now_ms() - begin, 5000);
	EXPECT_EQ(jobs_state(j->job), RP_JOB_KILLED);
	close(point);
	ASSERT_OK(pthread_join(a.thread, NULL));
	EXPECT_EQ(a.answer, RP_JOB_FORBIDDEN, "%s", a.err.message);
	EXPECT_EQ(a.err.code, RP_INVALID_STATE);
	EXPECT_EQ(jobs_state(j->job), RP_JOB_KILLED);
	rp_store_close(a.store);
}

#define ASKERS 4

static void ask_at_once(struct asker askers[ASKERS])
{
	for (unsigned i = 0; i < ASKERS; i++)
		ASSERT_OK(pthread_create(&askers[i].thread, NULL, ask, &askers[i]));
	for (unsigned i = 0; i < ASKERS; i++)
		ASSERT_OK(pthread_join(askers[i].thread, NULL));
}

/* For the same, which one of them comes to. */
static void expect_one(struct jobs *j, uint32_t requested)
{
	struct asker askers[ASKERS];
	unsigned done = 0;

	for (unsigned i = 0; i < ASKERS; i++)
		askers[i] = (struct asker){.jobs = j, .requested = requested};
	ask_at_once(askers);
	for (unsigned i = 0; i < ASKERS; i++) {
		done += askers[i].answer == RP_JOB_DONE;
		if (askers[i].answer == RP_JOB_DONE)
			continue;
		EXPECT_EQ(askers[i].answer, RP_JOB_FORBIDDEN, "%s",
			  askers[i].err.message);
		EXPECT_EQ(askers[i].err.code, RP_INVALID_STATE);
	}
	EXPECT_EQ(done, 1);
}

static void make_ended_again(struct jobs *j)
{
	rp_job_close(j->job);
	jobs_make_running(j);
	jobs_request(j->job, RP_JOB_TERMINATE);
}

TEST_F(ended, is_started_once)
{
	struct jobs *j = &self->jobs;

	for (unsigned round = 0; round < 20; round++) {
		expect_one(j, RP_JOB_START);
		jobs_expect(j->job, RP_JOB_RUNNING);
		jobs_request(j->job, RP_JOB_TERMINATE);
	}
}

TEST_F(ended, is_killed_once)
{
	struct jobs *j = &self->jobs;

	for (unsigned round = 0; round < 10; round++) {
		expect_one(j, RP_JOB_KILL);
		EXPECT_EQ(jobs_state(j->job), RP_JOB_KILLED);
		make_ended_again(j);
	}
}

/* Whichever is first, it is killed: before it goes on, or then. */
TEST_F(ended, is_started_or_killed)
{
	struct jobs *j = &self->jobs;

	for (unsigned round = 0; round < 20; round++) {
		struct asker askers[ASKERS];
		bool killed = false;

		for (unsigned i = 0; i < ASKERS; i++)
			askers[i] = (struct asker){.jobs = j,
						   .requested = i % 2 ? RP_JOB_KILL
								      : RP_JOB_START};
		ask_at_once(askers);
		for (unsigned i = 0; i < ASKERS; i++) {
			const struct asker *a = &askers[i];

			EXPECT_TRUE(a->answer == RP_JOB_DONE ||
					    a->answer == RP_JOB_FORBIDDEN ||
					    (a->answer == RP_JOB_BUSY &&
					     a->requested == RP_JOB_START),
				    "%u: %u, %s", a->requested, a->answer,
				    a->err.message);
			killed |= a->answer == RP_JOB_DONE && a->requested == RP_JOB_KILL;
		}
		EXPECT_TRUE(killed);
		EXPECT_EQ(jobs_state(j->job), RP_JOB_KILLED);
		make_ended_again(j);
	}
}

TEST_MAIN_REQUIRES(program_missing)
