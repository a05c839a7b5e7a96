/* SPDX-License-Identifier: MIT */
/*
 * resume_test.c - exports that are interrupted and go on: by SIGKILL at any instant and
 * several times over, and by a full file system that is mended
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
#include "interrupted.h"
#include "loopfs.h"
#include "stage.h"

#define SIZE	  (96 * MIB) /* of the disk; more than half of it is data */
#define RATE	  "16M"
#define KILLS_MAX 3

/* Runs in all, of all variants: $RUNS, or a few. */
#define RUNS 6

FIXTURE(resumed)
{
	struct loopfs fs, other;
	struct stage stage;
	struct interrupted export;
	uint64_t random;
	uint64_t data; /* of all runs */
};

FIXTURE_VARIANT(resumed)
{
	bool elsewhere; /* to another file system */
	const char *options;
};

FIXTURE_VARIANT_ADD(resumed, uring){.options = "--clone never --io uring"};
FIXTURE_VARIANT_ADD(resumed, aio){.options = "--clone never --io aio"};
FIXTURE_VARIANT_ADD(resumed, sync){.options = "--clone never --io sync"};
FIXTURE_VARIANT_ADD(resumed, elsewhere_uring){.elsewhere = true,
					      .options = "--clone never --io uring"};
FIXTURE_VARIANT_ADD(resumed, elsewhere_aio){.elsewhere = true,
					    .options = "--clone never --io aio"};
FIXTURE_VARIANT_ADD(resumed, elsewhere_sync){.elsewhere = true,
					     .options = "--clone never --io sync"};

#define VARIANTS 6

FIXTURE_SETUP(resumed)
{
	struct stage *s = &self->stage;

	self->random = test_seed();
	loopfs_mount(&self->fs, "xfs", 640 * MIB, NULL, NULL);
	stage_make(s, self->fs.mnt, SIZE, self->random);
	self->export = (struct interrupted){.stage = s, .options = variant->options};
	if (!variant->elsewhere)
		return;
	loopfs_mount(&self->other, "ext4", 256 * MIB, NULL, NULL);
	snprintf(s->exports, sizeof(s->exports), "%s",
		 fmt("%s/exports", self->other.mnt));
	ASSERT_OK(mkdir(s->exports, 0700));
}

FIXTURE_TEARDOWN(resumed)
{
	stage_close(&self->stage);
	loopfs_umount(&self->other);
	loopfs_umount(&self->fs);
}

static void expect_not_early(const struct stage *s)
{
	const char *path = stage_export_path(s->exports, s->point);

	if (exists(path))
		EXPECT_TRUE(stage_good_export(s->exports, s->point, s->twin));
}

static void remove_export(const struct stage *s)
{
	ASSERT_OK(system(fmt("rm -r '%s/web1'", s->exports)));
}

static void one_run(struct resumed_fixture *self)
{
	const struct stage *s = &self->stage;
	struct interrupted *x = &self->export;
	unsigned kills = 1 + (unsigned)(data_random(&self->random) % KILLS_MAX);

	for (unsigned i = 0; i < kills; i++) {
		if (!interrupted_kill(x, RATE, data_random(&self->random) % 3000))
			break;
		expect_not_early(s);
	}
	if (!exists(stage_export_path(s->exports, s->point)))
		interrupted_finish(x);
	EXPECT_TRUE(stage_good_export(s->exports, s->point, s->twin));
	EXPECT_STREQ(listing(fmt("%s/web1", s->exports)), strchr(s->point, '@') + 1);
	EXPECT_STREQ(listing(stage_export_path(s->exports, s->point)),
		     "config export.json vda.digest vda.raw");
	x->written += interrupted_new_bytes(x);
	remove_export(s);
	self->data += data_bytes_of(s->twin);
}

TEST_F_TIMEOUT(resumed, after_kills_at_random_instants, 7200)
{
	unsigned count = (interrupted_count("RUNS", RUNS) + VARIANTS - 1) / VARIANTS;

	stage_close(&self->stage);
	for (unsigned i = 0; i < count; i++)
		one_run(self);
	self->stage.store = stage_open(&self->stage, 0);
	stage_expect_unharmed(&self->stage, "");
	test_log("%u runs, %u kills, %.3f times the data written", count,
		 self->export.killed, (double)self->export.written / (double)self->data);
	/* Of a few runs one may have had bad luck. */
	if (count >= 20)
		EXPECT_LE(self->export.written * 4, self->data * 5);
}

/* Takes all the space there is but what the middle of the disk has already. */
static int fill_up(void *context, const struct rp_progress *p)
{
	const char *filler = context;

	if (!strcmp(p->phase, "copying") && p->bytes_done >= 16 * MIB && !exists(filler))
		EXPECT_NE(system(fmt("fallocate -l 1G '%s' 2>/dev/null", filler)), 0);
	return 0;
}

/* The space that was missing has come: what was placed before is not placed again. */
TEST(goes_on_when_there_is_space)
{
	struct loopfs fs = {0}, small = {0};
	struct stage s;
	struct rp_export_options options = stage_copying(RP_IO_AUTO);
	struct rp_watch watch = {.size = sizeof(watch), .progress = fill_up};
	struct rp_error err;

	loopfs_mount(&fs, "ext4", 400 * MIB, NULL, NULL);
	loopfs_mount(&small, "ext4", 160 * MIB, NULL, NULL);
	stage_make(&s, fs.mnt, SIZE, test_seed());
	data_flip(s.disk, SIZE - 1); /* what there will be no space for */
	data_flip(s.twin, SIZE - 1);
	stage_take(&s, s.point);
	snprintf(s.exports, sizeof(s.exports), "%s", fmt("%s/exports", small.mnt));
	ASSERT_OK(mkdir(s.exports, 0700));
	watch.context = (void *)fmt("%s/filler", small.mnt);
	options.watch = &watch;
	options.bandwidth = 50 * MIB;
	options.memory = 2 * MIB; /* or all is on its way when we are told */
	GIVES(FAILED, stage_export(&s, &options, &err));
	EXPECT_EQ(err.os_error, ENOSPC, "%s", err.message);
	EXPECT_NE(strstr(err.message, "is kept"), NULL, "%s", err.message);
	ASSERT_OK(unlink(fmt("%s/filler", small.mnt)));
	options = stage_copying(RP_IO_AUTO);
	GIVES(OK, stage_export(&s, &options, &err));
	EXPECT_TRUE(stage_good_export(s.exports, s.point, s.twin));
	stage_close(&s);
	loopfs_umount(&small);
	loopfs_umount(&fs);
}

TEST_MAIN_REQUIRES(interrupted_missing)
