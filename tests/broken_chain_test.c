/* SPDX-License-Identifier: MIT */
/*
 * broken_chain_test.c - a chain with a part that is missing, damaged or another one is
 * refused and the part is named, whatever was asked for; and what is no base is none
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "data.h"
#include "engine/chain_disk.h"
#include "engine_fixture.h"
#include "harness.h"

#define SIZE  (6 * MIB + 4096)
#define LINKS 3

FIXTURE(broken)
{
	struct stage stage;
	char points[LINKS][POINT_SIZE];
	char paths[LINKS][PATH_MAX]; /* of the exports: full, differential, differential
				      */
};

static void write_disk(const struct broken_fixture *self, uint64_t seed, uint64_t start,
		       uint64_t len)
{
	int fd = open(self->stage.disk, O_RDWR | O_CLOEXEC);

	ASSERT_GE(fd, 0);
	data_write(fd, seed, start, len);
	close(fd);
}

FIXTURE_SETUP(broken)
{
	struct rp_export_options options = stage_copying(RP_IO_AUTO);
	struct rp_error err;

	stage_make(&self->stage, test_dir(), SIZE, 1);
	for (unsigned i = 0; i < LINKS; i++) {
		if (i)
			write_disk(self, 100 + i, i * MIB + 5, 70000);
		stage_take(&self->stage, self->points[i]);
		options.base = i ? self->points[i - 1] : NULL;
		ASSERT_EQ(rp_export(self->stage.store, self->points[i],
				    self->stage.exports, &options, NULL, &err),
			  RP_OK, "%s", err.message);
		snprintf(self->paths[i], PATH_MAX, "%s",
			 stage_export_path(self->stage.exports, self->points[i]));
	}
}

FIXTURE_TEARDOWN(broken)
{
	stage_close(&self->stage);
}

static const char *id_of(const struct broken_fixture *self, unsigned link)
{
	return strchr(self->points[link], '@') + 1;
}

/* Nothing can be made of the last link; the error has @what in it. */
static void expect_broken(const struct broken_fixture *self, uint32_t code,
			  const char *what, bool data)
{
	struct rp_read_options options = {.size = sizeof(options), .chain = true};
	const char *folder = fmt("%s/restored", test_dir());
	struct rp_error err;

	EXPECT_EQ(rp_verify(self->paths[2], &options, NULL, &err), code, "%s: %s", what,
		  err.message);
	EXPECT_NE(strstr(err.message, what), NULL, "%s: %s", what, err.message);
	EXPECT_STREQ(err.system, "web1");
	options.chain = false; /* the bases' data is not read then */
	EXPECT_EQ(rp_verify(self->paths[2], &options, NULL, &err), data ? RP_OK : code,
		  "%s: %s", what, err.message);
	ASSERT_OK(mkdir(folder, 0755));
	EXPECT_EQ(rp_restore(self->paths[2], "vda", fmt("%s/vda", folder), NULL, NULL,
			     &err),
		  code, "%s: %s", what, err.message);
	EXPECT_NE(strstr(err.message, what), NULL, "%s: %s", what, err.message);
	EXPECT_STREQ(listing(folder), "", "%s", what);
	ASSERT_OK(rmdir(folder));
	EXPECT_EQ(rp_merge(self->paths[2], NULL, NULL, &err), code, "%s: %s", what,
		  err.message);
	EXPECT_NE(strstr(err.message, what), NULL, "%s: %s", what, err.message);
	EXPECT_EQ(strstr(listing(fmt("%s/web1", self->stage.exports)), ".merging"), NULL);
}

static void expect_whole(const struct broken_fixture *self,
			 const struct rp_read_options *options)
{
	const char *output = fmt("%s/whole", test_dir());
	struct rp_error err;

	EXPECT_EQ(rp_verify(self->paths[2], options, NULL, &err), RP_OK, "%s",
		  err.message);
	EXPECT_EQ(rp_restore(self->paths[2], "vda", output, options, NULL, &err), RP_OK,
		  "%s", err.message);
	EXPECT_TRUE(data_same(output, self->stage.disk));
	ASSERT_OK(unlink(output));
}

/* What verify says it has compared of part @i. */
static const char *compared(const struct broken_fixture *self, size_t i, bool chain)
{
	const struct rp_read_options options = {.size = sizeof(options), .chain = chain};
	const char *text;
	struct rp_error err;
	json_t *report;
	char *json;

	ASSERT_EQ(rp_verify(self->paths[2], &options, &json, &err), RP_OK, "%s",
		  err.message);
	report = take_json(json);
	text = fmt("%s", json_text(json_array_get(json_object_get(report, "Chain"), i),
				   "Compared"));
	json_decref(report);
	return text;
}

TEST_F(broken, no_part_is_said_to_be_compared_that_was_not)
{
	const char *path = fmt("%s/export.json", self->paths[1]);
	json_t *manifest = load_json(path);

	for (size_t i = 0; i < LINKS; i++) {
		EXPECT_STREQ(compared(self, i, true), "digest");
		EXPECT_STREQ(compared(self, i, false), i ? "unread" : "digest");
	}
	json_object_set_new(json_array_get(json_object_get(manifest, "Disks"), 0),
			    "Digest", json_null());
	save_json(path, manifest);
	EXPECT_STREQ(compared(self, 0, true), "digest");
	EXPECT_STREQ(compared(self, 1, true), "size");
	EXPECT_STREQ(compared(self, 1, false), "size");
	EXPECT_STREQ(compared(self, 2, true), "digest");
}

static int cut_base(void *context, const struct rp_progress *progress)
{
	if (!strcmp(progress->phase, "copying"))
		ASSERT_OK(truncate(context, 65536));
	return 0;
}

/* After it was checked, and while it is read: the rest would pass as a hole. */
TEST_F(broken, a_part_is_cut_while_it_is_read)
{
	char base[PATH_MAX + 8], folder[PATH_MAX], output[PATH_MAX + 4];
	const struct rp_watch watch = {
		.size = sizeof(watch), .context = base, .progress = cut_base};
	struct rp_read_options options = {.size = sizeof(options), .watch = &watch};
	struct rp_error err;

	snprintf(base, sizeof(base), "%s/vda.raw", self->paths[0]);
	snprintf(folder, sizeof(folder), "%s/restored", test_dir());
	snprintf(output, sizeof(output), "%s/vda", folder);
	ASSERT_OK(mkdir(folder, 0755));
	for (unsigned turn = 0; turn < 3; turn++) {
		ASSERT_EQ(system(fmt("cp '%s' '%s/aside'", base, test_dir())), 0);
		EXPECT_EQ(turn == 1 ? rp_merge(self->paths[2], &options, NULL, &err)
				    : rp_restore(self->paths[turn ? 0 : 2], "vda", output,
						 &options, NULL, &err),
			  RP_FAILED, "%u: %s", turn, err.message);
		EXPECT_NE(strstr(err.message, "No data"), NULL, "%u: %s", turn,
			  err.message);
		EXPECT_STREQ(err.disk, "vda");
		EXPECT_STREQ(listing(folder), "");
		EXPECT_EQ(
			strstr(listing(fmt("%s/web1", self->stage.exports)), ".merging"),
			NULL);
		ASSERT_OK(rename(fmt("%s/aside", test_dir()), base));
	}
}

TEST_F(broken, a_part_is_missing)
{
	for (unsigned i = 0; i < 2; i++) {
		ASSERT_OK(rename(self->paths[i], fmt("%s/aside", test_dir())));
		expect_broken(self, RP_NOT_AVAILABLE, id_of(self, i), false);
		ASSERT_OK(rename(fmt("%s/aside", test_dir()), self->paths[i]));
	}
	expect_whole(self, NULL);
}

/* It is found where one says, as DIR/SYSTEM/ID and as DIR/ID; a bad one is passed by. */
TEST_F(broken, a_part_is_elsewhere)
{
	const char *search[] = {fmt("%s/there", test_dir()), fmt("%s/aside", test_dir())};
	const char *relative[] = {"aside"};
	struct rp_read_options options = {
		.size = sizeof(options), .search = search, .search_count = 2};
	struct rp_error err;

	ASSERT_OK(mkdir(search[0], 0755));
	ASSERT_OK(mkdir(fmt("%s/web1", search[0]), 0755));
	ASSERT_OK(mkdir(search[1], 0755));
	ASSERT_OK(rename(self->paths[0], fmt("%s/web1/%s", search[0], id_of(self, 0))));
	ASSERT_OK(rename(self->paths[1], fmt("%s/%s", search[1], id_of(self, 1))));
	expect_whole(self, &options);
	/* The one in the middle only: the first is beside the last. */
	ASSERT_OK(rename(fmt("%s/web1/%s", search[0], id_of(self, 0)), self->paths[0]));
	options.search = search + 1;
	options.search_count = 1;
	expect_whole(self, &options);
	ASSERT_OK(rename(self->paths[0], fmt("%s/web1/%s", search[0], id_of(self, 0))));
	options.search = search;
	options.search_count = 2;
	ASSERT_OK(mkdir(self->paths[1], 0755));
	save_text(fmt("%s/export.json", self->paths[1]), "no");
	expect_whole(self, &options);
	options.search = relative;
	options.search_count = 1;
	GIVES(INVALID_PARAMETER, rp_verify(self->paths[2], &options, NULL, &err));
	options.search = NULL;
	GIVES(INVALID_PARAMETER, rp_verify(self->paths[2], &options, NULL, &err));
}

TEST_F(broken, a_part_is_damaged)
{
	for (unsigned i = 0; i < 2; i++) {
		const char *image = fmt("%s/vda.raw", self->paths[i]);

		data_flip(image, i * MIB + 100);
		expect_broken(self, RP_FAILED, image, true);
		data_flip(image, i * MIB + 100);
		save_text(fmt("%s/aside", test_dir()), "");
		ASSERT_OK(rename(fmt("%s/export.json", self->paths[i]),
				 fmt("%s/aside", test_dir())));
		save_text(fmt("%s/export.json", self->paths[i]), "{}");
		expect_broken(self, RP_UNKNOWN_STATUS, self->paths[i], false);
		ASSERT_OK(rename(fmt("%s/aside", test_dir()),
				 fmt("%s/export.json", self->paths[i])));
	}
	expect_whole(self, NULL);
}

TEST_F(broken, the_list_is_damaged)
{
	for (unsigned i = 1; i < LINKS; i++) {
		const char *list = fmt("%s/vda.changes", self->paths[i]);
		const char *other = fmt("%s/vda.changes", self->paths[3 - i]);

		data_flip(list, 100);
		expect_broken(self, RP_UNKNOWN_STATUS, list, false);
		data_flip(list, 100);
		ASSERT_OK(rename(list, fmt("%s/aside", test_dir())));
		expect_broken(self, RP_NOT_AVAILABLE, list, false);
		ASSERT_EQ(system(fmt("cp '%s' '%s'", other, list)), 0);
		expect_broken(self, RP_UNKNOWN_STATUS, list, false);
		ASSERT_OK(rename(fmt("%s/aside", test_dir()), list));
	}
	expect_whole(self, NULL);
}

/* A base that is another export, renamed. */
TEST_F(broken, a_part_is_another)
{
	char other[POINT_SIZE];
	struct rp_export_options options = stage_copying(RP_IO_AUTO);
	struct rp_error err;

	stage_take(&self->stage, other);
	ASSERT_EQ(rp_export(self->stage.store, other, self->stage.exports, &options, NULL,
			    &err),
		  RP_OK, "%s", err.message);
	remove_tree(self->paths[0]);
	ASSERT_OK(rename(stage_export_path(self->stage.exports, other), self->paths[0]));
	expect_broken(self, RP_UNKNOWN_STATUS, self->paths[0], false);
}

static void set_member(const char *path, const char *key, json_t *value)
{
	json_t *doc = load_json(path);

	json_object_set_new(doc, key, value);
	save_json(path, doc);
}

TEST_F(broken, a_cycle)
{
	const char *path = fmt("%s/export.json", self->paths[0]);
	json_t *doc = load_json(fmt("%s/export.json", self->paths[1]));

	set_member(path, "Kind", json_string("differential"));
	set_member(path, "BaseReferencePointId", json_string(id_of(self, 2)));
	set_member(path, "Disks", json_incref(json_object_get(doc, "Disks")));
	json_decref(doc);
	expect_broken(self, RP_UNKNOWN_STATUS, self->paths[0], false);
	set_member(path, "BaseReferencePointId", json_string(id_of(self, 0)));
	expect_broken(self, RP_UNKNOWN_STATUS, self->paths[0], false);
}

TEST_F(broken, a_size_does_not_fit)
{
	const char *path = fmt("%s/export.json", self->paths[0]);
	json_t *doc = load_json(path);
	json_t *disk = disk_of(doc, "vda");

	ASSERT_OK(truncate(fmt("%s/vda.raw", self->paths[0]), SIZE - 4096));
	json_object_set_new(disk, "VirtualSize", json_integer(SIZE - 4096));
	json_object_set_new(disk, "Digest", json_null());
	save_json(path, doc);
	expect_broken(self, RP_UNKNOWN_STATUS, "made for a base of", false);
}

TEST_F(broken, another_system)
{
	set_member(fmt("%s/export.json", self->paths[0]), "VirtualSystemIdentifier",
		   json_string("web2"));
	expect_broken(self, RP_UNKNOWN_STATUS, "another virtual system", false);
}

/* A bit of a word in the manifest; twice, and nothing has happened. */
static void flip_word(const char *path, const char *word)
{
	char text[65536] = "", *at;
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	ASSERT_GT(read(fd, text, sizeof(text) - 1), 0);
	close(fd);
	at = strstr(text, word);
	ASSERT_NE(at, NULL);
	data_flip(path, (uint64_t)(at - text));
}

/* It is another member then: the disk would be a whole one, with holes in it. */
TEST_F(broken, the_word_changes_is_damaged)
{
	const char *path = fmt("%s/export.json", self->paths[1]);
	const char *output = fmt("%s/restored", test_dir());
	struct rp_error err;

	flip_word(path, "Changes\"");
	expect_broken(self, RP_UNKNOWN_STATUS, self->paths[1], false);
	GIVES(UNKNOWN_STATUS, rp_verify(self->paths[1], NULL, NULL, &err));
	GIVES(UNKNOWN_STATUS,
	      rp_restore(self->paths[1], "vda", output, NULL, NULL, &err));
	EXPECT_FALSE(exists(output));
	flip_word(path, "Bhanges\"");
	expect_whole(self, NULL);
}

/* --------------------------------------------------------------------------- salvage */

static uint64_t salvage(const struct broken_fixture *self)
{
	return stage_salvage(self->paths[2], self->stage.disk);
}

TEST_F(broken, salvaged)
{
	char *aside = strdup(fmt("%s/aside", test_dir()));
	int fd;

	EXPECT_EQ(salvage(self), 0);
	/* A chunk of the full export, and one of each differential. */
	data_flip(fmt("%s/vda.raw", self->paths[0]), 3 * MIB);
	EXPECT_EQ(salvage(self), 64 * KIB);
	data_flip(fmt("%s/vda.raw", self->paths[1]), MIB + 70000);
	EXPECT_LE(salvage(self), 2 * 64 * KIB);
	EXPECT_GT(salvage(self), 64 * KIB);
	data_flip(fmt("%s/vda.raw", self->paths[2]), 2 * MIB + 70000);
	EXPECT_LE(salvage(self), 3 * 64 * KIB);
	/* Data that has become a hole. */
	fd = open(fmt("%s/vda.raw", self->paths[0]), O_RDWR | O_CLOEXEC);
	ASSERT_OK(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 4 * MIB,
			    64 * KIB));
	close(fd);
	EXPECT_GT(salvage(self), 2 * 64 * KIB);
	EXPECT_LE(salvage(self), 4 * 64 * KIB);
	/* Without the one in the middle nothing below it counts: it would be too old. */
	ASSERT_OK(rename(self->paths[1], aside));
	EXPECT_GT(salvage(self), SIZE - 3 * 64 * KIB);
	ASSERT_OK(rename(aside, self->paths[1]));
	ASSERT_OK(unlink(fmt("%s/vda.changes", self->paths[1])));
	EXPECT_GT(salvage(self), SIZE - 3 * 64 * KIB);
	free(aside);
}

/* Who does not want to know why need not. */
TEST_F(broken, without_an_error)
{
	ASSERT_OK(unlink(fmt("%s/vda.raw", self->paths[1])));
	EXPECT_EQ(rp_verify(self->paths[2], NULL, NULL, NULL), RP_NOT_AVAILABLE);
	EXPECT_EQ(rp_restore(self->paths[2], "vda", fmt("%s/vda", test_dir()), NULL, NULL,
			     NULL),
		  RP_NOT_AVAILABLE);
	EXPECT_EQ(rp_merge(self->paths[2], NULL, NULL, NULL), RP_NOT_AVAILABLE);
}

/* The part that is missing never had more of the disk than there was of it. */
TEST(salvaged_of_a_disk_that_grew)
{
	struct rp_export_options options = stage_copying(RP_IO_AUTO);
	char base[POINT_SIZE];
	struct rp_error err;
	struct stage s;

	stage_make(&s, test_dir(), MIB, test_seed());
	GIVES(OK, stage_export(&s, &options, &err));
	memcpy(base, s.point, sizeof(base));
	ASSERT_OK(truncate(s.disk, 64 * MIB));
	stage_take(&s, s.point);
	options.base = base;
	GIVES(OK, stage_export(&s, &options, &err));
	remove_tree(stage_export_path(s.exports, base));
	EXPECT_EQ(stage_salvage(stage_export_path(s.exports, s.point), s.disk), MIB);
	stage_close(&s);
}

/* What is there is not taken for lost because there is no descriptor to look at it. */
TEST_F(broken, is_not_for_want_of_descriptors)
{
	int free = fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 0);
	uint32_t rc = RP_FAILED;

	close(free);
	for (int more = 0; rc && more < 100; more++) {
		rlim_t limit = limit_files(getpid(), (rlim_t)(free + more));
		struct chain_disk disk = {0};
		struct chain chain = {0};
		struct rp_error cut, err;

		rp_error_clear(&cut);
		rc = chain_open_some(self->paths[2], "vda", NULL, 0, &chain, &cut, &err);
		if (rc == RP_OK)
			rc = chain_disk_open_some(&chain, "vda", &disk, &cut, &err);
		limit_files(getpid(), limit);
		EXPECT_EQ(cut.code, RP_OK, "%d: %s", more, cut.message);
		if (rc)
			EXPECT_EQ(err.os_error, EMFILE, "%d: %s", more, err.message);
		else
			EXPECT_EQ(disk.count, LINKS);
		for (size_t i = 0; rc == RP_OK && i < disk.count; i++)
			EXPECT_GE(disk.layer[i]->file.tail_fd, 0, "%d", more);
		chain_disk_close(&disk);
		chain_close(&chain);
	}
	EXPECT_EQ(rc, RP_OK);
}

/* By a byte, as a file system's repair does it: the rest of it counts. */
TEST_F(broken, salvaged_from_what_was_cut)
{
	const char *full = fmt("%s/vda.raw", self->paths[0]);
	const char *tip = fmt("%s/vda.raw", self->paths[2]);

	ASSERT_OK(truncate(full, SIZE + 1));
	EXPECT_EQ(salvage(self), 0);
	ASSERT_OK(truncate(full, SIZE - 1));
	EXPECT_LE(salvage(self), SIZE / 4); /* behind the last data of it */
	ASSERT_OK(truncate(tip, SIZE - 1));
	EXPECT_LE(salvage(self), SIZE / 4);
	ASSERT_OK(truncate(tip, 2 * MIB));
	EXPECT_GT(salvage(self), 64 * KIB);
	EXPECT_LE(salvage(self), SIZE / 4 + 2 * 64 * KIB);
}

/* Its list tells what it had: no more is lost, and what is below counts. */
TEST_F(broken, salvaged_without_a_file)
{
	ASSERT_OK(unlink(fmt("%s/vda.raw", self->paths[1])));
	EXPECT_GT(salvage(self), 64 * KIB);
	EXPECT_LE(salvage(self), 2 * 64 * KIB);
	ASSERT_OK(unlink(fmt("%s/vda.raw", self->paths[2])));
	EXPECT_GT(salvage(self), 2 * 64 * KIB);
	EXPECT_LE(salvage(self), 4 * 64 * KIB);
	ASSERT_OK(unlink(fmt("%s/vda.raw", self->paths[0])));
	EXPECT_EQ(salvage(self), SIZE);
}

TEST_F(broken, config_file)
{
	struct rp_read_options options = {.size = sizeof(options), .chain = true};
	struct rp_error err;

	ASSERT_OK(unlink(fmt("%s/config/web1.xml", self->paths[1])));
	GIVES(OK, rp_verify(self->paths[2], NULL, NULL, &err));
	GIVES(NOT_AVAILABLE, rp_verify(self->paths[2], &options, NULL, &err));
	EXPECT_NE(strstr(err.message, self->paths[1]), NULL, "%s", err.message);
}

/* ----------------------------------------------------------------- what is no base */

static int warnings;
static char warned[512];

static void count_warning(void *context, const char *text)
{
	(void)context;
	warnings++;
	snprintf(warned, sizeof(warned), "%s", text);
}

TEST_F(broken, no_base)
{
	struct rp_export_options options = stage_copying(RP_IO_AUTO);
	const struct rp_disk disk = {"vda", self->stage.disk};
	const struct rp_create_options create = {.size = sizeof(create),
						 .allow_copy = true};
	const char *out = fmt("%s/out", test_dir());
	struct rp_error err;
	char *other;

	ASSERT_OK(mkdir(out, 0755));
	ASSERT_EQ(rp_system_add(self->stage.store, "db1", &disk, 1, NULL, 0, &err),
		  RP_OK);
	ASSERT_EQ(rp_create_reference_point(self->stage.store, "db1", &create, &other,
					    &err),
		  RP_OK);
	options.base = other;
	GIVES(INVALID_STATE,
	      rp_export(self->stage.store, self->points[1], out, &options, NULL, &err));
	options.base = self->points[1];
	GIVES(INVALID_STATE,
	      rp_export(self->stage.store, self->points[1], out, &options, NULL, &err));
	options.base = self->points[2];
	GIVES(INVALID_STATE,
	      rp_export(self->stage.store, self->points[1], out, &options, NULL, &err));
	options.base = "web1@abcd1234";
	GIVES(NOT_AVAILABLE,
	      rp_export(self->stage.store, self->points[1], out, &options, NULL, &err));
	options.base = "web1";
	GIVES(INVALID_PARAMETER,
	      rp_export(self->stage.store, self->points[1], out, &options, NULL, &err));
	EXPECT_STREQ(listing(out), "");
	stage_expect_idle(&self->stage);
	rp_free(other);
}

/* It is made, as its base may be somewhere else, but not without a word. */
TEST_F(broken, a_base_that_is_not_beside_it)
{
	static const struct rp_watch watch = {.size = sizeof(watch),
					      .warning = count_warning};
	struct rp_export_options options = stage_copying(RP_IO_AUTO);
	const char *out = fmt("%s/out", test_dir());
	char base[PATH_MAX], path[PATH_MAX];

	snprintf(base, sizeof(base), "%s", stage_export_path(out, self->points[0]));
	snprintf(path, sizeof(path), "%s", stage_export_path(out, self->points[1]));
	ASSERT_OK(mkdir(out, 0755));
	options.base = self->points[0];
	options.watch = &watch;
	for (unsigned i = 0; i < 3; i++) {
		struct rp_error err;
		char *report;
		json_t *doc;

		if (i) { /* another one in its place, then the base itself */
			ASSERT_EQ(system(fmt("rm -rf '%s' '%s' && cp -a '%s' '%s'", base,
					     path, self->paths[i == 1 ? 2 : 0], base)),
				  0);
		}
		warnings = 0;
		ASSERT_EQ(rp_export(self->stage.store, self->points[1], out, &options,
				    &report, &err),
			  RP_OK, "%s", err.message);
		doc = take_json(report);
		EXPECT_EQ(json_array_size(json_object_get(doc, "Warnings")), warnings);
		json_decref(doc);
		EXPECT_EQ(warnings, i == 2 ? 0 : 1, "%s", warned);
		if (warnings)
			EXPECT_STREQ(warned,
				     fmt("disk vda: only what has changed since %s is "
					 "exported; to restore it the export of that is "
					 "needed, too, and it is not at %s",
					 self->points[0], base));
	}
}

/* Nor is it if the base is there and can be restored no more; and an image of it could
 * not even be opened. */
TEST_F(broken, a_base_that_lacks_its_own)
{
	static const struct rp_watch watch = {.size = sizeof(watch),
					      .warning = count_warning};
	static const enum rp_format formats[] = {RP_FORMAT_RAW, RP_FORMAT_QCOW2};

	for (size_t k = 0; k < ARRAY_SIZE(formats); k++) {
		struct rp_export_options options = stage_copying(RP_IO_AUTO);
		bool raw = formats[k] == RP_FORMAT_RAW;
		const char *out = fmt("%s/out%zu", test_dir(), k), *path;
		struct rp_error err;

		ASSERT_OK(mkdir(out, 0755));
		options.format = formats[k];
		for (unsigned i = 0; i < 2; i++) {
			options.base = i ? self->points[0] : NULL;
			GIVES(OK, rp_export(self->stage.store, self->points[i], out,
					    &options, NULL, &err));
		}
		remove_tree(stage_export_path(out, self->points[0]));
		options.base = self->points[1];
		options.watch = &watch;
		options.strict = true;
		warnings = 0;
		EXPECT_EQ(rp_export(self->stage.store, self->points[2], out, &options,
				    NULL, &err),
			  RP_INVALID_STATE, "%s", err.message);
		EXPECT_STREQ(err.disk, "vda");
		EXPECT_EQ(warnings, 0);
		path = stage_export_path(out, self->points[2]);
		options.strict = false;
		GIVES(OK, rp_export(self->stage.store, self->points[2], out, &options,
				    NULL, &err));
		EXPECT_EQ(warnings, 1, "%s", warned);
		EXPECT_NE(strstr(warned, raw ? "not found beside it"
					     : "or what that needs, cannot be read"),
			  NULL, "%s", warned);
		EXPECT_EQ(rp_restore(path, "vda", fmt("%s/whole%zu", test_dir(), k), NULL,
				     NULL, &err),
			  raw ? RP_NOT_AVAILABLE : RP_OK, "%s", err.message);
	}
}

/* One disk has no base, the other has: each as it can be, or strictly neither. */
TEST_F(broken, a_new_disk)
{
	static const struct rp_watch watch = {.size = sizeof(watch),
					      .warning = count_warning};
	struct rp_export_options options = stage_copying(RP_IO_AUTO);
	const char *path = fmt("%s/systems/web1/system.json", self->stage.path);
	const char *vdb = fmt("%s/vdb.img", test_dir());
	const char *export, *output = fmt("%s/restored", test_dir());
	json_t *doc = load_json(path), *manifest;
	char point[POINT_SIZE];
	struct rp_error err;

	data_create_random(vdb, 3 * MIB + 7, 5, 9);
	json_array_append_new(json_object_get(doc, "Disks"),
			      json_pack("{s:s, s:s}", "DiskId", "vdb", "Path", vdb));
	save_json(path, doc);
	stage_take(&self->stage, point);
	export = stage_export_path(self->stage.exports, point);
	options.base = self->points[2];
	options.strict = true;
	GIVES(INVALID_STATE, rp_export(self->stage.store, point, self->stage.exports,
				       &options, NULL, &err));
	EXPECT_STREQ(err.disk, "vdb");
	EXPECT_FALSE(exists(export));
	stage_expect_idle(&self->stage);
	options.strict = false;
	options.watch = &watch;
	warnings = 0;
	ASSERT_EQ(rp_export(self->stage.store, point, self->stage.exports, &options, NULL,
			    &err),
		  RP_OK, "%s", err.message);
	EXPECT_EQ(warnings, 1);
	EXPECT_NE(strstr(warned, "vdb"), NULL, "%s", warned);
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
	remove_tree(self->paths[0]);
	ASSERT_OK(unlink(output));
	EXPECT_EQ(rp_restore(export, "vdb", output, NULL, NULL, &err), RP_OK, "%s",
		  err.message);
	EXPECT_EQ(rp_restore(export, "vda", fmt("%s/no", test_dir()), NULL, NULL, &err),
		  RP_NOT_AVAILABLE);
}

TEST_MAIN
