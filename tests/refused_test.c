/* SPDX-License-Identifier: MIT */
/*
 * refused_test.c - what cannot be restored or merged to where it is to go is refused
 * before the chain is read for it; and a chain that turns out to be damaged harms nothing
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "badfs.h"
#include "data.h"
#include "engine_fixture.h"
#include "harness.h"

#define SIZE  (160 * MIB)
#define PLACE (60 * MIB) /* where only data is, which cannot be read */

/* A chain of two; who reads its data learns that it cannot be read. */
FIXTURE(refused)
{
	struct loopfs below, small;
	struct badfs bad;
	struct stage s;
	char tip[PATH_MAX];
};

static void export_next(struct refused_fixture *self, const char *base,
			char ret_point[POINT_SIZE])
{
	struct rp_export_options options = stage_copying(RP_IO_AUTO);
	struct rp_error err;

	stage_take(&self->s, ret_point);
	options.base = base;
	ASSERT_EQ(
		rp_export(self->s.store, ret_point, self->bad.mnt, &options, NULL, &err),
		RP_OK, "%s", err.message);
}

FIXTURE_SETUP(refused)
{
	char base[POINT_SIZE], point[POINT_SIZE];
	int fd;

	loopfs_mount(&self->below, "ext4", 400 * MIB, NULL, NULL);
	badfs_mount(&self->bad, &self->below);
	loopfs_mount(&self->small, "ext4", 0, NULL, NULL);
	stage_make(&self->s, test_dir(), SIZE, 1);
	export_next(self, NULL, base);
	fd = open(self->s.disk, O_RDWR | O_CLOEXEC);
	ASSERT_GE(fd, 0);
	data_write(fd, 2, PLACE, MIB);
	close(fd);
	export_next(self, base, point);
	snprintf(self->tip, sizeof(self->tip), "%s",
		 stage_export_path(self->bad.mnt, point));
	self->bad.orders->read_at = PLACE;
	self->bad.orders->read_error = EIO;
}

FIXTURE_TEARDOWN(refused)
{
	stage_close(&self->s);
	loopfs_umount(&self->small);
	badfs_umount(&self->bad);
	loopfs_umount(&self->below);
}

static int make_device(const char *name, uint64_t size, char ret_device[32])
{
	const char *image = fmt("%s/%s", test_dir(), name);
	int fd = data_create(image, size);

	data_write(fd, 77, 0, MIB);
	close(fd);
	return loop_attach(image, ret_device);
}

/* Its first MiB is what it was. */
static void expect_untouched(const char *path)
{
	static char have[MIB], want[MIB];
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	ASSERT_GE(fd, 0, "%s", path);
	data_bytes(77, 0, want, MIB);
	ASSERT_EQ(pread(fd, have, MIB, 0), MIB);
	EXPECT_EQ(memcmp(have, want, MIB), 0, "%s", path);
	close(fd);
}

TEST_F(refused, a_device_that_cannot_take_it)
{
	struct rp_error err;
	char device[32];
	int loop = make_device("image", 2 * MIB, device);

	GIVES(IN_USE, rp_restore(self->tip, "vda", self->small.loop, NULL, NULL, &err));
	GIVES(INVALID_PARAMETER, rp_restore(self->tip, "vda", device, NULL, NULL, &err));
	EXPECT_NE(strstr(err.message, "2097152 bytes, the disk has"), NULL, "%s",
		  err.message);
	expect_untouched(device);
	close(loop);
}

static int note_bytes(void *context, const struct rp_progress *progress)
{
	*(uint64_t *)context = progress->bytes_done;
	return 0;
}

/* What cannot be read is lost then, and no error. */
TEST_F(refused, a_device_that_cannot_take_what_is_salvaged)
{
	uint64_t done = 0;
	const struct rp_watch watch = {
		.size = sizeof(watch), .context = &done, .progress = note_bytes};
	const struct rp_read_options options = {
		.size = sizeof(options), .salvage = true, .watch = &watch};
	struct rp_error err;
	char device[32];
	int loop = make_device("image", 2 * MIB, device);

	GIVES(INVALID_PARAMETER,
	      rp_restore(self->tip, "vda", device, &options, NULL, &err));
	EXPECT_EQ(done, 0);
	close(loop);
}

TEST_F(refused, a_name_that_another_one_writes)
{
	const char *output = fmt("%s/vda", self->small.mnt);
	const char *partial = fmt("%s/.vda.partial", self->small.mnt);
	int fd = open(partial, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	struct rp_error err;

	ASSERT_GE(fd, 0);
	ASSERT_OK(flock(fd, LOCK_EX));
	GIVES(IN_USE, rp_restore(self->tip, "vda", output, NULL, NULL, &err));
	close(fd);
	EXPECT_STREQ(listing(self->small.mnt), ".vda.partial lost+found");
}

TEST_F(refused, where_there_is_no_room)
{
	const char *output = fmt("%s/vda", self->small.mnt);
	struct rp_error err;

	GIVES(FAILED, rp_restore(self->tip, "vda", output, NULL, NULL, &err));
	EXPECT_EQ(err.os_error, ENOSPC, "%s", err.message);
	EXPECT_STREQ(err.disk, "vda");
	EXPECT_STREQ(listing(self->small.mnt), "lost+found");
}

TEST_F(refused, to_clone_where_that_cannot_be)
{
	const char *output = fmt("%s/vda", self->small.mnt);
	const struct rp_read_options options = {.size = sizeof(options),
						.clone = RP_CLONE_ALWAYS};
	struct rp_error err;
	char device[32];
	int loop = make_device("image", SIZE, device);

	GIVES(NOT_SUPPORTED, rp_restore(self->tip, "vda", output, &options, NULL, &err));
	GIVES(NOT_SUPPORTED, rp_restore(self->tip, "vda", device, &options, NULL, &err));
	GIVES(NOT_SUPPORTED, rp_merge(self->tip, &options, NULL, &err));
	EXPECT_STREQ(err.disk, "vda");
	EXPECT_STREQ(listing(self->small.mnt), "lost+found");
	expect_untouched(device);
	close(loop);
}

/* All but a few MiB of what there is. */
static void fill(const char *mnt)
{
	int fd = open(fmt("%s/filler", mnt), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	struct statvfs fs;

	ASSERT_GE(fd, 0);
	ASSERT_OK(fstatvfs(fd, &fs));
	ASSERT_OK(fallocate(fd, 0, 0, (off_t)(fs.f_bfree * fs.f_frsize - 16 * MIB)));
	close(fd);
}

TEST_F(refused, to_merge_where_there_is_no_room)
{
	struct rp_error err;

	fill(self->below.mnt);
	GIVES(FAILED, rp_merge(self->tip, NULL, NULL, &err));
	EXPECT_EQ(err.os_error, ENOSPC, "%s", err.message);
	EXPECT_STREQ(err.disk, "vda");
	EXPECT_EQ(strstr(listing(fmt("%s/web1", self->bad.mnt)), ".merging"), NULL);
	ASSERT_OK(unlink(fmt("%s/filler", self->below.mnt)));
	self->bad.orders->read_error = 0;
	GIVES(OK, rp_merge(self->tip, NULL, NULL, &err));
	GIVES(OK, rp_verify(self->tip, NULL, NULL, &err));
}

/* By then the output was open. */
TEST_F(refused, what_is_damaged_harms_nothing)
{
	struct rp_read_options options = {.size = sizeof(options), .replace = true};
	const char *folder = fmt("%s/folder", test_dir());
	const char *old = fmt("%s/old", folder);
	char device[32];
	int loop = make_device("image", SIZE, device), fd;
	struct rp_error err;

	ASSERT_OK(mkdir(folder, 0755));
	fd = data_create(old, MIB);
	data_write(fd, 77, 0, MIB);
	close(fd);
	GIVES(FAILED,
	      rp_restore(self->tip, "vda", fmt("%s/new", folder), NULL, NULL, &err));
	EXPECT_EQ(err.os_error, EIO, "%s", err.message);
	GIVES(FAILED, rp_restore(self->tip, "vda", old, &options, NULL, &err));
	GIVES(FAILED, rp_restore(self->tip, "vda", device, NULL, NULL, &err));
	EXPECT_STREQ(listing(folder), "old");
	expect_untouched(old);
	expect_untouched(device);
	close(loop);
}

TEST_MAIN
