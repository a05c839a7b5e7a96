/* SPDX-License-Identifier: MIT */
/*
 * store_leftovers_test.c - what the dead have left in a store and in targets is removed
 * by who opens it next; what lives, is published or out of reach is not
 */
#include <fcntl.h>
#include <linux/fs.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "data.h"
#include "harness.h"
#include "stage.h"

FIXTURE(left)
{
	struct stage stage;
};

FIXTURE_SETUP(left)
{
	stage_make(&self->stage, test_dir(), MIB + 4097, test_seed());
}

FIXTURE_TEARDOWN(left)
{
	stage_close(&self->stage);
}

static void set_immutable(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC), flags = 0;

	ASSERT_GE(fd, 0);
	if (geteuid() == 0 && ioctl(fd, FS_IOC_GETFLAGS, &flags) == 0) {
		flags |= FS_IMMUTABLE_FL;
		ioctl(fd, FS_IOC_SETFLAGS, &flags);
	}
	close(fd);
}

/* As a create that was killed leaves it. */
static const char *leave_pending(const struct stage *s)
{
	const char *path = fmt("%s/pending/11111111-1111-4111-8111-111111111111",
			       s->path);

	ASSERT_OK(mkdir(path, 0700));
	ASSERT_OK(mkdir(fmt("%s/config", path), 0700));
	save_text(fmt("%s/config/web1.xml", path), "x");
	save_text(fmt("%s/vda.raw", path), "x");
	ASSERT_OK(chmod(fmt("%s/vda.raw", path), 0400));
	set_immutable(fmt("%s/vda.raw", path));
	return path;
}

/* As an export that was killed leaves it. */
static const char *leave_job(const struct stage *s, int state)
{
	const char *id = "22222222-2222-4222-8222-222222222222";
	const char *path = fmt("%s/jobs/active/%s", s->path, id);
	struct stat st;

	ASSERT_OK(stat(s->exports, &st));
	ASSERT_OK(mkdir(path, 0700));
	save_json(fmt("%s/job.json", path),
		  json_pack("{s:i, s:s, s:s, s:s, s:s, s:I, s:i, s:i, s:n}",
			    "FormatVersion", 1, "InstanceID", id,
			    "VirtualSystemIdentifier", "web1", "ReferencePointId",
			    strchr(s->point, '@') + 1, "ExportDirectory", s->exports,
			    "ExportDevice", (json_int_t)st.st_dev, "JobState", state,
			    "ErrorCode", 0, "ErrorDescription"));
	return path;
}

static const char *leave_partial(const struct stage *s)
{
	const char *folder = fmt("%s/web1", s->exports);
	const char *path = stage_partial_path(s->exports, s->point);

	ASSERT_OK(mkdir(folder, 0700));
	ASSERT_OK(mkdir(path, 0700));
	save_text(fmt("%s/vda.raw", path), "x");
	save_text(fmt("%s/.journal", path), "{\"FormatVersion\": 1, \"Disks\": []}");
	return path;
}

static void open_and_close(const struct stage *s)
{
	rp_store_close(stage_open(s, 0));
}

TEST_F(left, removes_what_the_dead_leave)
{
	const struct stage *s = &self->stage;
	struct rp_error err;
	json_t *job;

	leave_pending(s);
	leave_job(s, 4);
	leave_partial(s);
	ASSERT_OK(
		mkdir(fmt("%s/jobs/active/33333333-3333-4333-8333-333333333333", s->path),
		      0700));
	ASSERT_OK(
		mkdir(fmt("%s/jobs/active/44444444-4444-4444-8444-444444444444", s->path),
		      0700));
	save_text(fmt("%s/jobs/active/44444444-4444-4444-8444-444444444444/job.json",
		      s->path),
		  "");
	open_and_close(s);
	stage_expect_unharmed(s, "");
	EXPECT_STREQ(listing(fmt("%s/jobs/ended", s->path)),
		     "22222222-2222-4222-8222-222222222222");
	job = stage_only_job(s);
	EXPECT_EQ(json_number(job, "JobState"), 10);
	EXPECT_EQ(json_number(job, "ErrorCode"), RP_FAILED);
	json_decref(job);

	/* Without a record of it, the next export to the place removes it. */
	leave_partial(s);
	open_and_close(s);
	GIVES(OK, stage_export(s, NULL, &err));
	EXPECT_STREQ(listing(fmt("%s/web1", s->exports)), strchr(s->point, '@') + 1);
	EXPECT_TRUE(stage_good_export(s->exports, s->point, s->twin));
}

/* Killed between the end of its record and its move: it did end so. */
TEST_F(left, keeps_how_a_dead_export_had_ended)
{
	const struct stage *s = &self->stage;
	json_t *job;

	leave_job(s, 7);
	open_and_close(s);
	stage_expect_unharmed(s, "");
	job = stage_only_job(s);
	EXPECT_EQ(json_number(job, "JobState"), 7);
	EXPECT_EQ(json_number(job, "ErrorCode"), 0);
	json_decref(job);
}

/* It died before its turn; the export that is there is one of before. */
TEST_F(left, tells_the_dead_what_they_did_not_do)
{
	static const int waiting[] = {2, 3, 5}; /* New, Starting, Suspended */
	const struct stage *s = &self->stage;
	const char *ended = fmt("%s/jobs/ended/22222222-2222-4222-8222-222222222222",
				s->path);
	struct rp_error err;

	GIVES(OK, stage_export(s, NULL, &err));
	for (size_t i = 0; i < ARRAY_SIZE(waiting); i++) {
		json_t *job;

		leave_job(s, waiting[i]);
		open_and_close(s);
		job = load_json(fmt("%s/job.json", ended));
		EXPECT_EQ(json_number(job, "JobState"), 10, "%d", waiting[i]);
		EXPECT_EQ(json_number(job, "ErrorCode"), RP_FAILED);
		json_decref(job);
		ASSERT_OK(system(fmt("rm -r '%s'", ended)));
	}
	EXPECT_TRUE(stage_good_export(s->exports, s->point, s->twin));
}

/* What a dead export has left, but a published one has not. */
TEST_F(left, never_removes_what_is_published)
{
	const struct stage *s = &self->stage;
	const char *ended, *active;
	struct rp_error err;
	json_t *job;

	GIVES(OK, stage_export(s, NULL, &err));
	ended = fmt("%s/jobs/ended/%s", s->path, listing(fmt("%s/jobs/ended", s->path)));
	active = fmt("%s/jobs/active/%s", s->path, strrchr(ended, '/') + 1);
	job = load_json(fmt("%s/job.json", ended));
	json_object_set_new(job, "JobState", json_integer(4));
	save_json(fmt("%s/job.json", ended), job);
	ASSERT_OK(rename(ended, active));
	open_and_close(s);
	stage_expect_unharmed(s, "web1");
	EXPECT_TRUE(stage_good_export(s->exports, s->point, s->twin));
	job = stage_only_job(
		s); /* killed between publication and the end of its record */
	EXPECT_EQ(json_number(job, "JobState"), 7);
	json_decref(job);
}

/* While its target is not mounted nothing is known of it, and it is not forgotten. */
TEST_F(left, waits_for_the_target_of_the_dead)
{
	const struct stage *s = &self->stage;
	const char *away = fmt("%s.away", s->exports);
	const char *job = leave_job(s, 4), *partial = leave_partial(s);

	ASSERT_OK(rename(s->exports, away));
	open_and_close(s);
	EXPECT_TRUE(exists(job));
	ASSERT_OK(rename(away, s->exports));
	EXPECT_TRUE(exists(partial));
	open_and_close(s);
	stage_expect_unharmed(s, "");
}

/* A live process works on all of it. */
static pid_t lock_all(const char *const paths[], size_t count)
{
	int ready[2];
	char byte;
	pid_t pid;

	ASSERT_OK(pipe2(ready, O_CLOEXEC));
	pid = fork();
	if (pid == 0) {
		for (size_t i = 0; i < count; i++)
			ASSERT_OK(flock(open(paths[i], O_RDONLY | O_CLOEXEC),
					LOCK_EX | LOCK_NB));
		ASSERT_EQ(write(ready[1], "", 1), 1);
		pause();
	}
	close(ready[1]);
	ASSERT_EQ(read(ready[0], &byte, 1), 1);
	close(ready[0]);
	return pid;
}

TEST_F(left, leaves_the_work_of_the_living)
{
	const struct stage *s = &self->stage;
	const char *const paths[] = {leave_pending(s), leave_job(s, 4), leave_partial(s)};
	pid_t pid = lock_all(paths, ARRAY_SIZE(paths));

	open_and_close(s);
	for (size_t i = 0; i < ARRAY_SIZE(paths); i++)
		EXPECT_TRUE(exists(paths[i]), "%s", paths[i]);
	EXPECT_TRUE(exists(fmt("%s/vda.raw", paths[0])));
	kill(pid, SIGKILL);
	ASSERT_EQ(waitpid(pid, NULL, 0), pid);
	open_and_close(s);
	stage_expect_unharmed(s, "");
}

TEST_MAIN
