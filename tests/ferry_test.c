/* SPDX-License-Identifier: MIT */
/*
 * ferry_test.c - one sync for all who wait for one: none leaves without what was written
 * before its ticket, nor long before others come, and nobody believes one that has failed
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "badfs.h"
#include "harness.h"
#include "io/base.h"
#include "io/clock.h"
#include "io/dirty.h"
#include "io/ferry.h"
#include "io/small_file.h"
#include "io/tree.h"
#include "io/unsynced.h"
#include "loopfs.h"
#include "stage.h"

#define THREADS 16

/* The library's calls come by here. */
static atomic_uint syncs, flushes, file_syncs;
static atomic_int sync_error; /* of the next one */
static uint64_t dirty;
static pthread_mutex_t gate = PTHREAD_MUTEX_INITIALIZER;

int syncfs(int fd)
{
	int error;

	atomic_fetch_add(&syncs, 1);
	pthread_mutex_lock(&gate); /* a test may hold it back */
	pthread_mutex_unlock(&gate);
	error = atomic_exchange(&sync_error, 0);
	if (error) {
		errno = error;
		return -1;
	}
	return (int)syscall(SYS_syncfs, fd);
}

/* What others on the machine write is none of these tests' business. */
uint64_t io_dirty_bytes(void)
{
	return dirty;
}

static const char *release; /* of the kernel, NULL = as it is */

int uname(struct utsname *ret)
{
	int r = (int)syscall(SYS_uname, ret);

	if (r == 0 && release)
		snprintf(ret->release, sizeof(ret->release), "%s", release);
	return r;
}

int fdatasync(int fd)
{
	atomic_fetch_add(&flushes, 1);
	return (int)syscall(SYS_fdatasync, fd);
}

int fsync(int fd)
{
	atomic_fetch_add(&file_syncs, 1);
	return (int)syscall(SYS_fsync, fd);
}

FIXTURE(ferry)
{
	struct loopfs fs;
	int dir;
	struct io_quay *quay;
	struct io_ferry *ferry;
	pthread_t threads[THREADS];
	unsigned started;
	uint64_t ticket;
	atomic_uint good, refused;
};

FIXTURE_VARIANT(ferry)
{
	const char *type;
};

FIXTURE_VARIANT_ADD(ferry, xfs){"xfs"};
FIXTURE_VARIANT_ADD(ferry, ext4){"ext4"};

FIXTURE_SETUP(ferry)
{
	loopfs_mount(&self->fs, variant->type, 0, NULL, NULL);
	self->dir = open(self->fs.mnt, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	ASSERT_GE(self->dir, 0);
	ASSERT_OK(io_quay_open(&self->quay));
	ASSERT_OK(io_ferry_open(&self->ferry, self->quay, self->dir));
	syncs = flushes = file_syncs = 0;
}

FIXTURE_TEARDOWN(ferry)
{
	io_ferry_close(self->ferry);
	io_quay_close(self->quay);
	if (self->dir >= 0)
		close(self->dir);
	loopfs_umount(&self->fs);
}

static void *cross(void *arg)
{
	struct ferry_fixture *self = arg;

	if (io_ferry_cross(self->ferry, self->ticket) == 0)
		atomic_fetch_add(&self->good, 1);
	else
		atomic_fetch_add(&self->refused, 1);
	return NULL;
}

static void start(struct ferry_fixture *self, unsigned count)
{
	for (unsigned i = 0; i < count; i++)
		ASSERT_OK(pthread_create(&self->threads[self->started++], NULL, cross,
					 self));
}

static void join_all(struct ferry_fixture *self)
{
	for (unsigned i = 0; i < self->started; i++)
		pthread_join(self->threads[i], NULL);
	self->started = 0;
}

/* One crossing is under way, and will be until the gate is opened. */
static void hold_one(struct ferry_fixture *self)
{
	pthread_mutex_lock(&gate);
	self->ticket = io_ferry_ticket(self->ferry);
	start(self, 1);
	while (!syncs)
		usleep(1000);
}

TEST_F(ferry, every_crossing_flushes_the_device)
{
	(void)variant;
	EXPECT_EQ(io_ferry_cross(self->ferry, io_ferry_ticket(self->ferry)), 0);
	EXPECT_EQ(syncs, 1);
	EXPECT_EQ(flushes, 1);
	EXPECT_EQ(io_ferry_cross(self->ferry, io_ferry_ticket(self->ferry)), 0);
	EXPECT_EQ(syncs, 2);
	EXPECT_EQ(flushes, 2);
}

TEST_F(ferry, who_was_taken_along_does_not_go_again)
{
	uint64_t ticket = io_ferry_ticket(self->ferry);

	(void)variant;
	EXPECT_EQ(io_ferry_cross(self->ferry, ticket), 0);
	EXPECT_EQ(io_ferry_cross(self->ferry, ticket), 0);
	EXPECT_EQ(syncs, 1);
}

/* What was written after it has left is not on it, however long it takes; and all who
 * come meanwhile have one together. */
TEST_F(ferry, who_comes_late_takes_the_next_one)
{
	(void)variant;
	hold_one(self);
	self->ticket = io_ferry_ticket(self->ferry);
	start(self, THREADS - 1);
	EXPECT_EQ(syncs, 1);
	EXPECT_EQ(self->good, 0);
	pthread_mutex_unlock(&gate);
	join_all(self);
	EXPECT_EQ(self->good, THREADS);
	EXPECT_EQ(syncs, 2);
}

/* How many syncs two have that come one after the other, both of which are waited for. */
static unsigned syncs_of_two(struct ferry_fixture *self)
{
	unsigned before = syncs;

	io_ferry_close(self->ferry); /* it has no patience left if the last time failed */
	ASSERT_OK(io_ferry_open(&self->ferry, self->quay, self->dir));
	io_quay_enter(self->quay);
	io_quay_enter(self->quay);
	self->ticket = io_ferry_ticket(self->ferry);
	start(self, 1);
	usleep(20000);
	self->ticket = io_ferry_ticket(self->ferry);
	start(self, 1);
	join_all(self);
	io_quay_exit(self->quay);
	io_quay_exit(self->quay);
	return syncs - before;
}

/* A machine that stands still may make the second one late. */
TEST_F(ferry, waits_for_those_who_will_come)
{
	unsigned tries = 1;

	(void)variant;
	while (syncs_of_two(self) > 1 && tries < 10)
		tries++;
	EXPECT_LT(tries, 10);
	EXPECT_EQ(self->good, 2 * tries);
}

TEST_F(ferry, leaves_when_no_other_will_come)
{
	uint64_t begin = io_now_ns();

	(void)variant;
	for (unsigned i = 0; i < 20; i++) {
		io_quay_enter(self->quay);
		io_quay_enter(self->quay);
		self->ticket = io_ferry_ticket(self->ferry);
		start(self, 1);
		usleep(5000); /* it waits */
		io_quay_exit(self->quay);
		join_all(self);
		io_quay_exit(self->quay);
	}
	EXPECT_EQ(syncs, 20);
	EXPECT_LT(io_now_ns() - begin, 5000 * IO_MS, "20 times half a second");
}

/* Half a second, and less each time. */
TEST_F(ferry, leaves_without_who_never_comes)
{
	uint64_t begin = io_now_ns(), first;

	(void)variant;
	io_quay_enter(self->quay);
	io_quay_enter(self->quay);
	EXPECT_EQ(io_ferry_cross(self->ferry, io_ferry_ticket(self->ferry)), 0);
	first = io_now_ns() - begin;
	EXPECT_GE(first, 400 * IO_MS);
	for (unsigned i = 1; i < 40; i++)
		EXPECT_EQ(io_ferry_cross(self->ferry, io_ferry_ticket(self->ferry)), 0);
	EXPECT_EQ(syncs, 40);
	EXPECT_LT(io_now_ns() - begin, first + 5000 * IO_MS, "39 times half a second");
	io_quay_exit(self->quay);
	io_quay_exit(self->quay);
}

/* Who waits for one ferry will not come to the other. */
TEST_F(ferry, leaves_when_the_others_wait_for_another)
{
	struct io_ferry *other;
	uint64_t begin = io_now_ns();

	(void)variant;
	ASSERT_OK(io_ferry_open(&other, self->quay, self->dir));
	io_quay_enter(self->quay);
	io_quay_enter(self->quay);
	for (unsigned i = 0; i < 20; i++) {
		self->ticket = io_ferry_ticket(self->ferry);
		start(self, 1);
		EXPECT_EQ(io_ferry_cross(other, io_ferry_ticket(other)), 0);
		join_all(self);
	}
	EXPECT_EQ(syncs, 40);
	EXPECT_LT(io_now_ns() - begin, 5000 * IO_MS, "20 times half a second");
	io_quay_exit(self->quay);
	io_quay_exit(self->quay);
	io_ferry_close(other);
}

/* It is told once; who had a part in that crossing must not know less than who made it,
 * nor must anybody later. */
TEST_F(ferry, an_error_is_never_forgotten)
{
	(void)variant;
	hold_one(self);
	self->ticket = io_ferry_ticket(self->ferry);
	start(self, THREADS - 1);
	sync_error = EIO;
	pthread_mutex_unlock(&gate);
	join_all(self);
	EXPECT_EQ(self->refused, THREADS);
	EXPECT_EQ(syncs, 1);
	EXPECT_EQ(io_ferry_cross(self->ferry, io_ferry_ticket(self->ferry)), -EAGAIN);
	EXPECT_EQ(syncs, 1, "nobody asks again what will not be told again");
}

/* A sync of all of it would take long, and keep others from what they do. */
TEST_F(ferry, does_not_leave_while_others_have_much_to_write)
{
	(void)variant;
	dirty = GIB;
	EXPECT_EQ(io_ferry_cross(self->ferry, io_ferry_ticket(self->ferry)), -EAGAIN);
	EXPECT_EQ(syncs, 0);
	dirty = 0;
	EXPECT_EQ(io_ferry_cross(self->ferry, io_ferry_ticket(self->ferry)), 0);
	EXPECT_EQ(syncs, 1);
}

static void write_some(struct ferry_fixture *self, struct io_unsynced *u)
{
	int fd = io_write_unsynced(self->dir, "file", "text", 4);

	ASSERT_GE(fd, 0);
	io_unsynced_take(u, fd, "file");
	io_unsynced_add(u, self->dir, "folder");
}

TEST_F(ferry, files_go_by_ferry_or_each_by_itself)
{
	struct io_unsynced by_ferry = {.ferry = self->ferry}, alone = {0};
	const char *name;

	(void)variant;
	write_some(self, &by_ferry);
	EXPECT_EQ(io_unsynced_settle(&by_ferry, &name), 0);
	EXPECT_EQ(syncs, 1);
	EXPECT_EQ(file_syncs, 0);
	EXPECT_EQ(io_unsynced_settle(&by_ferry, &name), 0);
	EXPECT_EQ(syncs, 1, "nothing is left");

	ASSERT_OK(unlinkat(self->dir, "file", 0));
	write_some(self, &alone);
	EXPECT_EQ(io_unsynced_settle(&alone, &name), 0);
	EXPECT_EQ(syncs, 1);
	EXPECT_EQ(file_syncs, 2);

	ASSERT_OK(unlinkat(self->dir, "file", 0));
	sync_error = EIO; /* whosever it was: it was none of these */
	write_some(self, &by_ferry);
	EXPECT_EQ(io_unsynced_settle(&by_ferry, &name), 0);
	EXPECT_EQ(syncs, 2);
	EXPECT_EQ(file_syncs, 4);
}

/* Nobody knows what its sync does. */
static void expect_none(const char *mnt)
{
	struct io_ferry *ferry;
	struct io_quay *quay;
	int dir = open(mnt, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	ASSERT_GE(dir, 0);
	ASSERT_OK(io_quay_open(&quay));
	EXPECT_EQ(io_ferry_open(&ferry, quay, dir), -EOPNOTSUPP);
	io_quay_close(quay);
	close(dir);
}

FIXTURE(other)
{
	struct loopfs lower, tmpfs, btrfs;
	struct badfs fuse;
};

FIXTURE_SETUP(other)
{
	loopfs_mount(&self->tmpfs, "tmpfs", 0, NULL, NULL);
	loopfs_mount(&self->btrfs, "btrfs", 0, NULL, NULL);
	loopfs_mount(&self->lower, "ext4", 0, NULL, NULL);
	badfs_mount(&self->fuse, &self->lower);
}

FIXTURE_TEARDOWN(other)
{
	badfs_umount(&self->fuse);
	loopfs_umount(&self->lower);
	loopfs_umount(&self->btrfs);
	loopfs_umount(&self->tmpfs);
}

/* A folder may lead elsewhere by the time it is used. */
TEST_F(ferry, serves_its_file_system_only)
{
	struct io_ferry *ferry;
	int here = io_dir_open(AT_FDCWD, self->fs.mnt);
	int elsewhere = io_dir_open(AT_FDCWD, "/proc");

	ASSERT_OK(io_ferry_open(&ferry, self->quay, here));
	EXPECT_TRUE(io_ferry_serves(ferry, here));
	EXPECT_FALSE(io_ferry_serves(ferry, elsewhere));
	EXPECT_FALSE(io_ferry_serves(ferry, -1));
	EXPECT_FALSE(io_ferry_serves(NULL, here));
	io_ferry_close(ferry);
	close(elsewhere);
	close(here);
}

TEST_F(other, has_none)
{
	expect_none(self->tmpfs.mnt);
	expect_none(self->btrfs.mnt);
	expect_none(self->fuse.mnt);
}

/* A kernel that says nothing of pages that were not written would make a success of it.
 */
TEST_F(ferry, none_where_a_sync_tells_no_errors)
{
	static const struct {
		const char *release;
		int want;
	} kernels[] = {
		{"3.10.0-1160.el7.x86_64", -EOPNOTSUPP},
		{"4.18.0-553.el8_10.x86_64", -EOPNOTSUPP},
		{"5.7.19", -EOPNOTSUPP},
		{"5.8.0-rc1", 0},
		{"5.10.0-30-amd64", 0},
		{"6.1", 0},
		{"unheard of", -EOPNOTSUPP},
	};

	(void)variant;
	for (size_t i = 0; i < ARRAY_SIZE(kernels); i++) {
		struct io_ferry *ferry = NULL;

		release = kernels[i].release;
		EXPECT_EQ(io_ferry_open(&ferry, self->quay, self->dir), kernels[i].want,
			  "%s", release);
		io_ferry_close(ferry);
	}
	release = NULL;
}

TEST_MAIN
