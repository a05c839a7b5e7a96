/* SPDX-License-Identifier: MIT */
/*
 * loopfs_test.c - what the other tests stand on: mounted file systems that leave no
 * trace, and contents that are compared byte by byte and hole by hole
 */
#include <fcntl.h>
#include <linux/fs.h>
#include <signal.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include <unistd.h>

#include "data.h"
#include "harness.h"
#include "loopfs.h"
#include "stage.h"

#define MIB (UINT64_C(1) << 20)
#define GIB (UINT64_C(1) << 30)

FIXTURE(loopfs)
{
	struct loopfs fs;
	char a[PATH_MAX + 8], b[PATH_MAX + 8];
};

FIXTURE_VARIANT(loopfs)
{
	const char *type;
	long magic;
	bool clones;
};

FIXTURE_VARIANT_ADD(loopfs, ext4){"ext4", 0xef53, false};
FIXTURE_VARIANT_ADD(loopfs, btrfs){"btrfs", 0x9123683e, true};
FIXTURE_VARIANT_ADD(loopfs, xfs){"xfs", 0x58465342, true};
FIXTURE_VARIANT_ADD(loopfs, tmpfs){"tmpfs", 0x01021994, false};

FIXTURE_SETUP(loopfs)
{
	loopfs_mount(&self->fs, variant->type, 0, NULL, NULL);
	snprintf(self->a, sizeof(self->a), "%s/a", self->fs.mnt);
	snprintf(self->b, sizeof(self->b), "%s/b", self->fs.mnt);
}

FIXTURE_TEARDOWN(loopfs)
{
	loopfs_umount(&self->fs);
}

TEST_F(loopfs, is_what_was_asked_for)
{
	struct statfs st;
	int a = data_create(self->a, MIB), b = data_create(self->b, MIB);

	ASSERT_EQ(statfs(self->fs.mnt, &st), 0);
	EXPECT_EQ((unsigned)st.f_type, (unsigned)variant->magic);
	data_write(a, 1, 0, MIB);
	EXPECT_EQ(ioctl(b, FICLONE, a) == 0, variant->clones);
	EXPECT_EQ(data_same(self->a, self->b), variant->clones);
	close(a);
	close(b);
}

TEST_F(loopfs, compares_bytes_and_holes)
{
	uint64_t size = 9 * GIB + 511;
	int a, b;

	a = data_create(self->a, size);
	b = data_create(self->b, size);
	data_write(a, 5, 4 * GIB - 7, MIB);
	data_write(b, 5, 4 * GIB - 7, MIB);
	data_write(a, 5, size - 1, 1);
	data_write(b, 5, size - 1, 1);
	EXPECT_TRUE(data_same(self->a, self->b));
	EXPECT_TRUE(data_same_holes(self->a, self->b));
	EXPECT_LT(data_allocated(self->a), 2 * MIB);

	ASSERT_EQ(pwrite(b, "", 1, MIB), 1); /* a zero that is data */
	EXPECT_TRUE(data_same(self->a, self->b));
	EXPECT_FALSE(data_same_holes(self->a, self->b));
	ASSERT_EQ(pwrite(b, "x", 1, MIB), 1);
	EXPECT_FALSE(data_same(self->a, self->b));
	ASSERT_EQ(pwrite(a, "x", 1, MIB), 1);
	EXPECT_TRUE(data_same(self->a, self->b));
	data_write(a, 6, size - 1, 1);
	EXPECT_FALSE(data_same(self->a, self->b));
	ASSERT_EQ(ftruncate(b, (off_t)size - 1), 0);
	EXPECT_FALSE(data_same(self->a, self->b));
	close(a);
	close(b);
}

TEST_F(loopfs, random_files_repeat)
{
	uint64_t seed = test_seed();

	data_create_random(self->a, 8 * MIB + 4097, seed, 20);
	data_create_random(self->b, 8 * MIB + 4097, seed, 20);
	EXPECT_TRUE(data_same(self->a, self->b));
	EXPECT_TRUE(data_same_holes(self->a, self->b));
	ASSERT_EQ(unlink(self->b), 0);
	data_create_random(self->b, 8 * MIB + 4097, seed + 1, 20);
	EXPECT_FALSE(data_same(self->a, self->b));
}

struct attached {
	char folder[64], seq[32]; /* of the device, and of what it was attached to */
};

static void read_seq(const struct attached *a, char ret[32])
{
	FILE *f = fopen(fmt("%s/diskseq", a->folder), "re");

	ASSERT_NE(f, NULL);
	ASSERT_NE(fgets(ret, 32, f), NULL);
	fclose(f);
}

/* Somebody else may have the device by now. */
static bool is_attached(const struct attached *a)
{
	char seq[32];

	read_seq(a, seq);
	return exists(fmt("%s/loop", a->folder)) && !strcmp(seq, a->seq);
}

/* The child dies with its file system mounted and a file on it open. */
TEST_F(loopfs, leaves_no_loop_device)
{
	struct attached attached;
	int fds[2], tries;
	pid_t pid;

	if (!*self->fs.loop)
		SKIP("tmpfs has none");
	ASSERT_EQ(pipe2(fds, O_CLOEXEC), 0);
	pid = fork();
	if (pid == 0) {
		struct loopfs fs;

		loopfs_mount(&fs, variant->type, 0, NULL, NULL);
		data_create(fs.mnt[0] ? strcat(fs.mnt, "/file") : "", 1);
		memset(&attached, 0, sizeof(attached));
		snprintf(attached.folder, sizeof(attached.folder), "/sys/block/%s",
			 strrchr(fs.loop, '/') + 1);
		read_seq(&attached, attached.seq);
		write(fds[1], &attached, sizeof(attached));
		raise(SIGKILL);
	}
	ASSERT_EQ(read(fds[0], &attached, sizeof(attached)), sizeof(attached));
	EXPECT_EQ(waitpid(pid, NULL, 0), pid);
	for (tries = 0; is_attached(&attached) && tries < 6000; tries++)
		usleep(10000);
	EXPECT_FALSE(is_attached(&attached), "%s is still attached", attached.folder);
}

TEST(data_knows_its_bytes)
{
	unsigned char whole[64], part[64];
	size_t start, len;

	data_bytes(42, 1000, whole, sizeof(whole));
	for (start = 0; start < 16; start++)
		for (len = 0; len < 32; len++) {
			data_bytes(42, 1000 + start, part, len);
			ASSERT_EQ(memcmp(part, whole + start, len), 0, "%zu+%zu", start,
				  len);
		}
}

TEST_MAIN
