/* SPDX-License-Identifier: MIT */
/*
 * kill_test.c - SIGKILL while the real command works: at random instants of its run, and
 * before each of its changes to the file system. Afterwards the store opens, a point or
 * an export is whole or is not there, and the next command leaves nothing of what was
 * left behind but what the same export goes on with
 */
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/ptrace.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "data.h"
#include "engine/leaves.h"
#include "engine_fixture.h"
#include "harness.h"
#include "loopfs.h"
#include "stage.h"

#define ROUNDS 29 /* of each of the eleven variants: 319 in all */

static const char *missing(void)
{
	return program_missing() ?: loopfs_skip_reason("xfs");
}

FIXTURE(killed)
{
	struct loopfs fs, other;
	struct stage stage;
	uint64_t random;
	enum rp_format format;
	unsigned published, kept; /* of what was killed: done nevertheless */
	const char *argv[16];
};

FIXTURE_VARIANT(killed)
{
	const char *type; /* of the store's file system */
	bool elsewhere;	  /* exports go to another one */
	const char *command;
	const char *options[5];
	enum rp_format format;
};

FIXTURE_VARIANT_ADD(killed, create_clone){
	.type = "xfs",
	.command = "create",
};
FIXTURE_VARIANT_ADD(killed, create_copy){
	.type = "ext4",
	.command = "create",
	.options = {"--allow-copy"},
};
FIXTURE_VARIANT_ADD(killed, export_clone){
	.type = "xfs",
	.command = "export",
	.options = {"--clone", "always"},
};
FIXTURE_VARIANT_ADD(killed, export_uring){
	.type = "xfs",
	.elsewhere = true,
	.command = "export",
	.options = {"--io", "uring"},
};
FIXTURE_VARIANT_ADD(killed, export_aio){
	.type = "xfs",
	.elsewhere = true,
	.command = "export",
	.options = {"--io", "aio"},
};
FIXTURE_VARIANT_ADD(killed, export_sync){
	.type = "xfs",
	.elsewhere = true,
	.command = "export",
	.options = {"--io", "sync"},
};
FIXTURE_VARIANT_ADD(killed, export_qcow2_clone){
	.type = "xfs",
	.command = "export",
	.options = {"--format", "qcow2"},
	.format = RP_FORMAT_QCOW2,
};
FIXTURE_VARIANT_ADD(killed, export_qcow2){
	.type = "xfs",
	.elsewhere = true,
	.command = "export",
	.options = {"--format", "qcow2"},
	.format = RP_FORMAT_QCOW2,
};
FIXTURE_VARIANT_ADD(killed, export_vhdx){
	.type = "xfs",
	.elsewhere = true,
	.command = "export",
	.options = {"--format", "vhdx"},
	.format = RP_FORMAT_VHDX,
};
FIXTURE_VARIANT_ADD(killed, destroy){
	.type = "xfs",
	.command = "destroy",
};
FIXTURE_VARIANT_ADD(killed, release){
	.type = "xfs",
	.command = "release",
};

FIXTURE_SETUP(killed)
{
	self->random = test_seed();
	self->format = variant->format;
	loopfs_mount(&self->fs, variant->type, variant->type[0] == 'e' ? 160 * MIB : 0,
		     NULL, NULL);
	if (variant->elsewhere)
		loopfs_mount(&self->other, "ext4", 64 * MIB, NULL, NULL);
}

FIXTURE_TEARDOWN(killed)
{
	stage_close(&self->stage);
	loopfs_umount(&self->other);
	loopfs_umount(&self->fs);
}

/* A disk of @size; from now on the store is opened anew each time. */
static void make_stage(struct killed_fixture *self, const struct killed_variant *variant,
		       uint64_t size)
{
	struct stage *s = &self->stage;

	stage_make(s, self->fs.mnt, size, self->random);
	stage_close(s);
	if (!variant->elsewhere)
		return;
	snprintf(s->exports, sizeof(s->exports), "%s",
		 fmt("%s/exports", self->other.mnt));
	ASSERT_OK(mkdir(s->exports, 0700));
}

static void sleep_ns(uint64_t ns)
{
	const struct timespec time = {(time_t)(ns / 1000000000), (long)(ns % 1000000000)};

	clock_nanosleep(CLOCK_MONOTONIC, 0, &time, NULL);
}

static uint64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

/* ---------------------------------------------------------------- running commands */

/* Its output is not wanted; what it complains of is in the test's log. */
static pid_t start(const char *const argv[], bool traced)
{
	pid_t pid = fork();

	ASSERT_GE(pid, 0);
	if (pid)
		return pid;
	dup2(open("/dev/null", O_WRONLY), STDOUT_FILENO);
	/* The leak check would trace it too. */
	if (traced && (setenv("LSAN_OPTIONS", "detect_leaks=0", 1) < 0 ||
		       ptrace(PTRACE_TRACEME, 0, NULL, NULL) < 0))
		_exit(99);
	execv(argv[0], (char *const *)argv);
	_exit(98);
}

static int run(const char *const argv[])
{
	pid_t pid = start(argv, false);
	int status;

	ASSERT_EQ(waitpid(pid, &status, 0), pid);
	return status;
}

/* The point's name is that of stage.point; one that is destroyed or released is one more.
 */
static const char *const *command_line(struct killed_fixture *self,
				       const struct killed_variant *variant,
				       const char *point)
{
	const char **arg = self->argv;
	size_t i;

	*arg++ = program();
	*arg++ = "--store";
	*arg++ = self->stage.path;
	*arg++ = variant->command;
	for (i = 0; variant->options[i]; i++)
		*arg++ = variant->options[i];
	*arg++ = strcmp(variant->command, "create") ? point : "web1";
	*arg++ = strcmp(variant->command, "export") ? NULL : self->stage.exports;
	*arg = NULL;
	return self->argv;
}

/* What is left behind is removed by whatever command comes next. */
static void run_next_command(const struct stage *s)
{
	const char *const argv[] = {program(), "--store", s->path,
				    "system",  "list",	  NULL};

	ASSERT_EQ(run(argv), 0);
	stage_expect_idle(s);
}

/* ------------------------------------------------------------- what must be true then */

/* It has its digests instead of its data, and nothing else. */
static void expect_released(const char *folder, const json_t *point)
{
	const json_t *digest = json_object_get(disk_of(point, "vda"), "Digest");
	int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct digest leaves;

	EXPECT_STREQ(listing(folder), "config point.json vda.digest");
	ASSERT_OK(leaves_open(fd, digest,
			      (uint64_t)json_number(disk_of(point, "vda"), "VirtualSize"),
			      NULL, &leaves));
	close(leaves.fd);
	close(fd);
}

/* Each listed point has its data, and can be exported, or it was released; there are no
 * others. */
static void expect_whole_points(const struct killed_fixture *self)
{
	const struct stage *s = &self->stage;
	const char *folder = fmt("%s/systems/web1/points", s->path);
	const char *scratch = fmt("%s/check", self->fs.mnt);
	json_t *points = stage_points(s->store), *point;
	size_t i, length = 0;
	struct rp_error err;

	json_array_foreach(points, i, point) {
		const char *id = json_text(point, "InstanceID");
		const char *name = fmt("web1@%s", id);

		EXPECT_STREQ(json_text(point, "Status"), "", "%s", name);
		EXPECT_NE(strstr(listing(folder), id), NULL);
		length += strlen(id) + (i > 0);
		if (!json_is_true(json_object_get(point, "HasAssociatedData"))) {
			expect_released(fmt("%s/%s", folder, id), point);
			continue;
		}
		EXPECT_TRUE(data_same(fmt("%s/%s/vda.raw", folder, id), s->twin));
		if (!strcmp(name, s->point))
			continue;
		ASSERT_OK(mkdir(scratch, 0700));
		EXPECT_EQ(rp_export(s->store, name, scratch, NULL, NULL, &err), RP_OK,
			  "%s", err.message);
		EXPECT_TRUE(stage_good_export(scratch, name, s->twin));
		ASSERT_OK(system(fmt("rm -r '%s'", scratch)));
	}
	EXPECT_EQ(strlen(listing(folder)), length, "%s", listing(folder));
	json_decref(points);
}

/* Published and whole, or not there, or kept, and then the same export makes it whole.
 * Returns whether it was published. */
static bool expect_whole_export(const struct stage *s, enum rp_format format)
{
	const struct rp_export_options options = {.size = sizeof(options),
						  .format = format};
	const char *folder = fmt("%s/web1", s->exports);
	const char *partial = stage_partial_path(s->exports, s->point);
	bool kept = exists(partial);
	struct rp_error err;

	if (!exists(folder)) {
		EXPECT_STREQ(listing(s->exports), "");
		return false;
	}
	EXPECT_STREQ(listing(s->exports), "web1");
	if (kept) {
		EXPECT_STREQ(listing(folder), strrchr(partial, '/') + 1);
		EXPECT_EQ(stage_export(s, &options, &err), RP_OK, "%s", err.message);
	}
	EXPECT_STREQ(listing(folder), strchr(s->point, '@') + 1);
	EXPECT_TRUE(stage_good_export(s->exports, s->point, s->twin));
	return !kept;
}

/* Every record says how its export ended. */
static void expect_ended_jobs(const struct stage *s)
{
	char *ids = strdup(listing(fmt("%s/jobs/ended", s->path))), *id, *rest = ids;

	while ((id = strsep(&rest, " ")) && *id) {
		json_t *job = load_json(fmt("%s/jobs/ended/%s/job.json", s->path, id));
		int64_t state = json_number(job, "JobState");

		EXPECT_TRUE(state == 7 || state == 10, "%s: JobState %lld", id,
			    (long long)state);
		json_decref(job);
	}
	free(ids);
}

/* As it was before, for the next round. */
static void remove_results(struct killed_fixture *self)
{
	const struct stage *s = &self->stage;
	json_t *points = stage_points(s->store), *point;
	struct rp_error err;
	size_t i;

	json_array_foreach(points, i, point) {
		const char *name = fmt("web1@%s", json_text(point, "InstanceID"));

		if (strcmp(name, s->point) == 0)
			continue;
		self->kept++;
		EXPECT_EQ(rp_destroy_reference_point(s->store, name, &err), RP_OK, "%s",
			  err.message);
	}
	json_decref(points);
	if (exists(fmt("%s/web1", s->exports)))
		ASSERT_OK(system(fmt("rm -r '%s/web1'", s->exports)));
	ASSERT_OK(system(fmt("rm -r '%s/jobs/ended' && mkdir -m 700 '%s/jobs/ended'",
			     s->path, s->path)));
}

static void look(struct killed_fixture *self)
{
	struct stage *s = &self->stage;

	run_next_command(s);
	s->store = stage_open(s, 0);
	self->published += expect_whole_export(s, self->format);
	expect_whole_points(self);
	expect_ended_jobs(s);
	stage_expect_idle(s);
	remove_results(self);
	EXPECT_TRUE(data_same(s->disk, s->twin), "the source is only read");
	stage_close(s);
}

/* A point to destroy or release; else the one there is. */
static const char *prepare(struct killed_fixture *self,
			   const struct killed_variant *variant)
{
	struct stage *s = &self->stage;
	char point[POINT_SIZE];

	if (strcmp(variant->command, "destroy") && strcmp(variant->command, "release"))
		return s->point;
	s->store = stage_open(s, 0);
	stage_take(s, point);
	stage_close(s);
	return fmt("%s", point);
}

/* --------------------------------------------------------------- at random instants */

/* How long the command takes, undisturbed: the median of three. */
static uint64_t measure(struct killed_fixture *self, const struct killed_variant *variant)
{
	uint64_t took[3], begin;

	for (size_t i = 0; i < ARRAY_SIZE(took); i++) {
		const char *point = prepare(self, variant);
		const char *const *argv = command_line(self, variant, point);

		begin = now_ns();
		ASSERT_EQ(run(argv), 0);
		took[i] = now_ns() - begin;
		look(self);
	}
	return took[0] > took[1]
		       ? (took[1] > took[2] ? took[1] : min_u64(took[0], took[2]))
		       : (took[0] > took[2] ? took[0] : min_u64(took[1], took[2]));
}

/* How long it takes to start: nothing happens before. */
static uint64_t measure_start(void)
{
	const char *const argv[] = {program(), "--version", NULL};
	uint64_t begin, least = UINT64_MAX;

	for (int i = 0; i < 3; i++) {
		begin = now_ns();
		ASSERT_EQ(run(argv), 0);
		least = min_u64(least, now_ns() - begin);
	}
	return least;
}

/* Whether it was in time. */
static bool run_and_kill(const char *const argv[], uint64_t delay_ns)
{
	pid_t pid = start(argv, false);
	int status;

	sleep_ns(delay_ns);
	kill(pid, SIGKILL);
	ASSERT_EQ(waitpid(pid, &status, 0), pid);
	if (WIFSIGNALED(status))
		ASSERT_EQ(WTERMSIG(status), SIGKILL);
	else
		ASSERT_EQ(WEXITSTATUS(status), 0);
	return WIFSIGNALED(status);
}

TEST_F(killed, at_random_instants)
{
	uint64_t start, end;
	unsigned killed = 0, runs;

	make_stage(self, variant, 16 * MIB);
	start = measure_start() * 3 / 4;
	end = max_u64(measure(self, variant), start + 100000);
	self->published = self->kept = 0;
	for (runs = 0; killed < ROUNDS && runs < 4 * ROUNDS; runs++) {
		const char *const *argv = command_line(self, variant,
						       prepare(self, variant));
		uint64_t delay = start + data_random(&self->random) % (end - start);

		if (run_and_kill(argv, delay)) {
			killed++;
		} else { /* it has become faster, and so has its start */
			end -= (end - start) / 16;
			start -= start / 16;
		}
		look(self);
	}
	test_log("%u of %u runs killed, up to %.1f ms; %u exports and %u points whole",
		 killed, runs, (double)end / 1e6, self->published, self->kept);
	EXPECT_EQ(killed, ROUNDS);
}

/* --------------------------------------------------------------- before each change */

/* Those with which a command changes a file system, or hands I/O to the kernel. */
static bool changes(const struct __ptrace_syscall_info *call)
{
	switch (call->entry.nr) {
	case SYS_mkdirat:
	case SYS_unlinkat:
	case SYS_renameat:
	case SYS_renameat2:
	case SYS_write:
	case SYS_pwrite64:
	case SYS_ftruncate:
	case SYS_fallocate:
	case SYS_fchmod:
	case SYS_fsync:
	case SYS_flock:
	case SYS_ioctl:
	case SYS_io_submit:
	case SYS_io_uring_enter:
		return true;
	case SYS_openat:
		return call->entry.args[2] & O_CREAT;
	default:
		return false;
	}
}

/*
 * Runs the command and kills it before change @last; false if it has ended before. Only
 * its first thread is followed: the others are the kernel's.
 */
static bool run_until_change(const char *const argv[], unsigned last)
{
	struct __ptrace_syscall_info call;
	unsigned count = 0;
	pid_t pid = start(argv, true);
	int status;

	ASSERT_EQ(waitpid(pid, &status, 0), pid);
	if (WIFEXITED(status) && WEXITSTATUS(status) == 99)
		SKIP("no ptrace");
	ASSERT_TRUE(WIFSTOPPED(status));
	ASSERT_OK(ptrace(PTRACE_SETOPTIONS, pid, NULL,
			 PTRACE_O_EXITKILL | PTRACE_O_TRACESYSGOOD));
	for (;;) {
		ptrace(PTRACE_SYSCALL, pid, NULL, 0); /* no such process: killed */
		ASSERT_EQ(waitpid(pid, &status, 0), pid);
		if (!WIFSTOPPED(status))
			break;
		if (WSTOPSIG(status) != (SIGTRAP | 0x80))
			continue;
		ASSERT_GT(ptrace(PTRACE_GET_SYSCALL_INFO, pid, sizeof(call), &call), 0);
		if (call.op == PTRACE_SYSCALL_INFO_ENTRY && changes(&call) &&
		    ++count == last)
			kill(pid, SIGKILL);
	}
	if (WIFSIGNALED(status))
		ASSERT_EQ(WTERMSIG(status), SIGKILL);
	else
		ASSERT_EQ(WEXITSTATUS(status), 0);
	return WIFSIGNALED(status);
}

TEST_F(killed, before_each_change)
{
	unsigned change = 0;
	bool killed;

	make_stage(self, variant, 2 * MIB);
	do {
		const char *const *argv = command_line(self, variant,
						       prepare(self, variant));

		killed = run_until_change(argv, ++change);
		look(self);
	} while (killed);
	test_log("%u changes; %u exports and %u points whole", change - 1,
		 self->published, self->kept);
	EXPECT_GT(change, 8);
}

TEST_MAIN_REQUIRES(missing)
