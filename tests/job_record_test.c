/* SPDX-License-Identifier: MIT */
/*
 * job_record_test.c - jobs as others see them: the record, ends that nobody announces,
 * progress
 */
#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "data.h"
#include "harness.h"
#include "jobs.h"

static atomic_int clock_step; /* by which the wall clock is set, in seconds */

/* The library's calls come by here. */
int clock_gettime(clockid_t id, struct timespec *ret)
{
	int r = (int)syscall(SYS_clock_gettime, id, ret);

	if (id == CLOCK_REALTIME)
		ret->tv_sec += clock_step;
	return r;
}

FIXTURE(record)
{
	struct jobs jobs;
};

FIXTURE_SETUP(record)
{
	jobs_make(&self->jobs);
}

FIXTURE_VARIANT(record)
{
	char none;
};
FIXTURE_VARIANT_ADD(record, of_a_job){0};

FIXTURE_TEARDOWN(record)
{
	jobs_close(&self->jobs);
}

TEST_F(record, has_what_the_model_has)
{
	static const char *const keys[] = {"InstanceID",
					   "Name",
					   "JobState",
					   "JobStatus",
					   "Phase",
					   "PercentComplete",
					   "BytesTotal",
					   "BytesDone",
					   "BytesPerSecond",
					   "EstimatedTime",
					   "TimeSubmitted",
					   "StartTime",
					   "ElapsedTime",
					   "TimeOfLastStateChange",
					   "Owner",
					   "Priority",
					   "ErrorCode",
					   "ErrorDescription",
					   "ErrorSummaryDescription",
					   "Cancellable",
					   "ExportDirectory",
					   "VirtualMachineId",
					   "ReferencePointId",
					   "BaseReferencePointId",
					   "ExportedDisks",
					   "ExportedConfigFilePath",
					   "ProcessId",
					   "TimeBeforeRemoval",
					   "Disks",
					   "Warnings",
					   "Resumable"};
	struct jobs *j = &self->jobs;
	json_t *doc, *disk;

	j->job = jobs_start(j, false);
	ASSERT_EQ(rp_job_wait(j->job, NULL, SOON_MS, NULL), RP_OK);
	doc = jobs_show(j, j->job);
	for (size_t i = 0; i < ARRAY_SIZE(keys); i++)
		EXPECT_NE(json_object_get(doc, keys[i]), NULL, "%s", keys[i]);
	EXPECT_EQ(json_number(doc, "PercentComplete"), 100);
	EXPECT_EQ(json_number(doc, "BytesDone"), json_number(doc, "BytesTotal"));
	disk = json_array_get(json_object_get(doc, "ExportedDisks"), 0);
	EXPECT_TRUE(data_same(json_string_value(disk), j->stage.twin));
	disk = json_array_get(json_object_get(doc, "Disks"), 0);
	EXPECT_STREQ(json_text(disk, "Method"), "copy");
	EXPECT_STREQ(json_text(disk, "MethodReason"), "clone was not wanted");
	json_decref(doc);
}

/* Of a synchronous export too. */
TEST_F(record, is_kept_of_every_export)
{
	struct stage *s = &self->jobs.stage;
	struct rp_error err;
	char *text;
	json_t *list;

	GIVES(OK, stage_export(s, NULL, &err));
	GIVES(INVALID_STATE, stage_export(s, NULL, &err));
	ASSERT_EQ(rp_job_list(s->store, &text, &err), RP_OK);
	list = take_json(text);
	ASSERT_EQ(json_array_size(list), 2);
	EXPECT_EQ(json_number(json_array_get(list, 0), "JobState"), RP_JOB_COMPLETED);
	EXPECT_EQ(json_number(json_array_get(list, 1), "JobState"), RP_JOB_EXCEPTION);
	EXPECT_EQ(json_number(json_array_get(list, 1), "ErrorCode"), RP_INVALID_STATE);
	json_decref(list);
}

/* Nobody looks on while it works; who waits for it, or looks later, is told. */
TEST_F(record, has_what_it_warned_of)
{
	struct stage *s = &self->jobs.stage;
	struct rp_export_options options = stage_copying(RP_IO_AUTO);
	struct heard heard = {0};
	const struct rp_watch watch = hear_into(&heard);
	char second[POINT_SIZE];
	struct rp_error err;
	json_t *doc;

	stage_take(s, second);
	options.base = s->point; /* which was never exported */
	ASSERT_EQ(rp_export_start(s->store, second, s->exports, &options, &self->jobs.job,
				  &err),
		  RP_JOB_STARTED, "%s", err.message);
	ASSERT_EQ(rp_job_wait(self->jobs.job, &watch, SOON_MS, &err), RP_OK);
	EXPECT_EQ(heard.count, 1);
	EXPECT_NE(strstr(heard.last, "to restore it the export of that is needed"), NULL,
		  "%s", heard.last);
	doc = jobs_show(&self->jobs, self->jobs.job);
	EXPECT_EQ(json_array_size(json_object_get(doc, "Warnings")), 1);
	json_decref(doc);
}

static void expect_cancellable(const struct jobs *j)
{
	json_t *doc = jobs_show(j, j->job);

	EXPECT_TRUE(json_is_true(json_object_get(doc, "Cancellable")) ||
		    json_number(doc, "JobState") >= RP_JOB_COMPLETED);
	json_decref(doc);
}

/* What is seen of a job by who looks all the time, while it is suspended, interrupted
 * and resumed. */
TEST_F(record, never_goes_back)
{
	struct jobs *j = &self->jobs;
	int64_t last = 0, percent;
	unsigned looks = 0;
	bool killed = false;
	struct rp_error err;

	j->job = jobs_start(j, true);
	GIVES(INVALID_PARAMETER,
	      rp_job_set_bandwidth(j->job, (uint64_t)INT64_MAX + 1, &err));
	ASSERT_EQ(rp_job_set_bandwidth(j->job, MIB, &err), RP_OK);
	while (jobs_state(j->job) != RP_JOB_COMPLETED) {
		enum rp_job_state state = jobs_state(j->job);

		percent = jobs_shown(j, j->job, "PercentComplete");
		EXPECT_GE(percent, last);
		if (percent == 100)
			EXPECT_EQ(jobs_state(j->job), RP_JOB_COMPLETED);
		last = percent;
		looks++;
		if (!killed && percent > 10 && looks > 20) {
			kill((pid_t)jobs_shown(j, j->job, "ProcessId"), SIGKILL);
			killed = true;
		}
		if (state == RP_JOB_EXCEPTION) {
			ASSERT_EQ(rp_job_request_state_change(j->job, RP_JOB_START, 0,
							      &err),
				  RP_JOB_TRANSITION, "%s", err.message);
			expect_cancellable(j);
			rp_job_set_bandwidth(j->job, 0, NULL); /* it may have ended */
		}
		usleep(2000);
	}
	EXPECT_TRUE(killed);
	EXPECT_EQ(jobs_shown(j, j->job, "PercentComplete"), 100);
	EXPECT_TRUE(stage_good_export(fmt("%s/0", j->stage.exports), j->stage.point,
				      j->stage.twin));
}

/* Whatever is done to the wall clock meanwhile, and when it is asked. */
TEST_F(record, tells_how_long_it_took)
{
	static const int steps[] = {-3600, 3600};
	struct jobs *j = &self->jobs;

	for (size_t i = 0; i < ARRAY_SIZE(steps); i++) {
		clock_step = 0;
		j->job = stage_start(&j->stage);
		jobs_expect(j->job, RP_JOB_RUNNING);
		usleep(300000);
		clock_step = steps[i];
		jobs_request(j->job, RP_JOB_TERMINATE);
		EXPECT_TRUE(jobs_elapsed(j) >= 0.3 && jobs_elapsed(j) < 60, "%f",
			    jobs_elapsed(j));
		usleep(300000);
		/* It ends once more, by what it has kept. */
		jobs_request(j->job, RP_JOB_KILL);
		EXPECT_TRUE(jobs_elapsed(j) >= 0.3 && jobs_elapsed(j) < 60, "%f",
			    jobs_elapsed(j));
		rp_job_close(j->job);
	}
	j->job = NULL;
}

/* --------------------------------------------------------------------------- waiting */

/* Who waits for a job is told of an end that nobody announces. */
TEST_F(record, is_waited_for_after_sigkill)
{
	struct jobs *j = &self->jobs;
	struct rp_error err;
	pid_t pid;

	j->job = jobs_start(j, true);
	jobs_reach(j, j->job, "copying");
	pid = (pid_t)jobs_shown(j, j->job, "ProcessId");
	if (fork() == 0) {
		usleep(200000);
		kill(pid, SIGKILL);
		_exit(0);
	}
	GIVES(FAILED, rp_job_wait(j->job, NULL, 0, &err));
	EXPECT_STREQ(err.message, "interrupted: its process is gone");
	EXPECT_STREQ(err.system, "web1");
	EXPECT_STREQ(err.step, "copying");
	EXPECT_EQ(jobs_state(j->job), RP_JOB_EXCEPTION);
	EXPECT_EQ(wait(NULL) > 0, true);
}

TEST_F(record, is_waited_for_no_longer_than_asked)
{
	struct jobs *j = &self->jobs;
	struct rp_error err;

	j->job = jobs_start(j, true);
	GIVES(TIMEOUT, rp_job_wait(j->job, NULL, 50, &err));
	EXPECT_STREQ(err.step, "wait");
	EXPECT_EQ(rp_job_error(j->job, &err), RP_JOB_STARTED);
	ASSERT_EQ(rp_job_request_state_change(j->job, RP_JOB_START, 0, &err),
		  RP_JOB_FORBIDDEN);
	jobs_request(j->job, RP_JOB_SUSPEND);
	EXPECT_EQ(rp_job_request_state_change(j->job, RP_JOB_TERMINATE, SOON_MS, &err),
		  RP_JOB_DONE);
	GIVES(FAILED, rp_job_error(j->job, &err));
	EXPECT_EQ(err.os_error, ECANCELED);
}

/* A thread of this process works, and poll(2) tells of every change up to the end. */
TEST_F(record, is_followed_with_poll)
{
	struct stage *s = &self->jobs.stage;
	struct rp_export_options options = stage_copying(RP_IO_AUTO);
	enum rp_job_state state = 0;
	struct rp_progress progress = {0};
	struct rp_error err;
	struct pollfd fd = {.events = POLLIN};
	struct rp_job *late;
	unsigned told = 0;

	options.bandwidth = 1024; /* until enough was told */
	ASSERT_EQ(rp_export_start(s->store, s->point, s->exports, &options,
				  &self->jobs.job, &err),
		  RP_JOB_STARTED, "%s", err.message);
	fd.fd = rp_job_fd(self->jobs.job);
	ASSERT_GE(fd.fd, 0);
	while (state < RP_JOB_COMPLETED) {
		ASSERT_EQ(poll(&fd, 1, SOON_MS), 1);
		ASSERT_EQ(rp_job_state(self->jobs.job, &state, &progress, &err), RP_OK);
		if (++told == 3)
			ASSERT_EQ(rp_job_set_bandwidth(self->jobs.job, 0, &err), RP_OK);
	}
	EXPECT_EQ(state, RP_JOB_COMPLETED);
	EXPECT_GE(told, 4);
	EXPECT_EQ(progress.bytes_done, progress.bytes_total);
	EXPECT_EQ(poll(&fd, 1, 0), 1); /* for ever, and at once */
	/* So it is for who comes late. */
	ASSERT_EQ(rp_job_open(s->store, rp_job_id(self->jobs.job), &late, &err), RP_OK);
	fd.fd = rp_job_fd(late);
	ASSERT_GE(fd.fd, 0);
	EXPECT_EQ(poll(&fd, 1, 0), 1);
	EXPECT_EQ(rp_job_state(late, &state, NULL, &err), RP_OK);
	EXPECT_EQ(poll(&fd, 1, 0), 1);
	rp_job_close(late);
	EXPECT_TRUE(stage_good_export(s->exports, s->point, s->twin));
}

/* The time limit counts while it waits for its turn. */
TEST_F(record, ends_in_time_even_before_its_turn)
{
	struct stage *s = &self->jobs.stage;
	const struct rp_export_options options = {.size = sizeof(options),
						  .timeout_ms = 100};
	struct rp_store *store;
	struct rp_error err;

	jobs_limit(s, 1);
	self->jobs.job = jobs_start(&self->jobs, true);
	jobs_expect(self->jobs.job, RP_JOB_RUNNING);
	rp_job_close(self->jobs.job);
	store = stage_open(s, 0);
	ASSERT_EQ(rp_export_start(store, s->point, s->exports, &options, &self->jobs.job,
				  &err),
		  RP_JOB_STARTED);
	rp_store_close(store);
	GIVES(TIMEOUT, rp_job_wait(self->jobs.job, NULL, SOON_MS, &err));
	EXPECT_EQ(jobs_state(self->jobs.job), RP_JOB_EXCEPTION);
}

/* Nor is it taken for a cancel if it had its turn before, and waits for another; it is
 * what was asked for that it tells of, without the time it was suspended. */
TEST_F(record, ends_in_time_before_its_next_turn)
{
	struct stage *s = &self->jobs.stage;
	struct rp_export_options options = stage_copying(RP_IO_AUTO);
	struct rp_job *waiting;
	struct rp_store *store;
	struct rp_error err;

	options.timeout_ms = 8000;
	options.bandwidth = MIB;
	jobs_limit(s, 1);
	store = stage_open(s, 0);
	ASSERT_EQ(rp_export_start(store, s->point, s->exports, &options, &waiting, &err),
		  RP_JOB_STARTED);
	rp_store_close(store);
	jobs_expect(waiting, RP_JOB_RUNNING);
	jobs_request(waiting, RP_JOB_SUSPEND);
	usleep(100000);
	self->jobs.job = jobs_start(&self->jobs, true);
	jobs_expect(self->jobs.job, RP_JOB_RUNNING);
	rp_job_request_state_change(waiting, RP_JOB_START, 0, &err);
	GIVES(TIMEOUT, rp_job_wait(waiting, NULL, SOON_MS, &err));
	EXPECT_NE(strstr(err.message, "limit of 8.0 s"), NULL, "%s", err.message);
	EXPECT_EQ(jobs_state(waiting), RP_JOB_EXCEPTION);
	rp_job_close(waiting);
}

/* From the moment it is accepted, a job holds its point. */
TEST_F(record, holds_the_point)
{
	struct stage *s = &self->jobs.stage;
	struct rp_store *store;
	struct rp_error err;

	self->jobs.job = jobs_start(&self->jobs, true);
	GIVES(IN_USE, rp_destroy_reference_point(s->store, s->point, &err));
	jobs_request(self->jobs.job, RP_JOB_SUSPEND);
	GIVES(IN_USE, rp_destroy_reference_point(s->store, s->point, &err));
	GIVES(IN_USE,
	      rp_export(s->store, s->point, fmt("%s/0", s->exports), NULL, NULL, &err));
	jobs_request(self->jobs.job, RP_JOB_KILL);
	/* Killed it is when its record says so; a moment later it lets go of the point.
	 */
	store = stage_open(s, SOON_MS);
	GIVES(OK, rp_destroy_reference_point(store, s->point, &err));
	rp_store_close(store);
}

/* Who would only hear it when its turn comes hears it at once, unless it is to wait. */
TEST_F(record, is_of_the_only_export_of_its_point_to_a_place)
{
	struct stage *s = &self->jobs.stage;
	struct rp_export_options options = stage_copying(RP_IO_AUTO);
	struct rp_job *second = NULL;
	struct rp_error err;

	self->jobs.job = jobs_start(&self->jobs, true);
	jobs_reach(&self->jobs, self->jobs.job, "copying");
	GIVES(IN_USE, rp_export_start(s->store, s->point, fmt("%s/0", s->exports),
				      &options, &second, &err));
	EXPECT_EQ(second, NULL);
	options.timeout_ms = SOON_MS;
	ASSERT_EQ(rp_export_start(s->store, s->point, fmt("%s/0", s->exports), &options,
				  &second, &err),
		  RP_JOB_STARTED, "%s", err.message);
	jobs_request(self->jobs.job, RP_JOB_KILL);
	GIVES(OK, rp_job_wait(second, NULL, SOON_MS, &err));
	rp_job_close(second);
}

/* How far it is known to be on stable storage. */
static int64_t mark_of(const struct stage *s)
{
	const char *partial = stage_partial_path(fmt("%s/0", s->exports), s->point);
	const char *path = fmt("%s/.journal", partial);
	struct stat st;
	json_t *doc;
	int64_t mark;

	if (stat(path, &st) < 0 || !st.st_size)
		return 0;
	doc = load_json(path);
	mark = json_number(json_array_get(json_object_get(doc, "Disks"), 0), "Mark");
	json_decref(doc);
	return mark;
}

/* A suspended job needs its process as little as any other. */
TEST_F(record, survives_its_process_while_it_is_suspended)
{
	struct jobs *j = &self->jobs;
	struct rp_error err;
	json_t *doc, *disk;

	j->job = jobs_start(j, true);
	ASSERT_EQ(rp_job_set_bandwidth(j->job, 2 * MIB, &err), RP_OK);
	while (jobs_shown(j, j->job, "BytesDone") < (int64_t)(9 * MIB))
		usleep(1000);
	/* However long it takes to make it safe, the job does not end before. */
	ASSERT_EQ(rp_job_set_bandwidth(j->job, 1024, &err), RP_OK);
	while (mark_of(&j->stage) < (int64_t)(8 * MIB))
		usleep(1000);
	jobs_request(j->job, RP_JOB_SUSPEND);
	ASSERT_OK(kill((pid_t)jobs_shown(j, j->job, "ProcessId"), SIGKILL));
	GIVES(FAILED, rp_job_wait(j->job, NULL, SOON_MS, &err));
	EXPECT_EQ(jobs_state(j->job), RP_JOB_EXCEPTION);
	jobs_request(j->job, RP_JOB_START);
	ASSERT_EQ(rp_job_set_bandwidth(j->job, 0, NULL), RP_OK);
	GIVES(OK, rp_job_wait(j->job, NULL, SOON_MS, &err));
	doc = jobs_show(j, j->job);
	disk = json_array_get(json_object_get(doc, "Disks"), 0);
	EXPECT_GT(json_number(disk, "ResumedBytes"), 0);
	json_decref(doc);
	EXPECT_TRUE(stage_good_export(fmt("%s/0", j->stage.exports), j->stage.point,
				      j->stage.twin));
}

TEST_MAIN_REQUIRES(program_missing)
