/* SPDX-License-Identifier: MIT */
/*
 * job_forgotten_test.c - records are forgotten with what was kept, at a cost that does
 * not grow with the square of their number
 */
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "harness.h"
#include "intercept.h"
#include "stage.h"

#define RECORDS 300 /* of exports that are done */
#define OLD	30  /* that have kept something */
#define DEAD	3   /* that have not ended */

static struct {
	unsigned opened, parsed; /* records, documents */
} seen;

static const char *unreadable; /* the job of a record that EMFILE is for */
static const char *stays;      /* the file that a removal comes to EIO with */

static bool is_unreadable(int dirfd, const char *path)
{
	return unreadable && (strstr(path, unreadable) || fd_path_has(dirfd, unreadable));
}

/* The library's calls come by here. */
static int before_syscall(long number, const long arg[6])
{
	const char *path = (const char *)arg[1];

	if (number != SYS_openat2 || !strstr(path, "job.json"))
		return 0;
	seen.opened++;
	return is_unreadable((int)arg[0], path) ? EMFILE : 0;
}

INTERCEPT_SYSCALL(before_syscall)

int unlinkat(int dirfd, const char *name, int flags)
{
	if (stays && !strcmp(name, stays)) {
		errno = EIO;
		return -1;
	}
	return (int)syscall(SYS_unlinkat, dirfd, name, flags);
}

json_t *json_loadb(const char *text, size_t len, size_t flags, json_error_t *error)
{
	seen.parsed++;
	return REAL(json_loadb)(text, len, flags, error);
}

FIXTURE(forgotten)
{
	struct stage stage;
};

static const char *id(unsigned group, unsigned n)
{
	return fmt("%08x-0000-4000-8000-%012x", group, n);
}

static const char *record(const struct stage *s, const char *job)
{
	return fmt("%s/jobs/ended/%s", s->path, job);
}

static const char *active(const struct stage *s, const char *job)
{
	return fmt("%s/jobs/active/%s", s->path, job);
}

/* As that of an export of @point that ended on day @day of a month. */
static void leave_record(const struct stage *s, const char *job, const char *point,
			 unsigned day, bool kept)
{
	const char *at = fmt("2026-01-%02uT00:00:00.000Z", day);
	json_t *doc = json_pack(
		"{s:i, s:s, s:s, s:s, s:s, s:i, s:s, s:s, s:b, s:b}", "FormatVersion", 1,
		"InstanceID", job, "VirtualSystemIdentifier", "web1", "ReferencePointId",
		point, "ExportDirectory", s->exports, "JobState",
		kept ? RP_JOB_TERMINATED : RP_JOB_COMPLETED, "TimeOfLastStateChange", at,
		"StartTime", at, "Resumable", kept, "Kept", kept);

	ASSERT_NE(doc, NULL);
	ASSERT_OK(mkdir(record(s, job), 0700));
	ASSERT_OK(
		json_dump_file(doc, fmt("%s/job.json", record(s, job)), JSON_INDENT(2)));
	json_decref(doc);
}

static void make_old(const struct stage *s, const char *job)
{
	static const struct timespec long_ago[2] = {{.tv_sec = 1}, {.tv_sec = 1}};

	ASSERT_OK(utimensat(AT_FDCWD, record(s, job), long_ago, 0));
}

static const char *partial(const struct stage *s, const char *point)
{
	return fmt("%s/web1/.%s.partial", s->exports, point);
}

FIXTURE_SETUP(forgotten)
{
	struct stage *s = &self->stage;

	stage_make(s, test_dir(), MIB, test_seed());
	ASSERT_OK(mkdir(fmt("%s/web1", s->exports), 0700));
	for (unsigned i = 0; i < RECORDS; i++)
		leave_record(s, id(1, i), id(9, i), 2, false);
	for (unsigned i = 0; i < OLD; i++) {
		leave_record(s, id(2, i), id(8, i), 2, true);
		ASSERT_OK(mkdir(partial(s, id(8, i)), 0700));
	}
}

FIXTURE_TEARDOWN(forgotten)
{
	stage_close(&self->stage);
}

/* As the end of the first export in a minute does it. */
static void forget(const struct stage *s)
{
	struct rp_store *store = stage_open(s, 0);
	struct rp_error err;

	unlink(fmt("%s/jobs/forgot", s->path));
	seen.opened = seen.parsed = 0;
	GIVES(OK, rp_export(store, s->point, s->exports, NULL, NULL, &err));
	rp_store_close(store);
}

/* The first one was gone on from by one that ended later, and is not old. */
TEST_F(forgotten, reading_all_once)
{
	const struct stage *s = &self->stage;

	for (unsigned i = 0; i < OLD; i++)
		make_old(s, id(2, i));
	leave_record(s, id(3, 0), id(8, 0), 3, true);
	forget(s);
	for (unsigned i = 0; i < OLD; i++) {
		EXPECT_FALSE(exists(record(s, id(2, i))), "%u", i);
		EXPECT_EQ(exists(partial(s, id(8, i))), i == 0, "%u", i);
	}
	EXPECT_TRUE(exists(record(s, id(3, 0))));
	EXPECT_LT(seen.opened, 3 * (RECORDS + OLD));
	EXPECT_LT(seen.parsed, 6 * OLD);
}

/* One that ended earlier has not gone on from them. */
TEST_F(forgotten, by_order_of_their_ends)
{
	const struct stage *s = &self->stage;

	make_old(s, id(2, 0));
	leave_record(s, id(3, 0), id(8, 0), 1, true);
	forget(s);
	EXPECT_FALSE(exists(record(s, id(2, 0))));
	EXPECT_FALSE(exists(partial(s, id(8, 0))));
}

/* Whose record cannot be opened for now may have gone on from them. */
TEST_F(forgotten, not_while_descriptors_are_short)
{
	const struct stage *s = &self->stage;

	make_old(s, id(2, 0));
	leave_record(s, id(3, 0), id(8, 0), 3, true);
	unreadable = id(3, 0);
	forget(s);
	unreadable = NULL;
	EXPECT_TRUE(exists(record(s, id(2, 0))));
	EXPECT_TRUE(exists(partial(s, id(8, 0))));
}

/* By now, or by this version: they may have kept something. */
TEST_F(forgotten, not_unread)
{
	const struct stage *s = &self->stage;

	make_old(s, id(2, 0));
	unreadable = id(2, 0);
	set_version(fmt("%s/job.json", record(s, id(2, 1))), 1000);
	make_old(s, id(2, 1));
	save_text(fmt("%s/job.json", record(s, id(1, 0))), "{");
	make_old(s, id(1, 0));
	forget(s);
	unreadable = NULL;
	for (unsigned i = 0; i < 2; i++) {
		EXPECT_TRUE(exists(record(s, id(2, i))), "%u", i);
		EXPECT_TRUE(exists(partial(s, id(8, i))), "%u", i);
	}
	EXPECT_FALSE(exists(record(s, id(1, 0))), "damaged for good");
}

/* It does not wait for a target that may never be back. */
TEST_F(forgotten, though_their_target_is_away)
{
	const struct stage *s = &self->stage;
	const char *path = fmt("%s/job.json", record(s, id(2, 0)));
	const char *away = fmt("%s.away", s->exports);
	json_t *doc = load_json(path);

	json_object_set_new(doc, "ExportDirectory", json_string(away));
	save_json(path, doc);
	make_old(s, id(2, 0));
	forget(s);
	EXPECT_FALSE(exists(record(s, id(2, 0))));
}

TEST_F(forgotten, by_one_at_a_time)
{
	const struct stage *s = &self->stage;
	const char *forgot = fmt("%s/jobs/forgot", s->path);
	struct rp_store *store = stage_open(s, 0);
	struct rp_error err;
	int other;

	make_old(s, id(2, 0));
	other = open(forgot, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	ASSERT_OK(flock(other, LOCK_EX));
	ASSERT_OK(futimens(other, (struct timespec[2]){{.tv_sec = 1}, {.tv_sec = 1}}));
	GIVES(OK, rp_export(store, s->point, s->exports, NULL, NULL, &err));
	EXPECT_TRUE(exists(record(s, id(2, 0))));
	close(other);
	rp_store_close(store);
}

/* Of others' records nothing but the text is looked at. */
TEST_F(forgotten, with_their_point)
{
	const struct stage *s = &self->stage;
	const char *point = strchr(s->point, '@') + 1;
	struct rp_error err;
	json_t *doc;

	leave_record(s, id(3, 0), point, 3, true);
	ASSERT_OK(mkdir(partial(s, point), 0700));
	seen.opened = seen.parsed = 0;
	GIVES(OK, rp_destroy_reference_point(s->store, s->point, &err));
	EXPECT_FALSE(exists(partial(s, point)));
	doc = load_json(fmt("%s/job.json", record(s, id(3, 0))));
	EXPECT_EQ(json_number(doc, "JobState"), RP_JOB_KILLED);
	EXPECT_FALSE(json_is_true(json_object_get(doc, "Resumable")));
	json_decref(doc);
	EXPECT_LT(seen.opened, 3 * (RECORDS + OLD));
	EXPECT_LT(seen.parsed, 2 * OLD); /* who may be its heir, too */
}

/* Though its data, whose place is told, is still there. */
TEST_F(forgotten, with_a_point_that_goes_by_halves)
{
	const struct stage *s = &self->stage;
	const char *point = strchr(s->point, '@') + 1, *at;
	struct rp_error err;

	leave_record(s, id(3, 0), point, 3, true);
	ASSERT_OK(mkdir(partial(s, point), 0700));
	stays = "vda.raw";
	GIVES(FAILED, rp_destroy_reference_point(s->store, s->point, &err));
	stays = NULL;
	EXPECT_EQ(err.os_error, EIO);
	at = strstr(err.message, "pending/");
	ASSERT_NE(at, NULL, "%s", err.message);
	EXPECT_TRUE(exists(fmt("%s/%.44s/vda.raw", s->path, at)));
	EXPECT_FALSE(exists(partial(s, point)));
	GIVES(NOT_AVAILABLE, rp_destroy_reference_point(s->store, s->point, &err));
	rp_store_close(stage_open(s, 0));
	stage_expect_idle(s);
}

/* Its process is gone, as is its point; at its target is what a resume could use. */
static void leave_dead(const struct stage *s, unsigned n)
{
	const char *job = id(4, n), *path = fmt("%s/job.json", record(s, job));
	json_t *doc;

	leave_record(s, job, id(7, n), 2, true);
	doc = load_json(path);
	json_object_set_new(doc, "JobState", json_integer(RP_JOB_RUNNING));
	json_object_set_new(doc, "Resumable", json_false());
	save_json(path, doc);
	ASSERT_OK(rename(record(s, job), active(s, job)));
	ASSERT_OK(mkdir(partial(s, id(7, n)), 0700));
	save_text(fmt("%s/vda.raw", partial(s, id(7, n))), "");
}

/* As every command does it. */
static void sweep(const struct stage *s)
{
	seen.opened = seen.parsed = 0;
	rp_store_close(stage_open(s, 0));
}

/* Nobody asks who has gone on from what cannot be looked at. */
TEST_F(forgotten, cheaply_while_a_target_is_away)
{
	const struct stage *s = &self->stage;
	const char *away;

	for (unsigned i = 0; i < DEAD; i++)
		leave_dead(s, i);
	away = fmt("%s.away", s->exports);
	ASSERT_OK(rename(s->exports, away));
	sweep(s);
	EXPECT_LT(seen.opened, 5 * DEAD);
	for (unsigned i = 0; i < DEAD; i++)
		EXPECT_TRUE(exists(active(s, id(4, i))), "%u", i);
	ASSERT_OK(rename(away, s->exports));
	sweep(s);
	for (unsigned i = 0; i < DEAD; i++) {
		EXPECT_FALSE(exists(active(s, id(4, i))), "%u", i);
		EXPECT_TRUE(exists(record(s, id(4, i))), "%u", i);
		EXPECT_FALSE(exists(partial(s, id(7, i))), "%u", i);
	}
}

/* What another has gone on from is that one's. */
TEST_F(forgotten, not_with_a_dead_one_that_has_an_heir)
{
	const struct stage *s = &self->stage;

	leave_dead(s, 0);
	leave_record(s, id(3, 0), id(7, 0), 3, true);
	sweep(s);
	EXPECT_TRUE(exists(record(s, id(4, 0))));
	EXPECT_TRUE(exists(partial(s, id(7, 0))));
}

TEST_F(forgotten, cheaply_if_there_are_none)
{
	const struct stage *s = &self->stage;
	struct rp_error err;

	seen.opened = seen.parsed = 0;
	GIVES(OK, rp_destroy_reference_point(s->store, s->point, &err));
	EXPECT_LT(seen.opened, RECORDS + OLD + 10);
	EXPECT_LT(seen.parsed, 10);
}

TEST_MAIN
