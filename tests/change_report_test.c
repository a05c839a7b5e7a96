/* SPDX-License-Identifier: MIT */
/*
 * change_report_test.c - rp_changes(): what is said of a system's disks between two
 * points, on every file system, and when nothing is said
 */
#include <fcntl.h>
#include <linux/falloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <unistd.h>

#include "data.h"
#include "engine_fixture.h"
#include "harness.h"
#include "io/clone.h"

#define BLOCK 4096

FIXTURE(changes)
{
	struct engine e;
	char base[POINT_SIZE];
};
FIXTURE_VARIANT(changes)
{
	const char *type, *mount, *source, *reason;
	bool copies;
};
FIXTURE_VARIANT_ADD(changes, xfs){.type = "xfs",
				  .source = "extents",
				  .reason = "same XFS file system, extent maps"};
FIXTURE_VARIANT_ADD(changes, btrfs){.type = "btrfs",
				    .source = "tree",
				    .reason = "same Btrfs file system, extents from its "
					      "trees"};
FIXTURE_VARIANT_ADD(changes, btrfs_zstd){.type = "btrfs",
					 .mount = "compress-force=zstd",
					 .source = "tree",
					 .reason = "same Btrfs file system, extents from "
						   "its trees"};
FIXTURE_VARIANT_ADD(changes, ext4){.type = "ext4",
				   .source = "content",
				   .reason = "extent maps are trusted on XFS and Btrfs "
					     "only: contents compared",
				   .copies = true};

static void take(struct changes_fixture *self, bool copies)
{
	struct rp_create_options options = {.size = sizeof(options),
					    .allow_copy = copies};

	json_decref(engine_take(&self->e, &options));
}

FIXTURE_SETUP(changes)
{
	engine_open(&self->e, variant->type, 0, NULL, variant->mount);
	engine_make_disk(&self->e, "vda", 4 * MIB);
	engine_make_disk(&self->e, "vdb", 2 * MIB);
	engine_add(&self->e, (const char *[]){"vda", "vdb"}, 2);
	take(self, variant->copies);
	memcpy(self->base, self->e.point, sizeof(self->base));
}

FIXTURE_TEARDOWN(changes)
{
	engine_close(&self->e);
}

/* Writes to the disk, which compares with no data that was there. */
static void write_disk(struct changes_fixture *self, const char *id, uint64_t start,
		       uint64_t len)
{
	int fd = open(engine_disk(&self->e, id), O_RDWR | O_CLOEXEC);

	ASSERT_GE(fd, 0);
	data_write(fd, 77, start, len);
	close(fd);
}

static json_t *changes_of(struct changes_fixture *self,
			  const struct rp_changes_options *options)
{
	struct rp_error err;
	char *text;

	ASSERT_EQ(rp_changes(self->e.store, self->e.point, self->base, options, &text,
			     &err),
		  RP_OK, "%s", err.message);
	return take_json(text);
}

/* "0+4096 8192+4096z" */
static const char *ranges_of(const json_t *disk)
{
	json_t *offsets = json_object_get(disk, "ChangedByteOffsets");
	json_t *lengths = json_object_get(disk, "ChangedByteLengths");
	json_t *zeros = json_object_get(disk, "ChangedByteZero"), *offset;
	const char *text = "";
	size_t i;

	EXPECT_EQ(json_array_size(lengths), json_array_size(offsets));
	EXPECT_EQ(json_array_size(zeros), json_array_size(offsets));
	EXPECT_EQ(json_number(disk, "ChangedRanges"), json_array_size(offsets));
	json_array_foreach(offsets, i, offset)
		text = fmt("%s%s%lld+%lld%s", text, i ? " " : "",
			   (long long)json_integer_value(offset),
			   (long long)json_integer_value(json_array_get(lengths, i)),
			   json_is_true(json_array_get(zeros, i)) ? "z" : "");
	return text;
}

static const struct rp_changes_options proving = {.size = sizeof(proving), .prove = true};

TEST_F(changes, what_was_written)
{
	json_t *report, *disk;

	write_disk(self, "vda", MIB, 3 * BLOCK);
	write_disk(self, "vda", 4 * MIB, 10); /* grows */
	take(self, variant->copies);
	report = changes_of(self, &proving);
	EXPECT_STREQ(json_text(report, "VirtualSystemIdentifier"), "web1");
	EXPECT_STREQ(json_text(report, "ReferencePointId"),
		     strchr(self->e.point, '@') + 1);
	EXPECT_STREQ(json_text(report, "BaseReferencePointId"),
		     strchr(self->base, '@') + 1);
	disk = disk_of(report, "vda");
	EXPECT_STREQ(json_text(disk, "Source"), variant->source);
	EXPECT_STREQ(json_text(disk, "SourceReason"), variant->reason);
	EXPECT_STREQ(ranges_of(disk), "1048576+12288 4194304+10");
	EXPECT_EQ(json_number(disk, "VirtualSize"), 4 * MIB + 10);
	EXPECT_EQ(json_number(disk, "BaseVirtualSize"), 4 * MIB);
	EXPECT_EQ(json_number(disk, "DataBytes"), 3 * BLOCK + 10);
	EXPECT_TRUE(json_is_true(json_object_get(disk, "HasBase")));
	EXPECT_TRUE(json_is_true(json_object_get(disk, "Proved")));
	EXPECT_STREQ(ranges_of(disk_of(report, "vdb")), "");
	json_decref(report);
}

/* A base whose data was released can serve by its digests, in chunks. */
TEST_F(changes, from_the_digest_of_a_released_base)
{
	json_t *report, *disk;
	struct rp_error err;

	write_disk(self, "vda", MIB + BLOCK, BLOCK);
	take(self, variant->copies);
	ASSERT_EQ(rp_release(self->e.store, self->base, NULL, &err), RP_OK, "%s",
		  err.message);
	report = changes_of(self, NULL);
	disk = disk_of(report, "vda");
	EXPECT_STREQ(json_text(disk, "Source"), "digest");
	EXPECT_STREQ(json_text(disk, "SourceReason"), "base released, digest tree kept");
	EXPECT_TRUE(json_is_true(json_object_get(disk, "HasBase")));
	EXPECT_GE(json_number(disk, "DataBytes"), BLOCK);
	EXPECT_LE(json_number(disk, "DataBytes") + json_number(disk, "ZeroBytes"),
		  64 * KIB);
	EXPECT_GE(json_integer_value(
			  json_array_get(json_object_get(disk, "ChangedByteOffsets"), 0)),
		  MIB);
	EXPECT_STREQ(ranges_of(disk_of(report, "vdb")), "");
	json_decref(report);
	EXPECT_EQ(rp_changes(self->e.store, self->e.point, self->base, &proving, NULL,
			     &err),
		  RP_INVALID_STATE);
	EXPECT_STREQ(err.step, "prove");
}

/* Each time one disk has no base, and the other one has. */
static void expect_whole(struct changes_fixture *self, const char *why)
{
	struct heard heard = {0};
	const struct rp_watch watch = hear_into(&heard);
	const struct rp_changes_options options = {.size = sizeof(options),
						   .watch = &watch};
	json_t *report = changes_of(self, &options), *disk = disk_of(report, "vda");

	EXPECT_STREQ(json_text(disk, "Source"), "all");
	EXPECT_STREQ(json_text(disk, "SourceReason"), why);
	EXPECT_FALSE(json_is_true(json_object_get(disk, "HasBase")));
	EXPECT_EQ(json_number(disk, "DataBytes") + json_number(disk, "ZeroBytes"),
		  json_number(disk, "VirtualSize"));
	EXPECT_NE(json_text(disk_of(report, "vdb"), "Source"), "all");
	EXPECT_STREQ(ranges_of(disk_of(report, "vdb")), "");
	EXPECT_EQ(heard.count, 1);
	EXPECT_STREQ(heard.last, fmt("vda: all of it counts as changed: %s", why));
	json_decref(report);
}

static const char *point_file(const struct changes_fixture *self, const char *name)
{
	return fmt("%s/store/systems/web1/points/%s/%s", self->e.fs.mnt,
		   strchr(self->base, '@') + 1, name);
}

TEST_F(changes, a_disk_without_a_base_is_listed_as_a_whole)
{
	struct rp_error err;
	json_t *doc;
	int fd;

	take(self, variant->copies);
	doc = load_json(point_file(self, "point.json"));
	json_array_remove(json_object_get(doc, "Disks"), 0);
	save_json(point_file(self, "point.json"), doc);
	expect_whole(self, "new disk: the base does not have it");

	take(self, variant->copies);
	memcpy(self->base, self->e.point, sizeof(self->base));
	take(self, variant->copies);
	fd = open(point_file(self, "vda.raw"), O_RDONLY | O_CLOEXEC);
	ASSERT_OK(io_set_immutable(fd, false));
	close(fd);
	ASSERT_EQ(rename(point_file(self, "vda.raw"), point_file(self, "away")), 0);
	expect_whole(self, "the base's file is missing");
	ASSERT_EQ(rename(point_file(self, "away"), point_file(self, "vda.raw")), 0);
	ASSERT_EQ(truncate(point_file(self, "vda.raw"), MIB), 0);
	expect_whole(self, "the base's file is not what its point says");

	/* Nor is a digest made of such a file. */
	GIVES(UNKNOWN_STATUS, rp_release(self->e.store, self->base, NULL, &err));
	memcpy(self->base, self->e.point, sizeof(self->base));
	take(self, variant->copies);
	GIVES(OK, rp_release(self->e.store, self->base, NULL, &err));
	ASSERT_EQ(unlink(point_file(self, "vda.digest")), 0);
	expect_whole(self, "base released, and its digest tree is damaged");
	doc = load_json(point_file(self, "point.json"));
	json_object_del(json_array_get(json_object_get(doc, "Disks"), 0), "Digest");
	save_json(point_file(self, "point.json"), doc);
	expect_whole(self, "base released, no digest tree kept");
}

static int cut_file(void *context, const struct rp_progress *progress)
{
	if (!strcmp(progress->phase, "mapping") || !strcmp(progress->phase, "comparing"))
		ASSERT_OK(truncate(context, 65536));
	return 0;
}

/* What is missing must not be told, or exported, as zeros: of the base's file, or of
 * the target's. */
static void expect_cut_found(struct changes_fixture *self, const char *path)
{
	char file[PATH_MAX];
	const struct rp_watch cutting = {
		.size = sizeof(cutting), .context = file, .progress = cut_file};
	const struct rp_changes_options options = {.size = sizeof(options),
						   .watch = &cutting};
	struct rp_error err;
	char *text;
	int fd;

	snprintf(file, sizeof(file), "%s", path);
	fd = open(file, O_RDONLY | O_CLOEXEC);
	ASSERT_GE(fd, 0);
	io_set_immutable(fd, false);
	close(fd);
	GIVES(FAILED, rp_changes(self->e.store, self->e.point, self->base, &options,
				 &text, &err));
	EXPECT_EQ(err.os_error, ENODATA);
	EXPECT_STREQ(err.disk, "vda");
}

TEST_F(changes, of_a_file_that_is_cut_meanwhile)
{
	take(self, variant->copies);
	expect_cut_found(self, engine_clone(&self->e, "vda"));
}

TEST_F(changes, of_a_base_that_is_cut_meanwhile)
{
	take(self, variant->copies);
	expect_cut_found(self, point_file(self, "vda.raw"));
}

TEST_F(changes, what_can_be_no_base)
{
	struct rp_changes_options options = {.size = sizeof(options), .disk = "vdz"};
	struct rp_store *store = self->e.store;
	char *point = self->e.point, *text = NULL, *other;
	struct rp_error err;
	struct rp_disk disk = {.id = "vda", .path = engine_disk(&self->e, "vda")};
	struct rp_create_options create = {.size = sizeof(create), .allow_copy = true};

	take(self, variant->copies);
	GIVES(INVALID_STATE, rp_changes(store, point, point, NULL, &text, &err));
	EXPECT_NE(strstr(err.message, "is the same reference point"), NULL);
	GIVES(INVALID_STATE, rp_changes(store, self->base, point, NULL, &text, &err));
	EXPECT_NE(strstr(err.message, "is newer"), NULL);
	ASSERT_EQ(rp_system_add(store, "other", &disk, 1, NULL, 0, &err), RP_OK);
	ASSERT_EQ(rp_create_reference_point(store, "other", &create, &other, &err), RP_OK,
		  "%s", err.message);
	GIVES(INVALID_STATE, rp_changes(store, point, other, NULL, &text, &err));
	EXPECT_NE(strstr(err.message, "is of another system"), NULL);
	rp_free(other);
	GIVES(NOT_AVAILABLE,
	      rp_changes(store, point, "web1@00000000", NULL, &text, &err));
	GIVES(INVALID_PARAMETER, rp_changes(store, point, "web1", NULL, &text, &err));
	GIVES(INVALID_PARAMETER, rp_changes(store, point, NULL, NULL, &text, &err));
	GIVES(INVALID_PARAMETER, rp_changes(NULL, point, self->base, NULL, &text, &err));
	GIVES(INVALID_PARAMETER,
	      rp_changes(store, point, self->base, &options, &text, &err));
	options.size = 1;
	GIVES(INVALID_PARAMETER,
	      rp_changes(store, point, self->base, &options, &text, &err));
	ASSERT_EQ(rp_release(store, point, NULL, &err), RP_OK);
	GIVES(INVALID_STATE, rp_changes(store, point, self->base, NULL, &text, &err));
	EXPECT_NE(strstr(err.message, "its data was released"), NULL);
	EXPECT_EQ(text, NULL);
}

/* Range by range. */
struct told {
	unsigned count, stop_at;
	uint64_t bytes;
	char disk[8];
};

static int on_change(void *context, const struct rp_change *change)
{
	struct told *told = context;

	told->bytes += change->length;
	snprintf(told->disk, sizeof(told->disk), "%s", change->disk);
	return ++told->count == told->stop_at;
}

TEST_F(changes, told_one_by_one)
{
	struct told told = {0};
	struct rp_changes_options options = {
		.size = sizeof(options), .change = on_change, .context = &told};
	struct rp_error err;
	json_t *report;

	write_disk(self, "vda", MIB, BLOCK);
	write_disk(self, "vda", 2 * MIB, BLOCK);
	write_disk(self, "vdb", MIB, BLOCK);
	take(self, variant->copies);
	report = changes_of(self, &options);
	EXPECT_EQ(told.count, 3);
	EXPECT_EQ(told.bytes, 3 * BLOCK);
	EXPECT_STREQ(told.disk, "vdb");
	EXPECT_EQ(json_object_get(disk_of(report, "vda"), "ChangedByteOffsets"), NULL);
	EXPECT_EQ(json_number(disk_of(report, "vda"), "ChangedRanges"), 2);
	json_decref(report);

	told = (struct told){.stop_at = 2};
	EXPECT_EQ(rp_changes(self->e.store, self->e.point, self->base, &options, NULL,
			     &err),
		  RP_FAILED);
	EXPECT_EQ(err.os_error, ECANCELED);
	EXPECT_EQ(told.count, 2);

	told = (struct told){0};
	options.disk = "vdb";
	EXPECT_EQ(rp_changes(self->e.store, self->e.point, self->base, &options, NULL,
			     &err),
		  RP_OK);
	EXPECT_EQ(told.count, 1);
}

/* While anybody reads a point's data, as target or as base, it cannot go. */
TEST_F(changes, a_base_in_use_stays)
{
	int fd = open(point_file(self, "."), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct rp_error err;

	ASSERT_OK(flock(fd, LOCK_SH));
	GIVES(IN_USE, rp_destroy_reference_point(self->e.store, self->base, &err));
	GIVES(IN_USE, rp_release(self->e.store, self->base, NULL, &err));
	take(self, variant->copies);
	GIVES(OK, rp_changes(self->e.store, self->e.point, self->base, NULL, NULL, &err));
	ASSERT_OK(flock(fd, LOCK_UN));
	ASSERT_OK(flock(fd, LOCK_EX));
	GIVES(IN_USE,
	      rp_changes(self->e.store, self->e.point, self->base, NULL, NULL, &err));
	close(fd);
	GIVES(OK, rp_destroy_reference_point(self->e.store, self->base, &err));
}

TEST_MAIN
