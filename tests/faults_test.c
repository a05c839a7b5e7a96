/* SPDX-License-Identifier: MIT */
/*
 * faults_test.c - what the kernel and devices refuse (32768), for real: bad sectors,
 * syncs that fail, full file systems, limits, digests that differ. Each time the error
 * says where, nothing is left behind, and what was there before is unharmed
 */
#include <fcntl.h>
#include <linux/loop.h>
#include <signal.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "badfs.h"
#include "data.h"
#include "harness.h"
#include "stage.h"

#define SIZE   (8 * MIB)
#define SECTOR (5 * MIB + 512) /* the bad one; there is data */

/* Then it works: nothing of the failure stays. */
static void expect_export_works(const struct stage *s)
{
	struct rp_export_options options = stage_copying(RP_IO_AUTO);
	struct rp_error err;

	ASSERT_EQ(stage_export(s, &options, &err), RP_OK, "%s", err.message);
	EXPECT_TRUE(stage_good_export(s->exports, s->point, s->twin));
}

static struct rp_error failure(int os_error, const char *step, uint64_t offset)
{
	struct rp_error want = {.code = RP_FAILED,
				.os_error = os_error,
				.system = "web1",
				.disk = "vda",
				.offset = offset};

	snprintf(want.step, sizeof(want.step), "%s", step);
	return want;
}

static void expect_names_system_error(const struct rp_error *err)
{
	EXPECT_NE(strstr(err->message, strerrordesc_np(err->os_error)), NULL, "%s",
		  err->message);
}

/* -------------------------------------------------------------- devices that fail */

FIXTURE(faulty)
{
	struct loopfs lower;
	struct badfs fs;
	struct stage stage;
};

FIXTURE_VARIANT(faulty)
{
	enum rp_io io;
};

FIXTURE_VARIANT_ADD(faulty, uring){RP_IO_URING};
FIXTURE_VARIANT_ADD(faulty, aio){RP_IO_AIO};
FIXTURE_VARIANT_ADD(faulty, sync){RP_IO_SYNC};

FIXTURE_SETUP(faulty)
{
	loopfs_mount(&self->lower, "ext4", 96 * MIB, NULL, NULL);
	badfs_mount(&self->fs, &self->lower);
	stage_make(&self->stage, self->fs.mnt, SIZE, test_seed());
}

FIXTURE_TEARDOWN(faulty)
{
	stage_close(&self->stage);
	badfs_umount(&self->fs);
	loopfs_umount(&self->lower);
}

static uint32_t create(const struct stage *s, const char *system, enum rp_io io,
		       struct rp_error *err)
{
	const struct rp_create_options options = {
		.size = sizeof(options), .allow_copy = true, .io = io};
	char *point = NULL;
	uint32_t rc = rp_create_reference_point(s->store, system, &options, &point, err);

	EXPECT_EQ(rc == RP_OK, point != NULL);
	rp_free(point);
	return rc;
}

TEST_F(faulty, source_cannot_be_read)
{
	const struct rp_error want = failure(EIO, "read", SECTOR);
	struct badfs_orders *orders = self->fs.orders;
	struct rp_error err;
	uint32_t rc;

	orders->read_at = SECTOR;
	orders->read_error = EIO;
	rc = create(&self->stage, "web1", variant->io, &err);
	orders->read_error = 0;
	expect_error(rc, &err, &want);
	expect_names_system_error(&err);
	stage_expect_unharmed(&self->stage, "");
	EXPECT_EQ(create(&self->stage, "web1", variant->io, &err), RP_OK);
}

TEST_F(faulty, destination_cannot_be_written)
{
	static const int errors[] = {EIO, EDQUOT, EFBIG, ENOSPC};
	struct rp_export_options options = stage_copying(variant->io);
	struct badfs_orders *orders = self->fs.orders;
	struct rp_error err;
	uint32_t rc;

	options.queue_depth = 1; /* what comes before the bad one is written before it */
	orders->write_at = SECTOR;
	for (size_t i = 0; i < ARRAY_SIZE(errors); i++) {
		const struct rp_error want = failure(errors[i], "write", SECTOR);

		orders->write_error = errors[i];
		rc = stage_export(&self->stage, &options, &err);
		orders->write_error = 0;
		expect_error(rc, &err, &want);
		expect_names_system_error(&err);
		/* What came before is kept, and the next one goes on from there. */
		stage_expect_unharmed(&self->stage, "web1");
		EXPECT_NE(strstr(err.message, "is kept"), NULL, "%s", err.message);
	}
	expect_export_works(&self->stage);
}

static int fail_syncs(void *context, const struct rp_progress *progress)
{
	struct badfs_orders *orders = context;

	if (!strcmp(progress->phase, "copying"))
		orders->sync_error = EIO;
	return 0;
}

/* What was written and cannot be made durable is not published. */
TEST_F(faulty, destination_cannot_be_synced)
{
	struct rp_error want = failure(EIO, "sync", RP_NO_OFFSET);
	const struct rp_watch watch = {.size = sizeof(watch),
				       .context = self->fs.orders,
				       .progress = fail_syncs};
	struct rp_export_options options = stage_copying(variant->io);
	struct rp_error err;
	uint32_t rc;

	options.watch = &watch;
	rc = stage_export(&self->stage, &options, &err);
	self->fs.orders->sync_error = 0;
	expect_error(rc, &err, &want);
	expect_names_system_error(&err);
	/* Its record could not be saved either; the next command ends it. */
	stage_close(&self->stage);
	self->stage.store = stage_open(&self->stage, 0);
	stage_expect_unharmed(&self->stage, "");
	expect_export_works(&self->stage);
}

/* A point keeps its data until what takes its place is there for good. */
TEST_F(faulty, folder_of_points_cannot_be_synced)
{
	const struct rp_read_options options = {.size = sizeof(options),
						.io = variant->io};
	struct rp_error err, want = failure(EIO, "release", RP_NO_OFFSET);
	const struct stage *s = &self->stage;
	uint32_t rc;

	want.disk[0] = '\0'; /* all of them */
	for (size_t i = 0; i < 2; i++) {
		strcpy(self->fs.orders->unsynced, i ? "pending" : "points");
		rc = rp_release(s->store, s->point, &options, &err);
		strcpy(self->fs.orders->unsynced, "");
		expect_error(rc, &err, &want);
		EXPECT_EQ(strstr(err.message, "pending"), NULL, "%s", err.message);
		stage_expect_unharmed(s, "");
	}
	GIVES(OK, rp_release(s->store, s->point, &options, &err));
	EXPECT_FALSE(exists(fmt("%s/vda.raw", stage_point_path(s, s->point))));
}

/* It cannot be put back either: it is told where the data is. */
TEST_F(faulty, folder_of_points_cannot_be_synced_nor_put_back)
{
	const struct rp_read_options options = {.size = sizeof(options),
						.io = variant->io};
	const struct stage *s = &self->stage;
	const char *at, *id = strchr(s->point, '@') + 1;
	struct rp_error err;

	strcpy(self->fs.orders->unsynced, "points");
	strcpy(self->fs.orders->stuck, id);
	GIVES(FAILED, rp_release(s->store, s->point, &options, &err));
	strcpy(self->fs.orders->unsynced, "");
	strcpy(self->fs.orders->stuck, "");
	at = strstr(err.message, "pending/");
	ASSERT_NE(at, NULL, "%s", err.message);
	EXPECT_TRUE(data_same(fmt("%s/%.44s/vda.raw", s->path, at), s->twin));
}

/* It might be back after a power cut: it has not gone yet. */
TEST_F(faulty, folder_of_a_destroyed_point_cannot_be_synced)
{
	struct rp_error err, want = failure(EIO, "remove", RP_NO_OFFSET);
	const struct stage *s = &self->stage;
	uint32_t rc;

	want.disk[0] = '\0';
	strcpy(self->fs.orders->unsynced, "points");
	rc = rp_destroy_reference_point(s->store, s->point, &err);
	strcpy(self->fs.orders->unsynced, "");
	expect_error(rc, &err, &want);
	EXPECT_EQ(strstr(err.message, "pending"), NULL, "%s", err.message);
	stage_expect_unharmed(s, "");
	GIVES(OK, rp_destroy_reference_point(s->store, s->point, &err));
	stage_expect_idle(s);
}

/* As a point that is taken, one that is imported counts when its name is durable. */
TEST_F(faulty, folder_of_an_imported_point_cannot_be_synced)
{
	struct rp_export_options options = stage_copying(variant->io);
	const struct stage *s = &self->stage;
	const char *points = fmt("%s/systems/web1/points", s->path), *path;
	const char *id = strchr(s->point, '@') + 1;
	struct rp_error err;
	char *point = NULL;

	ASSERT_EQ(stage_export(s, &options, &err), RP_OK, "%s", err.message);
	path = stage_export_path(s->exports, s->point);
	GIVES(OK, rp_destroy_reference_point(s->store, s->point, &err));
	strcpy(self->fs.orders->unsynced, "points");
	GIVES(FAILED, rp_import(s->store, path, &point, &err));
	EXPECT_EQ(err.os_error, EIO);
	strcpy(self->fs.orders->unsynced, "");
	EXPECT_EQ(strstr(err.message, "has its name"), NULL, "%s", err.message);
	EXPECT_STREQ(listing(points), "");
	stage_expect_idle(s);
	strcpy(self->fs.orders->unsynced, "points");
	strcpy(self->fs.orders->stuck, id);
	GIVES(FAILED, rp_import(s->store, path, &point, &err));
	EXPECT_NE(strstr(err.message, "has its name"), NULL, "%s", err.message);
	EXPECT_STREQ(listing(points), id);
	strcpy(self->fs.orders->unsynced, "");
	strcpy(self->fs.orders->stuck, "");
	GIVES(OK, rp_destroy_reference_point(s->store, s->point, &err));
	GIVES(OK, rp_import(s->store, path, &point, &err));
	rp_free(point);
}

/* The same holds for a system. */
TEST_F(faulty, folder_of_systems_cannot_be_synced)
{
	const struct stage *s = &self->stage;
	const struct rp_disk disk = {"vda", s->twin};
	struct rp_error err;

	strcpy(self->fs.orders->unsynced, "systems");
	GIVES(FAILED, rp_system_add(s->store, "web2", &disk, 1, NULL, 0, &err));
	EXPECT_EQ(strstr(err.message, "has its name"), NULL, "%s", err.message);
	EXPECT_FALSE(exists(fmt("%s/systems/web2", s->path)));
	stage_expect_idle(s);
	strcpy(self->fs.orders->stuck, "web2");
	GIVES(FAILED, rp_system_add(s->store, "web2", &disk, 1, NULL, 0, &err));
	EXPECT_NE(strstr(err.message, "has its name"), NULL, "%s", err.message);
	strcpy(self->fs.orders->unsynced, "");
	GIVES(INVALID_STATE, rp_system_add(s->store, "web2", &disk, 1, NULL, 0, &err));
}

/* What the records of jobs, of which there is one, say has been exported. */
static size_t exported_disks(const struct stage *s)
{
	char *text = NULL;
	json_t *jobs;
	size_t count;

	ASSERT_EQ(rp_job_list(s->store, &text, NULL), RP_OK);
	jobs = json_loads(text, 0, NULL);
	rp_free(text);
	EXPECT_EQ(json_array_size(jobs), 1);
	count = json_array_size(
		json_object_get(json_array_get(jobs, 0), "ExportedDisks"));
	json_decref(jobs);
	return count;
}

/* An export that is not known to be durable has no name; or it is told that it has. */
TEST_F(faulty, folder_of_exports_cannot_be_synced)
{
	struct rp_export_options options = stage_copying(variant->io);
	struct badfs_orders *orders = self->fs.orders;
	const struct stage *s = &self->stage;
	const char *id = strchr(s->point, '@') + 1;
	struct rp_error err;

	strcpy(orders->unsynced, "web1");
	GIVES(FAILED, stage_export(s, &options, &err));
	EXPECT_EQ(err.os_error, EIO);
	EXPECT_STREQ(err.step, "publish");
	EXPECT_EQ(strstr(err.message, "has its name"), NULL, "%s", err.message);
	EXPECT_EQ(exported_disks(s), 0);
	stage_expect_unharmed(s, "");
	strcpy(orders->stuck, id);
	GIVES(FAILED, stage_export(s, &options, &err));
	EXPECT_NE(strstr(err.message, "has its name"), NULL, "%s", err.message);
	EXPECT_STREQ(listing(fmt("%s/web1", s->exports)), id);
	strcpy(orders->unsynced, "");
	strcpy(orders->stuck, "");
	EXPECT_TRUE(stage_good_export(s->exports, s->point, s->twin));
}

static uint32_t restore(const struct stage *s, const char *output, bool replace,
			struct rp_error *err)
{
	const struct rp_read_options options = {.size = sizeof(options),
						.replace = replace};

	return rp_restore(stage_export_path(s->exports, s->point), "vda", output,
			  &options, NULL, err);
}

/* The same holds for a restored disk; but one that was replaced does not come back. */
TEST_F(faulty, folder_of_a_restored_disk_cannot_be_synced)
{
	const struct rp_error want = failure(EIO, "publish", RP_NO_OFFSET);
	const char *folder = fmt("%s/restored", self->fs.mnt);
	const char *output = fmt("%s/disk", folder);
	struct badfs_orders *orders = self->fs.orders;
	const struct stage *s = &self->stage;
	struct rp_error err;

	expect_export_works(s);
	ASSERT_OK(mkdir(folder, 0700));
	strcpy(orders->unsynced, "restored");
	for (size_t i = 0; i < 2; i++) {
		expect_error(restore(s, output, i, &err), &err, &want);
		EXPECT_EQ(strstr(err.message, "has its name"), NULL, "%s", err.message);
		EXPECT_STREQ(listing(folder), "");
	}
	for (size_t i = 0; i < 2; i++) {
		if (i)
			save_text(output, "old");
		else
			strcpy(orders->stuck, "disk");
		expect_error(restore(s, output, i, &err), &err, &want);
		strcpy(orders->stuck, "");
		EXPECT_NE(strstr(err.message, "has its name"), NULL, "%s", err.message);
		EXPECT_STREQ(listing(folder), "disk");
		EXPECT_TRUE(data_same(output, s->twin));
		ASSERT_OK(unlink(output));
	}
	strcpy(orders->unsynced, "");
	GIVES(OK, restore(s, output, false, &err));
	EXPECT_TRUE(data_same(output, s->twin));
}

/* A block device on a file; it goes when the fd is closed. */
static int attach(const char *path, char device[32])
{
	int control = open("/dev/loop-control", O_RDWR | O_CLOEXEC);
	int file = open(path, O_RDWR | O_CLOEXEC), loop, n;
	struct loop_config config = {
		.fd = (unsigned)file,
		.info.lo_flags = LO_FLAGS_AUTOCLEAR | LO_FLAGS_READ_ONLY,
	};

	ASSERT_GE(control, 0);
	ASSERT_GE(file, 0);
	for (;;) {
		n = ioctl(control, LOOP_CTL_GET_FREE);
		ASSERT_GE(n, 0);
		snprintf(device, 32, "/dev/loop%d", n);
		loop = open(device, O_RDONLY | O_CLOEXEC);
		ASSERT_GE(loop, 0, "%s: %s", device, strerror(errno));
		if (ioctl(loop, LOOP_CONFIGURE, &config) == 0)
			break;
		ASSERT_EQ(errno, EBUSY, "%s", device);
		close(loop);
	}
	close(file);
	close(control);
	return loop;
}

/* What is known of an export is unknown then, as with a point or a job. */
TEST_F(faulty, manifest_cannot_be_read)
{
	struct rp_export_options options = stage_copying(variant->io);
	const struct stage *s = &self->stage;
	struct rp_error err;

	GIVES(OK, stage_export(s, &options, &err));
	self->fs.orders->read_at = 10;
	self->fs.orders->read_error = EIO;
	GIVES(UNKNOWN_STATUS,
	      rp_verify(stage_export_path(s->exports, s->point), NULL, NULL, &err));
	self->fs.orders->read_error = 0;
	EXPECT_NE(strstr(err.message, "unreadable"), NULL, "%s", err.message);
}

/* A block device whose medium is bad. */
TEST_F(faulty, device_cannot_be_read)
{
	struct rp_error err, want = failure(EIO, "read", SECTOR);
	const struct stage *s = &self->stage;
	char device[32];
	int loop = attach(s->twin, device);
	const struct rp_disk disk = {"vda", device};
	uint32_t rc;

	snprintf(want.system, sizeof(want.system), "web2");
	ASSERT_EQ(rp_system_add(s->store, "web2", &disk, 1, NULL, 0, &err), RP_OK);
	self->fs.orders->read_at = SECTOR;
	self->fs.orders->read_error = EIO;
	rc = create(s, "web2", variant->io, &err);
	self->fs.orders->read_error = 0;
	expect_error(rc, &err, &want);
	expect_names_system_error(&err);
	close(loop);
	EXPECT_STREQ(listing(fmt("%s/systems/web2/points", s->path)), "");
	stage_expect_unharmed(s, "");
}

/* ------------------------------------------------------- file systems that are full */

FIXTURE(full)
{
	struct loopfs fs;
	struct stage stage;
	char filler[PATH_MAX + 16];
};

FIXTURE_SETUP(full)
{
	struct stage *s = &self->stage;

	loopfs_mount(&self->fs, "ext4", 64 * MIB, "-b 4096 -m 0", NULL);
	stage_make(s, test_dir(), SIZE, test_seed());
	snprintf(s->exports, sizeof(s->exports), "%s/exports", self->fs.mnt);
	ASSERT_OK(mkdir(s->exports, 0700));
	snprintf(self->filler, sizeof(self->filler), "%s/filler", self->fs.mnt);
}

FIXTURE_TEARDOWN(full)
{
	stage_close(&self->stage);
	loopfs_umount(&self->fs);
}

/* Leaves @bytes of the file system free. */
static void leave_free(struct full_fixture *self, uint64_t bytes)
{
	int fd = open(self->filler, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	struct statvfs st;

	ASSERT_GE(fd, 0);
	ASSERT_OK(statvfs(self->fs.mnt, &st));
	ASSERT_OK(fallocate(fd, 0, 0, (off_t)(st.f_bavail * st.f_frsize - bytes)));
	ASSERT_OK(fsync(fd));
	close(fd);
}

TEST_F(full, is_found_before_anything_is_copied)
{
	const struct rp_error want = failure(ENOSPC, "check space", RP_NO_OFFSET);
	struct rp_export_options options = stage_copying(RP_IO_AUTO);
	struct rp_error err;

	leave_free(self, 2 * MIB);
	expect_error(stage_export(&self->stage, &options, &err), &err, &want);
	expect_names_system_error(&err);
	stage_expect_unharmed(&self->stage, "");
	ASSERT_OK(unlink(self->filler));
	expect_export_works(&self->stage);
}

static int fill_up(void *context, const struct rp_progress *progress)
{
	struct full_fixture *self = context;

	if (!strcmp(progress->phase, "copying") && !exists(self->filler))
		leave_free(self, 0);
	return 0;
}

/* 40 MiB in which data and holes take turns, so that space is reserved bit by bit. */
static char *take_striped(const struct stage *s)
{
	const struct rp_disk disk = {"vda", fmt("%s/striped", test_dir())};
	const struct rp_create_options options = {.size = sizeof(options),
						  .allow_copy = true};
	int fd = data_create(disk.path, 40 * MIB);
	struct rp_error err;
	char *point;

	for (uint64_t at = 0; at < 40 * MIB; at += MIB)
		data_write(fd, 1, at, MIB / 2);
	close(fd);
	ASSERT_EQ(rp_system_add(s->store, "web2", &disk, 1, NULL, 0, &err), RP_OK);
	ASSERT_EQ(rp_create_reference_point(s->store, "web2", &options, &point, &err),
		  RP_OK);
	return point;
}

/* Another takes the space after it was checked. */
TEST_F(full, is_found_while_copying)
{
	const struct rp_watch watch = {
		.size = sizeof(watch), .context = self, .progress = fill_up};
	struct rp_export_options options = stage_copying(RP_IO_AUTO);
	const struct stage *s = &self->stage;
	char *point = take_striped(s);
	struct rp_error err;
	uint32_t rc;

	options.watch = &watch;
	rc = rp_export(s->store, point, s->exports, &options, NULL, &err);
	rp_free(point);
	EXPECT_EQ(rc, RP_FAILED, "%s", err.message);
	EXPECT_EQ(err.os_error, ENOSPC, "%s", err.message);
	EXPECT_STREQ(err.system, "web2");
	EXPECT_STREQ(err.disk, "vda");
	EXPECT_LT(err.offset, 40 * MIB);
	expect_names_system_error(&err);
	stage_expect_unharmed(s, "");
	ASSERT_OK(unlink(self->filler));
	expect_export_works(s);
}

/* ----------------------------------------------------------------- other refusals */

FIXTURE(refused)
{
	struct stage stage;
};

FIXTURE_SETUP(refused)
{
	stage_make(&self->stage, test_dir(), SIZE, test_seed());
}

FIXTURE_TEARDOWN(refused)
{
	stage_close(&self->stage);
}

TEST_F(refused, by_a_file_size_limit)
{
	const struct rlimit limit = {4 * MIB, RLIM_INFINITY},
			    none = {RLIM_INFINITY, RLIM_INFINITY};
	const struct rp_error want = failure(EFBIG, "create", RP_NO_OFFSET);
	struct rp_export_options options = stage_copying(RP_IO_AUTO);
	struct rp_error err;
	uint32_t rc;

	signal(SIGXFSZ, SIG_IGN);
	ASSERT_OK(setrlimit(RLIMIT_FSIZE, &limit));
	rc = stage_export(&self->stage, &options, &err);
	ASSERT_OK(setrlimit(RLIMIT_FSIZE, &none));
	expect_error(rc, &err, &want);
	expect_names_system_error(&err);
	stage_expect_unharmed(&self->stage, "");
	expect_export_works(&self->stage);
}

TEST_F(refused, by_a_digest)
{
	const struct rp_read_options options = {.size = sizeof(options),
						.clone = RP_CLONE_NEVER};
	struct rp_error err, want = failure(0, "digest", SECTOR);
	const struct stage *s = &self->stage;
	const char *path = stage_export_path(s->exports, s->point);
	const char *output = fmt("%s/restored", test_dir());

	expect_export_works(s);
	data_flip(fmt("%s/vda.raw", path), SECTOR);
	expect_error(rp_verify(path, NULL, NULL, &err), &err, &want);
	EXPECT_EQ(err.offset, 5 * MIB);
	expect_error(rp_restore(path, "vda", output, &options, NULL, &err), &err, &want);
	EXPECT_FALSE(exists(output));
	data_flip(fmt("%s/vda.raw", path), SECTOR);
	EXPECT_EQ(rp_verify(path, NULL, NULL, &err), RP_OK, "%s", err.message);

	data_flip(fmt("%s/config/web1.xml", path), 3);
	want.disk[0] = '\0';
	want.offset = RP_NO_OFFSET;
	expect_error(rp_verify(path, NULL, NULL, &err), &err, &want);
	stage_expect_unharmed(s, "web1");
}

TEST_F(refused, by_the_caller)
{
	const struct rp_watch watch = cancel_in("copying");
	struct rp_export_options options = stage_copying(RP_IO_AUTO);
	struct rp_error err, want = failure(ECANCELED, "copying", RP_NO_OFFSET);

	want.disk[0] = '\0'; /* all of them */
	options.watch = &watch;
	expect_error(stage_export(&self->stage, &options, &err), &err, &want);
	stage_expect_unharmed(&self->stage, "");
}

TEST_MAIN
