/* SPDX-License-Identifier: MIT */
/*
 * extent_test.c - asked for a short range, io_next_data() says what it says of the whole
 * file, clipped: with holes, reserved blocks, and pages that are not written yet; what
 * was cut off meanwhile is no hole
 */
#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "data.h"
#include "harness.h"
#include "io/base.h"
#include "io/extent.h"
#include "loopfs.h"
#include "stage.h"

#define SIZE   (2 * MIB)
#define ROUNDS 400

FIXTURE(extent)
{
	struct loopfs fs;
	int fd;
};

FIXTURE_VARIANT(extent)
{
	const char *type;
};

FIXTURE_VARIANT_ADD(extent, ext4){"ext4"};
FIXTURE_VARIANT_ADD(extent, xfs){"xfs"};
FIXTURE_VARIANT_ADD(extent, btrfs){"btrfs"};
FIXTURE_VARIANT_ADD(extent, tmpfs){"tmpfs"};

FIXTURE_SETUP(extent)
{
	loopfs_mount(&self->fs, variant->type, 0, NULL, NULL);
	self->fd = data_create(fmt("%s/file", self->fs.mnt), SIZE);
}

FIXTURE_TEARDOWN(extent)
{
	close(self->fd);
	loopfs_umount(&self->fs);
}

static void expect_same(int fd, uint64_t pos, uint64_t stop)
{
	uint64_t start, end, long_start, long_end, begin = 0;
	int got = io_next_data(fd, pos, stop, &start, &end);
	int want = io_next_data(fd, pos, SIZE, &long_start, &long_end);

	EXPECT_EQ(io_seek_data(fd, pos, stop, &begin), got);
	if (want == 0 && long_start >= stop)
		want = -ENXIO;
	ASSERT_EQ(got, want, "%llu to %llu", (unsigned long long)pos,
		  (unsigned long long)stop);
	if (got)
		return;
	EXPECT_EQ(start, long_start);
	EXPECT_EQ(begin, long_start);
	EXPECT_EQ(end, min_u64(long_end, stop));
}

TEST_F(extent, short_ranges)
{
	uint64_t seed = test_seed();

	for (unsigned i = 0; i < ROUNDS; i++) {
		uint64_t at = data_random(&seed) % (SIZE / 4096) * 4096;
		uint64_t len = 4096 * (1 + data_random(&seed) % 8);

		len = min_u64(len, SIZE - at);
		if (i % 3 == 0)
			data_write(self->fd, i, at, len);
		else if (i % 3 == 1 && fallocate(self->fd, FALLOC_FL_KEEP_SIZE, (off_t)at,
						 (off_t)len) < 0)
			ASSERT_EQ(errno, EOPNOTSUPP);
		if (i % 50 == 49)
			ASSERT_OK(fsync(self->fd));
		at = data_random(&seed) % SIZE;
		expect_same(self->fd, at,
			    at + 1 + data_random(&seed) % min_u64(SIZE - at, 65536));
	}
}

TEST_F(extent, of_what_was_cut_off)
{
	uint64_t start, end;

	data_write(self->fd, 1, 0, SIZE / 2);
	EXPECT_EQ(io_next_data(self->fd, SIZE / 2, SIZE, &start, &end), -ENXIO);
	ASSERT_OK(ftruncate(self->fd, SIZE / 4));
	EXPECT_EQ(io_next_data(self->fd, SIZE / 2, SIZE, &start, &end), -ENODATA);
	EXPECT_EQ(io_next_data(self->fd, SIZE / 4, SIZE, &start, &end), -ENODATA);
	EXPECT_EQ(io_seek_data(self->fd, SIZE / 4, SIZE, &start), -ENODATA);
	ASSERT_OK(io_next_data(self->fd, 0, SIZE, &start, &end));
	EXPECT_EQ(end, SIZE / 4);
	EXPECT_EQ(io_next_data(self->fd, SIZE / 4, SIZE / 4, &start, &end), -ENXIO);
}

/* Btrfs does not know of a clone that some of it is reserved only. */
TEST_F(extent, of_the_clone_of_reserved_blocks)
{
	uint64_t start, end;
	int clone;

	if (strcmp(variant->type, "xfs") && strcmp(variant->type, "btrfs"))
		SKIP("cannot clone");
	ASSERT_OK(fallocate(self->fd, 0, 0, SIZE));
	data_write(self->fd, 1, 0, SIZE / 8);
	data_write(self->fd, 1, SIZE / 2, SIZE / 8);
	ASSERT_OK(fsync(self->fd));
	clone = open(fmt("%s/clone", self->fs.mnt), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	ASSERT_OK(ioctl(clone, FICLONE, self->fd));
	ASSERT_OK(fsync(clone));
	ASSERT_OK(io_next_data(clone, 0, SIZE, &start, &end));
	EXPECT_EQ(start, 0);
	EXPECT_EQ(end, SIZE / 8);
	ASSERT_OK(io_next_data(clone, end, SIZE, &start, &end));
	EXPECT_EQ(start, SIZE / 2);
	EXPECT_EQ(end, SIZE / 2 + SIZE / 8);
	EXPECT_EQ(io_next_data(clone, end, SIZE, &start, &end), -ENXIO);
	close(clone);
}

TEST_MAIN
