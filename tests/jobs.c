/* SPDX-License-Identifier: MIT */
/*
 * jobs.c - jobs of other processes
 */
#include "jobs.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "data.h"
#include "harness.h"

#define SIZE (24 * MIB)

void jobs_make(struct jobs *j)
{
	*j = (struct jobs){0};
	stage_make(&j->stage, test_dir(), SIZE, test_seed());
}

void jobs_limit(const struct stage *s, unsigned limit)
{
	const char *path = fmt("%s/store.json", s->path);
	json_t *doc = load_json(path);

	json_object_set_new(doc, "JobLimit", json_integer(limit));
	save_json(path, doc);
}

void jobs_end_all(struct jobs *j)
{
	char *text;
	json_t *list, *entry;
	size_t i;

	if (j->stopped)
		kill(j->stopped, SIGKILL);
	j->stopped = 0;
	rp_job_close(j->job);
	j->job = NULL;
	ASSERT_EQ(rp_job_list(j->stage.store, &text, NULL), RP_OK);
	list = take_json(text);
	json_array_foreach(list, i, entry) {
		struct rp_job *job;

		if (json_number(entry, "JobState") >= RP_JOB_COMPLETED)
			continue;
		ASSERT_EQ(rp_job_open(j->stage.store, json_text(entry, "InstanceID"),
				      &job, NULL),
			  RP_OK);
		rp_job_request_state_change(job, RP_JOB_KILL, SOON_MS, NULL);
		rp_job_close(job);
	}
	json_decref(list);
}

struct rp_job *jobs_start(struct jobs *j, bool slow)
{
	struct stage *s = &j->stage;
	const char *directory = fmt("%s/%u", s->exports, j->folders++);
	char id[64] = "";
	struct rp_job *job;
	struct rp_error err;
	FILE *out;

	ASSERT_OK(mkdir(directory, 0700));
	out = popen(fmt("'%s' --store '%s' export '%s' '%s' --clone never --async "
			"--bwlimit %s",
			program(), s->path, s->point, directory, slow ? "1K" : "0"),
		    "re");
	ASSERT_NE(out, NULL);
	ASSERT_EQ(fscanf(out, "%63s", id), 1);
	ASSERT_EQ(pclose(out), 0);
	ASSERT_EQ(rp_job_open(s->store, id, &job, &err), RP_OK, "%s", err.message);
	return job;
}

json_t *jobs_show(const struct jobs *j, const struct rp_job *job)
{
	struct rp_error err;
	char *text;

	ASSERT_EQ(rp_job_show(j->stage.store, rp_job_id(job), &text, &err), RP_OK, "%s",
		  err.message);
	return take_json(text);
}

int64_t jobs_shown(const struct jobs *j, const struct rp_job *job, const char *key)
{
	json_t *doc = jobs_show(j, job);
	int64_t number = json_number(doc, key);

	json_decref(doc);
	return number;
}

bool jobs_resumable(const struct jobs *j)
{
	json_t *doc = jobs_show(j, j->job);
	bool ret = json_is_true(json_object_get(doc, "Resumable"));

	json_decref(doc);
	return ret;
}

double jobs_elapsed(const struct jobs *j)
{
	json_t *doc = jobs_show(j, j->job);
	double seconds = json_number_value(json_object_get(doc, "ElapsedTime"));

	json_decref(doc);
	return seconds;
}

enum rp_job_state jobs_state(struct rp_job *job)
{
	enum rp_job_state state = 0;
	struct rp_error err;

	EXPECT_EQ(rp_job_state(job, &state, NULL, &err), RP_OK, "%s", err.message);
	return state;
}

void jobs_expect(struct rp_job *job, enum rp_job_state want)
{
	uint64_t begin = now_ms();

	while (jobs_state(job) != want && now_ms() - begin < SOON_MS)
		usleep(1000);
	ASSERT_EQ(jobs_state(job), want);
}

void jobs_reach(const struct jobs *j, const struct rp_job *job, const char *phase)
{
	uint64_t begin = now_ms();
	bool there = false;

	while (!there && now_ms() - begin < SOON_MS) {
		json_t *doc = jobs_show(j, job);

		there = !strcmp(json_text(doc, "Phase"), phase);
		json_decref(doc);
		usleep(1000);
	}
	ASSERT_TRUE(there, "%s", phase);
}

void jobs_request(struct rp_job *job, uint32_t requested)
{
	struct rp_error err;

	ASSERT_EQ(rp_job_request_state_change(job, requested, SOON_MS, &err), RP_JOB_DONE,
		  "%s", err.message);
}

void jobs_make_running(struct jobs *j)
{
	j->job = jobs_start(j, true);
	jobs_expect(j->job, RP_JOB_RUNNING);
	jobs_reach(j, j->job, "copying");
}

pid_t jobs_make_copying(struct jobs *j)
{
	jobs_make_running(j);
	return (pid_t)jobs_shown(j, j->job, "ProcessId");
}

/* Behind one that works. */
void jobs_make_new(struct jobs *j)
{
	struct rp_job *first = jobs_start(j, true);

	jobs_expect(first, RP_JOB_RUNNING);
	rp_job_close(first);
	j->job = jobs_start(j, true);
	jobs_reach(j, j->job, "waiting"); /* and has no lock of what is asked of it */
}

void jobs_make_suspended(struct jobs *j)
{
	jobs_make_running(j);
	jobs_request(j->job, RP_JOB_SUSPEND);
}

/* To go on when another has its turn. */
void jobs_make_starting(struct jobs *j)
{
	struct rp_job *other;

	jobs_make_suspended(j);
	other = jobs_start(j, true);
	jobs_expect(other, RP_JOB_RUNNING);
	rp_job_close(other);
	ASSERT_EQ(rp_job_request_state_change(j->job, RP_JOB_START, 0, NULL),
		  RP_JOB_TRANSITION);
	jobs_expect(j->job, RP_JOB_STARTING);
}

/* None of its threads does anything any more. */
static bool is_stopped(pid_t pid)
{
	return system(fmt(
		       "! grep -hs '^State:' /proc/%d/task/*/status | grep -qv stopped",
		       (int)pid)) == 0;
}

void jobs_hold(struct jobs *j)
{
	j->stopped = (pid_t)jobs_shown(j, j->job, "ProcessId");
	ASSERT_OK(kill(j->stopped, SIGSTOP));
	while (!is_stopped(j->stopped))
		usleep(1000);
}

void jobs_let_go(struct jobs *j)
{
	if (j->stopped)
		ASSERT_OK(kill(j->stopped, SIGCONT));
	j->stopped = 0;
}

void jobs_close(struct jobs *j)
{
	if (j->stage.store)
		jobs_end_all(j);
	stage_close(&j->stage);
}
