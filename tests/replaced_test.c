/* SPDX-License-Identifier: MIT */
/*
 * replaced_test.c - what is released or merged while others read it: they read what has
 * taken its place
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "data.h"
#include "harness.h"
#include "intercept.h"
#include "links.h"

static struct links l;

/* What others do with @what, once, when the library has come to the path @at. */
static struct {
	const char *at;
	void (*act)(const char *what);
	const char *what;
} meanwhile;

static void come_by(const char *path)
{
	if (!meanwhile.at || strcmp(path, meanwhile.at))
		return;
	meanwhile.at = NULL;
	meanwhile.act(meanwhile.what);
}

/* The library's calls come by here. */
int openat(int dirfd, const char *path, int flags, ...)
{
	int fd = (int)syscall(SYS_openat, dirfd, path, flags, OPEN_MODE(flags));

	come_by(path);
	return fd;
}

int lstat(const char *path, struct stat *ret)
{
	come_by(path);
	return fstatat(AT_FDCWD, path, ret, AT_SYMLINK_NOFOLLOW);
}

/* -------------------------------------------------------------------------- a point */

static const char *id_of(const char *point)
{
	return strchr(point, '@') + 1;
}

static void release(const char *point)
{
	struct rp_store *other = stage_open(&l.stage, 0);
	struct rp_error err;

	GIVES(OK, rp_release(other, point, NULL, &err));
	rp_store_close(other);
}

static void release_meanwhile(const char *point)
{
	meanwhile.at = id_of(point);
	meanwhile.act = release;
	meanwhile.what = point;
}

static void expect_last(const char *point, size_t count)
{
	json_t *points = stage_points(l.stage.store);
	const json_t *last = json_array_get(points, count - 1);

	EXPECT_EQ(meanwhile.at, NULL);
	EXPECT_EQ(json_array_size(points), count);
	EXPECT_STREQ(json_text(last, "InstanceID"), id_of(point));
	EXPECT_GT(json_number(last, "Sequence"),
		  json_number(json_array_get(points, count - 2), "Sequence"));
	json_decref(points);
}

/* It is there all the time, and so it counts. */
TEST(a_point_that_is_released)
{
	char last[POINT_SIZE];
	struct rp_error err;

	links_make(&l);
	release_meanwhile(l.points[2]);
	GIVES(OK, rp_destroy_reference_point(l.stage.store, "web1@latest~1", &err));
	EXPECT_TRUE(exists(stage_point_path(&l.stage, l.points[0])));
	EXPECT_FALSE(exists(stage_point_path(&l.stage, l.points[1])));
	expect_last(l.points[2], 3);

	stage_take(&l.stage, last);
	release_meanwhile(last);
	expect_last(last, 4);

	stage_take(&l.stage, last);
	release_meanwhile(last);
	stage_take(&l.stage, last);
	expect_last(last, 6);
	links_close(&l);
}

/* ------------------------------------------------------------------ a part of a chain */

static void merge(const char *path)
{
	struct rp_error err;

	GIVES(OK, rp_merge(path, NULL, NULL, &err));
}

/* The tip is read by a base that is merged then, and whose own is removed after. */
static void merge_and_remove(const char *path)
{
	merge(path);
	ASSERT_OK(rename(l.paths[0], fmt("%s/away", test_dir())));
}

/* Once more, of what has changed since the one before. */
static uint32_t export_link(unsigned link, bool merged, struct rp_error *err)
{
	struct rp_export_options options = stage_copying(RP_IO_AUTO);

	options.base = l.points[link - 1];
	options.strict = true;
	options.merge = merged;
	ASSERT_EQ(system(fmt("rm -rf '%s'", l.paths[link])), 0);
	return rp_export(l.stage.store, l.points[link], l.stage.exports, &options, NULL,
			 err);
}

typedef uint32_t read_chain(struct rp_error *err);

static uint32_t verify_tip(struct rp_error *err)
{
	return rp_verify(l.paths[2], NULL, NULL, err);
}

static uint32_t restore_tip(struct rp_error *err)
{
	const char *output = fmt("%s/output", test_dir());
	uint32_t rc = rp_restore(l.paths[2], "vda", output, NULL, NULL, err);

	EXPECT_TRUE(rc || data_same(output, l.stage.disk));
	unlink(output);
	return rc;
}

static uint32_t merge_tip(struct rp_error *err)
{
	return rp_merge(l.paths[2], NULL, NULL, err);
}

static uint32_t export_tip(struct rp_error *err)
{
	return export_link(2, false, err);
}

static uint32_t export_tip_merged(struct rp_error *err)
{
	return export_link(2, true, err);
}

/* What it needed is not needed any more. */
TEST(a_base_while_its_own_is_looked_for)
{
	static read_chain *const read[] = {verify_tip, restore_tip, merge_tip, export_tip,
					   export_tip_merged};
	char last[PATH_MAX + 16];
	struct rp_error err;

	links_make(&l);
	snprintf(last, sizeof(last), "%s/export.json", l.paths[0]);
	for (size_t i = 0; i < ARRAY_SIZE(read); i++) {
		meanwhile.at = last;
		meanwhile.act = merge_and_remove;
		meanwhile.what = l.paths[1];
		GIVES(OK, read[i](&err));
		EXPECT_EQ(meanwhile.at, NULL);
		GIVES(OK, restore_tip(&err));
		ASSERT_OK(rename(fmt("%s/away", test_dir()), l.paths[0]));
		GIVES(OK, export_link(1, false, &err));
	}
	links_close(&l);
}

/* ------------------------------------------------------------------------ an import */

static const char *stays; /* what has this name cannot be removed */

int unlinkat(int dirfd, const char *name, int flags)
{
	if (!stays || strcmp(name, stays))
		return (int)syscall(SYS_unlinkat, dirfd, name, flags);
	errno = EIO;
	return -1;
}

static void merge_but_configs(const char *path)
{
	stays = "web1.xml";
	merge(path);
	stays = NULL;
}

static void import(const char *path, char ret_point[POINT_SIZE])
{
	struct rp_error err;
	char *name;

	ASSERT_EQ(rp_import(l.stage.store, path, &name, &err), RP_OK, "%s", err.message);
	snprintf(ret_point, POINT_SIZE, "%s", name);
	rp_free(name);
}

/* Exports web1, which has two more disks than its base, and forgets the point. */
static const char *export_more(void)
{
	const char *config = fmt("%s/web1.xml", test_dir());
	const struct rp_disk disks[] = {{"aaa", fmt("%s/a.img", test_dir())},
					{"bbb", fmt("%s/b.img", test_dir())},
					{"vda", l.stage.disk}};
	struct rp_export_options options = stage_copying(RP_IO_AUTO);
	struct stage *s = &l.stage;
	char base[POINT_SIZE];
	struct rp_error err;

	data_create_random(disks[0].path, MIB, 1, 4);
	data_create_random(disks[1].path, MIB, 2, 4);
	rp_store_close(s->store);
	snprintf(s->path, sizeof(s->path), "%s/new", test_dir());
	GIVES(OK, rp_store_init(s->path, &err));
	s->store = stage_open(s, 0);
	GIVES(OK, rp_system_add(s->store, "web1", disks, 3, &config, 1, &err));
	import(l.paths[0], base);
	stage_take(s, s->point);
	options.base = base;
	GIVES(OK, stage_export(s, &options, &err));
	GIVES(OK, rp_destroy_reference_point(s->store, s->point, &err));
	return stage_export_path(s->exports, s->point);
}

/* What goes with the old one is not lost. */
TEST(an_export_that_is_imported)
{
	static void (*const ways[])(const char *path) = {merge_but_configs, merge};
	char path[PATH_MAX], point[POINT_SIZE];
	struct rp_error err;

	links_make(&l);
	snprintf(path, sizeof(path), "%s", export_more());
	ASSERT_EQ(system(fmt("cp -a '%s' '%s/kept'", path, test_dir())), 0);
	for (size_t i = 0; i < ARRAY_SIZE(ways); i++) {
		meanwhile.at = "aaa.digest";
		meanwhile.act = ways[i];
		meanwhile.what = path;
		import(path, point);
		EXPECT_EQ(meanwhile.at, NULL);
		EXPECT_STREQ(listing(stage_point_path(&l.stage, point)),
			     "aaa.digest bbb.digest config point.json vda.digest");
		stage_expect_idle(&l.stage);
		GIVES(OK, rp_destroy_reference_point(l.stage.store, point, &err));
		ASSERT_EQ(system(fmt("rm -rf '%s'; cp -a '%s/kept' '%s'", path,
				     test_dir(), path)),
			  0);
	}
	links_close(&l);
}

/* --------------------------------------------------------------------------- a job */

/* The job that exported @point, as if its process had died before its last record. */
static struct rp_job *dead_job(const char *point)
{
	const char *ended = fmt("%s/jobs/ended", l.stage.path), *path;
	struct rp_job *job = NULL;
	json_t *list, *doc;
	struct rp_error err;
	char *text;
	size_t i;

	GIVES(OK, rp_job_list(l.stage.store, &text, &err));
	list = take_json(text);
	json_array_foreach(list, i, doc)
		if (!strcmp(json_text(doc, "ReferencePointId"), id_of(point)))
			GIVES(OK, rp_job_open(l.stage.store, json_text(doc, "InstanceID"),
					      &job, &err));
	json_decref(list);
	ASSERT_NE(job, NULL);
	path = fmt("%s/%s/job.json", ended, rp_job_id(job));
	doc = load_json(path);
	json_object_set_new(doc, "JobState", json_integer(RP_JOB_RUNNING));
	save_json(path, doc);
	ASSERT_OK(rename(fmt("%s/%s", ended, rp_job_id(job)),
			 fmt("%s/jobs/active/%s", l.stage.path, rp_job_id(job))));
	return job;
}

/* It was published, and so the job was done. */
TEST(an_export_of_a_job_that_has_died)
{
	enum rp_job_state state;
	struct rp_error err;
	struct rp_job *job;

	links_make(&l);
	job = dead_job(l.points[1]);
	meanwhile.at = l.paths[1];
	meanwhile.act = merge;
	meanwhile.what = l.paths[1];
	GIVES(OK, rp_job_state(job, &state, NULL, &err));
	EXPECT_EQ(meanwhile.at, NULL);
	EXPECT_EQ(state, RP_JOB_COMPLETED);
	rp_job_close(job);
	links_close(&l);
}

TEST_MAIN
