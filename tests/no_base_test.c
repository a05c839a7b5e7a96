/* SPDX-License-Identifier: MIT */
/*
 * no_base_test.c - what is no base is none: refused, or exported otherwise and not
 * without a word
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
#include "engine_fixture.h"
#include "harness.h"
#include "intercept.h"
#include "links.h"

FIXTURE(no_base)
{
	struct links l;
};

FIXTURE_SETUP(no_base)
{
	links_make(&self->l);
}

FIXTURE_TEARDOWN(no_base)
{
	links_close(&self->l);
}

TEST_F(no_base, what_is_none)
{
	struct rp_export_options options = stage_copying(RP_IO_AUTO);
	const struct rp_disk disk = {"vda", self->l.stage.disk};
	const struct rp_create_options create = {.size = sizeof(create),
						 .allow_copy = true};
	const char *out = fmt("%s/out", test_dir());
	struct rp_error err;
	char *other;

	ASSERT_OK(mkdir(out, 0755));
	ASSERT_EQ(rp_system_add(self->l.stage.store, "db1", &disk, 1, NULL, 0, &err),
		  RP_OK);
	ASSERT_EQ(rp_create_reference_point(self->l.stage.store, "db1", &create, &other,
					    &err),
		  RP_OK);
	options.base = other;
	GIVES(INVALID_STATE, rp_export(self->l.stage.store, self->l.points[1], out,
				       &options, NULL, &err));
	options.base = self->l.points[1];
	GIVES(INVALID_STATE, rp_export(self->l.stage.store, self->l.points[1], out,
				       &options, NULL, &err));
	options.base = self->l.points[2];
	GIVES(INVALID_STATE, rp_export(self->l.stage.store, self->l.points[1], out,
				       &options, NULL, &err));
	options.base = "web1@abcd1234";
	GIVES(NOT_AVAILABLE, rp_export(self->l.stage.store, self->l.points[1], out,
				       &options, NULL, &err));
	options.base = "web1";
	GIVES(INVALID_PARAMETER, rp_export(self->l.stage.store, self->l.points[1], out,
					   &options, NULL, &err));
	EXPECT_STREQ(listing(out), "");
	stage_expect_idle(&self->l.stage);
	rp_free(other);
}

/* It is made, as its base may be somewhere else, but not without a word. */
TEST_F(no_base, a_base_that_is_not_beside_it)
{
	struct heard heard = {0};
	const struct rp_watch watch = hear_into(&heard);
	struct rp_export_options options = stage_copying(RP_IO_AUTO);
	const char *out = fmt("%s/out", test_dir());
	char base[PATH_MAX], path[PATH_MAX];

	snprintf(base, sizeof(base), "%s", stage_export_path(out, self->l.points[0]));
	snprintf(path, sizeof(path), "%s", stage_export_path(out, self->l.points[1]));
	ASSERT_OK(mkdir(out, 0755));
	options.base = self->l.points[0];
	options.watch = &watch;
	for (unsigned i = 0; i < 3; i++) {
		struct rp_error err;
		char *report;
		json_t *doc;

		if (i) { /* another one in its place, then the base itself */
			ASSERT_EQ(system(fmt("rm -rf '%s' '%s' && cp -a '%s' '%s'", base,
					     path, self->l.paths[i == 1 ? 2 : 0], base)),
				  0);
		}
		heard.count = 0;
		ASSERT_EQ(rp_export(self->l.stage.store, self->l.points[1], out, &options,
				    &report, &err),
			  RP_OK, "%s", err.message);
		doc = take_json(report);
		EXPECT_EQ(json_array_size(json_object_get(doc, "Warnings")), heard.count);
		json_decref(doc);
		EXPECT_EQ(heard.count, i == 2 ? 0 : 1, "%s", heard.last);
		if (heard.count)
			EXPECT_STREQ(heard.last,
				     fmt("disk vda: only what has changed since %s is "
					 "exported; to restore it the export of that is "
					 "needed, too, and it is not at %s",
					 self->l.points[0], base));
	}
}

/* Nor is it if the base is there and can be restored no more; and an image of it could
 * not even be opened. */
TEST_F(no_base, a_base_that_lacks_its_own)
{
	struct heard heard = {0};
	const struct rp_watch watch = hear_into(&heard);
	static const enum rp_format formats[] = {RP_FORMAT_RAW, RP_FORMAT_QCOW2};

	for (size_t k = 0; k < ARRAY_SIZE(formats); k++) {
		struct rp_export_options options = stage_copying(RP_IO_AUTO);
		bool raw = formats[k] == RP_FORMAT_RAW;
		const char *out = fmt("%s/out%zu", test_dir(), k), *path;
		struct rp_error err;

		ASSERT_OK(mkdir(out, 0755));
		options.format = formats[k];
		for (unsigned i = 0; i < 2; i++) {
			options.base = i ? self->l.points[0] : NULL;
			GIVES(OK, rp_export(self->l.stage.store, self->l.points[i], out,
					    &options, NULL, &err));
		}
		remove_tree(stage_export_path(out, self->l.points[0]));
		options.base = self->l.points[1];
		options.watch = &watch;
		options.strict = true;
		heard.count = 0;
		EXPECT_EQ(rp_export(self->l.stage.store, self->l.points[2], out, &options,
				    NULL, &err),
			  RP_INVALID_STATE, "%s", err.message);
		EXPECT_STREQ(err.disk, "vda");
		EXPECT_EQ(heard.count, 0);
		path = stage_export_path(out, self->l.points[2]);
		options.strict = false;
		GIVES(OK, rp_export(self->l.stage.store, self->l.points[2], out, &options,
				    NULL, &err));
		EXPECT_EQ(heard.count, 1, "%s", heard.last);
		EXPECT_NE(strstr(heard.last, raw ? "not found beside it"
						 : "or what that needs, cannot be read"),
			  NULL, "%s", heard.last);
		EXPECT_EQ(rp_restore(path, "vda", fmt("%s/whole%zu", test_dir(), k), NULL,
				     NULL, &err),
			  raw ? RP_NOT_AVAILABLE : RP_OK, "%s", err.message);
	}
}

static const char *short_of_files; /* to read what has this name with */

/* The library's calls come by here. */
static int before_syscall(long number, const long arg[6])
{
	bool reads = number == SYS_openat2 ||
		     (number == SYS_openat && !(arg[2] & O_CREAT));

	if (!reads || !short_of_files || strcmp((const char *)arg[1], short_of_files))
		return 0;
	return EMFILE;
}

INTERCEPT_SYSCALL(before_syscall)

int openat(int dirfd, const char *path, int flags, ...)
{
	return (int)syscall(SYS_openat, dirfd, path, flags, OPEN_MODE(flags));
}

static void expect_shortage(const struct links *l, const char *name, const char *out,
			    const struct rp_export_options *options)
{
	struct rp_error err;

	short_of_files = name;
	GIVES(FAILED, rp_export(l->stage.store, l->points[2], out, options, NULL, &err));
	EXPECT_EQ(err.os_error, EMFILE, "%s", err.message);
	short_of_files = NULL;
}

/* It is told as what it is, not as a state of the base's export. */
TEST_F(no_base, a_shortage_says_nothing_of_the_base)
{
	static const enum rp_format formats[] = {RP_FORMAT_RAW, RP_FORMAT_QCOW2};
	const struct links *l = &self->l;

	for (size_t k = 0; k < ARRAY_SIZE(formats); k++) {
		struct rp_export_options options = stage_copying(RP_IO_AUTO);
		const char *out = fmt("%s/out%zu", test_dir(), k);
		struct rp_error err;

		ASSERT_OK(mkdir(out, 0755));
		options.format = formats[k];
		for (unsigned i = 0; i < 2; i++) {
			options.base = i ? l->points[0] : NULL;
			GIVES(OK, rp_export(l->stage.store, l->points[i], out, &options,
					    NULL, &err));
		}
		options.base = l->points[1];
		for (unsigned strict = 0; strict < 2; strict++) {
			options.strict = strict;
			expect_shortage(l, "vda.changes", out, &options);
			expect_shortage(l, stage_export_path(out, l->points[1]), out,
					&options);
		}
		GIVES(OK,
		      rp_export(l->stage.store, l->points[2], out, &options, NULL, &err));
	}
}

/* Nor of the digests that are all there is of one that was released. */
TEST_F(no_base, a_shortage_says_nothing_of_its_digests)
{
	struct rp_export_options options = stage_copying(RP_IO_AUTO);
	const struct links *l = &self->l;
	const char *out = fmt("%s/out", test_dir());
	struct rp_error err;

	ASSERT_OK(mkdir(out, 0755));
	GIVES(OK, rp_release(l->stage.store, l->points[1], NULL, &err));
	options.base = l->points[1];
	expect_shortage(l, "vda.digest", out, &options);
	options.strict = true;
	expect_shortage(l, "vda.digest", out, &options);
}

/* One disk has no base, the other has: each as it can be, or strictly neither. */
TEST_F(no_base, a_new_disk)
{
	struct heard heard = {0};
	const struct rp_watch watch = hear_into(&heard);
	struct rp_export_options options = stage_copying(RP_IO_AUTO);
	const char *path = fmt("%s/systems/web1/system.json", self->l.stage.path);
	const char *vdb = fmt("%s/vdb.img", test_dir());
	const char *export, *output = fmt("%s/restored", test_dir());
	json_t *doc = load_json(path), *manifest;
	char point[POINT_SIZE];
	struct rp_error err;

	data_create_random(vdb, 3 * MIB + 7, 5, 9);
	json_array_append_new(json_object_get(doc, "Disks"),
			      json_pack("{s:s, s:s}", "DiskId", "vdb", "Path", vdb));
	save_json(path, doc);
	stage_take(&self->l.stage, point);
	export = stage_export_path(self->l.stage.exports, point);
	options.base = self->l.points[2];
	options.strict = true;
	GIVES(INVALID_STATE, rp_export(self->l.stage.store, point, self->l.stage.exports,
				       &options, NULL, &err));
	EXPECT_STREQ(err.disk, "vdb");
	EXPECT_FALSE(exists(export));
	stage_expect_idle(&self->l.stage);
	options.strict = false;
	options.watch = &watch;
	ASSERT_EQ(rp_export(self->l.stage.store, point, self->l.stage.exports, &options,
			    NULL, &err),
		  RP_OK, "%s", err.message);
	EXPECT_EQ(heard.count, 1);
	EXPECT_NE(strstr(heard.last, "vdb"), NULL, "%s", heard.last);
	manifest = load_json(fmt("%s/export.json", export));
	EXPECT_STREQ(json_text(manifest, "Kind"), "differential");
	EXPECT_TRUE(json_is_object(json_object_get(disk_of(manifest, "vda"), "Changes")));
	EXPECT_TRUE(json_is_null(json_object_get(disk_of(manifest, "vdb"), "Changes")));
	json_decref(manifest);
	EXPECT_EQ(rp_restore(export, "vdb", output, NULL, NULL, &err), RP_OK, "%s",
		  err.message);
	EXPECT_TRUE(data_same(vdb, output));
	/* It is looked at before it becomes a part of a whole export. */
	data_flip(fmt("%s/vdb.raw", export), 2 * MIB + 5);
	GIVES(FAILED, rp_merge(export, NULL, NULL, &err));
	EXPECT_STREQ(err.disk, "vdb");
	data_flip(fmt("%s/vdb.raw", export), 2 * MIB + 5);
	/* The whole one does not need what the other one does. */
	remove_tree(self->l.paths[0]);
	ASSERT_OK(unlink(output));
	EXPECT_EQ(rp_restore(export, "vdb", output, NULL, NULL, &err), RP_OK, "%s",
		  err.message);
	EXPECT_EQ(rp_restore(export, "vda", fmt("%s/no", test_dir()), NULL, NULL, &err),
		  RP_NOT_AVAILABLE);
}

TEST_MAIN
