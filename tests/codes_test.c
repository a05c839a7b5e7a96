/* SPDX-License-Identifier: MIT */
/*
 * codes_test.c - the other return values, provoked for real: each time nothing is left
 * behind, and what was there before is unharmed. (32768 is in faults_test.c, what
 * callers do wrong in arguments_test.c)
 */
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/fs.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "blocked.h"
#include "data.h"
#include "engine_fixture.h"
#include "harness.h"
#include "stage.h"

#define SIZE (4 * MIB)

static bool nameless; /* there is no memory for the name of a point */

/* The library's calls come by here. */
int asprintf(char **ret, const char *format, ...)
{
	va_list args;
	int length;

	if (nameless && !strcmp(format, "%s@%s")) {
		errno = ENOMEM;
		return -1;
	}
	va_start(args, format);
	length = vasprintf(ret, format, args);
	va_end(args);
	return length;
}

FIXTURE(codes)
{
	struct stage stage;
};

FIXTURE_SETUP(codes)
{
	ASSERT_OK(chmod(test_dir(), 0711));
	stage_make(&self->stage, test_dir(), SIZE, test_seed());
}

FIXTURE_TEARDOWN(codes)
{
	stage_close(&self->stage);
}

static uint32_t create(const struct stage *s, struct rp_error *err)
{
	const struct rp_create_options options = {.size = sizeof(options),
						  .allow_copy = true};
	char *point = NULL;
	uint32_t rc = rp_create_reference_point(s->store, "web1", &options, &point, err);

	EXPECT_EQ(rc == RP_OK, point != NULL);
	rp_free(point);
	return rc;
}

/* The method of the model. */
static uint32_t export(const struct stage *s, const char *settings, struct rp_error *err)
{
	return rp_export_reference_point(s->store, s->point, s->exports, settings, NULL,
					 err);
}

/* ------------------------------------------------------------------------------ 0 */

TEST_F(codes, done)
{
	struct rp_error err, clear;

	memset(&err, 'x', sizeof(err));
	memset(&clear, 0, sizeof(clear));
	clear.offset = RP_NO_OFFSET;
	EXPECT_EQ(export(&self->stage, "", &err), RP_OK);
	EXPECT_EQ(memcmp(&err, &clear, sizeof(err)), 0);
	EXPECT_TRUE(stage_good_export(self->stage.exports, self->stage.point,
				      self->stage.twin));
	stage_expect_unharmed(&self->stage, "web1");
}

/* Nobody has to want the details. */
TEST_F(codes, without_an_error_to_fill)
{
	const struct stage *s = &self->stage;
	char *text;

	EXPECT_EQ(rp_store_init(s->path, NULL), RP_INVALID_STATE);
	EXPECT_EQ(rp_show_reference_point(s->store, "x", &text, NULL),
		  RP_INVALID_PARAMETER);
	EXPECT_EQ(export(s, "{", NULL), RP_INVALID_PARAMETER);
	EXPECT_EQ(rp_export(s->store, s->point, "/none", NULL, NULL, NULL),
		  RP_NOT_AVAILABLE);
	EXPECT_EQ(export(s, NULL, NULL), RP_OK);
	EXPECT_EQ(export(s, NULL, NULL), RP_INVALID_STATE);
	EXPECT_TRUE(stage_good_export(s->exports, s->point, s->twin));
}

TEST(every_value_has_its_name)
{
	static const struct {
		uint32_t value;
		const char *name;
	} names[] = {
		{0, "Completed with No Error"},
		{4096, "Method Parameters Checked - Job Started"},
		{32768, "Failed"},
		{32769, "Access Denied"},
		{32770, "Not Supported"},
		{32771, "Status is unknown"},
		{32772, "Timeout"},
		{32773, "Invalid parameter"},
		{32774, "System is in use"},
		{32775, "Invalid state for this operation"},
		{32776, "Incorrect data type"},
		{32777, "System is not available"},
		{32778, "Out of memory"},
		{77, "Unknown return value"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		EXPECT_STREQ(rp_return_name(names[i].value), names[i].name);
}

/* -------------------------------------------------------------------------- 32769 */

/* Runs @play as user nobody, in a process of its own. */
static void as_nobody(const struct stage *s, void (*play)(const struct stage *s))
{
	int status;
	pid_t pid = fork();

	if (pid == 0) {
		ASSERT_OK(setresgid(65534, 65534, 65534));
		ASSERT_OK(setresuid(65534, 65534, 65534));
		play(s);
		_exit(0);
	}
	ASSERT_EQ(waitpid(pid, &status, 0), pid);
	ASSERT_EQ(status, 0);
}

static void open_the_store(const struct stage *s)
{
	const struct rp_error want = {.code = RP_ACCESS_DENIED,
				      .os_error = EACCES,
				      .step = "open",
				      .offset = RP_NO_OFFSET};
	struct rp_store *store = NULL;
	struct rp_error err;

	expect_error(rp_store_open(s->path, NULL, &store, &err), &err, &want);
	EXPECT_EQ(store, NULL);
}

/* From a store of its own. */
static void export_to_the_folder(const struct stage *s)
{
	const struct rp_error want = {.code = RP_ACCESS_DENIED,
				      .os_error = EACCES,
				      .step = "mkdir",
				      .system = "web1",
				      .offset = RP_NO_OFFSET};
	const char *dir = fmt("%s/nobody", test_dir());
	struct stage own = {0};
	struct rp_error err;

	stage_make(&own, dir, SIZE, 1);
	snprintf(own.exports, sizeof(own.exports), "%s", s->exports);
	expect_error(stage_export(&own, NULL, &err), &err, &want);
	stage_expect_unharmed(&own, "");
	stage_close(&own);
}

static void read_the_disk(const struct stage *s)
{
	const struct rp_error want = {.code = RP_ACCESS_DENIED,
				      .os_error = EACCES,
				      .step = "open",
				      .system = "web2",
				      .disk = "sda",
				      .offset = RP_NO_OFFSET};
	const char *path = fmt("%s/nobody/store", test_dir());
	const struct rp_disk disk = {"sda", s->disk};
	struct rp_store *store;
	struct rp_error err;
	char *point = NULL;
	uint32_t rc;

	ASSERT_EQ(rp_store_open(path, NULL, &store, &err), RP_OK, "%s", err.message);
	ASSERT_EQ(rp_system_add(store, "web2", &disk, 1, NULL, 0, &err), RP_OK);
	rc = rp_create_reference_point(store, "web2", NULL, &point, &err);
	expect_error(rc, &err, &want);
	EXPECT_EQ(point, NULL);
	rp_store_close(store);
}

TEST_F(codes, access_denied_to_another_user)
{
	const char *dir = fmt("%s/nobody", test_dir());

	if (geteuid() != 0)
		SKIP("not root");
	ASSERT_OK(mkdir(dir, 0700));
	ASSERT_OK(chown(dir, 65534, 65534));
	as_nobody(&self->stage, open_the_store);
	as_nobody(&self->stage, export_to_the_folder);
	as_nobody(&self->stage, read_the_disk);
	stage_expect_unharmed(&self->stage, "");
}

/* EPERM: the point is all there, and so it stays. */
TEST(access_denied_to_immutable_disks)
{
	struct rp_error err, want = {.code = RP_ACCESS_DENIED,
				     .os_error = EPERM,
				     .step = "remove",
				     .system = "web1",
				     .offset = RP_NO_OFFSET};
	struct stage s = {0};
	struct loopfs fs = {0};
	const char *disk;

	loopfs_mount(&fs, "xfs", 300 * MIB, NULL, NULL);
	stage_make(&s, fs.mnt, SIZE, test_seed());
	disk = fmt("%s/vda.raw", stage_point_path(&s, s.point));
	ASSERT_TRUE(inode_flags(disk) & FS_IMMUTABLE_FL);
	let_have(CAP_LINUX_IMMUTABLE, false);
	expect_error(rp_destroy_reference_point(s.store, s.point, &err), &err, &want);
	EXPECT_NE(strstr(err.message, "immutable"), NULL, "%s", err.message);
	expect_error(rp_release(s.store, s.point, NULL, &err), &err, &want);
	EXPECT_NE(strstr(err.message, "immutable"), NULL, "%s", err.message);
	stage_expect_unharmed(&s, "");
	GIVES(OK, stage_export(&s, NULL, &err));
	EXPECT_TRUE(stage_good_export(s.exports, s.point, s.twin));
	let_have(CAP_LINUX_IMMUTABLE, true);
	EXPECT_TRUE(inode_flags(disk) & FS_IMMUTABLE_FL);
	GIVES(OK, rp_destroy_reference_point(s.store, s.point, &err));
	stage_expect_idle(&s);
	stage_close(&s);
	loopfs_umount(&fs);
}

/* EROFS; what only reads works. */
TEST(access_denied_to_a_read_only_file_system)
{
	struct rp_error err, want = {.code = RP_ACCESS_DENIED,
				     .os_error = EROFS,
				     .step = "mkdir",
				     .system = "web1",
				     .offset = RP_NO_OFFSET};
	struct stage s = {0};
	struct loopfs fs = {0};

	loopfs_mount(&fs, "ext4", 64 * MIB, NULL, NULL);
	stage_make(&s, fs.mnt, SIZE, test_seed());
	stage_close(&s);
	loopfs_read_only(&fs);
	s.store = stage_open(&s, 0);
	stage_expect_unharmed(&s, "");
	expect_error(create(&s, &err), &err, &want);
	expect_error(stage_export(&s, NULL, &err), &err, &want);
	snprintf(want.step, sizeof(want.step), "remove");
	expect_error(rp_destroy_reference_point(s.store, s.point, &err), &err, &want);
	stage_expect_unharmed(&s, "");
	stage_close(&s);
	loopfs_umount(&fs);
}

/* -------------------------------------------------------------------------- 32770 */

/* No FICLONE, and nobody has allowed a copy. */
TEST(not_supported_by_the_file_system)
{
	const struct rp_export_options options = {.size = sizeof(options),
						  .clone = RP_CLONE_ALWAYS};
	const struct rp_error want = {.code = RP_NOT_SUPPORTED,
				      .os_error = EOPNOTSUPP,
				      .step = "clone",
				      .system = "web1",
				      .disk = "vda",
				      .offset = RP_NO_OFFSET};
	struct stage s = {0};
	struct loopfs fs = {0};
	struct rp_error err;
	char *point = NULL;

	loopfs_mount(&fs, "ext4", 64 * MIB, NULL, NULL);
	stage_make(&s, fs.mnt, SIZE, test_seed());
	expect_error(rp_create_reference_point(s.store, "web1", NULL, &point, &err), &err,
		     &want);
	EXPECT_EQ(point, NULL);
	expect_error(stage_export(&s, &options, &err), &err, &want);
	stage_expect_unharmed(&s, "");
	stage_close(&s);
	loopfs_umount(&fs);
}

TEST(not_supported_for_a_device_and_in_use_when_mounted)
{
	const struct rp_create_options options = {.size = sizeof(options),
						  .allow_copy = true};
	struct rp_error err, want = {.code = RP_IN_USE,
				     .os_error = EBUSY,
				     .step = "open",
				     .system = "web2",
				     .disk = "sda",
				     .offset = RP_NO_OFFSET};
	struct stage s = {0};
	struct loopfs fs = {0};
	const struct rp_disk disk = {"sda", fs.loop};
	char *point = NULL;
	int loop;

	loopfs_mount(&fs, "ext4", 64 * MIB, NULL, NULL);
	stage_make(&s, test_dir(), SIZE, test_seed());
	ASSERT_EQ(rp_system_add(s.store, "web2", &disk, 1, NULL, 0, &err), RP_OK);
	expect_error(rp_create_reference_point(s.store, "web2", &options, &point, &err),
		     &err, &want);

	loop = open(fs.loop, O_RDONLY | O_CLOEXEC); /* or it would detach */
	ASSERT_GE(loop, 0);
	loopfs_umount(&fs);
	want.code = RP_NOT_SUPPORTED;
	want.os_error = EOPNOTSUPP;
	snprintf(want.step, sizeof(want.step), "clone");
	expect_error(rp_create_reference_point(s.store, "web2", NULL, &point, &err), &err,
		     &want);
	EXPECT_EQ(point, NULL);
	stage_expect_unharmed(&s, "");
	close(loop);
	stage_close(&s);
}

TEST_F(codes, base_is_the_point_itself)
{
	const struct stage *s = &self->stage;
	struct rp_error err;

	GIVES(INVALID_STATE,
	      export(s, fmt("{\"BaseReferencePoint\": \"%s\"}", s->point), &err));
	stage_expect_unharmed(s, "");
}

/* -------------------------------------------------------------------------- 32771 */

TEST_F(codes, status_is_unknown)
{
	const struct stage *s = &self->stage;
	const char *path = stage_export_path(s->exports, s->point);
	const char *manifest = fmt("%s/export.json", path);
	const char *output = fmt("%s/restored", test_dir());
	struct rp_error err;
	char *text = NULL;

	ASSERT_EQ(stage_export(s, NULL, &err), RP_OK, "%s", err.message);
	save_text(manifest, "{\"FormatVersion\": 1}");
	GIVES(UNKNOWN_STATUS, rp_verify(path, NULL, &text, &err));
	save_text(manifest, "no JSON");
	GIVES(UNKNOWN_STATUS, rp_verify(path, NULL, &text, &err));
	GIVES(UNKNOWN_STATUS, rp_restore(path, "vda", output, NULL, &text, &err));
	EXPECT_FALSE(exists(output));

	save_text(fmt("%s/point.json", stage_point_path(s, s->point)), "{");
	GIVES(UNKNOWN_STATUS, rp_show_reference_point(s->store, s->point, &text, &err));
	EXPECT_STREQ(err.system, "web1");
	GIVES(UNKNOWN_STATUS, stage_export(s, NULL, &err));
	EXPECT_STREQ(err.system, "web1");
	EXPECT_EQ(text, NULL);
	stage_expect_idle(s);
}

/* ------------------------------------------------------------------- 32772, 32774 */

/* Another process that has locked a folder, until it is released. */
struct holder {
	pid_t pid;
	int stop;
};

static struct holder hold(const char *folder, int operation)
{
	struct holder holder;
	int stop[2], ready[2];
	char byte;

	ASSERT_OK(pipe2(stop, O_CLOEXEC));
	ASSERT_OK(pipe2(ready, O_CLOEXEC));
	holder.pid = fork();
	if (holder.pid == 0) {
		int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

		close(stop[1]);
		ASSERT_OK(flock(fd, operation | LOCK_NB), "%s", folder);
		ASSERT_EQ(write(ready[1], "", 1), 1);
		_exit(read(stop[0], &byte, 1) == 0 ? 0 : 1);
	}
	close(ready[1]);
	close(stop[0]);
	ASSERT_EQ(read(ready[0], &byte, 1), 1);
	close(ready[0]);
	holder.stop = stop[1];
	return holder;
}

static void release(struct holder *holder)
{
	int status;

	close(holder->stop);
	ASSERT_EQ(waitpid(holder->pid, &status, 0), holder->pid);
	ASSERT_EQ(status, 0);
}

TEST_F(codes, timeout_of_a_lock)
{
	const struct rp_export_options options = {.size = sizeof(options),
						  .timeout_ms = 200};
	const struct rp_error want = {.code = RP_TIMEOUT,
				      .step = "lock",
				      .system = "web1",
				      .offset = RP_NO_OFFSET};
	struct stage hurried = self->stage;
	const struct stage *s = &self->stage;
	struct holder holder;
	struct rp_error err;
	uint64_t begin;

	hurried.store = stage_open(s, 200);
	holder = hold(fmt("%s/systems/web1", s->path), LOCK_EX);
	begin = now_ms();
	expect_error(create(&hurried, &err), &err, &want);
	EXPECT_GE(now_ms() - begin, 200);
	EXPECT_NE(strstr(err.message, "after 0.2 s"), NULL, "%s", err.message);
	release(&holder);
	stage_close(&hurried);

	/* Of a store that would wait for hours. */
	hurried.store = stage_open(s, 10000000);
	holder = hold(stage_point_path(s, s->point), LOCK_EX);
	begin = now_ms();
	expect_error(stage_export(&hurried, &options, &err), &err, &want);
	EXPECT_GE(now_ms() - begin, 195); /* of its 200, some had passed */
	release(&holder);
	stage_close(&hurried);
	stage_expect_unharmed(s, "");
}

static int linger(void *context, const struct rp_progress *progress)
{
	(void)context;
	(void)progress;
	usleep(150000);
	return 0;
}

TEST_F(codes, timeout_of_an_export)
{
	const struct rp_watch watch = {.size = sizeof(watch), .progress = linger};
	struct rp_export_options options = stage_copying(RP_IO_AUTO);
	struct rp_error err;

	options.watch = &watch;
	options.timeout_ms = 100;
	GIVES(TIMEOUT, stage_export(&self->stage, &options, &err));
	EXPECT_STREQ(err.system, "web1");
	EXPECT_EQ(err.os_error, ETIME);
	stage_expect_unharmed(&self->stage, "");
}

TEST_F(codes, in_use_by_another_process)
{
	const struct rp_error want = {.code = RP_IN_USE,
				      .step = "lock",
				      .system = "web1",
				      .offset = RP_NO_OFFSET};
	const struct stage *s = &self->stage;
	const char *folder = fmt("%s/web1", s->exports);
	const char *partial = stage_partial_path(s->exports, s->point);
	struct holder holder;
	struct rp_error err;

	holder = hold(stage_point_path(s, s->point), LOCK_SH);
	expect_error(rp_destroy_reference_point(s->store, s->point, &err), &err, &want);
	release(&holder);

	ASSERT_OK(mkdir(folder, 0700));
	ASSERT_OK(mkdir(partial, 0700));
	holder = hold(partial, LOCK_EX);
	expect_error(stage_export(s, NULL, &err), &err, &want);
	EXPECT_TRUE(exists(partial));
	release(&holder);
	stage_expect_unharmed(s, "web1");
	EXPECT_EQ(stage_export(s, NULL, &err), RP_OK, "%s", err.message);
	EXPECT_FALSE(exists(partial));
}

static void write_to(const char *path)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);

	ASSERT_GE(fd, 0);
	data_write(fd, 77, SIZE / 2, 4096);
	close(fd);
}

static int write_once(void *context, const struct rp_progress *progress)
{
	(void)progress;
	write_to(context);
	return 0;
}

/* A copy is of a stopped machine's disk, or it is none. */
TEST(in_use_by_a_writer)
{
	const struct rp_error want = {.code = RP_IN_USE,
				      .step = "copy",
				      .system = "web1",
				      .disk = "vda",
				      .offset = RP_NO_OFFSET};
	struct stage s = {0};
	const struct rp_watch watch = {
		.size = sizeof(watch), .context = s.disk, .progress = write_once};
	const struct rp_create_options options = {
		.size = sizeof(options), .allow_copy = true, .watch = &watch};
	struct loopfs fs = {0};
	struct rp_error err;
	char *point = NULL;

	loopfs_mount(&fs, "ext4", 64 * MIB, NULL, NULL);
	stage_make(&s, fs.mnt, SIZE, test_seed());
	expect_error(rp_create_reference_point(s.store, "web1", &options, &point, &err),
		     &err, &want);
	EXPECT_EQ(point, NULL);
	stage_expect_idle(&s);
	EXPECT_TRUE(data_same(fmt("%s/vda.raw", stage_point_path(&s, s.point)), s.twin));
	write_to(s.twin);
	EXPECT_TRUE(data_same(s.disk, s.twin), "only the writer has changed it");
	stage_close(&s);
	loopfs_umount(&fs);
}

/* -------------------------------------------------------------------------- 32777 */

TEST_F(codes, not_available)
{
	static const char *const points[] = {"web2@latest", "web1@latest~1", "web1@0000",
					     "web1@00000000-0000-0000-0000-000000000000"};
	const struct stage *s = &self->stage;
	const char *none = fmt("%s/none", test_dir()), *out = fmt("%s/out", test_dir());
	const struct rp_disk disk = {"vda", none};
	struct rp_store *store = NULL;
	struct rp_error err;
	char *text = NULL;

	GIVES(NOT_AVAILABLE, rp_store_init(fmt("%s/store", none), &err));
	GIVES(NOT_AVAILABLE, rp_store_open(none, NULL, &store, &err));
	GIVES(NOT_AVAILABLE, rp_store_open(s->exports, NULL, &store, &err));
	GIVES(NOT_AVAILABLE, rp_store_open(s->disk, NULL, &store, &err));
	GIVES(NOT_AVAILABLE, rp_system_add(s->store, "web2", &disk, 1, NULL, 0, &err));
	EXPECT_STREQ(err.system, "web2");
	GIVES(NOT_AVAILABLE, rp_system_show(s->store, "web2", &text, &err));
	EXPECT_STREQ(err.system, "web2");
	GIVES(NOT_AVAILABLE, rp_system_remove(s->store, "web2", &err));
	GIVES(NOT_AVAILABLE, rp_list_reference_points(s->store, "web2", &text, &err));
	EXPECT_STREQ(err.system, "web2");
	for (size_t i = 0; i < ARRAY_SIZE(points); i++) {
		test_log("%s", points[i]);
		GIVES(NOT_AVAILABLE,
		      rp_show_reference_point(s->store, points[i], &text, &err));
		GIVES(NOT_AVAILABLE,
		      rp_destroy_reference_point(s->store, points[i], &err));
		GIVES(NOT_AVAILABLE,
		      rp_export(s->store, points[i], s->exports, NULL, &text, &err));
	}
	GIVES(NOT_AVAILABLE, rp_export(s->store, s->point, none, NULL, &text, &err));
	GIVES(NOT_AVAILABLE, rp_export(s->store, s->point, s->disk, NULL, &text, &err));
	GIVES(NOT_AVAILABLE, rp_verify(none, NULL, &text, &err));
	GIVES(NOT_AVAILABLE, rp_verify(s->exports, NULL, &text, &err));
	GIVES(NOT_AVAILABLE, rp_restore(none, "vda", out, NULL, &text, &err));
	EXPECT_EQ(text, NULL);
	EXPECT_EQ(store, NULL);
	stage_expect_unharmed(s, "");
}

TEST_F(codes, not_available_because_it_is_gone)
{
	const struct rp_error want = {.code = RP_NOT_AVAILABLE,
				      .os_error = ENOENT,
				      .step = "open",
				      .system = "web1",
				      .disk = "vda",
				      .offset = RP_NO_OFFSET};
	const struct stage *s = &self->stage;
	const char *away = fmt("%s.away", s->disk);
	struct rp_error err;

	ASSERT_OK(rename(s->disk, away));
	expect_error(create(s, &err), &err, &want);
	ASSERT_OK(rename(away, s->disk));
	stage_expect_unharmed(s, "");
}

/* The folder of the system, where it is exported to, leads nowhere. */
TEST_F(codes, not_available_behind_a_link)
{
	const struct stage *s = &self->stage;
	struct rp_error err;

	ASSERT_OK(symlink("/nowhere", fmt("%s/web1", s->exports)));
	GIVES(NOT_AVAILABLE, stage_export(s, NULL, &err));
	stage_expect_unharmed(s, "web1");
}

/* -------------------------------------------------------------------------- 32778 */

/* This much more address space, in all. */
static void limit_memory(uint64_t more)
{
	struct rlimit limit = {.rlim_max = RLIM_INFINITY};
	FILE *file = fopen("/proc/self/statm", "re");
	unsigned long pages;

	ASSERT_NE(file, NULL);
	ASSERT_EQ(fscanf(file, "%lu", &pages), 1);
	fclose(file);
	limit.rlim_cur = pages * (rlim_t)sysconf(_SC_PAGESIZE) + more;
	ASSERT_OK(setrlimit(RLIMIT_AS, &limit));
}

/* The buffers of so small a disk need some 2 MiB. */
TEST_F(codes, out_of_memory)
{
	const struct rlimit none = {RLIM_INFINITY, RLIM_INFINITY};
	const struct rp_error want = {.code = RP_OUT_OF_MEMORY,
				      .os_error = ENOMEM,
				      .step = "allocate",
				      .system = "web1",
				      .offset = RP_NO_OFFSET};
	struct rp_export_options options = stage_copying(RP_IO_AUTO);
	const struct stage *s = &self->stage;
	struct rp_error err;
	uint32_t rc;

	limit_memory(MIB);
	rc = stage_export(s, &options, &err);
	ASSERT_OK(setrlimit(RLIMIT_AS, &none));
	expect_error(rc, &err, &want);
	stage_expect_unharmed(s, "");
	EXPECT_EQ(stage_export(s, &options, &err), RP_OK, "%s", err.message);
	EXPECT_TRUE(stage_good_export(s->exports, s->point, s->twin));
}

/* There is no point that nobody was told of. */
TEST_F(codes, out_of_memory_for_the_name_of_a_point)
{
	const struct stage *s = &self->stage;
	char *point = NULL;
	const char *path;
	struct rp_error err;

	nameless = true;
	GIVES(OUT_OF_MEMORY, create(s, &err));
	stage_expect_unharmed(s, "");
	nameless = false;
	ASSERT_EQ(stage_export(s, NULL, &err), RP_OK, "%s", err.message);
	path = stage_export_path(s->exports, s->point);
	GIVES(OK, rp_destroy_reference_point(s->store, s->point, &err));
	nameless = true;
	GIVES(OUT_OF_MEMORY, rp_import(s->store, path, &point, &err));
	nameless = false;
	EXPECT_EQ(point, NULL);
	stage_expect_idle(s);
	GIVES(OK, rp_import(s->store, path, &point, &err));
	EXPECT_STREQ(point, s->point);
	rp_free(point);
}

TEST_MAIN
