/* SPDX-License-Identifier: MIT */
/*
 * set_test.c - many points exported at once: each arrives or says why not, whatever
 * becomes of the others, with few syncs, few descriptors and bounded memory; and their
 * records are seen whole meanwhile
 */
#include <dirent.h>
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "data.h"
#include "engine/exporting.h"
#include "engine_fixture.h"
#include "harness.h"
#include "io/dirty.h"
#include "stage.h"

#define COUNT 24

/* The library's syncs come by here: of a whole file system, and of files. */
static atomic_uint whole_syncs, file_syncs;
static bool sync_lasts;	       /* a whole one, until nobody has anything else to do */
static atomic_int whole_error; /* of the next one */
static const char *broken;     /* files whose path has this in it fail */

/* The clock on the wall is, as soon as it was read, put back by an hour. */
static bool put_back;

/* Looks at all records when one is about to be written. */
static struct rp_store *watcher;
static pthread_mutex_t watcher_lock = PTHREAD_MUTEX_INITIALIZER;
static unsigned records_seen, damaged_seen;

static bool has_in_path(int fd, const char *text)
{
	char link[64], path[PATH_MAX];
	ssize_t n;

	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	n = readlink(link, path, sizeof(path) - 1);
	path[n > 0 ? n : 0] = '\0';
	return strstr(path, text);
}

static bool is_broken(int fd)
{
	return broken && has_in_path(fd, broken);
}

static void look_at_records(void)
{
	struct rp_error err;
	char *text;

	pthread_mutex_lock(&watcher_lock);
	EXPECT_EQ(rp_job_list(watcher, &text, &err), RP_OK, "%s", err.message);
	records_seen++;
	damaged_seen += strstr(text, "damaged") != NULL;
	rp_free(text);
	pthread_mutex_unlock(&watcher_lock);
}

ssize_t pwrite(int fd, const void *buf, size_t len, off_t at)
{
	if (watcher && has_in_path(fd, "job.json"))
		look_at_records();
	return syscall(SYS_pwrite64, fd, buf, len, at);
}

int clock_gettime(clockid_t clock, struct timespec *ret)
{
	int r = (int)syscall(SYS_clock_gettime, clock, ret);

	if (put_back && clock == CLOCK_REALTIME)
		ret->tv_sec += 3600;
	return r;
}

static int sync_file(int fd, long call)
{
	atomic_fetch_add(&file_syncs, 1);
	if (!is_broken(fd))
		return (int)syscall(call, fd);
	errno = EIO;
	return -1;
}

int fsync(int fd)
{
	return sync_file(fd, SYS_fsync);
}

int fdatasync(int fd)
{
	return sync_file(fd, SYS_fdatasync);
}

static bool is_at_work(const char *thread)
{
	char path[64], text[512] = "";
	FILE *file;

	snprintf(path, sizeof(path), "/proc/self/task/%s/stat", thread);
	file = fopen(path, "re");
	if (!file)
		return false;
	text[fread(text, 1, sizeof(text) - 1, file)] = '\0';
	fclose(file);
	return strstr(text, ") R") || strstr(text, ") D");
}

/* Of all threads but this one, and the one that watches them. */
static unsigned count_at_work(void)
{
	DIR *dir = opendir("/proc/self/task");
	struct dirent *entry;
	unsigned count = 0;

	ASSERT_NE(dir, NULL);
	while ((entry = readdir(dir))) {
		int tid = atoi(entry->d_name);

		if (tid && tid != gettid() && tid != getpid())
			count += is_at_work(entry->d_name);
	}
	closedir(dir);
	return count;
}

int syncfs(int fd)
{
	int error = atomic_exchange(&whole_error, 0);

	atomic_fetch_add(&whole_syncs, 1);
	for (unsigned quiet = 0; sync_lasts && quiet < 10; usleep(1000))
		quiet = count_at_work() ? 0 : quiet + 1;
	if (!error)
		return (int)syscall(SYS_syncfs, fd);
	errno = error;
	return -1;
}

/* What others on the machine write is none of these tests' business. */
uint64_t io_dirty_bytes(void)
{
	return 0;
}

FIXTURE(set)
{
	struct engine e;
	char names[COUNT + 1][POINT_SIZE];
	const char *points[COUNT + 1];
	/* What was told. */
	unsigned told[COUNT];
	uint32_t values[COUNT];
	char messages[COUNT][1024];
	pthread_t caller;
	/* By the watch. */
	uint64_t last_done, last_total;
	unsigned calls, stop_after;
};

/* Small disks, and a few that are not. */
static uint64_t size_of(unsigned i)
{
	return i % 8 == 7 ? 5 * MIB + 512 * i : 65536 + 4096 * i + 1;
}

/* Half of it, in as many runs as there can be. */
static void make_scattered(const char *path, uint64_t size)
{
	int fd = data_create(path, size);

	for (uint64_t at = 0; at < size; at += 128 * KIB)
		data_write(fd, 1, at, 64 * KIB);
	close(fd);
}

static void add_system(struct set_fixture *self, unsigned i)
{
	const char *id = fmt("disk%u", i), *name = fmt("vm%02u", i);
	struct rp_disk disk = {.id = "vda", .path = engine_disk(&self->e, id)};
	const struct rp_create_options options = {.size = sizeof(options),
						  .allow_copy = true};
	struct rp_error err;
	char *point;

	if (i < COUNT)
		engine_make_disk(&self->e, id, size_of(i));
	else
		make_scattered(disk.path, 16 * MIB);
	ASSERT_EQ(rp_system_add(self->e.store, name, &disk, 1, NULL, 0, &err), RP_OK,
		  "%s", err.message);
	ASSERT_EQ(rp_create_reference_point(self->e.store, name, &options, &point, &err),
		  RP_OK, "%s", err.message);
	snprintf(self->names[i], POINT_SIZE, "%s", point);
	self->points[i] = self->names[i];
	rp_free(point);
}

FIXTURE_SETUP(set)
{
	engine_open(&self->e, "xfs", 0, NULL, NULL);
	for (unsigned i = 0; i < COUNT; i++)
		add_system(self, i);
	self->caller = pthread_self();
}

FIXTURE_TEARDOWN(set)
{
	engine_close(&self->e);
}

static void told(void *context, size_t index, uint32_t value, const char *report,
		 const struct rp_error *error)
{
	struct set_fixture *self = context;

	ASSERT_LT(index, COUNT);
	EXPECT_TRUE(pthread_equal(pthread_self(), self->caller));
	self->told[index]++;
	self->values[index] = value;
	EXPECT_EQ(!!report, value == RP_OK);
	EXPECT_EQ(!!error, value != RP_OK);
	if (error)
		snprintf(self->messages[index], sizeof(self->messages[index]), "%s",
			 error->message);
}

static int watched(void *context, const struct rp_progress *p)
{
	struct set_fixture *self = context;

	EXPECT_TRUE(pthread_equal(pthread_self(), self->caller));
	EXPECT_GE(p->bytes_done, self->last_done);
	EXPECT_GE(p->bytes_total, self->last_total);
	self->last_done = p->bytes_done;
	self->last_total = p->bytes_total;
	return self->stop_after && ++self->calls >= self->stop_after;
}

static uint32_t export(struct set_fixture *self, const struct rp_export_options *options,
		       struct rp_error *err)
{
	return rp_export_set(self->e.store, self->points, COUNT, self->e.out, options,
			     told, self, err);
}

/* Point @i is there, verifies, and is the disk. */
static bool arrived(const struct set_fixture *self, unsigned i)
{
	const char *path = fmt("%s/vm%02u/%s", self->e.out, i,
			       strchr(self->names[i], '@') + 1);
	struct rp_error err;

	if (!exists(path))
		return false;
	EXPECT_EQ(rp_verify(path, NULL, NULL, &err), RP_OK, "%s", err.message);
	EXPECT_TRUE(data_same(fmt("%s/vda.raw", path),
			      engine_twin(&self->e, fmt("disk%u", i))));
	return true;
}

static void expect_all(const struct set_fixture *self)
{
	for (unsigned i = 0; i < COUNT; i++) {
		EXPECT_EQ(self->told[i], 1, "%u", i);
		EXPECT_EQ(self->values[i], RP_OK, "%s", self->messages[i]);
		EXPECT_TRUE(arrived(self, i), "%u", i);
	}
	engine_expect_idle(&self->e);
}

TEST_F(set, all_arrive_by_sharing)
{
	struct rp_error err;

	EXPECT_EQ(export(self, NULL, &err), RP_OK, "%s", err.message);
	expect_all(self);
}

TEST_F(set, all_arrive_by_copying)
{
	struct rp_export_options o = stage_copying(RP_IO_AUTO);
	struct rp_watch watch = {
		.size = sizeof(watch), .context = self, .progress = watched};
	struct rp_error err;

	o.watch = &watch;
	o.digest = RP_DIGEST_ALWAYS;
	EXPECT_EQ(export(self, &o, &err), RP_OK, "%s", err.message);
	expect_all(self);
	EXPECT_GT(self->last_total, 0);
}

/* A pool that only one of them fits into, and every backend. */
TEST_F(set, little_memory)
{
	static const enum rp_io ios[] = {RP_IO_URING, RP_IO_AIO, RP_IO_SYNC};
	struct rp_error err;

	for (size_t i = 0; i < ARRAY_SIZE(ios); i++) {
		struct rp_export_options o = stage_copying(ios[i]);

		if (!backend_works(ios[i]))
			continue;
		o.memory = 2 * MIB;
		memset(self->told, 0, sizeof(self->told));
		EXPECT_EQ(export(self, &o, &err), RP_OK, "%s", err.message);
		expect_all(self);
		for (unsigned k = 0; k < COUNT; k++)
			remove_tree(fmt("%s/vm%02u", self->e.out, k));
	}
}

TEST_F(set, one_that_fails_stops_no_other)
{
	struct rp_error err;
	uint32_t rc;

	self->points[3] = "vm03@00000000-0000-0000-0000-000000000000";
	self->points[9] = "nobody@latest";
	self->points[17] = NULL;
	rc = export(self, NULL, &err);
	EXPECT_EQ(rc, RP_NOT_AVAILABLE, "that of the first");
	EXPECT_STREQ(err.message, self->messages[3]);
	EXPECT_EQ(self->values[9], RP_NOT_AVAILABLE);
	EXPECT_EQ(self->values[17], RP_INVALID_PARAMETER);
	for (unsigned i = 0; i < COUNT; i++) {
		bool bad = i == 3 || i == 9 || i == 17;

		EXPECT_EQ(self->told[i], 1);
		EXPECT_EQ(arrived(self, i), !bad, "%u: %s", i, self->messages[i]);
	}
	engine_expect_idle(&self->e);
}

static void note_warning(void *context, const char *text)
{
	struct set_fixture *self = context;

	ASSERT_LT(self->calls, COUNT);
	snprintf(self->messages[self->calls++], sizeof(self->messages[0]), "%s", text);
}

/* Of hundreds it would not be known whom it is about. */
TEST_F(set, a_warning_says_of_which_point_it_is)
{
	struct rp_watch watch = {
		.size = sizeof(watch), .context = self, .warning = note_warning};
	struct rp_export_options o = stage_copying(RP_IO_AUTO);
	struct rp_error err;
	char *taken[2];

	for (unsigned i = 0; i < 2; i++)
		ASSERT_EQ(rp_create_reference_point(self->e.store, "vm00", NULL,
						    &taken[i], &err),
			  RP_OK, "%s", err.message);
	o.base = self->points[0]; /* which was never exported */
	o.watch = &watch;
	EXPECT_EQ(rp_export_set(self->e.store, (const char *const *)taken, 2, self->e.out,
				&o, NULL, NULL, &err),
		  RP_OK, "%s", err.message);
	EXPECT_EQ(self->calls, 2);
	for (unsigned i = 0; i < 2; i++) {
		const char *begin = fmt("%s: disk vda: only what has changed", taken[i]);
		unsigned found = 0;

		for (unsigned k = 0; k < self->calls; k++)
			found += !strncmp(self->messages[k], begin, strlen(begin));
		EXPECT_EQ(found, 1, "%s", begin);
		rp_free(taken[i]);
	}
}

static void limit_descriptors(rlim_t count)
{
	struct rlimit limit;

	ASSERT_OK(getrlimit(RLIMIT_NOFILE, &limit));
	limit.rlim_cur = count;
	ASSERT_OK(setrlimit(RLIMIT_NOFILE, &limit));
}

/* Who failed for want of room has none even now that nobody else is at work. */
static void expect_no_room(struct set_fixture *self, unsigned i, const char *directory)
{
	const struct rp_export_options o = stage_copying(RP_IO_AUTO);
	struct rp_error err;

	EXPECT_EQ(rp_export(self->e.store, self->points[i], directory, &o, NULL, &err),
		  RP_FAILED, "%u had: %s", i, self->messages[i]);
	EXPECT_EQ(err.os_error, ENOSPC, "%s", err.message);
}

/* Where there is room for most of them, most of them arrive, whoever was at work first.
 */
TEST_F(set, little_room)
{
	const struct rp_export_options o = stage_copying(RP_IO_AUTO);
	struct loopfs small;
	struct rp_error err;

	loopfs_mount(&small, "ext4", 12 * MIB, "-b 4096 -m 0", NULL);
	for (unsigned round = 0; round < 8; round++) {
		memset(self->told, 0, sizeof(self->told));
		EXPECT_EQ(rp_export_set(self->e.store, self->points, COUNT, small.mnt, &o,
					told, self, &err),
			  RP_FAILED);
		EXPECT_EQ(err.os_error, ENOSPC, "%s", err.message);
		for (unsigned i = 0; i < COUNT; i++) {
			EXPECT_EQ(self->told[i], 1, "%u", i);
			if (self->values[i])
				expect_no_room(self, i, small.mnt);
		}
		for (unsigned i = 0; i < COUNT; i++)
			if (exists(fmt("%s/vm%02u", small.mnt, i)))
				remove_tree(fmt("%s/vm%02u", small.mnt, i));
	}
	loopfs_umount(&small);
}

/* Some have found no room, others were not begun when the time is over: each is told. */
TEST_F(set, little_room_and_time)
{
	struct rp_export_options o = stage_copying(RP_IO_AUTO);
	unsigned full = 0, late = 0;
	struct loopfs small;
	struct rp_error err;

	loopfs_mount(&small, "ext4", 12 * MIB, "-b 4096 -m 0", NULL);
	EXPECT_NE(system(fmt("cat /dev/zero >%s/all 2>/dev/null", small.mnt)), 0);
	limit_descriptors(128); /* two at once */
	/* How long it takes to find that there is no room, who knows? */
	for (o.timeout_ms = 2; o.timeout_ms < 60 || (!full && o.timeout_ms < 60000);
	     o.timeout_ms += 2 + o.timeout_ms / 8) {
		memset(self->told, 0, sizeof(self->told));
		EXPECT_NE(rp_export_set(self->e.store, self->points, COUNT, small.mnt, &o,
					told, self, &err),
			  RP_OK);
		for (unsigned i = 0; i < COUNT; i++) {
			const char *path = fmt("%s/vm%02u", small.mnt, i);

			EXPECT_EQ(self->told[i], 1, "%u of %lu ms", i, o.timeout_ms);
			full += self->values[i] == RP_FAILED;
			late += self->values[i] == RP_TIMEOUT;
			/* A little room was left; and who ran out of time may go on. */
			EXPECT_TRUE(self->values[i] || exists(path));
			if (exists(path))
				remove_tree(path);
		}
	}
	EXPECT_TRUE(full && late, "%u and %u", full, late);
	loopfs_umount(&small);
}

/* When it has something to keep, others take the room. */
static int take_the_room(void *directory, const struct rp_progress *p)
{
	const char *journal = fmt("%s/vm%02u/.*.partial/.journal", (char *)directory,
				  COUNT);

	(void)p;
	if (!exists(fmt("%s/all", (char *)directory)) &&
	    system(fmt("test -s %s", journal)) == 0)
		EXPECT_NE(system(fmt("cat /dev/zero >%s/all 2>/dev/null",
				     (char *)directory)),
			  0);
	return 0;
}

/* One that is tried again when it is alone leaves the room it has taken to the others. */
TEST_F(set, what_is_tried_again_takes_no_room)
{
	struct rp_export_options o = stage_copying(RP_IO_AUTO);
	struct loopfs small;
	struct rp_watch watch = {
		.size = sizeof(watch), .context = small.mnt, .progress = take_the_room};

	add_system(self, COUNT);
	o.watch = &watch;
	o.bandwidth = 2 * MIB;
	for (unsigned again = 0; again < 2; again++) {
		const struct exporting_tools tools = {.yields = again};
		struct exporting *x = NULL;
		struct rp_error err = {0};

		loopfs_mount(&small, "ext4", 24 * MIB, "-b 4096 -m 0", NULL);
		GIVES(OK, exporting_new(self->e.store, self->points[COUNT], small.mnt, &o,
					false, &x, &err));
		exporting_use(x, &tools);
		GIVES(FAILED, exporting_run(x, NULL, &err));
		exporting_free(x);
		EXPECT_EQ(err.os_error, ENOSPC, "%s", err.message);
		EXPECT_EQ(exists(fmt("%s/vm%02u", small.mnt, COUNT)), !again, "%s",
			  err.message);
		loopfs_umount(&small);
	}
}

/* One of the two is refused, and harms nothing. */
TEST_F(set, the_same_point_twice)
{
	struct rp_error err;

	self->points[1] = self->names[0];
	EXPECT_NE(export(self, NULL, &err), RP_OK);
	EXPECT_EQ((self->values[0] == RP_OK) + (self->values[1] == RP_OK), 1);
	EXPECT_TRUE(arrived(self, 0));
	EXPECT_FALSE(arrived(self, 1));
	EXPECT_TRUE(arrived(self, 2));
	engine_expect_idle(&self->e);
}

TEST_F(set, is_cancelled_as_one)
{
	struct rp_export_options o = stage_copying(RP_IO_AUTO);
	struct rp_watch watch = {
		.size = sizeof(watch), .context = self, .progress = watched};
	struct rp_error err;

	o.watch = &watch;
	self->stop_after = 1;
	EXPECT_EQ(export(self, &o, &err), RP_FAILED);
	EXPECT_EQ(err.os_error, ECANCELED, "%s", err.message);
	for (unsigned i = 0; i < COUNT; i++) {
		EXPECT_EQ(self->told[i], 1);
		EXPECT_EQ(arrived(self, i), self->values[i] == RP_OK);
	}
	engine_expect_idle(&self->e);
}

/* The caller is asked whether it goes on, whatever becomes of the clock. */
TEST_F(set, the_clock_is_put_back)
{
	struct rp_export_options o = stage_copying(RP_IO_AUTO);
	struct rp_watch watch = {
		.size = sizeof(watch), .context = self, .progress = watched};
	uint64_t begin = now_ms();
	struct rp_error err;

	o.watch = &watch;
	o.bandwidth = 256 * KIB; /* it takes some 15 s */
	self->stop_after = 2;
	put_back = true;
	GIVES(FAILED, rp_export_set(self->e.store, &self->points[COUNT - 1], 1,
				    self->e.out, &o, told, self, &err));
	put_back = false;
	EXPECT_EQ(err.os_error, ECANCELED);
	EXPECT_LT(now_ms() - begin, 5000);
}

TEST_F(set, few_descriptors)
{
	struct rp_error err;

	limit_descriptors(256);
	EXPECT_EQ(export(self, NULL, &err), RP_OK, "%s", err.message);
	expect_all(self);
}

/* On a device that takes its time. */
TEST_F(set, syncs_serve_many)
{
	unsigned alone, together;
	struct rp_error err;

	whole_syncs = file_syncs = 0; /* but for those that made the points */
	for (unsigned i = 0; i < 2; i++) {
		EXPECT_EQ(rp_export(self->e.store, self->points[i], self->e.out, NULL,
				    NULL, &err),
			  RP_OK, "%s", err.message);
		remove_tree(fmt("%s/vm%02u", self->e.out, i));
	}
	EXPECT_EQ(whole_syncs, 0, "what one export has is not worth one");
	alone = file_syncs / 2;
	EXPECT_LE(alone, 14);
	file_syncs = 0;
	sync_lasts = true;
	EXPECT_EQ(export(self, NULL, &err), RP_OK, "%s", err.message);
	expect_all(self);
	together = whole_syncs + file_syncs;
	test_log("%u syncs for one, %u for %u", alone, together, COUNT);
	EXPECT_LE(together, COUNT * 3);
	EXPECT_LT(together * 3, alone * COUNT);
}

/* The kernel tells of it to whoever asks first; it is asked for each file then. */
TEST_F(set, a_failed_sync_is_told_of_whose_it_was)
{
	struct rp_error err;

	whole_error = EIO;
	broken = "/out/vm05/";
	EXPECT_EQ(export(self, NULL, &err), RP_FAILED);
	broken = NULL;
	EXPECT_EQ(err.os_error, EIO);
	EXPECT_STREQ(err.system, "vm05");
	for (unsigned i = 0; i < COUNT; i++) {
		EXPECT_EQ(self->values[i], i == 5 ? RP_FAILED : RP_OK, "%u", i);
		EXPECT_EQ(arrived(self, i), i != 5, "%u: %s", i, self->messages[i]);
	}
	engine_expect_idle(&self->e);
	EXPECT_EQ(
		rp_export(self->e.store, self->points[5], self->e.out, NULL, NULL, &err),
		RP_OK, "%s", err.message);
	EXPECT_TRUE(arrived(self, 5));
}

TEST_F(set, nothing_is_published_that_cannot_be_synced)
{
	struct rp_export_options o = stage_copying(RP_IO_AUTO);
	struct rp_error err;

	whole_error = EIO;
	broken = "/out/";
	EXPECT_EQ(export(self, &o, &err), RP_FAILED);
	broken = NULL;
	for (unsigned i = 0; i < COUNT; i++) {
		EXPECT_EQ(self->values[i], RP_FAILED, "%u", i);
		EXPECT_FALSE(arrived(self, i), "%u", i);
	}
	EXPECT_EQ(export(self, &o, &err), RP_OK, "%s", err.message);
}

TEST_F(set, records_are_seen_whole)
{
	struct rp_error err;

	ASSERT_EQ(rp_store_open(fmt("%s/store", self->e.fs.mnt), NULL, &watcher, &err),
		  RP_OK, "%s", err.message);
	EXPECT_EQ(export(self, NULL, &err), RP_OK, "%s", err.message);
	rp_store_close(watcher);
	watcher = NULL;
	expect_all(self);
	EXPECT_GE(records_seen, 2 * COUNT);
	EXPECT_EQ(damaged_seen, 0);
}

TEST_F(set, of_nothing)
{
	struct rp_error err;

	EXPECT_EQ(rp_export_set(self->e.store, NULL, 0, self->e.out, NULL, told, self,
				&err),
		  RP_OK);
	GIVES(INVALID_PARAMETER,
	      rp_export_set(self->e.store, NULL, 1, self->e.out, NULL, told, self, &err));
	GIVES(INVALID_PARAMETER, rp_export_set(NULL, self->points, COUNT, self->e.out,
					       NULL, told, self, &err));
	GIVES(INVALID_PARAMETER, rp_export_set(self->e.store, self->points, COUNT, "out",
					       NULL, told, self, &err));
	EXPECT_EQ(self->told[0], 0);
}

static uint32_t export_nothing(struct set_fixture *self, const char *directory,
			       const struct rp_export_options *options,
			       struct rp_error *err)
{
	return rp_export_set(self->e.store, NULL, 0, directory, options, told, self, err);
}

TEST_F(set, of_nothing_is_checked_as_others_are)
{
	struct rp_export_options options = {.size = sizeof(options)};
	struct rp_error err;

	GIVES(NOT_AVAILABLE, export_nothing(self, "/nonexistent", &options, &err));
	EXPECT_STREQ(err.message,
		     "open export directory /nonexistent: No such file or directory");
	GIVES(INVALID_PARAMETER,
	      export_nothing(self, fmt("%s/../store/jobs", self->e.out), &options, &err));
	options.block_size = 3 * MIB;
	GIVES(INVALID_PARAMETER, export_nothing(self, self->e.out, &options, &err));
	options.block_size = 0;
	options.memory = MIB;
	GIVES(OUT_OF_MEMORY, export_nothing(self, self->e.out, &options, &err));
	options.memory = 0;
	options.max_pressure = 5;
	options.pressure_of = "/nonexistent";
	GIVES(NOT_AVAILABLE, export_nothing(self, self->e.out, &options, &err));
	options.max_pressure = 0;
	options.pressure_of = NULL;
	options.base = self->points[0];
	EXPECT_EQ(export_nothing(self, self->e.out, &options, &err), RP_OK);
	options.base = "vm00@latest~9";
	GIVES(NOT_AVAILABLE, export_nothing(self, self->e.out, &options, &err));
	options.settings = "{";
	GIVES(INVALID_PARAMETER, export_nothing(self, self->e.out, &options, &err));
}

TEST_MAIN
