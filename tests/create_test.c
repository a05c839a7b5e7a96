/* SPDX-License-Identifier: MIT */
/*
 * create_test.c - what a reference point is made of and says of itself, on file systems
 * that share blocks and on those that do not; and that a create which fails leaves
 * nothing
 */
#include <fcntl.h>
#include <linux/fiemap.h>
#include <linux/fs.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "data.h"
#include "engine_fixture.h"
#include "harness.h"

/* ---------------------------------------------------- where blocks can be shared */

FIXTURE(clone)
{
	struct engine e;
};

FIXTURE_VARIANT(clone)
{
	const char *type;
	bool nocow;
};

FIXTURE_VARIANT_ADD(clone, xfs){.type = "xfs"};
FIXTURE_VARIANT_ADD(clone, btrfs){.type = "btrfs"};
FIXTURE_VARIANT_ADD(clone, btrfs_nocow){.type = "btrfs", .nocow = true};

FIXTURE_SETUP(clone)
{
	engine_open(&self->e, variant->type, 0, NULL, NULL);
	if (variant->nocow) {
		set_inode_flag(fmt("%s/disks", self->e.fs.mnt), FS_NOCOW_FL);
		set_inode_flag(fmt("%s/twins", self->e.fs.mnt), FS_NOCOW_FL);
	}
}

FIXTURE_TEARDOWN(clone)
{
	engine_close(&self->e);
}

/* What the point says of a disk is so. */
static void expect_described(const struct engine *e, const json_t *point, const char *id)
{
	const json_t *disk = disk_of(point, id);
	const char *clone = engine_clone(e, id), *source = engine_disk(e, id);
	unsigned any, extents = count_extents(source, true, 0, &any);
	double milliseconds = json_real_value(json_object_get(disk, "CloneMilliseconds"));
	struct stat st;

	ASSERT_OK(stat(source, &st));
	EXPECT_STREQ(json_text(disk, "SourcePath"), source);
	EXPECT_STREQ(json_text(disk, "File"), fmt("%s.raw", id));
	EXPECT_EQ(json_number(disk, "VirtualSize"), st.st_size);
	EXPECT_EQ(json_number(disk, "AllocatedBytes"), data_allocated(clone));
	EXPECT_EQ(json_number(disk, "Extents"), extents);
	EXPECT_TRUE(milliseconds > 0 && milliseconds < 10000, "%f", milliseconds);
	EXPECT_STREQ(json_text(disk, "Method"), "clone");
	EXPECT_STREQ(json_text(disk, "MethodReason"),
		     "same file system, blocks shared by FICLONE");
	EXPECT_TRUE(json_is_true(json_object_get(disk, "ReadOnly")));
	EXPECT_TRUE(json_is_true(json_object_get(disk, "Immutable")));
}

/* Nobody writes to it by mistake, not even root. */
static void expect_protected(const char *clone)
{
	struct stat st;

	ASSERT_OK(stat(clone, &st));
	EXPECT_EQ(st.st_mode & 07777, 0400);
	EXPECT_TRUE(inode_flags(clone) & FS_IMMUTABLE_FL);
	EXPECT_EQ(open(clone, O_RDWR | O_CLOEXEC), -1);
	EXPECT_EQ(errno, EPERM);
	EXPECT_EQ(unlink(clone), -1);
	EXPECT_EQ(errno, EPERM);
}

TEST_F(clone, says_what_it_is)
{
	const struct rp_create_options options = {.size = sizeof(options),
						  .label = "vor dem Umbau \xe2\x98\x83"};
	const char *const ids[] = {"vda", "vdb"};
	struct engine *e = &self->e;
	json_t *point, *list;
	size_t i;

	engine_make_disk(e, "vda", 9 * MIB + 77);
	engine_make_disk(e, "vdb", 2 * MIB);
	engine_add(e, ids, 2);
	point = engine_take(e, &options);
	EXPECT_STREQ(json_text(point, "InstanceID"), strchr(e->point, '@') + 1);
	EXPECT_STREQ(json_text(point, "VirtualSystemIdentifier"), "web1");
	EXPECT_STREQ(json_text(point, "Label"), options.label);
	EXPECT_EQ(json_number(point, "ReferencePointType"), 2);
	EXPECT_EQ(json_number(point, "ConsistencyLevel"), 2);
	EXPECT_STREQ(json_text(point, "Consistency"), "crash consistent per disk");
	EXPECT_EQ(json_array_size(json_object_get(point, "Warnings")), 0);
	EXPECT_EQ(json_array_size(json_object_get(point, "Disks")), 2);
	list = json_object_get(point, "VirtualDiskIdentifiers");
	for (i = 0; i < 2; i++) {
		EXPECT_STREQ(json_string_value(json_array_get(list, i)), ids[i]);
		expect_described(e, point, ids[i]);
		expect_protected(engine_clone(e, ids[i]));
		EXPECT_TRUE(data_same(engine_twin(e, ids[i]), engine_clone(e, ids[i])));
		EXPECT_TRUE(same_holes_at(engine_twin(e, ids[i]), engine_clone(e, ids[i]),
					  1));
		EXPECT_TRUE(is_shared(engine_clone(e, ids[i])));
		EXPECT_EQ(!!(inode_flags(engine_clone(e, ids[i])) & FS_NOCOW_FL),
			  variant->nocow);
	}
	engine_expect_idle(e);
	json_decref(point);
}

TEST_F(clone, of_one_disk_is_crash_consistent)
{
	const char *const ids[] = {"vda"};
	struct rp_error err;
	json_t *point;

	engine_make_disk(&self->e, "vda", MIB);
	engine_add(&self->e, ids, 1);
	point = engine_take(&self->e, NULL);
	EXPECT_STREQ(json_text(point, "Consistency"), "crash consistent");
	EXPECT_TRUE(json_is_null(json_object_get(point, "Label")));
	json_decref(point);
	/* Protected, and yet it can be destroyed. */
	EXPECT_EQ(rp_destroy_reference_point(self->e.store, self->e.point, &err), RP_OK,
		  "%s", err.message);
	EXPECT_EQ(access(engine_clone(&self->e, "vda"), F_OK), -1);
	engine_expect_idle(&self->e);
}

static void reflink(int from, uint64_t at, int to, uint64_t to_at, uint64_t len)
{
	const struct file_clone_range range = {.src_fd = from,
					       .src_offset = at,
					       .src_length = len,
					       .dest_offset = to_at};

	ASSERT_OK(ioctl(to, FICLONERANGE, &range), "%s", strerror(errno));
}

static void dedupe(int fd, uint64_t at, uint64_t same_at, uint64_t len)
{
	struct file_dedupe_range *range = calloc(1,
						 sizeof(*range) + sizeof(*range->info));

	ASSERT_NE(range, NULL);
	range->src_offset = at;
	range->src_length = len;
	range->dest_count = 1;
	range->info[0].dest_fd = fd;
	range->info[0].dest_offset = same_at;
	ASSERT_OK(ioctl(fd, FIDEDUPERANGE, range), "%s", strerror(errno));
	ASSERT_EQ(range->info[0].status, FILE_DEDUPE_RANGE_SAME);
	ASSERT_EQ(range->info[0].bytes_deduped, len);
	free(range);
}

/* Blocks that are shared already: within the disk, with another file, by hand and by a
 * program that looks for equal ones; reserved ones; and then some written again. */
static void make_tangled(const struct engine *e, const char *path)
{
	const char *other = fmt("%s/other", e->fs.mnt);
	int fd = data_create(path, 12 * MIB + 100);
	int other_fd = open(other, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	ASSERT_GE(other_fd, 0);
	if (inode_flags(path) & FS_NOCOW_FL)
		set_inode_flag(other, FS_NOCOW_FL);
	data_write(fd, 1, 0, 2 * MIB);
	data_write(fd, 1, 10 * MIB + 50, MIB);
	data_write(other_fd, 2, 0, MIB);
	reflink(fd, 0, fd, 4 * MIB, MIB);
	reflink(other_fd, 0, fd, 6 * MIB, MIB);
	data_write(fd, 3, 7 * MIB, 256 * KIB);
	data_write(fd, 3, 7 * MIB, 256 * KIB);
	ASSERT_OK(fsync(fd));
	reflink(fd, 7 * MIB, fd, 8 * MIB, 128 * KIB);
	data_write(fd, 4, 8 * MIB, 128 * KIB);
	data_write(fd, 4, 0, 64 * KIB);
	reflink(fd, 0, other_fd, 4 * MIB, 64 * KIB);
	for (unsigned i = 0; i < 16; i++) {
		char text[65536];

		memset(text, 'd', sizeof(text));
		ASSERT_EQ(pwrite(fd, text, sizeof(text), (off_t)(2 * MIB + i * 65536)),
			  sizeof(text));
	}
	ASSERT_OK(fsync(fd));
	dedupe(fd, 2 * MIB, 2 * MIB + 512 * KIB, 256 * KIB);
	data_write(fd, 5, 2 * MIB + 600 * KIB, 5000);
	ASSERT_OK(fallocate(fd, FALLOC_FL_KEEP_SIZE, 9 * MIB, 8 * MIB));
	data_write(fd, 6, 9 * MIB + 4096, 100);
	close(fd);
	close(other_fd);
}

TEST_F(clone, of_shared_deduplicated_and_reserved_blocks)
{
	const char *const ids[] = {"vda"};
	const struct engine *e = &self->e;
	unsigned shared;
	int fd;

	make_tangled(e, engine_disk(e, "vda"));
	make_tangled(e, engine_twin(e, "vda"));
	count_extents(engine_disk(e, "vda"), true, FIEMAP_EXTENT_SHARED, &shared);
	EXPECT_GT(shared, 2);
	engine_add(&self->e, ids, 1);
	json_decref(engine_take(&self->e, NULL));
	fd = open(engine_disk(e, "vda"), O_RDWR | O_CLOEXEC);
	data_write(fd, 666, 0, 12 * MIB);
	close(fd);
	EXPECT_TRUE(data_same(engine_twin(e, "vda"), engine_clone(e, "vda")));
	EXPECT_TRUE(same_holes_at(engine_twin(e, "vda"), engine_clone(e, "vda"), 1));
}

/* ------------------------------------------------------------ a long stall ahead */

struct listener {
	const struct engine *e;
	unsigned warnings;
	char text[512];
};

/* It comes before the guest has to wait; what can be done before the clone is done. */
static void hear(void *context, const char *text)
{
	struct listener *l = context;
	const char *pending = fmt("%s/store/pending", l->e->fs.mnt);
	unsigned dirty;
	struct stat st;

	l->warnings++;
	snprintf(l->text, sizeof(l->text), "%s", text);
	count_extents(engine_disk(l->e, "vda"), false, FIEMAP_EXTENT_DELALLOC, &dirty);
	EXPECT_EQ(dirty, 0, "the source is not synced");
	ASSERT_OK(stat(fmt("%s/%s/vda.raw", pending, listing(pending)), &st));
	EXPECT_EQ(st.st_size, 0, "it is cloned already");
}

/* A file of about twice as many extents as holes are punched. */
static int make_fragments(const struct engine *e, unsigned holes)
{
	uint64_t size = holes * UINT64_C(8192);
	int fd = data_create(engine_disk(e, "vda"), size);

	ASSERT_OK(fallocate(fd, 0, 0, (off_t)size));
	for (uint64_t at = 0; at < size; at += 8192)
		ASSERT_OK(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
				    (off_t)at, 4096));
	return fd;
}

/* FICLONE says EINVAL then, as it does where it cannot share. */
TEST_F(clone, beyond_a_file_size_limit)
{
	const struct rlimit limit = {4 * MIB, RLIM_INFINITY},
			    none = {RLIM_INFINITY, RLIM_INFINITY};
	const char *const ids[] = {"vda"};
	struct engine *e = &self->e;
	struct rp_error err;
	char *point = NULL;
	uint32_t rc;

	engine_make_disk(e, "vda", 9 * MIB);
	engine_add(e, ids, 1);
	signal(SIGXFSZ, SIG_IGN);
	ASSERT_OK(setrlimit(RLIMIT_FSIZE, &limit));
	rc = rp_create_reference_point(e->store, "web1", NULL, &point, &err);
	ASSERT_OK(setrlimit(RLIMIT_FSIZE, &none));
	EXPECT_EQ(rc, RP_FAILED, "%s", err.message);
	EXPECT_EQ(err.os_error, EFBIG, "%s", err.message);
	EXPECT_STREQ(err.disk, "vda");
	EXPECT_NE(strstr(err.message, "File too large"), NULL, "%s", err.message);
	engine_expect_idle(e);
	json_decref(engine_take(e, NULL));
}

FIXTURE(stall)
{
	struct engine e;
};

FIXTURE_VARIANT(stall)
{
	const char *mkfs;
	unsigned holes;	  /* of so many each is too long ... */
	const char *wait; /* ... for so long */
};

FIXTURE_VARIANT_ADD(stall, xfs){.mkfs = "-m rmapbt=0", .holes = 26000, .wait = "0.5"};
FIXTURE_VARIANT_ADD(stall, with_reverse_map){
	.mkfs = "-m rmapbt=1", .holes = 10000, .wait = "0.6"};

FIXTURE_SETUP(stall)
{
	self->e = (struct engine){.store = NULL};
	engine_open(&self->e, "xfs", 512 * MIB, variant->mkfs, NULL);
}

FIXTURE_TEARDOWN(stall)
{
	engine_close(&self->e);
}

TEST_F(stall, is_warned_of_if_long)
{
	struct engine *e = &self->e;
	struct listener l = {.e = e};
	const struct rp_watch watch = {
		.size = sizeof(watch), .context = &l, .warning = hear};
	const struct rp_create_options options = {.size = sizeof(options),
						  .watch = &watch};
	const char *const ids[] = {"vda"};
	unsigned dirty;
	json_t *point, *warnings;
	int fd;

	fd = make_fragments(e, variant->holes);
	engine_add(e, ids, 1);
	engine_sync(e);
	data_write(fd, 1, 0, MIB);
	count_extents(engine_disk(e, "vda"), false, FIEMAP_EXTENT_DELALLOC, &dirty);
	EXPECT_GT(dirty, 0);

	point = engine_take(e, &options);
	EXPECT_EQ(l.warnings, 1);
	EXPECT_GT(json_number(disk_of(point, "vda"), "Extents"), variant->holes - 500);
	EXPECT_EQ(strncmp(l.text, "vda: ", 5), 0, "%s", l.text);
	EXPECT_NE(strstr(l.text, fmt("a running guest's writes will wait for about %s s",
				     variant->wait)),
		  NULL, "%s", l.text);
	warnings = json_object_get(point, "Warnings");
	EXPECT_EQ(json_array_size(warnings), 1);
	EXPECT_STREQ(json_string_value(json_array_get(warnings, 0)), l.text);
	json_decref(point);
	close(fd);
}

TEST_F(stall, is_not_if_short)
{
	struct engine *e = &self->e;
	struct listener l = {.e = e};
	const struct rp_watch watch = {
		.size = sizeof(watch), .context = &l, .warning = hear};
	const struct rp_create_options options = {.size = sizeof(options),
						  .watch = &watch};
	const char *const ids[] = {"vda"};
	json_t *point;

	close(make_fragments(e, variant->holes / 5));
	engine_add(e, ids, 1);
	point = engine_take(e, &options);
	EXPECT_EQ(l.warnings, 0, "%s", l.text);
	EXPECT_EQ(json_array_size(json_object_get(point, "Warnings")), 0);
	json_decref(point);
}

/* --------------------------------------------------------------- without a mount */

FIXTURE(plain)
{
	struct stage stage;
};

FIXTURE_SETUP(plain)
{
	stage_make(&self->stage, test_dir(), MIB, test_seed());
}

FIXTURE_TEARDOWN(plain)
{
	stage_close(&self->stage);
}

static uint32_t create(const struct stage *s, const char *label, struct rp_error *err)
{
	const struct rp_create_options options = {
		.size = sizeof(options), .allow_copy = true, .label = label};
	char *point = NULL;
	uint32_t rc = rp_create_reference_point(s->store, "web1", &options, &point, err);

	EXPECT_EQ(rc == RP_OK, point != NULL);
	rp_free(point);
	return rc;
}

TEST_F(plain, a_disk_that_is_gone)
{
	const struct stage *s = &self->stage;
	const char *aside = fmt("%s.aside", s->disk);
	struct rp_error err;

	ASSERT_OK(rename(s->disk, aside));
	EXPECT_EQ(create(s, NULL, &err), RP_NOT_AVAILABLE, "%s", err.message);
	EXPECT_STREQ(err.disk, "vda");
	EXPECT_STREQ(err.step, "open");
	EXPECT_EQ(err.os_error, ENOENT);
	EXPECT_NE(strstr(err.message, s->disk), NULL, "%s", err.message);
	ASSERT_OK(rename(aside, s->disk));
	stage_expect_unharmed(s, "");

	ASSERT_OK(unlink(fmt("%s/web1.xml", test_dir())));
	EXPECT_EQ(create(s, NULL, &err), RP_NOT_AVAILABLE, "%s", err.message);
	EXPECT_NE(strstr(err.message, "web1.xml"), NULL, "%s", err.message);
	stage_expect_unharmed(s, "");
}

TEST_F(plain, labels)
{
	const struct stage *s = &self->stage;
	char label[257] = "";
	struct rp_error err;
	json_t *points;

	memset(label, 'l', 256);
	EXPECT_EQ(create(s, label, &err), RP_INVALID_PARAMETER);
	EXPECT_EQ(create(s, "not \xff UTF-8", &err), RP_INVALID_PARAMETER);
	stage_expect_unharmed(s, "");
	label[255] = '\0';
	ASSERT_EQ(create(s, label, &err), RP_OK, "%s", err.message);
	ASSERT_EQ(create(s, "", &err), RP_OK, "%s", err.message);
	ASSERT_EQ(create(s, "\"\\\n\t</a>", &err), RP_OK, "%s", err.message);
	points = stage_points(s->store);
	EXPECT_TRUE(json_is_null(json_object_get(json_array_get(points, 0), "Label")));
	EXPECT_STREQ(json_text(json_array_get(points, 1), "Label"), label);
	EXPECT_STREQ(json_text(json_array_get(points, 2), "Label"), "");
	EXPECT_TRUE(json_is_string(json_object_get(json_array_get(points, 2), "Label")));
	EXPECT_STREQ(json_text(json_array_get(points, 3), "Label"), "\"\\\n\t</a>");
	json_decref(points);
}

TEST_MAIN
