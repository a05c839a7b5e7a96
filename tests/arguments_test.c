/* SPDX-License-Identifier: MIT */
/*
 * arguments_test.c - what callers do wrong: invalid parameters (32773), invalid states
 * (32775) and settings of a wrong type (32776), for every method
 */
#include <stdio.h>

#include "data.h"
#include "harness.h"
#include "stage.h"

#define SIZE (4 * MIB)

FIXTURE(wrong)
{
	struct stage stage;
};

FIXTURE_SETUP(wrong)
{
	stage_make(&self->stage, test_dir(), SIZE, test_seed());
}

FIXTURE_TEARDOWN(wrong)
{
	stage_close(&self->stage);
}

/* The method of the model. */
static uint32_t export(const struct stage *s, const char *settings, struct rp_error *err)
{
	return rp_export_reference_point(s->store, s->point, s->exports, settings, NULL,
					 err);
}

/* -------------------------------------------------------------------------- 32773 */

TEST_F(wrong, invalid_parameter_for_a_store)
{
	const struct rp_store_options no_size = {.lock_timeout_ms = 1};
	const char *path = self->stage.path;
	struct rp_store *store = NULL;
	struct rp_error err;

	GIVES(INVALID_PARAMETER, rp_store_init(NULL, &err));
	GIVES(INVALID_PARAMETER, rp_store_init("", &err));
	GIVES(INVALID_PARAMETER, rp_store_init("store", &err));
	GIVES(INVALID_PARAMETER, rp_store_open(NULL, NULL, &store, &err));
	GIVES(INVALID_PARAMETER, rp_store_open("", NULL, &store, &err));
	GIVES(INVALID_PARAMETER, rp_store_open("store", NULL, &store, &err));
	GIVES(INVALID_PARAMETER, rp_store_open(path, NULL, NULL, &err));
	GIVES(INVALID_PARAMETER, rp_store_open(path, &no_size, &store, &err));
	EXPECT_EQ(store, NULL);
	rp_store_close(NULL);
	rp_free(NULL);
}

TEST_F(wrong, invalid_parameter_for_a_point)
{
	static const char *const wrong[] = {
		NULL,
		"",
		"web1",
		"web1@",
		"@latest",
		"web1@abc",
		"web1@LATEST",
		"web1@latest~",
		"web1@latest~-1",
		"web1@latest~ 1",
		"web1@latest~1x",
		"web1@latest~99999999999999999999",
		"web1@../..",
		"web1@0000/",
		"../web1@latest",
		".web1@latest",
		"web1@00000000-0000-0000-0000-0000000000000",
	};
	const struct stage *s = &self->stage;
	struct rp_error err;
	char *text = NULL;

	for (size_t i = 0; i < ARRAY_SIZE(wrong); i++) {
		test_log("%s", wrong[i]);
		GIVES(INVALID_PARAMETER,
		      rp_show_reference_point(s->store, wrong[i], &text, &err));
		GIVES(INVALID_PARAMETER,
		      rp_destroy_reference_point(s->store, wrong[i], &err));
		GIVES(INVALID_PARAMETER,
		      rp_export(s->store, wrong[i], s->exports, NULL, &text, &err));
	}
	GIVES(INVALID_PARAMETER, rp_show_reference_point(NULL, s->point, &text, &err));
	GIVES(INVALID_PARAMETER, rp_show_reference_point(s->store, s->point, NULL, &err));
	GIVES(INVALID_PARAMETER, rp_list_reference_points(NULL, NULL, &text, &err));
	GIVES(INVALID_PARAMETER, rp_list_reference_points(s->store, "", &text, &err));
	GIVES(INVALID_PARAMETER, rp_list_reference_points(s->store, NULL, NULL, &err));
	GIVES(INVALID_PARAMETER, rp_destroy_reference_point(NULL, s->point, &err));
	EXPECT_EQ(text, NULL);
	stage_expect_unharmed(s, "");
}

static uint32_t create_with(const struct stage *s, struct rp_create_options options,
			    struct rp_error *err)
{
	char *point = NULL;
	uint32_t rc;

	rc = rp_create_reference_point(s->store, "web1", &options, &point, err);
	EXPECT_EQ(point, NULL);
	return rc;
}

TEST_F(wrong, invalid_parameter_for_a_create)
{
	struct rp_create_options options = {.size = sizeof(options), .allow_copy = true};
	const struct stage *s = &self->stage;
	char label[257] = {0}, *point = NULL;
	struct rp_error err;

	GIVES(INVALID_PARAMETER,
	      rp_create_reference_point(NULL, "web1", NULL, &point, &err));
	GIVES(INVALID_PARAMETER,
	      rp_create_reference_point(s->store, "web1", NULL, NULL, &err));
	GIVES(INVALID_PARAMETER,
	      rp_create_reference_point(s->store, NULL, NULL, &point, &err));
	GIVES(INVALID_PARAMETER,
	      rp_create_reference_point(s->store, "a/b", NULL, &point, &err));
	EXPECT_EQ(point, NULL);
	GIVES(INVALID_PARAMETER, create_with(s, (struct rp_create_options){0}, &err));
	options.label = "\xff\xfe";
	GIVES(INVALID_PARAMETER, create_with(s, options, &err));
	options.label = memset(label, 'x', 256);
	GIVES(INVALID_PARAMETER, create_with(s, options, &err));
	options.label = NULL;
	options.io = (enum rp_io)77;
	GIVES(INVALID_PARAMETER, create_with(s, options, &err));
	stage_expect_unharmed(s, "");
}

TEST_F(wrong, invalid_parameter_for_an_export)
{
	const char *const unknown[] = {"vdb"}, *const none[] = {NULL};
	const char *const twice[] = {"vda", "vda"};
	struct rp_export_options options = {.size = sizeof(options)}, o;
	const struct stage *s = &self->stage;
	struct rp_error err;

	GIVES(INVALID_PARAMETER, rp_export(NULL, s->point, s->exports, NULL, NULL, &err));
	GIVES(INVALID_PARAMETER, rp_export(s->store, s->point, NULL, NULL, NULL, &err));
	GIVES(INVALID_PARAMETER, rp_export(s->store, s->point, "", NULL, NULL, &err));
	GIVES(INVALID_PARAMETER, rp_export(s->store, s->point, "out", NULL, NULL, &err));
	o = (struct rp_export_options){0};
	GIVES(INVALID_PARAMETER, stage_export(s, &o, &err));
	o = options, o.disk_count = 1;
	GIVES(INVALID_PARAMETER, stage_export(s, &o, &err));
	o = options, o.disks = unknown, o.disk_count = 1;
	GIVES(INVALID_PARAMETER, stage_export(s, &o, &err));
	o = options, o.disks = none, o.disk_count = 1;
	GIVES(INVALID_PARAMETER, stage_export(s, &o, &err));
	o = options, o.disks = twice, o.disk_count = 2;
	GIVES(INVALID_PARAMETER, stage_export(s, &o, &err));
	o = options, o.io = (enum rp_io)99;
	GIVES(INVALID_PARAMETER, stage_export(s, &o, &err));
	o = options, o.clone = (enum rp_clone)99;
	GIVES(INVALID_PARAMETER, stage_export(s, &o, &err));
	o = options, o.digest = (enum rp_digest)99;
	GIVES(INVALID_PARAMETER, stage_export(s, &o, &err));
	o = options, o.block_size = 512 * KIB; /* a digest's chunk does not fit */
	GIVES(INVALID_PARAMETER, stage_export(s, &o, &err));
	o = options, o.block_size = 3 * MIB;
	GIVES(INVALID_PARAMETER, stage_export(s, &o, &err));
	o = options, o.block_size = 128 * MIB;
	GIVES(INVALID_PARAMETER, stage_export(s, &o, &err));
	o = options, o.queue_depth = 257;
	GIVES(INVALID_PARAMETER, stage_export(s, &o, &err));
	o = options, o.memory = MIB;
	GIVES(OUT_OF_MEMORY, stage_export(s, &o, &err));
	o = options, o.block_size = 4 * MIB, o.memory = 3 * MIB;
	GIVES(OUT_OF_MEMORY, stage_export(s, &o, &err));
	o = options, o.queue_depth = 32, o.memory = 16 * MIB;
	GIVES(OUT_OF_MEMORY, stage_export(s, &o, &err));
	GIVES(OUT_OF_MEMORY, export(s, "{\"Options\": {\"Memory\": 1}}", &err));
	GIVES(INVALID_PARAMETER, export(s, "{\"Options\": {\"BlockSize\": 0}}", &err));
	GIVES(INVALID_PARAMETER, export(s, "{\"Options\": {\"QueueDepth\": -1}}", &err));
	GIVES(INVALID_TYPE, export(s, "{\"Options\": {\"Memory\": \"32M\"}}", &err));
	GIVES(INVALID_PARAMETER, export(s, "{", &err));
	GIVES(INVALID_PARAMETER, export(s, "{\"DisksToExport\": [\"vdb\"]}", &err));
	GIVES(INVALID_PARAMETER, export(s, "{\"Options\": {\"Nope\": 1}}", &err));
	stage_expect_unharmed(s, "");
}

TEST_F(wrong, invalid_parameter_for_a_reader)
{
	struct rp_read_options options = {.size = sizeof(options)}, o;
	const struct stage *s = &self->stage;
	const char *path = stage_export_path(s->exports, s->point);
	const char *out = fmt("%s/restored", test_dir());
	struct rp_error err;

	ASSERT_EQ(stage_export(s, NULL, &err), RP_OK, "%s", err.message);
	GIVES(INVALID_PARAMETER, rp_verify(NULL, NULL, NULL, &err));
	GIVES(INVALID_PARAMETER, rp_verify("export", NULL, NULL, &err));
	GIVES(INVALID_PARAMETER, rp_restore(path, NULL, out, NULL, NULL, &err));
	GIVES(INVALID_PARAMETER, rp_restore(path, "vdb", out, NULL, NULL, &err));
	GIVES(INVALID_PARAMETER, rp_restore(path, "vda", NULL, NULL, NULL, &err));
	GIVES(INVALID_PARAMETER, rp_restore(path, "vda", "out", NULL, NULL, &err));
	GIVES(INVALID_PARAMETER, rp_restore(path, "vda", test_dir(), NULL, NULL, &err));
	o = (struct rp_read_options){0};
	GIVES(INVALID_PARAMETER, rp_verify(path, &o, NULL, &err));
	GIVES(INVALID_PARAMETER, rp_restore(path, "vda", out, &o, NULL, &err));
	o = options, o.io = (enum rp_io)99;
	GIVES(INVALID_PARAMETER, rp_verify(path, &o, NULL, &err));
	GIVES(INVALID_PARAMETER, rp_restore(path, "vda", out, &o, NULL, &err));
	o = options, o.clone = (enum rp_clone)99;
	GIVES(INVALID_PARAMETER, rp_restore(path, "vda", out, &o, NULL, &err));
	EXPECT_FALSE(exists(out));
	stage_expect_unharmed(s, "web1");
}

#define TELLS(what, call)                        \
	do {                                     \
		GIVES(INVALID_PARAMETER, call);  \
		EXPECT_STREQ(err.message, what); \
	} while (0)

TEST_F(wrong, invalid_parameter_for_a_path)
{
	const char *const relative = "a", *const odd = "/\xff";
	const struct rp_read_options lost = {
		.size = sizeof(lost), .search = &odd, .search_count = 1};
	const struct stage *s = &self->stage;
	const char *path = stage_export_path(s->exports, s->point);
	struct rp_error err;
	char *text = NULL;

	ASSERT_EQ(stage_export(s, NULL, &err), RP_OK, "%s", err.message);
	TELLS("export directory 'a': not an absolute path",
	      rp_export(s->store, s->point, relative, NULL, NULL, &err));
	TELLS("export directory '/?': not UTF-8",
	      rp_export(s->store, s->point, odd, NULL, NULL, &err));
	TELLS("open export 'a': not an absolute path",
	      rp_verify(relative, NULL, NULL, &err));
	TELLS("open export '/?': not UTF-8", rp_verify(odd, NULL, NULL, &err));
	TELLS("search '/?': not UTF-8", rp_verify(path, &lost, NULL, &err));
	TELLS("output 'a': not an absolute path",
	      rp_restore(path, "vda", relative, NULL, NULL, &err));
	TELLS("output '/?': not UTF-8", rp_restore(path, "vda", odd, NULL, NULL, &err));
	TELLS("directory 'a': not an absolute path",
	      rp_probe(NULL, relative, NULL, &text, &err));
	TELLS("directory '/?': not UTF-8", rp_probe(NULL, odd, NULL, &text, &err));
	EXPECT_EQ(text, NULL);
}

/* As a newer program passes them: what it asks for here must not be lost. */
#define NEWER(type)                \
	struct {                   \
		struct type known; \
		uint64_t more;     \
	}

/* Each method that takes options, with a struct that is good but for @o->more. */
static void expect_of_newer(const struct stage *s, bool asks)
{
	const struct rp_watch plain = {.size = sizeof(plain)};
	const NEWER(rp_store_options) open = {{.size = sizeof(open)}, asks};
	const NEWER(rp_watch) watch = {{.size = sizeof(watch)}, asks};
	const NEWER(rp_create_options) create = {
		{.size = sizeof(create), .allow_copy = true, .watch = &plain}, asks};
	const NEWER(rp_changes_options) changes = {{.size = sizeof(changes)}, asks};
	const NEWER(rp_export_options) export = {{.size = sizeof(export)}, asks};
	const NEWER(rp_read_options) read = {{.size = sizeof(read)}, asks};
	const struct rp_create_options watched = {
		.size = sizeof(watched), .allow_copy = true, .watch = &watch.known};
	const uint32_t want = asks ? RP_INVALID_PARAMETER : RP_OK;
	char *newer = NULL, *point = NULL;
	struct rp_store *store = NULL;
	struct rp_error err;

	expect_value(want, rp_store_open(s->path, &open.known, &store, &err), &err,
		     "open");
	rp_store_close(store);
	expect_value(
		want,
		rp_create_reference_point(s->store, "web1", &create.known, &newer, &err),
		&err, "create");
	expect_value(want,
		     rp_create_reference_point(s->store, "web1", &watched, &point, &err),
		     &err, "a watch");
	expect_value(want,
		     rp_changes(s->store, "web1@latest", "@latest~1", &changes.known,
				NULL, &err),
		     &err, "changes");
	expect_value(want, stage_export(s, &export.known, &err), &err, "export");
	expect_value(want,
		     rp_verify(stage_export_path(s->exports, s->point), &read.known, NULL,
			       &err),
		     &err, "verify");
	rp_free(newer);
	rp_free(point);
}

TEST_F(wrong, options_of_a_newer_program)
{
	struct rp_export_options huge = {.size = SIZE_MAX};
	struct rp_error err;

	expect_of_newer(&self->stage, true);
	stage_expect_unharmed(&self->stage, "");
	GIVES(INVALID_PARAMETER, stage_export(&self->stage, &huge, &err));
	expect_of_newer(&self->stage, false);
}

/* ------------------------------------------------------------------- 32775, 32776 */

TEST_F(wrong, invalid_state)
{
	const struct stage *s = &self->stage;
	const struct rp_disk disk = {"vda", s->disk};
	const char *path = stage_export_path(s->exports, s->point);
	const char *released = fmt("%s/point.json", stage_point_path(s, s->point));
	const char *out = fmt("%s/restored", test_dir());
	struct rp_error err;
	json_t *doc;

	GIVES(INVALID_STATE, rp_store_init(s->path, &err));
	GIVES(INVALID_STATE, rp_store_init(test_dir(), &err));
	GIVES(INVALID_STATE, rp_system_add(s->store, "web1", &disk, 1, NULL, 0, &err));
	GIVES(INVALID_STATE, rp_system_remove(s->store, "web1", &err));
	ASSERT_EQ(stage_export(s, NULL, &err), RP_OK, "%s", err.message);
	GIVES(INVALID_STATE, stage_export(s, NULL, &err));
	EXPECT_STREQ(err.system, "web1");
	EXPECT_TRUE(stage_good_export(s->exports, s->point, s->twin));
	save_text(out, "mine");
	GIVES(INVALID_STATE, rp_restore(path, "vda", out, NULL, NULL, &err));
	EXPECT_LE(data_allocated(out), 4096);
	stage_expect_unharmed(s, "web1");

	doc = load_json(released);
	ASSERT_OK(json_object_set_new(doc, "HasAssociatedData", json_false()));
	save_json(released, doc);
	GIVES(INVALID_STATE, rp_export(s->store, s->point, test_dir(), NULL, NULL, &err));
}

TEST_F(wrong, incorrect_type)
{
	static const char *const wrong[] = {
		"{\"Nope\": 1}",
		"{\"DisksToExport\": \"vda\"}",
		"{\"DisksToExport\": [1]}",
		"{\"BaseReferencePoint\": 5}",
		"{\"Options\": []}",
		"{\"Options\": {\"Timeout\": \"soon\"}}",
		"<INSTANCE CLASSNAME=\"Msvm_Nothing\"></INSTANCE>",
	};
	struct rp_error err;

	for (size_t i = 0; i < ARRAY_SIZE(wrong); i++) {
		test_log("%s", wrong[i]);
		GIVES(INVALID_TYPE, export(&self->stage, wrong[i], &err));
		EXPECT_STREQ(err.step, "settings");
	}
	stage_expect_unharmed(&self->stage, "");
}

TEST_MAIN
