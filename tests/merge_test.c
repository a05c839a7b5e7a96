/* SPDX-License-Identifier: MIT */
/*
 * merge_test.c - a differential export becomes a whole one in its place, needs no other
 * any more, and is complete at every instant, also when the program is killed; and what
 * clones and holes do to those who merge
 */
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/fs.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "blocked.h"
#include "data.h"
#include "engine_fixture.h"
#include "harness.h"

#define SIZE  (9 * MIB + 777)
#define LINKS 3

FIXTURE(merge)
{
	struct engine e;
	struct loopfs to;
	char out[PATH_MAX + 8];
	char points[LINKS][POINT_SIZE];
	uint64_t state;
};
FIXTURE_VARIANT(merge)
{
	const char *from, *to; /* to NULL = the same */
};
FIXTURE_VARIANT_ADD(merge, xfs){.from = "xfs"};
FIXTURE_VARIANT_ADD(merge, btrfs){.from = "btrfs"};
FIXTURE_VARIANT_ADD(merge, xfs_ext4){.from = "xfs", .to = "ext4"};

static const char *path_of(const struct merge_fixture *self, unsigned link)
{
	return stage_export_path(self->out, self->points[link]);
}

static void export_link(const struct merge_fixture *self, unsigned link)
{
	struct rp_export_options options = {
		.size = sizeof(options),
		.base = link ? self->points[link - 1] : NULL,
		.digest = RP_DIGEST_ALWAYS,
	};
	struct rp_error err;

	ASSERT_EQ(rp_export(self->e.store, self->points[link], self->out, &options, NULL,
			    &err),
		  RP_OK, "%s", err.message);
}

/* Takes the next point, with a twin, and exports it. */
static void take(struct merge_fixture *self, unsigned link)
{
	json_decref(engine_take(&self->e, NULL));
	snprintf(self->points[link], POINT_SIZE, "%s", self->e.point);
	ASSERT_EQ(system(fmt("cp --sparse=always '%s' '%s'", engine_disk(&self->e, "vda"),
			     engine_twin(&self->e, fmt("%u", link)))),
		  0);
	export_link(self, link);
}

FIXTURE_SETUP(merge)
{
	static const char *const ids[] = {"vda"};
	int fd;

	self->state = test_seed();
	engine_open(&self->e, variant->from, 400 * MIB, NULL, NULL);
	snprintf(self->out, sizeof(self->out), "%s", self->e.out);
	if (variant->to) {
		loopfs_mount(&self->to, variant->to, 200 * MIB, NULL, NULL);
		snprintf(self->out, sizeof(self->out), "%s", self->to.mnt);
	}
	fd = data_create(engine_disk(&self->e, "vda"), SIZE);
	data_write(fd, 1, 0, 6 * MIB);
	data_write(fd, 1, 8 * MIB, SIZE - 8 * MIB);
	engine_add(&self->e, ids, 1);
	take(self, 0);
	/* H17: the end of the file is in a block, then far behind, then before it. */
	ASSERT_OK(ftruncate(fd, SIZE + 3 * MIB + 5));
	data_write(fd, 2, SIZE + 2 * MIB, 4096 + 5);
	data_write(fd, 2, 100000, 9);
	take(self, 1);
	/* H28: what has become zeros is no data, and not what it was either. */
	ASSERT_OK(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, MIB + 4096,
			    2 * MIB));
	ASSERT_OK(ftruncate(fd, 8 * MIB + 4099));
	data_write(fd, 3, 5 * MIB - 3, 70000);
	close(fd);
	take(self, 2);
}

FIXTURE_TEARDOWN(merge)
{
	engine_close(&self->e);
	if (variant->to)
		loopfs_umount(&self->to);
}

/* Whatever kind it is of, it verifies, and its disk is what the point's was. */
static void expect_complete(const struct merge_fixture *self, unsigned link)
{
	const char *output = fmt("%s/restored", self->e.fs.mnt);
	struct rp_error err;

	EXPECT_EQ(rp_verify(path_of(self, link), NULL, NULL, &err), RP_OK, "%s",
		  err.message);
	EXPECT_EQ(rp_restore(path_of(self, link), "vda", output, NULL, NULL, &err), RP_OK,
		  "%s", err.message);
	EXPECT_TRUE(data_same(engine_twin(&self->e, fmt("%u", link)), output));
	ASSERT_OK(unlink(output));
}

static void expect_whole(const struct merge_fixture *self, unsigned link, bool whole)
{
	json_t *manifest = load_json(fmt("%s/export.json", path_of(self, link)));

	EXPECT_STREQ(json_text(manifest, "Kind"), whole ? "merged" : "differential");
	json_decref(manifest);
}

static const char *root_of(const json_t *manifest)
{
	return json_text(json_object_get(disk_of(manifest, "vda"), "Digest"), "Root");
}

TEST_F(merge, h17_h28_and_needs_no_other)
{
	struct rp_export_options full = {.size = sizeof(full),
					 .digest = RP_DIGEST_ALWAYS};
	char *other = strdup(fmt("%s/other", self->out));
	json_t *report, *want;
	struct rp_error err;
	char *text;

	for (unsigned i = 0; i < LINKS; i++)
		expect_complete(self, i);
	ASSERT_EQ(rp_merge(path_of(self, 2), NULL, &text, &err), RP_OK, "%s",
		  err.message);
	report = take_json(text);
	EXPECT_STREQ(json_text(report, "Kind"), "merged");
	for (unsigned i = 0; i < LINKS; i++)
		expect_complete(self, i);
	GIVES(INVALID_STATE, rp_merge(path_of(self, 2), NULL, NULL, &err));
	EXPECT_EQ(strstr(listing(fmt("%s/web1", self->out)), ".merging"), NULL);
	/* Its tree, which went on from that of the first, is that of a full export. */
	ASSERT_OK(mkdir(other, 0755));
	want = engine_export(&self->e, other, &full);
	EXPECT_STREQ(root_of(report), root_of(want));
	json_decref(want);
	json_decref(report);
	free(other);
	remove_tree(path_of(self, 0));
	remove_tree(path_of(self, 1));
	expect_complete(self, 2);
}

/* However its blocks would come along, damage does not, and what was there stays. */
TEST_F(merge, of_a_damaged_base)
{
	const char *base = fmt("%s/vda.raw", path_of(self, 0));
	struct rp_error err;

	data_flip(base, SIZE / 2);
	GIVES(FAILED, rp_merge(path_of(self, 2), NULL, NULL, &err));
	EXPECT_STREQ(err.disk, "vda");
	EXPECT_EQ(strstr(listing(fmt("%s/web1", self->out)), ".merging"), NULL);
	data_flip(base, SIZE / 2);
	expect_complete(self, 2);
}

/* One that died has left something; one that runs is not disturbed. */
TEST_F(merge, another_one)
{
	const char *left = fmt("%s/web1/.%s.merging", self->out,
			       strchr(self->points[2], '@') + 1);
	struct rp_error err;
	int fd;

	ASSERT_OK(mkdir(left, 0700));
	save_text(fmt("%s/vda.raw", left), "half");
	fd = open(left, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	ASSERT_OK(flock(fd, LOCK_EX));
	GIVES(IN_USE, rp_merge(path_of(self, 2), NULL, NULL, &err));
	EXPECT_TRUE(strstr(err.message, "another merge of it runs"), "%s", err.message);
	EXPECT_TRUE(exists(fmt("%s/vda.raw", left)));
	close(fd);
	EXPECT_EQ(rp_merge(path_of(self, 2), NULL, NULL, &err), RP_OK, "%s", err.message);
	EXPECT_FALSE(exists(left));
	expect_complete(self, 2);
}

static const char *left_of(const struct merge_fixture *self, const char *id)
{
	return fmt("%s/web1/.%s.merging", self->out, id);
}

/* Those that died of exports that nobody merges again, or that are gone, are as dead. */
TEST_F(merge, others_that_died)
{
	static const char gone[] = "00000000-1111-4222-8333-444444444444";
	const char *other = strchr(self->points[1], '@') + 1;
	const char *foreign = fmt("%s/web1/.notes.merging", self->out);
	struct rp_error err;
	int fd;

	ASSERT_OK(mkdir(left_of(self, gone), 0700));
	save_text(fmt("%s/vda.raw", left_of(self, gone)), "half");
	ASSERT_OK(mkdir(left_of(self, other), 0700));
	ASSERT_OK(mkdir(foreign, 0700));
	/* One that runs has locked the new one, which comes to have the name. */
	fd = open(left_of(self, other), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	ASSERT_OK(flock(fd, LOCK_EX));
	GIVES(OK, rp_merge(path_of(self, 2), NULL, NULL, &err));
	EXPECT_FALSE(exists(left_of(self, gone)));
	EXPECT_TRUE(exists(left_of(self, other)));
	EXPECT_TRUE(exists(foreign));
	close(fd);
	remove_tree(path_of(self, 2));
	export_link(self, 2);
	fd = open(path_of(self, 1), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	ASSERT_OK(flock(fd, LOCK_EX));
	GIVES(OK, rp_merge(path_of(self, 2), NULL, NULL, &err));
	EXPECT_TRUE(exists(left_of(self, other)));
	close(fd);
	remove_tree(path_of(self, 2));
	export_link(self, 2);
	GIVES(OK, rp_merge(path_of(self, 2), NULL, NULL, &err));
	EXPECT_FALSE(exists(left_of(self, other)));
	for (unsigned i = 0; i < LINKS; i++)
		expect_complete(self, i);
	ASSERT_OK(rmdir(foreign));
}

/* What nobody has compared with a digest gets none that is right. */
TEST_F(merge, of_what_has_no_digest)
{
	struct rp_export_options never = {.size = sizeof(never),
					  .digest = RP_DIGEST_NEVER};
	struct rp_error err;

	for (unsigned k = 0; k < 2; k++) {
		json_t *manifest;

		remove_tree(path_of(self, k));
		never.base = k ? self->points[k - 1] : NULL;
		GIVES(OK, rp_export(self->e.store, self->points[k], self->out, &never,
				    NULL, &err));
		GIVES(OK, rp_merge(path_of(self, 1), NULL, NULL, &err));
		manifest = load_json(fmt("%s/export.json", path_of(self, 1)));
		EXPECT_TRUE(json_is_null(
			json_object_get(disk_of(manifest, "vda"), "Digest")));
		json_decref(manifest);
		expect_complete(self, 1);
		for (unsigned i = 0; i < 2; i++) {
			remove_tree(path_of(self, i));
			export_link(self, i);
		}
	}
}

TEST_F(merge, called_off)
{
	const struct rp_watch watch = cancel_in("publishing");
	const struct rp_read_options options = {.size = sizeof(options), .watch = &watch};
	json_t *manifest;
	struct rp_error err;

	GIVES(FAILED, rp_merge(path_of(self, 2), &options, NULL, &err));
	EXPECT_EQ(err.os_error, ECANCELED);
	EXPECT_EQ(strstr(listing(fmt("%s/web1", self->out)), ".merging"), NULL);
	manifest = load_json(fmt("%s/export.json", path_of(self, 2)));
	EXPECT_STREQ(json_text(manifest, "Kind"), "differential");
	json_decref(manifest);
	expect_complete(self, 2);
}

static int leave_notes(void *context, const struct rp_progress *progress)
{
	if (!strcmp(progress->phase, "publishing"))
		save_text(context, "mine");
	return 0;
}

/* What somebody has put into the folder would be removed with it. */
TEST_F(merge, not_of_what_has_something_else_in_it)
{
	char *path = strdup(path_of(self, 2)), *notes = strdup(fmt("%s/NOTES", path));
	const struct rp_watch watch = {
		.size = sizeof(watch), .context = notes, .progress = leave_notes};
	const struct rp_read_options options = {.size = sizeof(options), .watch = &watch};
	const char *const mine[] = {fmt("%s/NOTES.txt", path), fmt("%s/folder", path),
				    fmt("%s/config/folder", path)};
	struct rp_error err;

	for (size_t i = 0; i < ARRAY_SIZE(mine); i++) {
		ASSERT_OK(mkdir(mine[i], 0700));
		GIVES(INVALID_STATE, rp_merge(path, NULL, NULL, &err));
		EXPECT_TRUE(strstr(err.message, mine[i] + strlen(path) + 1), "%s",
			    err.message);
		EXPECT_EQ(strstr(listing(fmt("%s/web1", self->out)), ".merging"), NULL);
		expect_whole(self, 2, false);
		ASSERT_OK(rmdir(mine[i]));
	}
	/* Nor if that was meanwhile. */
	GIVES(INVALID_STATE, rp_merge(path, &options, NULL, &err));
	expect_whole(self, 2, false);
	ASSERT_OK(unlink(notes));
	GIVES(OK, rp_merge(path, NULL, NULL, &err));
	expect_complete(self, 2);
	free(notes);
	free(path);
}

/* What keeps files only, by their names, as object stores do, loses an empty folder. */
TEST_F(merge, of_what_has_lost_its_empty_folder)
{
	struct rp_error err;

	ASSERT_OK(rmdir(fmt("%s/config", path_of(self, 2))));
	GIVES(OK, rp_merge(path_of(self, 2), NULL, NULL, &err));
	expect_whole(self, 2, true);
	expect_complete(self, 2);
}

/* What cannot be removed of the old one is told, and goes with the next that can. */
TEST_F(merge, of_what_has_immutable_files)
{
	struct heard heard = {0};
	const struct rp_watch watch = hear_into(&heard);
	const struct rp_read_options options = {.size = sizeof(options), .watch = &watch};
	const char *left = fmt("%s/web1/.%s.merging", self->out,
			       strchr(self->points[2], '@') + 1);
	struct rp_error err;

	set_inode_flag(fmt("%s/vda.raw", path_of(self, 2)), FS_IMMUTABLE_FL);
	let_have(CAP_LINUX_IMMUTABLE, false);
	GIVES(OK, rp_merge(path_of(self, 2), &options, NULL, &err));
	EXPECT_STREQ(listing(left), "vda.raw");
	EXPECT_STREQ(heard.last,
		     fmt("export %s: %s beside it cannot be removed: %s",
			 path_of(self, 2), strrchr(left, '/') + 1, strerror(EPERM)));
	GIVES(INVALID_STATE, rp_merge(path_of(self, 2), NULL, NULL, &err));
	EXPECT_NE(strstr(err.message, "is whole"), NULL, "%s", err.message);
	EXPECT_TRUE(exists(left));
	let_have(CAP_LINUX_IMMUTABLE, true);
	GIVES(INVALID_STATE, rp_merge(path_of(self, 2), NULL, NULL, &err));
	EXPECT_FALSE(exists(left));
	expect_complete(self, 2);
}

/* It is looked for a hundred times, not for ever. */
TEST_F(merge, where_a_link_leads_nowhere)
{
	const char *left = fmt("%s/web1/.%s.merging", self->out,
			       strchr(self->points[2], '@') + 1);
	struct rp_error err;

	ASSERT_OK(symlink("nowhere", left));
	GIVES(NOT_AVAILABLE, rp_merge(path_of(self, 2), NULL, NULL, &err));
	ASSERT_OK(unlink(left));
	expect_complete(self, 2);
}

/* A part of a chain that is merged as soon as somebody has begun to read the chain. */
struct meanwhile {
	const char *path;
	bool done;
	bool warned; /* in the last try */
};

static void note_warning(void *context, const char *text)
{
	struct meanwhile *m = context;

	test_log("%s", text);
	m->warned = true;
}

static int merge_meanwhile(void *context, const struct rp_progress *progress)
{
	struct meanwhile *m = context;
	struct rp_error err;

	if (!progress->bytes_done)
		m->warned = false;
	if (m->done)
		return 0;
	m->done = true;
	EXPECT_EQ(rp_merge(m->path, NULL, NULL, &err), RP_OK, "%s", err.message);
	return 0;
}

/* Who reads a chain does not notice that a part of it becomes another one. */
TEST_F(merge, of_a_base_that_is_read)
{
	char *base = strdup(path_of(self, 1)), *output, *report = NULL;
	struct meanwhile meanwhile = {.path = base};
	const struct rp_watch watch = {.size = sizeof(watch),
				       .progress = merge_meanwhile,
				       .warning = note_warning,
				       .context = &meanwhile};
	struct rp_read_options options = {
		.size = sizeof(options), .watch = &watch, .chain = true};
	struct rp_error err;
	json_t *doc;

	output = strdup(fmt("%s/output", self->e.fs.mnt));
	EXPECT_EQ(rp_restore(path_of(self, 2), "vda", output, &options, NULL, &err),
		  RP_OK, "%s", err.message);
	expect_whole(self, 1, true);
	EXPECT_TRUE(data_same(engine_twin(&self->e, "2"), output));
	remove_tree(base);
	export_link(self, 1);
	meanwhile.done = false;
	ASSERT_OK(unlink(output));
	options.salvage = true;
	EXPECT_EQ(rp_restore(path_of(self, 2), "vda", output, &options, &report, &err),
		  RP_OK, "%s", err.message);
	expect_whole(self, 1, true);
	doc = take_json(report);
	EXPECT_EQ(json_number(doc, "LostBytes"), 0);
	EXPECT_FALSE(meanwhile.warned);
	json_decref(doc);
	EXPECT_TRUE(data_same(engine_twin(&self->e, "2"), output));
	options.salvage = false;
	remove_tree(base);
	export_link(self, 1);
	meanwhile.done = false;
	EXPECT_EQ(rp_verify(path_of(self, 2), &options, &report, &err), RP_OK, "%s",
		  err.message);
	expect_whole(self, 1, true);
	doc = take_json(report);
	EXPECT_EQ(json_array_size(json_object_get(doc, "Chain")), 2);
	json_decref(doc);
	remove_tree(base);
	export_link(self, 1);
	meanwhile.done = false;
	EXPECT_EQ(rp_merge(path_of(self, 2), &options, NULL, &err), RP_OK, "%s",
		  err.message);
	expect_whole(self, 1, true);
	expect_whole(self, 2, true);
	for (unsigned i = 0; i < LINKS; i++)
		expect_complete(self, i);
	free(output);
	free(base);
}

/* ------------------------------------------------------------------------- kill -9 */

/* The program, killed after @us at the latest. */
static void run_and_kill(const char *const *argv, uint64_t us)
{
	pid_t pid = fork();

	ASSERT_GE(pid, 0);
	if (pid == 0) {
		int null = open("/dev/null", O_WRONLY);

		dup2(null, 1);
		dup2(null, 2);
		execv(argv[0], (char *const *)argv);
		_exit(127);
	}
	usleep((useconds_t)us);
	kill(pid, SIGKILL);
	ASSERT_EQ(waitpid(pid, NULL, 0), pid);
}

TEST_F(merge, killed)
{
	char *left = strdup(
		fmt("%s/web1/.%s.merging", self->out, strchr(self->points[2], '@') + 1));
	char *path = strdup(path_of(self, 2));
	const char *argv[] = {program(), "merge", path, NULL};
	char keep[PATH_MAX + 16];
	struct rp_error err;

	if (program_missing())
		SKIP("%s", program_missing());
	snprintf(keep, sizeof(keep), "%s/keep", self->out);
	ASSERT_EQ(system(fmt("cp -a '%s' '%s'", path, keep)), 0);
	for (unsigned round = 0; round < 12; round++) {
		json_t *manifest;
		bool merged;

		run_and_kill(argv, data_random(&self->state) % (10000u << round % 5));
		expect_complete(self, 2);
		manifest = load_json(fmt("%s/export.json", path));
		merged = !strcmp(json_text(manifest, "Kind"), "merged");
		json_decref(manifest);
		if (merged) { /* once more */
			remove_tree(path);
			ASSERT_EQ(system(fmt("cp -a '%s' '%s'", keep, path)), 0);
		}
	}
	EXPECT_EQ(rp_merge(path, NULL, NULL, &err), RP_OK, "%s", err.message);
	EXPECT_FALSE(exists(left));
	expect_complete(self, 2);
	free(left);
	free(path);
}

/* An export with a base is there, whole, or not at all. */
TEST_F(merge, exports_killed)
{
	char *store = strdup(fmt("%s/store", self->e.fs.mnt));
	char *path = strdup(path_of(self, 2));
	const char *argv[] = {program(), "--store",	  store,
			      "export",	 self->points[2], self->out,
			      "--base",	 self->points[1], "--digest",
			      "always",	 "--restart",	  NULL,
			      NULL};
	struct rp_export_options options = {.size = sizeof(options),
					    .base = self->points[1],
					    .merge = true,
					    .restart = true};
	unsigned published = 0;

	if (program_missing())
		SKIP("%s", program_missing());
	for (unsigned round = 0; round < 16; round++) {
		argv[11] = round % 2 ? "--merge" : NULL;
		if (exists(path))
			remove_tree(path);
		run_and_kill(argv, data_random(&self->state) % (20000u << round % 5));
		if (!exists(path))
			continue;
		published++;
		expect_complete(self, 2);
	}
	test_log("%u of 16 were published", published);
	if (exists(path))
		remove_tree(path);
	json_decref(engine_export(&self->e, self->out, &options));
	expect_complete(self, 2);
	free(store);
	free(path);
}

TEST_MAIN
