/* SPDX-License-Identifier: MIT */
/*
 * resume_name_test.c - exports that lack nothing but their name: they get it if they are
 * what is asked for, and nothing else looks like one
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "data.h"
#include "engine_fixture.h"
#include "harness.h"
#include "io/clone.h"
#include "loopfs.h"
#include "stage.h"

static const char *partial_of(const struct stage *s)
{
	return stage_partial_path(s->exports, s->point);
}

/* Takes its name from the export; returns the one it has then. */
static const char *hide(const struct stage *s)
{
	const char *hidden = partial_of(s);

	ASSERT_OK(rename(stage_export_path(s->exports, s->point), hidden));
	return hidden;
}

/* A manifest and no journal: it was killed before the rename. */
TEST(lacks_only_its_name)
{
	struct stage s;
	struct rp_export_options options = stage_copying(RP_IO_AUTO);
	struct rp_error err;
	const char *hidden;

	stage_make(&s, test_dir(), 4 * MIB, test_seed());
	GIVES(OK, stage_export(&s, &options, &err));
	hide(&s);
	GIVES(OK, stage_export(&s, &options, &err));
	EXPECT_TRUE(stage_good_export(s.exports, s.point, s.twin));
	/* One that is damaged is not published. */
	hidden = hide(&s);
	data_flip(fmt("%s/vda.raw", hidden), 1 * MIB + 5);
	GIVES(FAILED, stage_export(&s, &options, &err));
	EXPECT_NE(strstr(err.message, "--restart"), NULL, "%s", err.message);
	EXPECT_FALSE(exists(stage_export_path(s.exports, s.point)));
	stage_close(&s);
}

static unsigned journals, manifests; /* that were left when a journal was removed */

static const char *dies_at; /* who removes this file */

int unlinkat(int dirfd, const char *name, int flags)
{
	if (dies_at && !strcmp(name, dies_at))
		_exit(0);
	if (!strcmp(name, ".journal")) {
		journals++;
		manifests += faccessat(dirfd, "export.json", F_OK, 0) == 0;
	}
	return (int)syscall(SYS_unlinkat, dirfd, name, flags);
}

/* A folder that is being removed is at no instant one that lacks only its name. */
TEST(loses_its_manifest_first)
{
	const struct rp_watch watch = cancel_in("publishing");
	struct rp_export_options options = stage_copying(RP_IO_AUTO);
	struct rp_error err;
	struct stage s;

	stage_make(&s, test_dir(), MIB, test_seed());
	options.watch = &watch;
	options.restart = true;
	/* What takes half a second is kept, to go on with; and removed to start over. */
	for (unsigned tries = 0; tries < 100 && (!journals || *listing(s.exports));
	     tries++) {
		GIVES(FAILED, stage_export(&s, &options, &err));
		EXPECT_EQ(err.os_error, ECANCELED);
	}
	EXPECT_GE(journals, 1);
	EXPECT_EQ(manifests, 0);
	stage_expect_unharmed(&s, "");
	stage_close(&s);
}

/* What happens when it comes to this phase, and what the export is told then. */
struct disturbance {
	const struct stage *stage;
	const char *phase;
	void (*disturb)(const struct stage *s);
	int answer;
};

static int disturb(void *context, const struct rp_progress *progress)
{
	struct disturbance *d = context;

	if (!d->disturb || strcmp(progress->phase, d->phase))
		return 0;
	d->disturb(d->stage);
	d->disturb = NULL;
	return d->answer;
}

/* Somebody has removed what is written, and begun another export to the same place. */
static void take_its_place(const struct stage *s)
{
	ASSERT_OK(rename(partial_of(s), fmt("%s/removed", test_dir())));
	ASSERT_OK(mkdir(partial_of(s), 0700));
	save_text(fmt("%s/.journal", partial_of(s)), "another's");
}

static void move_system(const struct stage *s)
{
	ASSERT_OK(rename(fmt("%s/web1", s->exports), fmt("%s/old", s->exports)));
}

static void set_immutable(const struct stage *s, bool on)
{
	int fd = open(fmt("%s/web1", s->exports), O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	ASSERT_OK(io_set_immutable(fd, on));
	close(fd);
}

static void forbid_names(const struct stage *s)
{
	set_immutable(s, true);
}

static uint32_t export_disturbed(const struct stage *s, struct disturbance d,
				 struct rp_error *err)
{
	const struct rp_watch watch = {
		.size = sizeof(watch), .context = &d, .progress = disturb};
	struct rp_export_options options = stage_copying(RP_IO_AUTO);
	uint32_t rc;

	options.watch = &watch;
	d.stage = s;
	rc = stage_export(s, &options, err);
	EXPECT_EQ(d.disturb, NULL, "it never came to %s", d.phase);
	return rc;
}

/* Neither is another's folder published, or removed, with what comes of this one. */
TEST(has_lost_its_place_to_another)
{
	const struct disturbance ends[] = {
		{.phase = "publishing", .disturb = take_its_place},
		{.phase = "copying", .disturb = take_its_place, .answer = 1},
	};
	struct rp_error err;
	struct stage s;

	stage_make(&s, test_dir(), 4 * MIB, test_seed());
	for (size_t i = 0; i < ARRAY_SIZE(ends); i++) {
		EXPECT_EQ(export_disturbed(&s, ends[i], &err),
			  i ? RP_FAILED : RP_NOT_AVAILABLE, "%s", err.message);
		EXPECT_STREQ(listing(partial_of(&s)), ".journal");
		EXPECT_FALSE(exists(stage_export_path(s.exports, s.point)));
		EXPECT_OK(system(
			fmt("rm -r '%s' '%s/removed'", partial_of(&s), test_dir())));
	}
	stage_close(&s);
}

/* It would not be where its report says. */
TEST(has_lost_its_folder)
{
	const struct disturbance moved = {.phase = "publishing", .disturb = move_system};
	struct rp_error err;
	struct stage s;

	stage_make(&s, test_dir(), 4 * MIB, test_seed());
	GIVES(NOT_AVAILABLE, export_disturbed(&s, moved, &err));
	EXPECT_STREQ(listing(fmt("%s/old", s.exports)), "");
	stage_close(&s);
}

/* So that what it has kept goes with its record. */
static void expect_resumable(const struct stage *s)
{
	json_t *list, *job;
	unsigned found = 0;
	char *text;
	size_t i;

	ASSERT_EQ(rp_job_list(s->store, &text, NULL), RP_OK);
	list = take_json(text);
	json_array_foreach(list, i, job)
		if (json_number(job, "JobState") == RP_JOB_EXCEPTION)
			found += json_is_true(json_object_get(job, "Resumable"));
	EXPECT_EQ(found, 1);
	json_decref(list);
}

/* All of it is there, and the name cannot be given now: it can be later. */
TEST(lacks_its_name_and_cannot_have_it)
{
	const struct disturbance forbidden = {.phase = "publishing",
					      .disturb = forbid_names};
	struct rp_export_options options = stage_copying(RP_IO_AUTO);
	struct rp_error err;
	const char *hidden;
	struct stage s;

	stage_make(&s, test_dir(), 4 * MIB, test_seed());
	GIVES(OK, stage_export(&s, &options, &err));
	hidden = hide(&s);
	GIVES(ACCESS_DENIED, export_disturbed(&s, forbidden, &err));
	EXPECT_NE(strstr(err.message, "the same export again goes on"), NULL, "%s",
		  err.message);
	set_immutable(&s, false);
	EXPECT_TRUE(exists(fmt("%s/export.json", hidden)));
	expect_resumable(&s);
	GIVES(OK, stage_export(&s, NULL, &err));
	EXPECT_TRUE(stage_good_export(s.exports, s.point, s.twin));
	stage_close(&s);
}

/* What is left of it is one that has just begun. */
TEST(lacks_only_its_name_and_is_removed_half_way)
{
	struct rp_export_options options = stage_copying(RP_IO_AUTO);
	struct rp_error err;
	const char *hidden;
	struct stage s;
	pid_t pid;

	stage_make(&s, test_dir(), 4 * MIB, test_seed());
	GIVES(OK, stage_export(&s, &options, &err));
	hidden = hide(&s);
	pid = fork();
	if (pid == 0) {
		dies_at = "vda.raw";
		options.restart = true;
		stage_export(&s, &options, &err);
		_exit(1);
	}
	ASSERT_EQ(waitpid(pid, &(int){0}, 0), pid);
	EXPECT_STREQ(listing(hidden), ".journal vda.raw");
	GIVES(OK, stage_export(&s, &options, &err));
	EXPECT_TRUE(stage_good_export(s.exports, s.point, s.twin));
	stage_close(&s);
}

/* It lacks only its name, but it is not what is asked for now. */
TEST(lacks_its_name_and_is_another)
{
	static const char *const disks[] = {"vda"};
	struct rp_export_options plain = stage_copying(RP_IO_AUTO), other = plain;
	char base[POINT_SIZE];
	struct rp_error err;
	const char *hidden;
	struct stage s;

	stage_make(&s, test_dir(), 4 * MIB, test_seed());
	memcpy(base, s.point, sizeof(base));
	stage_take(&s, s.point);
	GIVES(OK, stage_export(&s, &plain, &err));
	hidden = hide(&s);
	other.base = base;
	GIVES(INVALID_STATE, stage_export(&s, &other, &err));
	EXPECT_NE(strstr(err.message, "--restart"), NULL, "%s", err.message);
	other = plain;
	other.format = RP_FORMAT_QCOW2;
	GIVES(INVALID_STATE, stage_export(&s, &other, &err));
	EXPECT_STREQ(listing(hidden), "config export.json vda.digest vda.raw");
	other = plain;
	other.disks = disks; /* all it has: the same */
	other.disk_count = 1;
	GIVES(OK, stage_export(&s, &other, &err));
	stage_close(&s);
}

/* It is exported as @made, and refused to who wants it @otherwise. */
static void expect_refused(const struct stage *s, const struct rp_export_options *made,
			   const struct rp_export_options *otherwise)
{
	struct rp_error err;
	const char *hidden;

	GIVES(OK, stage_export(s, made, &err));
	hidden = hide(s);
	GIVES(INVALID_STATE, stage_export(s, otherwise, &err));
	EXPECT_NE(strstr(err.message, "--restart"), NULL, "%s", err.message);
	EXPECT_TRUE(exists(fmt("%s/export.json", hidden)));
	GIVES(OK, stage_export(s, made, &err));
	ASSERT_OK(system(fmt("rm -r '%s'", stage_export_path(s->exports, s->point))));
}

TEST(lacks_its_name_and_was_made_otherwise)
{
	const struct rp_export_options plain = {.size = sizeof(plain)};
	struct rp_export_options made = plain, other = plain;
	struct loopfs fs;
	struct stage s;

	loopfs_mount(&fs, "xfs", 320 * MIB, NULL, NULL);
	stage_make(&s, fs.mnt, 4 * MIB, test_seed());
	other.digest = RP_DIGEST_ALWAYS;
	expect_refused(&s, &made, &other);
	other.digest = RP_DIGEST_AUTO;
	other.clone = RP_CLONE_NEVER;
	expect_refused(&s, &made, &other);
	other.clone = RP_CLONE_ALWAYS;
	made.clone = RP_CLONE_NEVER;
	expect_refused(&s, &made, &other);
	made = other = plain;
	made.format = other.format = RP_FORMAT_QCOW2;
	other.cluster_size = 128 * KIB;
	expect_refused(&s, &made, &other);
	stage_close(&s);
	loopfs_umount(&fs);
}

/* What it is based on was exported to elsewhere: it is read without that. */
TEST(lacks_its_name_and_its_base)
{
	struct rp_export_options options = stage_copying(RP_IO_AUTO);
	char base[POINT_SIZE];
	struct rp_error err;
	const char *hidden;
	struct stage s;

	stage_make(&s, test_dir(), 4 * MIB, test_seed());
	memcpy(base, s.point, sizeof(base));
	stage_take(&s, s.point);
	options.base = base;
	GIVES(OK, stage_export(&s, &options, &err));
	hide(&s);
	options.strict = true;
	GIVES(INVALID_STATE, stage_export(&s, &options, &err));
	options.strict = false;
	GIVES(OK, stage_export(&s, &options, &err));
	EXPECT_STREQ(listing(stage_export_path(s.exports, s.point)),
		     "config export.json vda.changes vda.digest vda.raw");
	hidden = hide(&s);
	data_flip(fmt("%s/vda.changes", hidden), 5);
	GIVES(UNKNOWN_STATUS, stage_export(&s, &options, &err));
	EXPECT_NE(strstr(err.message, "--restart"), NULL, "%s", err.message);
	stage_close(&s);
}

/* The manifest of the base is there, its disk is not. */
TEST(lacks_its_name_and_the_disk_of_its_base)
{
	struct rp_export_options options = stage_copying(RP_IO_AUTO);
	char base[POINT_SIZE];
	struct rp_error err;
	struct stage s;

	stage_make(&s, test_dir(), 4 * MIB, test_seed());
	GIVES(OK, stage_export(&s, &options, &err));
	memcpy(base, s.point, sizeof(base));
	stage_take(&s, s.point);
	options.base = base;
	options.strict = true;
	GIVES(OK, stage_export(&s, &options, &err));
	hide(&s);
	GIVES(OK, stage_export(&s, &options, &err));
	hide(&s);
	ASSERT_OK(unlink(fmt("%s/vda.raw", stage_export_path(s.exports, base))));
	GIVES(INVALID_STATE, stage_export(&s, &options, &err));
	EXPECT_NE(strstr(err.message, "vda.raw"), NULL, "%s", err.message);
	options.strict = false;
	GIVES(OK, stage_export(&s, &options, &err));
	stage_close(&s);
}

/* It was to have a base, of which nothing was usable: it is full, and what is asked for.
 */
TEST(lacks_its_name_and_had_no_base)
{
	struct rp_export_options image = stage_copying(RP_IO_AUTO), merged = image;
	struct rp_export_options *each[] = {&image, &merged};
	char base[POINT_SIZE];
	struct rp_error err;
	struct stage s;

	stage_make(&s, test_dir(), 4 * MIB, test_seed());
	memcpy(base, s.point, sizeof(base));
	stage_take(&s, s.point);
	image.base = merged.base = base;
	image.format = RP_FORMAT_QCOW2;
	merged.merge = true;
	for (size_t i = 0; i < ARRAY_SIZE(each); i++) {
		GIVES(OK, stage_export(&s, each[i], &err));
		hide(&s);
		each[i]->strict = true;
		GIVES(INVALID_STATE, stage_export(&s, each[i], &err));
		each[i]->strict = false;
		GIVES(OK, stage_export(&s, each[i], &err));
		EXPECT_OK(
			system(fmt("rm -r '%s'", stage_export_path(s.exports, s.point))));
	}
	stage_close(&s);
}

TEST_MAIN
