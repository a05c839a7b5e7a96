/* SPDX-License-Identifier: MIT */
/*
 * job_fault_test.c - jobs that lack something the machine should have: they are worked
 * at, commanded and told of all the same
 */
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "blocked.h"
#include "data.h"
#include "harness.h"
#include "jobs.h"
#include "loopfs.h"

#define NO_NAMESPACE 77 /* the child's status */

FIXTURE(faulty)
{
	struct jobs jobs;
};

FIXTURE_SETUP(faulty)
{
	jobs_make(&self->jobs);
}

FIXTURE_VARIANT(faulty)
{
	char none;
};
FIXTURE_VARIANT_ADD(faulty, jobs){0};

FIXTURE_TEARDOWN(faulty)
{
	jobs_close(&self->jobs);
}

/* ------------------------------------------------------------- no inotify instances */

static void write_proc(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);

	ASSERT_GE(fd, 0, "%s", path);
	ASSERT_EQ(write(fd, text, strlen(text)), (ssize_t)strlen(text), "%s: %s", path,
		  strerror(errno));
	close(fd);
}

/* From here on for this process and those it starts; the user's other ones have theirs.
 */
static void use_up_inotify(void)
{
	const char *uids = fmt("%u %u 1", geteuid(), geteuid());
	const char *gids = fmt("%u %u 1", getegid(), getegid());

	if (unshare(CLONE_NEWUSER) < 0)
		_exit(NO_NAMESPACE);
	write_proc("/proc/self/uid_map", uids);
	write_proc("/proc/self/setgroups", "deny");
	write_proc("/proc/self/gid_map", gids);
	write_proc("/proc/sys/user/max_inotify_instances", "0");
	ASSERT_EQ(inotify_init1(IN_CLOEXEC), -1);
	ASSERT_EQ(errno, EMFILE);
}

static void expect_commands(struct jobs *j)
{
	struct rp_error err;

	j->job = jobs_start(j, true);
	jobs_expect(j->job, RP_JOB_RUNNING);
	GIVES(TIMEOUT, rp_job_wait(j->job, NULL, 1500, &err));
	EXPECT_EQ(jobs_state(j->job), RP_JOB_RUNNING);
	jobs_request(j->job, RP_JOB_SUSPEND);
	jobs_request(j->job, RP_JOB_START);
	ASSERT_EQ(rp_job_set_bandwidth(j->job, 0, &err), RP_OK);
	GIVES(OK, rp_job_wait(j->job, NULL, SOON_MS, &err));
	EXPECT_TRUE(stage_good_export(fmt("%s/0", j->stage.exports), j->stage.point,
				      j->stage.twin));
}

/* In a child, as only who has one thread gets a namespace. */
TEST_F(faulty, work_without_inotify_instances)
{
	int status;
	pid_t pid = fork();

	if (pid == 0) {
		use_up_inotify();
		expect_commands(&self->jobs);
		_exit(0);
	}
	ASSERT_EQ(waitpid(pid, &status, 0), pid);
	if (WIFEXITED(status) && WEXITSTATUS(status) == NO_NAMESPACE)
		SKIP("no user namespaces, or a sanitizer's thread");
	EXPECT_EQ(status, 0);
}

/* -------------------------------------------------------------------- no descriptors */

/* Its process cannot even look at its record meanwhile. */
TEST_F(faulty, outlive_a_want_of_descriptors)
{
	struct jobs *j = &self->jobs;
	struct rp_error err;
	pid_t pid = jobs_make_copying(j);
	rlim_t limit = limit_files(pid, 0);

	GIVES(TIMEOUT, rp_job_wait(j->job, NULL, 1500, &err));
	limit_files(pid, limit);
	ASSERT_EQ(rp_job_set_bandwidth(j->job, 0, &err), RP_OK);
	GIVES(OK, rp_job_wait(j->job, NULL, SOON_MS, &err));
}

/* Nor does who looks for them take something else for a list. */
TEST_F(faulty, are_not_listed_for_want_of_descriptors)
{
	struct jobs *j = &self->jobs;
	struct rp_error err;
	char *list = NULL;
	rlim_t limit;

	limit = limit_files(getpid(), 0);
	EXPECT_EQ(rp_job_list(j->stage.store, &list, &err), RP_FAILED, "%s", err.message);
	limit_files(getpid(), limit);
	EXPECT_EQ(err.os_error, EMFILE);
	EXPECT_EQ(list, NULL);
	GIVES(OK, rp_job_list(j->stage.store, &list, &err));
	rp_free(list);
}

/* A list, or what it comes to for want of descriptors; never one that calls what is whole
 * damaged, or that lacks it. */
static void expect_list_of_one(uint32_t rc, const struct rp_error *err, char *text)
{
	json_t *list;

	if (rc) {
		EXPECT_EQ(rc, RP_FAILED, "%s", err->message);
		EXPECT_EQ(err->os_error, EMFILE, "%s", err->message);
		return;
	}
	EXPECT_EQ(strstr(text, "damaged"), NULL, "%s", text);
	list = take_json(text);
	EXPECT_EQ(json_array_size(list), 1);
	json_decref(list);
}

TEST_F(faulty, are_listed_whole_or_not_at_all)
{
	const struct stage *s = &self->jobs.stage;
	struct rp_error err;
	int free;

	self->jobs.job = jobs_start(&self->jobs, false);
	GIVES(OK, rp_job_wait(self->jobs.job, NULL, SOON_MS, &err));
	free = fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 0);
	close(free);
	for (int more = 0; more < 8; more++) {
		rlim_t limit = limit_files(getpid(), (rlim_t)(free + more));
		char *jobs = NULL, *points = NULL, *systems = NULL;
		struct rp_error errors[3];
		const uint32_t rc[] = {
			rp_job_list(s->store, &jobs, &errors[0]),
			rp_list_reference_points(s->store, "web1", &points, &errors[1]),
			rp_system_list(s->store, &systems, &errors[2]),
		};

		limit_files(getpid(), limit);
		test_log("%d: %u %u %u", more, rc[0], rc[1], rc[2]);
		expect_list_of_one(rc[0], &errors[0], jobs);
		expect_list_of_one(rc[1], &errors[1], points);
		expect_list_of_one(rc[2], &errors[2], systems);
	}
}

/* It is not the job that has failed: that has its system. */
static void expect_want(uint32_t rc, const struct rp_error *err, const char *call,
			const char *step)
{
	EXPECT_EQ(rc, RP_FAILED, "%s: %s", call, err->message);
	EXPECT_EQ(err->os_error, EMFILE, "%s", call);
	EXPECT_STREQ(err->step, step, "%s", call);
	EXPECT_STREQ(err->system, "", "%s", call);
}

TEST_F(faulty, are_not_taken_for_failed_for_want_of_descriptors)
{
	struct jobs *j = &self->jobs;
	enum rp_job_state state = 0;
	struct rp_error err;
	char *text = NULL;
	rlim_t limit;

	jobs_make_running(j);
	limit = limit_files(getpid(), 0);
	expect_want(rp_job_state(j->job, &state, NULL, &err), &err, "state", "read");
	expect_want(rp_job_error(j->job, &err), &err, "error", "read");
	expect_want(rp_job_wait(j->job, NULL, 0, &err), &err, "wait", "read");
	expect_want(rp_job_show(j->stage.store, rp_job_id(j->job), &text, &err), &err,
		    "show", "open");
	limit_files(getpid(), limit);
	EXPECT_EQ(state, 0);
	EXPECT_EQ(text, NULL);
	EXPECT_EQ(jobs_state(j->job), RP_JOB_RUNNING);
	jobs_request(j->job, RP_JOB_TERMINATE);
	GIVES(FAILED, rp_job_error(j->job, &err));
	EXPECT_STREQ(err.system, "web1");
}

/* Who waits for its turn waits for that, too. */
TEST_F(faulty, wait_for_descriptors_to_look_for_their_turn)
{
	struct jobs *j = &self->jobs;
	struct rp_job *first;
	struct rp_error err;
	rlim_t limit;
	pid_t pid;

	jobs_limit(&j->stage, 1);
	first = jobs_start(j, true);
	jobs_expect(first, RP_JOB_RUNNING);
	j->job = jobs_start(j, false);
	jobs_reach(j, j->job, "waiting");
	pid = (pid_t)jobs_shown(j, j->job, "ProcessId");
	limit = limit_files(pid, 0);
	jobs_request(first, RP_JOB_KILL);
	rp_job_close(first);
	GIVES(TIMEOUT, rp_job_wait(j->job, NULL, 1500, &err));
	limit_files(pid, limit);
	GIVES(OK, rp_job_wait(j->job, NULL, SOON_MS, &err));
}

/* A request that comes meanwhile is not lost, though the bell is rung only once. */
TEST_F(faulty, hear_what_they_could_not_read)
{
	struct jobs *j = &self->jobs;
	struct rp_error err;
	pid_t pid = jobs_make_copying(j);
	rlim_t limit = limit_files(pid, 0);

	EXPECT_EQ(rp_job_request_state_change(j->job, RP_JOB_SUSPEND, 500, &err),
		  RP_JOB_NOT_IN_TIME);
	limit_files(pid, limit);
	jobs_expect(j->job, RP_JOB_SUSPENDED);
}

/* ----------------------------------------------------------------------- no threads */

static void expect_ended_without_thread(const struct stage *s)
{
	json_t *doc = stage_only_job(s);

	EXPECT_EQ(json_number(doc, "JobState"), RP_JOB_EXCEPTION);
	EXPECT_EQ(json_number(doc, "ErrorCode"), RP_OUT_OF_MEMORY);
	EXPECT_NE(strstr(json_text(doc, "ErrorDescription"), "thread of the job"), NULL,
		  "%s", json_text(doc, "ErrorDescription"));
	EXPECT_STREQ(json_text(json_object_get(doc, "Error"), "System"), "web1");
	EXPECT_TRUE(json_is_true(json_object_get(doc, "Resumable")));
	json_decref(doc);
}

/* In a process of its own, which gets none any more. */
static void start_without_threads(const struct stage *s)
{
	struct rp_job *job = NULL;
	struct rp_error err;
	json_t *doc;

	block_syscall(__NR_clone3, EAGAIN);
	block_syscall(__NR_clone, EAGAIN);
	GIVES(OUT_OF_MEMORY,
	      rp_export_start(s->store, s->point, s->exports, NULL, &job, &err));
	EXPECT_EQ(job, NULL);
	expect_ended_without_thread(s);
	doc = stage_only_job(s);
	ASSERT_EQ(rp_job_open(s->store, json_text(doc, "InstanceID"), &job, &err), RP_OK);
	EXPECT_EQ(rp_job_request_state_change(job, RP_JOB_START, 0, &err),
		  RP_JOB_UNSPECIFIED);
	EXPECT_EQ(err.code, RP_OUT_OF_MEMORY, "%s", err.message);
	expect_ended_without_thread(s);
	rp_job_close(job);
	json_decref(doc);
}

TEST_F(faulty, say_that_there_was_no_thread)
{
	struct jobs *j = &self->jobs;
	struct rp_error err;
	json_t *doc;
	int status;
	pid_t pid = fork();

	if (pid == 0) {
		start_without_threads(&j->stage);
		_exit(0);
	}
	ASSERT_EQ(waitpid(pid, &status, 0), pid);
	EXPECT_EQ(status, 0);
	doc = stage_only_job(&j->stage);
	ASSERT_EQ(
		rp_job_open(j->stage.store, json_text(doc, "InstanceID"), &j->job, &err),
		RP_OK);
	json_decref(doc);
	jobs_request(j->job, RP_JOB_START);
	GIVES(OK, rp_job_wait(j->job, NULL, SOON_MS, &err));
}

/* ------------------------------------------------------------------------ no FIFOs */

/* Nobody asks it anything but through its record. */
static void export_without_fifos(const struct stage *s)
{
	struct rp_export_options options = stage_copying(RP_IO_AUTO);
	struct rp_error err;

	options.bandwidth = 1024;
	block_syscall(__NR_mknodat, EPERM);
	rp_export(s->store, s->point, s->exports, &options, NULL, &err);
	_exit(err.os_error == ECANCELED ? 0 : 1);
}

static struct rp_job *find_job(const struct stage *s)
{
	json_t *list;
	struct rp_job *job = NULL;
	char *text;

	for (uint64_t begin = now_ms(); !job && now_ms() - begin < SOON_MS;) {
		ASSERT_EQ(rp_job_list(s->store, &text, NULL), RP_OK);
		list = take_json(text);
		if (json_array_size(list))
			rp_job_open(s->store,
				    json_text(json_array_get(list, 0), "InstanceID"),
				    &job, NULL);
		json_decref(list);
		usleep(1000);
	}
	ASSERT_NE(job, NULL);
	return job;
}

TEST_F(faulty, wake_without_a_bell)
{
	struct jobs *j = &self->jobs;
	int status;
	pid_t pid = fork();

	if (pid == 0)
		export_without_fifos(&j->stage);
	j->job = find_job(&j->stage);
	jobs_reach(j, j->job, "copying");
	jobs_request(j->job, RP_JOB_SUSPEND);
	jobs_request(j->job, RP_JOB_START);
	jobs_request(j->job, RP_JOB_TERMINATE);
	ASSERT_EQ(waitpid(pid, &status, 0), pid);
	EXPECT_EQ(status, 0);
}

/* ------------------------------------------------------------------------- no room */

/* Their store is on a file system of its own, which can be filled to the last block. */
FIXTURE(crammed)
{
	struct loopfs fs;
	struct jobs jobs;
};

FIXTURE_SETUP(crammed)
{
	struct jobs *j = &self->jobs;

	loopfs_mount(&self->fs, "xfs", 0, NULL, NULL);
	stage_make(&j->stage, self->fs.mnt, 24 * MIB, test_seed());
	snprintf(j->stage.exports, sizeof(j->stage.exports), "%s/exports", test_dir());
	ASSERT_OK(mkdir(j->stage.exports, 0700));
}

FIXTURE_VARIANT(crammed)
{
	char none;
};
FIXTURE_VARIANT_ADD(crammed, jobs){0};

static void fill(const struct crammed_fixture *self)
{
	int fd = open(fmt("%s/filler", self->fs.mnt), O_WRONLY | O_CREAT | O_CLOEXEC,
		      0600);
	off_t end = 0;

	ASSERT_GE(fd, 0);
	for (off_t size = 64 * (off_t)MIB; size >= 4096; size /= 2)
		while (fallocate(fd, 0, end, size) == 0)
			end += size;
	EXPECT_EQ(errno, ENOSPC);
	close(fd);
}

static void make_room(const struct crammed_fixture *self)
{
	ASSERT_OK(unlink(fmt("%s/filler", self->fs.mnt)));
}

FIXTURE_TEARDOWN(crammed)
{
	unlink(fmt("%s/filler", self->fs.mnt));
	jobs_close(&self->jobs);
	loopfs_umount(&self->fs);
}

TEST_F(crammed, are_killed)
{
	struct jobs *j = &self->jobs;

	jobs_make_running(j);
	fill(self);
	jobs_request(j->job, RP_JOB_KILL);
	EXPECT_EQ(jobs_state(j->job), RP_JOB_KILLED);
}

TEST_F(crammed, are_cancelled_by_a_signal)
{
	struct jobs *j = &self->jobs;
	pid_t pid = jobs_make_copying(j);

	fill(self);
	ASSERT_OK(kill(pid, SIGTERM));
	jobs_expect(j->job, RP_JOB_TERMINATED);
}

static int64_t saved_state(const struct jobs *j)
{
	json_t *doc = load_json(
		fmt("%s/jobs/active/%s/job.json", j->stage.path, rp_job_id(j->job)));
	int64_t state = json_number(doc, "JobState");

	json_decref(doc);
	return state;
}

/* Its record tells of it as soon as there is room. */
TEST_F(crammed, are_suspended)
{
	struct jobs *j = &self->jobs;
	struct rp_error err;

	jobs_make_running(j);
	fill(self);
	jobs_request(j->job, RP_JOB_SUSPEND);
	EXPECT_EQ(saved_state(j), RP_JOB_RUNNING, "in a store without room");
	make_room(self);
	while (saved_state(j) != RP_JOB_SUSPENDED)
		usleep(10000);
	EXPECT_EQ(jobs_state(j->job), RP_JOB_SUSPENDED);
	jobs_request(j->job, RP_JOB_START);
	ASSERT_EQ(rp_job_set_bandwidth(j->job, 0, &err), RP_OK);
	GIVES(OK, rp_job_wait(j->job, NULL, SOON_MS, &err));
}

static bool has_moved(const struct jobs *j)
{
	rp_store_close(stage_open(&j->stage, 0)); /* looks after those that died */
	return exists(fmt("%s/jobs/ended/%s", j->stage.path, rp_job_id(j->job)));
}

/* Not one change of its state could be saved. */
TEST_F(crammed, complete)
{
	struct jobs *j = &self->jobs;
	struct rp_job *first;
	struct rp_error err;

	jobs_limit(&j->stage, 1);
	first = jobs_start(j, true);
	jobs_expect(first, RP_JOB_RUNNING);
	j->job = jobs_start(j, false);
	jobs_reach(j, j->job, "waiting");
	fill(self);
	jobs_request(first, RP_JOB_KILL);
	rp_job_close(first);
	GIVES(OK, rp_job_wait(j->job, NULL, SOON_MS, &err));
	EXPECT_EQ(jobs_state(j->job), RP_JOB_COMPLETED);
	EXPECT_TRUE(stage_good_export(fmt("%s/1", j->stage.exports), j->stage.point,
				      j->stage.twin));
	make_room(self);
	while (!has_moved(j)) /* its process lets go of it later */
		usleep(1000);
	EXPECT_EQ(jobs_state(j->job), RP_JOB_COMPLETED);
	EXPECT_EQ(jobs_shown(j, j->job, "Resumable"), 0);
}

TEST_MAIN_REQUIRES(program_missing)
