/* SPDX-License-Identifier: MIT */
/*
 * writeback_test.c - a destination that takes every write and then loses it: buffered
 * Btrfs on a device that runs out of memory below. The kernel tells of it once, to
 * whoever asks first; no export and no restored disk may come of it
 */
#include <fcntl.h>
#include <linux/btrfs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "data.h"
#include "engine_fixture.h"
#include "harness.h"

#define SIZE   (40 * MIB) /* several steps of write-behind */
#define DEVICE (256 * MIB)
#define ROUNDS 3

/* Of a set. */
#define COUNT 10
#define SMALL (3 * MIB)

/*
 *	small.mnt/image		all of it allocated but for where data is going to be
 *	mnt			the Btrfs in it: its metadata can always be written
 */
FIXTURE(lossy)
{
	struct loopfs small; /* tmpfs */
	struct stage stage;
	char image[PATH_MAX + 8], mnt[PATH_MAX], device[32];
	bool mounted;
};

FIXTURE_VARIANT(lossy)
{
	enum rp_io io;
};

FIXTURE_VARIANT_ADD(lossy, uring){RP_IO_URING};
FIXTURE_VARIANT_ADD(lossy, aio){RP_IO_AIO};
FIXTURE_VARIANT_ADD(lossy, sync){RP_IO_SYNC};

static void sync_fs(const char *path)
{
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	ASSERT_GE(fd, 0, "%s: %s", path, strerror(errno));
	ASSERT_OK(ioctl(fd, BTRFS_IOC_SYNC));
	close(fd);
}

static void make_image(const struct lossy_fixture *self)
{
	int fd = open(self->image, O_RDWR | O_CREAT | O_CLOEXEC, 0600);

	ASSERT_GE(fd, 0, "%s: %s", self->image, strerror(errno));
	ASSERT_OK(ftruncate(fd, (off_t)DEVICE));
	ASSERT_OK(system(fmt("PATH=$PATH:/usr/sbin:/sbin; mkfs.btrfs -q -f -m dup '%s'",
			     self->image)));
	ASSERT_OK(fallocate(fd, 0, 0, (off_t)DEVICE));
	close(fd);
}

/*
 * The loop device is held by the mount. Of a request that it has written a part of when
 * the memory runs out it says that all of it was: none is larger than a page.
 */
static void mount_image(struct lossy_fixture *self)
{
	int loop = loop_attach(self->image, self->device);

	save_text(fmt("/sys/block/%s/queue/max_sectors_kb", basename(self->device)), "4");
	ASSERT_OK(mount(self->device, self->mnt, "btrfs", 0, "discard=sync"), "%s",
		  self->device);
	self->mounted = true;
	close(loop);
}

/* The device keeps its limit for whoever has it next. */
static void restore_limit(const struct lossy_fixture *self)
{
	const char *queue = fmt("/sys/block/%s/queue", basename(self->device));

	EXPECT_OK(
		system(fmt("cat %s/max_hw_sectors_kb >%s/max_sectors_kb", queue, queue)));
}

static void unmount_image(struct lossy_fixture *self)
{
	if (self->mounted)
		restore_limit(self);
	for (int tries = 0; self->mounted && tries < 6000; tries++) {
		self->mounted = umount2(self->mnt, UMOUNT_NOFOLLOW) < 0;
		if (self->mounted)
			usleep(10000);
	}
	EXPECT_FALSE(self->mounted, "umount %s", self->mnt);
}

/* All there is for data is given back, so that memory for it has to be found anew. */
static void discard_data(const struct lossy_fixture *self)
{
	const char *ballast = fmt("%s/ballast", self->mnt);
	int fd = data_create(ballast, 0);
	uint64_t size = 0;

	while (fallocate(fd, 0, (off_t)size, (off_t)MIB) == 0)
		size += MIB;
	ASSERT_EQ(errno, ENOSPC);
	ASSERT_GT(size, 2 * SIZE);
	ASSERT_OK(fsync(fd));
	close(fd);
	ASSERT_OK(unlink(ballast));
	sync_fs(self->mnt);
}

/* From now on the tmpfs has room for @bytes more. */
static void leave_free(const struct lossy_fixture *self, uint64_t bytes)
{
	struct statvfs st;
	uint64_t used;

	ASSERT_OK(statvfs(self->small.mnt, &st));
	used = (st.f_blocks - st.f_bfree) * st.f_frsize;
	ASSERT_OK(mount(NULL, self->small.mnt, NULL, MS_REMOUNT,
			fmt("size=%llu", (unsigned long long)(used + bytes))));
}

FIXTURE_SETUP(lossy)
{
	if (loopfs_skip_reason("btrfs"))
		SKIP("%s", loopfs_skip_reason("btrfs"));
	if (!backend_works(variant->io))
		SKIP("no such backend here");
	loopfs_mount(&self->small, "tmpfs", 0, NULL, "size=512m");
	snprintf(self->image, sizeof(self->image), "%s/image", self->small.mnt);
	snprintf(self->mnt, sizeof(self->mnt), "%s/lossy", test_dir());
	ASSERT_OK(mkdir(self->mnt, 0700));
	make_image(self);
	mount_image(self);
	stage_make(&self->stage, test_dir(), SIZE, test_seed());
	discard_data(self);
}

FIXTURE_TEARDOWN(lossy)
{
	stage_close(&self->stage);
	unmount_image(self);
	loopfs_umount(&self->small);
}

/* What is lost is lost on the way, or when it is to be made durable. */
static void expect_lost(uint32_t rc, const struct rp_error *err)
{
	EXPECT_EQ(rc, RP_FAILED, "%s", err->message);
	EXPECT_TRUE(err->os_error == EIO || err->os_error == ENOSPC, "%s", err->message);
	EXPECT_STREQ(err->disk, "vda", "%s", err->message);
	EXPECT_STREQ(err->system, "web1");
}

/* What is kept of it is what was not lost: the next one goes on with that. */
TEST_F(lossy, export_is_not_published)
{
	struct rp_export_options options = stage_copying(variant->io);
	struct stage *s = &self->stage;
	struct rp_error err;

	snprintf(s->exports, sizeof(s->exports), "%s", fmt("%s/exports", self->mnt));
	ASSERT_OK(mkdir(s->exports, 0700));
	for (unsigned round = 0; round < ROUNDS; round++) {
		/* All rounds together have less room than there is data. */
		leave_free(self, 6 * MIB);
		expect_lost(stage_export(s, &options, &err), &err);
		stage_expect_idle(s);
		EXPECT_FALSE(exists(stage_export_path(s->exports, s->point)));
		sync_fs(self->mnt);
	}
	leave_free(self, 200 * MIB);
	GIVES(OK, stage_export(s, &options, &err));
	EXPECT_TRUE(stage_good_export(s->exports, s->point, s->twin));
}

TEST_F(lossy, disk_is_not_restored)
{
	const struct rp_read_options options = {
		.size = sizeof(options), .io = variant->io, .clone = RP_CLONE_NEVER};
	struct rp_export_options copying = stage_copying(RP_IO_AUTO);
	const char *folder = fmt("%s/restored", self->mnt), *output, *path;
	const struct stage *s = &self->stage;
	struct rp_error err;

	GIVES(OK, stage_export(s, &copying, &err));
	path = stage_export_path(s->exports, s->point);
	ASSERT_OK(mkdir(folder, 0700));
	output = fmt("%s/vda", folder);
	for (unsigned round = 0; round < ROUNDS; round++) {
		leave_free(self, (round + 1) * 6 * MIB);
		expect_lost(rp_restore(path, "vda", output, &options, NULL, &err), &err);
		EXPECT_STREQ(listing(folder), "");
		unlink(output);
		sync_fs(self->mnt);
	}
	leave_free(self, 200 * MIB);
	GIVES(OK, rp_restore(path, "vda", output, &options, NULL, &err));
	EXPECT_TRUE(data_same(output, s->twin));
}

/* ------------------------------------------------------------------ many at once */

struct outcome {
	uint32_t values[COUNT];
	unsigned failed;
};

static void told(void *context, size_t i, uint32_t value, const char *report,
		 const struct rp_error *err)
{
	struct outcome *o = context;

	(void)report;
	o->values[i] = value;
	o->failed += value != RP_OK;
	if (value == RP_OK)
		return;
	EXPECT_TRUE(err->os_error == EIO || err->os_error == ENOSPC, "%s", err->message);
	EXPECT_STREQ(err->system, fmt("s%zu", i));
}

static void add_small(const struct stage *s, unsigned i, char ret_point[POINT_SIZE])
{
	const struct rp_create_options options = {.size = sizeof(options),
						  .allow_copy = true};
	struct rp_disk disk = {.id = "vda", .path = fmt("%s/small%u", test_dir(), i)};
	struct rp_error err;
	int fd = data_create(disk.path, SMALL);
	char *point;

	data_write(fd, test_seed() + i, 0, SMALL);
	close(fd);
	GIVES(OK, rp_system_add(s->store, fmt("s%u", i), &disk, 1, NULL, 0, &err));
	GIVES(OK,
	      rp_create_reference_point(s->store, fmt("s%u", i), &options, &point, &err));
	snprintf(ret_point, POINT_SIZE, "%s", point);
	rp_free(point);
}

/* After a look at what is really on the device. */
static void expect_as_told(struct lossy_fixture *self, char points[COUNT][POINT_SIZE],
			   const struct outcome *o)
{
	unmount_image(self);
	mount_image(self);
	for (unsigned i = 0; i < COUNT; i++) {
		const char *path = fmt("%s/exports/s%u/%s", self->mnt, i,
				       strchr(points[i], '@') + 1);
		struct rp_error err;

		EXPECT_EQ(exists(path), o->values[i] == RP_OK, "%s", path);
		if (!exists(path))
			continue;
		GIVES(OK, rp_verify(path, NULL, NULL, &err));
		EXPECT_TRUE(data_same(fmt("%s/vda.raw", path),
				      fmt("%s/small%u", test_dir(), i)),
			    "%s", path);
	}
}

/* They have their syncs together, and the kernel tells of a lost write to one of them
 * alone: each has to know what became of its own. */
TEST_F(lossy, of_a_set_each_is_whole_or_not_published)
{
	struct rp_export_options options = stage_copying(variant->io);
	char names[COUNT][POINT_SIZE];
	const char *points[COUNT], *out;
	struct outcome o = {0};
	struct rp_error err;

	for (unsigned i = 0; i < COUNT; i++) {
		add_small(&self->stage, i, names[i]);
		points[i] = names[i];
	}
	out = fmt("%s/exports", self->mnt);
	ASSERT_OK(mkdir(out, 0700));
	sync_fs(self->mnt);
	leave_free(self, 8 * MIB);
	GIVES(FAILED, rp_export_set(self->stage.store, points, COUNT, out, &options, told,
				    &o, &err));
	EXPECT_GT(o.failed, 0);
	expect_as_told(self, names, &o);
}

TEST_MAIN
