/* SPDX-License-Identifier: MIT */
/*
 * export_format_test.c - exports as qcow2 and VHDX: the disk is in them, shared or moved,
 * verify and restore read them, and what cannot be is refused with the reason
 */
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

#include "data.h"
#include "engine_fixture.h"
#include "harness.h"
#include "image_fixture.h"
#include "loopfs.h"

#define SIZE (24 * MIB + 777)

FIXTURE(exported)
{
	struct loopfs fs;
	struct stage stage;
	char dir[PATH_MAX];
};

FIXTURE_VARIANT(exported)
{
	const char *type; /* NULL: what the scratch folder is on */
	enum rp_format format;
	uint64_t cluster_size;
	bool shares;
};
#define VARIANT(name, ...)                  \
	FIXTURE_VARIANT_ADD(exported, name) \
	{                                   \
		__VA_ARGS__                 \
	}
VARIANT(qcow2_xfs, "xfs", RP_FORMAT_QCOW2, 0, true);
VARIANT(qcow2_btrfs, "btrfs", RP_FORMAT_QCOW2, 2 * MIB, true);
VARIANT(qcow2_ext4, "ext4", RP_FORMAT_QCOW2, 128 * KIB, false);
VARIANT(vhdx_xfs, "xfs", RP_FORMAT_VHDX, 0, true);
VARIANT(vhdx_btrfs, "btrfs", RP_FORMAT_VHDX, 8 * MIB, true);
VARIANT(vhdx_ext4, "ext4", RP_FORMAT_VHDX, 2 * MIB, false);

FIXTURE_SETUP(exported)
{
	loopfs_mount(&self->fs, variant->type, 320 * MIB, NULL, NULL);
	snprintf(self->dir, sizeof(self->dir), "%s", self->fs.mnt);
	stage_make(&self->stage, self->dir, SIZE, test_seed());
}

FIXTURE_TEARDOWN(exported)
{
	stage_close(&self->stage);
	loopfs_umount(&self->fs);
}

static const char *name_of(enum rp_format format)
{
	return format == RP_FORMAT_QCOW2 ? "qcow2" : "vhdx";
}

static struct rp_export_options options_of(const struct exported_variant *v)
{
	return (struct rp_export_options){
		.size = sizeof(struct rp_export_options),
		.format = v->format,
		.cluster_size = v->cluster_size,
	};
}

/* The export of the first point, and what its manifest says of its disk. */
static json_t *export_disk(struct exported_fixture *self,
			   const struct rp_export_options *options)
{
	struct rp_error err;
	char *report;
	json_t *doc, *disk;

	ASSERT_EQ(rp_export(self->stage.store, self->stage.point, self->stage.exports,
			    options, &report, &err),
		  RP_OK, "%s", err.message);
	doc = take_json(report);
	disk = json_incref(json_array_get(json_object_get(doc, "Disks"), 0));
	json_decref(doc);
	return disk;
}

/* QEMU and our own verify and restore find the disk in it. */
static void expect_disk(struct exported_fixture *self, enum rp_format format)
{
	const char *path = stage_export_path(self->stage.exports, self->stage.point);
	const char *image = fmt("%s/vda.%s", path, name_of(format));
	const char *restored = fmt("%s/restored", self->dir);
	struct rp_error err;

	image_run("qemu-img check -q -f %s %s", name_of(format), image);
	image_run("qemu-img compare -q -f raw -F %s %s %s", name_of(format),
		  self->stage.twin, image);
	EXPECT_EQ(rp_verify(path, NULL, NULL, &err), RP_OK, "%s", err.message);
	EXPECT_EQ(rp_restore(path, "vda", restored, NULL, NULL, &err), RP_OK, "%s",
		  err.message);
	EXPECT_TRUE(data_same(self->stage.twin, restored));
	unlink(restored);
}

TEST_F(exported, shares_its_data_where_it_can)
{
	struct rp_export_options options = options_of(variant);
	json_t *disk = export_disk(self, &options);
	int64_t copied = json_number(disk, "CopiedBytes");

	EXPECT_STREQ(json_text(disk, "Format"), name_of(variant->format));
	EXPECT_STREQ(json_text(disk, "File"), fmt("vda.%s", name_of(variant->format)));
	EXPECT_EQ(json_number(disk, "VirtualSize"), SIZE);
	if (variant->cluster_size)
		EXPECT_EQ(json_number(disk, "ClusterSize"), variant->cluster_size);
	/* The last bytes are no whole block, and have others behind them. */
	if (variant->shares)
		EXPECT_LE(copied, 4096, "%s", json_text(disk, "MethodReason"));
	else
		EXPECT_EQ(copied, json_number(disk, "DataBytes"));
	EXPECT_EQ(json_number(disk, "ClonedBytes") + copied,
		  json_number(disk, "DataBytes"));
	json_decref(disk);
	expect_disk(self, variant->format);
}

static void write_end(const char *path, uint64_t size)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	uint64_t len = min_u64(size, 5000);

	ASSERT_GE(fd, 0);
	ASSERT_OK(ftruncate(fd, (off_t)size));
	data_write(fd, 1, size - len, len);
	close(fd);
}

/* But for what is left of the disk's last block, and it is said of that. */
TEST_F(exported, is_shared_if_that_is_wanted)
{
	const struct rp_read_options always = {.size = sizeof(always),
					       .clone = RP_CLONE_ALWAYS};
	struct rp_export_options options = options_of(variant);
	const char *restored = fmt("%s/restored", self->dir), *path;
	struct stage *s = &self->stage;
	struct rp_error err;
	json_t *disk;

	write_end(s->disk, SIZE);
	write_end(s->twin, SIZE);
	stage_take(s, s->point);
	path = stage_export_path(s->exports, s->point);
	options.clone = RP_CLONE_ALWAYS;
	if (!variant->shares) {
		GIVES(NOT_SUPPORTED,
		      rp_export(s->store, s->point, s->exports, &options, NULL, &err));
		return;
	}
	disk = export_disk(self, &options);
	EXPECT_EQ(json_number(disk, "CopiedBytes"), SIZE % 4096);
	EXPECT_STREQ(json_text(disk, "Method"), "clone+copy");
	EXPECT_NE(strstr(json_text(disk, "MethodReason"),
			 fmt("the last %d bytes: less than a block", (int)(SIZE % 4096))),
		  NULL, "%s", json_text(disk, "MethodReason"));
	json_decref(disk);
	expect_disk(self, variant->format);
	GIVES(OK, rp_restore(path, "vda", restored, &always, NULL, &err));
	EXPECT_TRUE(data_same(s->twin, restored));
}

/* A disk that has nothing else, or a night in which nothing else has changed. */
TEST_F(exported, is_less_than_a_block)
{
	struct rp_export_options options = options_of(variant);
	char base[POINT_SIZE];
	struct stage *s = &self->stage;
	struct rp_error err;
	json_t *disk;

	options.clone = RP_CLONE_ALWAYS;
	for (unsigned night = 0; night < 3; night++) {
		if (night < 2)
			write_end(s->disk, night ? SIZE : 511);
		else
			data_flip(s->disk, SIZE - 3);
		memcpy(base, s->point, sizeof(base));
		stage_take(s, s->point);
		options.base = night == 2 ? base : NULL;
		if (!variant->shares) {
			GIVES(NOT_SUPPORTED, rp_export(s->store, s->point, s->exports,
						       &options, NULL, &err));
			continue;
		}
		disk = export_disk(self, &options);
		EXPECT_STREQ(json_text(disk, "Method"),
			     night == 1 ? "clone+copy" : "copy");
		EXPECT_LT(json_number(disk, "CopiedBytes"), 4096);
		EXPECT_NE(strstr(json_text(disk, "MethodReason"), "less than a block"),
			  NULL, "%s", json_text(disk, "MethodReason"));
		json_decref(disk);
	}
}

TEST_F(exported, moves_its_data_with_every_backend)
{
	for (enum rp_io io = RP_IO_URING; io <= RP_IO_SYNC; io++) {
		struct rp_export_options options = options_of(variant);
		json_t *disk;

		options.io = io;
		options.clone = RP_CLONE_NEVER;
		disk = export_disk(self, &options);
		EXPECT_EQ(json_number(disk, "CopiedBytes"),
			  json_number(disk, "DataBytes"));
		EXPECT_TRUE(json_is_object(json_object_get(disk, "Digest")));
		json_decref(disk);
		expect_disk(self, variant->format);
		remove_tree(stage_export_path(self->stage.exports, self->stage.point));
	}
}

/* Whatever it is in, a disk has one digest. */
TEST_F(exported, has_the_digest_of_the_disk)
{
	struct rp_export_options options = options_of(variant);
	json_t *image, *raw;

	options.digest = RP_DIGEST_ALWAYS;
	image = export_disk(self, &options);
	expect_disk(self, variant->format);
	remove_tree(stage_export_path(self->stage.exports, self->stage.point));
	options.format = RP_FORMAT_RAW;
	options.cluster_size = 0;
	raw = export_disk(self, &options);
	EXPECT_STREQ(json_text(json_object_get(image, "Digest"), "Root"),
		     json_text(json_object_get(raw, "Digest"), "Root"));
	json_decref(image);
	json_decref(raw);
}

/* ------------------------------------------------------------- what has changed */

/* The machine goes on: data, zeros, a hole; and is taken again. */
static void next_night(struct exported_fixture *self, uint64_t size, uint64_t seed,
		       char ret_point[POINT_SIZE])
{
	static const char zeros[64 * KIB];
	int fd = open(self->stage.disk, O_RDWR | O_CLOEXEC);

	ASSERT_GE(fd, 0);
	ASSERT_OK(ftruncate(fd, (off_t)size));
	data_write(fd, seed, 5 * MIB + 4096, 100 * KIB);
	data_write(fd, seed, 11 * MIB - 512, 1024);
	data_write(fd, seed, size - 100, 100);
	ASSERT_EQ(pwrite(fd, zeros, sizeof(zeros), 7 * MIB), sizeof(zeros));
	ASSERT_OK(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 8 * MIB,
			    3 * MIB / 2));
	ASSERT_OK(fsync(fd));
	close(fd);
	stage_take(&self->stage, ret_point);
}

/* Of the export of @point with @base; the manifest. */
static json_t *export_since(struct exported_fixture *self, const char *point,
			    const char *base, struct rp_export_options options)
{
	struct rp_error err;
	char *report;

	options.base = base;
	ASSERT_EQ(rp_export(self->stage.store, point, self->stage.exports, &options,
			    &report, &err),
		  RP_OK, "%s", err.message);
	return take_json(report);
}

/* The disk as it is now is in the export of @point; @bases are those before it, the
 * youngest first, in the same format. */
static void expect_now(struct exported_fixture *self, enum rp_format format,
		       const char *point, const char *const *bases, size_t count)
{
	const char *path = stage_export_path(self->stage.exports, point);
	const char *name = name_of(format), *image = fmt("%s/vda.%s", path, name);
	const char *restored = fmt("%s/restored", self->dir), *command;
	struct rp_error err;
	struct stat st;

	EXPECT_EQ(rp_verify(path, NULL, NULL, &err), RP_OK, "%s", err.message);
	EXPECT_EQ(rp_restore(path, "vda", restored, NULL, NULL, &err), RP_OK, "%s",
		  err.message);
	EXPECT_TRUE(data_same(self->stage.disk, restored));
	if (format == RP_FORMAT_QCOW2 || !count) {
		image_run("qemu-img check -q -f %s %s", name, image);
		image_run("qemu-img compare -q -f raw -F %s %s %s", name,
			  self->stage.disk, image);
	}
	if (format == RP_FORMAT_VHDX) {
		ASSERT_OK(stat(restored, &st));
		ASSERT_OK(truncate(restored, (off_t)round_up((uint64_t)st.st_size, 512)));
		command = fmt("%s %s %s", self->dir, restored, image);
		for (size_t i = 0; i < count; i++)
			command = fmt("%s %s/vda.vhdx", command,
				      stage_export_path(self->stage.exports, bases[i]));
		image_run("/usr/bin/python3 tests/vhdi_compare.py %s", command);
	}
	unlink(restored);
}

TEST_F(exported, changes_are_based_on_the_export_before)
{
	struct rp_export_options options = options_of(variant);
	char second[POINT_SIZE], third[POINT_SIZE];
	const char *const bases[] = {second, self->stage.point};
	json_t *doc, *disk;

	json_decref(export_disk(self, &options));
	next_night(self, SIZE, 1, second);
	doc = export_since(self, second, self->stage.point, options);
	EXPECT_STREQ(json_text(doc, "Kind"), "differential");
	EXPECT_STREQ(json_text(doc, "BaseReferencePointId"),
		     strchr(self->stage.point, '@') + 1);
	disk = json_array_get(json_object_get(doc, "Disks"), 0);
	EXPECT_LT(json_number(disk, "DataBytes"),
		  variant->cluster_size > 2 * MIB ? 24 * MIB : 8 * MIB);
	if (variant->shares)
		EXPECT_LE(json_number(disk, "CopiedBytes"), 4096, "%s",
			  json_text(disk, "MethodReason"));
	json_decref(doc);
	expect_now(self, variant->format, second, bases + 1, 1);

	options.digest = RP_DIGEST_ALWAYS;
	options.clone = RP_CLONE_NEVER;
	next_night(self, SIZE, 2, third);
	doc = export_since(self, third, second, options);
	disk = json_array_get(json_object_get(doc, "Disks"), 0);
	EXPECT_TRUE(json_is_object(json_object_get(disk, "Digest")));
	json_decref(doc);
	expect_now(self, variant->format, third, bases, 2);
}

/* Nothing is left to a base. */
TEST_F(exported, merged_images_are_whole)
{
	struct rp_export_options options = options_of(variant);
	char second[POINT_SIZE];
	json_t *doc;

	json_decref(export_disk(self, &options));
	next_night(self, SIZE, 1, second);
	options.merge = true;
	doc = export_since(self, second, self->stage.point, options);
	EXPECT_STREQ(json_text(doc, "Kind"), "merged");
	json_decref(doc);
	remove_tree(stage_export_path(self->stage.exports, self->stage.point));
	expect_now(self, variant->format, second, NULL, 0);
}

TEST_F(exported, a_disk_of_another_size)
{
	struct rp_export_options options = options_of(variant);
	char second[POINT_SIZE], third[POINT_SIZE];
	const char *const bases[] = {second, self->stage.point};
	bool based = variant->format == RP_FORMAT_QCOW2; /* a VHDX is as its parent */
	json_t *doc;

	json_decref(export_disk(self, &options));
	next_night(self, 13 * MIB + 5000, 1, second);
	doc = export_since(self, second, self->stage.point, options);
	EXPECT_STREQ(json_text(doc, "Kind"), based ? "differential" : "full");
	json_decref(doc);
	expect_now(self, variant->format, second, bases + 1, based);
	next_night(self, 19 * MIB + 1, 2, third);
	doc = export_since(self, third, second, options);
	EXPECT_STREQ(json_text(doc, "Kind"), based ? "differential" : "full");
	json_decref(doc);
	expect_now(self, variant->format, third, bases, based ? 2 : 0);
}

/* Nor behind its end, where the image goes on up to a whole sector. */
TEST_F(exported, what_was_cut_off_does_not_come_back)
{
	struct rp_export_options options = options_of(variant);
	char second[POINT_SIZE], third[POINT_SIZE];
	const char *const bases[] = {second};
	json_t *doc;

	next_night(self, SIZE, 1, second);
	json_decref(export_since(self, second, NULL, options));
	ASSERT_OK(truncate(self->stage.disk, SIZE - 50));
	stage_take(&self->stage, third);
	doc = export_since(self, third, second, options);
	EXPECT_STREQ(json_text(doc, "Kind"), "differential");
	json_decref(doc);
	expect_now(self, variant->format, third, bases, 1);
}

TEST_F(exported, a_raw_export_as_the_base)
{
	struct rp_export_options options = options_of(variant), raw = options;
	bool based = variant->format == RP_FORMAT_QCOW2;
	char second[POINT_SIZE], third[POINT_SIZE];
	struct rp_error err;
	json_t *doc;

	raw.format = RP_FORMAT_RAW;
	raw.cluster_size = 0;
	json_decref(export_disk(self, &raw));
	next_night(self, SIZE, 1, second);
	doc = export_since(self, second, self->stage.point, options);
	EXPECT_STREQ(json_text(doc, "Kind"), based ? "differential" : "full");
	json_decref(doc);
	expect_now(self, variant->format, second, NULL, 0);

	/* And one that is not there. */
	next_night(self, SIZE, 2, third);
	remove_tree(stage_export_path(self->stage.exports, second));
	options.base = second;
	options.strict = true;
	EXPECT_EQ(rp_export(self->stage.store, third, self->stage.exports, &options, NULL,
			    &err),
		  RP_INVALID_STATE, "%s", err.message);
	options.strict = false;
	doc = export_since(self, third, second, options);
	EXPECT_STREQ(json_text(doc, "Kind"), "full");
	json_decref(doc);
	expect_now(self, variant->format, third, NULL, 0);
}

/* An image must not be based on one that only bears the base's name. */
TEST_F(exported, the_export_of_another_point_is_no_base)
{
	struct rp_export_options options = options_of(variant);
	char second[POINT_SIZE], third[POINT_SIZE];
	const char *first;
	json_t *doc;

	json_decref(export_disk(self, &options));
	next_night(self, SIZE, 1, second);
	first = fmt("%s", stage_export_path(self->stage.exports, self->stage.point));
	ASSERT_OK(rename(first, stage_export_path(self->stage.exports, second)));
	next_night(self, SIZE, 2, third);
	doc = export_since(self, third, second, options);
	EXPECT_STREQ(json_text(doc, "Kind"), "full");
	json_decref(doc);
	expect_now(self, variant->format, third, NULL, 0);
}

/* ---------------------------------------------------------------------- refusals */

/* Writes a byte, and returns the one that was there. */
static uint8_t poke(const char *path, uint64_t at, uint8_t byte)
{
	int fd = open(path, O_RDWR | O_CLOEXEC);
	uint8_t old;

	ASSERT_GE(fd, 0, "%s", path);
	ASSERT_EQ(pread(fd, &old, 1, (off_t)at), 1);
	ASSERT_EQ(pwrite(fd, &byte, 1, (off_t)at), 1);
	close(fd);
	return old;
}

/* The beginning of the last range of data of a file. */
static uint64_t last_data(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	off_t pos = 0, last = 0;

	ASSERT_GE(fd, 0, "%s", path);
	while ((pos = lseek(fd, pos, SEEK_DATA)) >= 0) {
		last = pos;
		pos = lseek(fd, pos, SEEK_HOLE);
	}
	close(fd);
	return (uint64_t)last;
}

static void expect_refused(struct exported_fixture *self, uint32_t code)
{
	const char *path = stage_export_path(self->stage.exports, self->stage.point);
	const char *restored = fmt("%s/restored", self->dir);
	const struct rp_read_options moving = {.size = sizeof(moving),
					       .clone = RP_CLONE_NEVER};
	struct rp_error err;

	EXPECT_EQ(rp_verify(path, NULL, NULL, &err), code, "%s", err.message);
	EXPECT_STREQ(err.disk, "vda");
	EXPECT_EQ(rp_restore(path, "vda", restored, &moving, NULL, &err), code, "%s",
		  err.message);
	EXPECT_FALSE(exists(restored));
}

TEST_F(exported, damage_is_found_in_tables_and_data)
{
	struct rp_export_options options = options_of(variant);
	const char *image = fmt("%s/vda.%s",
				stage_export_path(self->stage.exports, self->stage.point),
				name_of(variant->format));
	/* Left open by a program that died; a block that is there in part. */
	bool qcow2 = variant->format == RP_FORMAT_QCOW2;
	uint64_t state_at = qcow2 ? 79 : 3 * MIB, data_at;
	uint8_t old;

	options.clone = RP_CLONE_NEVER;
	json_decref(export_disk(self, &options));
	old = poke(image, 0, 'X');
	expect_refused(self, RP_UNKNOWN_STATUS);
	poke(image, 0, old);
	old = poke(image, state_at, qcow2 ? 1 : 7);
	expect_refused(self, RP_NOT_SUPPORTED);
	poke(image, state_at, old);
	data_at = last_data(image);
	old = poke(image, data_at, 0);
	poke(image, data_at, old ^ 1);
	expect_refused(self, RP_FAILED);
}

TEST_F(exported, a_disk_that_is_an_image_is_refused)
{
	static const struct {
		const char *name, *create; /* as QEMU calls it */
	} kinds[] = {
		{"VHDX", "vhdx"},
		{"VMDK", "vmdk"},
		{"VDI", "vdi"},
		{"QED", "qed"},
		{"VHD", "vpc"},
		{"VHD", "vpc -o subformat=fixed"},
		{"qcow2", "qcow2 -o compat=0.10"},
		{"qcow2", "qcow2"},
	};
	struct rp_export_options options = options_of(variant);
	char point[POINT_SIZE];
	struct rp_error err;

	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
		image_run("qemu-img create -f %s %s.new 10M", kinds[i].create,
			  self->stage.disk);
		ASSERT_OK(rename(fmt("%s.new", self->stage.disk), self->stage.disk));
		stage_take(&self->stage, point);
		EXPECT_EQ(rp_export(self->stage.store, point, self->stage.exports,
				    &options, NULL, &err),
			  RP_NOT_SUPPORTED, "%s", err.message);
		EXPECT_NE(strstr(err.message, fmt("a %s image itself", kinds[i].name)),
			  NULL, "%s", err.message);
		EXPECT_NE(strstr(err.message, "raw"), NULL, "%s", err.message);
		EXPECT_STREQ(listing(self->stage.exports), "");
	}
	options.format = RP_FORMAT_RAW;
	options.cluster_size = 0;
	EXPECT_EQ(rp_export(self->stage.store, point, self->stage.exports, &options, NULL,
			    &err),
		  RP_OK, "%s", err.message);
}

TEST_F(exported, clusters_that_are_not_in_the_format_are_refused)
{
	static const uint64_t none[] = {1, 4096, 65537, 3 * MIB, 512 * MIB};
	struct rp_error err;

	for (size_t i = 0; i < ARRAY_SIZE(none); i++) {
		struct rp_export_options options = options_of(variant);

		options.cluster_size = none[i];
		GIVES(INVALID_PARAMETER, stage_export(&self->stage, &options, &err));
		options.format = RP_FORMAT_RAW;
		options.cluster_size = 64 * KIB;
		GIVES(INVALID_PARAMETER, stage_export(&self->stage, &options, &err));
	}
	stage_expect_unharmed(&self->stage, "");
}

TEST_MAIN
