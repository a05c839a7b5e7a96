/* SPDX-License-Identifier: MIT */
/*
 * job_kept_test.c - what jobs have kept of an export: it is gone on from, or goes, with
 * them, and nobody else has to look for it
 */
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "harness.h"
#include "intercept.h"
#include "jobs.h"
#include "loopfs.h"

/* One job that was cancelled, and has kept something in folder 0. */
FIXTURE(kept)
{
	struct jobs jobs;
	struct rp_job *other;	/* has the only turn */
	struct rp_store *store; /* which knows of that */
};

FIXTURE_VARIANT(kept)
{
	char none;
};
FIXTURE_VARIANT_ADD(kept, by_a_job){0};

static const char *directory(const struct jobs *j)
{
	return fmt("%s/0", j->stage.exports);
}

static const char *away(const struct jobs *j)
{
	return fmt("%s/away", j->stage.exports);
}

static const char *partial(const struct jobs *j)
{
	return stage_partial_path(directory(j), j->stage.point);
}

static bool has_mark(const struct jobs *j)
{
	struct stat st;

	return stat(fmt("%s/.journal", partial(j)), &st) == 0 && st.st_size > 0;
}

static struct rp_job *keep_some(struct jobs *j)
{
	struct rp_job *job = jobs_start(j, true);
	struct rp_error err;

	ASSERT_EQ(rp_job_set_bandwidth(job, 2 * MIB, &err), RP_OK);
	while (!has_mark(j))
		usleep(1000);
	jobs_request(job, RP_JOB_TERMINATE);
	jobs_expect(job, RP_JOB_TERMINATED);
	return job;
}

/* From now on there is no turn for another. */
static void take_the_turn(struct kept_fixture *self)
{
	struct rp_job *job = self->jobs.job;
	struct rp_error err;

	jobs_limit(&self->jobs.stage, 1);
	self->store = stage_open(&self->jobs.stage, 0);
	self->other = jobs_start(&self->jobs, true);
	jobs_expect(self->other, RP_JOB_RUNNING);
	GIVES(OK, rp_job_open(self->store, rp_job_id(job), &self->jobs.job, &err));
	rp_job_close(job);
}

static void finish(struct jobs *j)
{
	struct rp_error err;
	json_t *doc;

	ASSERT_EQ(rp_job_request_state_change(j->job, RP_JOB_START, 0, &err),
		  RP_JOB_TRANSITION, "%s", err.message);
	rp_job_set_bandwidth(j->job, 0, &err);
	GIVES(OK, rp_job_wait(j->job, NULL, SOON_MS, &err));
	doc = jobs_show(j, j->job);
	EXPECT_GT(json_number(json_array_get(json_object_get(doc, "Disks"), 0),
			      "ResumedBytes"),
		  0);
	json_decref(doc);
	EXPECT_FALSE(jobs_resumable(j)); /* it is published now */
}

/* It is resumed while its directory is somewhere else. */
static void fail_without_directory(struct jobs *j)
{
	struct rp_error err;

	ASSERT_OK(rename(directory(j), away(j)));
	rp_job_request_state_change(j->job, RP_JOB_START, SOON_MS, &err);
	GIVES(NOT_AVAILABLE, rp_job_wait(j->job, NULL, SOON_MS, &err));
	ASSERT_OK(rename(away(j), directory(j)));
}

static void resume_without_turn(struct kept_fixture *self)
{
	struct jobs *j = &self->jobs;
	struct rp_error err;

	take_the_turn(self);
	ASSERT_EQ(rp_job_request_state_change(j->job, RP_JOB_START, 0, &err),
		  RP_JOB_TRANSITION, "%s", err.message);
	jobs_reach(j, j->job, "waiting");
}

/* By now, and it leaves nothing. */
static void expect_killed(struct jobs *j)
{
	jobs_request(j->job, RP_JOB_KILL);
	jobs_expect(j->job, RP_JOB_KILLED);
	EXPECT_STREQ(listing(directory(j)), "");
	EXPECT_FALSE(jobs_resumable(j));
}

FIXTURE_SETUP(kept)
{
	jobs_make(&self->jobs);
	self->jobs.job = keep_some(&self->jobs);
}

FIXTURE_TEARDOWN(kept)
{
	rp_job_close(self->other);
	jobs_close(&self->jobs);
	rp_store_close(self->store); /* NULL is fine */
}

TEST_F(kept, goes_on_when_the_directory_is_back)
{
	struct jobs *j = &self->jobs;

	fail_without_directory(j);
	EXPECT_TRUE(jobs_resumable(j));
	finish(j);
	EXPECT_TRUE(stage_good_export(directory(j), j->stage.point, j->stage.twin));
}

TEST_F(kept, goes_when_the_directory_is_back)
{
	struct jobs *j = &self->jobs;

	fail_without_directory(j);
	expect_killed(j);
}

/* The same folder on another device: what lies below where it was mounted. */
TEST_F(kept, is_not_looked_for_where_it_is_not_mounted)
{
	struct jobs *j = &self->jobs;
	const char *here = directory(j);
	struct rp_error err;

	ASSERT_OK(mount("none", here, "tmpfs", 0, "size=64m"));
	rp_job_request_state_change(j->job, RP_JOB_START, SOON_MS, &err);
	GIVES(NOT_AVAILABLE, rp_job_wait(j->job, NULL, SOON_MS, &err));
	EXPECT_STREQ(listing(here), "");
	EXPECT_TRUE(jobs_resumable(j));
	rp_job_request_state_change(j->job, RP_JOB_KILL, SOON_MS, &err);
	EXPECT_EQ(err.code, RP_NOT_AVAILABLE, "%s", err.message);
	ASSERT_OK(umount2(here, UMOUNT_NOFOLLOW));
	EXPECT_TRUE(has_mark(j));
	finish(j);
	EXPECT_TRUE(stage_good_export(here, j->stage.point, j->stage.twin));
}

TEST_F(kept, goes_with_a_job_that_waits_for_its_turn)
{
	resume_without_turn(self);
	expect_killed(&self->jobs);
}

/* A released point has nothing to go on with. */
/* As long as another export removes something large there. */
TEST_F(kept, goes_with_a_job_that_waits_for_the_folder_of_its_system)
{
	struct jobs *j = &self->jobs;
	int fd = open(fmt("%s/web1", directory(j)), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct rp_error err;

	ASSERT_OK(flock(fd, LOCK_EX));
	jobs_request(j->job, RP_JOB_START);
	jobs_expect(j->job, RP_JOB_RUNNING);
	usleep(300000);
	ASSERT_EQ(rp_job_request_state_change(j->job, RP_JOB_KILL, 0, &err),
		  RP_JOB_TRANSITION, "%s", err.message);
	usleep(300000);
	EXPECT_TRUE(exists(partial(j)));
	close(fd);
	jobs_expect(j->job, RP_JOB_KILLED);
	EXPECT_STREQ(listing(directory(j)), "");
	EXPECT_FALSE(jobs_resumable(j));
}

TEST_F(kept, goes_with_the_data_of_its_point)
{
	struct jobs *j = &self->jobs;
	struct rp_error err;

	GIVES(OK, rp_release(j->stage.store, j->stage.point, NULL, &err));
	EXPECT_STREQ(listing(directory(j)), "");
	EXPECT_FALSE(jobs_resumable(j));
}

/* What is old is forgotten with what it has kept, but not by halves. */
TEST_F(kept, stays_with_an_old_job_that_is_being_taken_up)
{
	static const struct timespec long_ago[2] = {{.tv_sec = 1}, {.tv_sec = 1}};
	struct stage *s = &self->jobs.stage;
	const char *record = fmt("%s/jobs/ended/%s", s->path, rp_job_id(self->jobs.job));
	int fd = open(record, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct rp_error err;

	ASSERT_OK(flock(fd, LOCK_EX));
	ASSERT_OK(utimensat(AT_FDCWD, record, long_ago, 0));
	unlink(fmt("%s/jobs/forgot", s->path));
	self->store = stage_open(s, 0);
	GIVES(OK, rp_export(self->store, s->point, s->exports, NULL, NULL, &err));
	close(fd);
	EXPECT_TRUE(exists(fmt("%s/job.json", record)));
	EXPECT_TRUE(has_mark(&self->jobs));
}

/* Called at the next look of this thread into the folder of that inode. */
static _Thread_local void (*at_listing)(void);
static ino_t listed;

DIR *fdopendir(int fd)
{
	void (*now)(void) = at_listing;
	struct stat st;

	if (now && fstat(fd, &st) == 0 && st.st_ino == listed) {
		at_listing = NULL;
		now();
	}
	return REAL(fdopendir)(fd);
}

static struct rp_job *heir;

static void take_up_heir(void)
{
	struct rp_error err;

	ASSERT_EQ(rp_job_request_state_change(heir, RP_JOB_START, 0, &err),
		  RP_JOB_TRANSITION, "%s", err.message);
}

/* While it goes from the ended ones to the others. */
TEST_F(kept, is_that_of_one_that_is_being_taken_up)
{
	const struct rp_export_options slowly = {
		.size = sizeof(slowly), .clone = RP_CLONE_NEVER, .bandwidth = 2 * MIB};
	struct jobs *j = &self->jobs;
	struct rp_error err;
	struct stat st;

	ASSERT_EQ(rp_export_start(j->stage.store, j->stage.point, directory(j), &slowly,
				  &heir, &err),
		  RP_JOB_STARTED, "%s", err.message);
	jobs_reach(j, heir, "copying");
	jobs_request(heir, RP_JOB_TERMINATE);
	jobs_expect(heir, RP_JOB_TERMINATED);
	take_the_turn(self);
	ASSERT_OK(stat(fmt("%s/jobs/ended", j->stage.path), &st));
	listed = st.st_ino;
	at_listing = take_up_heir;
	jobs_request(j->job, RP_JOB_KILL);
	EXPECT_EQ(at_listing, NULL);
	EXPECT_TRUE(has_mark(j));
	rp_job_request_state_change(heir, RP_JOB_KILL, SOON_MS, &err);
	rp_job_close(heir);
}

/* Nor does it stay for ever if it could not be reached then. */
TEST_F(kept, goes_with_a_job_that_was_killed_elsewhere)
{
	struct jobs *j = &self->jobs;

	resume_without_turn(self);
	ASSERT_OK(rename(directory(j), away(j)));
	jobs_request(j->job, RP_JOB_KILL);
	jobs_expect(j->job, RP_JOB_KILLED);
	ASSERT_OK(rename(away(j), directory(j)));
	EXPECT_TRUE(jobs_resumable(j) && has_mark(j));
	expect_killed(j);
}

/* The same export again, which has not begun, has not gone on from it. */
TEST_F(kept, is_not_that_of_one_that_waits)
{
	struct jobs *j = &self->jobs;
	const char *here = directory(j);
	struct rp_job *waiting;
	struct rp_error err;

	take_the_turn(self);
	ASSERT_EQ(
		rp_export_start(self->store, j->stage.point, here, NULL, &waiting, &err),
		RP_JOB_STARTED, "%s", err.message);
	jobs_reach(j, waiting, "waiting");
	jobs_request(j->job, RP_JOB_KILL);
	EXPECT_FALSE(exists(partial(j)), "%s", listing(partial(j)));
	rp_job_request_state_change(waiting, RP_JOB_KILL, SOON_MS, &err);
	rp_job_close(waiting);
}

/* Who is known to have left nothing needs no target to be forgotten. */
TEST_F(kept, is_nothing)
{
	struct jobs *j = &self->jobs;
	const char *here = directory(j);
	const char *id;
	struct rp_error err;
	char *text;
	json_t *list;

	jobs_request(j->job, RP_JOB_KILL);
	rp_job_close(j->job);
	ASSERT_OK(mount("none", here, "tmpfs", 0, "size=4m"));
	GIVES(FAILED, rp_export(j->stage.store, j->stage.point, here, NULL, NULL, &err));
	EXPECT_STREQ(listing(here), "");
	ASSERT_OK(umount2(here, UMOUNT_NOFOLLOW));
	GIVES(OK, rp_job_list(j->stage.store, &text, &err));
	list = take_json(text);
	id = json_text(json_array_get(list, json_array_size(list) - 1), "InstanceID");
	GIVES(OK, rp_job_open(j->stage.store, id, &j->job, &err));
	json_decref(list);
	EXPECT_TRUE(jobs_resumable(j));
	EXPECT_EQ(rp_job_request_state_change(j->job, RP_JOB_KILL, SOON_MS, &err),
		  RP_JOB_DONE, "%s", err.message);
}

TEST_MAIN_REQUIRES(program_missing)
