/* SPDX-License-Identifier: MIT */
/*
 * resume_image_test.c - exports as qcow2 and VHDX that are interrupted and go on, whole
 * disks and changes: the image is, to the byte, the one that was never interrupted, and
 * its judges find the disk in it; of what was left nothing is believed unproven
 *
 * RUNS=N kills N exports; TEST_SEED=N repeats a run.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "data.h"
#include "engine_fixture.h"
#include "harness.h"
#include "image_fixture.h"
#include "interrupted.h"
#include "loopfs.h"
#include "stage.h"

#define SIZE	   (96 * MIB) /* of the disk; half of it and more is data */
#define RATE	   "16M"
#define KILLS_MAX  3
#define INSTANT_MS 3000
#define RUNS	   4 /* of all variants: one each */
#define VARIANTS   4

FIXTURE(image)
{
	struct loopfs fs, other;
	struct stage stage;
	struct interrupted export;
	char base[POINT_SIZE], reference[PATH_MAX / 2];
	uint64_t random, data; /* that one run moves */
};

FIXTURE_VARIANT(image)
{
	const char *format;
	bool based;
};

FIXTURE_VARIANT_ADD(image, qcow2){.format = "qcow2"};
FIXTURE_VARIANT_ADD(image, qcow2_based){.format = "qcow2", .based = true};
FIXTURE_VARIANT_ADD(image, vhdx){.format = "vhdx"};
FIXTURE_VARIANT_ADD(image, vhdx_based){.format = "vhdx", .based = true};

static const char *image_of(const struct stage *s, const char *point, const char *format)
{
	return fmt("%s/vda.%s", stage_export_path(s->exports, point), format);
}

static void remove_export(const struct stage *s, const char *point)
{
	ASSERT_OK(system(fmt("rm -r '%s'", stage_export_path(s->exports, point))));
}

/* Half of the disk is another, some of it is a hole. */
static void change_disk(const struct stage *s)
{
	int fd = open(s->disk, O_RDWR | O_CLOEXEC);

	ASSERT_GE(fd, 0);
	for (uint64_t pos = 0; pos < SIZE; pos += 2 * MIB)
		data_write(fd, pos + 1, pos, MIB);
	ASSERT_OK(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, SIZE / 2,
			    3 * MIB));
	ASSERT_OK(fsync(fd));
	close(fd);
	ASSERT_OK(system(fmt("cp '%s' '%s'", s->disk, s->twin)));
}

/* By any backend, each time another. */
static const char *options_of(struct image_fixture *self, const struct image_variant *v)
{
	static const char *const io[] = {"uring", "aio", "sync"};

	return fmt("--io %s --format %s %s %s",
		   io[data_random(&self->random) % ARRAY_SIZE(io)], v->format,
		   v->based ? "--base" : "", v->based ? self->base : "");
}

/* What is to come out is what comes out when nobody disturbs. */
FIXTURE_SETUP(image)
{
	struct stage *s = &self->stage;
	struct interrupted *x = &self->export;

	self->random = test_seed();
	loopfs_mount(&self->fs, "xfs", 640 * MIB, NULL, NULL);
	loopfs_mount(&self->other, "ext4", 512 * MIB, NULL, NULL);
	stage_make(s, self->fs.mnt, SIZE, self->random);
	snprintf(s->exports, sizeof(s->exports), "%s",
		 fmt("%s/exports", self->other.mnt));
	ASSERT_OK(mkdir(s->exports, 0700));
	*x = (struct interrupted){.stage = s,
				  .options = fmt("--format %s", variant->format)};
	if (variant->based) {
		interrupted_finish(x);
		memcpy(self->base, s->point, sizeof(self->base));
		change_disk(s);
		stage_take(s, s->point);
	}
	x->options = options_of(self, variant);
	interrupted_finish(x);
	self->data = interrupted_new_bytes(x);
	EXPECT_GT(self->data, SIZE / 3);
	snprintf(self->reference, sizeof(self->reference), "%s/reference",
		 self->other.mnt);
	ASSERT_OK(rename(image_of(s, s->point, variant->format), self->reference));
	remove_export(s, s->point);
}

FIXTURE_TEARDOWN(image)
{
	stage_close(&self->stage);
	loopfs_umount(&self->other);
	loopfs_umount(&self->fs);
}

static void judge(const struct image_fixture *self, const struct image_variant *v)
{
	const struct stage *s = &self->stage;
	const char *image = image_of(s, s->point, v->format);
	struct rp_error err;

	EXPECT_TRUE(data_same(self->reference, image));
	GIVES(OK, rp_verify(stage_export_path(s->exports, s->point), NULL, NULL, &err));
	if (!v->based || !strcmp(v->format, "qcow2")) {
		image_run("qemu-img check -q -f %s %s", v->format, image);
		image_run("qemu-img compare -q -f raw -F %s %s %s", v->format, s->twin,
			  image);
	}
	if (!strcmp(v->format, "vhdx"))
		image_run("/usr/bin/python3 tests/vhdi_compare.py / %s %s %s", s->twin,
			  image, v->based ? image_of(s, self->base, v->format) : "");
}

static void one_run(struct image_fixture *self, const struct image_variant *v)
{
	const struct stage *s = &self->stage;
	struct interrupted *x = &self->export;
	unsigned kills = 1 + (unsigned)(data_random(&self->random) % KILLS_MAX);
	bool running = true;

	for (unsigned i = 0;
	     running && !exists(stage_export_path(s->exports, s->point)) && i < kills;
	     i++) {
		x->options = options_of(self, v);
		running = interrupted_kill(x, RATE,
					   data_random(&self->random) % INSTANT_MS);
	}
	x->options = options_of(self, v);
	if (!exists(stage_export_path(s->exports, s->point)))
		interrupted_finish(x);
	judge(self, v);
	x->written += interrupted_new_bytes(x);
	remove_export(s, s->point);
}

TEST_F_TIMEOUT(image, after_kills_at_random_instants, 7200)
{
	unsigned count = (interrupted_count("RUNS", RUNS) + VARIANTS - 1) / VARIANTS;

	stage_close(&self->stage);
	for (unsigned i = 0; i < count; i++)
		one_run(self, variant);
	test_log("%u runs, %u kills, %.3f times the data written", count,
		 self->export.killed,
		 (double)self->export.written / (double)(self->data * count));
	/* Of a few runs one may have had bad luck. */
	if (count >= 20)
		EXPECT_LE(self->export.written * 4, self->data * count * 5);
}

/* --------------------------------------------------------------- what was left of it */

static int stop_half_way(void *context, const struct rp_progress *p)
{
	(void)context;
	return !strcmp(p->phase, "copying") && p->bytes_done >= 24 * MIB;
}

static struct rp_export_options options_for(const struct image_fixture *self,
					    const struct image_variant *v)
{
	return (struct rp_export_options){
		.size = sizeof(struct rp_export_options),
		.format = strcmp(v->format, "vhdx") ? RP_FORMAT_QCOW2 : RP_FORMAT_VHDX,
		.base = v->based ? self->base : NULL,
	};
}

/* Leaves it half-way; returns the path of the image. */
static const char *interrupt(const struct image_fixture *self,
			     const struct image_variant *v)
{
	const struct rp_watch watch = {.size = sizeof(watch), .progress = stop_half_way};
	const struct stage *s = &self->stage;
	struct rp_export_options options = options_for(self, v);
	struct rp_error err;

	options.watch = &watch;
	options.bandwidth = 100 * MIB;
	options.memory = 2 * MIB; /* one window at a time: all but the last is marked */
	GIVES(FAILED, stage_export(s, &options, &err));
	EXPECT_EQ(err.os_error, ECANCELED);
	return fmt("%s/vda.%s", stage_partial_path(s->exports, s->point), v->format);
}

static void fill(const char *path, uint64_t start, uint64_t len)
{
	int fd = open(path, O_RDWR | O_CLOEXEC);

	ASSERT_GE(fd, 0);
	data_write(fd, 7, start, len);
	close(fd);
}

static uint64_t size_of(const char *path)
{
	struct stat st;

	ASSERT_OK(stat(path, &st));
	return (uint64_t)st.st_size;
}

/* Tables are written again, whatever is there; what is behind the mark is not looked at.
 */
TEST_F_TIMEOUT(image, goes_on_after_a_cancel, 960)
{
	struct rp_export_options options = options_for(self, variant);
	const char *image = interrupt(self, variant);
	bool qcow2 = !strcmp(variant->format, "qcow2");
	/* A cluster each: header, refcounts and their table, L1, L2; and three of a
	 * bitmap. A MiB each: headers, log, metadata, BAT; and one of the sectors'
	 * bitmaps. */
	uint64_t tables = qcow2 ? (variant->based ? 8 : 5) * 64 * KIB
				: (variant->based ? 5 : 4) * MIB;
	uint64_t size = size_of(image);
	struct rp_error err;

	fill(image, 0, tables);
	fill(image, size - 2 * MIB, 2 * MIB);
	GIVES(OK, stage_export(&self->stage, &options, &err));
	judge(self, variant);
	EXPECT_GE(interrupted_kept_bytes(&self->export), 16 * MIB);
}

/* It was killed while it cut off what is behind the mark. */
TEST_F_TIMEOUT(image, goes_on_when_it_is_short, 960)
{
	struct rp_export_options options = options_for(self, variant);
	const char *image = interrupt(self, variant);
	struct rp_error err;

	ASSERT_OK(truncate(image, (off_t)(size_of(image) - 2 * MIB)));
	GIVES(OK, stage_export(&self->stage, &options, &err));
	judge(self, variant);
	EXPECT_GE(interrupted_kept_bytes(&self->export), 16 * MIB);
}

/* One after another, each refused twice and left where it is. */
TEST_F_TIMEOUT(image, is_not_believed_when_it_was_changed, 960)
{
	struct rp_export_options options = options_for(self, variant);

	for (unsigned i = 0; i < 4; i++) {
		const char *image = interrupt(self, variant), *folder, *before;
		struct rp_error err;

		folder = fmt("%.*s", (int)(strrchr(image, '/') - image), image);
		if (i == 0)
			fill(image, 12 * MIB + 100, 1);
		else if (i == 1)
			ASSERT_OK(truncate(image, 12 * MIB));
		else if (i == 2)
			ASSERT_OK(truncate(image, (off_t)(size_of(image) + 4096)));
		else
			ASSERT_OK(unlink(image));
		before = listing(folder);
		for (unsigned k = 0; k < 2; k++) {
			GIVES(INVALID_STATE, stage_export(&self->stage, &options, &err));
			EXPECT_NE(strstr(err.message, "--restart"), NULL, "%s",
				  err.message);
			EXPECT_STREQ(listing(folder), before);
		}
		options.restart = true;
		GIVES(OK, stage_export(&self->stage, &options, &err));
		options.restart = false;
		judge(self, variant);
		remove_export(&self->stage, self->stage.point);
	}
}

/* Clusters of another size are another image. */
TEST_F_TIMEOUT(image, is_not_taken_for_another, 960)
{
	struct rp_export_options options = options_for(self, variant);
	struct rp_error err;

	interrupt(self, variant);
	options.cluster_size = 2 * MIB;
	GIVES(INVALID_STATE, stage_export(&self->stage, &options, &err));
	options = options_for(self, variant);
	options.format = RP_FORMAT_RAW;
	GIVES(INVALID_STATE, stage_export(&self->stage, &options, &err));
	options = options_for(self, variant);
	GIVES(OK, stage_export(&self->stage, &options, &err));
	judge(self, variant);
	EXPECT_GE(interrupted_kept_bytes(&self->export), 16 * MIB);
}

/* What was kept has changes only, and there is nothing any more they are based on. */
TEST_F_TIMEOUT(image, begins_anew_without_its_base, 960)
{
	struct rp_export_options options = options_for(self, variant);
	const struct stage *s = &self->stage;
	struct rp_error err;
	const char *image;

	if (!variant->based)
		SKIP("it has none");
	interrupt(self, variant);
	remove_export(s, self->base);
	GIVES(OK, stage_export(s, &options, &err));
	image = image_of(s, s->point, variant->format);
	image_run("qemu-img check -q -f %s %s", variant->format, image);
	image_run("qemu-img compare -q -f raw -F %s %s %s", variant->format, s->twin,
		  image);
	EXPECT_EQ(interrupted_kept_bytes(&self->export), 0);
}

/* Takes all the space there is. */
static int fill_up(void *context, const struct rp_progress *p)
{
	const char *filler = context;

	if (!strcmp(p->phase, "copying") && p->bytes_done >= 8 * MIB && !exists(filler))
		EXPECT_NE(system(fmt("fallocate -l 1G '%s' 2>/dev/null", filler)), 0);
	return 0;
}

/* Somebody takes the space while it runs, and gives it back. */
TEST_F_TIMEOUT(image, goes_on_when_there_is_space, 960)
{
	struct rp_export_options options = options_for(self, variant);
	const char *filler = fmt("%s/filler", self->other.mnt);
	const struct rp_watch watch = {
		.size = sizeof(watch), .context = (void *)filler, .progress = fill_up};
	struct rp_error err;

	options.watch = &watch;
	options.bandwidth = 30 * MIB;
	GIVES(FAILED, stage_export(&self->stage, &options, &err));
	EXPECT_EQ(err.os_error, ENOSPC, "%s", err.message);
	ASSERT_OK(unlink(filler));
	options = options_for(self, variant);
	GIVES(OK, stage_export(&self->stage, &options, &err));
	judge(self, variant);
}

TEST_MAIN_REQUIRES(interrupted_missing)
