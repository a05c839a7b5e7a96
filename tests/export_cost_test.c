/* SPDX-License-Identifier: MIT */
/*
 * export_cost_test.c - what an export may take of the machine: system calls that are
 * blocked, memory whatever the size of the disk, and the page cache others live from
 */
#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "blocked.h"
#include "data.h"
#include "engine_fixture.h"
#include "harness.h"
#include "loopfs.h"

/* ----------------------------------------------------- backends that are blocked */

FIXTURE(blocked)
{
	struct stage stage;
};

FIXTURE_SETUP(blocked)
{
	stage_make(&self->stage, test_dir(), 3 * MIB + 77, test_seed());
}

FIXTURE_TEARDOWN(blocked)
{
	stage_close(&self->stage);
}

static void expect_backend(const struct stage *s, const char *backend, const char *reason)
{
	const struct rp_export_options options = stage_copying(RP_IO_AUTO);
	struct rp_error err;
	json_t *report;
	char *text;

	ASSERT_EQ(rp_export(s->store, s->point, s->exports, &options, &text, &err), RP_OK,
		  "%s", err.message);
	report = take_json(text);
	EXPECT_STREQ(json_text(disk_of(report, "vda"), "Backend"), backend);
	/* Another user's may go on: that buffers could not be locked. */
	EXPECT_EQ(strncmp(json_text(disk_of(report, "vda"), "BackendReason"), reason,
			  strlen(reason)),
		  0, "%s", json_text(disk_of(report, "vda"), "BackendReason"));
	EXPECT_TRUE(stage_good_export(s->exports, s->point, s->twin));
	remove_tree(json_text(report, "ExportPath"));
	json_decref(report);
}

TEST_F(blocked, the_next_best_is_taken_and_says_why)
{
	if (!backend_works(RP_IO_URING) || !backend_works(RP_IO_AIO))
		SKIP("there is nothing left to block");
	expect_backend(&self->stage, "uring", "first choice");
	block_syscall(SYS_io_uring_setup, EPERM);
	expect_backend(&self->stage, "aio",
		       "uring not used: io_uring_setup: Operation not permitted (seccomp "
		       "or kernel.io_uring_disabled)");
	block_syscall(SYS_io_setup, ENOSYS);
	expect_backend(&self->stage, "sync",
		       "uring not used: io_uring_setup: Operation not permitted (seccomp "
		       "or kernel.io_uring_disabled); aio not used: io_setup: Function "
		       "not implemented");
}

/* libaio would write itself what the page cache is to take. */
TEST(plain_calls_come_first_where_it_goes_by_the_page_cache)
{
	struct loopfs fs = {0};
	struct stage stage;

	if (!backend_works(RP_IO_AIO))
		SKIP("it is what would come first");
	loopfs_mount(&fs, "btrfs", 0, NULL, NULL);
	stage_make(&stage, fs.mnt, 3 * MIB + 77, test_seed());
	block_syscall(SYS_io_uring_setup, EPERM);
	expect_backend(&stage, "sync",
		       "uring not used: io_uring_setup: Operation not permitted (seccomp "
		       "or kernel.io_uring_disabled)");
	stage_close(&stage);
	loopfs_umount(&fs);
}

static void expect_refused(const struct stage *s, enum rp_io io, uint32_t value,
			   int os_error)
{
	const struct rp_export_options options = stage_copying(io);
	struct rp_error err;

	EXPECT_EQ(stage_export(s, &options, &err), value, "%s", err.message);
	EXPECT_EQ(err.code, value);
	EXPECT_EQ(err.os_error, os_error, "%s", err.message);
	stage_expect_unharmed(s, "");
}

TEST_F(blocked, the_one_asked_for_is_not_replaced)
{
	const struct rp_export_options sync = stage_copying(RP_IO_SYNC);
	struct rp_error err;

	block_syscall(SYS_io_uring_setup, EPERM);
	block_syscall(SYS_io_setup, ENOSYS);
	expect_refused(&self->stage, RP_IO_URING, RP_NOT_SUPPORTED, EPERM);
	expect_refused(&self->stage, RP_IO_AIO, RP_NOT_SUPPORTED, ENOSYS);
	ASSERT_EQ(stage_export(&self->stage, &sync, &err), RP_OK, "%s", err.message);
	EXPECT_TRUE(stage_good_export(self->stage.exports, self->stage.point,
				      self->stage.twin));
}

/* Nor where it is to find out what has changed. */
TEST_F(blocked, the_one_asked_for_is_not_replaced_to_compare_with)
{
	struct stage *s = &self->stage;
	struct rp_export_options options = stage_copying(RP_IO_URING);
	char base[POINT_SIZE];
	struct rp_error err;

	ASSERT_EQ(stage_export(s, &(struct rp_export_options){.size = sizeof(options)},
			       &err),
		  RP_OK, "%s", err.message);
	snprintf(base, sizeof(base), "%s", s->point);
	stage_take(s, s->point);
	options.base = base;
	block_syscall(SYS_io_uring_setup, EPERM);
	block_syscall(SYS_io_setup, EAGAIN);
	GIVES(NOT_SUPPORTED, stage_export(s, &options, &err));
	EXPECT_EQ(err.os_error, EPERM);
	EXPECT_NE(strstr(err.message, "I/O backend uring"), NULL, "%s", err.message);
	options.io = RP_IO_AIO;
	GIVES(FAILED, stage_export(s, &options, &err));
	EXPECT_EQ(err.os_error, EAGAIN);
	stage_expect_idle(s);
}

/* It works here, but not now. */
TEST_F(blocked, a_want_is_not_a_lack_of_support)
{
	block_syscall(SYS_io_uring_setup, EMFILE);
	block_syscall(SYS_io_setup, EAGAIN);
	expect_refused(&self->stage, RP_IO_URING, RP_FAILED, EMFILE);
	expect_refused(&self->stage, RP_IO_AIO, RP_FAILED, EAGAIN);
}

static void expect_done_without(const struct stage *s, unsigned error)
{
	const struct rp_export_options options = stage_copying(RP_IO_AUTO);
	struct rp_error err;

	block_syscall(SYS_fallocate, error);
	block_syscall(SYS_fadvise64, error);
	block_syscall(SYS_sync_file_range, error);
	ASSERT_EQ(stage_export(s, &options, &err), RP_OK, "%s", err.message);
	EXPECT_TRUE(stage_good_export(s->exports, s->point, s->twin));
}

/* What reserves, advises and hurries is done without. */
TEST_F(blocked, what_only_helps_is_not_needed)
{
	expect_done_without(&self->stage, EPERM);
}

TEST_F(blocked, what_only_helps_and_is_unknown_is_not_needed)
{
	expect_done_without(&self->stage, ENOSYS);
}

/* ------------------------------------------------------------------------ memory */

FIXTURE(memory)
{
	struct engine e;
	struct loopfs other;
};

FIXTURE_SETUP(memory)
{
	engine_open(&self->e, "xfs", 0, NULL, NULL);
	loopfs_mount(&self->other, "ext4", GIB, NULL, NULL);
}

FIXTURE_TEARDOWN(memory)
{
	loopfs_umount(&self->other);
	engine_close(&self->e);
}

static void forget_peak(void)
{
	int fd = open("/proc/self/clear_refs", O_WRONLY | O_CLOEXEC);

	ASSERT_GE(fd, 0);
	ASSERT_EQ(write(fd, "5", 1), 1);
	close(fd);
}

/* Most that was resident since then. */
static uint64_t peak_bytes(void)
{
	FILE *file = fopen("/proc/self/status", "re");
	unsigned long long kib = 0;
	char line[256];

	ASSERT_NE(file, NULL);
	while (!kib && fgets(line, sizeof(line), file))
		sscanf(line, "VmHWM: %llu kB", &kib);
	fclose(file);
	ASSERT_GT(kib, 0);
	return kib * KIB;
}

TEST_F(memory, of_a_huge_disk_is_bounded)
{
	static const enum rp_io backends[] = {RP_IO_URING, RP_IO_AIO, RP_IO_SYNC};
	const char *const ids[] = {"vda"};
	const uint64_t size = 1024 * GIB + 12345, pieces = 300;
	struct rp_export_options options = stage_copying(RP_IO_AUTO);
	const char *disk = engine_disk(&self->e, "vda");
	int fd = data_create(disk, size);

	for (uint64_t i = 0; i < pieces; i++)
		data_write(fd, 3, size / pieces * i + 777, 100000);
	data_write(fd, 3, size - 5000, 5000);
	close(fd);
	engine_add(&self->e, ids, 1);
	json_decref(engine_take(&self->e, NULL));
	options.digest = RP_DIGEST_ALWAYS;
	for (size_t i = 0; i < ARRAY_SIZE(backends); i++) {
		struct rp_error err;
		json_t *report;

		if (!backend_works(backends[i]))
			continue;
		options.io = backends[i];
		forget_peak();
		report = engine_export(&self->e, self->other.mnt, &options);
		if (!SANITIZED)
			EXPECT_LE(peak_bytes(), 64 * MIB);
		EXPECT_TRUE(data_same(
			disk, fmt("%s/vda.raw", json_text(report, "ExportPath"))));
		forget_peak();
		EXPECT_EQ(rp_verify(json_text(report, "ExportPath"), NULL, NULL, &err),
			  RP_OK, "%s", err.message);
		if (!SANITIZED)
			EXPECT_LE(peak_bytes(), 64 * MIB);
		remove_tree(json_text(report, "ExportPath"));
		json_decref(report);
	}
}

/* --------------------------------------------------- memory of what is compared */

FIXTURE(compared)
{
	struct engine e;
	struct loopfs other;
};

/* Where the bytes of both points are read, and where those of one. */
FIXTURE_VARIANT(compared)
{
	const char *type, *source;
};
FIXTURE_VARIANT_ADD(compared, with_a_copied_base){"ext4", "content"};
FIXTURE_VARIANT_ADD(compared, with_a_released_base){"xfs", "digest"};

FIXTURE_SETUP(compared)
{
	const struct rp_create_options options = {.size = sizeof(options),
						  .allow_copy = true};
	const char *const ids[] = {"vda"};
	int fd;

	engine_open(&self->e, variant->type, GIB, NULL, NULL);
	loopfs_mount(&self->other, "ext4", 512 * MIB, NULL, NULL);
	fd = data_create(engine_disk(&self->e, "vda"), 64 * MIB);
	data_write(fd, 3, 0, 64 * MIB);
	engine_add(&self->e, ids, 1);
	json_decref(engine_take(&self->e, &options));
	if (!strcmp(variant->source, "digest"))
		ASSERT_EQ(rp_release(self->e.store, self->e.point, NULL, NULL), RP_OK);
	data_write(fd, 4, 5 * MIB, 100000);
	data_write(fd, 4, 63 * MIB, MIB);
	close(fd);
	json_decref(engine_take(&self->e, &options));
}

FIXTURE_TEARDOWN(compared)
{
	loopfs_umount(&self->other);
	engine_close(&self->e);
}

/* Takes the peak of an export, which is removed again. */
static uint64_t peak_of(const struct engine *e, const char *directory,
			const struct rp_export_options *options, const char *source)
{
	json_t *report;
	uint64_t peak;

	forget_peak();
	report = engine_export(e, directory, options);
	peak = peak_bytes();
	if (source)
		EXPECT_STREQ(json_text(disk_of(report, "vda"), "ChangeSource"), source);
	remove_tree(json_text(report, "ExportPath"));
	json_decref(report);
	return peak;
}

TEST_F(compared, is_within_the_limit)
{
	struct rp_export_options options = stage_copying(RP_IO_AUTO);
	uint64_t full, some;

	options.memory = 2 * MIB;
	peak_of(&self->e, self->other.mnt, &options, NULL); /* all is loaded */
	full = peak_of(&self->e, self->other.mnt, &options, NULL);
	options.base = "web1@latest~1";
	some = peak_of(&self->e, self->other.mnt, &options, variant->source);
	test_log("%llu KiB, %llu KiB with a base", (unsigned long long)(full / KIB),
		 (unsigned long long)(some / KIB));
	if (!SANITIZED)
		EXPECT_LE(some, full + 2 * MIB);
}

/* -------------------------------------------------------------------- page cache */

FIXTURE(cache)
{
	struct engine e;
};

FIXTURE_VARIANT(cache)
{
	const char *type, *mount;
	bool nocow;
	bool direct; /* nothing of it passes through the page cache */
};

FIXTURE_VARIANT_ADD(cache, xfs){.type = "xfs", .direct = true};
FIXTURE_VARIANT_ADD(cache, ext4){.type = "ext4", .direct = true};
FIXTURE_VARIANT_ADD(cache, btrfs){.type = "btrfs"};
FIXTURE_VARIANT_ADD(cache, btrfs_nocow){.type = "btrfs", .nocow = true, .direct = true};
FIXTURE_VARIANT_ADD(cache, btrfs_zstd){.type = "btrfs", .mount = "compress=zstd"};

/* Compressible, and larger than what may stay in the cache. */
static void make_text(const char *path, char first)
{
	const uint64_t size = 128 * MIB + 511;
	char text[65536];
	int fd = data_create(path, size);

	for (uint64_t at = 0; at < size; at += sizeof(text)) {
		size_t len = (size_t)min_u64(sizeof(text), size - at);

		memset(text, first + (int)(at / sizeof(text) % 26), len);
		ASSERT_EQ(pwrite(fd, text, len, (off_t)at), len);
	}
	close(fd);
}

FIXTURE_SETUP(cache)
{
	const struct rp_create_options options = {.size = sizeof(options),
						  .allow_copy = true};
	const char *const ids[] = {"vda"};

	engine_open(&self->e, variant->type, GIB, NULL, variant->mount);
	if (variant->nocow)
		set_inode_flag(fmt("%s/disks", self->e.fs.mnt), FS_NOCOW_FL);
	make_text(engine_disk(&self->e, "vda"), 'a');
	engine_add(&self->e, ids, 1);
	json_decref(engine_take(&self->e, &options));
	engine_sync(&self->e);
}

FIXTURE_TEARDOWN(cache)
{
	engine_close(&self->e);
}

static void drop_cache(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	ASSERT_GE(fd, 0);
	ASSERT_OK(posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED));
	close(fd);
}

TEST_F(cache, is_left_to_others)
{
	const struct rp_export_options options = stage_copying(RP_IO_AUTO);
	const uint64_t limit = variant->direct ? 256 * KIB : 16 * MIB;
	const char *source = engine_clone(&self->e, "vda");
	json_t *report;

	drop_cache(source);
	report = engine_export(&self->e, self->e.out, &options);
	EXPECT_LE(cached_bytes(source), limit);
	EXPECT_LE(cached_bytes(fmt("%s/vda.raw", json_text(report, "ExportPath"))),
		  limit);
	json_decref(report);
}

/* What was written over the clone of the base's image is read again for its digest. */
FIXTURE(merged)
{
	struct engine e;
	struct loopfs target;
};

FIXTURE_SETUP(merged)
{
	const char *const ids[] = {"vda"};

	engine_open(&self->e, "xfs", GIB, NULL, NULL);
	loopfs_mount(&self->target, "btrfs", GIB, NULL, NULL);
	make_text(engine_disk(&self->e, "vda"), 'a');
	engine_add(&self->e, ids, 1);
	json_decref(engine_take(&self->e, NULL));
}

FIXTURE_TEARDOWN(merged)
{
	loopfs_umount(&self->target);
	engine_close(&self->e);
}

TEST_F(merged, leaves_the_page_cache_to_others)
{
	struct rp_export_options options = {.size = sizeof(options), .merge = true};
	char base[POINT_SIZE];
	json_t *report;

	json_decref(engine_export(&self->e, self->target.mnt, NULL));
	snprintf(base, sizeof(base), "%s", self->e.point);
	unlink(engine_disk(&self->e, "vda"));
	make_text(engine_disk(&self->e, "vda"), 'A');
	json_decref(engine_take(&self->e, NULL));
	options.base = base;
	report = engine_export(&self->e, self->target.mnt, &options);
	EXPECT_STREQ(json_text(disk_of(report, "vda"), "Method"), "copy");
	EXPECT_LE(cached_bytes(fmt("%s/vda.raw", json_text(report, "ExportPath"))),
		  16 * MIB);
	json_decref(report);
}

TEST_MAIN
