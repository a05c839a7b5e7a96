/* SPDX-License-Identifier: MIT */
/*
 * pressure_test.c - limits that protect others: a rate that falls under pressure and
 * comes back, requests that are counted; and whatever the limits, the same bytes arrive
 */
#include <fcntl.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "change_fixture.h"
#include "data.h"
#include "engine/leaves.h"
#include "engine/pressure.h"
#include "engine/watch.h"
#include "engine_fixture.h"
#include "harness.h"
#include "io/clock.h"
#include "io/psi.h"
#include "stage.h"

#define SECOND UINT64_C(1000000000)

static const char *make_cgroup(const char *name, const char *pressure)
{
	const char *path = fmt("%s/%s", test_dir(), name);

	ASSERT_OK(mkdir(path, 0700));
	save_text(fmt("%s/io.pressure", path), pressure);
	return path;
}

TEST(rate)
{
	struct pressure p = {.limit = 20, .pace = 1, .fastest = {16 * (double)MIB}};
	uint64_t rate, last = UINT64_MAX;

	EXPECT_EQ(pressure_rate(&p), 0, "no limit without pressure");
	pressure_seen(&p, 200000, GIB, SECOND); /* just the limit is not over it */
	EXPECT_EQ(pressure_rate(&p), 0);
	for (unsigned i = 0; i < 50; i++) {
		pressure_seen(&p, 200001, MIB, SECOND);
		rate = pressure_rate(&p);
		EXPECT_GT(rate, 0);
		EXPECT_LE(rate, last);
		last = rate;
	}
	EXPECT_LE(last, GIB / 50);
	EXPECT_GE(last, GIB / 200, "it never stops");
	for (unsigned i = 0; i < 30 && pressure_rate(&p); i++) {
		pressure_seen(&p, 0, MIB, SECOND);
		rate = pressure_rate(&p);
		EXPECT_TRUE(!rate || rate > last);
		last = rate;
	}
	EXPECT_EQ(pressure_rate(&p), 0, "back at full speed");
}

/* What both sides of a comparison are read with is no measure of a slow target. */
TEST(rate_of_what_is_moved)
{
	struct pressure p = {
		.limit = 20, .pace = 1, .fastest = {16 * (double)MIB, 16 * (double)MIB}};

	pressure_seen(&p, 0, 4 * GIB, SECOND);
	pressure_seen(&p, SECOND, 0, SECOND);
	EXPECT_GT(pressure_rate(&p), GIB);
	p.moved = GIB;
	pressure_begin(&p, false);
	EXPECT_EQ(p.moved, GIB, "the same");
	pressure_begin(&p, true);
	EXPECT_EQ(p.moved, 0);
	EXPECT_LT(pressure_rate(&p), 16 * MIB);
	pressure_seen(&p, 0, 100 * MIB, SECOND);
	EXPECT_LT(pressure_rate(&p), 100 * MIB);
	pressure_begin(&p, false);
	EXPECT_GT(pressure_rate(&p), GIB);
}

TEST(is_read)
{
	const char *text = "some avg10=1.00 avg60=0.00 avg300=0.00 total=4711\n"
			   "full avg10=0.00 avg60=0.00 avg300=0.00 total=12\n";
	uint64_t us = 0;
	int fd = io_psi_open(make_cgroup("cgroup", text));

	ASSERT_GE(fd, 0);
	EXPECT_OK(io_psi_read(fd, &us));
	EXPECT_EQ(us, 4711);
	close(fd);
	fd = io_psi_open(make_cgroup("other", "nonsense\n"));
	ASSERT_GE(fd, 0);
	EXPECT_EQ(io_psi_read(fd, &us), -EBADMSG);
	close(fd);
	EXPECT_EQ(io_psi_open(fmt("%s/none", test_dir())), -ENOENT);
}

/* It looks four times a second, and only at what is new. */
TEST(is_looked_at)
{
	const char *path = make_cgroup("cgroup", "some a b c total=1000\n");
	uint64_t begin = io_now_ns(), now = begin;
	struct pressure p;

	ASSERT_OK(pressure_open(&p, 10, path));
	pressure_look(&p, now);
	save_text(fmt("%s/io.pressure", path), "some a b c total=101000\n");
	pressure_look(&p, now + SECOND / 5);
	EXPECT_EQ(pressure_rate(&p), 0, "too soon");
	pressure_look(&p, now + SECOND / 2);
	EXPECT_GT(pressure_rate(&p), 0, "0.1 s of 0.5 s");
	pressure_look(&p, now + SECOND * 3 / 2);
	pressure_close(&p);
	pressure_close(&p);
}

/* The next export of a set gives way from its first byte, and looks for itself. */
TEST(goes_on_where_the_one_before_was)
{
	const char *path = make_cgroup("cgroup", "some a b c total=1000\n");
	struct pressure first, next;
	uint64_t now = io_now_ns();
	int fd;

	ASSERT_OK(pressure_open(&first, 10, path));
	pressure_look(&first, now);
	pressure_seen(&first, 500000, MIB, SECOND);
	EXPECT_GT(pressure_rate(&first), 0);
	ASSERT_OK(pressure_open(&next, 10, path));
	EXPECT_EQ(pressure_rate(&next), 0);
	fd = next.fd;
	pressure_follow(&next, &first);
	pressure_close(&first);
	EXPECT_EQ(next.fd, fd);
	EXPECT_GT(pressure_rate(&next), 0);
	/* Nobody has waited since: it rises until it is no limit. */
	for (unsigned i = 1; i <= 20; i++)
		pressure_look(&next, now + i * SECOND);
	EXPECT_EQ(pressure_rate(&next), 0);
	pressure_close(&next);
}

/* Those that it was to give way to are gone, and their cgroup with them. */
TEST(is_over_with_its_cgroup)
{
	const char *root = fmt("%s/root", test_dir());
	const char *path = fmt("%s/refpoint.%d", root, (int)getpid());
	uint64_t now = io_now_ns();
	struct pressure p;

	ASSERT_OK(mkdir(root, 0700));
	if (mount("none", root, "cgroup2", 0, NULL) < 0)
		SKIP("no cgroup2: %s", strerror(errno));
	if (mkdir(path, 0700) < 0 || pressure_open(&p, 5, path) < 0) {
		rmdir(path);
		umount(root);
		SKIP("no pressure of cgroups");
	}
	pressure_look(&p, now);
	for (unsigned i = 0; i < 10; i++)
		pressure_seen(&p, 500000, MIB, SECOND);
	EXPECT_GT(pressure_rate(&p), 0);
	EXPECT_OK(rmdir(path));
	for (unsigned i = 1; i <= 40; i++)
		pressure_look(&p, now + i * SECOND);
	EXPECT_EQ(pressure_rate(&p), 0);
	pressure_close(&p);
	EXPECT_OK(umount(root));
}

/* Two files without a difference, and @iops to find that out with. */
static void open_pair(struct pair *x, const struct rp_watch *watch, uint64_t iops)
{
	const char *names[] = {fmt("%s/base", test_dir()), fmt("%s/target", test_dir())};

	for (unsigned i = 0; i < 2; i++)
		close(filled(names[i], 16 * MIB, false));
	pair_open(x, names[0], names[1]);
	watch_init(&x->watch, watch, 0);
	x->watch.iops = iops;
	ASSERT_OK(ranges_begin(&x->ranges, x->p.target.size, AT_FDCWD));
}

/* A MiB of each file at a time. */
TEST(what_is_compared_is_counted)
{
	struct pair x;
	uint64_t from;

	open_pair(&x, NULL, 40);
	from = now_ms();
	ASSERT_EQ(change_content.compare(&x.p, &x.ranges, &x.err), RP_OK, "%s",
		  x.err.message);
	EXPECT_GE(now_ms() - from, 15 * 2 * 1000 / 40, "but the last two");
	EXPECT_STREQ(changes_text(&x.ranges), "");
	pair_close(&x);
}

/* Called with the progress; *@context is when it has had enough. */
static int cancel_at(void *context, const struct rp_progress *progress)
{
	(void)progress;
	return now_ms() > *(uint64_t *)context;
}

TEST(what_is_compared_slowly_can_be_cancelled)
{
	uint64_t from, enough;
	const struct rp_watch watch = {
		.size = sizeof(watch), .context = &enough, .progress = cancel_at};
	struct pair x;

	open_pair(&x, &watch, 1); /* half a minute */
	from = now_ms();
	enough = from + 300;
	EXPECT_EQ(change_content.compare(&x.p, &x.ranges, &x.err), RP_FAILED);
	EXPECT_EQ(x.err.os_error, ECANCELED, "%s", x.err.message);
	EXPECT_GE(now_ms() - from, 300);
	EXPECT_LT(now_ms() - from, 15000);
	pair_close(&x);
}

/* 64 MiB a second for the first quarter of one; then nobody has waited. */
static void press(struct pressure *p)
{
	const char *path = make_cgroup("cgroup", "some a b c total=1000\n");

	ASSERT_OK(pressure_open(p, 10, path));
	p->fastest[false] = 640 * (double)MIB;
	p->pace = 0.1;
}

TEST(what_is_compared_gives_way)
{
	struct pressure p;
	struct pair x;
	uint64_t from;

	press(&p);
	open_pair(&x, NULL, 0);
	x.watch.pressure = &p;
	from = now_ms();
	ASSERT_EQ(change_content.compare(&x.p, &x.ranges, &x.err), RP_OK, "%s",
		  x.err.message);
	EXPECT_GE(now_ms() - from, 250, "16 MiB of each");
	EXPECT_STREQ(changes_text(&x.ranges), "");
	pair_close(&x);
	pressure_close(&p);
}

TEST(what_is_digested_gives_way)
{
	const char *path = fmt("%s/disk", test_dir());
	struct io_file file = IO_FILE_NONE;
	struct digest leaves;
	struct rp_error err;
	struct pressure p;
	struct tuning t;
	struct watch w;
	uint64_t from;

	press(&p);
	tuning_init(&t, RP_IO_AUTO);
	rp_error_clear(&err);
	watch_init(&w, NULL, 0);
	w.pressure = &p;
	close(filled(path, 20 * MIB, false));
	ASSERT_OK(io_file_open_read(AT_FDCWD, path, &file));
	ASSERT_OK(leaves_create(AT_FDCWD, fmt("%s.digest", path), file.size, &leaves));
	from = now_ms();
	GIVES(OK, leaves_make("vda", path, &file, &leaves, &t, &w, &err));
	EXPECT_GE(now_ms() - from, 250);
	close(leaves.fd);
	io_file_close(&file);
	pressure_close(&p);
}

TEST(exports_arrive)
{
	struct rp_export_options o = stage_copying(RP_IO_AUTO);
	struct rp_error err;
	struct stage s;

	stage_make(&s, test_dir(), 6 * MIB, test_seed());
	o.iops = 500;
	o.max_pressure = 5;
	o.pressure_of = make_cgroup("cgroup", "some a b c total=1000\n");
	ASSERT_EQ(stage_export(&s, &o, &err), RP_OK, "%s", err.message);
	EXPECT_TRUE(stage_good_export(s.exports, s.point, s.twin));
	remove_tree(fmt("%s/web1", s.exports));

	o.pressure_of = fmt("%s/none", test_dir());
	GIVES(NOT_AVAILABLE, stage_export(&s, &o, &err));
	o.pressure_of = test_dir(); /* a folder, but of no cgroup */
	GIVES(NOT_SUPPORTED, stage_export(&s, &o, &err));
	o.pressure_of = "/\xff"; /* which no record could hold */
	GIVES(INVALID_PARAMETER, stage_export(&s, &o, &err));
	o.max_pressure = 100;
	GIVES(INVALID_PARAMETER, stage_export(&s, &o, &err));
	o.max_pressure = 0;
	GIVES(INVALID_PARAMETER, stage_export(&s, &o, &err));
	stage_expect_unharmed(&s, "");
	stage_close(&s);
}

/* The kernel knows, but it could not be asked. */
TEST(a_want_of_descriptors_is_no_want_of_support)
{
	const char *cgroup = make_cgroup("cgroup", "some a b c total=1000\n");
	struct rp_export_options o = stage_copying(RP_IO_AUTO);
	struct rp_error err;
	struct stage s;
	rlim_t limit;

	stage_make(&s, test_dir(), MIB, test_seed());
	o.max_pressure = 5;
	for (unsigned i = 0; i < 2; i++) {
		limit = limit_files(getpid(), 0);
		GIVES(FAILED, stage_export(&s, &o, &err));
		limit_files(getpid(), limit);
		EXPECT_EQ(err.os_error, EMFILE, "%s", err.message);
		EXPECT_NE(strstr(err.message, "I/O pressure"), NULL, "%s", err.message);
		o.pressure_of = cgroup;
	}
	stage_expect_unharmed(&s, "");
	stage_close(&s);
}

/* The settings say the same. */
TEST(settings)
{
	const char *cgroup = make_cgroup("cgroup", "some a b c total=0\n");
	struct rp_error err;
	struct stage s;

	stage_make(&s, test_dir(), MIB, test_seed());
	GIVES(NOT_AVAILABLE,
	      rp_export_reference_point(s.store, s.point, s.exports,
					"{\"Options\": {\"MaxPressure\": 5, "
					"\"PressureOf\": \"/nowhere\"}}",
					NULL, &err));
	GIVES(INVALID_PARAMETER,
	      rp_export_reference_point(s.store, s.point, s.exports,
					"{\"Options\": {\"MaxPressure\": 0}}", NULL,
					&err));
	GIVES(INVALID_TYPE, rp_export_reference_point(
				    s.store, s.point, s.exports,
				    "{\"Options\": {\"PressureOf\": 1}}", NULL, &err));
	GIVES(OK, rp_export_reference_point(s.store, s.point, s.exports,
					    fmt("{\"Options\": {\"MaxPressure\": 9, "
						"\"IopsLimit\": 1000, "
						"\"PressureOf\": \"%s\"}}",
						cgroup),
					    NULL, &err));
	stage_close(&s);
}

TEST_MAIN
