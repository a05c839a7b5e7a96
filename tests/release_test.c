/* SPDX-License-Identifier: MIT */
/*
 * release_test.c - points without data: what a release keeps, what an import brings
 * back, and that both can be a base
 */
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "data.h"
#include "engine_fixture.h"
#include "harness.h"

FIXTURE(released)
{
	struct engine e;
	struct rp_error err;
	char point[POINT_SIZE];
};
FIXTURE_VARIANT(released)
{
	const char *type;
};
FIXTURE_VARIANT_ADD(released, xfs){.type = "xfs"};
FIXTURE_VARIANT_ADD(released, btrfs){.type = "btrfs"};
FIXTURE_VARIANT_ADD(released, ext4){.type = "ext4"};

static void take(struct released_fixture *self)
{
	struct rp_create_options options = {.size = sizeof(options), .allow_copy = true};

	json_decref(engine_take(&self->e, &options));
	memcpy(self->point, self->e.point, sizeof(self->point));
}

FIXTURE_SETUP(released)
{
	engine_open(&self->e, variant->type, 400 * MIB, NULL, NULL);
}

FIXTURE_TEARDOWN(released)
{
	engine_close(&self->e);
}

static void make_system(struct released_fixture *self)
{
	engine_make_disk(&self->e, "vda", 3 * MIB + 17);
	engine_make_disk(&self->e, "vdb", MIB);
	engine_add(&self->e, (const char *[]){"vda", "vdb"}, 2);
	take(self);
}

static const char *id_of(const char *point)
{
	return strchr(point, '@') + 1;
}

static const char *folder_of(const struct released_fixture *self, const char *point)
{
	return fmt("%s/store/systems/web1/points/%s", self->e.fs.mnt, id_of(point));
}

/* An export of the last point with digests of everything; its folder. */
static const char *export(struct released_fixture *self, enum rp_digest digest)
{
	const struct rp_export_options options = {.size = sizeof(options),
						  .digest = digest};

	json_decref(engine_export(&self->e, self->e.out, &options));
	return fmt("%s/web1/%s", self->e.out, id_of(self->e.point));
}

static json_t *show(struct released_fixture *self, const char *point)
{
	char *text;

	ASSERT_EQ(rp_show_reference_point(self->e.store, point, &text, &self->err), RP_OK,
		  "%s", self->err.message);
	return take_json(text);
}

static const char *root_of(const json_t *disk)
{
	return json_text(json_object_get(disk, "Digest"), "Root");
}

static const char *warning_of(const json_t *point, size_t index)
{
	return json_string_value(
		       json_array_get(json_object_get(point, "Warnings"), index))
		       ?: "";
}

/* "SOURCE BYTES" of vda since @base. */
static const char *changes_since(struct released_fixture *self, const char *base)
{
	const char *said;
	json_t *report, *disk;
	char *text;

	ASSERT_EQ(rp_changes(self->e.store, self->e.point, base, NULL, &text, &self->err),
		  RP_OK, "%s", self->err.message);
	report = take_json(text);
	disk = disk_of(report, "vda");
	said = fmt("%s %lld", json_text(disk, "Source"),
		   (long long)(json_number(disk, "DataBytes") +
			       json_number(disk, "ZeroBytes")));
	json_decref(report);
	return said;
}

TEST_F(released, data_goes_and_the_rest_stays)
{
	json_t *before, *after, *disk;
	struct rp_error err;
	size_t i;

	make_system(self);
	before = show(self, self->point);
	GIVES(OK, rp_release(self->e.store, self->point, NULL, &err));
	EXPECT_STREQ(listing(folder_of(self, self->point)),
		     "config point.json vda.digest vdb.digest");
	after = show(self, self->point);
	EXPECT_FALSE(json_is_true(json_object_get(after, "HasAssociatedData")));
	json_array_foreach(json_object_get(after, "Disks"), i, disk) {
		EXPECT_EQ(json_number(disk, "AllocatedBytes"), 0);
		EXPECT_STREQ(json_text(json_object_get(disk, "Digest"), "File"),
			     fmt("%s.digest", json_text(disk, "DiskId")));
		json_object_del(disk, "AllocatedBytes");
		json_object_del(disk, "Digest");
	}
	json_array_foreach(json_object_get(before, "Disks"), i, disk)
		json_object_del(disk, "AllocatedBytes");
	json_object_set_new(before, "HasAssociatedData", json_false());
	EXPECT_TRUE(json_equal(before, after));
	json_decref(before);
	json_decref(after);

	GIVES(INVALID_STATE, rp_release(self->e.store, self->point, NULL, &err));
	GIVES(INVALID_STATE,
	      rp_export(self->e.store, self->point, self->e.out, NULL, NULL, &err));
	GIVES(INVALID_PARAMETER, rp_release(NULL, self->point, NULL, &err));
	GIVES(INVALID_PARAMETER, rp_release(self->e.store, "web1", NULL, &err));
	GIVES(NOT_AVAILABLE, rp_release(self->e.store, "web1@00000000", NULL, &err));
	engine_expect_idle(&self->e);
	GIVES(OK, rp_destroy_reference_point(self->e.store, self->point, &err));
}

/* The digest of a release is that of an export, whatever the disk looks like. */
TEST_F(released, disks_of_every_shape)
{
	const char *ids[SHAPE_COUNT];
	json_t *manifest, *point;
	struct rp_error err;

	for (size_t i = 0; i < SHAPE_COUNT; i++) {
		ids[i] = shapes[i].id;
		shape_make(&shapes[i], engine_disk(&self->e, ids[i]), i);
	}
	engine_add(&self->e, ids, SHAPE_COUNT);
	take(self);
	manifest = load_json(fmt("%s/export.json", export(self, RP_DIGEST_ALWAYS)));
	GIVES(OK, rp_release(self->e.store, self->point, NULL, &err));
	point = show(self, self->point);
	for (size_t i = 0; i < SHAPE_COUNT; i++)
		EXPECT_STREQ(root_of(disk_of(point, ids[i])),
			     root_of(disk_of(manifest, ids[i])), "%s", ids[i]);
	json_decref(point);
	json_decref(manifest);
}

TEST_F(released, a_release_that_is_called_off_changes_nothing)
{
	const struct rp_watch watch = cancel_in("verifying");
	const struct rp_read_options options = {.size = sizeof(options), .watch = &watch};
	struct rp_error err;

	make_system(self);
	GIVES(FAILED, rp_release(self->e.store, self->point, &options, &err));
	EXPECT_EQ(err.os_error, ECANCELED);
	engine_expect_idle(&self->e);
	EXPECT_STREQ(listing(folder_of(self, self->point)),
		     "config point.json vda.raw vdb.raw");
	GIVES(OK, rp_export(self->e.store, self->point, self->e.out, NULL, NULL, &err));
}

/* An export that waits for the point until it is released learns so. */
struct waiting {
	struct released_fixture *self;
	pthread_t thread;
	bool started;
	uint32_t rc;
	struct rp_error err;
};

static void *wait_for_it(void *context)
{
	struct waiting *w = context;
	const struct rp_store_options options = {.size = sizeof(options),
						 .lock_timeout_ms = 20000};
	struct rp_store *store;

	ASSERT_EQ(rp_store_open(fmt("%s/store", w->self->e.fs.mnt), &options, &store,
				&w->err),
		  RP_OK);
	w->rc = rp_export(store, w->self->point, w->self->e.out, NULL, NULL, &w->err);
	rp_store_close(store);
	return NULL;
}

static int start_waiting(void *context, const struct rp_progress *progress)
{
	struct waiting *w = context;

	if (!w->started && strcmp(progress->phase, "verifying") == 0) {
		w->started = true;
		ASSERT_EQ(pthread_create(&w->thread, NULL, wait_for_it, w), 0);
		usleep(300000);
	}
	return 0;
}

TEST_F(released, who_waited_for_the_point_learns_of_it)
{
	struct waiting w = {.self = self};
	const struct rp_watch watch = {
		.size = sizeof(watch), .context = &w, .progress = start_waiting};
	const struct rp_read_options options = {.size = sizeof(options), .watch = &watch};
	struct rp_error err;

	make_system(self);
	GIVES(OK, rp_release(self->e.store, self->point, &options, &err));
	ASSERT_TRUE(w.started);
	pthread_join(w.thread, NULL);
	EXPECT_EQ(w.rc, RP_INVALID_STATE);
	EXPECT_NE(strstr(w.err.message, "its data was released"), NULL, "%s",
		  w.err.message);
}

/* -------------------------------------------------------------------------- import */

TEST_F(released, import_brings_a_point_back_as_a_base)
{
	json_t *before, *after, *manifest;
	char old[POINT_SIZE], *name;
	const char *folder;
	struct rp_error err;

	make_system(self);
	memcpy(old, self->point, sizeof(old));
	before = show(self, old);
	folder = export(self, RP_DIGEST_ALWAYS);
	manifest = load_json(fmt("%s/export.json", folder));
	GIVES(INVALID_STATE, rp_import(self->e.store, folder, &name, &err));
	data_flip(engine_disk(&self->e, "vda"), MIB + 64 * KIB);
	take(self);
	GIVES(OK, rp_destroy_reference_point(self->e.store, old, &err));
	GIVES(OK, rp_import(self->e.store, folder, &name, &err));
	EXPECT_STREQ(name, old);
	rp_free(name);
	EXPECT_STREQ(listing(folder_of(self, old)),
		     "config point.json vda.digest vdb.digest");
	after = show(self, old);
	EXPECT_STREQ(json_text(after, "CreationTime"), json_text(before, "CreationTime"));
	EXPECT_STREQ(json_text(after, "Consistency"), json_text(before, "Consistency"));
	EXPECT_FALSE(json_is_true(json_object_get(after, "HasAssociatedData")));
	EXPECT_EQ(json_number(disk_of(after, "vda"), "VirtualSize"), 3 * MIB + 17);
	EXPECT_STREQ(root_of(disk_of(after, "vda")), root_of(disk_of(manifest, "vda")));
	EXPECT_TRUE(json_equal(json_object_get(after, "ConfigFiles"),
			       json_object_get(before, "ConfigFiles")));
	EXPECT_STREQ(warning_of(after, 0), "");
	json_decref(before);
	json_decref(after);
	json_decref(manifest);
	/* It is older than what was taken before it came back. */
	EXPECT_STREQ(changes_since(self, old), "digest 65536");
	EXPECT_STREQ(changes_since(self, "web1@latest~1"), "digest 65536");
	GIVES(INVALID_STATE, rp_import(self->e.store, folder, &name, &err));
	engine_expect_idle(&self->e);
}

/* A store that is lost: a new one, and the exports of the old one. */
TEST_F(released, import_into_a_new_store)
{
	struct rp_disk disk = {.id = "vda", .path = engine_disk(&self->e, "vda")};
	char first[POINT_SIZE], second[POINT_SIZE], *name;
	const char *one, *two;
	struct rp_store *store;
	struct rp_error err;
	json_t *list;
	char *text;

	make_system(self);
	memcpy(first, self->point, sizeof(first));
	one = export(self, RP_DIGEST_ALWAYS);
	data_flip(engine_disk(&self->e, "vda"), 0);
	take(self);
	memcpy(second, self->point, sizeof(second));
	two = export(self, RP_DIGEST_NEVER);

	GIVES(OK, rp_store_init(fmt("%s/new", self->e.fs.mnt), &err));
	GIVES(OK, rp_store_open(fmt("%s/new", self->e.fs.mnt), NULL, &store, &err));
	GIVES(NOT_AVAILABLE, rp_import(store, one, &name, &err));
	EXPECT_NE(strstr(err.message, "is not registered here"), NULL);
	GIVES(OK, rp_system_add(store, "web1", &disk, 1, NULL, 0, &err));
	GIVES(OK, rp_import(store, two, &name, &err)); /* in any order */
	rp_free(name);
	GIVES(OK, rp_import(store, one, &name, &err));
	rp_free(name);
	GIVES(OK, rp_list_reference_points(store, "web1", &text, &err));
	list = take_json(text);
	ASSERT_EQ(json_array_size(list), 2);
	EXPECT_STREQ(json_text(json_array_get(list, 0), "InstanceID"), id_of(first));
	EXPECT_STREQ(json_text(json_array_get(list, 1), "InstanceID"), id_of(second));
	/* Without digests there is nothing to compare with. */
	EXPECT_TRUE(json_is_null(
		json_object_get(disk_of(json_array_get(list, 1), "vda"), "Digest")));
	EXPECT_STREQ(warning_of(json_array_get(list, 1), 0),
		     "disk vda cannot be a base: the export has no digests");
	EXPECT_STREQ(warning_of(json_array_get(list, 0), 0), "");
	json_decref(list);
	rp_store_close(self->e.store);
	self->e.store = store;
	take(self);
	EXPECT_STREQ(changes_since(self, second), "all 3145745");
	EXPECT_STREQ(changes_since(self, first), "digest 65536");
}

/* Its disks are those of the old one, which is closed. */
static void open_new_store(struct released_fixture *self)
{
	const char *path = fmt("%s/new", self->e.fs.mnt);
	struct rp_disk disk = {.id = "vda", .path = engine_disk(&self->e, "vda")};
	struct rp_error err;

	rp_store_close(self->e.store);
	GIVES(OK, rp_store_init(path, &err));
	GIVES(OK, rp_store_open(path, NULL, &self->e.store, &err));
	GIVES(OK, rp_system_add(self->e.store, "web1", &disk, 1, NULL, 0, &err));
}

static void import(struct released_fixture *self, const char *folder)
{
	struct rp_error err;
	char *name;

	GIVES(OK, rp_import(self->e.store, folder, &name, &err));
	rp_free(name);
}

static void set_number(const char *folder, int number)
{
	json_t *doc = load_json(fmt("%s/export.json", folder));

	if (number)
		json_object_set_new(doc, "Sequence", json_integer(number));
	else
		json_object_del(doc, "Sequence");
	save_json(fmt("%s/export.json", folder), doc);
}

/* The numbers of the points, as they are listed; "*" where there is no data. */
static const char *numbers(struct released_fixture *self)
{
	const char *said = "";
	json_t *list, *point;
	struct rp_error err;
	char *text;
	size_t i;

	GIVES(OK, rp_list_reference_points(self->e.store, "web1", &text, &err));
	list = take_json(text);
	json_array_foreach(list, i, point)
		said = fmt("%s%s%lld%s", said, i ? " " : "",
			   (long long)json_number(point, "Sequence"),
			   json_is_true(json_object_get(point, "HasAssociatedData"))
				   ? ""
				   : "*");
	json_decref(list);
	return said;
}

static struct exports {
	const char *old, *new;
} export_two(struct released_fixture *self)
{
	struct exports two;

	make_system(self);
	two.old = export(self, RP_DIGEST_ALWAYS);
	take(self);
	two.new = export(self, RP_DIGEST_ALWAYS);
	set_number(two.old, 399);
	set_number(two.new, 400);
	open_new_store(self);
	return two;
}

/* Or what is exported next would be the oldest of all exports. */
TEST_F(released, import_goes_on_with_the_numbers)
{
	struct exports two = export_two(self);
	struct rp_error err;

	import(self, two.new);
	import(self, two.old);
	EXPECT_STREQ(numbers(self), "399* 400*");
	take(self);
	EXPECT_STREQ(numbers(self), "399* 400* 401");
	GIVES(OK, rp_destroy_reference_point(self->e.store, self->point, &err));
	take(self);
	EXPECT_STREQ(numbers(self), "399* 400* 401");
}

/* What was taken since is newer, whatever its number; the next one has one that is new.
 */
TEST_F(released, import_behind_a_new_point)
{
	struct exports two = export_two(self);

	take(self);
	take(self);
	import(self, two.new);
	import(self, two.old);
	EXPECT_STREQ(numbers(self), "1* 1* 1 2");
	EXPECT_STREQ(changes_since(self, "web1@latest~2"), "digest 0");
	take(self);
	EXPECT_STREQ(numbers(self), "1* 1* 1 2 401");
}

TEST_F(released, import_of_exports_without_numbers)
{
	struct exports two = export_two(self);

	set_number(two.old, 0);
	set_number(two.new, 0);
	import(self, two.new);
	import(self, two.old);
	take(self);
	EXPECT_STREQ(numbers(self), "0* 0* 1");
	EXPECT_STREQ(changes_since(self, "web1@latest~1"), "digest 0");
}

/* What keeps files only, by their names, as object stores do, loses an empty folder. */
TEST_F(released, import_of_an_export_without_its_empty_folder)
{
	struct exports two = export_two(self);

	ASSERT_OK(rmdir(fmt("%s/config", two.new)));
	import(self, two.new);
	EXPECT_STREQ(numbers(self), "400*");
}

TEST_F(released, what_is_not_imported)
{
	static const char *const times[] = {NULL,
					    "",
					    "zzzz",
					    "2026-13-01T00:00:00.000Z",
					    "2026-11-29T25:00:00.000Z",
					    "2026-11-29T10:00:00Z",
					    "2026-11-29 10:00:00.000Z",
					    "+026-11-29T10:00:00.000Z"};
	struct rp_error err;
	char folder[PATH_MAX];
	char *name = NULL;
	json_t *doc;

	make_system(self);
	snprintf(folder, sizeof(folder), "%s", export(self, RP_DIGEST_ALWAYS));
	GIVES(OK, rp_destroy_reference_point(self->e.store, self->point, &err));
	GIVES(INVALID_PARAMETER, rp_import(self->e.store, "relative", &name, &err));
	GIVES(INVALID_PARAMETER, rp_import(NULL, folder, &name, &err));
	GIVES(INVALID_PARAMETER, rp_import(self->e.store, folder, NULL, &err));
	GIVES(NOT_AVAILABLE, rp_import(self->e.store, self->e.out, &name, &err));

	/* Its document lacks what a point needs, or has it twice. */
	doc = load_json(fmt("%s/export.json", folder));
	json_array_append(json_object_get(doc, "Disks"), disk_of(doc, "vda"));
	save_json(fmt("%s/export.json", folder), doc);
	GIVES(UNKNOWN_STATUS, rp_import(self->e.store, folder, &name, &err));
	engine_expect_idle(&self->e);
	doc = load_json(fmt("%s/export.json", folder));
	json_array_remove(json_object_get(doc, "Disks"), 1);
	for (size_t i = 0; i < ARRAY_SIZE(times); i++) {
		json_object_set_new(doc, "CreationTime",
				    times[i] ? json_string(times[i]) : json_null());
		save_json(fmt("%s/export.json", folder), json_incref(doc));
		test_log("%s", times[i]);
		GIVES(UNKNOWN_STATUS, rp_import(self->e.store, folder, &name, &err));
		engine_expect_idle(&self->e);
	}
	json_decref(doc);
	save_text(fmt("%s/export.json", folder), "{");
	GIVES(UNKNOWN_STATUS, rp_import(self->e.store, folder, &name, &err));
	EXPECT_EQ(name, NULL);
	EXPECT_STREQ(listing(fmt("%s/store/systems/web1/points", self->e.fs.mnt)), "");
	engine_expect_idle(&self->e);
}

/* Leaves that are not those of the manifest prove nothing and are left behind. */
TEST_F(released, damaged_leaves_are_not_imported)
{
	struct rp_error err;
	const char *folder;
	char *name;
	json_t *point;

	make_system(self);
	folder = export(self, RP_DIGEST_ALWAYS);
	GIVES(OK, rp_destroy_reference_point(self->e.store, self->point, &err));
	data_flip(fmt("%s/vda.digest", folder), 3);
	GIVES(OK, rp_import(self->e.store, folder, &name, &err));
	rp_free(name);
	point = show(self, self->point);
	EXPECT_TRUE(json_is_null(json_object_get(disk_of(point, "vda"), "Digest")));
	EXPECT_NE(root_of(disk_of(point, "vdb"))[0], 0);
	EXPECT_STREQ(warning_of(point, 0),
		     "disk vda cannot be a base: the digests in the "
		     "export are missing or damaged");
	EXPECT_STREQ(warning_of(point, 1), "");
	EXPECT_STREQ(listing(folder_of(self, self->point)),
		     "config point.json vdb.digest");
	json_decref(point);
}

/* What a differential export has digests of is no whole disk; but a disk that it has in
 * full is one. */
TEST_F(released, import_of_a_differential_export)
{
	struct rp_export_options options = {.size = sizeof(options),
					    .digest = RP_DIGEST_ALWAYS};
	char base[POINT_SIZE], imported[POINT_SIZE], *name, *text;
	struct rp_error err;
	json_t *point;

	make_system(self);
	memcpy(base, self->point, sizeof(base));
	data_flip(engine_disk(&self->e, "vda"), 0);
	take(self);
	options.settings = fmt("{\"BaseReferencePoint\": \"%s\", "
			       "\"Options\": {\"Digest\": \"always\"}}",
			       base);
	GIVES(OK,
	      rp_export(self->e.store, self->point, self->e.out, &options, &text, &err));
	rp_free(text);
	GIVES(OK, rp_destroy_reference_point(self->e.store, self->point, &err));
	GIVES(OK,
	      rp_import(self->e.store, fmt("%s/web1/%s", self->e.out, id_of(self->point)),
			&name, &err));
	rp_free(name);
	point = show(self, self->point);
	EXPECT_TRUE(json_is_null(json_object_get(disk_of(point, "vda"), "Digest")));
	EXPECT_STREQ(warning_of(point, 0), "disk vda cannot be a base: the export is "
					   "differential: destroy the point, merge it "
					   "and import it again");
	json_decref(point);
	memcpy(imported, self->point, sizeof(imported));
	take(self);
	GIVES(OK, rp_changes(self->e.store, self->point, imported, NULL, &text, &err));
	point = take_json(text);
	EXPECT_STREQ(json_text(disk_of(point, "vda"), "SourceReason"),
		     "base imported without a digest tree");
	json_decref(point);
}

/* The digest of an image is that of the disk in it. */
TEST_F(released, import_of_an_image)
{
	struct rp_export_options options = {.size = sizeof(options)};
	char old[POINT_SIZE], *name;
	struct rp_error err;

	make_system(self);
	memcpy(old, self->point, sizeof(old));
	options.settings = "{\"Options\": {\"Format\": \"qcow2\", \"Digest\": "
			   "\"always\"}}";
	GIVES(OK, rp_export(self->e.store, old, self->e.out, &options, NULL, &err));
	GIVES(OK, rp_destroy_reference_point(self->e.store, old, &err));
	GIVES(OK, rp_import(self->e.store, fmt("%s/web1/%s", self->e.out, id_of(old)),
			    &name, &err));
	rp_free(name);
	data_flip(engine_disk(&self->e, "vda"), MIB);
	take(self);
	EXPECT_STREQ(changes_since(self, old), "digest 65536");
}

/* Tries to take the base away from under an export. */
struct thief {
	struct released_fixture *self;
	struct rp_store *store;
	char base[POINT_SIZE];
	unsigned tries;
};

static int steal(void *context, const struct rp_progress *progress)
{
	struct thief *thief = context;
	struct rp_error err;

	if (strcmp(progress->phase, "publishing") || thief->tries++)
		return 0;
	GIVES(IN_USE, rp_destroy_reference_point(thief->store, thief->base, &err));
	GIVES(IN_USE, rp_release(thief->store, thief->base, NULL, &err));
	return 0;
}

TEST_F(released, the_base_of_a_running_export_stays)
{
	struct thief thief = {.self = self};
	const struct rp_watch watch = {
		.size = sizeof(watch), .context = &thief, .progress = steal};
	struct rp_export_options options = {.size = sizeof(options), .watch = &watch};
	struct rp_error err;

	make_system(self);
	memcpy(thief.base, self->point, sizeof(thief.base));
	take(self);
	GIVES(OK,
	      rp_store_open(fmt("%s/store", self->e.fs.mnt), NULL, &thief.store, &err));
	options.settings = fmt("{\"BaseReferencePoint\": \"%s\"}", thief.base);
	GIVES(OK,
	      rp_export(self->e.store, self->point, self->e.out, &options, NULL, &err));
	EXPECT_GE(thief.tries, 1);
	GIVES(OK, rp_release(thief.store, thief.base, NULL, &err));
	GIVES(OK, rp_destroy_reference_point(thief.store, thief.base, &err));
	rp_store_close(thief.store);
}

TEST_MAIN
