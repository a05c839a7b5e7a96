/* SPDX-License-Identifier: MIT */
/*
 * change_moving_test.c - blocks that move, or are used again, while extent maps are read
 */
#include <fcntl.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/wait.h>

#include "change_fixture.h"
#include "data.h"
#include "harness.h"

CHANGE_FIXTURE

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

static int open_map(change_open_map *open, struct io_map **ret, int fd, uint64_t size)
{
	int r = open(ret, fd, size);

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

static int open_moving(struct io_map **ret, int fd, uint64_t size)
{
	return open_map(io_map_open_fiemap, ret, fd, size);
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
	EXPECT_STREQ(changes_text(&x.ranges), "data 65536+4096");
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
	EXPECT_STREQ(changes_text(&x.ranges), "data 65536+4096");
	pair_close(&x);
}

/* The same, and it lasts until the range's lock was waited for: in the base's map and in
 * the target's, each time it is read. */
static bool torn[2], awaited;

static int lasting_record(struct io_map *map, struct io_extent *ret)
{
	int r = real_record(map, ret);

	if (r == 0 && !awaited && torn[number_of(map) % 2] && ret->kind == IO_EXTENT_DATA)
		ret->kind = IO_EXTENT_ZERO;
	return r;
}

static int (*real_await)(struct io_map *map);

static int await_all(struct io_map *map)
{
	awaited = awaited || number_of(map) == 1; /* the last of the two */
	return real_await(map);
}

static int open_lasting(struct io_map **ret, int fd, uint64_t size)
{
	int r = open_map(io_map_open_tree, ret, fd, size);

	if (r == 0) {
		real_await = (*ret)->await;
		(*ret)->record = lasting_record;
		(*ret)->await = await_all;
	}
	return r;
}

TEST_F(change, H5_a_hole_that_is_none_and_lasts)
{
	struct pair x;
	int fd;

	BTRFS_ONLY();
	fd = filled(PATH("disk"), MIB, false);
	clone_to(fd, PATH("a"));
	write_at(fd, 2, 16 * BLOCK, BLOCK);
	clone_to(fd, PATH("b"));
	close(fd);
	for (unsigned which = 1; which < 4; which++) {
		torn[0] = which & 1;
		torn[1] = which & 2;
		awaited = false;
		pair_open(&x, PATH("a"), PATH("b"));
		ASSERT_OK(ranges_begin(&x.ranges, MIB, AT_FDCWD));
		moves = readings = 0;
		EXPECT_EQ(change_compare_maps(&x.p, open_lasting, "maps", &x.ranges,
					      &x.err),
			  RP_OK);
		EXPECT_FALSE(x.p.doubt);
		EXPECT_OK(ranges_end(&x.ranges));
		EXPECT_STREQ(changes_text(&x.ranges), "data 65536+4096");
		pair_close(&x);
	}
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
TEST_F_TIMEOUT(change, devices_come_and_go, 960)
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

TEST_MAIN
