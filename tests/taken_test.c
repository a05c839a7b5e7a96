/* SPDX-License-Identifier: MIT */
/*
 * taken_test.c - what may happen while a point is taken: it is called off, its disk
 * grows, its folder makes files of another kind
 */
#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "data.h"
#include "engine_fixture.h"
#include "harness.h"

#define SIZE (6 * MIB)

FIXTURE(taken)
{
	struct loopfs fs;
	struct stage stage;
	const char *phase; /* at which the disk grows */
};

FIXTURE_VARIANT(taken)
{
	const char *type;
	bool clones;
};

FIXTURE_VARIANT_ADD(taken, ext4){"ext4", false};
FIXTURE_VARIANT_ADD(taken, btrfs){"btrfs", true};

FIXTURE_SETUP(taken)
{
	loopfs_mount(&self->fs, variant->type, variant->clones ? 256 * MIB : 96 * MIB,
		     NULL, NULL);
	stage_make(&self->stage, self->fs.mnt, SIZE, test_seed());
}

FIXTURE_TEARDOWN(taken)
{
	stage_close(&self->stage);
	loopfs_umount(&self->fs);
}

static uint32_t take(const struct stage *s, const struct rp_watch *watch, char **ret,
		     struct rp_error *err)
{
	const struct rp_create_options options = {
		.size = sizeof(options), .allow_copy = true, .watch = watch};

	return rp_create_reference_point(s->store, "web1", &options, ret, err);
}

TEST_F(taken, cancelled_before_the_first_clone)
{
	static const char *const phases[] = {"planning", "cloning"};
	struct rp_error err;
	char *point = NULL;

	for (size_t i = 0; i < ARRAY_SIZE(phases); i++) {
		const struct rp_watch watch = cancel_in(phases[i]);

		GIVES(FAILED, take(&self->stage, &watch, &point, &err));
		EXPECT_EQ(err.os_error, ECANCELED, "%s", err.message);
		EXPECT_EQ(point, NULL);
		stage_expect_unharmed(&self->stage, "");
	}
}

static int grow_once(void *context, const struct rp_progress *progress)
{
	struct taken_fixture *self = context;
	struct stat st;
	int fd;

	if (!self->phase || strcmp(progress->phase, self->phase))
		return 0;
	self->phase = NULL;
	fd = open(self->stage.disk, O_WRONLY | O_CLOEXEC);
	ASSERT_GE(fd, 0);
	ASSERT_OK(fstat(fd, &st));
	data_write(fd, 4711, (uint64_t)st.st_size, MIB + 777);
	close(fd);
	return 0;
}

/* What came to its end is in the point, or the point is not taken. */
TEST_F(taken, while_the_disk_grows)
{
	static const char *const phases[] = {"planning", "cloning", "copying"};
	const struct rp_watch watch = {
		.size = sizeof(watch), .context = self, .progress = grow_once};
	const struct stage *s = &self->stage;
	struct rp_error err;

	for (size_t i = 0; i < (variant->clones ? 2 : ARRAY_SIZE(phases)); i++) {
		char *point = NULL;
		uint32_t rc;

		self->phase = phases[i];
		rc = take(s, &watch, &point, &err);
		EXPECT_EQ(self->phase, NULL, "it has grown");
		EXPECT_EQ(rc, i == 0 || variant->clones ? RP_OK : RP_IN_USE, "%s: %s",
			  phases[i], err.message);
		stage_expect_idle(s);
		if (rc == RP_OK) {
			EXPECT_TRUE(data_same(
				fmt("%s/vda.raw", stage_point_path(s, point)), s->disk));
			GIVES(OK,
			      rp_export(s->store, point, s->exports, NULL, NULL, &err));
			EXPECT_TRUE(stage_good_export(s->exports, point, s->disk));
		}
		rp_free(point);
	}
}

/* A backup tool that puts a new file in the disk's place: the old one is nobody's then.
 */
static int replace_once(void *context, const struct rp_progress *progress)
{
	struct taken_fixture *self = context;

	if (!self->phase || strcmp(progress->phase, self->phase))
		return 0;
	self->phase = NULL;
	ASSERT_EQ(system(fmt("cp '%s' '%s.new' && mv '%s.new' '%s'", self->stage.disk,
			     self->stage.disk, self->stage.disk, self->stage.disk)),
		  0);
	return 0;
}

TEST_F(taken, while_the_disk_is_replaced)
{
	const struct rp_watch watch = {
		.size = sizeof(watch), .context = self, .progress = replace_once};
	struct rp_error err;
	char *point = NULL;

	self->phase = variant->clones ? "cloning" : "copying";
	GIVES(IN_USE, take(&self->stage, &watch, &point, &err));
	EXPECT_EQ(self->phase, NULL, "it was replaced");
	EXPECT_NE(strstr(err.message, self->stage.disk), NULL, "%s", err.message);
	stage_expect_unharmed(&self->stage, "");
	GIVES(OK, take(&self->stage, NULL, &point, &err));
	rp_free(point);
}

/* The point of an overlay is worth nothing alone, nor that of tables without their data.
 */
TEST_F(taken, of_an_image_that_needs_another_file)
{
	static const struct {
		uint8_t version, base, data_file;
		const char *needs;
	} heads[] = {
		{3, 0, 0, NULL},
		{3, 1, 0, "with a backing file,"},
		{3, 0, 4, "with an external data file,"},
		{3, 1, 4, "with a backing file and an external data file,"},
		{2, 0, 4, NULL}, /* no part of that header */
	};
	struct heard heard = {0};
	const struct rp_watch watch = hear_into(&heard);
	struct rp_error err;
	char *point = NULL;
	json_t *doc;
	int fd = open(self->stage.disk, O_WRONLY | O_CLOEXEC);

	for (size_t i = 0; i < ARRAY_SIZE(heads); i++) {
		char head[104] = "QFI\xfb";
		const json_t *warnings;

		head[7] = (char)heads[i].version;
		head[15] = (char)heads[i].base;
		head[79] = (char)heads[i].data_file;
		ASSERT_EQ(pwrite(fd, head, sizeof(head), 0), (ssize_t)sizeof(head));
		heard.last[0] = '\0';
		GIVES(OK, take(&self->stage, &watch, &point, &err));
		if (heads[i].needs)
			EXPECT_NE(strstr(heard.last, heads[i].needs), NULL, "%s",
				  heard.last);
		else
			EXPECT_STREQ(heard.last, "");
		doc = load_json(
			fmt("%s/point.json", stage_point_path(&self->stage, point)));
		warnings = json_object_get(doc, "Warnings");
		EXPECT_EQ(json_array_size(warnings), heads[i].needs ? 1 : 0);
		json_decref(doc);
		rp_free(point);
	}
	close(fd);
}

/* Files take the flag from their folder, and are not cloned from or to others then. */
TEST(where_files_are_made_nocow)
{
	const struct rp_create_options create = {.size = sizeof(create)};
	const struct rp_export_options always = {.size = sizeof(always),
						 .clone = RP_CLONE_ALWAYS};
	struct loopfs fs = {0};
	struct stage s = {0};
	struct rp_error err;
	char *point = NULL;

	loopfs_mount(&fs, "btrfs", 0, NULL, NULL);
	stage_make(&s, fs.mnt, SIZE, test_seed());
	set_inode_flag(fmt("%s/pending", s.path), FS_NOCOW_FL);
	set_inode_flag(s.exports, FS_NOCOW_FL);
	ASSERT_EQ(rp_create_reference_point(s.store, "web1", &create, &point, &err),
		  RP_OK, "%s", err.message);
	EXPECT_TRUE(is_shared(fmt("%s/vda.raw", stage_point_path(&s, point))));
	GIVES(OK, rp_export(s.store, point, s.exports, &always, NULL, &err));
	EXPECT_TRUE(is_shared(fmt("%s/vda.raw", stage_export_path(s.exports, point))));
	EXPECT_TRUE(stage_good_export(s.exports, point, s.twin));
	rp_free(point);
	stage_close(&s);
	loopfs_umount(&fs);
}

TEST_MAIN
