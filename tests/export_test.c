/* SPDX-License-Identifier: MIT */
/*
 * export_test.c - a full export is the source at the moment of create, byte by byte and
 * hole by hole, on every file system and backend, and says truly how it was made
 */
#include <fcntl.h>
#include <linux/fiemap.h>
#include <linux/fs.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "data.h"
#include "engine_fixture.h"
#include "harness.h"

static const enum rp_io backends[] = {RP_IO_URING, RP_IO_AIO, RP_IO_SYNC};
static const char *const backend_names[] = {
	[RP_IO_URING] = "uring", [RP_IO_AIO] = "aio", [RP_IO_SYNC] = "sync"};

FIXTURE(export)
{
	struct engine e;
	struct loopfs other;
	uint64_t seed;
	struct stat sources[SHAPE_COUNT]; /* as they are since the point was taken */
};

FIXTURE_VARIANT(export)
{
	const char *type, *mkfs, *mount;
	const char *other, *other_mkfs;
	bool clones; /* the file system of store and sources shares blocks */
	bool nocow;  /* the sources are not copied on write */
	uint64_t block;
};

FIXTURE_VARIANT_ADD(export, xfs){.type = "xfs",
				 .other = "ext4",
				 .other_mkfs = "-b 4096",
				 .clones = true,
				 .block = 4096};
FIXTURE_VARIANT_ADD(export, xfs_1k){.type = "xfs",
				    .mkfs = "-b size=1024",
				    .other = "btrfs",
				    .clones = true,
				    .block = 1024};
FIXTURE_VARIANT_ADD(export, btrfs){
	.type = "btrfs", .other = "xfs", .clones = true, .block = 4096};
FIXTURE_VARIANT_ADD(export, btrfs_zstd){.type = "btrfs",
					.mount = "compress=zstd",
					.other = "ext4",
					.other_mkfs = "-b 1024",
					.clones = true,
					.block = 4096};
FIXTURE_VARIANT_ADD(export, btrfs_nocow){
	.type = "btrfs", .other = "btrfs", .clones = true, .nocow = true, .block = 4096};
FIXTURE_VARIANT_ADD(export, ext4){
	.type = "ext4", .mkfs = "-b 4096", .other = "xfs", .block = 4096};

/* The source goes another way once the point is taken: every byte of it changes. */
static void change_source(const char *path, uint64_t size)
{
	int fd = open(path, O_RDWR | O_CLOEXEC);
	uint64_t some = min_u64(size, 2 * MIB);

	ASSERT_GE(fd, 0, "%s: %s", path, strerror(errno));
	data_write(fd, 666, 0, some);
	data_write(fd, 666, size - some, some + 5000);
	if (size > 8 * MIB)
		ASSERT_OK(ftruncate(fd, (off_t)size / 2));
	close(fd);
}

FIXTURE_SETUP(export)
{
	const struct rp_create_options options = {.size = sizeof(options),
						  .allow_copy = !variant->clones};
	const char *ids[SHAPE_COUNT];

	engine_open(&self->e, variant->type, GIB, variant->mkfs, variant->mount);
	loopfs_mount(&self->other, variant->other, GIB, variant->other_mkfs, NULL);
	if (variant->nocow) {
		set_inode_flag(fmt("%s/disks", self->e.fs.mnt), FS_NOCOW_FL);
		set_inode_flag(fmt("%s/twins", self->e.fs.mnt), FS_NOCOW_FL);
	}
	self->seed = test_seed();
	for (size_t i = 0; i < SHAPE_COUNT; i++) {
		ids[i] = shapes[i].id;
		shape_make(&shapes[i], engine_disk(&self->e, ids[i]), self->seed + i);
		shape_make(&shapes[i], engine_twin(&self->e, ids[i]), self->seed + i);
	}
	engine_sync(&self->e);
	engine_add(&self->e, ids, SHAPE_COUNT);
	json_decref(engine_take(&self->e, &options));
	for (size_t i = 0; i < SHAPE_COUNT; i++)
		change_source(engine_disk(&self->e, ids[i]), shapes[i].size);
	engine_sync(&self->e);
	for (size_t i = 0; i < SHAPE_COUNT; i++)
		ASSERT_OK(stat(engine_disk(&self->e, ids[i]), &self->sources[i]));
}

FIXTURE_TEARDOWN(export)
{
	loopfs_umount(&self->other);
	engine_close(&self->e);
}

/* Since the point was taken nobody wrote to the sources, nor to the point. */
static void expect_only_read(const struct engine *e, const struct stat *sources)
{
	for (size_t i = 0; i < SHAPE_COUNT; i++) {
		const char *id = shapes[i].id;
		struct stat now;

		ASSERT_OK(stat(engine_disk(e, id), &now));
		EXPECT_EQ(now.st_size, sources[i].st_size, "%s", id);
		EXPECT_EQ(now.st_mtim.tv_sec, sources[i].st_mtim.tv_sec, "%s", id);
		EXPECT_EQ(now.st_mtim.tv_nsec, sources[i].st_mtim.tv_nsec, "%s", id);
		EXPECT_TRUE(data_same(engine_twin(e, id), engine_clone(e, id)), "%s", id);
		EXPECT_TRUE(same_holes_at(engine_twin(e, id), engine_clone(e, id), 1),
			    "%s", id);
	}
	engine_expect_idle(e);
}

/* The manifest's numbers of one disk are those of the file that was exported. */
static void expect_numbers(const json_t *disk, const struct shape *shape,
			   const char *twin, const char *method)
{
	int64_t data = json_number(disk, "DataBytes");
	int64_t cloned = json_number(disk, "ClonedBytes");
	int64_t copied = json_number(disk, "CopiedBytes");

	EXPECT_EQ(json_number(disk, "VirtualSize"), shape->size);
	EXPECT_EQ(data, data_bytes_of(twin), "%s", shape->id);
	EXPECT_EQ(data + json_number(disk, "ZeroBytes"), shape->size, "%s", shape->id);
	EXPECT_EQ(json_number(disk, "ServerCopiedBytes"), 0);
	EXPECT_EQ(cloned, strcmp(method, "clone") ? 0 : data, "%s", shape->id);
	EXPECT_EQ(copied, strcmp(method, "copy") ? 0 : data, "%s", shape->id);
	EXPECT_STREQ(json_text(disk, "Method"), data ? method : "none", "%s", shape->id);
	EXPECT_STREQ(json_text(disk, "Format"), "raw");
	EXPECT_STREQ(json_text(disk, "File"), fmt("%s.raw", shape->id));
}

/*
 * Every disk of the export, moved by @backend ("" = any; NULL = not moved, but cloned),
 * has the bytes, holes (at @grain) and numbers of its twin.
 */
static void expect_disks(const struct engine *e, const json_t *report,
			 const char *backend, uint64_t grain)
{
	for (size_t i = 0; i < SHAPE_COUNT; i++) {
		const struct shape *shape = &shapes[i];
		const char *twin = engine_twin(e, shape->id);
		const char *file = fmt("%s/%s.raw", json_text(report, "ExportPath"),
				       shape->id);
		const json_t *disk = disk_of(report, shape->id);

		EXPECT_TRUE(data_same(twin, file), "%s", backend);
		EXPECT_TRUE(same_holes_at(twin, file, grain), "%s", backend);
		expect_numbers(disk, shape, twin, backend ? "copy" : "clone");
		if (json_number(disk, "CopiedBytes") && backend && *backend) {
			EXPECT_STREQ(json_text(disk, "Backend"), backend);
			EXPECT_STREQ(json_text(disk, "BackendReason"), "first choice");
		}
	}
}

static void expect_reason(const json_t *report, const char *begin)
{
	const char *reason = json_text(disk_of(report, "odd"), "MethodReason");

	EXPECT_EQ(strncmp(reason, begin, strlen(begin)), 0, "%s", reason);
}

TEST_F(export, moves_every_byte_and_hole)
{
	const char *const directories[] = {self->e.out, self->other.mnt};
	struct rp_export_options options = {.size = sizeof(options),
					    .clone = RP_CLONE_NEVER};
	struct rp_error err;

	for (size_t i = 0; i < ARRAY_SIZE(backends); i++)
		for (size_t k = 0; k < ARRAY_SIZE(directories); k++) {
			json_t *report;

			if (!backend_works(backends[i]))
				continue;
			options.io = backends[i];
			report = engine_export(&self->e, directories[k], &options);
			expect_disks(&self->e, report, backend_names[backends[i]], 4096);
			expect_reason(report, "clone was not wanted");
			EXPECT_EQ(rp_verify(json_text(report, "ExportPath"), NULL, NULL,
					    &err),
				  RP_OK, "%s", err.message);
			remove_tree(json_text(report, "ExportPath"));
			json_decref(report);
		}
	expect_only_read(&self->e, self->sources);
}

/* The 1K variant would prove nothing without a hole below 4K, nor would the others
 * without what they are called. */
static void expect_variant(const struct engine *e, const struct export_variant *v)
{
	const char *text = engine_clone(e, "text"), *zeros = engine_clone(e, "zeros");
	unsigned encoded;

	count_extents(text, true, FIEMAP_EXTENT_ENCODED, &encoded);
	EXPECT_EQ(encoded > 0, v->mount != NULL);
	EXPECT_EQ(!!(inode_flags(text) & FS_NOCOW_FL), v->nocow);
	EXPECT_EQ(same_holes_at(zeros, zeros, 4096), v->block == 4096);
}

/* Left alone, it shares blocks where that is possible, and says why where it is not. */
TEST_F(export, takes_the_best_method)
{
	json_t *report = engine_export(&self->e, self->e.out, NULL);

	expect_variant(&self->e, variant);
	expect_disks(&self->e, report, variant->clones ? NULL : "",
		     variant->clones ? 1 : 4096);
	expect_reason(report, variant->clones
				      ? "same file system, blocks shared by FICLONERANGE"
				      : "FICLONERANGE: Operation not supported");
	for (size_t i = 0; i < SHAPE_COUNT && variant->clones; i++) {
		const char *file = fmt("%s/%s.raw", json_text(report, "ExportPath"),
				       shapes[i].id);

		EXPECT_TRUE(is_shared(file), "%s", shapes[i].id);
		EXPECT_EQ(!!(inode_flags(file) & FS_NOCOW_FL), variant->nocow);
	}
	json_decref(report);

	report = engine_export(&self->e, self->other.mnt, NULL);
	expect_disks(&self->e, report, "", 4096);
	expect_reason(report, "FICLONERANGE: Invalid cross-device link");
	json_decref(report);
	expect_only_read(&self->e, self->sources);
}

/* ----------------------------------------------------------- what sharing writes */

FIXTURE(sharing)
{
	struct engine e;
};

FIXTURE_VARIANT(sharing)
{
	const char *type;
	bool nocow;
};

FIXTURE_VARIANT_ADD(sharing, xfs){.type = "xfs"};
FIXTURE_VARIANT_ADD(sharing, btrfs){.type = "btrfs"};
FIXTURE_VARIANT_ADD(sharing, btrfs_nocow){.type = "btrfs", .nocow = true};

FIXTURE_SETUP(sharing)
{
	engine_open(&self->e, variant->type, GIB, NULL, NULL);
	if (variant->nocow)
		set_inode_flag(fmt("%s/disks", self->e.fs.mnt), FS_NOCOW_FL);
}

FIXTURE_TEARDOWN(sharing)
{
	engine_close(&self->e);
}

static uint64_t written_to(const struct engine *e)
{
	const char *path = fmt("/sys/block/%s/stat", strrchr(e->fs.loop, '/') + 1);
	FILE *file = fopen(path, "re");
	unsigned long long sectors;

	ASSERT_NE(file, NULL, "%s", path);
	engine_sync(e);
	ASSERT_EQ(fscanf(file, "%*u %*u %*u %*u %*u %*u %llu", &sectors), 1);
	fclose(file);
	return sectors * 512;
}

TEST_F(sharing, writes_no_data)
{
	static const struct shape big = {"big", 96 * MIB + 1, .runs = 0};
	const char *const ids[] = {big.id};
	uint64_t before;
	json_t *report;
	int fd = data_create(engine_disk(&self->e, big.id), big.size);

	data_write(fd, test_seed(), 0, big.size);
	close(fd);
	engine_add(&self->e, ids, 1);
	before = written_to(&self->e);
	json_decref(engine_take(&self->e, NULL));
	report = engine_export(&self->e, self->e.out, NULL);
	EXPECT_LT(written_to(&self->e) - before, 2 * MIB);
	expect_numbers(disk_of(report, big.id), &big, engine_disk(&self->e, big.id),
		       "clone");
	EXPECT_TRUE(data_same(engine_disk(&self->e, big.id),
			      fmt("%s/big.raw", json_text(report, "ExportPath"))));
	json_decref(report);
}

struct scribbler {
	const char *path;
	uint64_t size;
	bool stop;
	unsigned writes;
};

static void *scribble(void *context)
{
	struct scribbler *s = context;
	int fd = open(s->path, O_RDWR | O_CLOEXEC);
	uint64_t state = 1;

	ASSERT_GE(fd, 0);
	while (!__atomic_load_n(&s->stop, __ATOMIC_RELAXED)) {
		data_write(fd, 666, round_down(data_random(&state) % s->size, 4096),
			   4096);
		if (++s->writes % 64 == 0)
			fsync(fd);
	}
	close(fd);
	return NULL;
}

/* Its machine runs on while the point is exported, by sharing and by moving. */
TEST_F(sharing, while_the_source_changes)
{
	static const struct shape shape = {"vda", 24 * MIB + 4097, .runs = 90};
	struct rp_export_options options = {.size = sizeof(options)};
	const char *const ids[] = {shape.id};
	char disk[PATH_MAX], twin[PATH_MAX];
	struct scribbler s = {.path = disk, .size = shape.size};
	uint64_t seed = test_seed();
	pthread_t thread;

	snprintf(disk, sizeof(disk), "%s", engine_disk(&self->e, shape.id));
	snprintf(twin, sizeof(twin), "%s", engine_twin(&self->e, shape.id));
	shape_make(&shape, disk, seed);
	shape_make(&shape, twin, seed);
	engine_add(&self->e, ids, 1);
	json_decref(engine_take(&self->e, NULL));
	ASSERT_OK(pthread_create(&thread, NULL, scribble, &s));
	for (unsigned i = 0; i < 6; i++) {
		json_t *report;

		options.clone = i % 2 ? RP_CLONE_ALWAYS : RP_CLONE_NEVER;
		report = engine_export(&self->e, self->e.out, &options);
		EXPECT_TRUE(data_same(
			twin, fmt("%s/vda.raw", json_text(report, "ExportPath"))));
		remove_tree(json_text(report, "ExportPath"));
		json_decref(report);
	}
	__atomic_store_n(&s.stop, true, __ATOMIC_RELAXED);
	pthread_join(thread, NULL);
	EXPECT_GT(s.writes, 0);
	EXPECT_FALSE(data_same(twin, disk));
}

/* Whatever the maps of a disk and its clone look like, all of the data is there. */
FIXTURE(compressed)
{
	struct engine e;
};

FIXTURE_VARIANT(compressed)
{
	uint64_t head; /* size of the first extent */
	bool in_line;  /* it lies in the inode, but not in that of the clone */
};

/* Where the pieces of a clone meet they cut an extent in two. */
FIXTURE_VARIANT_ADD(compressed, and_cut){.head = 64 * KIB};
FIXTURE_VARIANT_ADD(compressed, in_the_inode){.head = 4 * KIB, .in_line = true};

FIXTURE_SETUP(compressed)
{
	engine_open(&self->e, "btrfs", GIB, NULL, "compress=zstd");
}

FIXTURE_TEARDOWN(compressed)
{
	engine_close(&self->e);
}

TEST_F(compressed, all_of_it_is_shared)
{
	const uint64_t size = 200 * MIB, step = 128 * KIB;
	const char *const ids[] = {"vda"};
	const char *disk = engine_disk(&self->e, "vda");
	char text[128 * KIB];
	unsigned kind;
	json_t *report;
	int fd;

	memset(text, 'x', sizeof(text));
	fd = data_create(disk, variant->head);
	ASSERT_EQ(pwrite(fd, text, variant->head, 0), variant->head);
	ASSERT_OK(fsync(fd));
	ASSERT_OK(ftruncate(fd, (off_t)size));
	for (uint64_t at = variant->head; at < 80 * MIB; at += step)
		ASSERT_EQ(pwrite(fd, text, step, (off_t)at), step);
	/* Reserved space, which no piece reaches. What is written after it is not
	 * compressed any more. */
	ASSERT_OK(fsync(fd));
	ASSERT_OK(fallocate(fd, 0, 190 * MIB, 4 * MIB));
	close(fd);
	engine_add(&self->e, ids, 1);
	json_decref(engine_take(&self->e, NULL));
	count_extents(disk, true, FIEMAP_EXTENT_ENCODED, &kind);
	EXPECT_GT(kind, 600);
	count_extents(disk, true, FIEMAP_EXTENT_DATA_INLINE, &kind);
	EXPECT_EQ(kind, variant->in_line);
	report = engine_export(&self->e, self->e.out, NULL);
	EXPECT_STREQ(json_text(disk_of(report, "vda"), "Method"), "clone");
	EXPECT_TRUE(data_same(engine_disk(&self->e, "vda"),
			      fmt("%s/vda.raw", json_text(report, "ExportPath"))));
	json_decref(report);
}

TEST_MAIN
