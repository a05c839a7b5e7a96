/* SPDX-License-Identifier: MIT */
/*
 * harness_test.c - the harness itself: what it says and what it leaves behind when
 * tests fail in every way a test can
 *
 * The tests under test are in this program too, as fixtures "subject" and "broken".
 * They run only when named with -t, which the fixture "harness" does.
 */
#include <fcntl.h>
#include <linux/fs.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "harness.h"

/* ------------------------------------------------------------------ the subjects */

/* Subjects tell what they did in the file $MARK, a line each. */
static void mark(const char *text)
{
	int fd = open(getenv("MARK"), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);

	dprintf(fd, "%s\n", text);
	close(fd);
}

FIXTURE(subject)
{
	int zero;
};

FIXTURE_SETUP(subject)
{
	ASSERT_EQ(self->zero, 0);
	mark("setup");
}

FIXTURE_TEARDOWN(subject)
{
	mark("teardown");
}

TEST_F(subject, passes)
{
	uint64_t big = UINT64_MAX;
	int evaluated = 0;

	EXPECT_EQ(1, 1u);
	EXPECT_NE(-1, big);
	EXPECT_LT(-1, big);
	EXPECT_GE(big, INT64_MAX);
	EXPECT_NE(self, NULL);
	EXPECT_EQ(evaluated++, 0);
	EXPECT_EQ(evaluated, 1);
	EXPECT_STREQ("a", "a");
	ASSERT_OK(0);
	printf("not TAP\n");
}

TEST_F(subject, expects)
{
	EXPECT_EQ(self->zero, 1, "round %d", 7);
	mark("went on");
}

TEST_F(subject, asserts)
{
	ASSERT_OK(-ENOSPC);
	mark("went on");
}

TEST_F(subject, skips)
{
	SKIP("no %s here", "tape");
}

TEST_F(subject, xfails)
{
	XFAIL("known");
	ASSERT_STREQ("a", "b");
}

TEST_F(subject, xpasses)
{
	XFAIL("known");
}

TEST_F(subject, crashes)
{
	signal(SIGABRT, SIG_DFL);
	raise(SIGABRT);
}

TEST_F(subject, leaves)
{
	_exit(0);
}

static void *assert_in_thread(void *unused)
{
	(void)unused;
	ASSERT_EQ(1, 2);
	mark("went on");
	return NULL;
}

TEST_F(subject, thread_asserts)
{
	pthread_t thread;

	ASSERT_EQ(pthread_create(&thread, NULL, assert_in_thread, NULL), 0);
	pthread_join(thread, NULL);
	mark("joined");
}

TEST_F(subject, child_asserts)
{
	if (fork() == 0) {
		ASSERT_EQ(1, 2);
		mark("went on");
		_exit(0);
	}
	wait(NULL);
	mark("waited");
}

/* Litters in every way, then hangs. */
TEST_F_TIMEOUT(subject, hangs, 5)
{
	int flags = FS_IMMUTABLE_FL, fd;
	char path[4200];

	snprintf(path, sizeof(path), "%s/folder", test_dir());
	ASSERT_EQ(mkdir(path, 0700), 0);
	mark(path);
	strcat(path, "/immutable");
	fd = open(path, O_CREAT | O_RDWR | O_CLOEXEC, 0600);
	ASSERT_GE(fd, 0);
	ioctl(fd, FS_IOC_SETFLAGS, &flags);
	if (fork() == 0) {
		setsid();
		signal(SIGTERM, SIG_IGN);
		if (fork() == 0) {
			snprintf(path, sizeof(path), "%d", (int)getpid());
			mark(path);
			for (;;)
				pause();
		}
		_exit(0);
	}
	for (;;)
		pause();
}

FIXTURE(broken)
{
	int unused;
};

FIXTURE_VARIANT(broken)
{
	bool skip;
};

FIXTURE_VARIANT_ADD(broken, skipping){.skip = true};
FIXTURE_VARIANT_ADD(broken, failing){.skip = false};

FIXTURE_SETUP(broken)
{
	if (variant->skip)
		SKIP("cannot");
	FAIL("no room");
}

FIXTURE_TEARDOWN(broken)
{
	mark(variant->skip ? "skipping torn down" : "failing torn down");
}

TEST_F(broken, never)
{
	mark("went on");
}

/* -------------------------------------------------------------------- the checks */

FIXTURE(harness)
{
	char mark[4200];
	char out[4096], log[4096], marks[4096];
	pid_t pid;
	int status, out_fd, log_fd;
};

static void read_all(int fd, char *buf, size_t size)
{
	size_t len = 0;
	ssize_t got;

	while ((got = read(fd, buf + len, size - 1 - len)) > 0)
		len += (size_t)got;
	buf[len] = '\0';
	close(fd);
}

static void start_args(struct harness_fixture *self, char *const *args)
{
	int out[2], log[2];

	unlink(self->mark);
	ASSERT_EQ(pipe2(out, O_CLOEXEC), 0);
	ASSERT_EQ(pipe2(log, O_CLOEXEC), 0);
	self->pid = fork();
	if (self->pid == 0) {
		setenv("MARK", self->mark, 1);
		setenv("TMPDIR", test_dir(), 1);
		dup2(out[1], STDOUT_FILENO);
		dup2(log[1], STDERR_FILENO);
		execv("/proc/self/exe", args);
		_exit(127);
	}
	close(out[1]);
	close(log[1]);
	self->out_fd = out[0];
	self->log_fd = log[0];
}

static void start(struct harness_fixture *self, char *pattern)
{
	char *const args[] = {"harness_test", "-t", pattern, NULL};

	start_args(self, args);
}

/* Returns when the runner has ended and nobody holds its output any more. */
static void finish(struct harness_fixture *self)
{
	int status, fd;

	read_all(self->out_fd, self->out, sizeof(self->out));
	read_all(self->log_fd, self->log, sizeof(self->log));
	waitpid(self->pid, &status, 0);
	ASSERT_TRUE(WIFEXITED(status));
	self->status = WEXITSTATUS(status);
	self->marks[0] = '\0';
	fd = open(self->mark, O_RDONLY | O_CLOEXEC);
	if (fd >= 0)
		read_all(fd, self->marks, sizeof(self->marks));
}

/* Runs one subject and compares its line, its log (a part of it) and its marks. */
static void expect_run(struct harness_fixture *self, char *name, int status,
		       const char *line, const char *log, const char *marks)
{
	char *begin;

	start(self, name);
	finish(self);
	EXPECT_EQ(self->status, status, "%s", name);
	begin = strstr(self->out, "1..1\n");
	ASSERT_NE(begin, NULL, "%s printed %s", name, self->out);
	begin += strlen("1..1\n");
	*strchrnul(begin, '\n') = '\0';
	EXPECT_STREQ(begin, line, "%s", name);
	EXPECT_NE(strstr(self->log, log), NULL, "%s logged %s", name, self->log);
	EXPECT_STREQ(self->marks, marks, "%s", name);
}

FIXTURE_SETUP(harness)
{
	snprintf(self->mark, sizeof(self->mark), "%s/mark", test_dir());
}

FIXTURE_TEARDOWN(harness)
{
}

TEST_F(harness, reports_results)
{
	start(self, "subject.[psx]*s");
	finish(self);
	EXPECT_STREQ(self->out, "TAP version 13\n"
				"1..4\n"
				"ok 1 subject.passes\n"
				"ok 2 subject.skips # SKIP no tape here\n"
				"ok 3 subject.xfails # XFAIL known\n"
				"not ok 4 subject.xpasses # XPASS known\n"
				"# totals: pass 1 fail 0 skip 1 xfail 1 xpass 1\n");
	EXPECT_EQ(self->status, 1);
	EXPECT_EQ(strstr(self->log, "not TAP\n"), NULL);
}

TEST_F(harness, shows_all_logs_when_asked)
{
	char *const args[] = {"harness_test", "-vt", "subject.passes", NULL};

	start_args(self, args);
	finish(self);
	EXPECT_EQ(self->status, 0);
	EXPECT_NE(strstr(self->log, "not TAP\n"), NULL);
}

TEST_F(harness, passes_when_all_pass)
{
	expect_run(self, "subject.passes", 0, "ok 1 subject.passes", "",
		   "setup\nteardown\n");
}

TEST_F(harness, expect_goes_on)
{
	expect_run(self, "subject.expects", 1, "not ok 1 subject.expects",
		   "self->zero == 1 fails: 0 and 1: round 7\n",
		   "setup\nwent on\nteardown\n");
}

TEST_F(harness, assert_ends_with_teardown)
{
	expect_run(self, "subject.asserts", 1, "not ok 1 subject.asserts",
		   "returned -28 (No space left on device)\n", "setup\nteardown\n");
}

TEST_F(harness, crash_fails)
{
	expect_run(self, "subject.crashes", 1,
		   "not ok 1 subject.crashes # killed by signal 6, Aborted", "",
		   "setup\n");
}

TEST_F(harness, early_exit_fails)
{
	expect_run(self, "subject.leaves", 1,
		   "not ok 1 subject.leaves # left before its end", "", "setup\n");
}

TEST_F(harness, asserts_in_threads_and_children)
{
	expect_run(self, "subject.thread_asserts", 1, "not ok 1 subject.thread_asserts",
		   "1 == 2 fails", "setup\njoined\nteardown\n");
	expect_run(self, "subject.child_asserts", 1, "not ok 1 subject.child_asserts",
		   "1 == 2 fails", "setup\nwaited\nteardown\n");
}

TEST_F(harness, tears_down_after_failed_setup)
{
	expect_run(self, "broken.failing.*", 1, "not ok 1 broken.failing.never",
		   "no room", "failing torn down\n");
	expect_run(self, "broken.skipping.*", 0,
		   "ok 1 broken.skipping.never # SKIP cannot", "",
		   "skipping torn down\n");
}

/* Of a hung test nothing stays: no folder, and no process even if it daemonized. */
static void expect_nothing_left(struct harness_fixture *self)
{
	char folder[4200];
	int pid = 0;

	ASSERT_EQ(sscanf(self->marks, "setup\n%4199[^\n]\n%d", folder, &pid), 2);
	EXPECT_EQ(access(folder, F_OK), -1, "%s", folder);
	EXPECT_EQ(kill(pid, 0), -1, "process %d", pid);
	*strrchr(folder, '/') = '\0';
	*strrchr(folder, '/') = '\0';
	EXPECT_EQ(access(folder, F_OK), -1, "%s", folder);
}

TEST_F(harness, timeout_leaves_nothing)
{
	start(self, "subject.hangs");
	finish(self);
	EXPECT_EQ(self->status, 1);
	EXPECT_NE(strstr(self->out, "\nnot ok 1 subject.hangs # TIMEOUT "), NULL);
	expect_nothing_left(self);
}

static int count_marks(const char *path)
{
	FILE *file = fopen(path, "re");
	int lines = 0, c;

	while (file && (c = getc(file)) != EOF)
		lines += c == '\n';
	if (file)
		fclose(file);
	return lines;
}

TEST_F(harness, signal_leaves_nothing)
{
	start(self, "subject.hangs");
	while (count_marks(self->mark) < 3)
		usleep(1000);
	kill(self->pid, SIGTERM);
	finish(self);
	EXPECT_EQ(self->status, 1);
	EXPECT_NE(strstr(self->out, "Bail out! Terminated\n"), NULL);
	expect_nothing_left(self);
}

TEST_F(harness, cleans_up_without_a_reader)
{
	start(self, "subject.hangs");
	close(self->out_fd);
	self->out_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	finish(self);
	EXPECT_EQ(self->status, 1);
	expect_nothing_left(self);
}

TEST_F(harness, fails_when_nothing_matches)
{
	start(self, "no such test");
	finish(self);
	EXPECT_EQ(self->status, 1);
}

static const char *requires_tape(void)
{
	return getenv("NO_TAPE") ? "no tape" : NULL;
}

TEST_F(harness, skips_whole_file)
{
	setenv("NO_TAPE", "1", 1);
	start(self, "*");
	finish(self);
	EXPECT_EQ(self->status, 0);
	EXPECT_STREQ(self->out, "TAP version 13\n1..0 # SKIP no tape\n");
}

/* Without arguments only the checks run. */
int main(int argc, char **argv)
{
	char *checks[] = {argv[0], "-t", "harness.*", NULL};

	return argc > 1 ? test_main(argc, argv, requires_tape)
			: test_main(3, checks, NULL);
}
