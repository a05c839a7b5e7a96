/* SPDX-License-Identifier: MIT */
/*
 * server_copy_test.c - copy_file_range as a rung of the ladder, on a FUSE file system
 * whose server does what servers have been seen to do (H13-H16): whatever it does, the
 * export is complete or there is none
 */
#include <fcntl.h>

#include "badfs.h"
#include "data.h"
#include "harness.h"
#include "stage.h"

#define SIZE (8 * MIB + 4097)

FIXTURE(served)
{
	struct loopfs lower;
	struct badfs fs;
	struct stage stage;
};

FIXTURE_VARIANT(served)
{
	struct badfs_orders orders;
	uint32_t code;
	int os_error;
	const char *method; /* NULL: the kernel decides whether it copies itself */
	const char *reason; /* part of MethodReason */
};

FIXTURE_VARIANT_ADD(served, works){
	.method = "server-copy",
	.reason = "copied by the server",
};
FIXTURE_VARIANT_ADD(served, short_counts){
	.orders = {.copy_most = 65537},
	.method = "server-copy",
	.reason = "copied by the server",
};
/* (H13) */
FIXTURE_VARIANT_ADD(served, ends_before_the_data){
	.orders = {.copy_stops = true, .copy_bytes = 2 * MIB + 12345},
	.method = "server-copy+copy",
	.reason = "ended before the data did",
};
FIXTURE_VARIANT_ADD(served, ends_at_once){
	.orders = {.copy_stops = true},
	.method = "copy",
	.reason = "ended before the data did",
};
/* (H15) */
FIXTURE_VARIANT_ADD(served, then_einval){
	.orders = {.copy_stops = true, .copy_bytes = MIB + 1, .copy_error = EINVAL},
	.method = "server-copy+copy",
	.reason = "Invalid argument",
};
FIXTURE_VARIANT_ADD(served, then_eperm){
	.orders = {.copy_stops = true, .copy_bytes = 3 * MIB, .copy_error = EPERM},
	.method = "server-copy+copy",
	.reason = "Operation not permitted",
};
FIXTURE_VARIANT_ADD(served, then_efbig){
	.orders = {.copy_stops = true, .copy_bytes = 7 * MIB / 2, .copy_error = EFBIG},
	.method = "server-copy+copy",
	.reason = "File too large",
};
FIXTURE_VARIANT_ADD(served, einval_at_once){
	.orders = {.copy_stops = true, .copy_error = EINVAL},
	.method = "copy",
	.reason = "Invalid argument",
};
/* The kernel goes on by itself after these, or tells us. */
FIXTURE_VARIANT_ADD(served, then_exdev){
	.orders = {.copy_stops = true, .copy_bytes = MIB - 1, .copy_error = EXDEV},
};
FIXTURE_VARIANT_ADD(served, then_eopnotsupp){
	.orders = {.copy_stops = true, .copy_bytes = 2 * MIB, .copy_error = EOPNOTSUPP},
};
FIXTURE_VARIANT_ADD(served, never_knew_it){
	.orders = {.copy_stops = true, .copy_error = ENOSYS},
};
FIXTURE_VARIANT_ADD(served, then_enospc){
	.orders = {.copy_stops = true, .copy_bytes = 2 * MIB + 5, .copy_error = ENOSPC},
	.code = RP_FAILED,
	.os_error = ENOSPC,
};
FIXTURE_VARIANT_ADD(served, then_edquot){
	.orders = {.copy_stops = true, .copy_bytes = 4096, .copy_error = EDQUOT},
	.code = RP_FAILED,
	.os_error = EDQUOT,
};
FIXTURE_VARIANT_ADD(served, then_eio){
	.orders = {.copy_stops = true, .copy_bytes = MIB, .copy_error = EIO},
	.code = RP_FAILED,
	.os_error = EIO,
};

FIXTURE_SETUP(served)
{
	loopfs_mount(&self->lower, "ext4", 96 * MIB, "-b 4096", NULL);
	badfs_mount(&self->fs, &self->lower);
	stage_make(&self->stage, self->fs.mnt, SIZE, test_seed());
	ASSERT_EQ(self->fs.orders->copy_calls, 0, "a point has blocks of its own");
	*self->fs.orders = variant->orders;
}

FIXTURE_TEARDOWN(served)
{
	stage_close(&self->stage);
	badfs_umount(&self->fs);
	loopfs_umount(&self->lower);
}

static json_t *exported_disk(json_t *report)
{
	return json_array_get(json_object_get(report, "Disks"), 0);
}

static void expect_account(json_t *disk, const struct badfs_orders *orders)
{
	int64_t served = json_number(disk, "ServerCopiedBytes");

	EXPECT_EQ(json_number(disk, "ClonedBytes"), 0);
	EXPECT_EQ(served + json_number(disk, "CopiedBytes"),
		  json_number(disk, "DataBytes"));
	/* Where the kernel has copied for the server, it is more. */
	EXPECT_GE(served, orders->copied);
}

static void expect_whole(struct served_fixture *self,
			 const struct served_variant *variant, json_t *report)
{
	const char *raw = fmt("%s/vda.raw", json_text(report, "ExportPath"));
	json_t *disk = exported_disk(report);

	EXPECT_GT(self->fs.orders->copy_calls, 0);
	expect_account(disk, self->fs.orders);
	if (variant->method) {
		EXPECT_STREQ(json_text(disk, "Method"), variant->method);
		EXPECT_NE(strstr(json_text(disk, "MethodReason"), variant->reason), NULL,
			  "%s", json_text(disk, "MethodReason"));
		EXPECT_EQ(json_number(disk, "ServerCopiedBytes"),
			  self->fs.orders->copied);
	}
	EXPECT_TRUE(stage_good_export(self->stage.exports, self->stage.point,
				      self->stage.disk));
	EXPECT_TRUE(data_same_holes(raw, self->stage.disk));
}

static void export(struct served_fixture *self, const struct served_variant *variant,
		   const struct rp_export_options *options)
{
	const char *exports = self->stage.exports;
	struct rp_error err;
	char *text = NULL;
	json_t *report;

	ASSERT_EQ(rp_export(self->stage.store, self->stage.point, exports, options, &text,
			    &err),
		  variant->code, "%s", err.message);
	stage_expect_idle(&self->stage);
	if (variant->code) {
		EXPECT_EQ(err.os_error, variant->os_error);
		EXPECT_STREQ(err.step, "server copy");
		EXPECT_STREQ(err.disk, "vda");
		EXPECT_NE(err.offset, RP_NO_OFFSET);
		EXPECT_STREQ(listing(exports), "");
		return;
	}
	report = take_json(text);
	expect_whole(self, variant, report);
	json_decref(report);
}

TEST_F(served, is_whole_or_is_not)
{
	const struct rp_export_options options = {.size = sizeof(options)};

	export(self, variant, &options);
}

/* What the server copied is read again for the digest, which proves it. */
TEST_F(served, is_what_its_digest_says)
{
	const struct rp_export_options options = {.size = sizeof(options),
						  .digest = RP_DIGEST_ALWAYS};
	const char *path;
	struct rp_error err;
	int fd;

	export(self, variant, &options);
	if (variant->code)
		return;
	path = stage_export_path(self->stage.exports, self->stage.point);
	fd = open(fmt("%s/vda.raw", path), O_WRONLY | O_CLOEXEC);
	ASSERT_GE(fd, 0);
	data_write(fd, 99, 5 * MIB, 512);
	close(fd);
	EXPECT_EQ(rp_verify(path, NULL, NULL, &err), RP_FAILED);
	EXPECT_EQ(err.offset, 5 * MIB);
}

/* Another file system of the same kind is another server. */
TEST(served_to_another_server)
{
	struct loopfs lower[2] = {0};
	struct badfs fs[2] = {0};
	struct stage stage = {0};
	struct rp_error err;

	for (int i = 0; i < 2; i++) {
		loopfs_mount(&lower[i], "ext4", 64 * MIB, "-b 4096", NULL);
		badfs_mount(&fs[i], &lower[i]);
	}
	stage_make(&stage, fs[0].mnt, SIZE, test_seed());
	EXPECT_EQ(rp_export(stage.store, stage.point, fs[1].mnt, NULL, NULL, &err), RP_OK,
		  "%s", err.message);
	EXPECT_TRUE(stage_good_export(fs[1].mnt, stage.point, stage.disk));
	stage_close(&stage);
	for (int i = 0; i < 2; i++) {
		badfs_umount(&fs[i]);
		loopfs_umount(&lower[i]);
	}
}

/* Two files of a local file system: it would copy no better than we do, and without our
 * digest; or share blocks where none were to be shared (H16). */
TEST(not_served_where_nothing_serves)
{
	struct loopfs fs = {0};
	struct stage stage = {0};
	struct rp_error err;
	char *text = NULL;
	json_t *report;

	loopfs_mount(&fs, "ext4", 96 * MIB, NULL, NULL);
	stage_make(&stage, fs.mnt, SIZE, test_seed());
	ASSERT_EQ(rp_export(stage.store, stage.point, stage.exports, NULL, &text, &err),
		  RP_OK, "%s", err.message);
	report = take_json(text);
	EXPECT_STREQ(json_text(exported_disk(report), "Method"), "copy");
	EXPECT_EQ(json_number(exported_disk(report), "ServerCopiedBytes"), 0);
	json_decref(report);
	stage_close(&stage);
	loopfs_umount(&fs);
}

/* A server knows of no limit. */
TEST(not_served_where_there_is_a_limit)
{
	struct rp_export_options options = {.size = sizeof(options), .iops = 1000};
	struct loopfs lower;
	struct stage stage;
	struct rp_error err;
	struct badfs fs;

	loopfs_mount(&lower, "ext4", 96 * MIB, "-b 4096", NULL);
	badfs_mount(&fs, &lower);
	stage_make(&stage, fs.mnt, SIZE, test_seed());
	GIVES(OK, stage_export(&stage, &options, &err));
	EXPECT_EQ(fs.orders->copy_calls, 0);
	EXPECT_TRUE(stage_good_export(stage.exports, stage.point, stage.disk));
	stage_close(&stage);
	badfs_umount(&fs);
	loopfs_umount(&lower);
}

TEST_MAIN
