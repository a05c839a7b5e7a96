/* SPDX-License-Identifier: MIT */
/*
 * resume_test.c - exports that are interrupted and go on: by SIGKILL at any instant and
 * several times over, and by a full file system that is mended
 */
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
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

static bool crammed; /* there is no room for what is noted in a journal */

/* The library's calls come by here. */
int openat(int dirfd, const char *path, int flags, ...)
{
	va_list args;
	mode_t mode;

	va_start(args, flags);
	mode = flags & (O_CREAT | __O_TMPFILE) ? va_arg(args, mode_t) : 0;
	va_end(args);
	if (crammed && !strcmp(path, "..journal.new")) {
		errno = ENOSPC;
		return -1;
	}
	return (int)syscall(SYS_openat, dirfd, path, flags, mode);
}

/* What no mark stands for would only take room that there is none of. */
TEST(keeps_nothing_that_is_not_noted)
{
	struct rp_export_options options = stage_copying(RP_IO_AUTO);
	struct stage s;
	struct rp_error err;
	json_t *job;

	stage_make(&s, test_dir(), 24 * MIB, test_seed());
	options.bandwidth = 4 * MIB;
	crammed = true;
	GIVES(FAILED, stage_export(&s, &options, &err));
	crammed = false;
	EXPECT_EQ(err.os_error, ENOSPC, "%s", err.message);
	EXPECT_EQ(strstr(err.message, "is kept"), NULL, "%s", err.message);
	job = stage_only_job(&s);
	EXPECT_TRUE(json_is_false(json_object_get(job, "Kept")));
	json_decref(job);
	stage_expect_unharmed(&s, "");
	stage_close(&s);
}

static bool is_noted(const struct stage *s)
{
	struct stat st;

	return stat(fmt("%s/web1/.%s.partial/.journal", s->exports,
			strchr(s->point, '@') + 1),
		    &st) == 0 &&
	       st.st_size > 0;
}

static const char *filler(const struct stage *s)
{
	return fmt("%s.filler", s->exports);
}

/* Takes all the space there is but what the middle of the disk has already. */
static int fill_up(void *context, const struct rp_progress *p)
{
	const struct stage *s = context;

	if (p->bytes_done >= 16 * MIB && is_noted(s) && !exists(filler(s)))
		EXPECT_NE(system(fmt("fallocate -l 1G '%s' 2>/dev/null", filler(s))), 0);
	return 0;
}

/* The space that was missing has come: what was placed before is not placed again. */
TEST(goes_on_when_there_is_space)
{
	struct loopfs fs = {0}, small = {0};
	struct stage s;
	struct rp_export_options options = stage_copying(RP_IO_AUTO);
	struct rp_watch watch = {
		.size = sizeof(watch), .context = &s, .progress = fill_up};
	struct rp_error err;

	loopfs_mount(&fs, "ext4", 400 * MIB, NULL, NULL);
	loopfs_mount(&small, "ext4", 160 * MIB, NULL, NULL);
	stage_make(&s, fs.mnt, SIZE, test_seed());
	data_flip(s.disk, SIZE - 1); /* what there will be no space for */
	data_flip(s.twin, SIZE - 1);
	stage_take(&s, s.point);
	snprintf(s.exports, sizeof(s.exports), "%s", fmt("%s/exports", small.mnt));
	ASSERT_OK(mkdir(s.exports, 0700));
	options.watch = &watch;
	options.bandwidth = 20 * MIB;
	options.memory = 2 * MIB; /* or all is on its way when we are told */
	GIVES(FAILED, stage_export(&s, &options, &err));
	EXPECT_EQ(err.os_error, ENOSPC, "%s", err.message);
	EXPECT_NE(strstr(err.message, "is kept"), NULL, "%s", err.message);
	ASSERT_OK(unlink(filler(&s)));
	options = stage_copying(RP_IO_AUTO);
	GIVES(OK, stage_export(&s, &options, &err));
	EXPECT_TRUE(stage_good_export(s.exports, s.point, s.twin));
	EXPECT_GT(interrupted_kept_bytes(&(struct interrupted){.stage = &s}), 0);
	stage_close(&s);
	loopfs_umount(&small);
	loopfs_umount(&fs);
}

TEST_MAIN_REQUIRES(interrupted_missing)
