/* SPDX-License-Identifier: MIT */
/*
 * unsynced_test.c - what the kernel says of pages that were waited for, it says once:
 * whatever it is, no later sync may make a success of it
 */
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "data.h"
#include "harness.h"
#include "io/base.h"
#include "io/file.h"
#include "io/unsynced.h"
#include "stage.h"

static int told;    /* to who waits for pages */
static int refused; /* to who calls it at all */
static bool whole;  /* who waits before has to wait after */
static unsigned of_files, of_folders, syncs;

/* The library's calls come by here. */
int fsync(int fd)
{
	syncs++;
	return (int)syscall(SYS_fsync, fd);
}

static int answer(unsigned flags)
{
	const unsigned waits = SYNC_FILE_RANGE_WAIT_BEFORE | SYNC_FILE_RANGE_WAIT_AFTER;

	if (refused)
		return refused;
	if (whole && (flags & waits) == SYNC_FILE_RANGE_WAIT_BEFORE)
		return ENOSYS;
	return flags & waits ? told : 0;
}

int sync_file_range(int fd, off_t offset, off_t nbytes, unsigned flags)
{
	struct stat st;

	(void)offset;
	(void)nbytes;
	if (fstat(fd, &st) == 0 && S_ISDIR(st.st_mode))
		of_folders++;
	else
		of_files++;
	errno = answer(flags);
	return errno ? -1 : 0;
}

static int settle_two(void)
{
	struct io_unsynced unsynced = {0};
	const char *names[] = {"one", "two"}, *name;

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		int fd = open(fmt("%s/%s", test_dir(), names[i]), O_RDWR | O_CREAT, 0600);

		ASSERT_GE(fd, 0);
		data_write(fd, i, 0, 4096);
		io_unsynced_take(&unsynced, fd, names[i]);
	}
	return io_unsynced_settle(&unsynced, &name);
}

TEST(a_failed_write_fails_whatever_its_name)
{
	static const int errors[] = {EIO,    ENOSPC,	 EDQUOT,    EUCLEAN,
				     EROFS,  ENOLINK,	 ETIMEDOUT, EPERM,
				     EINVAL, EOPNOTSUPP, ENOSYS};

	for (size_t i = 0; i < ARRAY_SIZE(errors); i++) {
		told = errors[i];
		EXPECT_EQ(settle_two(), -errors[i], "%s", strerror(errors[i]));
	}
}

/* Then fsync does it all. */
TEST(who_cannot_wait_for_pages_syncs)
{
	static const int errors[] = {0, EINVAL, ENOSYS, EOPNOTSUPP, EPERM, ESPIPE};

	for (size_t i = 0; i < ARRAY_SIZE(errors); i++) {
		refused = errors[i];
		syncs = 0;
		EXPECT_EQ(settle_two(), 0, "%s", strerror(errors[i]));
		EXPECT_EQ(syncs, 2, "%s", strerror(errors[i]));
	}
}

/* As in gVisor. */
TEST(who_cannot_wait_for_them_by_halves_waits)
{
	whole = true;
	EXPECT_EQ(settle_two(), 0);
	told = EIO;
	EXPECT_EQ(settle_two(), -EIO);
}

TEST(nobody_waits_for_pages_of_folders)
{
	struct io_unsynced unsynced = {0};
	const char *name;
	int fd;

	for (unsigned i = 0; i < 2; i++) {
		of_files = of_folders = 0;
		for (unsigned k = 0; k <= i; k++) {
			fd = open(fmt("%s/%u%u", test_dir(), i, k), O_RDWR | O_CREAT,
				  0600);
			ASSERT_GE(fd, 0);
			io_unsynced_take(&unsynced, fd, "file");
		}
		fd = open(test_dir(), O_RDONLY | O_DIRECTORY);
		ASSERT_GE(fd, 0);
		io_unsynced_add_folder(&unsynced, fd, "added");
		io_unsynced_take_folder(&unsynced, dup(fd), "taken");
		EXPECT_OK(io_unsynced_settle(&unsynced, &name));
		close(fd);
		EXPECT_EQ(of_folders, 0);
		EXPECT_EQ(of_files, i ? 4 : 0, "one has nobody to be together with");
	}
}

/* Of a file that is written back while it is written. */
static int advance_and_drop(void)
{
	struct io_file file = {.fd = -1, .direct_fd = -1, .align = 1, .writable = true};
	int r;

	file.fd = open(fmt("%s/one", test_dir()), O_RDWR | O_CREAT, 0600);
	ASSERT_GE(file.fd, 0);
	data_write(file.fd, 7, 0, 64 * MIB);
	io_file_advance(&file, 32 * MIB);
	io_file_advance(&file, 64 * MIB);
	r = io_file_drop_cache(&file);
	io_file_close(&file);
	return r;
}

TEST(a_failed_write_behind_the_front_is_remembered)
{
	static const int errors[] = {EIO,    ENOSPC,	 EDQUOT, EPERM,
				     EINVAL, EOPNOTSUPP, ENOSYS};

	for (size_t i = 0; i < ARRAY_SIZE(errors); i++) {
		told = errors[i];
		EXPECT_EQ(advance_and_drop(), -errors[i], "%s", strerror(errors[i]));
	}
}

/* What a sync is for is still to come. */
TEST(who_cannot_write_behind_the_front_has_not_failed)
{
	static const int errors[] = {0, EINVAL, ENOSYS, EOPNOTSUPP, EPERM, ESPIPE};

	for (size_t i = 0; i < ARRAY_SIZE(errors); i++) {
		refused = errors[i];
		EXPECT_EQ(advance_and_drop(), 0, "%s", strerror(errors[i]));
	}
}

TEST_MAIN
