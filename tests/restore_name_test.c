/* SPDX-License-Identifier: MIT */
/*
 * restore_name_test.c - the name of a restored disk never stands for anything else than a
 * whole one: whatever was there before, fails on the way, dies, or wants it too
 */
#include <fcntl.h>
#include <linux/capability.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "blocked.h"
#include "data.h"
#include "harness.h"
#include "intercept.h"
#include "stage.h"

/* Two exports of web1: of its first point, and of a second one. */
FIXTURE(name)
{
	struct stage stage;
	char first[PATH_MAX], second[PATH_MAX];
	char twin[PATH_MAX]; /* what the second has; the stage's twin is the first */
	char folder[PATH_MAX], output[PATH_MAX + 8], partial[PATH_MAX + 16];
};

static const struct rp_read_options replace = {.size = sizeof(replace), .replace = true};

FIXTURE_SETUP(name)
{
	struct rp_export_options options = stage_copying(RP_IO_AUTO);
	const char *folder = fmt("%s/restored", test_dir());
	char point[POINT_SIZE];
	struct rp_error err;
	int fd;

	stage_make(&self->stage, test_dir(), 3 * MIB + 77, test_seed());
	fd = open(self->stage.disk, O_RDWR | O_CLOEXEC);
	ASSERT_GE(fd, 0);
	data_write(fd, 4711, MIB, MIB);
	close(fd);
	stage_take(&self->stage, point);
	ASSERT_EQ(stage_export(&self->stage, &options, &err), RP_OK, "%s", err.message);
	ASSERT_EQ(rp_export(self->stage.store, point, self->stage.exports, &options, NULL,
			    &err),
		  RP_OK, "%s", err.message);
	snprintf(self->first, sizeof(self->first), "%s",
		 stage_export_path(self->stage.exports, self->stage.point));
	snprintf(self->second, sizeof(self->second), "%s",
		 stage_export_path(self->stage.exports, point));
	snprintf(self->twin, sizeof(self->twin), "%s", self->stage.disk);
	ASSERT_OK(mkdir(folder, 0755));
	snprintf(self->folder, sizeof(self->folder), "%s", folder);
	snprintf(self->output, sizeof(self->output), "%s/vda", folder);
	snprintf(self->partial, sizeof(self->partial), "%s/.vda.partial", folder);
}

FIXTURE_TEARDOWN(name)
{
	stage_close(&self->stage);
}

TEST_F(name, is_not_taken_from_another_file)
{
	struct rp_error err;

	save_text(self->output, "precious");
	save_text(fmt("%s/copy", test_dir()), "precious");
	EXPECT_EQ(rp_restore(self->first, "vda", self->output, NULL, NULL, &err),
		  RP_INVALID_STATE, "%s", err.message);
	EXPECT_TRUE(data_same(self->output, fmt("%s/copy", test_dir())));
	EXPECT_STREQ(listing(self->folder), "vda");
	json_decref(stage_restore(self->first, "vda", self->output, &replace));
	EXPECT_TRUE(data_same(self->output, self->stage.twin));
	json_decref(stage_restore(self->second, "vda", self->output, &replace));
	EXPECT_TRUE(data_same(self->output, self->twin));
	EXPECT_STREQ(listing(self->folder), "vda");
	/* A link that leads nowhere is something, too. */
	ASSERT_OK(symlink("nowhere", fmt("%s/link", self->folder)));
	EXPECT_EQ(rp_restore(self->first, "vda", fmt("%s/link", self->folder), NULL, NULL,
			     &err),
		  RP_INVALID_STATE, "%s", err.message);
	EXPECT_STREQ(listing(self->folder), "link vda");
}

/* Not even one of them is replaced that it is the name of. */
/* Nor a new one there: what is in an export is believed, and what is in a store is swept.
 */
TEST_F(name, is_not_in_an_export_or_a_store)
{
	const char *point = stage_point_path(&self->stage, self->stage.point);
	const char *partial = fmt("%s/web1/.dead.partial", self->stage.exports);
	const char *const bad[] = {
		fmt("%s/vda.raw", self->first),
		fmt("%s/vda.raw", self->second),
		fmt("%s/export.json", self->second),
		fmt("%s/config/web1.xml", self->second),
		fmt("%s/new", self->second),
		fmt("%s/vda.raw", partial),
		fmt("%s/store.json", self->stage.path),
		fmt("%s/systems/web1/system.json", self->stage.path),
		fmt("%s/point.json", point),
		fmt("%s/vda.raw", point),
		fmt("%s/new", point),
		fmt("%s/pending/new", self->stage.path),
	};
	struct rp_error err;

	ASSERT_OK(mkdir(partial, 0755));
	save_text(fmt("%s/.journal", partial), "");
	save_text(fmt("%s/vda.raw", partial), "half of it");
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		GIVES(INVALID_STATE,
		      rp_restore(self->first, "vda", bad[i], &replace, NULL, &err));
		EXPECT_EQ(rp_restore(self->first, "vda", bad[i], NULL, NULL, &err),
			  RP_INVALID_STATE, "%s: %s", bad[i], err.message);
	}
	GIVES(OK, rp_verify(self->second, NULL, NULL, &err));
	EXPECT_FALSE(exists(fmt("%s/new", self->second)));
	stage_close(&self->stage);
	self->stage.store = stage_open(&self->stage, 0);
	EXPECT_TRUE(data_same(fmt("%s/vda.raw", point), self->stage.twin));
	/* Beside the exports of a machine it may be. */
	GIVES(OK, rp_restore(self->first, "vda", fmt("%s/web1/vda", self->stage.exports),
			     NULL, NULL, &err));
}

/* They do not make a store or an export of the folder they are in. */
TEST_F(name, is_beside_systems_of_any_name)
{
	static const char *const systems[] = {"export.json", "pending", "store.json",
					      "systems"};
	struct rp_error err;

	for (size_t i = 0; i < ARRAY_SIZE(systems); i++) {
		ASSERT_OK(mkdir(fmt("%s/%s", self->folder, systems[i]), 0700));
		GIVES(OK,
		      rp_restore(self->first, "vda", self->output, &replace, NULL, &err));
	}
	EXPECT_TRUE(data_same(self->output, self->stage.twin));
}

/* As a running QEMU locks it. */
TEST_F(name, is_not_taken_from_a_machine_that_runs)
{
	struct flock lock = {
		.l_type = F_RDLCK, .l_whence = SEEK_SET, .l_start = 201, .l_len = 1};
	struct rp_error err;
	int fd;

	save_text(self->output, "precious");
	fd = open(self->output, O_RDWR | O_CLOEXEC);
	ASSERT_OK(fcntl(fd, F_OFD_SETLK, &lock));
	GIVES(IN_USE, rp_restore(self->first, "vda", self->output, &replace, NULL, &err));
	EXPECT_STREQ(listing(self->folder), "vda");
	close(fd);
	GIVES(OK, rp_restore(self->first, "vda", self->output, &replace, NULL, &err));
}

/* Whatever it is open for. */
TEST_F(name, is_not_taken_from_who_has_locked_it)
{
	static const int kinds[] = {LOCK_EX, LOCK_SH};
	struct rp_error err;

	save_text(self->output, "precious");
	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
		int fd = open(self->output, O_RDONLY | O_CLOEXEC);

		ASSERT_OK(flock(fd, kinds[i]));
		GIVES(IN_USE,
		      rp_restore(self->first, "vda", self->output, &replace, NULL, &err));
		EXPECT_STREQ(listing(self->folder), "vda");
		close(fd);
	}
	GIVES(OK, rp_restore(self->first, "vda", self->output, &replace, NULL, &err));
}

static int begin_to_run(void *context, const struct rp_progress *progress)
{
	struct flock lock = {
		.l_type = F_RDLCK, .l_whence = SEEK_SET, .l_start = 201, .l_len = 1};

	(void)progress;
	ASSERT_OK(fcntl(*(int *)context, F_OFD_SETLK, &lock));
	return 0;
}

TEST_F(name, is_not_taken_from_a_machine_that_has_begun_to_run)
{
	int fd;
	const struct rp_watch watch = {
		.size = sizeof(watch), .progress = begin_to_run, .context = &fd};
	struct rp_read_options options = replace;
	struct rp_error err;

	save_text(self->output, "precious");
	save_text(fmt("%s/copy", test_dir()), "precious");
	fd = open(self->output, O_RDWR | O_CLOEXEC);
	options.watch = &watch;
	GIVES(IN_USE, rp_restore(self->first, "vda", self->output, &options, NULL, &err));
	EXPECT_STREQ(err.disk, "vda");
	EXPECT_STREQ(listing(self->folder), "vda");
	EXPECT_TRUE(data_same(self->output, fmt("%s/copy", test_dir())));
	close(fd);
}

/* What cannot be looked at is not known to be free. */

static const char *short_of_files; /* to open this one with */
static bool far;		   /* flock() is as NFS has it */

/* The library's calls come by here. */
int open(const char *path, int flags, ...)
{
	mode_t mode = OPEN_MODE(flags);

	if (short_of_files && !strcmp(path, short_of_files)) {
		errno = EMFILE;
		return -1;
	}
	return (int)syscall(SYS_openat, AT_FDCWD, path, flags, mode);
}

int flock(int fd, int operation)
{
	if (far && (operation & LOCK_EX) &&
	    (fcntl(fd, F_GETFL) & O_ACCMODE) == O_RDONLY) {
		errno = EBADF;
		return -1;
	}
	return (int)syscall(SYS_flock, fd, operation);
}

static int become_short(void *context, const struct rp_progress *progress)
{
	(void)progress;
	short_of_files = context;
	return 0;
}

TEST_F(name, is_not_taken_from_what_there_is_no_descriptor_for)
{
	const struct rp_watch watch = {
		.size = sizeof(watch), .progress = become_short, .context = self->output};
	struct rp_read_options options = replace;
	struct rp_error err;

	save_text(self->output, "precious");
	short_of_files = self->output;
	for (unsigned i = 0; i < 2; i++) {
		GIVES(FAILED,
		      rp_restore(self->first, "vda", self->output, &options, NULL, &err));
		EXPECT_EQ(err.os_error, EMFILE, "%s", err.message);
		EXPECT_STREQ(listing(self->folder), "vda");
		short_of_files = NULL; /* and then, when it is published */
		options.watch = &watch;
	}
	GIVES(OK, rp_restore(self->first, "vda", self->output, &replace, NULL, &err));
}

/* As root may otherwise. */
static void give_up_reading_all(void)
{
	let_have(CAP_DAC_OVERRIDE, false);
	let_have(CAP_DAC_READ_SEARCH, false);
}

TEST_F(name, is_not_taken_from_what_may_not_be_read)
{
	struct rp_error err;

	save_text(self->output, "precious");
	ASSERT_OK(chmod(self->output, 0));
	give_up_reading_all();
	GIVES(ACCESS_DENIED,
	      rp_restore(self->first, "vda", self->output, &replace, NULL, &err));
	EXPECT_STREQ(listing(self->folder), "vda");
	ASSERT_OK(chmod(self->output, 0400)); /* that is enough here */
	GIVES(OK, rp_restore(self->first, "vda", self->output, &replace, NULL, &err));
}

/* The bytes of a restore that may not replace a file are not moved for nothing. */
static int note(void *context, const struct rp_progress *progress)
{
	*(bool *)context |= !strcmp(progress->phase, "copying");
	return 0;
}

static void expect_denied(const struct name_fixture *self, const char *words)
{
	bool moved = false;
	const struct rp_watch watch = {
		.size = sizeof(watch), .progress = note, .context = &moved};
	struct rp_read_options options = replace;
	struct rp_error err;

	save_text(fmt("%s/copy", test_dir()), "precious");
	options.watch = &watch;
	options.clone = RP_CLONE_NEVER;
	GIVES(ACCESS_DENIED,
	      rp_restore(self->first, "vda", self->output, &options, NULL, &err));
	EXPECT_EQ(err.os_error, EPERM);
	EXPECT_NE(strstr(err.message, words), NULL, "%s", err.message);
	EXPECT_FALSE(moved);
	EXPECT_STREQ(listing(self->folder), "vda");
	EXPECT_TRUE(data_same(self->output, fmt("%s/copy", test_dir())));
}

TEST_F(name, is_not_taken_from_whom_it_cannot_be_given_to)
{
	struct rp_error err;

	save_text(self->output, "precious");
	ASSERT_OK(chown(self->output, 107, 64055));
	let_have(CAP_CHOWN, false);
	expect_denied(self, "set owner of");
	let_have(CAP_CHOWN, true);
	GIVES(OK, rp_restore(self->first, "vda", self->output, &replace, NULL, &err));
}

TEST_F(name, is_not_taken_from_what_stays)
{
	static const char flags[] = {'i', 'a'}; /* immutable, append-only */

	save_text(self->output, "precious");
	for (size_t i = 0; i < ARRAY_SIZE(flags); i++) {
		if (system(fmt("chattr +%c '%s'", flags[i], self->output)))
			SKIP("no such flags here");
		expect_denied(self, "immutable or append-only");
		ASSERT_EQ(system(fmt("chattr -%c '%s'", flags[i], self->output)), 0);
	}
}

TEST_F(name, is_not_taken_from_who_has_locked_it_far_away)
{
	struct rp_error err;
	int fd;

	save_text(self->output, "precious");
	fd = open(self->output, O_RDWR | O_CLOEXEC);
	ASSERT_OK(flock(fd, LOCK_EX));
	far = true;
	GIVES(IN_USE, rp_restore(self->first, "vda", self->output, &replace, NULL, &err));
	close(fd);
	ASSERT_OK(chmod(self->output, 0400));
	give_up_reading_all();
	GIVES(FAILED, rp_restore(self->first, "vda", self->output, &replace, NULL, &err));
	EXPECT_EQ(err.os_error, EBADF, "%s", err.message);
	EXPECT_STREQ(listing(self->folder), "vda");
	ASSERT_OK(chmod(self->output, 0600));
	GIVES(OK, rp_restore(self->first, "vda", self->output, &replace, NULL, &err));
}

TEST_F(name, is_a_good_one)
{
	const char *const bad[] = {
		NULL, "",	    "vda",	 "./vda",
		"/",  self->folder, "/dev/null", fmt("%s/", self->folder)};
	struct rp_error err;

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		EXPECT_EQ(rp_restore(self->first, "vda", bad[i], &replace, NULL, &err),
			  RP_INVALID_PARAMETER, "%s: %s", bad[i], err.message);
		EXPECT_STREQ(listing(self->folder), "");
	}
	EXPECT_EQ(rp_restore(self->first, "vda", fmt("%s/no/vda", self->folder), NULL,
			     NULL, &err),
		  RP_NOT_AVAILABLE, "%s", err.message);
	EXPECT_EQ(rp_restore(self->first, "vda", fmt("%s/vda", self->output), NULL, NULL,
			     &err),
		  RP_NOT_AVAILABLE, "%s", err.message);
	EXPECT_EQ(rp_restore(self->first, "vdb", self->output, NULL, NULL, &err),
		  RP_INVALID_PARAMETER, "%s", err.message);
	EXPECT_EQ(rp_restore(self->first, NULL, self->output, NULL, NULL, &err),
		  RP_INVALID_PARAMETER, "%s", err.message);
	EXPECT_EQ(rp_restore(self->folder, "vda", self->output, NULL, NULL, &err),
		  RP_NOT_AVAILABLE, "%s", err.message);
	EXPECT_STREQ(listing(self->folder), "");
}

TEST_F(name, stays_with_the_old_file_if_the_new_one_is_bad)
{
	struct rp_error err;

	json_decref(stage_restore(self->second, "vda", self->output, NULL));
	data_flip(fmt("%s/vda.raw", self->first), MIB + 5);
	EXPECT_EQ(rp_restore(self->first, "vda", self->output, &replace, NULL, &err),
		  RP_FAILED, "%s", err.message);
	EXPECT_EQ(err.offset, MIB);
	EXPECT_STREQ(listing(self->folder), "vda");
	EXPECT_TRUE(data_same(self->output, self->twin));
}

TEST_F(name, is_not_given_after_a_cancel)
{
	static const char *const phases[] = {"planning", "cloning", "copying"};

	for (size_t i = 0; i < ARRAY_SIZE(phases); i++) {
		const struct rp_watch watch = cancel_in(phases[i]);
		const struct rp_read_options options = {.size = sizeof(options),
							.watch = &watch};
		struct rp_error err;

		EXPECT_EQ(rp_restore(self->first, "vda", self->output, &options, NULL,
				     &err),
			  RP_FAILED, "%s", phases[i]);
		EXPECT_EQ(err.os_error, ECANCELED, "%s", err.message);
		EXPECT_STREQ(listing(self->folder), "");
	}
}

/* ----------------------------------------------------------- several at one name */

/* A restore of the first export in a process of its own, which stops when it copies. */
struct other {
	pid_t pid;
	int ready, go; /* pipes */
};

static int wait_for_word(void *context, const struct rp_progress *progress)
{
	int *fds = context;
	char word;

	if (strcmp(progress->phase, "copying") || fds[0] < 0)
		return 0;
	if (write(fds[0], "x", 1) != 1 || read(fds[1], &word, 1) != 1)
		_exit(1);
	close(fds[0]);
	fds[0] = -1; /* it may be told again */
	return 0;
}

static struct other begin_other(const struct name_fixture *self)
{
	struct other other;
	int ready[2], go[2];
	char word;

	ASSERT_OK(pipe2(ready, O_CLOEXEC));
	ASSERT_OK(pipe2(go, O_CLOEXEC));
	other.pid = fork();
	ASSERT_GE(other.pid, 0);
	if (other.pid == 0) {
		int fds[2] = {ready[1], go[0]};
		const struct rp_watch watch = {
			.size = sizeof(watch), .context = fds, .progress = wait_for_word};
		const struct rp_read_options options = {.size = sizeof(options),
							.clone = RP_CLONE_NEVER,
							.watch = &watch};

		_exit(rp_restore(self->first, "vda", self->output, &options, NULL,
				 NULL) != RP_OK);
	}
	close(ready[1]);
	close(go[0]);
	ASSERT_EQ(read(ready[0], &word, 1), 1);
	other.ready = ready[0];
	other.go = go[1];
	return other;
}

static int end_other(struct other *other)
{
	int status;

	close(other->ready);
	close(other->go);
	EXPECT_EQ(waitpid(other->pid, &status, 0), other->pid);
	return status;
}

TEST_F(name, is_for_one_at_a_time)
{
	struct other other = begin_other(self);
	struct rp_error err;

	EXPECT_STREQ(listing(self->folder), ".vda.partial");
	EXPECT_EQ(rp_restore(self->second, "vda", self->output, NULL, NULL, &err),
		  RP_IN_USE, "%s", err.message);
	EXPECT_TRUE(strstr(err.message, "another restore to it runs"), "%s", err.message);
	EXPECT_EQ(rp_restore(self->second, "vda", self->output, &replace, NULL, &err),
		  RP_IN_USE, "%s", err.message);
	EXPECT_STREQ(listing(self->folder), ".vda.partial");
	ASSERT_EQ(write(other.go, "x", 1), 1);
	EXPECT_EQ(end_other(&other), 0);
	EXPECT_STREQ(listing(self->folder), "vda");
	EXPECT_TRUE(data_same(self->output, self->stage.twin));
}

static int let_go(void *context, const struct rp_progress *progress)
{
	struct other *other = context;

	if (strcmp(progress->phase, "copying"))
		return 0;
	EXPECT_EQ(write(other->go, "x", 1), 1);
	EXPECT_NE(end_other(other), 0, "it has no file that could have the name");
	return 1;
}

/* Somebody has removed what the first one writes, and begun another at the same name. */
TEST_F(name, is_not_that_of_anothers_file)
{
	struct other other = begin_other(self);
	const struct rp_watch watch = {
		.size = sizeof(watch), .context = &other, .progress = let_go};
	const struct rp_read_options options = {
		.size = sizeof(options), .clone = RP_CLONE_NEVER, .watch = &watch};
	struct rp_error err;

	ASSERT_OK(unlink(fmt("%s/.vda.partial", self->folder)));
	EXPECT_EQ(rp_restore(self->second, "vda", self->output, &options, NULL, &err),
		  RP_FAILED, "%s", err.message);
	EXPECT_EQ(err.os_error, ECANCELED);
	EXPECT_STREQ(listing(self->folder), "");
}

/* As on a server that has no locks left. */
TEST_F(name, leaves_nothing_where_it_cannot_be_locked)
{
	struct rp_error err;

	block_syscall(SYS_flock, ENOLCK);
	EXPECT_EQ(rp_restore(self->first, "vda", self->output, NULL, NULL, &err),
		  RP_FAILED, "%s", err.message);
	EXPECT_EQ(err.os_error, ENOLCK);
	EXPECT_STREQ(listing(self->folder), "");
}

TEST_F(name, of_one_that_died_is_taken_over)
{
	struct other other = begin_other(self);

	ASSERT_OK(kill(other.pid, SIGKILL));
	EXPECT_EQ(end_other(&other), SIGKILL);
	EXPECT_STREQ(listing(self->folder), ".vda.partial");
	json_decref(stage_restore(self->second, "vda", self->output, NULL));
	EXPECT_STREQ(listing(self->folder), "vda");
	EXPECT_TRUE(data_same(self->output, self->twin));

	ASSERT_OK(unlink(self->output));
	save_text(self->partial,
		  "of somebody who is long gone, and did not even lock it");
	json_decref(stage_restore(self->first, "vda", self->output, NULL));
	EXPECT_STREQ(listing(self->folder), "vda");
	EXPECT_TRUE(data_same(self->output, self->stage.twin));
}

/* Until process @pid has opened the file @path, but not for ever. */
static void await_open(pid_t pid, const char *path)
{
	char there[PATH_MAX];

	for (unsigned tries = 0; tries < 2000; tries++) {
		for (int fd = 3; fd < 64; fd++) {
			ssize_t len = readlink(fmt("/proc/%d/fd/%d", pid, fd), there,
					       sizeof(there) - 1);

			if (len > 0 && !strncmp(there, path, (size_t)len))
				return;
		}
		usleep(1000);
	}
}

/* The kernel holds what a killed one had in its ring for a moment more. */
TEST_F(name, of_one_that_died_just_now_is_taken_over)
{
	int fd = open(self->partial, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	struct rp_error err;
	int go[2];
	char word;
	pid_t pid;

	ASSERT_GE(fd, 0);
	ASSERT_OK(flock(fd, LOCK_EX));
	ASSERT_OK(pipe2(go, O_CLOEXEC));
	pid = fork();
	ASSERT_GE(pid, 0);
	if (pid == 0) { /* has the lock until the restore has come to it */
		ASSERT_EQ(read(go[0], &word, 1), 1);
		await_open(getppid(), self->partial);
		_exit(0);
	}
	close(fd);
	ASSERT_EQ(write(go[1], "x", 1), 1);
	GIVES(OK, rp_restore(self->first, "vda", self->output, NULL, NULL, &err));
	EXPECT_TRUE(data_same(self->output, self->stage.twin));
	ASSERT_EQ(waitpid(pid, &(int){0}, 0), pid);
	close(go[0]);
	close(go[1]);
}

TEST_F(name, of_a_folder_is_not_taken_over)
{
	struct rp_error err;

	ASSERT_OK(mkdir(self->partial, 0755));
	save_text(fmt("%s/file", self->partial), "precious");
	EXPECT_EQ(rp_restore(self->first, "vda", self->output, NULL, NULL, &err),
		  RP_INVALID_STATE, "%s", err.message);
	EXPECT_STREQ(listing(self->partial), "file");
	EXPECT_STREQ(listing(self->folder), ".vda.partial");
}

/* Restores one of the exports again and again. */
static void keep_restoring(const struct name_fixture *self, unsigned index)
{
	uint64_t end = now_ms() + 2500;
	uint32_t rc;

	while (now_ms() < end) {
		rc = rp_restore(index % 2 ? self->first : self->second, "vda",
				self->output, &replace, NULL, NULL);
		if (rc != RP_OK && rc != RP_IN_USE)
			_exit(1);
	}
	_exit(0);
}

/* Whether the file that has the name now is one of the two. */
static bool is_whole(const struct name_fixture *self, const char *a, const char *b,
		     size_t size)
{
	char *have = malloc(size + 1);
	int fd = open(self->output, O_RDONLY | O_CLOEXEC);
	ssize_t n;
	bool whole;

	ASSERT_NE(have, NULL);
	ASSERT_GE(fd, 0, "the name is gone: %s", strerror(errno));
	n = read(fd, have, size + 1);
	whole = n == (ssize_t)size && (!memcmp(have, a, size) || !memcmp(have, b, size));
	close(fd);
	free(have);
	return whole;
}

static char *load(const char *path, size_t size)
{
	char *bytes = malloc(size);
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	ASSERT_NE(bytes, NULL);
	ASSERT_GE(fd, 0);
	ASSERT_EQ(read(fd, bytes, size), size);
	close(fd);
	return bytes;
}

/* That is said before anything is read or written. */
TEST_F(name, of_no_link_to_what_has_no_text)
{
	const char *link = fmt("%s/link", test_dir()), *file = fmt("%s/\xe9", test_dir());
	const struct rp_read_options options = {.size = sizeof(options), .replace = true};
	struct rp_error err;
	char *report;

	save_text(file, "old");
	ASSERT_OK(symlink(file, link));
	GIVES(INVALID_PARAMETER,
	      rp_restore(self->first, "vda", link, &options, &report, &err));
	EXPECT_TRUE(exists(file));
	ASSERT_OK(unlink(file));
	ASSERT_OK(unlink(link));
}

/* However they get in each other's way, the name always stands for a whole disk. */
TEST_F(name, is_fought_for)
{
	const size_t size = 3 * MIB + 77;
	char *a = load(self->stage.twin, size), *b = load(self->twin, size);
	pid_t pids[4];
	unsigned looks = 0;
	uint64_t end;
	int status;

	json_decref(stage_restore(self->first, "vda", self->output, NULL));
	for (unsigned i = 0; i < ARRAY_SIZE(pids); i++) {
		pids[i] = fork();
		ASSERT_GE(pids[i], 0);
		if (pids[i] == 0)
			keep_restoring(self, i);
	}
	for (end = now_ms() + 2500; now_ms() < end; looks++)
		ASSERT_TRUE(is_whole(self, a, b, size), "look %u", looks);
	for (unsigned i = 0; i < ARRAY_SIZE(pids); i++) {
		EXPECT_EQ(waitpid(pids[i], &status, 0), pids[i]);
		EXPECT_EQ(status, 0);
	}
	EXPECT_TRUE(is_whole(self, a, b, size));
	EXPECT_STREQ(listing(self->folder), "vda");
	free(a);
	free(b);
}

TEST_MAIN
