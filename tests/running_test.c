/* SPDX-License-Identifier: MIT */
/*
 * running_test.c - a point of a disk that a guest goes on writing, whatever it does to
 * the space it has: none of that is taken for a clone that stopped half-way
 */
#include <fcntl.h>
#include <linux/falloc.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "data.h"
#include "harness.h"
#include "loopfs.h"
#include "stage.h"

#define SIZE	(16 * MIB)
#define WRITTEN (4 * MIB) /* at the beginning */
#define LAST	(64 * KIB)

FIXTURE(running)
{
	struct loopfs fs;
	struct stage stage;
	int fd, direct_fd;
	pthread_t guest;
	atomic_bool stop;
};

FIXTURE_VARIANT(running)
{
	const char *type;
};

FIXTURE_VARIANT_ADD(running, xfs){"xfs"};
FIXTURE_VARIANT_ADD(running, btrfs){"btrfs"};

FIXTURE_SETUP(running)
{
	loopfs_mount(&self->fs, variant->type, 300 * MIB, NULL, NULL);
	stage_make(&self->stage, self->fs.mnt, SIZE, test_seed());
	self->fd = open(self->stage.disk, O_RDWR | O_TRUNC | O_CLOEXEC);
	self->direct_fd = open(self->stage.disk, O_RDWR | O_DIRECT | O_CLOEXEC);
	ASSERT_TRUE(self->fd >= 0 && self->direct_fd >= 0);
}

FIXTURE_TEARDOWN(running)
{
	close(self->fd);
	close(self->direct_fd);
	stage_close(&self->stage);
	loopfs_umount(&self->fs);
}

static void *write_blocks(void *fixture)
{
	struct running_fixture *self = fixture;
	char *block = aligned_alloc(4096, 4096);
	uint64_t seed = test_seed();

	ASSERT_NE(block, NULL);
	while (!self->stop) {
		uint64_t at = data_random(&seed) % (WRITTEN / 4096) * 4096;

		data_bytes(seed, 0, block, 4096);
		ASSERT_EQ(pwrite(self->direct_fd, block, 4096, (off_t)at), 4096);
	}
	free(block);
	return NULL;
}

/* TRIM, and the same blocks again. */
static void *discard_and_write(void *fixture)
{
	struct running_fixture *self = fixture;
	char *bytes = malloc(LAST);
	uint64_t seed = test_seed();

	ASSERT_NE(bytes, NULL);
	while (!self->stop) {
		data_bytes(data_random(&seed), 0, bytes, LAST);
		ASSERT_OK(fallocate(self->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
				    SIZE - LAST, LAST));
		ASSERT_EQ(pwrite(self->fd, bytes, LAST, SIZE - LAST), LAST);
	}
	free(bytes);
	return NULL;
}

static void take_points(struct running_fixture *self, void *(*guest)(void *),
			unsigned count)
{
	ASSERT_EQ(pthread_create(&self->guest, NULL, guest, self), 0);
	for (unsigned i = 0; i < count; i++) {
		struct rp_error err;
		char *point = NULL;

		EXPECT_EQ(rp_create_reference_point(self->stage.store, "web1", NULL,
						    &point, &err),
			  RP_OK, "%s", err.message);
		rp_free(point);
	}
	self->stop = true;
	pthread_join(self->guest, NULL);
	stage_expect_idle(&self->stage);
}

/* What was read of reserved space is in the page cache, and SEEK_DATA finds it (XFS). */
TEST_F(running, with_reserved_space_that_was_read)
{
	char *bytes = malloc(MIB);

	ASSERT_OK(fallocate(self->fd, 0, 0, SIZE));
	data_write(self->fd, 1, 0, WRITTEN);
	ASSERT_OK(fsync(self->fd));
	ASSERT_OK(posix_fadvise(self->fd, 0, 0, POSIX_FADV_DONTNEED));
	ASSERT_EQ(pread(self->fd, bytes, MIB, SIZE / 2), MIB);
	take_points(self, write_blocks, 5);
	free(bytes);
}

TEST_F(running, whose_last_data_comes_and_goes)
{
	data_write(self->fd, 1, 0, SIZE);
	take_points(self, discard_and_write, 40);
}

TEST_MAIN
