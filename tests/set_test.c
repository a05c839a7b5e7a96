/* SPDX-License-Identifier: MIT */
/*
 * set_test.c - many points exported at once: each arrives or says why not, whatever
 * becomes of the others, with few descriptors and bounded memory; and their records are
 * seen whole meanwhile
 */
#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "data.h"
#include "harness.h"
#include "members.h"

/* The clock on the wall is, as soon as it was read, put back by an hour. */
static bool put_back;

/* Looks at all records when one is about to be written. */
static struct rp_store *watcher;
static pthread_mutex_t watcher_lock = PTHREAD_MUTEX_INITIALIZER;
static unsigned records_seen, damaged_seen;

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
	if (watcher && fd_path_has(fd, "job.json"))
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

FIXTURE(set)
{
	struct members m;
	/* By the watch. */
	uint64_t last_done, last_total;
	atomic_uint calls; /* may be a job's thread's */
	unsigned stop_after;
};

FIXTURE_SETUP(set)
{
	members_open(&self->m);
}

FIXTURE_TEARDOWN(set)
{
	members_close(&self->m);
}

static int watched(void *context, const struct rp_progress *p)
{
	struct set_fixture *self = context;

	EXPECT_TRUE(pthread_equal(pthread_self(), self->m.caller));
	EXPECT_GE(p->bytes_done, self->last_done);
	EXPECT_GE(p->bytes_total, self->last_total);
	self->last_done = p->bytes_done;
	self->last_total = p->bytes_total;
	return self->stop_after && ++self->calls >= self->stop_after;
}

TEST_F(set, all_arrive_by_sharing)
{
	struct rp_error err;

	EXPECT_EQ(members_export(&self->m, NULL, &err), RP_OK, "%s", err.message);
	members_expect_all(&self->m);
}

TEST_F(set, all_arrive_by_copying)
{
	struct rp_export_options o = stage_copying(RP_IO_AUTO);
	struct rp_watch watch = {
		.size = sizeof(watch), .context = self, .progress = watched};
	struct rp_error err;

	o.watch = &watch;
	o.digest = RP_DIGEST_ALWAYS;
	EXPECT_EQ(members_export(&self->m, &o, &err), RP_OK, "%s", err.message);
	members_expect_all(&self->m);
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
		memset(self->m.told, 0, sizeof(self->m.told));
		EXPECT_EQ(members_export(&self->m, &o, &err), RP_OK, "%s", err.message);
		members_expect_all(&self->m);
		for (unsigned k = 0; k < MEMBERS; k++)
			remove_tree(fmt("%s/vm%02u", self->m.e.out, k));
	}
}

TEST_F(set, one_that_fails_stops_no_other)
{
	struct rp_error err;
	uint32_t rc;

	self->m.points[3] = "vm03@00000000-0000-0000-0000-000000000000";
	self->m.points[9] = "nobody@latest";
	self->m.points[17] = NULL;
	rc = members_export(&self->m, NULL, &err);
	EXPECT_EQ(rc, RP_NOT_AVAILABLE, "that of the first");
	EXPECT_STREQ(err.message, self->m.messages[3]);
	EXPECT_EQ(self->m.values[9], RP_NOT_AVAILABLE);
	EXPECT_EQ(self->m.values[17], RP_INVALID_PARAMETER);
	for (unsigned i = 0; i < MEMBERS; i++) {
		bool bad = i == 3 || i == 9 || i == 17;

		EXPECT_EQ(self->m.told[i], 1);
		EXPECT_EQ(members_arrived(&self->m, i), !bad, "%u: %s", i,
			  self->m.messages[i]);
	}
	engine_expect_idle(&self->m.e);
}

/* One that is done again after it was cut off: what is there already is no news. */
TEST_F(set, what_is_there_already_hides_no_other_failure)
{
	struct members *m = &self->m;
	struct rp_error err;

	GIVES(OK,
	      rp_export_set(m->e.store, m->points, 5, m->e.out, NULL, NULL, NULL, &err));
	m->points[7] = "nobody@latest";
	GIVES(NOT_AVAILABLE, members_export(m, NULL, &err));
	EXPECT_STREQ(err.message, m->messages[7]);
	for (unsigned i = 0; i < MEMBERS; i++) {
		EXPECT_EQ(m->values[i],
			  i < 5	   ? RP_INVALID_STATE
			  : i == 7 ? RP_NOT_AVAILABLE
				   : RP_OK,
			  "%u: %s", i, m->messages[i]);
		EXPECT_EQ(members_arrived(m, i), i != 7);
	}
	m->points[7] = m->names[7];
	GIVES(INVALID_STATE, members_export(m, NULL, &err));
	EXPECT_EQ(err.os_error, EEXIST);
	EXPECT_STREQ(err.message, m->messages[0]);
	EXPECT_TRUE(members_arrived(m, 7));
}

static void note_warning(void *context, const char *text)
{
	struct set_fixture *self = context;

	ASSERT_LT(self->calls, MEMBERS);
	snprintf(self->m.messages[self->calls], sizeof(self->m.messages[0]), "%s", text);
	self->calls++;
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
		ASSERT_EQ(rp_create_reference_point(self->m.e.store, "vm00", NULL,
						    &taken[i], &err),
			  RP_OK, "%s", err.message);
	o.base = self->m.points[0]; /* which was never exported */
	o.watch = &watch;
	EXPECT_EQ(rp_export_set(self->m.e.store, (const char *const *)taken, 2,
				self->m.e.out, &o, NULL, NULL, &err),
		  RP_OK, "%s", err.message);
	EXPECT_EQ(self->calls, 2);
	for (unsigned i = 0; i < 2; i++) {
		const char *begin = fmt("%s: disk vda: only what has changed", taken[i]);
		unsigned found = 0;

		for (unsigned k = 0; k < self->calls; k++)
			found += !strncmp(self->m.messages[k], begin, strlen(begin));
		EXPECT_EQ(found, 1, "%s", begin);
		rp_free(taken[i]);
	}
}

/* The next night of many. A system that is new has no such point. */
TEST_F(set, each_has_a_base_of_its_own)
{
	struct members *m = &self->m;
	struct rp_watch watch = {
		.size = sizeof(watch), .context = self, .warning = note_warning};
	struct rp_export_options o = {.size = sizeof(o), .base = "@latest~1"};
	struct rp_error err;
	struct rp_job *job;

	GIVES(OK, rp_export_set(m->e.store, m->points + 1, MEMBERS - 1, m->e.out, NULL,
				NULL, NULL, &err));
	members_go_on(m, 1);
	o.strict = true;
	GIVES(INVALID_STATE, members_export(m, &o, &err));
	EXPECT_STREQ(err.system, "vm00");
	EXPECT_NE(strstr(err.message, "no usable base: reference point vm00@latest~1"),
		  NULL, "%s", err.message);
	for (unsigned i = 1; i < MEMBERS; i++) {
		EXPECT_EQ(m->values[i], RP_OK, "%s", m->messages[i]);
		EXPECT_TRUE(members_arrived_as_change(m, i), "%u", i);
	}
	o.strict = false;
	o.base = "@ffff"; /* there is none of the others, either */
	GIVES(NOT_AVAILABLE,
	      rp_export(m->e.store, m->points[0], m->e.out, &o, NULL, &err));
	o.base = "@latest~1";
	o.watch = &watch;
	ASSERT_EQ(rp_export_start(m->e.store, m->points[0], m->e.out, &o, &job, &err),
		  RP_JOB_STARTED, "%s", err.message);
	GIVES(OK, rp_job_wait(job, NULL, 60000, &err));
	rp_job_close(job);
	EXPECT_EQ(self->calls, 1);
	EXPECT_NE(strstr(m->messages[0], "exported in full"), NULL, "%s", m->messages[0]);
	EXPECT_TRUE(members_arrived(m, 0));
}

/* The first has a point of the night before, too, but no export of it. */
TEST_F(set, bases_are_what_was_exported)
{
	struct members *m = &self->m;
	const struct rp_export_options o = {.size = sizeof(o), .base = "@exported"};
	struct rp_error err;

	GIVES(OK, rp_export_set(m->e.store, m->points + 1, MEMBERS - 1, m->e.out, NULL,
				NULL, NULL, &err));
	members_go_on(m, 0);
	GIVES(OK, members_export(m, &o, &err));
	EXPECT_TRUE(members_arrived(m, 0));
	for (unsigned i = 1; i < MEMBERS; i++)
		EXPECT_TRUE(members_arrived_as_change(m, i), "%u", i);
	GIVES(OK, rp_export_set(m->e.store, NULL, 0, m->e.out, &o, NULL, NULL, &err));
}

/* By one who sees that the first is done. */
static void take_of_last(void *context, size_t index, uint32_t value, const char *report,
			 const struct rp_error *error)
{
	struct members *m = context;
	struct rp_store *store = NULL;
	char *point;

	members_told(m, index, value, report, error);
	if (index)
		return;
	ASSERT_EQ(rp_store_open(fmt("%s/store", m->e.fs.mnt), NULL, &store, NULL), RP_OK);
	ASSERT_EQ(rp_create_reference_point(store, fmt("vm%02u", MEMBERS - 1), NULL,
					    &point, NULL),
		  RP_OK);
	rp_free(point);
	rp_store_close(store);
}

/* However long it takes until one is begun. */
TEST_F(set, bases_are_those_of_its_begin)
{
	struct members *m = &self->m;
	struct rp_export_options o = {.size = sizeof(o),
				      .base = "@latest~1",
				      .bandwidth = GIB}; /* one after another */
	struct rp_error err;

	GIVES(OK, members_export(m, NULL, &err));
	members_go_on(m, 0);
	GIVES(OK, rp_export_set(m->e.store, m->points, MEMBERS, m->e.out, &o,
				take_of_last, m, &err));
	EXPECT_TRUE(members_arrived_as_change(m, MEMBERS - 1));
}

/* As the export itself tells them. */
TEST_F(set, warnings_keep_their_order)
{
	struct rp_watch watch = {
		.size = sizeof(watch), .context = self, .warning = note_warning};
	struct rp_export_options o = stage_copying(RP_IO_AUTO);
	struct engine *e = &self->m.e;
	struct rp_error err;
	char base[POINT_SIZE];
	const char *point = e->point;

	engine_make_disk(e, "vda", MIB);
	engine_make_disk(e, "vdb", MIB);
	engine_add(e, (const char *[]){"vda", "vdb"}, 2);
	json_decref(engine_take(e, NULL));
	memcpy(base, e->point, sizeof(base));
	json_decref(engine_take(e, NULL));
	o.base = base; /* which was never exported */
	o.watch = &watch;
	GIVES(OK, rp_export_set(e->store, &point, 1, e->out, &o, NULL, NULL, &err));
	ASSERT_EQ(self->calls, 2);
	EXPECT_NE(strstr(self->m.messages[0], "disk vda"), NULL);
	EXPECT_NE(strstr(self->m.messages[1], "disk vdb"), NULL);
}

/* One of the two is refused, and harms nothing. */
TEST_F(set, the_same_point_twice)
{
	struct rp_error err;

	self->m.points[1] = self->m.names[0];
	EXPECT_NE(members_export(&self->m, NULL, &err), RP_OK);
	EXPECT_EQ((self->m.values[0] == RP_OK) + (self->m.values[1] == RP_OK), 1);
	EXPECT_TRUE(members_arrived(&self->m, 0));
	EXPECT_FALSE(members_arrived(&self->m, 1));
	EXPECT_TRUE(members_arrived(&self->m, 2));
	engine_expect_idle(&self->m.e);
}

TEST_F(set, is_cancelled_as_one)
{
	struct rp_export_options o = stage_copying(RP_IO_AUTO);
	struct rp_watch watch = {
		.size = sizeof(watch), .context = self, .progress = watched};
	struct rp_error err;

	o.watch = &watch;
	self->stop_after = 1;
	EXPECT_EQ(members_export(&self->m, &o, &err), RP_FAILED);
	EXPECT_EQ(err.os_error, ECANCELED, "%s", err.message);
	for (unsigned i = 0; i < MEMBERS; i++) {
		EXPECT_EQ(self->m.told[i], 1);
		EXPECT_EQ(members_arrived(&self->m, i), self->m.values[i] == RP_OK);
	}
	engine_expect_idle(&self->m.e);
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
	GIVES(FAILED, rp_export_set(self->m.e.store, &self->m.points[MEMBERS - 1], 1,
				    self->m.e.out, &o, members_told, &self->m, &err));
	put_back = false;
	EXPECT_EQ(err.os_error, ECANCELED);
	EXPECT_LT(now_ms() - begin, 5000);
}

TEST_F(set, few_descriptors)
{
	struct rp_error err;

	limit_files(getpid(), 256);
	EXPECT_EQ(members_export(&self->m, NULL, &err), RP_OK, "%s", err.message);
	members_expect_all(&self->m);
}

#define NIGHTS 16

/* All of them, each based on the one before, with few descriptors. */
static void nights_pass(struct set_fixture *self)
{
	struct rp_export_options o = {.size = sizeof(o), .strict = true};
	struct rp_error err;

	for (unsigned night = 0; night < NIGHTS; night++) {
		if (night)
			members_go_on(&self->m, 0);
		o.base = night ? "@latest~1" : NULL;
		limit_files(getpid(), 256);
		GIVES(OK, members_export(&self->m, &o, &err));
	}
}

TEST_F(set, few_descriptors_night_after_night)
{
	nights_pass(self);
	for (unsigned i = 0; i < MEMBERS; i++)
		EXPECT_TRUE(members_arrived_as_change(&self->m, i), "%u", i);
}

/* To merge, each needs more of them than were counted on; there are enough for one. */
TEST_F(set, few_descriptors_for_some_at_once)
{
	struct rp_export_options o = {
		.size = sizeof(o), .base = "@latest~1", .strict = true, .merge = true};
	struct rp_error err;

	nights_pass(self);
	members_go_on(&self->m, 0);
	memset(self->m.told, 0, sizeof(self->m.told));
	EXPECT_EQ(members_export(&self->m, &o, &err), RP_OK, "%s", err.message);
	members_expect_all(&self->m);
}

TEST_F(set, records_are_seen_whole)
{
	struct rp_error err;

	ASSERT_EQ(rp_store_open(fmt("%s/store", self->m.e.fs.mnt), NULL, &watcher, &err),
		  RP_OK, "%s", err.message);
	EXPECT_EQ(members_export(&self->m, NULL, &err), RP_OK, "%s", err.message);
	rp_store_close(watcher);
	watcher = NULL;
	members_expect_all(&self->m);
	EXPECT_GE(records_seen, 2 * MEMBERS);
	EXPECT_EQ(damaged_seen, 0);
}

TEST_F(set, of_nothing)
{
	struct rp_error err;

	EXPECT_EQ(rp_export_set(self->m.e.store, NULL, 0, self->m.e.out, NULL,
				members_told, &self->m, &err),
		  RP_OK);
	GIVES(INVALID_PARAMETER, rp_export_set(self->m.e.store, NULL, 1, self->m.e.out,
					       NULL, members_told, &self->m, &err));
	GIVES(INVALID_PARAMETER,
	      rp_export_set(NULL, self->m.points, MEMBERS, self->m.e.out, NULL,
			    members_told, &self->m, &err));
	GIVES(INVALID_PARAMETER,
	      rp_export_set(self->m.e.store, self->m.points, MEMBERS, "out", NULL,
			    members_told, &self->m, &err));
	EXPECT_EQ(self->m.told[0], 0);
}

static uint32_t export_nothing(struct set_fixture *self, const char *directory,
			       const struct rp_export_options *options,
			       struct rp_error *err)
{
	return rp_export_set(self->m.e.store, NULL, 0, directory, options, members_told,
			     &self->m, err);
}

TEST_F(set, of_nothing_is_checked_as_others_are)
{
	struct rp_export_options options = {.size = sizeof(options)};
	struct rp_error err;

	GIVES(NOT_AVAILABLE, export_nothing(self, "/nonexistent", &options, &err));
	EXPECT_STREQ(err.message,
		     "open export directory /nonexistent: No such file or directory");
	GIVES(INVALID_PARAMETER,
	      export_nothing(self, fmt("%s/../store/jobs", self->m.e.out), &options,
			     &err));
	options.block_size = 3 * MIB;
	GIVES(INVALID_PARAMETER, export_nothing(self, self->m.e.out, &options, &err));
	options.block_size = 0;
	options.memory = MIB;
	GIVES(OUT_OF_MEMORY, export_nothing(self, self->m.e.out, &options, &err));
	options.memory = 0;
	options.max_pressure = 5;
	options.pressure_of = "/nonexistent";
	GIVES(NOT_AVAILABLE, export_nothing(self, self->m.e.out, &options, &err));
	options.max_pressure = 0;
	options.pressure_of = NULL;
	options.base = self->m.points[0];
	EXPECT_EQ(export_nothing(self, self->m.e.out, &options, &err), RP_OK);
	options.base = "vm00@latest~9";
	GIVES(NOT_AVAILABLE, export_nothing(self, self->m.e.out, &options, &err));
	options.base = "@latest~9";
	EXPECT_EQ(export_nothing(self, self->m.e.out, &options, &err), RP_OK);
	options.base = "@";
	GIVES(INVALID_PARAMETER, export_nothing(self, self->m.e.out, &options, &err));
	options.settings = "{";
	GIVES(INVALID_PARAMETER, export_nothing(self, self->m.e.out, &options, &err));
}

TEST_MAIN
