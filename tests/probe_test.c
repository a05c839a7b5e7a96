/* SPDX-License-Identifier: MIT */
/*
 * probe_test.c - rp_probe() tells the truth about real file systems and one that lies,
 * leaves nothing behind, and an export does as it was found best
 */
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "badfs.h"
#include "blocked.h"
#include "data.h"
#include "engine/doc.h"
#include "engine/probe.h"
#include "engine_fixture.h"
#include "harness.h"
#include "io/clone.h"
#include "io/file.h"
#include "io/lock.h"
#include "stage.h"

static json_t *probe(struct rp_store *store, const char *source, const char *target)
{
	struct rp_error err;
	char *text;

	EXPECT_EQ(rp_probe(store, source, target, &text, &err), RP_OK, "%s", err.message);
	return take_json(text);
}

/* "yes", "no" or "null". */
static const char *fact(const json_t *doc, const char *object, const char *key)
{
	const json_t *value = json_object_get(json_object_get(doc, object), key);

	return json_is_true(value) ? "yes" : json_is_false(value) ? "no" : "null";
}

FIXTURE(truth)
{
	struct loopfs fs;
	json_t *doc;
};

FIXTURE_VARIANT(truth)
{
	const char *type, *mkfs;
	const char *reflink, *buffered, *nocow, *reverse_map;
};

FIXTURE_VARIANT_ADD(truth, ext4){"ext4", "-b 4096", "no", "no", "null", "null"};
FIXTURE_VARIANT_ADD(truth, xfs){"xfs", "-m rmapbt=0", "yes", "no", "null", "no"};
FIXTURE_VARIANT_ADD(truth, xfs_rmap){"xfs", "-m rmapbt=1", "yes", "no", "null", "yes"};
FIXTURE_VARIANT_ADD(truth, btrfs){"btrfs", NULL, "yes", "yes", "yes", "null"};

FIXTURE_SETUP(truth)
{
	loopfs_mount(&self->fs, variant->type, GIB, variant->mkfs, NULL);
	self->doc = probe(NULL, self->fs.mnt, NULL);
}

FIXTURE_TEARDOWN(truth)
{
	json_decref(self->doc);
	loopfs_umount(&self->fs);
}

TEST_F(truth, is_told)
{
	const json_t *mount = json_object_get(self->doc, "Source");
	const json_t *speeds = json_object_get(self->doc, "Speeds");
	struct io_file file;

	EXPECT_STREQ(json_text(mount, "FileSystem"), variant->type);
	EXPECT_STREQ(json_text(mount, "Device"), self->fs.loop);
	EXPECT_EQ(json_number(mount, "BlockSize"), 4096);
	EXPECT_STREQ(fact(self->doc, "Source", "DirectIo"), "yes");
	EXPECT_STREQ(fact(self->doc, "Source", "DirectWritesBuffered"),
		     variant->buffered);
	EXPECT_STREQ(fact(self->doc, "Source", "SeekDataSeesMaps"), "yes");
	EXPECT_STREQ(fact(self->doc, "Source", "NocowMismatchRefused"), variant->nocow);
	EXPECT_STREQ(fact(self->doc, "Source", "ReverseMap"), variant->reverse_map);
	EXPECT_STREQ(fact(self->doc, "Reflink", "Works"), variant->reflink);
	EXPECT_STREQ(fact(self->doc, "CopyFileRange", "EndsAtTheEnd"), "yes");
	EXPECT_GE(json_array_size(speeds), 1, "plain calls work everywhere");
	EXPECT_TRUE(json_is_object(json_object_get(self->doc, "Choice")));
	if (!strcmp(variant->type, "ext4"))
		EXPECT_STREQ(listing(self->fs.mnt), "lost+found");
	else
		EXPECT_STREQ(listing(self->fs.mnt), "");
	close(data_create(fmt("%s/new", self->fs.mnt), 4096));
	ASSERT_OK(io_file_open_read(AT_FDCWD, fmt("%s/new", self->fs.mnt), &file));
	EXPECT_TRUE(io_file_is_direct(&file));
	EXPECT_EQ(json_number(mount, "DirectIoAlignment"), file.align);
	io_file_close(&file);
}

TEST(two_mounts)
{
	struct loopfs from = {0}, to = {0};
	json_t *doc;

	loopfs_mount(&from, "xfs", 0, NULL, NULL);
	loopfs_mount(&to, "ext4", 0, NULL, NULL); /* too small to measure on */
	doc = probe(NULL, from.mnt, to.mnt);
	EXPECT_STREQ(json_text(json_object_get(doc, "Source"), "FileSystem"), "xfs");
	EXPECT_STREQ(json_text(json_object_get(doc, "Target"), "FileSystem"), "ext4");
	EXPECT_STREQ(fact(doc, "Reflink", "Works"), "no");
	EXPECT_STREQ(json_text(json_object_get(doc, "Reflink"), "Reason"),
		     "Invalid cross-device link");
	EXPECT_EQ(json_object_get(doc, "Choice"), NULL);
	EXPECT_STREQ(json_text(doc, "SpeedReason"), "No space left on device");
	EXPECT_STREQ(listing(to.mnt), "lost+found");
	json_decref(doc);
	loopfs_umount(&to);
	loopfs_umount(&from);
}

/* libaio would write itself what the page cache is to take: it has to be seen to be
 * faster to come before plain calls. */
TEST(without_io_uring_by_the_page_cache)
{
	struct loopfs fs = {0};
	const json_t *speeds;
	uint64_t aio, sync;
	json_t *doc;

	if (!backend_works(RP_IO_AIO))
		SKIP("it is what would come first");
	loopfs_mount(&fs, "btrfs", GIB, NULL, NULL);
	block_syscall(SYS_io_uring_setup, EPERM);
	doc = probe(NULL, fs.mnt, NULL);
	speeds = json_object_get(doc, "Speeds");
	ASSERT_EQ(json_array_size(speeds), 2);
	EXPECT_STREQ(json_text(json_array_get(speeds, 0), "Backend"), "aio");
	EXPECT_EQ(json_number(json_array_get(speeds, 0), "QueueDepth"), 16);
	EXPECT_STREQ(json_text(json_array_get(speeds, 1), "Backend"), "sync");
	EXPECT_EQ(json_number(json_array_get(speeds, 1), "QueueDepth"), 4);
	aio = json_number(json_array_get(speeds, 0), "BytesPerSecond");
	sync = json_number(json_array_get(speeds, 1), "BytesPerSecond");
	if (aio < sync * 11 / 10)
		EXPECT_STREQ(json_text(json_object_get(doc, "Choice"), "Backend"),
			     "sync");
	json_decref(doc);
	loopfs_umount(&fs);
}

static void fill_up(const char *path)
{
	static const char block[65536] = "x";
	int fd = data_create(path, 0);

	for (size_t len = sizeof(block); len >= 512; len /= 2)
		while (write(fd, block, len) > 0 && fsync(fd) == 0)
			;
	close(fd);
}

/* Btrfs has no room for a page that is written through a map then. */
TEST(a_full_file_system)
{
	struct loopfs fs = {0};
	json_t *doc;

	loopfs_mount(&fs, "btrfs", 0, NULL, NULL);
	fill_up(fmt("%s/full", fs.mnt));
	doc = probe(NULL, fs.mnt, NULL);
	EXPECT_STREQ(fact(doc, "Source", "SeekDataSeesMaps"), "null");
	EXPECT_STREQ(json_text(doc, "SpeedReason"), "No space left on device");
	EXPECT_STREQ(listing(fs.mnt), "full");
	json_decref(doc);
	loopfs_umount(&fs);
}

/* H13 */
TEST(a_server_that_ends_too_early)
{
	const char *skip = badfs_skip_reason();
	struct loopfs lower = {0};
	struct badfs fs = {0};
	json_t *doc;

	if (skip)
		SKIP("%s", skip);
	loopfs_mount(&lower, "ext4", 300 * MIB, "-b 4096", NULL);
	badfs_mount(&fs, &lower);
	doc = probe(NULL, fs.mnt, NULL);
	EXPECT_STREQ(fact(doc, "CopyFileRange", "EndsAtTheEnd"), "yes");
	json_decref(doc);
	*fs.orders = (struct badfs_orders){.copy_stops = true, .copy_bytes = 4096};
	doc = probe(NULL, fs.mnt, NULL);
	EXPECT_STREQ(fact(doc, "CopyFileRange", "Works"), "yes");
	EXPECT_STREQ(fact(doc, "CopyFileRange", "EndsAtTheEnd"), "no");
	EXPECT_STREQ(listing(fs.mnt), "lost+found");
	json_decref(doc);
	badfs_umount(&fs);
	loopfs_umount(&lower);
}

/* The first file of the folder; its only one. */
static const char *only_file(const char *folder)
{
	const char *name = listing(folder);

	ASSERT_TRUE(*name && !strchr(name, ' '), "%s: '%s'", folder, name);
	return fmt("%s/%s", folder, name);
}

/* How the disk was moved, and why so. */
static void export_it(const struct stage *s, int64_t *ret_block, char why[256])
{
	struct rp_export_options o = stage_copying(RP_IO_AUTO);
	struct rp_error err;
	const json_t *disk;
	json_t *manifest;

	ASSERT_EQ(stage_export(s, &o, &err), RP_OK, "%s", err.message);
	EXPECT_TRUE(stage_good_export(s->exports, s->point, s->twin));
	manifest = load_json(
		fmt("%s/export.json", stage_export_path(s->exports, s->point)));
	disk = disk_of(manifest, "vda");
	*ret_block = json_number(disk, "BlockSize");
	snprintf(why, 256, "%s", json_text(disk, "BackendReason"));
	json_decref(manifest);
	remove_tree(fmt("%s/web1", s->exports));
}

/* Sets a member of the kept result, or of its choice. */
static void change(const char *path, const char *object, const char *key, json_t *value)
{
	json_t *doc = load_json(path);
	json_t *in = object ? json_object_get(doc, object) : doc;

	ASSERT_OK(json_object_set_new(in, key, value));
	save_json(path, doc);
}

TEST(is_kept_and_used)
{
	struct stage s;
	const char *kept;
	char why[256];
	int64_t block;

	stage_make(&s, test_dir(), 5 * MIB, test_seed());
	export_it(&s, &block, why);
	EXPECT_EQ(strstr(why, "probed"), NULL, "%s", why);
	json_decref(probe(s.store, s.path, s.exports));
	kept = only_file(fmt("%s/probes", s.path));

	/* So that it is not what would have been taken anyway. */
	change(kept, "Choice", "Backend", json_string("sync"));
	change(kept, "Choice", "BlockSize", json_integer(2 * MIB));
	change(kept, "Choice", "QueueDepth", json_integer(32)); /* of more memory */
	export_it(&s, &block, why);
	EXPECT_EQ(block, 2 * MIB);
	EXPECT_NE(strstr(why, "probed"), NULL, "%s", why);

	change(kept, "Choice", "BlockSize", json_integer(12345));
	export_it(&s, &block, why);
	EXPECT_EQ(strstr(why, "probed"), NULL, "%s", why);
	change(kept, "Choice", "BlockSize", json_integer(2 * MIB));
	change(kept, NULL, "Kernel", json_string("2.4.0"));
	export_it(&s, &block, why);
	EXPECT_EQ(strstr(why, "probed"), NULL, "found on another kernel: %s", why);
	save_text(kept, "{");
	export_it(&s, &block, why);
	EXPECT_EQ(strstr(why, "probed"), NULL, "%s", why);
	stage_expect_idle(&s);
	stage_close(&s);
}

/* It says so, and what was found before counts on. */
TEST(that_cannot_measure_is_not_kept)
{
	const struct rlimit limit = {4 * MIB, RLIM_INFINITY},
			    none = {RLIM_INFINITY, RLIM_INFINITY};
	const char *probes;
	struct stage s;
	json_t *doc;

	signal(SIGXFSZ, SIG_IGN);
	stage_make(&s, test_dir(), MIB, test_seed());
	probes = fmt("%s/probes", s.path);
	ASSERT_OK(setrlimit(RLIMIT_FSIZE, &limit));
	doc = probe(s.store, s.path, s.exports);
	EXPECT_STREQ(json_text(doc, "SpeedReason"), "File too large");
	json_decref(doc);
	EXPECT_STREQ(listing(probes), "");
	ASSERT_OK(setrlimit(RLIMIT_FSIZE, &none));
	json_decref(probe(s.store, s.path, s.exports));
	ASSERT_OK(setrlimit(RLIMIT_FSIZE, &limit));
	json_decref(probe(s.store, s.path, s.exports));
	ASSERT_OK(setrlimit(RLIMIT_FSIZE, &none));
	doc = load_json(only_file(probes));
	EXPECT_TRUE(json_is_object(json_object_get(doc, "Choice")));
	json_decref(doc);
	stage_close(&s);
}

static void *probe_stage(void *arg)
{
	const struct stage *s = arg;

	return probe(s->store, s->path, s->exports);
}

/* Two at once would measure each other. */
TEST(waits_for_another)
{
	char now[DOC_TIME_SIZE];
	pthread_t thread;
	struct stage s;
	void *doc;
	int fd;

	stage_make(&s, test_dir(), MIB, test_seed());
	json_decref(probe(s.store, s.path, s.exports));
	fd = open(fmt("%s/probes", s.path), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	ASSERT_GE(fd, 0);
	ASSERT_OK(io_lock(fd, true, 0));
	ASSERT_EQ(pthread_create(&thread, NULL, probe_stage, &s), 0);
	nanosleep(&(struct timespec){.tv_nsec = 500000000}, NULL);
	doc_time(now);
	io_unlock_close(fd);
	ASSERT_EQ(pthread_join(thread, &doc), 0);
	EXPECT_GE(strcmp(json_text(doc, "ProbeTime"), now), 0, "%s was before %s",
		  json_text(doc, "ProbeTime"), now);
	json_decref(doc);
	stage_close(&s);
}

/* A disk with 4 GiB of data, all of them the same blocks; a result that is damaged. */
FIXTURE(large)
{
	struct loopfs fs;
	struct stage s;
	char kept[PATH_MAX];
};

static void make_large(const char *path)
{
	int fd = open(path, O_RDWR | O_TRUNC | O_CLOEXEC);

	ASSERT_GE(fd, 0);
	data_write(fd, test_seed(), 0, 64 * MIB);
	ASSERT_OK(fsync(fd));
	for (uint64_t size = 64 * MIB; size < 4 * GIB; size *= 2)
		ASSERT_OK(io_clone_range(fd, 0, fd, size, size));
	close(fd);
}

FIXTURE_SETUP(large)
{
	struct stage *s = &self->s;

	loopfs_mount(&self->fs, "xfs", 16 * GIB, NULL, NULL);
	stage_make(s, self->fs.mnt, 5 * MIB, test_seed());
	make_large(s->disk);
	json_decref(probe(s->store, s->path, s->exports));
	snprintf(self->kept, sizeof(self->kept), "%s",
		 only_file(fmt("%s/probes", s->path)));
	save_text(self->kept, "{");
}

FIXTURE_TEARDOWN(large)
{
	stage_expect_idle(&self->s);
	stage_close(&self->s);
	loopfs_umount(&self->fs);
}

/* Whether it is there again. */
static bool found_out(const char *kept)
{
	struct stat st;

	ASSERT_OK(stat(kept, &st));
	return st.st_size > 1;
}

static bool is_copying(const struct rp_progress *p, const struct stage *s)
{
	(void)s;
	return !strcmp(p->phase, "copying");
}

/* Somebody has the lock. */
static bool is_measured(const struct stage *s)
{
	int r, fd = open(fmt("%s/probes", s->path), O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	ASSERT_GE(fd, 0);
	r = io_lock(fd, true, 0);
	io_unlock_close(fd);
	return r == -EWOULDBLOCK;
}

static bool is_measured_or_copying(const struct rp_progress *p, const struct stage *s)
{
	return is_measured(s) || is_copying(p, s);
}

/* When an export is cancelled. */
struct until {
	const struct stage *s;
	bool (*is)(const struct rp_progress *p, const struct stage *s);
};

static int stop_then(void *context, const struct rp_progress *p)
{
	const struct until *until = context;

	return until->is(p, until->s);
}

static void export_until(const struct stage *s, struct until until)
{
	const struct rp_watch watch = {sizeof(watch), &until, stop_then, NULL};
	struct rp_export_options options = stage_copying(RP_IO_AUTO);
	char point[POINT_SIZE];
	struct rp_error err;

	options.watch = &watch;
	stage_take(s, point);
	GIVES(FAILED, rp_export(s->store, point, s->exports, &options, NULL, &err));
	EXPECT_EQ(err.os_error, ECANCELED, "%s", err.message);
}

/* By an export that moves so much. */
TEST_F(large, is_found_out_again)
{
	json_t *doc;

	export_until(&self->s, (struct until){&self->s, is_copying});
	ASSERT_TRUE(found_out(self->kept));
	doc = load_json(self->kept);
	EXPECT_NE(json_text(doc, "ProbeTime")[0], '\0');
	json_decref(doc);
}

/* It is large, but little of it is data; or there is much, which is cloned. */
TEST_F(large, is_not_found_out_for_what_is_not_moved)
{
	struct rp_export_options options = stage_copying(RP_IO_AUTO);
	const struct stage *s = &self->s;
	char point[POINT_SIZE];
	struct rp_error err;

	stage_take(s, point);
	GIVES(OK, rp_export(s->store, point, s->exports, NULL, NULL, &err));
	EXPECT_FALSE(found_out(self->kept), "cloned");
	ASSERT_OK(truncate(s->disk, 5 * (off_t)MIB));
	ASSERT_OK(truncate(s->disk, 5 * (off_t)GIB));
	stage_take(s, point);
	GIVES(OK, rp_export(s->store, point, s->exports, &options, NULL, &err));
	EXPECT_FALSE(found_out(self->kept), "holes");
}

TEST_F(large, who_measures_hears_a_stop)
{
	export_until(&self->s, (struct until){&self->s, is_measured_or_copying});
	EXPECT_FALSE(found_out(self->kept), "it was not heard");
}

/* A job that is to be suspended as soon as it measures. */
struct resting {
	const struct stage *s;
	bool rested;
};

static int rest_once(void *attendant, struct watch *w)
{
	struct resting *r = attendant;

	w->attended_ns = 0; /* with each tick */
	w->to_rest |= !r->rested && is_measured(r->s);
	if (!w->to_rest || w->holds)
		return 0;
	w->to_rest = false;
	r->rested = true;
	EXPECT_FALSE(is_measured(r->s), "who rests keeps others from measuring");
	return 0;
}

/* What it had timed would be of its rest. */
TEST(who_rests_does_not_measure)
{
	struct probe_pair pair;
	struct resting resting;
	const char *kept;
	struct tuning t;
	struct stage s;
	struct watch w;

	stage_make(&s, test_dir(), MIB, test_seed());
	resting = (struct resting){.s = &s};
	json_decref(probe(s.store, s.path, s.exports));
	kept = only_file(fmt("%s/probes", s.path));
	save_text(kept, "{");
	pair = (struct probe_pair){.store = s.store,
				   .src_dirfd = open(s.path, O_RDONLY | O_CLOEXEC),
				   .dst_dirfd = open(s.exports, O_RDONLY | O_CLOEXEC)};
	tuning_init(&t, RP_IO_AUTO);
	t.pair = &pair;
	watch_init(&w, NULL, 0);
	w.attend = rest_once;
	w.attendant = &resting;
	EXPECT_OK(probe_tune(&t, 4 * GIB, &w));
	EXPECT_TRUE(resting.rested);
	EXPECT_FALSE(w.holds);
	EXPECT_FALSE(found_out(kept));
	EXPECT_STREQ(t.reason, "");
	EXPECT_OK(probe_tune(&t, 4 * GIB, &w));
	EXPECT_TRUE(found_out(kept));
	close(pair.src_dirfd);
	close(pair.dst_dirfd);
	probe_pair_close(&pair);
	stage_close(&s);
}

TEST(errors)
{
	const char *missing = fmt("%s/missing", test_dir());
	struct rp_error err;
	char *text = NULL;

	GIVES(INVALID_PARAMETER, rp_probe(NULL, NULL, NULL, &text, &err));
	GIVES(INVALID_PARAMETER, rp_probe(NULL, ".", NULL, &text, &err));
	GIVES(INVALID_PARAMETER, rp_probe(NULL, test_dir(), "tmp", &text, &err));
	GIVES(INVALID_PARAMETER, rp_probe(NULL, test_dir(), NULL, NULL, &err));
	GIVES(INVALID_PARAMETER, rp_probe(NULL, test_dir(), "/\xff", &text, &err));
	GIVES(NOT_AVAILABLE, rp_probe(NULL, missing, NULL, &text, &err));
	GIVES(NOT_AVAILABLE, rp_probe(NULL, test_dir(), missing, &text, &err));
	GIVES(ACCESS_DENIED, rp_probe(NULL, "/sys/kernel", NULL, &text, &err));
	block_syscall(SYS_fstatfs, ESTALE); /* of a server */
	GIVES(FAILED, rp_probe(NULL, test_dir(), NULL, &text, &err));
	EXPECT_EQ(err.os_error, ESTALE);
	EXPECT_EQ(text, NULL);
}

TEST_MAIN
