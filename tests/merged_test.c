/* SPDX-License-Identifier: MIT */
/*
 * merged_test.c - an export merged with that of its base costs what has changed, leaves
 * that one alone, and says so where it cannot be had
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "badfs.h"
#include "blocked.h"
#include "data.h"
#include "engine_fixture.h"
#include "harness.h"

#define SIZE	(96 * MIB + 4096)
#define CHANGES 40
#define PIECE	(16 * KIB)
#define CHANGED (3 * MIB)	      /* one of them, in any case */
#define BESIDE	(CHANGED + PIECE + 5) /* has not changed; in one chunk with it */
/* What a journal, maps and a manifest may take, however large the disk is. */
#define METADATA (8 * MIB)

FIXTURE(merged)
{
	struct engine e;
	struct loopfs to;
	struct loopfs *at; /* where exports go */
	char out[PATH_MAX + 8];
	char base[POINT_SIZE], point[POINT_SIZE];
	enum rp_digest digest; /* that is asked for */
};
FIXTURE_VARIANT(merged)
{
	const char *from, *to; /* to NULL = the same */
	bool clones;	       /* the image of the base */
};
FIXTURE_VARIANT_ADD(merged, xfs){.from = "xfs", .clones = true};
FIXTURE_VARIANT_ADD(merged, btrfs){.from = "btrfs", .clones = true};
FIXTURE_VARIANT_ADD(merged, xfs_btrfs){.from = "xfs", .to = "btrfs", .clones = true};
FIXTURE_VARIANT_ADD(merged, btrfs_xfs){.from = "btrfs", .to = "xfs", .clones = true};
FIXTURE_VARIANT_ADD(merged, xfs_ext4){.from = "xfs", .to = "ext4"};

static void keep_twin(const struct merged_fixture *self, const char *name)
{
	ASSERT_EQ(system(fmt("cp --sparse=always '%s' '%s'", engine_disk(&self->e, "vda"),
			     engine_twin(&self->e, name))),
		  0);
}

/* Exports the base in full, changes the disk here and there, takes the next point. */
FIXTURE_SETUP(merged)
{
	static const char *const ids[] = {"vda"};
	struct rp_export_options options = {.size = sizeof(options),
					    .digest = RP_DIGEST_ALWAYS};
	uint64_t state = test_seed();
	int fd;

	engine_open(&self->e, variant->from, 900 * MIB, NULL, NULL);
	snprintf(self->out, sizeof(self->out), "%s", self->e.out);
	self->at = &self->e.fs;
	if (variant->to) {
		loopfs_mount(&self->to, variant->to, 900 * MIB, NULL, NULL);
		snprintf(self->out, sizeof(self->out), "%s", self->to.mnt);
		self->at = &self->to;
	}
	fd = data_create(engine_disk(&self->e, "vda"), SIZE);
	data_write(fd, 7, 0, 80 * MIB);
	engine_add(&self->e, ids, 1);
	json_decref(engine_take(&self->e, NULL));
	snprintf(self->base, POINT_SIZE, "%s", self->e.point);
	keep_twin(self, "base");
	json_decref(engine_export(&self->e, self->out, &options));
	data_write(fd, 5, CHANGED, PIECE);
	for (unsigned i = 1; i < CHANGES; i++)
		data_write(fd, i + 100,
			   8 * MIB + round_down(data_random(&state) % (72 * MIB), PIECE),
			   PIECE);
	ASSERT_OK(
		fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 5 * MIB, MIB));
	data_write(fd, 3, SIZE - 4096, 4096);
	ASSERT_OK(fsync(fd));
	close(fd);
	json_decref(engine_take(&self->e, NULL));
	snprintf(self->point, POINT_SIZE, "%s", self->e.point);
	keep_twin(self, "vda");
}

FIXTURE_TEARDOWN(merged)
{
	engine_close(&self->e);
	if (variant->to)
		loopfs_umount(&self->to);
}

static struct rp_export_options merging(const struct merged_fixture *self)
{
	return (struct rp_export_options){
		.size = sizeof(struct rp_export_options),
		.base = self->base,
		.merge = true,
		.digest = self->digest,
	};
}

static void sync_fs(const struct loopfs *fs)
{
	int fd = open(fs->mnt, O_RDONLY | O_CLOEXEC);

	ASSERT_GE(fd, 0);
	ASSERT_OK(syncfs(fd));
	close(fd);
}

/* Bytes the device has taken. */
static uint64_t written(const struct loopfs *fs)
{
	unsigned long long sectors;
	FILE *file;

	sync_fs(fs);
	file = fopen(fmt("/sys/block/%s/stat", strrchr(fs->loop, '/') + 1), "re");
	ASSERT_NE(file, NULL);
	ASSERT_EQ(fscanf(file, "%*u %*u %*u %*u %*u %*u %llu", &sectors), 1);
	fclose(file);
	return sectors * 512;
}

static const char *image(const struct merged_fixture *self, const char *point)
{
	return fmt("%s/vda.raw", stage_export_path(self->out, point));
}

static void expect_good(const struct merged_fixture *self, const char *point,
			const char *twin)
{
	struct rp_error err;

	EXPECT_EQ(rp_verify(stage_export_path(self->out, point), NULL, NULL, &err), RP_OK,
		  "%s", err.message);
	EXPECT_TRUE(data_same(engine_twin(&self->e, twin), image(self, point)));
}

TEST_F(merged, writes_what_has_changed)
{
	struct rp_export_options options = merging(self);
	uint64_t before = written(self->at), bytes;
	json_t *report, *disk;

	report = engine_export(&self->e, self->out, &options);
	bytes = written(self->at) - before;
	disk = disk_of(report, "vda");
	test_log("%llu bytes written: %s", (unsigned long long)bytes,
		 json_text(disk, "MethodReason"));
	EXPECT_STREQ(json_text(report, "Kind"), "merged");
	EXPECT_STREQ(json_text(report, "BaseReferencePointId"),
		     strchr(self->base, '@') + 1);
	EXPECT_GE(json_number(disk, "ChangedBytes"), MIB + PIECE);
	EXPECT_EQ(json_number(disk, "ClonedBytes") + json_number(disk, "CopiedBytes"),
		  json_number(disk, "DataBytes"));
	if (!variant->clones) {
		EXPECT_EQ(json_number(disk, "ClonedBytes"), 0);
		EXPECT_NE(strstr(json_text(disk, "MethodReason"), "image was copied"),
			  NULL);
	} else {
		uint64_t most = METADATA;

		if (variant->to)
			most += (CHANGES + 1) * PIECE;
		else
			EXPECT_EQ(json_number(disk, "CopiedBytes"), 0);
		EXPECT_LT(bytes, most);
		EXPECT_LE(json_number(disk, "CopiedBytes"), (CHANGES + 1) * PIECE);
	}
	/* The tree went on from that of the base. */
	EXPECT_TRUE(json_is_object(json_object_get(disk, "Digest")));
	json_decref(report);
	expect_good(self, self->point, "vda");
	expect_good(self, self->base, "base");
}

/* By a filter, or as the file system has none. */
TEST_F(merged, where_no_hole_can_be_made)
{
	struct rp_export_options options = merging(self);
	json_t *report;

	block_syscall(SYS_fallocate, EPERM);
	report = engine_export(&self->e, self->out, &options);
	EXPECT_STREQ(json_text(report, "Kind"), "merged");
	json_decref(report);
	expect_good(self, self->point, "vda");
}

/* Over a chain: a differential export lies between the full one and the new one. */
TEST_F(merged, over_a_chain)
{
	struct rp_export_options options = merging(self);
	char middle[POINT_SIZE];
	json_t *report;
	int fd;

	options.merge = false;
	options.digest = RP_DIGEST_ALWAYS;
	json_decref(engine_export(&self->e, self->out, &options));
	options.digest = self->digest;
	snprintf(middle, sizeof(middle), "%s", self->point);
	fd = open(engine_disk(&self->e, "vda"), O_RDWR | O_CLOEXEC);
	ASSERT_OK(ftruncate(fd, 60 * MIB));
	ASSERT_OK(ftruncate(fd, 90 * MIB + 100));
	data_write(fd, 77, 10 * MIB - 5, 10);
	close(fd);
	json_decref(engine_take(&self->e, NULL));
	keep_twin(self, "last");
	options.base = middle;
	options.merge = true;
	report = engine_export(&self->e, self->out, &options);
	EXPECT_STREQ(json_text(report, "Kind"), "merged");
	EXPECT_TRUE(json_is_object(json_object_get(disk_of(report, "vda"), "Digest")));
	json_decref(report);
	expect_good(self, self->e.point, "last");
}

static void next_night(struct merged_fixture *self, uint64_t at)
{
	int fd = open(engine_disk(&self->e, "vda"), O_RDWR | O_CLOEXEC);

	data_write(fd, at, at, PIECE);
	close(fd);
	json_decref(engine_take(&self->e, NULL));
}

/* When the parts of the chain are read, the one in the middle becomes a whole one. */
static int merge_middle(void *context, const struct rp_progress *progress)
{
	char **middle = context;
	struct rp_error err;

	if (!*middle || strcmp(progress->phase, "verifying") != 0)
		return 0;
	EXPECT_EQ(rp_merge(*middle, NULL, NULL, &err), RP_OK, "%s", err.message);
	*middle = NULL;
	return 0;
}

TEST_F(merged, over_a_chain_that_is_merged_meanwhile)
{
	struct rp_export_options options = merging(self);
	char *path = strdup(stage_export_path(self->out, self->point)), *middle = path;
	const struct rp_watch watching = {
		.size = sizeof(watching), .progress = merge_middle, .context = &middle};
	char base[POINT_SIZE];

	options.merge = false;
	options.digest = RP_DIGEST_ALWAYS;
	json_decref(engine_export(&self->e, self->out, &options));
	options.base = self->point;
	next_night(self, 10 * MIB);
	snprintf(base, sizeof(base), "%s", self->e.point);
	json_decref(engine_export(&self->e, self->out, &options));
	options.base = base;
	options.merge = true;
	options.strict = true;
	options.watch = &watching;
	next_night(self, 20 * MIB);
	keep_twin(self, "last");
	json_decref(engine_export(&self->e, self->out, &options));
	EXPECT_EQ(middle, NULL);
	expect_good(self, self->e.point, "last");
	free(path);
}

/* In full, with a warning that holds @what; strictly not at all. */
static void expect_full(const struct merged_fixture *self, const char *what)
{
	struct rp_export_options options = merging(self);
	struct heard heard = {0};
	const struct rp_watch watch = hear_into(&heard);
	struct rp_error err;
	json_t *report;

	options.strict = true;
	EXPECT_EQ(rp_export(self->e.store, self->point, self->out, &options, NULL, &err),
		  RP_INVALID_STATE, "%s: %s", what, err.message);
	EXPECT_EQ(err.code, RP_INVALID_STATE);
	EXPECT_NE(strstr(err.message, what), NULL, "%s", err.message);
	EXPECT_STREQ(err.disk, "vda");
	EXPECT_FALSE(exists(stage_export_path(self->out, self->point)));
	engine_expect_idle(&self->e);
	options.strict = false;
	options.watch = &watch;
	report = engine_export(&self->e, self->out, &options);
	EXPECT_EQ(heard.count, 1);
	EXPECT_NE(strstr(heard.last, what), NULL, "%s", heard.last);
	EXPECT_STREQ(json_text(report, "Kind"), "full");
	EXPECT_TRUE(json_is_null(json_object_get(report, "BaseReferencePointId")));
	json_decref(report);
	expect_good(self, self->point, "vda");
}

TEST_F(merged, without_the_base_export)
{
	remove_tree(stage_export_path(self->out, self->base));
	expect_full(self, "open export");
}

/* Of an image nothing is merged. */
TEST_F(merged, with_a_base_export_that_is_an_image)
{
	const struct rp_export_options options = {.size = sizeof(options),
						  .format = RP_FORMAT_QCOW2};
	struct rp_error err;

	remove_tree(stage_export_path(self->out, self->base));
	ASSERT_EQ(rp_export(self->e.store, self->base, self->out, &options, NULL, &err),
		  RP_OK, "%s", err.message);
	expect_full(self, "only raw images");
}

/* What is damaged beside a change must not get a digest that is right. */
TEST_F(merged, with_a_damaged_base_export)
{
	data_flip(image(self, self->base), BESIDE);
	expect_full(self, "differs from its digest");
}

TEST_F(merged, with_a_base_export_that_was_cut)
{
	ASSERT_OK(truncate(image(self, self->base), SIZE - 4096));
	expect_full(self, "check size");
}

/* What is cloned is read if every byte of the new one is to be. */
TEST_F(merged, with_damage_where_nothing_changed)
{
	self->digest = RP_DIGEST_ALWAYS;
	data_flip(image(self, self->base), MIB);
	expect_full(self, "differs from its digest");
}

/* Data that became a hole is not read, and no more what its digest says. */
TEST_F(merged, with_a_hole_where_nothing_changed)
{
	int fd = open(image(self, self->base), O_RDWR | O_CLOEXEC);

	if (variant->clones) /* else it is taken over with the digest that tells of it */
		self->digest = RP_DIGEST_ALWAYS;
	ASSERT_GE(fd, 0);
	ASSERT_OK(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 40 * MIB,
			    8 * MIB));
	close(fd);
	expect_full(self, "is a hole but had data");
}

/* Nor may it be taken over into a disk of which nothing tells any more. */
TEST_F(merged, with_damage_that_nothing_would_tell)
{
	self->digest = RP_DIGEST_NEVER;
	data_flip(image(self, self->base), MIB);
	expect_full(self, "differs from its digest");
}

/* Nor if it is for a part between that it has none. */
TEST_F(merged, with_damage_below_what_has_no_digest)
{
	struct rp_export_options options = merging(self);

	options.merge = false;
	options.digest = RP_DIGEST_NEVER;
	json_decref(engine_export(&self->e, self->out, &options));
	data_flip(image(self, self->base), 70 * MIB);
	memcpy(self->base, self->point, POINT_SIZE);
	json_decref(engine_take(&self->e, NULL));
	snprintf(self->point, POINT_SIZE, "%s", self->e.point);
	keep_twin(self, "vda");
	expect_full(self, "differs from its digest");
}

/* The base's export as one that has no digest. */
static void forget_digest(const struct merged_fixture *self)
{
	const struct rp_export_options options = {.size = sizeof(options),
						  .digest = RP_DIGEST_NEVER};
	struct rp_error err;

	remove_tree(stage_export_path(self->out, self->base));
	ASSERT_EQ(rp_export(self->e.store, self->base, self->out, &options, NULL, &err),
		  RP_OK, "%s", err.message);
}

/* What it is to be is known from the point. */
TEST_F(merged, with_damage_in_a_base_without_digest)
{
	self->digest = RP_DIGEST_ALWAYS;
	forget_digest(self);
	data_flip(image(self, self->base), MIB);
	expect_full(self, "differs from its digest");
}

TEST_F(merged, gets_a_digest_over_a_base_without_one)
{
	struct rp_export_options options = merging(self);
	json_t *report;

	options.digest = RP_DIGEST_ALWAYS;
	options.strict = true;
	forget_digest(self);
	report = engine_export(&self->e, self->out, &options);
	EXPECT_STREQ(json_text(report, "Kind"), "merged");
	EXPECT_TRUE(json_is_object(json_object_get(disk_of(report, "vda"), "Digest")));
	json_decref(report);
	expect_good(self, self->point, "vda");
}

TEST_F(merged, with_damaged_digests)
{
	data_flip(fmt("%s/vda.digest", stage_export_path(self->out, self->base)), 100);
	expect_full(self, "digest");
}

/* One that bears the base's name, and is of the same disk at another time. */
TEST_F(merged, with_the_export_of_another_point)
{
	const char *old = fmt("%s", stage_export_path(self->out, self->base));

	ASSERT_OK(rename(old, stage_export_path(self->out, self->point)));
	snprintf(self->base, POINT_SIZE, "%s", self->point);
	json_decref(engine_take(&self->e, NULL));
	snprintf(self->point, POINT_SIZE, "%s", self->e.point);
	expect_full(self, "another reference point");
}

/* Who has no descriptor left to open it knows nothing of the base. */
TEST_F(merged, short_of_descriptors)
{
	struct rp_export_options options = merging(self);
	struct heard heard = {0};
	const struct rp_watch watch = hear_into(&heard);
	uint32_t rc = RP_FAILED;
	struct rp_error err;
	int free = fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 0);

	close(free);
	options.watch = &watch;
	for (int more = 0; rc; more++) {
		rlim_t limit = limit_files(getpid(), (rlim_t)(free + more));

		rc = rp_export(self->e.store, self->point, self->out, &options, NULL,
			       &err);
		limit_files(getpid(), limit);
		if (rc)
			ASSERT_EQ(rc, RP_FAILED, "%d more: %s", more, err.message);
	}
	EXPECT_EQ(strstr(heard.last, "exported in full"), NULL, "%s", heard.last);
	expect_good(self, self->point, "vda");
}

TEST_F(merged, without_a_base)
{
	struct rp_export_options options = merging(self);
	struct rp_error err;

	options.base = NULL;
	GIVES(INVALID_PARAMETER,
	      rp_export(self->e.store, self->point, self->out, &options, NULL, &err));
}

/* A disk of which no block could be shared with the image: it had none. */
TEST(of_a_disk_that_was_empty)
{
	static const char *const ids[] = {"vda"};
	struct rp_export_options options = {.size = sizeof(options),
					    .digest = RP_DIGEST_ALWAYS};
	char base[POINT_SIZE];
	struct rp_error err;
	struct engine e;
	json_t *manifest;
	int fd;

	engine_open(&e, "xfs", 0, NULL, NULL);
	fd = data_create(engine_disk(&e, "vda"), 0);
	engine_add(&e, ids, 1);
	json_decref(engine_take(&e, NULL));
	json_decref(engine_export(&e, e.out, &options));
	snprintf(base, sizeof(base), "%s", e.point);
	ASSERT_OK(ftruncate(fd, 9 * MIB + 777));
	data_write(fd, 4, MIB, 3 * MIB);
	close(fd);
	json_decref(engine_take(&e, NULL));
	options.base = base;
	json_decref(engine_export(&e, e.out, &options));
	GIVES(OK, rp_merge(stage_export_path(e.out, e.point), NULL, NULL, &err));
	manifest = load_json(fmt("%s/export.json", stage_export_path(e.out, e.point)));
	EXPECT_TRUE(json_is_object(json_object_get(disk_of(manifest, "vda"), "Digest")));
	json_decref(manifest);
	GIVES(OK, rp_verify(stage_export_path(e.out, e.point), NULL, NULL, &err));
	EXPECT_TRUE(data_same(engine_disk(&e, "vda"),
			      fmt("%s/vda.raw", stage_export_path(e.out, e.point))));
	engine_close(&e);
}

static void mount_bad(struct badfs *fs, struct loopfs *lower)
{
	if (badfs_skip_reason())
		SKIP("%s", badfs_skip_reason());
	loopfs_mount(lower, "ext4", 96 * MIB, NULL, NULL);
	badfs_mount(fs, lower);
}

/* What the base's export cannot give any more the point still can. */
TEST(with_a_base_export_that_cannot_be_read)
{
	struct rp_export_options options = stage_copying(RP_IO_AUTO);
	struct heard heard = {0};
	const struct rp_watch watch = hear_into(&heard);
	struct loopfs lower;
	char base[POINT_SIZE];
	struct rp_error err;
	struct badfs fs;
	struct stage s;

	mount_bad(&fs, &lower);
	stage_make(&s, test_dir(), 8 * MIB, test_seed());
	ASSERT_LT(snprintf(s.exports, sizeof(s.exports), "%s", fs.mnt),
		  (int)sizeof(s.exports));
	GIVES(OK, stage_export(&s, &options, &err));
	memcpy(base, s.point, sizeof(base));
	stage_take(&s, s.point);
	options.base = base;
	options.merge = true;
	options.watch = &watch;
	fs.orders->read_at = 3 * MIB;
	fs.orders->read_error = EIO;
	options.strict = true;
	GIVES(INVALID_STATE, stage_export(&s, &options, &err));
	EXPECT_EQ(err.os_error, EIO, "%s", err.message);
	options.strict = false;
	GIVES(OK, stage_export(&s, &options, &err));
	EXPECT_EQ(heard.count, 1);
	EXPECT_NE(strstr(heard.last, "exported in full"), NULL, "%s", heard.last);
	fs.orders->read_error = 0;
	EXPECT_TRUE(stage_good_export(s.exports, s.point, s.disk));
	stage_close(&s);
	badfs_umount(&fs);
	loopfs_umount(&lower);
}

static struct badfs_orders *at_copying;

/* Of a disk that could be read until then. */
static int lose_a_block(void *context, const struct rp_progress *progress)
{
	(void)context;
	if (!strcmp(progress->phase, "copying")) {
		at_copying->read_at = 3 * MIB;
		at_copying->read_error = EIO;
	}
	return 0;
}

/* The base is not to blame for it. */
TEST(of_a_disk_that_cannot_be_read)
{
	const struct rp_watch losing = {.size = sizeof(losing), .progress = lose_a_block};
	struct rp_export_options options = stage_copying(RP_IO_AUTO);
	struct loopfs lower;
	char base[POINT_SIZE];
	struct rp_error err;
	struct badfs fs;
	struct stage s;

	mount_bad(&fs, &lower);
	at_copying = fs.orders;
	stage_make(&s, fs.mnt, 8 * MIB, test_seed());
	ASSERT_LT(snprintf(s.exports, sizeof(s.exports), "%s/out", test_dir()),
		  (int)sizeof(s.exports));
	ASSERT_OK(mkdir(s.exports, 0700));
	GIVES(OK, stage_export(&s, &options, &err));
	memcpy(base, s.point, sizeof(base));
	data_flip(s.disk, 3 * MIB);
	stage_take(&s, s.point);
	options.base = base;
	options.merge = true;
	options.strict = true;
	options.watch = &losing;
	GIVES(FAILED, stage_export(&s, &options, &err));
	EXPECT_EQ(err.os_error, EIO, "%s", err.message);
	stage_close(&s);
	badfs_umount(&fs);
	loopfs_umount(&lower);
}

TEST_MAIN
