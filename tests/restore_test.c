/* SPDX-License-Identifier: MIT */
/*
 * restore_test.c - an exported disk comes back byte by byte and hole by hole, to files
 * and devices
 */
#include <fcntl.h>
#include <linux/fs.h>
#include <linux/loop.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "blocked.h"
#include "data.h"
#include "engine_fixture.h"
#include "harness.h"

/* ---------------------------------------------------------- to every file system */

FIXTURE(restore)
{
	struct engine e;
	struct loopfs other;
	char path[PATH_MAX]; /* of the export */
};

FIXTURE_VARIANT(restore)
{
	const char *type, *other;
	bool clones, nocow;
};

FIXTURE_VARIANT_ADD(restore, xfs){.type = "xfs", .other = "btrfs", .clones = true};
FIXTURE_VARIANT_ADD(restore, btrfs){.type = "btrfs", .other = "ext4", .clones = true};
FIXTURE_VARIANT_ADD(restore, btrfs_nocow){
	.type = "btrfs", .other = "ext4", .clones = true, .nocow = true};
FIXTURE_VARIANT_ADD(restore, ext4){.type = "ext4", .other = "xfs"};

FIXTURE_SETUP(restore)
{
	const struct rp_create_options create = {.size = sizeof(create),
						 .allow_copy = true};
	const struct rp_export_options options = {.size = sizeof(options),
						  .digest = RP_DIGEST_ALWAYS};
	const char *mkfs = strcmp(variant->type, "ext4") ? NULL : "-b 4096";
	const char *ids[SHAPE_COUNT];
	uint64_t seed = test_seed();
	json_t *report;

	engine_open(&self->e, variant->type, GIB, mkfs, NULL);
	loopfs_mount(&self->other, variant->other, GIB,
		     strcmp(variant->other, "ext4") ? NULL : "-b 4096", NULL);
	if (variant->nocow)
		set_inode_flag(fmt("%s/disks", self->e.fs.mnt), FS_NOCOW_FL);
	for (size_t i = 0; i < SHAPE_COUNT; i++) {
		ids[i] = shapes[i].id;
		shape_make(&shapes[i], engine_disk(&self->e, ids[i]), seed + i);
	}
	engine_add(&self->e, ids, SHAPE_COUNT);
	json_decref(engine_take(&self->e, &create));
	report = engine_export(&self->e, self->e.out, &options);
	snprintf(self->path, sizeof(self->path), "%s", json_text(report, "ExportPath"));
	json_decref(report);
}

FIXTURE_TEARDOWN(restore)
{
	loopfs_umount(&self->other);
	engine_close(&self->e);
}

/* Every disk to a new file in @directory. */
static void expect_restored(const struct restore_fixture *self, const char *directory,
			    const struct rp_read_options *options, const char *method)
{
	for (size_t i = 0; i < SHAPE_COUNT; i++) {
		const char *id = shapes[i].id;
		const char *output = fmt("%s/%s.restored", directory, id);
		const char *exported = fmt("%s/%s.raw", self->path, id);
		json_t *report = stage_restore(self->path, id, output, options);
		int64_t data = json_number(report, "VirtualSize") -
			       json_number(report, "ZeroBytes");
		struct stat st;

		ASSERT_OK(stat(output, &st));
		EXPECT_EQ(st.st_mode & 07777, 0600);
		EXPECT_TRUE(data_same(engine_disk(&self->e, id), output), "%s", id);
		EXPECT_TRUE(same_holes_at(exported, output, 1), "%s", id);
		EXPECT_STREQ(json_text(report, "DiskId"), id);
		EXPECT_STREQ(json_text(report, "Output"), output);
		EXPECT_EQ(json_number(report, "VirtualSize"), shapes[i].size);
		EXPECT_EQ(data, data_bytes_of(exported));
		EXPECT_STREQ(json_text(report, "Method"), data ? method : "none");
		EXPECT_EQ(json_number(report, "CopiedBytes"),
			  strcmp(method, "copy") ? 0 : data);
		EXPECT_EQ(json_number(report, "ClonedBytes"),
			  strcmp(method, "copy") ? data : 0);
		/* What is only shared is read for it. */
		EXPECT_TRUE(json_is_true(json_object_get(report, "DigestChecked")), "%s",
			    id);
		if (strcmp(method, "copy"))
			EXPECT_TRUE(is_shared(output), "%s", id);
		ASSERT_OK(unlink(output));
		json_decref(report);
	}
}

TEST_F(restore, of_every_disk)
{
	const char *const directories[] = {self->e.fs.mnt, self->other.mnt};
	struct rp_read_options options = {.size = sizeof(options)};

	expect_restored(self, self->e.fs.mnt, NULL, variant->clones ? "clone" : "copy");
	expect_restored(self, self->other.mnt, NULL, "copy");
	options.clone = RP_CLONE_NEVER;
	for (enum rp_io io = RP_IO_URING; io <= RP_IO_SYNC; io++) {
		options.io = io;
		if (backend_works(io))
			expect_restored(self, directories[io % 2], &options, "copy");
	}
}

TEST_F(restore, shares_blocks_if_told_to)
{
	const struct rp_read_options options = {.size = sizeof(options),
						.clone = RP_CLONE_ALWAYS};
	const char *output = fmt("%s/restored", self->other.mnt);
	struct rp_error err;

	EXPECT_EQ(rp_restore(self->path, "odd", output, &options, NULL, &err),
		  RP_NOT_SUPPORTED, "%s", err.message);
	EXPECT_EQ(err.os_error, EXDEV);
	EXPECT_EQ(strstr(listing(self->other.mnt), "restored"), NULL, "%s",
		  listing(self->other.mnt));
	if (variant->clones)
		expect_restored(self, self->e.fs.mnt, &options, "clone");
}

/* However it would come back. */
TEST_F(restore, nothing_that_is_damaged)
{
	const char *raw = fmt("%s/odd.raw", self->path);
	const char *const directories[] = {self->e.fs.mnt, self->other.mnt};
	struct stat st;
	struct rp_error err;

	ASSERT_OK(stat(raw, &st));
	data_flip(raw, (uint64_t)st.st_size / 2);
	for (size_t i = 0; i < ARRAY_SIZE(directories); i++) {
		GIVES(FAILED,
		      rp_restore(self->path, "odd", fmt("%s/restored", directories[i]),
				 NULL, NULL, &err));
		EXPECT_EQ(strstr(listing(directories[i]), "restored"), NULL, "%s",
			  listing(directories[i]));
	}
}

/* -------------------------------------------------------------- to block devices */

#define SPARE (2 * MIB + 512) /* of the device, behind the disk */

FIXTURE(device)
{
	struct stage stage;
	char path[PATH_MAX], image[PATH_MAX], device[32];
	int loop;
	uint64_t size;
};

FIXTURE_VARIANT(device)
{
	uint64_t size;
	unsigned runs;
	int sector;
};

FIXTURE_VARIANT_ADD(device, aligned){8 * MIB, 20, 512};
FIXTURE_VARIANT_ADD(device, unaligned){9 * MIB + 4097, 30, 512};
FIXTURE_VARIANT_ADD(device, by_half_a_sector){3 * MIB + 255, 200, 512};
FIXTURE_VARIANT_ADD(device, large_sectors){9 * MIB + 4097, 60, 16384};
FIXTURE_VARIANT_ADD(device, tiny){777, 1, 512};
FIXTURE_VARIANT_ADD(device, no_data){5 * MIB + 1, 0, 512};

/* What the device holds before, so that what is left of it shows. */
static void make_image(const char *path, uint64_t size)
{
	int fd = data_create(path, size);

	data_write(fd, 77, 0, size);
	ASSERT_OK(fsync(fd));
	close(fd);
}

/* Who opens a device first tells its page cache how large they are: that was before. */
static void set_sector(int loop, int sector)
{
	if (ioctl(loop, LOOP_SET_BLOCK_SIZE, sector))
		SKIP("no sectors of %d bytes: %s", sector, strerror(errno));
	ASSERT_OK(ioctl(loop, BLKBSZSET, &sector));
}

FIXTURE_SETUP(device)
{
	const struct shape shape = {"vda", variant->size, .runs = variant->runs};
	struct rp_export_options options = stage_copying(RP_IO_AUTO);
	char point[POINT_SIZE];
	struct rp_error err;

	self->loop = -1;
	stage_make(&self->stage, test_dir(), MIB, 1);
	ASSERT_OK(unlink(self->stage.disk));
	shape_make(&shape, self->stage.disk, test_seed());
	stage_take(&self->stage, point);
	ASSERT_EQ(rp_export(self->stage.store, point, self->stage.exports, &options, NULL,
			    &err),
		  RP_OK, "%s", err.message);
	snprintf(self->path, sizeof(self->path), "%s",
		 stage_export_path(self->stage.exports, point));
	self->size = round_up(variant->size + SPARE, variant->sector);
	snprintf(self->image, sizeof(self->image), "%s/image", test_dir());
	make_image(self->image, self->size);
	self->loop = loop_attach(self->image, self->device);
	if (variant->sector != 512)
		set_sector(self->loop, variant->sector);
}

FIXTURE_TEARDOWN(device)
{
	if (self->loop >= 0)
		close(self->loop);
	stage_close(&self->stage);
}

/* @path holds the disk up to @disk_size, and behind it what was there before. */
static void expect_content(const struct device_fixture *self, const char *path,
			   uint64_t size, uint64_t disk_size)
{
	char *have = malloc(size), *want = malloc(size);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	int disk = open(self->stage.disk, O_RDONLY | O_CLOEXEC);
	uint64_t at = 0;

	ASSERT_NE(have, NULL);
	ASSERT_NE(want, NULL);
	data_bytes(77, 0, want, size);
	ASSERT_EQ(pread(disk, want, disk_size, 0), disk_size);
	ASSERT_EQ(pread(fd, have, size, 0), size);
	while (at < size && have[at] == want[at])
		at++;
	EXPECT_EQ(at, size, "in %s", path);
	close(disk);
	close(fd);
	free(have);
	free(want);
}

/* It holds again what it held before. */
static void spoil(const struct device_fixture *self)
{
	int fd = open(self->device, O_RDWR | O_CLOEXEC);

	ASSERT_GE(fd, 0);
	data_write(fd, 77, 0, self->size);
	ASSERT_OK(fsync(fd));
	close(fd);
}

TEST_F(device, holds_the_disk)
{
	struct rp_read_options options = {.size = sizeof(options)};

	for (enum rp_io io = RP_IO_AUTO; io <= RP_IO_SYNC; io++) {
		json_t *report;

		if (!backend_works(io))
			continue;
		options.io = io;
		report = stage_restore(self->path, "vda", self->device, &options);
		EXPECT_STREQ(json_text(report, "Output"), self->device);
		EXPECT_STREQ(json_text(report, "Method"),
			     variant->runs ? "copy" : "none");
		EXPECT_TRUE(json_is_true(json_object_get(report, "DigestChecked")));
		json_decref(report);
		expect_content(self, self->device, self->size, variant->size);
		/* On stable storage, which here is the image. */
		expect_content(self, self->image, self->size, variant->size);
		spoil(self);
	}
}

/* By the device, an old kernel or a filter. */
TEST_F(device, holds_the_disk_if_it_cannot_be_asked_for_zeros)
{
	static const unsigned errors[] = {EOPNOTSUPP, ENOSYS, EPERM, ENODEV};

	for (size_t i = 0; i < ARRAY_SIZE(errors); i++) {
		block_syscall(SYS_fallocate, errors[i]);
		json_decref(stage_restore(self->path, "vda", self->device, NULL));
		expect_content(self, self->image, self->size, variant->size);
		spoil(self);
	}
}

TEST_F(device, cannot_share)
{
	const struct rp_read_options options = {.size = sizeof(options),
						.clone = RP_CLONE_ALWAYS};
	struct rp_error err;

	if (!variant->runs)
		SKIP("there is nothing to share");
	EXPECT_EQ(rp_restore(self->path, "vda", self->device, &options, NULL, &err),
		  RP_NOT_SUPPORTED, "%s", err.message);
	expect_content(self, self->device, self->size, 0);
}

TEST_F(device, is_too_small)
{
	const char *image = fmt("%s/small", test_dir());
	uint64_t size = round_down(variant->size - 1, 512);
	struct rp_error err;
	char device[32];
	int loop;

	if (!size)
		size = 512;
	make_image(image, size);
	loop = loop_attach(image, device);
	EXPECT_EQ(rp_restore(self->path, "vda", device, NULL, NULL, &err),
		  RP_INVALID_PARAMETER, "%s", err.message);
	EXPECT_STREQ(err.disk, "vda");
	EXPECT_NE(strstr(err.message, device), NULL, "%s", err.message);
	expect_content(self, device, size, 0);
	close(loop);
}

/* As a running QEMU locks it: it does not ask for the device exclusively. */
TEST_F(device, is_not_taken_from_a_machine_that_runs)
{
	struct flock lock = {
		.l_type = F_RDLCK, .l_whence = SEEK_SET, .l_start = 201, .l_len = 1};
	int fd = open(self->device, O_RDWR | O_CLOEXEC);
	struct rp_error err;

	ASSERT_OK(fcntl(fd, F_OFD_SETLK, &lock));
	GIVES(IN_USE, rp_restore(self->path, "vda", self->device, NULL, NULL, &err));
	expect_content(self, self->device, self->size, 0);
	close(fd);
}

TEST_F(device, is_not_taken_from_who_has_locked_it)
{
	int fd = open(self->device, O_RDONLY | O_CLOEXEC);
	struct rp_error err;

	ASSERT_OK(flock(fd, LOCK_EX));
	GIVES(IN_USE, rp_restore(self->path, "vda", self->device, NULL, NULL, &err));
	expect_content(self, self->device, self->size, 0);
	close(fd);
	GIVES(OK, rp_restore(self->path, "vda", self->device, NULL, NULL, &err));
}

TEST(a_mounted_device_is_left_alone)
{
	struct engine e = {.store = NULL};
	const char *const ids[] = {"vda"};
	struct rp_error err;
	json_t *report;

	engine_open(&e, "xfs", 0, NULL, NULL);
	close(data_create(engine_disk(&e, "vda"), MIB));
	engine_add(&e, ids, 1);
	json_decref(engine_take(&e, NULL));
	report = engine_export(&e, e.out, NULL);
	EXPECT_EQ(rp_restore(json_text(report, "ExportPath"), "vda", e.fs.loop, NULL,
			     NULL, &err),
		  RP_IN_USE, "%s", err.message);
	EXPECT_EQ(err.os_error, EBUSY);
	json_decref(report);
	engine_close(&e);
}

TEST(needs_room)
{
	struct rp_export_options options = stage_copying(RP_IO_AUTO);
	struct loopfs small = {.mounted = false};
	struct stage stage = {.store = NULL};
	struct rp_error err;

	loopfs_mount(&small, "ext4", 0, NULL, NULL);
	stage_make(&stage, test_dir(), 160 * MIB, 1);
	ASSERT_EQ(stage_export(&stage, &options, &err), RP_OK, "%s", err.message);
	EXPECT_EQ(rp_restore(stage_export_path(stage.exports, stage.point), "vda",
			     fmt("%s/vda", small.mnt), NULL, NULL, &err),
		  RP_FAILED);
	EXPECT_EQ(err.os_error, ENOSPC, "%s", err.message);
	EXPECT_STREQ(err.disk, "vda");
	EXPECT_STREQ(listing(small.mnt), "lost+found");
	stage_close(&stage);
	loopfs_umount(&small);
}

TEST_MAIN
