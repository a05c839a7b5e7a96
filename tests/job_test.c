/* SPDX-License-Identifier: MIT */
/*
 * job_test.c - jobs as others see and command them: every request in every state, from
 * another process; turns, by priority; ends that nobody announces; progress
 */
#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "data.h"
#include "harness.h"
#include "stage.h"

#define SIZE	(24 * MIB)
#define SOON_MS 100000 /* for what takes milliseconds */

static const char *program;

static const char *missing(void)
{
	program = getenv("REFPOINT");
	return program ? NULL : "REFPOINT, the path of the program, is not set";
}

FIXTURE(jobs)
{
	struct stage stage;
	struct rp_job *job;
	unsigned folders;
	pid_t stopped;
};

static void set_limit(const struct stage *s, unsigned limit)
{
	const char *path = fmt("%s/store.json", s->path);
	json_t *doc = load_json(path);

	json_object_set_new(doc, "JobLimit", json_integer(limit));
	save_json(path, doc);
}

FIXTURE_SETUP(jobs)
{
	stage_make(&self->stage, test_dir(), SIZE, test_seed());
	set_limit(&self->stage, 1);
}

/* Lets nothing go on. */
static void end_all(struct jobs_fixture *self)
{
	char *text;
	json_t *list, *entry;
	size_t i;

	if (self->stopped)
		kill(self->stopped, SIGKILL);
	self->stopped = 0;
	rp_job_close(self->job);
	self->job = NULL;
	ASSERT_EQ(rp_job_list(self->stage.store, &text, NULL), RP_OK);
	list = take_json(text);
	json_array_foreach(list, i, entry) {
		struct rp_job *job;

		if (json_number(entry, "JobState") >= RP_JOB_COMPLETED)
			continue;
		ASSERT_EQ(rp_job_open(self->stage.store, json_text(entry, "InstanceID"),
				      &job, NULL),
			  RP_OK);
		rp_job_request_state_change(job, RP_JOB_KILL, SOON_MS, NULL);
		rp_job_close(job);
	}
	json_decref(list);
}

FIXTURE_TEARDOWN(jobs)
{
	if (self->stage.store)
		end_all(self);
	stage_close(&self->stage);
}

/* -------------------------------------------------------------------- other processes */

/* A job of a process of its own; it never ends by itself if it is @slow. */
static struct rp_job *start(struct jobs_fixture *self, bool slow)
{
	struct stage *s = &self->stage;
	const char *directory = fmt("%s/%u", s->exports, self->folders++);
	char id[64] = "";
	struct rp_job *job;
	struct rp_error err;
	FILE *out;

	ASSERT_OK(mkdir(directory, 0700));
	out = popen(fmt("'%s' --store '%s' export '%s' '%s' --clone never --async "
			"--bwlimit %s",
			program, s->path, s->point, directory, slow ? "1K" : "0"),
		    "re");
	ASSERT_NE(out, NULL);
	ASSERT_EQ(fscanf(out, "%63s", id), 1);
	ASSERT_EQ(pclose(out), 0);
	ASSERT_EQ(rp_job_open(s->store, id, &job, &err), RP_OK, "%s", err.message);
	return job;
}

static json_t *show(const struct jobs_fixture *self, const struct rp_job *job)
{
	struct rp_error err;
	char *text;

	ASSERT_EQ(rp_job_show(self->stage.store, rp_job_id(job), &text, &err), RP_OK,
		  "%s", err.message);
	return take_json(text);
}

static int64_t shown(const struct jobs_fixture *self, const struct rp_job *job,
		     const char *key)
{
	json_t *doc = show(self, job);
	int64_t number = json_number(doc, key);

	json_decref(doc);
	return number;
}

static enum rp_job_state state_of(struct rp_job *job)
{
	enum rp_job_state state = 0;
	struct rp_error err;

	EXPECT_EQ(rp_job_state(job, &state, NULL, &err), RP_OK, "%s", err.message);
	return state;
}

static void expect_state(struct rp_job *job, enum rp_job_state want)
{
	uint64_t begin = now_ms();

	while (state_of(job) != want && now_ms() - begin < SOON_MS)
		usleep(1000);
	ASSERT_EQ(state_of(job), want);
}

static void wait_for_phase(const struct jobs_fixture *self, const struct rp_job *job,
			   const char *phase)
{
	uint64_t begin = now_ms();
	bool there = false;

	while (!there && now_ms() - begin < SOON_MS) {
		json_t *doc = show(self, job);

		there = !strcmp(json_text(doc, "Phase"), phase);
		json_decref(doc);
		usleep(1000);
	}
	ASSERT_TRUE(there, "%s", phase);
}

static void request(struct rp_job *job, uint32_t requested)
{
	struct rp_error err;

	ASSERT_EQ(rp_job_request_state_change(job, requested, SOON_MS, &err), RP_JOB_DONE,
		  "%s", err.message);
}

/* ------------------------------------------------------------------- into every state */

static void make_running(struct jobs_fixture *self)
{
	self->job = start(self, true);
	expect_state(self->job, RP_JOB_RUNNING);
	wait_for_phase(self, self->job, "copying");
}

/* Behind one that works. */
static void make_new(struct jobs_fixture *self)
{
	struct rp_job *first = start(self, true);

	expect_state(first, RP_JOB_RUNNING);
	rp_job_close(first);
	self->job = start(self, true);
}

static void make_suspended(struct jobs_fixture *self)
{
	make_running(self);
	request(self->job, RP_JOB_SUSPEND);
}

/* To go on when another has its turn. */
static void make_starting(struct jobs_fixture *self)
{
	struct rp_job *other;

	make_suspended(self);
	other = start(self, true);
	expect_state(other, RP_JOB_RUNNING);
	rp_job_close(other);
	ASSERT_EQ(rp_job_request_state_change(self->job, RP_JOB_START, 0, NULL),
		  RP_JOB_TRANSITION);
	expect_state(self->job, RP_JOB_STARTING);
}

/* None of its threads does anything any more. */
static bool is_stopped(pid_t pid)
{
	return system(fmt(
		       "! grep -hs '^State:' /proc/%d/task/*/status | grep -qv stopped",
		       (int)pid)) == 0;
}

/* It is asked to stop and does not come to it. */
static void make_shutting_down(struct jobs_fixture *self)
{
	make_running(self);
	self->stopped = (pid_t)shown(self, self->job, "ProcessId");
	ASSERT_OK(kill(self->stopped, SIGSTOP));
	while (!is_stopped(self->stopped))
		usleep(1000);
	ASSERT_EQ(rp_job_request_state_change(self->job, RP_JOB_TERMINATE, 0, NULL),
		  RP_JOB_TRANSITION);
}

static void make_completed(struct jobs_fixture *self)
{
	struct rp_error err;

	self->job = start(self, false);
	ASSERT_EQ(rp_job_wait(self->job, NULL, SOON_MS, &err), RP_OK, "%s", err.message);
}

static void make_terminated(struct jobs_fixture *self)
{
	make_running(self);
	request(self->job, RP_JOB_TERMINATE);
}

static void make_discarded(struct jobs_fixture *self)
{
	make_running(self);
	request(self->job, RP_JOB_TERMINATE | RP_JOB_DISCARD);
}

static void make_killed(struct jobs_fixture *self)
{
	make_running(self);
	request(self->job, RP_JOB_KILL);
}

/* Its export is there already. */
static void make_exception(struct jobs_fixture *self)
{
	struct rp_error err;

	make_completed(self);
	rp_job_close(self->job);
	self->folders--;
	ASSERT_OK(rename(fmt("%s/%u", self->stage.exports, self->folders),
			 fmt("%s/away", self->stage.exports)));
	self->job = start(self, true);
	expect_state(self->job, RP_JOB_RUNNING);
	wait_for_phase(self, self->job, "copying");
	/* Somebody else publishes it, which no refpoint would. */
	ASSERT_OK(rename(fmt("%s/away/web1/%s", self->stage.exports,
			     strchr(self->stage.point, '@') + 1),
			 fmt("%s/%u/web1/%s", self->stage.exports, self->folders - 1,
			     strchr(self->stage.point, '@') + 1)));
	ASSERT_EQ(rp_job_set_bandwidth(self->job, 0, &err), RP_OK, "%s", err.message);
	EXPECT_EQ(rp_job_wait(self->job, NULL, SOON_MS, &err), RP_INVALID_STATE, "%s",
		  err.message);
}

static void make_interrupted(struct jobs_fixture *self)
{
	make_running(self);
	ASSERT_OK(kill((pid_t)shown(self, self->job, "ProcessId"), SIGKILL));
	ASSERT_EQ(rp_job_wait(self->job, NULL, SOON_MS, NULL), RP_FAILED);
}

FIXTURE_VARIANT(jobs)
{
	void (*make)(struct jobs_fixture * self);
	enum rp_job_state state;
	uint32_t answer[RP_JOB_KILL + 1];
};

FIXTURE_VARIANT_ADD(jobs, new){make_new, RP_JOB_NEW, {[2] = 4097, 4096, 4096, 4096}};
FIXTURE_VARIANT_ADD(jobs, starting){
	make_starting, RP_JOB_STARTING, {[2] = 4097, 4096, 4096, 4096}};
FIXTURE_VARIANT_ADD(jobs, running){
	make_running, RP_JOB_RUNNING, {[2] = 4097, 4096, 4096, 4096}};
FIXTURE_VARIANT_ADD(jobs, suspended){
	make_suspended, RP_JOB_SUSPENDED, {[2] = 4096, 4097, 4096, 4096}};
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
static void expect_transition(struct jobs_fixture *self, enum rp_job_state before,
			      uint32_t requested)
{
	if (self->stopped)
		ASSERT_OK(kill(self->stopped, SIGCONT));
	self->stopped = 0;
	switch (requested) {
	case RP_JOB_START:
		expect_state(self->job, RP_JOB_RUNNING);
		break;
	case RP_JOB_SUSPEND:
		expect_state(self->job, RP_JOB_SUSPENDED);
		break;
	case RP_JOB_TERMINATE:
		expect_state(self->job, RP_JOB_TERMINATED);
		break;
	default:
		expect_state(self->job, RP_JOB_KILLED);
		EXPECT_EQ(shown(self, self->job, "Resumable"), 0);
	}
	EXPECT_NE(state_of(self->job), before);
}

TEST_F_TIMEOUT(jobs, answers_every_request, 480)
{
	static const uint32_t nonsense[] = {0, 1, 6, 7, 11, 0x10002, UINT32_MAX};
	struct rp_error err;
	uint32_t answer;

	for (uint32_t requested = RP_JOB_START; requested <= RP_JOB_KILL; requested++) {
		if (!self->job)
			variant->make(self);
		ASSERT_EQ(state_of(self->job), variant->state);
		for (size_t i = 0; i < ARRAY_SIZE(nonsense); i++)
			EXPECT_EQ(rp_job_request_state_change(self->job, nonsense[i], 0,
							      &err),
				  RP_JOB_INVALID);
		EXPECT_EQ(err.code, RP_INVALID_PARAMETER);
		answer = rp_job_request_state_change(self->job, requested, 0, &err);
		EXPECT_EQ(answer, variant->answer[requested], "request %u: %s", requested,
			  err.message);
		if (answer == RP_JOB_TRANSITION || answer == RP_JOB_DONE) {
			expect_transition(self, variant->state, requested);
			end_all(self);
			continue;
		}
		EXPECT_EQ(err.code, answer == RP_JOB_BUSY ? RP_IN_USE : RP_INVALID_STATE);
		EXPECT_EQ(state_of(self->job), variant->state, "nothing has changed");
	}
}

/* ------------------------------------------------------------------------ the record */

FIXTURE(record)
{
	struct jobs_fixture jobs;
};

FIXTURE_SETUP(record)
{
	stage_make(&self->jobs.stage, test_dir(), SIZE, test_seed());
}

FIXTURE_VARIANT(record)
{
	char none;
};
FIXTURE_VARIANT_ADD(record, of_a_job){0};

FIXTURE_TEARDOWN(record)
{
	if (self->jobs.stage.store)
		end_all(&self->jobs);
	stage_close(&self->jobs.stage);
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
					   "Resumable"};
	struct jobs_fixture *j = &self->jobs;
	json_t *doc, *disk;

	j->job = start(j, false);
	ASSERT_EQ(rp_job_wait(j->job, NULL, SOON_MS, NULL), RP_OK);
	doc = show(j, j->job);
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

/* What is seen of a job by who looks all the time, while it is suspended, interrupted
 * and resumed. */
TEST_F_TIMEOUT(record, never_goes_back, 240)
{
	struct jobs_fixture *j = &self->jobs;
	int64_t last = 0, percent;
	unsigned looks = 0;
	bool killed = false;
	struct rp_error err;

	j->job = start(j, true);
	ASSERT_EQ(rp_job_set_bandwidth(j->job, MIB, &err), RP_OK);
	while (state_of(j->job) != RP_JOB_COMPLETED) {
		enum rp_job_state state = state_of(j->job);

		percent = shown(j, j->job, "PercentComplete");
		EXPECT_GE(percent, last);
		if (percent == 100)
			EXPECT_EQ(state_of(j->job), RP_JOB_COMPLETED);
		last = percent;
		looks++;
		if (!killed && percent > 10 && looks > 20) {
			kill((pid_t)shown(j, j->job, "ProcessId"), SIGKILL);
			killed = true;
		}
		if (state == RP_JOB_EXCEPTION) {
			ASSERT_EQ(rp_job_request_state_change(j->job, RP_JOB_START, 0,
							      &err),
				  RP_JOB_TRANSITION, "%s", err.message);
			rp_job_set_bandwidth(j->job, 0, NULL); /* it may have ended */
		}
		usleep(2000);
	}
	EXPECT_TRUE(killed);
	EXPECT_EQ(shown(j, j->job, "PercentComplete"), 100);
	EXPECT_TRUE(stage_good_export(fmt("%s/0", j->stage.exports), j->stage.point,
				      j->stage.twin));
}

/* --------------------------------------------------------------------------- waiting */

/* Who waits for a job is told of an end that nobody announces. */
TEST_F(record, is_waited_for_after_sigkill)
{
	struct jobs_fixture *j = &self->jobs;
	struct rp_error err;
	pid_t pid;

	j->job = start(j, true);
	expect_state(j->job, RP_JOB_RUNNING);
	pid = (pid_t)shown(j, j->job, "ProcessId");
	if (fork() == 0) {
		usleep(200000);
		kill(pid, SIGKILL);
		_exit(0);
	}
	GIVES(FAILED, rp_job_wait(j->job, NULL, 0, &err));
	EXPECT_STREQ(err.message, "interrupted");
	EXPECT_EQ(state_of(j->job), RP_JOB_EXCEPTION);
	EXPECT_EQ(wait(NULL) > 0, true);
}

TEST_F(record, is_waited_for_no_longer_than_asked)
{
	struct jobs_fixture *j = &self->jobs;
	struct rp_error err;

	j->job = start(j, true);
	GIVES(TIMEOUT, rp_job_wait(j->job, NULL, 50, &err));
	EXPECT_STREQ(err.step, "wait");
	EXPECT_EQ(rp_job_error(j->job, &err), RP_JOB_STARTED);
	ASSERT_EQ(rp_job_request_state_change(j->job, RP_JOB_START, 0, &err),
		  RP_JOB_FORBIDDEN);
	request(j->job, RP_JOB_SUSPEND);
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
	EXPECT_EQ(poll(&fd, 1, SOON_MS), 1); /* for ever */
	/* So it is for who comes late. */
	ASSERT_EQ(rp_job_open(s->store, rp_job_id(self->jobs.job), &late, &err), RP_OK);
	fd.fd = rp_job_fd(late);
	ASSERT_GE(fd.fd, 0);
	EXPECT_EQ(poll(&fd, 1, SOON_MS), 1);
	EXPECT_EQ(rp_job_state(late, &state, NULL, &err), RP_OK);
	EXPECT_EQ(poll(&fd, 1, SOON_MS), 1);
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

	set_limit(s, 1);
	self->jobs.job = start(&self->jobs, true);
	expect_state(self->jobs.job, RP_JOB_RUNNING);
	rp_job_close(self->jobs.job);
	store = stage_open(s, 0);
	ASSERT_EQ(rp_export_start(store, s->point, s->exports, &options, &self->jobs.job,
				  &err),
		  RP_JOB_STARTED);
	rp_store_close(store);
	GIVES(TIMEOUT, rp_job_wait(self->jobs.job, NULL, SOON_MS, &err));
	EXPECT_EQ(state_of(self->jobs.job), RP_JOB_EXCEPTION);
}

/* From the moment it is accepted, a job holds its point. */
TEST_F(record, holds_the_point)
{
	struct stage *s = &self->jobs.stage;
	struct rp_error err;

	self->jobs.job = start(&self->jobs, true);
	GIVES(IN_USE, rp_destroy_reference_point(s->store, s->point, &err));
	request(self->jobs.job, RP_JOB_SUSPEND);
	GIVES(IN_USE, rp_destroy_reference_point(s->store, s->point, &err));
	GIVES(IN_USE,
	      rp_export(s->store, s->point, fmt("%s/0", s->exports), NULL, NULL, &err));
	request(self->jobs.job, RP_JOB_KILL);
	GIVES(OK, rp_destroy_reference_point(s->store, s->point, &err));
}

/* How far it is known to be on stable storage. */
static int64_t mark_of(const struct stage *s)
{
	const char *path = fmt("%s/0/web1/.%s.partial/.journal", s->exports,
			       strchr(s->point, '@') + 1);
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
TEST_F_TIMEOUT(record, survives_its_process_while_it_is_suspended, 240)
{
	struct jobs_fixture *j = &self->jobs;
	struct rp_error err;
	json_t *doc, *disk;

	j->job = start(j, true);
	ASSERT_EQ(rp_job_set_bandwidth(j->job, 2 * MIB, &err), RP_OK);
	while (mark_of(&j->stage) < (int64_t)(SIZE / 3))
		usleep(1000);
	request(j->job, RP_JOB_SUSPEND);
	ASSERT_OK(kill((pid_t)shown(j, j->job, "ProcessId"), SIGKILL));
	GIVES(FAILED, rp_job_wait(j->job, NULL, SOON_MS, &err));
	EXPECT_EQ(state_of(j->job), RP_JOB_EXCEPTION);
	request(j->job, RP_JOB_START);
	ASSERT_EQ(rp_job_set_bandwidth(j->job, 0, NULL), RP_OK);
	GIVES(OK, rp_job_wait(j->job, NULL, SOON_MS, &err));
	doc = show(j, j->job);
	disk = json_array_get(json_object_get(doc, "Disks"), 0);
	EXPECT_GT(json_number(disk, "ResumedBytes"), 0);
	json_decref(doc);
	EXPECT_TRUE(stage_good_export(fmt("%s/0", j->stage.exports), j->stage.point,
				      j->stage.twin));
}

/* ------------------------------------------------------------------------------ turns */

#define PROCESSES 4
#define EACH	  50
#define LIMIT	  3

static void start_many(const struct stage *s, unsigned process)
{
	uint64_t random = 77 + process;
	struct rp_store *store = stage_open(s, 0);
	struct rp_job *job[EACH];
	struct rp_error err;

	for (unsigned i = 0; i < EACH; i++) {
		const char *directory = fmt("%s/%u-%u", s->exports, process, i);
		struct rp_export_options options = {
			.size = sizeof(options),
			.priority = 1 + (uint32_t)(data_random(&random) % 9)};

		ASSERT_OK(mkdir(directory, 0700));
		ASSERT_EQ(rp_export_start(store, s->point, directory, &options, &job[i],
					  &err),
			  RP_JOB_STARTED, "%s", err.message);
	}
	for (unsigned i = 0; i < EACH; i++) {
		EXPECT_EQ(rp_job_wait(job[i], NULL, 0, &err), RP_OK, "%s", err.message);
		rp_job_close(job[i]);
	}
	rp_store_close(store);
}

static unsigned count_waiting(const struct stage *s)
{
	DIR *dir = opendir(fmt("%s/jobs/queue", s->path));
	struct dirent *entry;
	unsigned count = 0;

	ASSERT_NE(dir, NULL);
	while ((entry = readdir(dir)))
		count += entry->d_name[0] == 'w';
	closedir(dir);
	return count;
}

/* Processes that end at once do not leave the queue, but the next one sees that they are
 * gone. */
static void expect_nobody_left(const struct stage *s)
{
	const char *path = fmt("%s/jobs/queue", s->path);
	DIR *dir = opendir(path);
	struct dirent *entry;

	ASSERT_NE(dir, NULL);
	while ((entry = readdir(dir))) {
		if (entry->d_name[0] == '.')
			continue;
		EXPECT_EQ(open(fmt("%s/%s", path, entry->d_name),
			       O_WRONLY | O_NONBLOCK | O_CLOEXEC),
			  -1, "%s", entry->d_name);
		EXPECT_EQ(errno, ENXIO);
	}
	closedir(dir);
}

/* More than so many at once had to overlap. */
static void expect_never_more(json_t *const jobs[], size_t count)
{
	for (size_t i = 0; i < count; i++) {
		unsigned together = 0;

		for (size_t k = 0; k < count; k++)
			together += strcmp(json_text(jobs[k], "StartTime"),
					   json_text(jobs[i], "StartTime")) <= 0 &&
				    strcmp(json_text(jobs[k], "TimeOfLastStateChange"),
					   json_text(jobs[i], "StartTime")) > 0;
		EXPECT_LE(together, LIMIT);
	}
}

/* Of those that come first, fewer than may work at once are not done when one begins.
 * When each of them wrote down that it had begun is another matter. */
static void expect_in_order(json_t *const jobs[], size_t count)
{
	for (size_t i = 0; i < count; i++) {
		unsigned before = 0;

		for (size_t k = 0; k < count; k++)
			before += json_number(jobs[k], "Priority") <
					  json_number(jobs[i], "Priority") &&
				  strcmp(json_text(jobs[k], "TimeOfLastStateChange"),
					 json_text(jobs[i], "StartTime")) > 0;
		EXPECT_LT(before, LIMIT, "%zu", i);
	}
}

TEST_TIMEOUT(two_hundred_jobs_take_turns, 480)
{
	struct jobs_fixture self = {0};
	struct stage *s = &self.stage;
	struct rp_job *first[LIMIT];
	json_t *list, *jobs[PROCESSES * EACH];
	size_t count = 0, i;
	char *text;
	json_t *job;

	stage_make(s, test_dir(), MIB, test_seed());
	set_limit(s, LIMIT);
	for (i = 0; i < LIMIT; i++) {
		first[i] = start(&self, true);
		expect_state(first[i], RP_JOB_RUNNING);
	}
	for (unsigned p = 0; p < PROCESSES; p++)
		if (fork() == 0) {
			start_many(s, p);
			_exit(0);
		}
	/* Nobody works before all are there. */
	while (count_waiting(s) < PROCESSES * EACH)
		usleep(10000);
	for (i = 0; i < LIMIT; i++) {
		request(first[i], RP_JOB_KILL);
		rp_job_close(first[i]);
	}
	for (unsigned p = 0; p < PROCESSES; p++) {
		int status;

		ASSERT_GT(wait(&status), 0);
		EXPECT_EQ(status, 0);
	}
	ASSERT_EQ(rp_job_list(s->store, &text, NULL), RP_OK);
	list = take_json(text);
	count = 0;
	json_array_foreach(list, i, job) {
		if (json_number(job, "Priority") == 50)
			continue;
		EXPECT_EQ(json_number(job, "JobState"), RP_JOB_COMPLETED);
		jobs[count++] = job;
	}
	ASSERT_EQ(count, PROCESSES * EACH);
	expect_never_more(jobs, count);
	expect_in_order(jobs, count);
	expect_nobody_left(s);
	json_decref(list);
	stage_close(s);
}

/* Whoever dies, waiting or working, those behind it go on. */
TEST_F_TIMEOUT(record, does_not_block_others_when_its_process_dies, 240)
{
	struct jobs_fixture *j = &self->jobs;
	struct rp_job *jobs[5];
	struct rp_error err;

	set_limit(&j->stage, 1);
	for (size_t i = 0; i < ARRAY_SIZE(jobs); i++)
		jobs[i] = start(j, i < 4);
	expect_state(jobs[0], RP_JOB_RUNNING);
	ASSERT_OK(kill((pid_t)shown(j, jobs[2], "ProcessId"), SIGKILL)); /* waits */
	ASSERT_OK(kill((pid_t)shown(j, jobs[0], "ProcessId"), SIGKILL)); /* works */
	expect_state(jobs[1], RP_JOB_RUNNING);
	ASSERT_OK(kill((pid_t)shown(j, jobs[3], "ProcessId"), SIGKILL));
	request(jobs[1], RP_JOB_SUSPEND); /* leaves its turn to the last one */
	GIVES(OK, rp_job_wait(jobs[4], NULL, SOON_MS, &err));
	request(jobs[1], RP_JOB_START);
	EXPECT_EQ(state_of(jobs[1]), RP_JOB_RUNNING);
	for (size_t i = 0; i < ARRAY_SIZE(jobs); i++)
		rp_job_close(jobs[i]);
}

TEST_MAIN_REQUIRES(missing)
