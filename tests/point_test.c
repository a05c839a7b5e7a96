/* SPDX-License-Identifier: MIT */
/*
 * point_test.c - finding points by age and by ID, in little memory, and damaged ones
 */
#include <malloc.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "blocked.h"
#include "harness.h"
#include "stage.h"

#define SIZE (MIB + 4097)

FIXTURE(points)
{
	struct stage stage;
};

FIXTURE_SETUP(points)
{
	stage_make(&self->stage, test_dir(), SIZE, test_seed());
}

FIXTURE_TEARDOWN(points)
{
	stage_close(&self->stage);
}

static const char *shown_id(struct rp_store *store, const char *ref)
{
	struct rp_error err;
	const char *id;
	json_t *point;
	char *text;

	if (rp_show_reference_point(store, ref, &text, &err) != RP_OK)
		return fmt("%u", err.code);
	point = take_json(text);
	id = fmt("%s", json_text(point, "InstanceID"));
	json_decref(point);
	return id;
}

TEST_F(points, finds_points_by_age)
{
	enum {
		COUNT = 5
	};
	const struct stage *s = &self->stage;
	char points[COUNT][POINT_SIZE];
	struct rp_error err;
	json_t *list, *point;
	size_t i;

	snprintf(points[0], POINT_SIZE, "%s", s->point);
	for (i = 1; i < COUNT; i++)
		stage_take(s, points[i]);
	list = stage_points(s->store);
	EXPECT_EQ(json_array_size(list), COUNT);
	json_array_foreach(list, i, point) {
		EXPECT_STREQ(json_text(point, "InstanceID"), points[i] + 5);
		EXPECT_EQ(json_number(point, "Sequence"), i + 1);
		EXPECT_STREQ(shown_id(s->store, fmt("web1@latest~%zu", COUNT - 1 - i)),
			     points[i] + 5);
		EXPECT_STREQ(shown_id(s->store, points[i]), points[i] + 5);
		EXPECT_STREQ(shown_id(s->store, fmt("%.*s", 5 + 13, points[i])),
			     points[i] + 5);
	}
	json_decref(list);
	EXPECT_STREQ(shown_id(s->store, "web1@latest"), points[COUNT - 1] + 5);
	EXPECT_STREQ(shown_id(s->store, "web1@latest~5"), "32777");
	GIVES(OK, rp_destroy_reference_point(s->store, "web1@latest", &err));
	EXPECT_STREQ(shown_id(s->store, "web1@latest"), points[COUNT - 2] + 5);
	/* A number is not given twice while a newer point is there. */
	GIVES(OK, rp_destroy_reference_point(s->store, "web1@latest~2", &err));
	stage_take(s, points[1]);
	EXPECT_STREQ(shown_id(s->store, "web1@latest"), points[1] + 5);
}

/* A point with an ID of our choice: a copy of the first. */
static void copy_point(const struct stage *s, const char *id)
{
	const char *to = fmt("%s/systems/web1/points/%s", s->path, id);
	json_t *doc;

	ASSERT_OK(system(fmt("cp -r '%s' '%s'", stage_point_path(s, s->point), to)));
	doc = load_json(fmt("%s/point.json", to));
	ASSERT_OK(json_object_set_new(doc, "InstanceID", json_string(id)));
	save_json(fmt("%s/point.json", to), doc);
}

TEST_F(points, finds_points_by_the_beginning_of_their_id)
{
	static const char *const ids[] = {"abcd1234-0000-4000-8000-000000000000",
					  "abcd1235-0000-4000-8000-000000000000"};
	const struct stage *s = &self->stage;
	struct rp_error err;

	copy_point(s, ids[0]);
	copy_point(s, ids[1]);
	for (size_t i = 0; i < ARRAY_SIZE(ids); i++) {
		EXPECT_STREQ(shown_id(s->store, fmt("web1@%s", ids[i])), ids[i]);
		EXPECT_STREQ(shown_id(s->store, fmt("web1@%.8s", ids[i])), ids[i]);
		EXPECT_STREQ(shown_id(s->store, fmt("web1@%.30s", ids[i])), ids[i]);
		EXPECT_STREQ(shown_id(s->store, fmt("web1@%.7s", ids[i])), "32773");
		EXPECT_STREQ(shown_id(s->store, fmt("web1@%.4s", ids[i])), "32773");
		EXPECT_STREQ(shown_id(s->store, fmt("web1@%.3s", ids[i])), "32773");
	}
	EXPECT_STREQ(shown_id(s->store, "web1@abcd1236"), "32777");
	EXPECT_STREQ(shown_id(s->store, "web1@ABCD1234"), "32773");
	GIVES(INVALID_PARAMETER, rp_destroy_reference_point(s->store, "web1@abcd", &err));
	GIVES(OK, rp_destroy_reference_point(s->store, "web1@abcd1234", &err));
	EXPECT_STREQ(shown_id(s->store, "web1@abcd"), ids[1]);
	GIVES(OK, rp_destroy_reference_point(s->store, "web1@abcd", &err));
	stage_expect_unharmed(s, "");
}

/* Where there are thousands that are not asked for. */
TEST_F(points, looks_for_no_whole_id)
{
	const struct stage *s = &self->stage;
	struct rp_error err;
	json_t *job;
	char *text = NULL;

	EXPECT_EQ(stage_export(s, NULL, &err), RP_OK, "%s", err.message);
	job = stage_only_job(s);
	block_syscall(SYS_getdents64, EIO);
	EXPECT_STREQ(shown_id(s->store, s->point), s->point + 5);
	EXPECT_STREQ(shown_id(s->store, fmt("%.13s", s->point)), "32768");
	EXPECT_STREQ(shown_id(s->store, "web1@abcd1234-0000-4000-8000-000000000000"),
		     "32777");
	GIVES(OK, rp_job_show(s->store, json_text(job, "InstanceID"), &text, &err));
	rp_free(text);
	GIVES(FAILED, rp_job_show(s->store, fmt("%.8s", json_text(job, "InstanceID")),
				  &text, &err));
	GIVES(NOT_AVAILABLE, rp_job_show(s->store, s->point + 5, &text, &err));
	json_decref(job);
}

/* ------------------------------------------------------------------------- memory */

static atomic_long held, most; /* bytes of all documents, now and at a time */

static void *counted(size_t size)
{
	void *p = malloc(size);
	long more = (long)malloc_usable_size(p), before = most;
	long now = atomic_fetch_add(&held, more) + more;

	while (now > before && !atomic_compare_exchange_weak(&most, &before, now))
		;
	return p;
}

static void uncounted(void *p)
{
	atomic_fetch_sub(&held, (long)malloc_usable_size(p));
	free(p);
}

#define MOST_IN(call)                \
	({                           \
		long before_ = held; \
                                     \
		most = before_;      \
		call;                \
		most - before_;      \
	})

static const char *const needs_ages[] = {"latest", "create", "@exported", "import"};

/* The most in what looks at all points for the sake of one. */
static void measure(const struct stage *s, const char *directory,
		    long ret[ARRAY_SIZE(needs_ages)])
{
	struct rp_export_options options = stage_copying(RP_IO_AUTO);
	char point[POINT_SIZE], *text = NULL;
	struct rp_error err;

	options.base = "@exported";
	ASSERT_OK(mkdir(directory, 0700));
	ret[0] = MOST_IN(shown_id(s->store, "web1@latest"));
	ret[1] = MOST_IN(stage_take(s, point));
	ret[2] = MOST_IN(
		GIVES(OK, rp_export(s->store, point, directory, &options, &text, &err)));
	rp_free(text);
	ret[3] = MOST_IN(GIVES(
		INVALID_STATE,
		rp_import(s->store, stage_export_path(directory, point), &text, &err)));
}

/* A set does it in as many threads as it has points. */
TEST_F(points, keeps_no_documents_of_those_not_asked_for)
{
	long few[ARRAY_SIZE(needs_ages)], many[ARRAY_SIZE(needs_ages)];
	const struct stage *s = &self->stage;

	json_set_alloc_funcs(counted, uncounted);
	measure(s, fmt("%s/few", test_dir()), few);
	stage_add_records(s, "web1", 200);
	measure(s, fmt("%s/many", test_dir()), many);
	for (size_t i = 0; i < ARRAY_SIZE(needs_ages); i++)
		EXPECT_LT(many[i], few[i] + (long)(16 * KIB), "%s", needs_ages[i]);
}

/* ------------------------------------------------------------------------- damage */

/* Nor beside one that is older than all, as one that was imported into a new store. */
TEST_F(points, has_no_latest_beside_a_damaged_one)
{
	const struct stage *s = &self->stage;
	char others[8][POINT_SIZE], *text;
	struct rp_error err;
	json_t *doc;

	for (size_t i = 0; i < ARRAY_SIZE(others); i++)
		stage_take(s, others[i]);
	doc = load_json(fmt("%s/point.json", stage_point_path(s, s->point)));
	json_object_set_new(doc, "Sequence", json_integer(0));
	save_json(fmt("%s/point.json", stage_point_path(s, s->point)), doc);
	for (size_t i = 0; i < ARRAY_SIZE(others); i++) {
		const char *json = fmt("%s/point.json", stage_point_path(s, others[i]));

		doc = load_json(json);
		save_text(json, "{");
		GIVES(UNKNOWN_STATUS,
		      rp_show_reference_point(s->store, "web1@latest", &text, &err));
		save_json(json, doc);
	}
	GIVES(OK, rp_show_reference_point(s->store, "web1@latest", &text, &err));
	rp_free(text);
}

TEST_F(points, shows_a_damaged_point_among_others)
{
	static const char *const damaged[] = {"", "{\"FormatVersion\": 1}", "[1, 2"};
	const struct stage *s = &self->stage;
	char second[POINT_SIZE], other[POINT_SIZE], json[PATH_MAX], *text = NULL;
	const char *id = second + strlen("web1@");
	struct rp_error err;

	stage_take(s, second);
	snprintf(json, sizeof(json), "%s/point.json", stage_point_path(s, second));
	for (size_t i = 0; i < ARRAY_SIZE(damaged) + 2; i++) {
		if (i < ARRAY_SIZE(damaged))
			save_text(json, damaged[i]);
		else if (i == ARRAY_SIZE(damaged)) /* another point's */
			ASSERT_OK(system(fmt("cp '%s/point.json' '%s'",
					     stage_point_path(s, s->point), json)));
		else
			ASSERT_OK(unlink(json));
		GIVES(UNKNOWN_STATUS,
		      rp_show_reference_point(s->store, second, &text, &err));
		EXPECT_STREQ(err.system, "web1");
		/* Nobody knows which is the latest. */
		GIVES(UNKNOWN_STATUS,
		      rp_show_reference_point(s->store, "web1@latest", &text, &err));
		GIVES(UNKNOWN_STATUS,
		      rp_export(s->store, second, s->exports, NULL, &text, &err));
		EXPECT_STREQ(status_of(stage_points(s->store), "InstanceID", id),
			     "damaged");
		EXPECT_STREQ(status_of(stage_points(s->store), "InstanceID",
				       strchr(s->point, '@') + 1),
			     "");
	}
	/* It hinders no new one; and can be destroyed by those who mean it. */
	stage_take(s, other);
	GIVES(UNKNOWN_STATUS,
	      rp_destroy_reference_point(s->store, fmt("web1@%.8s", id), &err));
	GIVES(OK, rp_destroy_reference_point(s->store, second, &err));
	GIVES(OK, rp_destroy_reference_point(s->store, "web1@latest", &err));
	EXPECT_FALSE(exists(stage_point_path(s, second)));
	EXPECT_FALSE(exists(stage_point_path(s, other)));
	EXPECT_EQ(text, NULL);
	stage_expect_unharmed(s, "");
}

/* Then it is readable again, and is no older and no younger than it was. */
TEST_F(points, keeps_the_number_of_one_that_cannot_be_read)
{
	const struct stage *s = &self->stage;
	char points[4][POINT_SIZE];
	const char *path;

	for (size_t i = 0; i < 2; i++)
		stage_take(s, points[i]);
	path = fmt("%s/point.json", stage_point_path(s, points[1]));
	ASSERT_OK(rename(path, fmt("%s.aside", path)));
	save_text(path, "");
	stage_take(s, points[2]);
	ASSERT_OK(rename(fmt("%s.aside", path), path));
	stage_take(s, points[3]);
	for (size_t i = 0; i < 4; i++)
		EXPECT_STREQ(shown_id(s->store, fmt("web1@latest~%zu", 3 - i)),
			     points[i] + 5);
	for (size_t i = 1; i < 4; i++) {
		json_t *older = load_json(
			fmt("%s/point.json", stage_point_path(s, points[i - 1])));
		json_t *newer = load_json(
			fmt("%s/point.json", stage_point_path(s, points[i])));

		EXPECT_LT(json_number(older, "Sequence"), json_number(newer, "Sequence"));
		json_decref(older);
		json_decref(newer);
	}
}

static void put_link(const char *path, const char *to)
{
	ASSERT_OK(symlink(to, path));
}

static void put_file(const char *path, const char *to)
{
	save_text(path, to);
}

static void put_fifo(const char *path, const char *to)
{
	(void)to;
	ASSERT_OK(mkfifo(path, 0600));
}

/* In the place of a point, or of its record, there is something else: it is seen, and
 * goes without what it leads to. */
TEST_F(points, something_else_in_the_place_of_a_point)
{
	static void (*const put[])(const char *, const char *) = {put_link, put_file,
								  put_fifo};
	const struct stage *s = &self->stage;
	char second[POINT_SIZE], others[PATH_MAX], *text = NULL;
	struct rp_error err;

	snprintf(others, sizeof(others), "%s/others", test_dir());
	save_text(others, "mine");
	for (size_t i = 0; i < 2 * ARRAY_SIZE(put) + 2; i++) {
		const char *path, *id = second + strlen("web1@");

		stage_take(s, second);
		path = stage_point_path(s, second);
		if (i % 2) {
			path = fmt("%s/point.json", path);
			ASSERT_OK(unlink(path));
		} else {
			ASSERT_OK(rename(path, fmt("%s/%zu", test_dir(), i)));
		}
		if (i / 2 < ARRAY_SIZE(put))
			put[i / 2](path, "/nowhere");
		else
			put_link(path, others);
		test_log("%zu", i);
		EXPECT_STREQ(status_of(stage_points(s->store), "InstanceID", id),
			     "damaged");
		GIVES(UNKNOWN_STATUS,
		      rp_show_reference_point(s->store, second, &text, &err));
		GIVES(UNKNOWN_STATUS,
		      rp_show_reference_point(s->store, "web1@latest", &text, &err));
		GIVES(UNKNOWN_STATUS, rp_release(s->store, second, NULL, &err));
		GIVES(UNKNOWN_STATUS,
		      rp_destroy_reference_point(s->store, fmt("web1@%.8s", id), &err));
		GIVES(OK, rp_destroy_reference_point(s->store, second, &err));
		GIVES(NOT_AVAILABLE, rp_destroy_reference_point(s->store, second, &err));
	}
	EXPECT_TRUE(exists(others));
	EXPECT_EQ(text, NULL);
	stage_expect_unharmed(s, "");
}

/* A record without one of its keys: of the point, or of its disk. */
static void drop_key(const char *path, bool of_disk, const char *key)
{
	json_t *doc = load_json(path), *of = doc;

	if (of_disk)
		of = json_array_get(json_object_get(doc, "Disks"), 0);
	ASSERT_OK(json_object_del(of, key));
	save_json(path, doc);
}

/* What is no record of a point is not worked with, however much of it is there. */
TEST_F(points, does_not_release_one_with_half_a_record)
{
	static const struct {
		bool of_disk;
		const char *key;
	} lost[] = {{false, "Sequence"}, {false, "Disks"}, {true, "File"}};
	const struct stage *s = &self->stage;
	char second[POINT_SIZE];
	struct rp_error err;

	for (size_t i = 0; i <= ARRAY_SIZE(lost); i++) {
		const char *folder, *json;

		stage_take(s, second);
		folder = stage_point_path(s, second);
		json = fmt("%s/point.json", folder);
		if (i < ARRAY_SIZE(lost))
			drop_key(json, lost[i].of_disk, lost[i].key);
		else /* another point's */
			ASSERT_OK(system(fmt("cp '%s/point.json' '%s'",
					     stage_point_path(s, s->point), json)));
		test_log("%zu", i);
		GIVES(UNKNOWN_STATUS, rp_release(s->store, second, NULL, &err));
		EXPECT_STREQ(listing(folder), "config point.json vda.raw");
		GIVES(OK, rp_destroy_reference_point(s->store, second, &err));
		EXPECT_FALSE(exists(folder));
	}
	stage_expect_unharmed(s, "");
}

TEST_F(points, leaves_a_newer_point_alone)
{
	const struct stage *s = &self->stage;
	const char *folder = stage_point_path(s, s->point);
	struct rp_error err;
	char *text = NULL;

	set_version(fmt("%s/point.json", folder), 2);
	GIVES(NOT_SUPPORTED, rp_show_reference_point(s->store, s->point, &text, &err));
	GIVES(NOT_SUPPORTED,
	      rp_show_reference_point(s->store, "web1@latest", &text, &err));
	EXPECT_EQ(strstr(err.message, "destroy"), NULL, "%s", err.message);
	GIVES(NOT_SUPPORTED, stage_export(s, NULL, &err));
	GIVES(NOT_SUPPORTED, rp_destroy_reference_point(s->store, s->point, &err));
	EXPECT_STREQ(status_of(stage_points(s->store), "InstanceID",
			       strchr(s->point, '@') + 1),
		     "damaged");
	EXPECT_EQ(text, NULL);
	EXPECT_TRUE(exists(fmt("%s/vda.raw", folder)));
}

/* The data is not what the metadata says. */
TEST_F(points, notices_a_disk_of_another_size)
{
	const struct stage *s = &self->stage;
	const char *json = fmt("%s/point.json", stage_point_path(s, s->point));
	json_t *doc = load_json(json);
	struct rp_error err;

	json_object_set_new(json_array_get(json_object_get(doc, "Disks"), 0),
			    "VirtualSize", json_integer(SIZE - 1));
	save_json(json, doc);
	GIVES(UNKNOWN_STATUS, stage_export(s, NULL, &err));
	EXPECT_STREQ(err.disk, "vda");
	stage_expect_unharmed(s, "");
}

TEST_MAIN
