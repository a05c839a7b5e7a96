/* SPDX-License-Identifier: MIT */
/*
 * create_copy_test.c - reference points of disks that cannot be shared: only if a copy is
 * allowed, only of what does not change meanwhile, and nothing is left of one that failed
 */
#include <fcntl.h>
#include <linux/fiemap.h>
#include <linux/fs.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "data.h"
#include "engine_fixture.h"
#include "harness.h"

static const struct rp_create_options allow_copy = {.size = sizeof(allow_copy),
						    .allow_copy = true};

/* The library's calls come by here. What is known of the file with this inode is what was
 * seen of it first, until the server is asked. */
static ino_t remembered_inode;
static struct stat remembered;

int fstat(int fd, struct stat *ret)
{
	int r = (int)syscall(SYS_fstat, fd, ret);

	if (r < 0 || !remembered_inode || ret->st_ino != remembered_inode)
		return r;
	if (remembered.st_ino)
		*ret = remembered;
	else
		remembered = *ret;
	return 0;
}

int statx(int dirfd, const char *path, int flags, unsigned mask, struct statx *ret)
{
	if (flags & AT_STATX_FORCE_SYNC)
		remembered.st_ino = 0;
	return (int)syscall(SYS_statx, dirfd, path, flags, mask, ret);
}

/* What a sync of the file with this inode says. */
static ino_t synced_inode;
static int sync_error;

int fsync(int fd)
{
	struct stat st;

	if (synced_inode && syscall(SYS_fstat, fd, &st) == 0 &&
	    st.st_ino == synced_inode) {
		errno = sync_error;
		return -1;
	}
	return (int)syscall(SYS_fsync, fd);
}

/* A create of web1 that fails, and leaves nothing. */
static void expect_refused(const struct engine *e,
			   const struct rp_create_options *options, uint32_t code,
			   int os_error, const char *disk, const char *words)
{
	struct rp_error err;
	char *point = NULL, *text;
	json_t *points;

	EXPECT_EQ(rp_create_reference_point(e->store, "web1", options, &point, &err),
		  code, "%s", err.message);
	EXPECT_EQ(err.code, code);
	EXPECT_EQ(err.os_error, os_error, "%s", err.message);
	EXPECT_STREQ(err.disk, disk, "%s", err.message);
	EXPECT_NE(strstr(err.message, words), NULL, "%s", err.message);
	EXPECT_EQ(point, NULL);
	engine_expect_idle(e);
	ASSERT_EQ(rp_list_reference_points(e->store, "web1", &text, &err), RP_OK);
	points = take_json(text);
	EXPECT_EQ(json_array_size(points), 0);
	json_decref(points);
}

FIXTURE(copy)
{
	struct engine e;
	struct loopfs other; /* XFS */
	int loop;
};

FIXTURE_SETUP(copy)
{
	self->loop = -1;
	engine_open(&self->e, "ext4", GIB, "-b 4096", NULL);
}

FIXTURE_TEARDOWN(copy)
{
	if (self->loop >= 0)
		close(self->loop);
	loopfs_umount(&self->other);
	engine_close(&self->e);
}

TEST_F(copy, is_not_made_unasked)
{
	const char *const ids[] = {"vda"};
	const struct engine *e = &self->e;
	json_t *point, *disk;

	engine_make_disk(e, "vda", 9 * MIB + 511);
	engine_add(&self->e, ids, 1);
	expect_refused(e, NULL, RP_NOT_SUPPORTED, EOPNOTSUPP, "vda",
		       "no FICLONE from there to the store: Operation not supported");

	point = engine_take(&self->e, &allow_copy);
	disk = disk_of(point, "vda");
	EXPECT_STREQ(json_text(disk, "Method"), "copy");
	EXPECT_NE(strstr(json_text(disk, "MethodReason"), "Operation not supported"),
		  NULL, "%s", json_text(disk, "MethodReason"));
	EXPECT_TRUE(json_is_null(json_object_get(disk, "CloneMilliseconds")));
	EXPECT_STREQ(json_text(point, "Consistency"),
		     "consistent only if the machine was stopped");
	EXPECT_TRUE(data_same(engine_twin(e, "vda"), engine_clone(e, "vda")));
	EXPECT_TRUE(same_holes_at(engine_twin(e, "vda"), engine_clone(e, "vda"), 1));
	json_decref(point);
}

/* Nothing that was written is still only in memory. */
TEST_F(copy, is_of_what_is_on_the_disk)
{
	const char *const ids[] = {"vda"};
	const char *disk = engine_disk(&self->e, "vda");
	int fd = data_create(disk, 5 * MIB);
	unsigned dirty = 0;

	/* Somebody may have had all of it written already. */
	for (int i = 0; !dirty && i < 1000; i++) {
		data_write(fd, 1, MIB, MIB);
		count_extents(disk, false, FIEMAP_EXTENT_DELALLOC, &dirty);
		if (!dirty)
			ASSERT_OK(fallocate(fd,
					    FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
					    MIB, MIB));
	}
	EXPECT_GT(dirty, 0);
	engine_add(&self->e, ids, 1);
	json_decref(engine_take(&self->e, &allow_copy));
	count_extents(disk, false, FIEMAP_EXTENT_DELALLOC, &dirty);
	EXPECT_EQ(dirty, 0);
	EXPECT_TRUE(data_same(disk, engine_clone(&self->e, "vda")));
	close(fd);
}

/* As a squashfs has it, to which nobody ever writes. */
TEST_F(copy, is_of_what_has_no_sync)
{
	const char *const ids[] = {"vda"};
	const char *disk = engine_disk(&self->e, "vda");
	struct stat st;

	engine_make_disk(&self->e, "vda", 5 * MIB);
	engine_add(&self->e, ids, 1);
	ASSERT_OK(stat(disk, &st));
	synced_inode = st.st_ino;
	sync_error = EIO;
	expect_refused(&self->e, &allow_copy, RP_FAILED, EIO, "vda", "sync");
	sync_error = EROFS; /* it became so on an error */
	expect_refused(&self->e, &allow_copy, RP_ACCESS_DENIED, EROFS, "vda", "sync");
	sync_error = EINVAL;
	json_decref(engine_take(&self->e, &allow_copy));
	EXPECT_TRUE(data_same(disk, engine_clone(&self->e, "vda")));
}

/* A machine that was said to be stopped and is not. */
struct guest {
	const char *disk;
	off_t at; /* where it writes */
	bool cuts, discards;
	bool done;
};

static int disturb(void *context, const struct rp_progress *progress)
{
	struct guest *g = context;
	int fd;

	if (g->done || strcmp(progress->phase, "copying"))
		return 0;
	g->done = true;
	fd = open(g->disk, O_WRONLY | O_CLOEXEC);
	ASSERT_GE(fd, 0);
	if (g->cuts)
		ASSERT_OK(ftruncate(fd, g->at));
	else if (g->discards)
		ASSERT_OK(ioctl(fd, BLKDISCARD, (uint64_t[]){g->at, MIB / 2}));
	else
		ASSERT_EQ(pwrite(fd, "x", 1, g->at), 1);
	close(fd);
	return 0;
}

TEST_F(copy, of_a_disk_that_changes_is_thrown_away)
{
	const char *const ids[] = {"vda"};
	struct guest guests[] = {{.at = 0},
				 {.at = 7 * MIB + 1},
				 {.at = 9 * MIB},
				 {.at = 9 * MIB, .cuts = true}};

	engine_make_disk(&self->e, "vda", 8 * MIB);
	engine_add(&self->e, ids, 1);
	for (size_t i = 0; i < ARRAY_SIZE(guests); i++) {
		struct guest *g = &guests[i];
		const struct rp_watch watch = {
			.size = sizeof(watch), .context = g, .progress = disturb};
		struct rp_create_options options = allow_copy;

		g->disk = engine_disk(&self->e, "vda");
		options.watch = &watch;
		expect_refused(&self->e, &options, RP_IN_USE, 0, "vda", "written to");
		EXPECT_TRUE(g->done);
	}
}

/* Another host writes to it: the client of a server remembers what it has seen of a file
 * until it is told to ask again. */
TEST_F(copy, of_a_disk_that_changes_elsewhere_is_thrown_away)
{
	const char *const ids[] = {"vda"};
	struct guest guest = {.disk = engine_disk(&self->e, "vda"), .at = 7 * MIB + 1};
	const struct rp_watch watch = {
		.size = sizeof(watch), .context = &guest, .progress = disturb};
	struct rp_create_options options = allow_copy;
	struct stat st;

	engine_make_disk(&self->e, "vda", 8 * MIB);
	engine_add(&self->e, ids, 1);
	options.watch = &watch;
	ASSERT_OK(stat(guest.disk, &st));
	remembered_inode = st.st_ino;
	expect_refused(&self->e, &options, RP_IN_USE, 0, "vda", "written to");
	remembered_inode = 0;
	EXPECT_TRUE(guest.done);
}

/* web1 has one disk "sda", which is @device: it has the data of @image. */
static void add_device(struct copy_fixture *self, const char *image, char device[32])
{
	struct rp_disk disk = {.id = "sda", .path = device};
	struct rp_error err;

	self->loop = loop_attach(image, device);
	GIVES(OK, rp_system_add(self->e.store, "web1", &disk, 1, NULL, 0, &err));
}

TEST_F(copy, of_a_block_device)
{
	static const struct shape shape = {"image", 6 * MIB + 512, .runs = 30};
	const char *image = fmt("%s/image", self->e.fs.mnt);
	char device[32];
	json_t *point;

	shape_make(&shape, image, test_seed());
	add_device(self, image, device);
	expect_refused(&self->e, NULL, RP_NOT_SUPPORTED, EOPNOTSUPP, "sda",
		       "a block device cannot be cloned");
	point = engine_take(&self->e, &allow_copy);
	EXPECT_STREQ(json_text(disk_of(point, "sda"), "Method"), "copy");
	EXPECT_EQ(json_number(disk_of(point, "sda"), "VirtualSize"), shape.size);
	EXPECT_TRUE(data_same(image, engine_clone(&self->e, "sda")));
	json_decref(point);
}

/* A network block device that is not connected, a drive without a medium. */
TEST_F(copy, not_of_a_device_that_holds_nothing)
{
	const char *image = fmt("%s/image", self->e.fs.mnt);
	char device[32];

	save_text(image, "");
	add_device(self, image, device);
	expect_refused(&self->e, &allow_copy, RP_NOT_AVAILABLE, ENOMEDIUM, "sda",
		       "No medium found");
}

static void expect_thrown_away(struct copy_fixture *self, struct guest guest)
{
	const struct rp_watch watch = {
		.size = sizeof(watch), .context = &guest, .progress = disturb};
	const char *image = fmt("%s/image", self->e.fs.mnt);
	struct rp_create_options options = allow_copy;
	char device[32];

	data_create_random(image, 8 * MIB, 3, 30);
	add_device(self, image, device);
	guest.disk = device;
	options.watch = &watch;
	expect_refused(&self->e, &options, RP_IN_USE, 0, "sda", "written to");
	EXPECT_TRUE(guest.done);
}

TEST_F(copy, of_a_block_device_that_is_written_to_is_thrown_away)
{
	expect_thrown_away(self, (struct guest){.at = 7 * MIB + 1});
}

/* What is discarded has changed, too. */
TEST_F(copy, of_a_block_device_that_is_discarded_is_thrown_away)
{
	expect_thrown_away(self, (struct guest){.at = 7 * MIB, .discards = true});
}

/* Nobody knows, and it is said. */
TEST_F(copy, of_a_block_device_that_is_not_counted_has_a_warning)
{
	const char *image = fmt("%s/image", self->e.fs.mnt);
	char device[32], *point, *text;
	struct rp_error err;
	json_t *doc;

	data_create_random(image, 8 * MIB, 3, 30);
	add_device(self, image, device);
	save_text(fmt("/sys/block/%s/queue/iostats", device + strlen("/dev/")), "0");
	GIVES(OK, rp_create_reference_point(self->e.store, "web1", &allow_copy, &point,
					    &err));
	save_text(fmt("/sys/block/%s/queue/iostats", device + strlen("/dev/")), "1");
	GIVES(OK, rp_show_reference_point(self->e.store, point, &text, &err));
	doc = take_json(text);
	EXPECT_NE(strstr(json_string_value(
				 json_array_get(json_object_get(doc, "Warnings"), 0)),
			 "queue/iostats"),
		  NULL);
	json_decref(doc);
	rp_free(point);
}

TEST_F(copy, not_of_a_mounted_device)
{
	struct rp_disk disk = {.id = "sda"};
	struct rp_error err;

	loopfs_mount(&self->other, "xfs", 0, NULL, NULL);
	disk.path = self->other.loop;
	ASSERT_EQ(rp_system_add(self->e.store, "web1", &disk, 1, NULL, 0, &err), RP_OK,
		  "%s", err.message);
	expect_refused(&self->e, &allow_copy, RP_IN_USE, EBUSY, "sda", disk.path);
}

/* Takes all the room there is, once the copy has begun. */
static int fill_up(void *context, const struct rp_progress *progress)
{
	const char *file = context;
	off_t size = 0;
	int fd;

	if (strcmp(progress->phase, "copying") || exists(file))
		return 0;
	fd = open(file, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	ASSERT_GE(fd, 0);
	while (fallocate(fd, 0, size, MIB) == 0)
		size += MIB;
	ASSERT_EQ(errno, ENOSPC);
	close(fd);
	return 0;
}

static uint64_t free_blocks(const struct engine *e)
{
	struct statfs fs;

	engine_sync(e);
	ASSERT_OK(statfs(e->fs.mnt, &fs));
	return fs.f_bfree;
}

TEST_F(copy, needs_room)
{
	char disk[PATH_MAX], file[PATH_MAX + 8];
	const struct rp_watch watch = {
		.size = sizeof(watch), .context = file, .progress = fill_up};
	struct rp_create_options options = allow_copy;
	struct engine small = {.store = NULL};
	struct rp_error err;
	uint64_t blocks;
	int fd;

	engine_open(&small, "ext4", 64 * MIB, "-b 4096", NULL);
	snprintf(disk, sizeof(disk), "%s", engine_disk(&self->e, "vda"));
	snprintf(file, sizeof(file), "%s/filler", small.fs.mnt);
	fd = data_create(disk, 2 * GIB);
	data_write(fd, 1, MIB, 100 * MIB);
	ASSERT_EQ(rp_system_add(small.store, "web1", &(struct rp_disk){"vda", disk}, 1,
				NULL, 0, &err),
		  RP_OK, "%s", err.message);
	blocks = free_blocks(&small);

	expect_refused(&small, &allow_copy, RP_FAILED, ENOSPC, "vda",
		       "check space for vda.raw: needs 100.0 MiB");
	EXPECT_EQ(free_blocks(&small), blocks);

	ASSERT_OK(ftruncate(fd, 20 * MIB));
	options.watch = &watch;
	expect_refused(&small, &options, RP_FAILED, ENOSPC, "vda",
		       "No space left on device");
	ASSERT_OK(unlink(file));
	/* The kernel lets go of a closed io_uring's files only a moment later. */
	for (int i = 0; free_blocks(&small) != blocks && i < 1000; i++)
		usleep(10000);
	EXPECT_EQ(free_blocks(&small), blocks);

	json_decref(engine_take(&small, &allow_copy));
	EXPECT_TRUE(data_same(disk, engine_clone(&small, "vda")));
	close(fd);
	engine_close(&small);
}

TEST_F(copy, of_one_disk_and_clone_of_another)
{
	struct engine xfs = {.store = NULL};
	struct rp_error err;
	struct rp_disk disks[2];
	json_t *point;

	engine_open(&xfs, "xfs", 0, NULL, NULL);
	engine_make_disk(&xfs, "vda", 3 * MIB);
	engine_make_disk(&self->e, "vdb", 4 * MIB + 1);
	disks[0] = (struct rp_disk){"vda", engine_disk(&xfs, "vda")};
	disks[1] = (struct rp_disk){"vdb", engine_disk(&self->e, "vdb")};
	ASSERT_EQ(rp_system_add(xfs.store, "web1", disks, 2, NULL, 0, &err), RP_OK, "%s",
		  err.message);
	expect_refused(&xfs, NULL, RP_NOT_SUPPORTED, EXDEV, "vdb",
		       "Invalid cross-device link");
	point = engine_take(&xfs, &allow_copy);
	EXPECT_STREQ(json_text(disk_of(point, "vda"), "Method"), "clone");
	EXPECT_STREQ(json_text(disk_of(point, "vdb"), "Method"), "copy");
	EXPECT_STREQ(json_text(point, "Consistency"),
		     "consistent only if the machine was stopped");
	EXPECT_TRUE(data_same(engine_twin(&xfs, "vda"), engine_clone(&xfs, "vda")));
	EXPECT_TRUE(data_same(engine_twin(&self->e, "vdb"), engine_clone(&xfs, "vdb")));
	json_decref(point);
	engine_close(&xfs);
}

TEST_MAIN
