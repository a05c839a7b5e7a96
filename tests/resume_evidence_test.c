/* SPDX-License-Identifier: MIT */
/*
 * resume_evidence_test.c - what was kept of an interrupted export is believed where it is
 * proven, and refused when it is not as it was left
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "data.h"
#include "engine_fixture.h"
#include "harness.h"
#include "loopfs.h"
#include "stage.h"

#define SIZE (96 * MIB) /* of the disk; more than half of it is data */

FIXTURE(evidence)
{
	struct loopfs fs;
	struct stage stage;
	struct rp_export_options options;
	uint64_t stop_at; /* bytes */
};

FIXTURE_VARIANT(evidence)
{
	void (*spoil)(struct evidence_fixture * self);
	enum rp_digest digest;
};

/* The disk has data from a quarter of its size on, if nowhere before: but here. */
#define HOLE	  (SIZE / 4 + 256 * KIB)
#define HOLE_SIZE (128 * KIB)

static void punch(const char *path, uint64_t at, uint64_t len)
{
	int fd = open(path, O_RDWR | O_CLOEXEC);

	ASSERT_GE(fd, 0);
	ASSERT_OK(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)at,
			    (off_t)len));
	close(fd);
}

FIXTURE_SETUP(evidence)
{
	loopfs_mount(&self->fs, "ext4", 640 * MIB, NULL, NULL);
	stage_make(&self->stage, self->fs.mnt, SIZE, test_seed());
	punch(self->stage.disk, HOLE, HOLE_SIZE);
	punch(self->stage.twin, HOLE, HOLE_SIZE);
	stage_take(&self->stage, self->stage.point);
	self->options = stage_copying(RP_IO_AUTO);
	self->options.digest = variant->digest;
}

FIXTURE_TEARDOWN(evidence)
{
	stage_close(&self->stage);
	loopfs_umount(&self->fs);
}

static int stop_half_way(void *context, const struct rp_progress *p)
{
	const struct evidence_fixture *self = context;

	return !strcmp(p->phase, "copying") && p->bytes_done >= self->stop_at;
}

/* Leaves an export half-way. */
static void interrupt(struct evidence_fixture *self)
{
	const struct rp_watch watch = {
		.size = sizeof(watch), .context = self, .progress = stop_half_way};
	struct rp_export_options options = self->options;
	struct rp_error err;

	self->stop_at = 24 * MIB;
	options.watch = &watch;
	options.bandwidth = 100 * MIB;
	options.memory = 2 * MIB; /* or the rest is on its way when we are asked */
	EXPECT_EQ(stage_export(&self->stage, &options, &err), RP_FAILED, "%s",
		  err.message);
	EXPECT_EQ(err.os_error, ECANCELED);
}

/* That of a new stage, in the test's folder. */
static void interrupt_new(struct evidence_fixture *self)
{
	stage_make(&self->stage, test_dir(), SIZE, test_seed());
	self->options = stage_copying(RP_IO_AUTO);
	interrupt(self);
}

static const char *partial(const struct evidence_fixture *self, const char *name)
{
	const struct stage *s = &self->stage;

	return fmt("%s/%s", stage_partial_path(s->exports, s->point), name);
}

/* Whatever the store or the directory is asked for, nothing of it is touched. */
static void expect_refused(struct evidence_fixture *self)
{
	const char *folder = partial(self, ""), *before = listing(folder);
	struct rp_error err;

	for (int i = 0; i < 2; i++) {
		GIVES(INVALID_STATE, stage_export(&self->stage, &self->options, &err));
		EXPECT_NE(strstr(err.message, "--restart"), NULL, "%s", err.message);
		EXPECT_STREQ(err.step, "resume");
		EXPECT_STREQ(listing(folder), before);
		rp_store_close(stage_open(&self->stage, 0));
		EXPECT_STREQ(listing(folder), before);
	}
}

static void expect_restart_works(struct evidence_fixture *self)
{
	struct rp_export_options options = self->options;
	struct rp_error err;

	options.restart = true;
	GIVES(OK, stage_export(&self->stage, &options, &err));
	EXPECT_TRUE(stage_good_export(self->stage.exports, self->stage.point,
				      self->stage.twin));
	ASSERT_OK(system(fmt("rm -r '%s/web1'", self->stage.exports)));
}

#define IN_DATA (SIZE / 4 + 100)

static void change_bit(struct evidence_fixture *self)
{
	data_flip(partial(self, "vda.raw"), IN_DATA);
}

static void fill_hole(struct evidence_fixture *self)
{
	data_flip(partial(self, "vda.raw"), HOLE + HOLE_SIZE / 2);
}

static void cut_file(struct evidence_fixture *self)
{
	ASSERT_OK(truncate(partial(self, "vda.raw"), SIZE / 3));
}

static void lengthen_file(struct evidence_fixture *self)
{
	ASSERT_OK(truncate(partial(self, "vda.raw"), SIZE + 4096));
}

static void lose_data(struct evidence_fixture *self)
{
	punch(partial(self, "vda.raw"), SIZE / 4 + 65536, 65536);
}

static void lose_file(struct evidence_fixture *self)
{
	ASSERT_OK(unlink(partial(self, "vda.raw")));
}

static void replace_file(struct evidence_fixture *self)
{
	lose_file(self);
	data_create_random(partial(self, "vda.raw"), SIZE, 1, 24);
}

static void lose_journal(struct evidence_fixture *self)
{
	ASSERT_OK(unlink(partial(self, ".journal")));
}

static void damage_journal(struct evidence_fixture *self)
{
	ASSERT_OK(truncate(partial(self, ".journal"), 50));
}

static void edit_journal(struct evidence_fixture *self, const char *key, json_t *value)
{
	const char *path = partial(self, ".journal");
	json_t *doc = load_json(path);

	json_object_set_new(doc, key, value);
	save_json(path, doc);
}

static void other_point(struct evidence_fixture *self)
{
	edit_journal(self, "ReferencePointId",
		     json_string("11111111-1111-4111-8111-111111111111"));
}

static void other_engine(struct evidence_fixture *self)
{
	edit_journal(self, "EngineVersion", json_string("0.0.1"));
}

static void other_journal(struct evidence_fixture *self)
{
	edit_journal(self, "JournalVersion", json_integer(2));
}

/* It claims more than there is. */
static void other_mark(struct evidence_fixture *self)
{
	const char *path = partial(self, ".journal");
	json_t *doc = load_json(path);
	json_t *disk = json_array_get(json_object_get(doc, "Disks"), 0);

	json_object_set_new(disk, "Mark", json_integer(SIZE));
	save_json(path, doc);
}

static void other_disks(struct evidence_fixture *self)
{
	static const char *const disks[] = {"vda"};

	self->options.disks = disks;
	self->options.disk_count = 1;
}

#define SPOILED(name)                       \
	FIXTURE_VARIANT_ADD(evidence, name) \
	{                                   \
		.spoil = name               \
	}
#define SPOILED_UNDIGESTED(name)                         \
	FIXTURE_VARIANT_ADD(evidence, name##_undigested) \
	{                                                \
		.spoil = name, .digest = RP_DIGEST_NEVER \
	}
SPOILED(change_bit);
SPOILED_UNDIGESTED(change_bit);
SPOILED(fill_hole);
SPOILED_UNDIGESTED(fill_hole);
SPOILED(cut_file);
SPOILED_UNDIGESTED(cut_file);
SPOILED(lengthen_file);
SPOILED(lose_data);
SPOILED_UNDIGESTED(lose_data);
SPOILED(lose_file);
SPOILED(replace_file);
SPOILED(lose_journal);
SPOILED(damage_journal);
SPOILED(other_point);
SPOILED(other_engine);
SPOILED(other_journal);
SPOILED(other_mark);
SPOILED(other_disks);

TEST_F(evidence, is_kept_and_not_believed)
{
	interrupt(self);
	variant->spoil(self);
	expect_refused(self);
	expect_restart_works(self);
}

static int64_t resumed_bytes(const struct stage *s)
{
	json_t *manifest = load_json(
		fmt("%s/export.json", stage_export_path(s->exports, s->point)));
	int64_t bytes = json_number(json_array_get(json_object_get(manifest, "Disks"), 0),
				    "ResumedBytes");

	json_decref(manifest);
	return bytes;
}

/* What lies behind the mark is not even looked at. */
TEST(is_believed_up_to_its_mark_only)
{
	struct evidence_fixture self = {0};
	struct stage *s = &self.stage;
	struct rp_error err;

	interrupt_new(&self);
	data_flip(partial(&self, "vda.raw"), SIZE * 3 / 4);
	data_flip(partial(&self, "vda.raw"), SIZE - 1);
	data_flip(partial(&self, "vda.digest"), SIZE / 65536 * 16 - 1);
	GIVES(OK, stage_export(s, &self.options, &err));
	EXPECT_TRUE(stage_good_export(s->exports, s->point, s->twin));
	EXPECT_GE(resumed_bytes(s), 16 * MIB);
	stage_close(s);
}

/* How fast it may be is not what is exported. */
TEST(is_believed_at_another_rate)
{
	struct evidence_fixture self = {0};
	struct stage *s = &self.stage;
	struct rp_error err;

	interrupt_new(&self);
	self.options.iops = 1000000;
	self.options.max_pressure = 99;
	GIVES(OK, stage_export(s, &self.options, &err));
	EXPECT_TRUE(stage_good_export(s->exports, s->point, s->twin));
	EXPECT_GE(resumed_bytes(s), 16 * MIB);
	stage_close(s);
}

/* Where a process that removes files dies: at this one. */
static const char *dies_at;

int unlinkat(int dirfd, const char *name, int flags)
{
	if (dies_at && !strcmp(name, dies_at))
		_exit(0);
	return (int)syscall(SYS_unlinkat, dirfd, name, flags);
}

/* What is left of what was to be removed is no evidence. */
TEST(is_removed_half_way)
{
	struct evidence_fixture self = {0};
	struct stage *s = &self.stage;
	struct rp_error err;
	pid_t pid;

	interrupt_new(&self);
	pid = fork();
	if (pid == 0) {
		dies_at = "vda.raw";
		self.options.restart = true;
		stage_export(s, &self.options, &err);
		_exit(1);
	}
	ASSERT_EQ(waitpid(pid, &(int){0}, 0), pid);
	EXPECT_TRUE(exists(partial(&self, "vda.raw")));
	EXPECT_FALSE(exists(partial(&self, "vda.digest")));
	GIVES(OK, stage_export(s, &self.options, &err));
	EXPECT_TRUE(stage_good_export(s->exports, s->point, s->twin));
	EXPECT_EQ(resumed_bytes(s), 0);
	stage_close(s);
}

static struct rp_job *last_job(const struct stage *s)
{
	struct rp_job *job = NULL;
	struct rp_error err;
	json_t *list;
	char *text;

	GIVES(OK, rp_job_list(s->store, &text, &err));
	list = take_json(text);
	GIVES(OK, rp_job_open(s->store,
			      json_text(json_array_get(list, json_array_size(list) - 1),
					"InstanceID"),
			      &job, &err));
	json_decref(list);
	return job;
}

/* One that was refused has kept nothing of what it found. */
TEST(is_not_that_of_a_job_that_was_refused)
{
	struct evidence_fixture self = {0};
	struct stage *s = &self.stage;
	struct rp_export_options other = stage_copying(RP_IO_AUTO);
	struct rp_error err;
	struct rp_job *job;

	interrupt_new(&self);
	job = last_job(s);
	other.format = RP_FORMAT_QCOW2;
	GIVES(INVALID_STATE, stage_export(s, &other, &err));
	EXPECT_EQ(rp_job_request_state_change(job, RP_JOB_KILL, 0, &err), RP_JOB_DONE,
		  "%s", err.message);
	rp_job_close(job);
	EXPECT_STREQ(listing(s->exports), "");
	stage_close(s);
}

/* Of two exports that were interrupted the second has gone on from what the first had
 * kept; so it is not discarded with the first, however its directory is written. */
TEST(is_that_of_the_latest_job)
{
	struct evidence_fixture self = {0};
	struct stage *s = &self.stage;
	struct rp_error err;
	struct rp_job *job;

	interrupt_new(&self);
	job = last_job(s);
	strcat(s->exports, "/.");
	interrupt(&self);
	EXPECT_EQ(rp_job_request_state_change(job, RP_JOB_KILL, 0, &err), RP_JOB_DONE,
		  "%s", err.message);
	rp_job_close(job);
	EXPECT_TRUE(exists(partial(&self, "vda.raw")));
	GIVES(OK, stage_export(s, &self.options, &err));
	EXPECT_TRUE(stage_good_export(s->exports, s->point, s->twin));
	EXPECT_GE(resumed_bytes(s), 16 * MIB);
	stage_close(s);
}

/* What it was to be before, and what it is to be now. */
FIXTURE(digests)
{
	struct evidence_fixture e;
};

FIXTURE_VARIANT(digests)
{
	enum rp_digest before, now;
	const char *left, *whole; /* what is in the folder */
	bool spoilt;
};

#define PLAIN	 "vda.raw"
#define DIGESTED "vda.digest vda.raw"

FIXTURE_VARIANT_ADD(digests, never){
	.before = RP_DIGEST_NEVER, .now = RP_DIGEST_NEVER, .left = PLAIN, .whole = PLAIN};
FIXTURE_VARIANT_ADD(digests,
		    no_more){.now = RP_DIGEST_NEVER, .left = DIGESTED, .whole = PLAIN};
FIXTURE_VARIANT_ADD(digests, not_before){
	.before = RP_DIGEST_NEVER, .left = PLAIN, .whole = DIGESTED};
FIXTURE_VARIANT_ADD(digests, spoilt){.left = DIGESTED, .whole = DIGESTED, .spoilt = true};

FIXTURE_SETUP(digests)
{
	stage_make(&self->e.stage, test_dir(), SIZE, test_seed());
	self->e.options = stage_copying(RP_IO_AUTO);
}

FIXTURE_TEARDOWN(digests)
{
	stage_close(&self->e.stage);
}

/* They are no evidence: if they are wanted they are made anew of what is proven. */
TEST_F(digests, are_made_anew)
{
	struct evidence_fixture *e = &self->e;
	struct stage *s = &e->stage;
	struct rp_error err;

	e->options.digest = variant->before;
	interrupt(e);
	EXPECT_STREQ(listing(partial(e, "")), fmt(".journal config %s", variant->left));
	if (variant->spoilt)
		data_flip(partial(e, "vda.digest"), (SIZE / 4) / 65536 * 16 + 3);
	e->options.digest = variant->now;
	GIVES(OK, stage_export(s, &e->options, &err));
	EXPECT_TRUE(stage_good_export(s->exports, s->point, s->twin));
	EXPECT_STREQ(listing(stage_export_path(s->exports, s->point)),
		     fmt("config export.json %s", variant->whole));
	EXPECT_GE(resumed_bytes(s), 16 * MIB);
}

/* A disk in an export, and, left half-way, the export of its next point on that: every
 * other MiB is another, so half of what is before a mark is to be kept. */
static void interrupt_changes(struct evidence_fixture *self, enum rp_digest of_base,
			      char base[POINT_SIZE])
{
	struct rp_export_options whole = stage_copying(RP_IO_AUTO);
	struct stage *s = &self->stage;
	struct rp_error err;
	int fd;

	loopfs_mount(&self->fs, "xfs", 640 * MIB, NULL, NULL);
	stage_make(s, self->fs.mnt, SIZE, test_seed());
	whole.digest = of_base;
	GIVES(OK, stage_export(s, &whole, &err));
	memcpy(base, s->point, POINT_SIZE);
	fd = open(s->disk, O_RDWR | O_CLOEXEC);
	ASSERT_GE(fd, 0);
	for (uint64_t pos = 0; pos < SIZE; pos += 2 * MIB)
		data_write(fd, pos + 1, pos, MIB);
	close(fd);
	ASSERT_OK(system(fmt("cp '%s' '%s'", s->disk, s->twin)));
	stage_take(s, s->point);
	self->options = stage_copying(RP_IO_AUTO);
	self->options.base = base;
	interrupt(self);
}

/* Of a file that holds changes only the point is read where it has changed. */
TEST(has_only_changes)
{
	struct evidence_fixture self = {0};
	struct stage *s = &self.stage;
	char base[POINT_SIZE];
	struct rp_error err;
	json_t *manifest, *disk;

	interrupt_changes(&self, RP_DIGEST_AUTO, base);
	data_flip(partial(&self, "vda.raw"), 3 * MIB + 5); /* where it has no change */
	expect_refused(&self);
	data_flip(partial(&self, "vda.raw"), 3 * MIB + 5);
	data_flip(partial(&self, "vda.raw"), 2 * MIB + 5);
	expect_refused(&self);
	data_flip(partial(&self, "vda.raw"), 2 * MIB + 5);
	GIVES(OK, stage_export(s, &self.options, &err));
	GIVES(OK, rp_verify(stage_export_path(s->exports, s->point), NULL, NULL, &err));
	manifest = load_json(
		fmt("%s/export.json", stage_export_path(s->exports, s->point)));
	disk = json_array_get(json_object_get(manifest, "Disks"), 0);
	EXPECT_GE(json_number(disk, "ResumedBytes"), 16 * MIB);
	EXPECT_TRUE(json_is_object(json_object_get(disk, "Digest")));
	json_decref(manifest);
	GIVES(OK, rp_restore(stage_export_path(s->exports, s->point), "vda",
			     fmt("%s/restored", self.fs.mnt), NULL, NULL, &err));
	EXPECT_TRUE(data_same(s->twin, fmt("%s/restored", self.fs.mnt)));
	stage_close(s);
	loopfs_umount(&self.fs);
}

/* What has no base any more is exported in full: what was kept has changes only. */
TEST(lost_its_base_meanwhile)
{
	struct evidence_fixture self = {0};
	struct stage *s = &self.stage;
	char base[POINT_SIZE];
	struct rp_error err;
	char *name;

	interrupt_changes(&self, RP_DIGEST_NEVER, base);
	EXPECT_TRUE(exists(partial(&self, "vda.raw")));
	/* It comes back without data, and without digests. */
	GIVES(OK, rp_destroy_reference_point(s->store, base, &err));
	GIVES(OK, rp_import(s->store, stage_export_path(s->exports, base), &name, &err));
	free(name);
	GIVES(OK, stage_export(s, &self.options, &err));
	EXPECT_TRUE(stage_good_export(s->exports, s->point, s->twin));
	stage_close(s);
	loopfs_umount(&self.fs);
}

/* Destroying the point takes what was kept of its exports with it. */
TEST(goes_with_its_point)
{
	struct evidence_fixture self = {0};
	struct stage *s = &self.stage;
	struct rp_error err;

	interrupt_new(&self);
	EXPECT_TRUE(exists(partial(&self, "vda.raw")));
	GIVES(OK, rp_destroy_reference_point(s->store, s->point, &err));
	EXPECT_STREQ(listing(s->exports), "");
	stage_close(s);
}

TEST_MAIN
