/* SPDX-License-Identifier: MIT */
/*
 * job_fault_test.c - jobs that lack something the machine should have: they are worked
 * at, commanded and told of all the same
 */
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <sys/inotify.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "data.h"
#include "harness.h"
#include "jobs.h"

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
		SKIP("no user namespaces: %s", strerror(errno));
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
	EXPECT_EQ(status, 0);
}

/* -------------------------------------------------------------------- no descriptors */

static pid_t make_copying(struct jobs *j)
{
	j->job = jobs_start(j, true);
	jobs_expect(j->job, RP_JOB_RUNNING);
	jobs_reach(j, j->job, "copying");
	return (pid_t)jobs_shown(j, j->job, "ProcessId");
}

/* It keeps what it has; gives the limit there was. */
static rlim_t limit_files(pid_t pid, rlim_t limit)
{
	struct rlimit old, new;

	ASSERT_OK(prlimit(pid, RLIMIT_NOFILE, NULL, &old));
	new = (struct rlimit){.rlim_cur = limit, .rlim_max = old.rlim_max};
	ASSERT_OK(prlimit(pid, RLIMIT_NOFILE, &new, NULL));
	return old.rlim_cur;
}

/* Its process cannot even look at its record meanwhile. */
TEST_F(faulty, outlive_a_want_of_descriptors)
{
	struct jobs *j = &self->jobs;
	struct rp_error err;
	pid_t pid = make_copying(j);
	rlim_t limit = limit_files(pid, 0);

	GIVES(TIMEOUT, rp_job_wait(j->job, NULL, 1500, &err));
	limit_files(pid, limit);
	ASSERT_EQ(rp_job_set_bandwidth(j->job, 0, &err), RP_OK);
	GIVES(OK, rp_job_wait(j->job, NULL, SOON_MS, &err));
}

TEST_MAIN_REQUIRES(jobs_missing)
