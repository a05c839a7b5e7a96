/* SPDX-License-Identifier: MIT */
/*
 * broken_chain_test.c - a chain with a part that is missing, damaged or another one is
 * refused and the part is named, whatever was asked for
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "data.h"
#include "engine_fixture.h"
#include "harness.h"
#include "links.h"

FIXTURE(broken)
{
	struct links l;
};

FIXTURE_SETUP(broken)
{
	links_make(&self->l);
}

FIXTURE_TEARDOWN(broken)
{
	links_close(&self->l);
}

static const char *id_of(const struct broken_fixture *self, unsigned link)
{
	return strchr(self->l.points[link], '@') + 1;
}

/* Nothing can be made of the last link; the error has @what in it. */
static void expect_broken(const struct broken_fixture *self, uint32_t code,
			  const char *what, bool data)
{
	struct rp_read_options options = {.size = sizeof(options), .chain = true};
	const char *folder = fmt("%s/restored", test_dir());
	struct rp_error err;

	EXPECT_EQ(rp_verify(self->l.paths[2], &options, NULL, &err), code, "%s: %s", what,
		  err.message);
	EXPECT_NE(strstr(err.message, what), NULL, "%s: %s", what, err.message);
	EXPECT_STREQ(err.system, "web1");
	options.chain = false; /* the bases' data is not read then */
	EXPECT_EQ(rp_verify(self->l.paths[2], &options, NULL, &err), data ? RP_OK : code,
		  "%s: %s", what, err.message);
	ASSERT_OK(mkdir(folder, 0755));
	EXPECT_EQ(rp_restore(self->l.paths[2], "vda", fmt("%s/vda", folder), NULL, NULL,
			     &err),
		  code, "%s: %s", what, err.message);
	EXPECT_NE(strstr(err.message, what), NULL, "%s: %s", what, err.message);
	EXPECT_STREQ(listing(folder), "", "%s", what);
	ASSERT_OK(rmdir(folder));
	EXPECT_EQ(rp_merge(self->l.paths[2], NULL, NULL, &err), code, "%s: %s", what,
		  err.message);
	EXPECT_NE(strstr(err.message, what), NULL, "%s: %s", what, err.message);
	EXPECT_EQ(strstr(listing(fmt("%s/web1", self->l.stage.exports)), ".merging"),
		  NULL);
}

static void expect_whole(const struct broken_fixture *self,
			 const struct rp_read_options *options)
{
	const char *output = fmt("%s/whole", test_dir());
	struct rp_error err;

	EXPECT_EQ(rp_verify(self->l.paths[2], options, NULL, &err), RP_OK, "%s",
		  err.message);
	EXPECT_EQ(rp_restore(self->l.paths[2], "vda", output, options, NULL, &err), RP_OK,
		  "%s", err.message);
	EXPECT_TRUE(data_same(output, self->l.stage.disk));
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

	ASSERT_EQ(rp_verify(self->l.paths[2], &options, &json, &err), RP_OK, "%s",
		  err.message);
	report = take_json(json);
	text = fmt("%s", json_text(json_array_get(json_object_get(report, "Chain"), i),
				   "Compared"));
	json_decref(report);
	return text;
}

TEST_F(broken, no_part_is_said_to_be_compared_that_was_not)
{
	const char *path = fmt("%s/export.json", self->l.paths[1]);
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

	snprintf(base, sizeof(base), "%s/vda.raw", self->l.paths[0]);
	snprintf(folder, sizeof(folder), "%s/restored", test_dir());
	snprintf(output, sizeof(output), "%s/vda", folder);
	ASSERT_OK(mkdir(folder, 0755));
	for (unsigned turn = 0; turn < 3; turn++) {
		ASSERT_EQ(system(fmt("cp '%s' '%s/aside'", base, test_dir())), 0);
		EXPECT_EQ(turn == 1 ? rp_merge(self->l.paths[2], &options, NULL, &err)
				    : rp_restore(self->l.paths[turn ? 0 : 2], "vda",
						 output, &options, NULL, &err),
			  RP_FAILED, "%u: %s", turn, err.message);
		EXPECT_NE(strstr(err.message, "No data"), NULL, "%u: %s", turn,
			  err.message);
		EXPECT_STREQ(err.disk, "vda");
		EXPECT_STREQ(listing(folder), "");
		EXPECT_EQ(strstr(listing(fmt("%s/web1", self->l.stage.exports)),
				 ".merging"),
			  NULL);
		ASSERT_OK(rename(fmt("%s/aside", test_dir()), base));
	}
}

TEST_F(broken, a_part_is_missing)
{
	for (unsigned i = 0; i < 2; i++) {
		ASSERT_OK(rename(self->l.paths[i], fmt("%s/aside", test_dir())));
		expect_broken(self, RP_NOT_AVAILABLE, id_of(self, i), false);
		ASSERT_OK(rename(fmt("%s/aside", test_dir()), self->l.paths[i]));
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
	ASSERT_OK(rename(self->l.paths[0], fmt("%s/web1/%s", search[0], id_of(self, 0))));
	ASSERT_OK(rename(self->l.paths[1], fmt("%s/%s", search[1], id_of(self, 1))));
	expect_whole(self, &options);
	/* The one in the middle only: the first is beside the last. */
	ASSERT_OK(rename(fmt("%s/web1/%s", search[0], id_of(self, 0)), self->l.paths[0]));
	options.search = search + 1;
	options.search_count = 1;
	expect_whole(self, &options);
	ASSERT_OK(rename(self->l.paths[0], fmt("%s/web1/%s", search[0], id_of(self, 0))));
	options.search = search;
	options.search_count = 2;
	ASSERT_OK(mkdir(self->l.paths[1], 0755));
	save_text(fmt("%s/export.json", self->l.paths[1]), "no");
	expect_whole(self, &options);
	options.search = relative;
	options.search_count = 1;
	GIVES(INVALID_PARAMETER, rp_verify(self->l.paths[2], &options, NULL, &err));
	options.search = NULL;
	GIVES(INVALID_PARAMETER, rp_verify(self->l.paths[2], &options, NULL, &err));
}

TEST_F(broken, a_part_is_damaged)
{
	for (unsigned i = 0; i < 2; i++) {
		const char *image = fmt("%s/vda.raw", self->l.paths[i]);

		data_flip(image, i * MIB + 100);
		expect_broken(self, RP_FAILED, image, true);
		data_flip(image, i * MIB + 100);
		save_text(fmt("%s/aside", test_dir()), "");
		ASSERT_OK(rename(fmt("%s/export.json", self->l.paths[i]),
				 fmt("%s/aside", test_dir())));
		save_text(fmt("%s/export.json", self->l.paths[i]), "{}");
		expect_broken(self, RP_UNKNOWN_STATUS, self->l.paths[i], false);
		ASSERT_OK(rename(fmt("%s/aside", test_dir()),
				 fmt("%s/export.json", self->l.paths[i])));
	}
	expect_whole(self, NULL);
}

TEST_F(broken, the_list_is_damaged)
{
	for (unsigned i = 1; i < LINKS; i++) {
		const char *list = fmt("%s/vda.changes", self->l.paths[i]);
		const char *other = fmt("%s/vda.changes", self->l.paths[3 - i]);

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

	stage_take(&self->l.stage, other);
	ASSERT_EQ(rp_export(self->l.stage.store, other, self->l.stage.exports, &options,
			    NULL, &err),
		  RP_OK, "%s", err.message);
	remove_tree(self->l.paths[0]);
	ASSERT_OK(rename(stage_export_path(self->l.stage.exports, other),
			 self->l.paths[0]));
	expect_broken(self, RP_UNKNOWN_STATUS, self->l.paths[0], false);
}

static void set_member(const char *path, const char *key, json_t *value)
{
	json_t *doc = load_json(path);

	json_object_set_new(doc, key, value);
	save_json(path, doc);
}

TEST_F(broken, a_cycle)
{
	const char *path = fmt("%s/export.json", self->l.paths[0]);
	json_t *doc = load_json(fmt("%s/export.json", self->l.paths[1]));

	set_member(path, "Kind", json_string("differential"));
	set_member(path, "BaseReferencePointId", json_string(id_of(self, 2)));
	set_member(path, "Disks", json_incref(json_object_get(doc, "Disks")));
	json_decref(doc);
	expect_broken(self, RP_UNKNOWN_STATUS, self->l.paths[0], false);
	set_member(path, "BaseReferencePointId", json_string(id_of(self, 0)));
	expect_broken(self, RP_UNKNOWN_STATUS, self->l.paths[0], false);
}

TEST_F(broken, a_size_does_not_fit)
{
	const char *path = fmt("%s/export.json", self->l.paths[0]);
	json_t *doc = load_json(path);
	json_t *disk = disk_of(doc, "vda");

	ASSERT_OK(truncate(fmt("%s/vda.raw", self->l.paths[0]), LINKS_SIZE - 4096));
	json_object_set_new(disk, "VirtualSize", json_integer(LINKS_SIZE - 4096));
	json_object_set_new(disk, "Digest", json_null());
	save_json(path, doc);
	expect_broken(self, RP_UNKNOWN_STATUS, "made for a base of", false);
}

TEST_F(broken, another_system)
{
	set_member(fmt("%s/export.json", self->l.paths[0]), "VirtualSystemIdentifier",
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
	const char *path = fmt("%s/export.json", self->l.paths[1]);
	const char *output = fmt("%s/restored", test_dir());
	struct rp_error err;

	flip_word(path, "Changes\"");
	expect_broken(self, RP_UNKNOWN_STATUS, self->l.paths[1], false);
	GIVES(UNKNOWN_STATUS, rp_verify(self->l.paths[1], NULL, NULL, &err));
	GIVES(UNKNOWN_STATUS,
	      rp_restore(self->l.paths[1], "vda", output, NULL, NULL, &err));
	EXPECT_FALSE(exists(output));
	flip_word(path, "Bhanges\"");
	expect_whole(self, NULL);
}

/* Who does not want to know why need not. */
TEST_F(broken, without_an_error)
{
	ASSERT_OK(unlink(fmt("%s/vda.raw", self->l.paths[1])));
	EXPECT_EQ(rp_verify(self->l.paths[2], NULL, NULL, NULL), RP_NOT_AVAILABLE);
	EXPECT_EQ(rp_restore(self->l.paths[2], "vda", fmt("%s/vda", test_dir()), NULL,
			     NULL, NULL),
		  RP_NOT_AVAILABLE);
	EXPECT_EQ(rp_merge(self->l.paths[2], NULL, NULL, NULL), RP_NOT_AVAILABLE);
}

TEST_F(broken, config_file)
{
	struct rp_read_options options = {.size = sizeof(options), .chain = true};
	struct rp_error err;

	ASSERT_OK(unlink(fmt("%s/config/web1.xml", self->l.paths[1])));
	GIVES(OK, rp_verify(self->l.paths[2], NULL, NULL, &err));
	GIVES(NOT_AVAILABLE, rp_verify(self->l.paths[2], &options, NULL, &err));
	EXPECT_NE(strstr(err.message, self->l.paths[1]), NULL, "%s", err.message);
}

TEST_MAIN
