/* SPDX-License-Identifier: MIT */
/*
 * system_change_test.c - a system gets other disks and config files: at once or not at
 * all, and its points, their exports and what is based on them stay as they are
 */
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "data.h"
#include "engine_fixture.h"
#include "harness.h"
#include "stage.h"

#define SIZE  (MIB + 4097)
#define TIMES 30

FIXTURE(change)
{
	struct stage stage;
	const char *second, *config; /* files of others */
};

FIXTURE_SETUP(change)
{
	stage_make(&self->stage, test_dir(), SIZE, test_seed());
	self->second = strdup(fmt("%s/second.img", test_dir()));
	self->config = strdup(fmt("%s/other.xml", test_dir()));
	close(data_create(self->second, MIB));
	data_flip(self->second, 4096);
	save_text(self->config, "<domain/>\n");
}

FIXTURE_TEARDOWN(change)
{
	stage_close(&self->stage);
	free((char *)self->second);
	free((char *)self->config);
}

static json_t *shown(const struct stage *s)
{
	struct rp_error err;
	char *text;

	ASSERT_EQ(rp_system_show(s->store, "web1", &text, &err), RP_OK, "%s",
		  err.message);
	return take_json(text);
}

/* A second disk and another config file, or what it was. */
static uint32_t change(const struct change_fixture *self, struct rp_store *store,
		       bool more, struct rp_error *err)
{
	const struct rp_disk disks[] = {{"vda", self->stage.disk}, {"vdb", self->second}};
	const char *const config = more ? self->config : fmt("%s/web1.xml", test_dir());

	return rp_system_change(store, "web1", disks, more ? 2 : 1, &config, 1, err);
}

TEST_F(change, is_of_all_that_there_is)
{
	const struct stage *s = &self->stage;
	json_t *before = shown(s), *after;
	const char *moved = fmt("%s/moved.img", test_dir());
	const struct rp_disk disks[] = {{"vdb", self->second}, {"vda", moved}};
	struct rp_error err;
	char point[POINT_SIZE];

	ASSERT_OK(rename(s->disk, moved));
	GIVES(OK, rp_system_change(s->store, "web1", disks, 2, NULL, 0, &err));
	after = shown(s);
	EXPECT_EQ(json_array_size(json_object_get(after, "Disks")), 2);
	EXPECT_STREQ(json_text(disk_of(after, "vda"), "Path"), moved);
	EXPECT_STREQ(json_text(disk_of(after, "vdb"), "Path"), self->second);
	EXPECT_EQ(json_array_size(json_object_get(after, "ConfigFiles")), 0);
	EXPECT_STREQ(json_text(after, "CreationTime"), json_text(before, "CreationTime"));
	EXPECT_TRUE(json_equal(json_object_get(after, "ReferencePoints"),
			       json_object_get(before, "ReferencePoints")));
	json_decref(before);
	json_decref(after);
	EXPECT_STREQ(listing(fmt("%s/systems/web1", s->path)), "points system.json");
	stage_take(s, point);
	EXPECT_TRUE(data_same(fmt("%s/vda.raw", stage_point_path(s, point)), s->twin));
	EXPECT_TRUE(
		data_same(fmt("%s/vdb.raw", stage_point_path(s, point)), self->second));
	/* What was before. */
	GIVES(OK, stage_export(s, NULL, &err));
	EXPECT_TRUE(stage_good_export(s->exports, s->point, s->twin));
	EXPECT_TRUE(exists(
		fmt("%s/config/web1.xml", stage_export_path(s->exports, s->point))));
}

/* Of a base that has not got the new disk, and of one that was released or imported. */
TEST_F(change, leaves_bases_as_they_are)
{
	struct heard heard = {0};
	const struct rp_watch watch = hear_into(&heard);
	struct rp_export_options options = stage_copying(RP_IO_AUTO);
	const struct stage *s = &self->stage;
	const char *path, *restored = fmt("%s/restored", test_dir());
	struct rp_error err;
	char point[POINT_SIZE], *name;
	json_t *manifest;

	options.watch = &watch;
	GIVES(OK, stage_export(s, &options, &err));
	GIVES(OK, change(self, s->store, true, &err));
	data_flip(s->disk, SIZE / 2);
	stage_take(s, point);
	options.base = s->point;
	path = stage_export_path(s->exports, point);
	for (unsigned i = 0; i < 3; i++) {
		GIVES(OK, rp_export(s->store, point, s->exports, &options, NULL, &err));
		EXPECT_EQ(heard.count, 1);
		EXPECT_EQ(strstr(heard.last, "vda"), NULL, "%s", heard.last);
		EXPECT_NE(strstr(heard.last, "new disk: the base does not have it"), NULL,
			  "%s", heard.last);
		manifest = load_json(fmt("%s/export.json", path));
		EXPECT_TRUE(json_is_object(
			json_object_get(disk_of(manifest, "vda"), "Changes")));
		EXPECT_TRUE(json_is_null(
			json_object_get(disk_of(manifest, "vdb"), "Changes")));
		json_decref(manifest);
		GIVES(OK, rp_restore(path, "vda", restored, NULL, NULL, &err));
		EXPECT_TRUE(data_same(restored, s->disk));
		ASSERT_OK(unlink(restored));
		remove_tree(path);
		heard.count = 0;
		if (i == 0)
			GIVES(OK, rp_release(s->store, s->point, NULL, &err));
		if (i != 1)
			continue;
		GIVES(OK, rp_destroy_reference_point(s->store, s->point, &err));
		GIVES(OK, rp_import(s->store, stage_export_path(s->exports, s->point),
				    &name, &err));
		rp_free(name);
	}
}

TEST_F(change, is_checked_as_what_is_added)
{
	const struct stage *s = &self->stage;
	const struct rp_disk good = {"vda", s->disk}, bad_id = {"../x", s->disk},
			     gone = {"vda", "/nowhere/at/all"},
			     twice[] = {{"vda", s->disk}, {"vdb", s->disk}};
	const char *const none = "/nowhere/at/all";
	json_t *before = shown(s), *after;
	struct rp_error err;

	GIVES(INVALID_PARAMETER, rp_system_change(NULL, "web1", &good, 1, NULL, 0, &err));
	GIVES(INVALID_PARAMETER,
	      rp_system_change(s->store, "web1", NULL, 1, NULL, 0, &err));
	GIVES(INVALID_PARAMETER,
	      rp_system_change(s->store, "web1", &good, 0, NULL, 0, &err));
	GIVES(INVALID_PARAMETER,
	      rp_system_change(s->store, "web1", &good, 1, NULL, 1, &err));
	GIVES(INVALID_PARAMETER,
	      rp_system_change(s->store, "a b", &good, 1, NULL, 0, &err));
	GIVES(INVALID_PARAMETER,
	      rp_system_change(s->store, "web1", &bad_id, 1, NULL, 0, &err));
	GIVES(INVALID_PARAMETER,
	      rp_system_change(s->store, "web1", twice, 2, NULL, 0, &err));
	GIVES(NOT_AVAILABLE, rp_system_change(s->store, "web1", &gone, 1, NULL, 0, &err));
	GIVES(NOT_AVAILABLE,
	      rp_system_change(s->store, "web1", &good, 1, &none, 1, &err));
	EXPECT_STREQ(err.system, "web1");
	GIVES(NOT_AVAILABLE, rp_system_change(s->store, "web2", &good, 1, NULL, 0, &err));
	EXPECT_STREQ(err.system, "web2");
	after = shown(s);
	EXPECT_TRUE(json_equal(before, after));
	json_decref(before);
	json_decref(after);
	stage_expect_unharmed(s, "");
	/* Who is refused is told of it. */
	GIVES(INVALID_STATE, rp_system_add(s->store, "web1", &good, 1, NULL, 0, &err));
	EXPECT_NE(strstr(err.message, "can be changed"), NULL, "%s", err.message);
	GIVES(INVALID_STATE, rp_system_remove(s->store, "web1", &err));
	EXPECT_NE(strstr(err.message, "can be changed"), NULL, "%s", err.message);
	save_text(fmt("%s/systems/web1/system.json", s->path), "");
	GIVES(UNKNOWN_STATUS, change(self, s->store, true, &err));
}

TEST_F(change, waits_for_who_takes_a_point)
{
	const struct stage *s = &self->stage;
	struct rp_store *hurried = stage_open(s, 50);
	json_t *before = shown(s), *after;
	struct rp_error err;
	int fd = open(fmt("%s/systems/web1", s->path),
		      O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	ASSERT_OK(flock(fd, LOCK_EX));
	GIVES(TIMEOUT, change(self, hurried, true, &err));
	after = shown(s);
	EXPECT_TRUE(json_equal(before, after));
	close(fd);
	GIVES(OK, change(self, hurried, true, &err));
	rp_store_close(hurried);
	json_decref(before);
	json_decref(after);
}

struct changer {
	const struct change_fixture *self;
	atomic_bool stop;
};

static void *go_to_and_fro(void *context)
{
	struct changer *c = context;
	struct rp_store *store = stage_open(&c->self->stage, 0);
	struct rp_error err;

	for (bool more = true; !c->stop; more = !more)
		EXPECT_EQ(change(c->self, store, more, &err), RP_OK, "%s", err.message);
	rp_store_close(store);
	return NULL;
}

TEST_F(change, a_point_has_the_one_or_the_other)
{
	const struct stage *s = &self->stage;
	struct changer changer = {.self = self};
	json_t *points, *point;
	pthread_t thread;
	unsigned more = 0;
	size_t i;

	ASSERT_OK(pthread_create(&thread, NULL, go_to_and_fro, &changer));
	for (unsigned k = 0; k < TIMES; k++) {
		char name[POINT_SIZE];

		stage_take(s, name);
	}
	changer.stop = true;
	ASSERT_OK(pthread_join(thread, NULL));
	points = stage_points(s->store);
	EXPECT_EQ(json_array_size(points), TIMES + 1);
	json_array_foreach(points, i, point) {
		size_t disks = json_array_size(json_object_get(point, "Disks"));
		const char *config = json_string_value(
			json_array_get(json_object_get(point, "ConfigFiles"), 0));

		EXPECT_STREQ(config, disks == 2 ? "other.xml" : "web1.xml");
		more += disks == 2;
	}
	test_log("%u of %d have the second disk", more, TIMES);
	json_decref(points);
}

TEST_MAIN
