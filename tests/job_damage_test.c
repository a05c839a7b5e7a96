/* SPDX-License-Identifier: MIT */
/*
 * job_damage_test.c - job records that are damaged, newer, or not the last word: what is
 * told of them, and that a job that goes on writes its own again
 */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/file.h>
#include <unistd.h>

#include "data.h"
#include "engine/slip.h"
#include "harness.h"
#include "jobs.h"

FIXTURE(damaged)
{
	struct jobs jobs;
};

FIXTURE_SETUP(damaged)
{
	jobs_make(&self->jobs);
}

FIXTURE_VARIANT(damaged)
{
	char none;
};
FIXTURE_VARIANT_ADD(damaged, jobs){0};

FIXTURE_TEARDOWN(damaged)
{
	jobs_close(&self->jobs);
}

static const char *record_path(const struct jobs *j, const char *folder)
{
	return fmt("%s/jobs/%s/%s/job.json", j->stage.path, folder, rp_job_id(j->job));
}

static bool has_moved(const struct jobs *j)
{
	rp_store_close(stage_open(&j->stage, 0)); /* looks after those that died */
	return exists(record_path(j, "ended"));
}

/* The state, however long its process takes to write the record again. */
static enum rp_job_state state_again(const struct jobs *j)
{
	for (unsigned ms = 0; ms < SOON_MS; ms++) {
		enum rp_job_state state;

		if (rp_job_state(j->job, &state, NULL, NULL) == RP_OK)
			return state;
		usleep(1000);
	}
	FAIL("the record of job %s stays damaged", rp_job_id(j->job));
}

/* Running, suspended, or waiting: who asks has it written again. */
TEST_F(damaged, write_a_damaged_record_again)
{
	struct jobs *j = &self->jobs;
	struct rp_error err;

	jobs_make_running(j);
	save_text(record_path(j, "active"), "garbage");
	EXPECT_EQ(state_again(j), RP_JOB_RUNNING);
	jobs_request(j->job, RP_JOB_SUSPEND);
	save_text(record_path(j, "active"), "garbage");
	EXPECT_EQ(state_again(j), RP_JOB_SUSPENDED);
	ASSERT_OK(unlink(record_path(j, "active")));
	EXPECT_EQ(state_again(j), RP_JOB_SUSPENDED);
	jobs_request(j->job, RP_JOB_START);
	/* And without being asked. */
	save_text(record_path(j, "active"), "garbage");
	GIVES(TIMEOUT, rp_job_wait(j->job, NULL, 1500, &err));
	EXPECT_EQ(state_again(j), RP_JOB_RUNNING);
	ASSERT_EQ(rp_job_set_bandwidth(j->job, 0, &err), RP_OK);
	GIVES(OK, rp_job_wait(j->job, NULL, SOON_MS, &err));
}

TEST_F(damaged, leave_a_damaged_record_where_it_is_found)
{
	struct jobs *j = &self->jobs;
	struct rp_error err;
	pid_t pid = jobs_make_copying(j);
	char *text;

	ASSERT_OK(kill(pid, SIGKILL));
	ASSERT_EQ(rp_job_wait(j->job, NULL, SOON_MS, NULL), RP_FAILED);
	save_text(record_path(j, "active"), "garbage");
	ASSERT_TRUE(has_moved(j));
	GIVES(UNKNOWN_STATUS, rp_job_wait(j->job, NULL, SOON_MS, &err));
	GIVES(UNKNOWN_STATUS,
	      rp_job_show(j->stage.store, rp_job_id(j->job), &text, &err));
}

static void make_completed(struct jobs *j)
{
	struct rp_error err;
	int folder;

	j->job = jobs_start(j, false);
	ASSERT_EQ(rp_job_wait(j->job, NULL, SOON_MS, &err), RP_OK, "%s", err.message);
	while (!has_moved(j)) /* its process may end before */
		usleep(1000);
	folder = open(fmt("%s/jobs/ended/%s", j->stage.path, rp_job_id(j->job)),
		      O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	ASSERT_GE(folder, 0);
	ASSERT_OK(flock(folder, LOCK_EX)); /* or let go of it later */
	close(folder);
}

static void edit_record(const struct jobs *j, const char *key, json_t *value)
{
	const char *path = record_path(j, "ended");
	json_t *doc = load_json(path);

	json_object_set_new(doc, key, value);
	save_json(path, doc);
}

TEST_F(damaged, have_no_end_without_an_error)
{
	struct jobs *j = &self->jobs;
	static const int codes[] = {0, 4096, 5, -1, 32779};
	struct rp_error err;

	make_completed(j);
	edit_record(j, "JobState", json_integer(RP_JOB_EXCEPTION));
	for (size_t i = 0; i < ARRAY_SIZE(codes); i++) {
		edit_record(j, "ErrorCode", json_integer(codes[i]));
		GIVES(UNKNOWN_STATUS, rp_job_wait(j->job, NULL, SOON_MS, &err));
		GIVES(UNKNOWN_STATUS, rp_job_error(j->job, &err));
	}
	edit_record(j, "ErrorCode", json_integer(RP_TIMEOUT));
	GIVES(TIMEOUT, rp_job_error(j->job, &err));
}

TEST_F(damaged, have_no_state_that_is_none)
{
	struct jobs *j = &self->jobs;
	json_t *states[] = {json_integer(99), json_integer(-1), json_string("7"),
			    json_null()};
	struct rp_error err;

	make_completed(j);
	for (size_t i = 0; i < ARRAY_SIZE(states); i++) {
		edit_record(j, "JobState", states[i]);
		GIVES(UNKNOWN_STATUS, rp_job_wait(j->job, NULL, SOON_MS, &err));
		GIVES(UNKNOWN_STATUS, rp_job_state(j->job, NULL, NULL, &err));
	}
}

/* Its process has died between the publication and the last record. */
TEST_F(damaged, are_completed_once_they_are_published)
{
	struct jobs *j = &self->jobs;
	json_t *doc;

	make_completed(j);
	edit_record(j, "JobState", json_integer(RP_JOB_RUNNING));
	edit_record(j, "ExportedDisks", json_array());
	ASSERT_OK(rename(fmt("%s/jobs/ended/%s", j->stage.path, rp_job_id(j->job)),
			 fmt("%s/jobs/active/%s", j->stage.path, rp_job_id(j->job))));
	EXPECT_EQ(jobs_state(j->job), RP_JOB_COMPLETED);
	EXPECT_EQ(rp_job_error(j->job, NULL), RP_OK);
	doc = jobs_show(j, j->job);
	EXPECT_EQ(json_array_size(json_object_get(doc, "ExportedDisks")), 1);
	EXPECT_EQ(json_is_false(json_object_get(doc, "Resumable")), 1);
	json_decref(doc);
	EXPECT_TRUE(has_moved(j));
	EXPECT_EQ(jobs_state(j->job), RP_JOB_COMPLETED);
}

TEST_F(damaged, tell_every_phase)
{
	static const char *const phases[] = {
		"waiting", "planning", "mapping",   "comparing", "proving",
		"cloning", "copying",  "verifying", "syncing",	 "publishing",
	};
	struct jobs *j = &self->jobs;
	struct rp_progress progress;
	struct rp_error err;
	int fd;

	make_completed(j);
	fd = slip_open(AT_FDCWD, fmt("%s/jobs/ended/%s/progress", j->stage.path,
				     rp_job_id(j->job)));
	ASSERT_GE(fd, 0);
	for (size_t i = 0; i < ARRAY_SIZE(phases); i++) {
		json_t *doc = json_pack("{s:s}", "Phase", phases[i]);

		ASSERT_OK(slip_write(fd, doc));
		json_decref(doc);
		ASSERT_EQ(rp_job_state(j->job, NULL, &progress, &err), RP_OK);
		EXPECT_STREQ(progress.phase, phases[i]);
	}
	close(fd);
}

TEST_F(damaged, are_listed_as_of_a_newer_version)
{
	struct jobs *j = &self->jobs;
	struct rp_error err;
	json_t *list;
	char *text;

	make_completed(j);
	set_version(record_path(j, "ended"), 2);
	GIVES(NOT_SUPPORTED, rp_job_state(j->job, NULL, NULL, &err));
	GIVES(NOT_SUPPORTED, rp_job_show(j->stage.store, rp_job_id(j->job), &text, &err));
	ASSERT_EQ(rp_job_list(j->stage.store, &text, &err), RP_OK);
	list = take_json(text);
	EXPECT_STREQ(json_text(json_array_get(list, 0), "JobStatus"),
		     "made by a newer version");
	json_decref(list);
}

TEST_MAIN_REQUIRES(program_missing)
