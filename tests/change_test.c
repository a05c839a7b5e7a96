/* SPDX-License-Identifier: MIT */
/*
 * change_test.c - the hazards of extent maps, one by one, on real file systems: what is
 * listed as changed between two files, from which evidence, and how much too much
 */
#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/fiemap.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "badfs.h"
#include "data.h"
#include "engine/change_source.h"
#include "engine_fixture.h"
#include "harness.h"
#include "io/base.h"
#include "io/extent.h"
#include "loopfs.h"
#include "stage.h"

#define BLOCK 4096

FIXTURE(change)
{
	struct loopfs fs;
};
FIXTURE_VARIANT(change)
{
	const char *type, *mount;
};
FIXTURE_VARIANT_ADD(change, xfs){.type = "xfs"};
FIXTURE_VARIANT_ADD(change, btrfs){.type = "btrfs"};
FIXTURE_VARIANT_ADD(change, btrfs_zstd){.type = "btrfs", .mount = "compress-force=zstd"};
FIXTURE_SETUP(change)
{
	loopfs_mount(&self->fs, variant->type, 0, NULL, variant->mount);
}
FIXTURE_TEARDOWN(change)
{
	loopfs_umount(&self->fs);
}

#define ZSTD	   (variant->mount != NULL)
#define PATH(name) fmt("%s/" name, self->fs.mnt)
#define ON_BTRFS   (strcmp(variant->type, "btrfs") == 0)
#define BTRFS_ONLY()                        \
	do {                                \
		if (!ON_BTRFS)              \
			SKIP("not of XFS"); \
	} while (0)

/* ------------------------------------------------------------------------- files */

static int new_file(const char *path)
{
	int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

	ASSERT_GE(fd, 0, "%s: %s", path, strerror(errno));
	return fd;
}

/* @size bytes that do not compress, or do. */
static int filled(const char *path, uint64_t size, bool packs)
{
	int fd = new_file(path);

	if (packs)
		for (uint64_t i = 0; i < size; i += BLOCK) {
			char block[BLOCK];

			memset(block, 'a' + (int)(i / BLOCK % 20), sizeof(block));
			memcpy(block, &i, sizeof(i));
			ASSERT_EQ(pwrite(fd, block, min_u64(BLOCK, size - i), (off_t)i),
				  min_u64(BLOCK, size - i));
		}
	else
		data_write(fd, 1, 0, size);
	ASSERT_EQ(fsync(fd), 0);
	return fd;
}

static void clone_to(int fd, const char *path)
{
	int copy = new_file(path);

	if (ioctl(copy, FICLONE, fd) < 0)
		FAIL("clone %s: %s", path, strerror(errno));
	close(copy);
}

static void clone_range(int from, uint64_t at, uint64_t len, int to, uint64_t to_at)
{
	struct file_clone_range range = {.src_fd = from,
					 .src_offset = at,
					 .src_length = len,
					 .dest_offset = to_at};

	if (ioctl(to, FICLONERANGE, &range) < 0)
		FAIL("clone range: %s", strerror(errno));
}

static void write_at(int fd, uint64_t seed, uint64_t start, uint64_t len)
{
	data_write(fd, seed, start, len);
	ASSERT_EQ(fsync(fd), 0);
}

static void punch(int fd, uint64_t start, uint64_t len)
{
	ASSERT_EQ(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)start,
			    (off_t)len),
		  0);
}

/* -------------------------------------------------------------------------- pairs */

struct pair {
	struct change_pair p;
	struct watch watch;
	struct ranges ranges;
	struct rp_error err;
	const char *source;
};

static void pair_open(struct pair *x, const char *base, const char *target)
{
	*x = (struct pair){0};
	watch_init(&x->watch, NULL, 0);
	x->p = (struct change_pair){
		.disk = "vda", .leaves = {.fd = -1}, .w = &x->watch, .dirfd = AT_FDCWD};
	snprintf(x->p.base_path, sizeof(x->p.base_path), "BASE");
	snprintf(x->p.target_path, sizeof(x->p.target_path), "TARGET");
	ASSERT_OK(io_file_open_read(AT_FDCWD, base, &x->p.base));
	ASSERT_OK(io_file_open_read(AT_FDCWD, target, &x->p.target));
	ASSERT_OK(io_fs_of(x->p.base.tail_fd, &x->p.base_fs));
	ASSERT_OK(io_fs_of(x->p.target.tail_fd, &x->p.target_fs));
	x->p.base_size = x->p.base.size;
}

static void pair_close(struct pair *x)
{
	ranges_free(&x->ranges);
	io_file_close(&x->p.base);
	io_file_close(&x->p.target);
}

/* "data 0+4096 zero 8192+4096" */
static const char *list(struct ranges *ranges)
{
	struct ranges_cursor cursor = {.ranges = ranges};
	const char *text = "";
	struct change c;

	for (uint64_t pos = 0; ranges_next(&cursor, pos, &c) == 0; pos = c.end)
		text = fmt("%s%s%s %llu+%llu", text, *text ? " " : "",
			   c.kind == CHANGE_ZERO ? "zero" : "data",
			   (unsigned long long)c.start,
			   (unsigned long long)(c.end - c.start));
	return text;
}

/* What changed between two files, by this source (NULL = the best); the sums are kept in
 * @ret_bytes, if given. */
static const char *changes(const char *base, const char *target,
			   const struct change_source *source, uint64_t *ret_bytes)
{
	struct pair x;
	const char *text;

	pair_open(&x, base, target);
	if (source) {
		ASSERT_OK(ranges_begin(&x.ranges, x.p.target.size, AT_FDCWD));
		ASSERT_EQ(source->compare(&x.p, &x.ranges, &x.err), RP_OK, "%s",
			  x.err.message);
		ASSERT_FALSE(x.p.doubt, "%s", x.p.reason);
		ASSERT_OK(ranges_end(&x.ranges));
	} else {
		ASSERT_EQ(change_compare(&x.p, &x.ranges, &x.source, &x.err), RP_OK, "%s",
			  x.err.message);
	}
	ASSERT_EQ(change_prove(&x.p, &x.ranges, &x.err), RP_OK, "%s", x.err.message);
	text = ret_bytes ? "" : list(&x.ranges);
	if (ret_bytes)
		*ret_bytes = x.ranges.bytes[CHANGE_DATA] + x.ranges.bytes[CHANGE_ZERO];
	pair_close(&x);
	return text;
}

/* The same from every source there is here. */
#define EXPECT_CHANGES(base, target, want)                                             \
	do {                                                                           \
		EXPECT_STREQ(changes(base, target, &change_extents, NULL), want);      \
		if (ON_BTRFS)                                                          \
			EXPECT_STREQ(changes(base, target, &change_tree, NULL), want); \
		EXPECT_STREQ(changes(base, target, &change_content, NULL), want);      \
	} while (0)

/* ------------------------------------------------------------------------ hazards */

TEST_F(change, nothing_changed)
{
	int fd = filled(PATH("disk"), MIB + 100, ZSTD);

	clone_to(fd, PATH("a"));
	clone_to(fd, PATH("b"));
	EXPECT_CHANGES(PATH("a"), PATH("b"), "");
	close(fd);
}

TEST_F(change, a_block_and_a_byte)
{
	int fd = filled(PATH("disk"), MIB, false);

	clone_to(fd, PATH("a"));
	write_at(fd, 2, 16 * BLOCK, BLOCK);
	write_at(fd, 2, 32 * BLOCK + 77, 1);
	clone_to(fd, PATH("b"));
	EXPECT_CHANGES(PATH("a"), PATH("b"), "data 65536+4096 data 131072+4096");
	close(fd);
}

/* H1: pieces of one compressed extent have the same address and different data. */
TEST_F(change, H1_compressed_extents_alias)
{
	struct fiemap *maps[2];
	int fd, half[2];

	if (!ZSTD)
		SKIP("nothing is compressed here");
	fd = filled(PATH("disk"), 32 * BLOCK, true);
	for (unsigned i = 0; i < 2; i++) {
		half[i] = new_file(fmt("%s/half%u", self->fs.mnt, i));
		clone_range(fd, i * 16 * BLOCK, 16 * BLOCK, half[i], 0);
		maps[i] = calloc(1, sizeof(*maps[i]) + sizeof(maps[i]->fm_extents[0]));
		maps[i]->fm_length = FIEMAP_MAX_OFFSET;
		maps[i]->fm_flags = FIEMAP_FLAG_SYNC;
		maps[i]->fm_extent_count = 1;
		ASSERT_EQ(ioctl(half[i], FS_IOC_FIEMAP, maps[i]), 0);
	}
	/* The trap is there: only the offset in the extent differs, and is not told. */
	EXPECT_TRUE(maps[0]->fm_extents[0].fe_flags & FIEMAP_EXTENT_ENCODED);
	EXPECT_EQ(maps[0]->fm_extents[0].fe_physical, maps[1]->fm_extents[0].fe_physical);
	EXPECT_CHANGES(PATH("half0"), PATH("half1"), "data 0+65536");
	for (unsigned i = 0; i < 2; i++) {
		free(maps[i]);
		close(half[i]);
	}
	close(fd);
}

/* H2: what lies in the inode has the address 0. */
TEST_F(change, H2_inline_data_has_no_address)
{
	unsigned in_line;
	int a, b;

	BTRFS_ONLY();
	a = new_file(PATH("a"));
	b = new_file(PATH("b"));
	ASSERT_EQ(write(a, "some of one", 11), 11);
	ASSERT_EQ(write(b, "some of two", 11), 11);
	fsync(a);
	fsync(b);
	count_extents(PATH("a"), true, FIEMAP_EXTENT_DATA_INLINE, &in_line);
	EXPECT_EQ(in_line, 1);
	EXPECT_CHANGES(PATH("a"), PATH("b"), "data 0+11");
	EXPECT_CHANGES(PATH("a"), PATH("a"), "");
	close(a);
	close(b);
}

/* H3: reserved space reads as zeros wherever it is; and what is not on the device yet
 * has no address. */
TEST_F(change, H3_unwritten_and_not_yet_written)
{
	int fd = new_file(PATH("disk"));

	ASSERT_EQ(ftruncate(fd, MIB), 0);
	ASSERT_EQ(fallocate(fd, 0, 0, 64 * BLOCK), 0);
	clone_to(fd, PATH("a"));
	write_at(fd, 1, 0, 8 * BLOCK);
	clone_to(fd, PATH("b"));
	EXPECT_CHANGES(PATH("a"), PATH("b"), "data 0+32768");
	EXPECT_CHANGES(PATH("b"), PATH("a"), "zero 0+32768");
	/* Dirty pages over shared blocks, of a file that is no clone. */
	data_write(fd, 2, BLOCK, BLOCK);
	EXPECT_STREQ(changes(PATH("b"), PATH("disk"), &change_extents, NULL),
		     "data 4096+4096");
	if (ON_BTRFS) {
		data_write(fd, 3, 3 * BLOCK, BLOCK);
		EXPECT_STREQ(changes(PATH("b"), PATH("disk"), &change_tree, NULL),
			     "data 4096+4096 data 12288+4096");
	}
	close(fd);
}

/* H4: a map comes in pieces. */
TEST_F(change, H4_maps_of_many_batches)
{
	int fd = new_file(PATH("disk"));
	uint64_t bytes;

	ASSERT_EQ(ftruncate(fd, 64 * MIB), 0);
	for (uint64_t i = 0; i < 3000; i++)
		data_write(fd, i, i * 2 * BLOCK, BLOCK);
	fsync(fd);
	clone_to(fd, PATH("a"));
	for (uint64_t i = 0; i < 3000; i += 3)
		data_write(fd, i + 1, i * 2 * BLOCK, BLOCK);
	fsync(fd);
	clone_to(fd, PATH("b"));
	EXPECT_GT(count_extents(PATH("b"), true, 0, &(unsigned){0}), 2 * 512);
	changes(PATH("a"), PATH("b"), &change_extents, &bytes);
	EXPECT_EQ(bytes, 1000 * BLOCK);
	if (ON_BTRFS)
		changes(PATH("a"), PATH("b"), &change_tree, &bytes);
	EXPECT_EQ(bytes, 1000 * BLOCK);
	close(fd);
}

/* H5: blocks are moved while the maps are read: here by a reader that tells of other
 * places each time, for the first @moves readings. */
static unsigned moves, readings;
static struct {
	const struct io_map *map;
	uint64_t moved; /* by so much */
	uint64_t told;	/* up to here */
} seen[16];

static int (*real_record)(struct io_map *map, struct io_extent *ret);

static size_t number_of(const struct io_map *map)
{
	size_t i = readings;

	while (seen[--i].map != map)
		;
	return i;
}

static int moved_record(struct io_map *map, struct io_extent *ret)
{
	int r = real_record(map, ret);

	ret->at += seen[number_of(map)].moved;
	return r;
}

static int open_moving(struct io_map **ret, int fd, uint64_t size)
{
	int r = io_map_open_fiemap(ret, fd, size);

	ASSERT_LT(readings, ARRAY_SIZE(seen));
	seen[readings].map = r == 0 ? *ret : NULL;
	seen[readings].told = 0;
	seen[readings].moved = (uint64_t)(readings < moves ? readings + 1 : 0) << 40;
	readings++;
	if (r == 0) {
		real_record = (*ret)->record;
		(*ret)->record = moved_record;
	}
	return r;
}

TEST_F(change, H5_blocks_move_while_maps_are_read)
{
	struct pair x;
	int fd;

	if (ZSTD)
		SKIP("its maps say no places");
	fd = filled(PATH("disk"), MIB, false);
	clone_to(fd, PATH("a"));
	write_at(fd, 2, 16 * BLOCK, BLOCK);
	clone_to(fd, PATH("b"));

	/* Moved once: read again, and then it is right. */
	pair_open(&x, PATH("a"), PATH("b"));
	ASSERT_OK(ranges_begin(&x.ranges, MIB, AT_FDCWD));
	moves = 2;
	readings = 0;
	EXPECT_EQ(change_compare_maps(&x.p, open_moving, "maps", &x.ranges, &x.err),
		  RP_OK);
	EXPECT_FALSE(x.p.doubt);
	EXPECT_OK(ranges_end(&x.ranges));
	EXPECT_STREQ(list(&x.ranges), "data 65536+4096");
	EXPECT_GT(readings, 3);
	pair_close(&x);

	/* Moved all the time: no answer, and a reason. */
	pair_open(&x, PATH("a"), PATH("b"));
	ASSERT_OK(ranges_begin(&x.ranges, MIB, AT_FDCWD));
	moves = UINT32_MAX;
	readings = 0;
	EXPECT_EQ(change_compare_maps(&x.p, open_moving, "maps", &x.ranges, &x.err),
		  RP_OK);
	EXPECT_TRUE(x.p.doubt);
	EXPECT_STREQ(x.p.reason, "maps changed while they were read, 3 times");
	EXPECT_FALSE(change_extents.fits(&x.p));
	EXPECT_TRUE(change_content.fits(&x.p));
	pair_close(&x);
	close(fd);
}

/* H5: Btrfs takes an extent out of its tree before it puts the next one in: who looks in
 * between sees a hole. Here the target's map has one, when it is read first. */
static int torn_record(struct io_map *map, struct io_extent *ret)
{
	int r = real_record(map, ret);

	if (r == 0 && number_of(map) == 1 && ret->kind == IO_EXTENT_DATA)
		ret->kind = IO_EXTENT_ZERO;
	return r;
}

static int open_torn(struct io_map **ret, int fd, uint64_t size)
{
	int r = open_moving(ret, fd, size);

	if (r == 0)
		(*ret)->record = torn_record;
	return r;
}

TEST_F(change, H5_a_hole_that_is_none)
{
	struct pair x;
	int fd;

	BTRFS_ONLY();
	if (ZSTD)
		SKIP("compressed extents are data, whatever FIEMAP says");
	fd = filled(PATH("disk"), MIB, false);
	clone_to(fd, PATH("a"));
	write_at(fd, 2, 16 * BLOCK, BLOCK);
	clone_to(fd, PATH("b"));
	close(fd);
	pair_open(&x, PATH("a"), PATH("b"));
	ASSERT_OK(ranges_begin(&x.ranges, MIB, AT_FDCWD));
	moves = readings = 0;
	EXPECT_EQ(change_compare_maps(&x.p, open_torn, "maps", &x.ranges, &x.err), RP_OK);
	EXPECT_FALSE(x.p.doubt);
	EXPECT_OK(ranges_end(&x.ranges));
	EXPECT_STREQ(list(&x.ranges), "data 65536+4096");
	pair_close(&x);
}

/* The base's map before the target's, and once more after it, wherever one looks: what
 * is read of the target in between is no older and no younger (H5, H6). */
static int told_record(struct io_map *map, struct io_extent *ret)
{
	int r = real_record(map, ret);
	size_t i = number_of(map);
	uint64_t end = r == 0 ? min_u64(ret->end, map->limit) : map->limit;

	if (i > 0) /* the target, the base again */
		EXPECT_LE(end, seen[i - 1].told);
	if (r == 0 && i + 1 < readings) /* the next one has not gone before */
		EXPECT_LE(seen[i + 1].told, ret->start);
	seen[i].told = end;
	return r;
}

static int open_told(struct io_map **ret, int fd, uint64_t size)
{
	int r = open_moving(ret, fd, size);

	if (r == 0)
		(*ret)->record = told_record;
	return r;
}

/* The limit holds for the kernel's batches too: what changes behind it is seen. */
TEST_F(change, H6_nothing_is_read_behind_the_limit)
{
	change_open_map *opens[] = {io_map_open_fiemap, io_map_open_tree};
	uint64_t size = 200 * BLOCK, limit = 100 * BLOCK + 1;
	int fd = filled(PATH("disk"), size, false);

	for (size_t i = 0; i < 1 + (size_t)ON_BTRFS; i++) {
		struct io_map *map, *fresh;
		struct io_extent e = {0}, f = {0};

		clone_to(fd, i ? PATH("b") : PATH("a")); /* so that writes move blocks */
		ASSERT_OK(opens[i](&map, fd, size));
		io_map_limit(map, limit);
		while (e.end < limit)
			ASSERT_OK(io_map_next(map, &e));
		EXPECT_EQ(e.end, limit);
		EXPECT_EQ(io_map_next(map, &e), -ENXIO);
		for (unsigned k = 0; k < 10; k++)
			write_at(fd, 77 + i * 10 + k, (102 + 8 * k) * BLOCK, BLOCK);
		io_map_limit(map, size);
		ASSERT_OK(opens[i](&fresh, fd, size));
		while (io_map_next(map, &e) == 0) {
			while (f.end <= e.start)
				ASSERT_OK(io_map_next(fresh, &f));
			EXPECT_EQ(f.end, e.end);
			io_extent_cut(&f, max_u64(f.start, e.start));
			EXPECT_TRUE(f.start == e.start && f.kind == e.kind &&
				    (e.kind != IO_EXTENT_DATA || f.at == e.at));
		}
		EXPECT_EQ(e.end, size);
		io_map_close(map);
		io_map_close(fresh);
	}
	close(fd);
}

TEST_F(change, H6_the_target_is_read_between_two_readings_of_the_base)
{
	struct pair x;
	int fd = new_file(PATH("disk"));

	ASSERT_EQ(ftruncate(fd, 64 * MIB), 0);
	for (uint64_t i = 0; i < 6000; i++)
		data_write(fd, i, i * 2 * BLOCK, BLOCK);
	fsync(fd);
	clone_to(fd, PATH("a"));
	for (uint64_t i = 0; i < 6000; i += 3)
		data_write(fd, i + 1, i * 2 * BLOCK, 2 * BLOCK);
	fsync(fd);
	clone_to(fd, PATH("b"));
	close(fd);
	for (unsigned turn = 0; turn < 2; turn++) {
		pair_open(&x, turn ? PATH("b") : PATH("a"), turn ? PATH("a") : PATH("b"));
		ASSERT_OK(ranges_begin(&x.ranges, 64 * MIB, AT_FDCWD));
		moves = readings = 0;
		EXPECT_EQ(change_compare_maps(&x.p, open_told, "maps", &x.ranges, &x.err),
			  RP_OK);
		EXPECT_EQ(readings, ON_BTRFS ? 4 : 3);
		EXPECT_FALSE(x.p.doubt, "%s", x.p.reason);
		EXPECT_OK(ranges_end(&x.ranges));
		EXPECT_EQ(x.ranges.bytes[CHANGE_DATA] + x.ranges.bytes[CHANGE_ZERO],
			  2000 * 2 * BLOCK);
		EXPECT_EQ(change_prove(&x.p, &x.ranges, &x.err), RP_OK);
		pair_close(&x);
	}
}

/* A map that fails is no map. */
static int open_failing(struct io_map **ret, int fd, uint64_t size)
{
	(void)ret;
	(void)fd;
	(void)size;
	return -EIO;
}

TEST_F(change, maps_that_cannot_be_read_are_not_used)
{
	int fd = filled(PATH("a"), MIB, false);
	struct pair x;

	pair_open(&x, PATH("a"), PATH("a"));
	ASSERT_OK(ranges_begin(&x.ranges, MIB, AT_FDCWD));
	EXPECT_EQ(change_compare_maps(&x.p, open_failing, "maps", &x.ranges, &x.err),
		  RP_OK);
	EXPECT_TRUE(x.p.doubt);
	EXPECT_STREQ(x.p.reason, "maps: Input/output error");
	pair_close(&x);
	close(fd);
}

/* H6: the base's blocks are moved away, and the disk uses their old places again. */
TEST_F(change, H6_places_are_used_again)
{
	int fd = filled(PATH("disk"), MIB, false), a, copy;
	union {
		struct file_dedupe_range range;
		char room[sizeof(struct file_dedupe_range) +
			  sizeof(struct file_dedupe_range_info)];
	} d = {.range = {.src_length = MIB, .dest_count = 1}};

	clone_to(fd, PATH("a"));
	copy = filled(PATH("copy"), MIB, false);
	a = open(PATH("a"), O_RDWR | O_CLOEXEC);
	ASSERT_GE(a, 0);
	d.range.info[0].dest_fd = a;
	ASSERT_EQ(ioctl(copy, FIDEDUPERANGE, &d), 0);
	ASSERT_EQ(d.range.info[0].status, FILE_DEDUPE_RANGE_SAME);
	/* On XFS they are the disk's alone now, and are written in place. */
	write_at(fd, 2, 0, MIB);
	clone_to(fd, PATH("b"));
	EXPECT_CHANGES(PATH("a"), PATH("b"), "data 0+1048576");
	close(a);
	close(copy);
	close(fd);
}

static const char *map_text(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	const char *text = "";
	struct io_map *map;
	struct io_extent e;

	ASSERT_OK(io_map_open_fiemap(&map, fd, 64 * BLOCK));
	while (io_map_next(map, &e) == 0)
		text = fmt("%s %llu-%llu:%u@%llx", text, (unsigned long long)e.start,
			   (unsigned long long)e.end, e.kind, (unsigned long long)e.at);
	io_map_close(map);
	close(fd);
	return text;
}

/* H7: SHARED comes and goes with other files, and how records are cut with it. */
TEST_F(change, H7_shared_is_no_sign)
{
	int fd = filled(PATH("disk"), 64 * BLOCK, false), other = new_file(PATH("other"));
	const char *before;

	clone_range(fd, 16 * BLOCK, 8 * BLOCK, other, 0);
	before = map_text(PATH("disk"));
	close(other);
	unlink(PATH("other"));
	EXPECT_STREQ(map_text(PATH("disk")), before);
	close(fd);
}

/* While blocks move: no change is missed, which is proven. Btrfs may fail to read from a
 * device that is being removed; then that is what is said. */
static void expect_none_missed(const char *base, const char *target, uint64_t least)
{
	struct pair x;
	uint32_t rc;

	pair_open(&x, base, target);
	rc = change_compare(&x.p, &x.ranges, &x.source, &x.err);
	if (rc == RP_OK) {
		EXPECT_GE(x.ranges.bytes[CHANGE_DATA] + x.ranges.bytes[CHANGE_ZERO],
			  least);
		rc = change_prove(&x.p, &x.ranges, &x.err);
	}
	EXPECT_TRUE(rc == RP_OK || x.err.os_error == EIO, "%s", x.err.message);
	pair_close(&x);
}

/* Btrfs moves blocks between its devices, of which addresses know nothing. */
TEST_F_TIMEOUT(change, devices_come_and_go, 300)
{
	static const char *const steps[] = {
		"btrfs device add -f -K $DEVICE \"$MNT\"",
		"btrfs balance start -f -dconvert=raid0 -mconvert=raid1 \"$MNT\"",
		"btrfs balance start --full-balance \"$MNT\"",
		"btrfs balance start -f -dconvert=single -mconvert=single \"$MNT\"",
		"btrfs device remove $DEVICE \"$MNT\"",
	};
	const char *want = "data 1048576+65536 zero 4194304+131072 data 33554432+4096";
	char device[32];
	int fd, loop;

	BTRFS_ONLY();
	loopfs_umount(&self->fs); /* a larger one, which can be turned over */
	loopfs_mount(&self->fs, "btrfs", 512 * MIB, NULL, variant->mount);
	fd = open(fmt("%s/second.img", test_dir()), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	ASSERT_GE(fd, 0);
	ASSERT_OK(ftruncate(fd, 512 * MIB));
	close(fd);
	loop = loop_attach(fmt("%s/second.img", test_dir()), device);
	setenv("DEVICE", device, 1);
	setenv("MNT", self->fs.mnt, 1);
	fd = filled(PATH("disk"), 40 * MIB, ZSTD);
	clone_to(fd, PATH("a"));
	write_at(fd, 2, MIB, 65536);
	punch(fd, 4 * MIB, 131072);
	write_at(fd, 3, 32 * MIB, BLOCK);
	clone_to(fd, PATH("b"));
	close(fd);
	for (size_t i = 0; i < ARRAY_SIZE(steps); i++) {
		pid_t pid = fork();
		int status = 0;

		ASSERT_GE(pid, 0);
		if (pid == 0)
			_exit(system(fmt("%s >/dev/null", steps[i])) != 0);
		do {
			expect_none_missed(PATH("a"), PATH("b"), 65536 + 131072 + BLOCK);
		} while (waitpid(pid, &status, WNOHANG) == 0);
		EXPECT_EQ(status, 0, "%s", steps[i]);
		EXPECT_STREQ(changes(PATH("a"), PATH("b"), &change_tree, NULL), want);
		if (!ZSTD)
			EXPECT_STREQ(changes(PATH("a"), PATH("b"), &change_extents, NULL),
				     want);
	}
	close(loop);
}

/* H8: an address on the realtime device means another block. */
TEST_F(change, H8_realtime_files_are_compared)
{
	int fd = filled(PATH("a"), MIB, false);
	struct pair x;

	pair_open(&x, PATH("a"), PATH("a"));
	x.p.base_fs.realtime = true;
	ASSERT_EQ(change_compare(&x.p, &x.ranges, &x.source, &x.err), RP_OK);
	if (!ON_BTRFS) {
		EXPECT_STREQ(x.source, "content");
		EXPECT_STREQ(x.p.reason, "XFS realtime file: contents compared");
	}
	pair_close(&x);
	close(fd);
}

/* H16: a copy that the kernel made by sharing blocks is the same data. */
TEST_F(change, H16_copies_that_share)
{
	int fd = filled(PATH("a"), MIB, false), copy = new_file(PATH("b"));

	ASSERT_EQ(copy_file_range(fd, &(off_t){0}, copy, &(off_t){0}, MIB, 0), MIB);
	write_at(copy, 2, 4 * BLOCK, BLOCK);
	EXPECT_STREQ(changes(PATH("a"), PATH("b"), &change_content, NULL),
		     "data 16384+4096");
	EXPECT_STREQ(changes(PATH("a"), PATH("b"), NULL, NULL), "data 16384+4096");
	close(copy);
	close(fd);
}

/* H17: the block that the end of a file lies in has changed when the end has. */
TEST_F(change, H17_the_block_at_the_end)
{
	int fd = filled(PATH("disk"), 16 * BLOCK + 100, false);

	clone_to(fd, PATH("a"));
	ASSERT_EQ(ftruncate(fd, 32 * BLOCK), 0);
	clone_to(fd, PATH("grown"));
	ASSERT_EQ(ftruncate(fd, 8 * BLOCK + 10), 0);
	clone_to(fd, PATH("cut"));
	ASSERT_EQ(ftruncate(fd, 32 * BLOCK), 0);
	write_at(fd, 3, 20 * BLOCK, BLOCK);
	clone_to(fd, PATH("again"));
	EXPECT_CHANGES(PATH("a"), PATH("grown"), "data 65536+4096");
	EXPECT_CHANGES(PATH("cut"), PATH("again"), "data 32768+4096 data 81920+4096");
	EXPECT_STREQ(changes(PATH("a"), PATH("cut"), NULL, NULL), "data 32768+10");
	EXPECT_STREQ(changes(PATH("a"), PATH("cut"), &change_content, NULL), "");
	close(fd);
}

/* H18: a clone that lost its end without an error is found. */
TEST_F(change, H18_a_clone_without_its_end)
{
	int fd = filled(PATH("disk"), MIB, false), whole, part = new_file(PATH("part"));

	clone_to(fd, PATH("whole"));
	whole = open(PATH("whole"), O_RDONLY | O_CLOEXEC);
	clone_range(fd, 0, MIB / 2, part, 0);
	ASSERT_EQ(ftruncate(part, MIB), 0);
	EXPECT_OK(io_same_ranges(fd, whole, MIB));
	EXPECT_EQ(io_same_ranges(fd, part, MIB), -EIO);
	EXPECT_CHANGES(PATH("whole"), PATH("part"), "zero 524288+524288");
	close(whole);
	close(part);
	close(fd);
}

/* H19: without copy-on-write blocks are written in place, but never while they are
 * shared. */
TEST_F(change, H19_nocow)
{
	int fd, a, b, flags = FS_NOCOW_FL;

	BTRFS_ONLY();
	fd = new_file(PATH("disk"));
	ASSERT_EQ(ioctl(fd, FS_IOC_SETFLAGS, &flags), 0);
	data_write(fd, 1, 0, MIB);
	fsync(fd);
	a = new_file(PATH("a"));
	b = new_file(PATH("b"));
	ASSERT_EQ(ioctl(a, FS_IOC_SETFLAGS, &flags), 0);
	ASSERT_EQ(ioctl(b, FS_IOC_SETFLAGS, &flags), 0);
	ASSERT_EQ(ioctl(a, FICLONE, fd), 0);
	write_at(fd, 2, 8 * BLOCK, BLOCK);
	write_at(fd, 3, 8 * BLOCK, BLOCK);
	ASSERT_EQ(ioctl(b, FICLONE, fd), 0);
	EXPECT_CHANGES(PATH("a"), PATH("b"), "data 32768+4096");
	close(a);
	close(b);
	close(fd);
}

/* H28: who has the base must learn what reads as zeros now. */
TEST_F(change, H28_holes_made_since)
{
	int fd = filled(PATH("disk"), MIB, false);

	clone_to(fd, PATH("a"));
	punch(fd, 8 * BLOCK, 8 * BLOCK);
	punch(fd, 32 * BLOCK + 10,
	      2 * BLOCK); /* odd: one block, and two that have data */
	ASSERT_EQ(fallocate(fd, FALLOC_FL_ZERO_RANGE, 64 * BLOCK, 4 * BLOCK), 0);
	fsync(fd);
	clone_to(fd, PATH("b"));
	EXPECT_CHANGES(PATH("a"), PATH("b"),
		       "zero 32768+32768 data 131072+4096 zero 135168+4096 "
		       "data 139264+4096 zero 262144+16384");
	close(fd);
}

/* --------------------------------------------------------------------- the rest */

TEST_F(change, the_best_evidence_is_taken)
{
	int fd = filled(PATH("disk"), MIB, false);
	struct pair x;

	clone_to(fd, PATH("a"));
	pair_open(&x, PATH("disk"), PATH("a"));
	ASSERT_EQ(change_compare(&x.p, &x.ranges, &x.source, &x.err), RP_OK);
	EXPECT_STREQ(x.source, ON_BTRFS ? "tree" : "extents");
	EXPECT_STREQ(x.p.reason,
		     ON_BTRFS ? "same Btrfs file system, extents from its trees"
			      : "same XFS file system, extent maps");
	pair_close(&x);

	pair_open(&x, PATH("disk"), PATH("a"));
	x.p.copied = true;
	ASSERT_EQ(change_compare(&x.p, &x.ranges, &x.source, &x.err), RP_OK);
	EXPECT_STREQ(x.source, "content");
	EXPECT_STREQ(x.p.reason, "a point was copied, not cloned: contents compared");
	pair_close(&x);

	pair_open(&x, PATH("disk"), PATH("a"));
	x.p.base_fs.id[0] ^= 1;
	ASSERT_EQ(change_compare(&x.p, &x.ranges, &x.source, &x.err), RP_OK);
	EXPECT_STREQ(x.source, "content");
	EXPECT_STREQ(x.p.reason, "base on another file system: contents compared");
	pair_close(&x);
	close(fd);
}

/* Who is not root reads Btrfs by FIEMAP, and compares where that says nothing. */
TEST_F(change, without_the_rights_of_root)
{
	struct pair x;
	int fd;

	BTRFS_ONLY();
	fd = filled(PATH("disk"), MIB, ZSTD);
	clone_to(fd, PATH("a"));
	write_at(fd, 2, 8 * BLOCK, BLOCK);
	pair_open(&x, PATH("a"), PATH("disk"));
	ASSERT_EQ(seteuid(65534), 0);
	EXPECT_EQ(change_compare(&x.p, &x.ranges, &x.source, &x.err), RP_OK, "%s",
		  x.err.message);
	ASSERT_EQ(seteuid(0), 0);
	EXPECT_STREQ(x.source, "extents");
	EXPECT_STREQ(
		x.p.reason,
		fmt("Btrfs' trees cannot be read: Operation not permitted; same Btrfs "
		    "file system, extent maps%s",
		    ZSTD ? "; contents compared where extents are compressed, inline "
			   "or unknown"
			 : ""));
	EXPECT_STREQ(list(&x.ranges), "data 32768+4096");
	pair_close(&x);
	close(fd);
}

/* Subvolumes have other device numbers, and are one file system nevertheless. */
TEST_F(change, subvolumes_are_one_file_system)
{
	int fd;

	BTRFS_ONLY();
	fd = filled(PATH("disk"), MIB, ZSTD);
	ASSERT_EQ(system(fmt("btrfs subvolume create %s >/dev/null", PATH("sub"))), 0);
	clone_to(fd, PATH("sub/a"));
	write_at(fd, 2, 8 * BLOCK, BLOCK);
	EXPECT_CHANGES(PATH("sub/a"), PATH("disk"), "data 32768+4096");
	EXPECT_STREQ(changes(PATH("sub/a"), PATH("disk"), NULL, NULL), "data 32768+4096");
	close(fd);
}

/* What a map should have said and did not is found by its bytes. */
TEST_F(change, proof_finds_what_is_missing)
{
	int fd = filled(PATH("disk"), 4 * MIB, false);
	struct pair x;

	clone_to(fd, PATH("a"));
	write_at(fd, 2, 2 * MIB + 1000, 1);
	clone_to(fd, PATH("b"));
	pair_open(&x, PATH("a"), PATH("b"));
	ASSERT_OK(ranges_begin(&x.ranges, 4 * MIB, AT_FDCWD));
	ASSERT_OK(ranges_add(&x.ranges, 3 * MIB, 3 * MIB + 1, CHANGE_DATA));
	ASSERT_OK(ranges_end(&x.ranges));
	EXPECT_EQ(change_prove(&x.p, &x.ranges, &x.err), RP_FAILED);
	EXPECT_EQ(x.err.offset, 2 * MIB + 1000);
	EXPECT_STREQ(x.err.disk, "vda");
	EXPECT_STREQ(x.err.message, "vda: prove TARGET at 2098152: it differs from BASE, "
				    "and was called unchanged");
	pair_close(&x);

	/* What is called zero is looked at too. */
	pair_open(&x, PATH("a"), PATH("b"));
	ASSERT_OK(ranges_begin(&x.ranges, 4 * MIB, AT_FDCWD));
	ASSERT_OK(ranges_add(&x.ranges, 2 * MIB, 3 * MIB, CHANGE_ZERO));
	ASSERT_OK(ranges_end(&x.ranges));
	EXPECT_EQ(change_prove(&x.p, &x.ranges, &x.err), RP_FAILED);
	EXPECT_EQ(x.err.offset, 2 * MIB);
	EXPECT_STREQ(x.err.message, "vda: prove TARGET at 2097152: it has data, and was "
				    "called zero");
	pair_close(&x);

	/* Data behind the end of the base was not there. */
	ASSERT_EQ(truncate(PATH("a"), 2 * MIB), 0);
	pair_open(&x, PATH("a"), PATH("b"));
	ASSERT_OK(ranges_begin(&x.ranges, 4 * MIB, AT_FDCWD));
	ASSERT_OK(ranges_add(&x.ranges, 2 * MIB, 3 * MIB, CHANGE_DATA));
	ASSERT_OK(ranges_end(&x.ranges));
	EXPECT_EQ(change_prove(&x.p, &x.ranges, &x.err), RP_FAILED);
	EXPECT_EQ(x.err.offset, 3 * MIB);
	pair_close(&x);
	close(fd);
}

/* A file that cannot be read is no file without changes. */
TEST_F(change, reads_that_fail)
{
	struct badfs bad = {0};
	struct pair x;
	int fd, copy;

	if (ON_BTRFS)
		SKIP("as on XFS");
	if (badfs_skip_reason())
		SKIP("%s", badfs_skip_reason());
	fd = filled(PATH("a"), 4 * MIB, false);
	copy = filled(PATH("b"), 4 * MIB, false);
	badfs_mount(&bad, &self->fs);
	pair_open(&x, fmt("%s/a", bad.mnt), fmt("%s/b", bad.mnt));
	EXPECT_EQ(change_compare(&x.p, &x.ranges, &x.source, &x.err), RP_OK);
	EXPECT_STREQ(x.source, "content");
	EXPECT_STREQ(x.p.reason,
		     "extent maps are trusted on XFS and Btrfs only: contents "
		     "compared");
	EXPECT_STREQ(list(&x.ranges), "");
	bad.orders->read_at = 2 * MIB + 5;
	bad.orders->read_error = EIO;
	EXPECT_EQ(change_compare(&x.p, &x.ranges, &x.source, &x.err), RP_FAILED);
	EXPECT_EQ(x.err.os_error, EIO);
	EXPECT_EQ(x.err.offset, 2 * MIB);
	EXPECT_STREQ(x.err.disk, "vda");
	EXPECT_NE(strstr(x.err.message, "read BASE at 2097152: Input/output error"), NULL,
		  "%s", x.err.message);
	pair_close(&x);
	badfs_umount(&bad);
	close(copy);
	close(fd);
}

/* Random writes of blocks: what is listed is what was written. */
TEST_F(change, amplification)
{
	uint64_t seed = test_seed(), written, bytes, blocks = 16 * MIB / BLOCK;
	int fd = filled(PATH("disk"), 16 * MIB, ZSTD);
	bool *touched = calloc(blocks, 1);

	ASSERT_NE(touched, NULL);
	clone_to(fd, PATH("a"));
	written = 0;
	for (unsigned i = 0; i < 200; i++) {
		uint64_t at = data_random(&seed) % blocks;

		data_write(fd, i + 5, at * BLOCK, BLOCK);
		written += touched[at] ? 0 : BLOCK;
		touched[at] = true;
	}
	free(touched);
	fsync(fd);
	clone_to(fd, PATH("b"));
	changes(PATH("a"), PATH("b"), &change_extents, &bytes);
	EXPECT_LE(bytes, written * 102 / 100);
	EXPECT_GE(bytes, written);
	if (ON_BTRFS) {
		changes(PATH("a"), PATH("b"), &change_tree, &bytes);
		EXPECT_LE(bytes, written * (ZSTD ? 105 : 102) / 100);
		EXPECT_GE(bytes, written);
	}
	close(fd);
}

static uint64_t peak_kib(void)
{
	struct rusage usage;

	getrusage(RUSAGE_SELF, &usage);
	return (uint64_t)usage.ru_maxrss;
}

/* EXTENTS=N: nothing is kept of an extent, so any number of them fits. */
TEST_F_TIMEOUT(change, memory_does_not_grow_with_extents, 600)
{
	const char *wanted = getenv("EXTENTS");
	uint64_t extents = wanted ? strtoull(wanted, NULL, 10) : 20000, before, bytes;
	int fd, one;

	if (ZSTD || ON_BTRFS)
		SKIP("takes long to make here");
	/* One block, referred to by every second block of the disk. */
	fd = new_file(PATH("disk"));
	one = filled(PATH("one"), 2 * BLOCK, false);
	ASSERT_EQ(ftruncate(fd, (off_t)(extents * 2 * BLOCK)), 0);
	for (uint64_t i = 0; i < extents; i++)
		clone_range(one, 0, BLOCK, fd, i * 2 * BLOCK);
	clone_to(fd, PATH("a"));
	for (uint64_t i = 0; i < extents; i += 2)
		clone_range(one, BLOCK, BLOCK, fd, i * 2 * BLOCK);
	before = peak_kib();
	clone_to(fd, PATH("b"));
	{
		struct pair x;

		pair_open(&x, PATH("a"), PATH("b"));
		ASSERT_EQ(change_compare(&x.p, &x.ranges, &x.source, &x.err), RP_OK);
		EXPECT_STREQ(x.source, "extents");
		EXPECT_EQ(x.ranges.count, extents / 2);
		bytes = x.ranges.bytes[CHANGE_DATA];
		pair_close(&x);
	}
	EXPECT_EQ(bytes, extents / 2 * BLOCK);
	EXPECT_LT(peak_kib() - before, 4096, "KiB more");
	test_log("%llu extents: %llu KiB more memory", (unsigned long long)extents,
		 (unsigned long long)(peak_kib() - before));
	close(one);
	close(fd);
}

TEST_MAIN
