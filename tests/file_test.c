/* SPDX-License-Identifier: MIT */
/*
 * file_test.c - a new disk file takes after its folder, or after the file it is to share
 * blocks with, and is asked once which file system it is on; its times are changed before
 * a write only where that would wait for it; a part of one is cleared, whatever the file
 * system can do; one without a name is had by many at once
 */
#include <fcntl.h>
#include <linux/fs.h>
#include <pthread.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "badfs.h"
#include "data.h"
#include "engine_fixture.h"
#include "harness.h"
#include "io/clone.h"
#include "io/file.h"
#include "io/small_file.h"
#include "loopfs.h"

/* A folder of this file system that wants no data copy-on-write, and one that does. */
static void make_folders(struct loopfs *fs)
{
	loopfs_mount(fs, "btrfs", 0, NULL, NULL);
	ASSERT_OK(mkdir(fmt("%s/cow", fs->mnt), 0700));
	ASSERT_OK(mkdir(fmt("%s/nocow", fs->mnt), 0700));
	set_inode_flag(fmt("%s/nocow", fs->mnt), FS_NOCOW_FL);
}

/* Whether a file made in @folder beside @twin (NULL = none) is NOCOW. */
static bool becomes_nocow(const char *folder, const char *twin)
{
	int twin_fd = twin ? open(twin, O_RDONLY | O_CLOEXEC) : -1;
	const char *path = fmt("%s/new", folder);
	struct io_file file;
	bool nocow;

	ASSERT_TRUE(!twin || twin_fd >= 0);
	ASSERT_OK(io_file_create(AT_FDCWD, path, twin_fd, &file));
	nocow = io_is_nocow(file.fd);
	EXPECT_EQ(io_file_is_direct(&file), nocow,
		  "checksums are what makes Btrfs buffer");
	io_file_close(&file);
	unlink(path);
	if (twin_fd >= 0)
		close(twin_fd);
	return nocow;
}

TEST(nocow_of_a_new_file)
{
	const char *outside = fmt("%s/outside", test_dir());
	const char *skip = loopfs_skip_reason("btrfs");
	struct loopfs fs;

	if (skip)
		SKIP("%s", skip);
	make_folders(&fs);
	close(data_create(outside, 4096));
	close(data_create(fmt("%s/cow/twin", fs.mnt), 4096));
	close(data_create(fmt("%s/nocow/twin", fs.mnt), 4096));

	/* What it could share blocks with decides ... */
	EXPECT_FALSE(becomes_nocow(fmt("%s/nocow", fs.mnt), fmt("%s/cow/twin", fs.mnt)));
	EXPECT_TRUE(becomes_nocow(fmt("%s/cow", fs.mnt), fmt("%s/nocow/twin", fs.mnt)));
	/* ... and what it could not share with does not. */
	EXPECT_TRUE(becomes_nocow(fmt("%s/nocow", fs.mnt), outside));
	EXPECT_TRUE(becomes_nocow(fmt("%s/nocow", fs.mnt), NULL));
	EXPECT_FALSE(becomes_nocow(fmt("%s/cow", fs.mnt), outside));
	loopfs_umount(&fs);
}

/* Nothing can be shared with another one of the same kind. */
TEST(nocow_on_another_btrfs)
{
	const char *skip = loopfs_skip_reason("btrfs");
	struct loopfs fs, other;

	if (skip)
		SKIP("%s", skip);
	make_folders(&fs);
	make_folders(&other);
	close(data_create(fmt("%s/cow/twin", other.mnt), 4096));
	close(data_create(fmt("%s/nocow/twin", other.mnt), 4096));
	EXPECT_TRUE(
		becomes_nocow(fmt("%s/nocow", fs.mnt), fmt("%s/cow/twin", other.mnt)));
	EXPECT_FALSE(
		becomes_nocow(fmt("%s/cow", fs.mnt), fmt("%s/nocow/twin", other.mnt)));
	loopfs_umount(&other);
	loopfs_umount(&fs);
}

/* A folder says so of what is in it, too, and the two exclude each other. */
TEST(nocow_in_a_folder_with_a_word_on_compression)
{
	static const int words[] = {FS_COMPR_FL, FS_NOCOMP_FL};
	const char *skip = loopfs_skip_reason("btrfs");
	struct loopfs fs;

	if (skip)
		SKIP("%s", skip);
	make_folders(&fs);
	close(data_create(fmt("%s/nocow/twin", fs.mnt), 4096));
	for (size_t i = 0; i < ARRAY_SIZE(words); i++) {
		const char *folder = fmt("%s/%zu", fs.mnt, i);

		ASSERT_OK(mkdir(folder, 0700));
		set_inode_flag(folder, words[i]);
		EXPECT_FALSE(becomes_nocow(folder, NULL));
		EXPECT_TRUE(becomes_nocow(folder, fmt("%s/nocow/twin", fs.mnt)));
	}
	loopfs_umount(&fs);
}

static unsigned asked;

int fstatfs(int fd, struct statfs *ret)
{
	asked++;
	return (int)syscall(SYS_fstatfs, fd, ret);
}

static unsigned asked_for(int error, struct io_file *file)
{
	unsigned count = asked;

	ASSERT_OK(error);
	io_file_close(file);
	asked = 0;
	return count;
}

/* Two on Btrfs are asked which one it is, too. */
TEST(asked_once_where_it_is)
{
	static const char *const kinds[] = {"xfs", "ext4", "btrfs"};

	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
		const char *skip = loopfs_skip_reason(kinds[i]), *path, *twin;
		struct io_file file;
		struct loopfs fs;
		int fd;

		if (skip)
			SKIP("%s", skip);
		loopfs_mount(&fs, kinds[i], 0, NULL, NULL);
		path = fmt("%s/new", fs.mnt);
		twin = fmt("%s/twin", fs.mnt);
		fd = data_create(twin, 4096);
		asked = 0;
		EXPECT_EQ(asked_for(io_file_create(AT_FDCWD, path, fd, &file), &file),
			  i < 2 ? 1 : 3, "%s", kinds[i]);
		EXPECT_EQ(asked_for(io_file_open_write(AT_FDCWD, path, &file), &file), 1);
		EXPECT_EQ(asked_for(io_file_open_read(AT_FDCWD, twin, &file), &file), 1);
		close(fd);
		loopfs_umount(&fs);
	}
}

/* Whether io_file_touch() changes the times of a file in @folder. */
static bool is_touched(const char *folder)
{
	static const struct timespec long_ago[2] = {{.tv_sec = 1}, {.tv_sec = 1}};
	struct io_file file;
	struct stat st;

	ASSERT_OK(io_file_create(AT_FDCWD, fmt("%s/touched", folder), -1, &file));
	ASSERT_OK(futimens(file.fd, long_ago));
	io_file_touch(&file);
	ASSERT_OK(fstat(file.fd, &st));
	EXPECT_EQ(st.st_atime, 1);
	io_file_close(&file);
	return st.st_mtime != 1;
}

/* FUSE and network file systems make a request of it, and wait for the answer. */
TEST(touched_where_a_write_would_wait)
{
	static const char *const kinds[] = {"xfs", "ext4", "btrfs"};

	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
		const char *skip = loopfs_skip_reason(kinds[i]);
		struct loopfs fs;

		if (skip)
			SKIP("%s", skip);
		loopfs_mount(&fs, kinds[i], 0, NULL, NULL);
		EXPECT_EQ(is_touched(fs.mnt), i == 0, "%s", kinds[i]);
		loopfs_umount(&fs);
	}
}

/* Zeros where they are wanted, and nowhere else. */
static void expect_cleared(const char *path)
{
	static uint8_t buf[MIB], want[MIB];
	struct io_file file;

	close(data_create(path, MIB));
	ASSERT_OK(io_file_open_write(AT_FDCWD, path, &file));
	data_write(file.fd, 1, 0, MIB);
	ASSERT_OK(io_file_clear(&file, 4096, 300 * KIB));
	data_bytes(1, 0, want, MIB);
	memset(want + 4096, 0, 300 * KIB);
	ASSERT_EQ(pread(file.fd, buf, MIB, 0), (ssize_t)MIB);
	EXPECT_TRUE(!memcmp(buf, want, MIB));
	EXPECT_EQ(lseek(file.fd, 0, SEEK_END), (off_t)MIB);
	io_file_close(&file);
}

TEST(a_part_is_cleared)
{
	const char *skip = badfs_skip_reason();
	struct loopfs lower;
	struct badfs fs;

	if (skip)
		SKIP("%s", skip);
	loopfs_mount(&lower, "tmpfs", 0, NULL, NULL);
	badfs_mount(&fs, &lower);
	expect_cleared(fmt("%s/punched", lower.mnt));
	EXPECT_LT(data_allocated(fmt("%s/punched", lower.mnt)), MIB - 256 * KIB);
	fs.orders->allocate_error = EPERM;
	expect_cleared(fmt("%s/refused", fs.mnt));
	EXPECT_EQ(data_allocated(fmt("%s/refused", lower.mnt)), MIB);
	fs.orders->allocate_error = EOPNOTSUPP;
	expect_cleared(fmt("%s/written", fs.mnt));
	EXPECT_EQ(data_allocated(fmt("%s/written", lower.mnt)), MIB);
	badfs_umount(&fs);
	loopfs_umount(&lower);
}

struct nameless {
	pthread_t thread;
	int dirfd, error;
};

static void *open_often(void *arg)
{
	struct nameless *n = arg;

	for (int i = 0; i < 200 && !n->error; i++) {
		int fd = io_unnamed_file(n->dirfd);

		if (fd < 0)
			n->error = fd;
		else
			close(fd);
	}
	return n;
}

/* Where there is no O_TMPFILE each has its name for a moment. */
TEST(threads_make_unnamed_files_at_once)
{
	const char *skip = loopfs_skip_reason("tmpfs") ?: badfs_skip_reason();
	struct nameless all[4] = {0};
	struct loopfs lower = {0};
	struct badfs fs = {0};
	int dirfd;

	if (skip)
		SKIP("%s", skip);
	loopfs_mount(&lower, "tmpfs", 0, NULL, NULL);
	badfs_mount(&fs, &lower);
	EXPECT_EQ(open(fs.mnt, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600), -1);
	dirfd = open(fs.mnt, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	for (size_t i = 0; i < ARRAY_SIZE(all); i++) {
		all[i].dirfd = dirfd;
		ASSERT_OK(-pthread_create(&all[i].thread, NULL, open_often, &all[i]));
	}
	for (size_t i = 0; i < ARRAY_SIZE(all); i++) {
		ASSERT_OK(-pthread_join(all[i].thread, NULL));
		EXPECT_OK(all[i].error);
	}
	close(dirfd);
	EXPECT_STREQ(listing(lower.mnt), "");
	badfs_umount(&fs);
	loopfs_umount(&lower);
}

TEST_MAIN
