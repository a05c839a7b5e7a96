/* SPDX-License-Identifier: MIT */
/*
 * powercut_test.c - the power goes while an export is written: on what the device had
 * then, its log replayed, what is published verifies, what is not is resumed by the same
 * command
 */
#include <linux/fs.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "harness.h"
#include "interrupted.h"
#include "powercut.h"

#define SIZE	  (48 * MIB)
#define RATE	  "24M" /* some 1.2 seconds */
#define PER_RUN	  4	/* cuts of one export */
#define WITHIN_MS 1500	/* they come, at first */

FIXTURE(powercut)
{
	struct powercut power; /* its host has the store too */
	struct stage stage;
	struct interrupted export;
	unsigned published, resumed, begun; /* what was found after cuts */
};

FIXTURE_VARIANT(powercut)
{
	struct powercut_kind kind;
	const char *options; /* of the export */
};

FIXTURE_VARIANT_ADD(powercut, xfs){POWERCUT_XFS(320), .options = ""};
FIXTURE_VARIANT_ADD(powercut, ext4){POWERCUT_EXT4(160), .options = ""};
FIXTURE_VARIANT_ADD(powercut, btrfs){POWERCUT_BTRFS(256), .options = ""};
FIXTURE_VARIANT_ADD(powercut, xfs_qcow2){POWERCUT_XFS(320), .options = "--format qcow2"};
FIXTURE_VARIANT_ADD(powercut, ext4_vhdx){POWERCUT_EXT4(160), .options = "--format vhdx"};

FIXTURE_SETUP(powercut)
{
	struct stage *s = &self->stage;

	powercut_make(&self->power, &variant->kind, 2048 * MIB, WITHIN_MS);
	stage_make(s, self->power.host.mnt, SIZE, self->power.random);
	stage_close(s);
	self->export = (struct interrupted){.stage = s, .options = variant->options};
	snprintf(s->exports, sizeof(s->exports), "%s/exports", self->power.mnt);
}

FIXTURE_TEARDOWN(powercut)
{
	stage_close(&self->stage);
	powercut_destroy(&self->power);
}

static void mount_exports(struct powercut_fixture *self)
{
	powercut_mount(&self->power);
	if (!exists(self->stage.exports))
		ASSERT_OK(mkdir(self->stage.exports, 0700));
	ASSERT_OK(system("sync"));
}

static void export_and_cut(struct powercut_fixture *self)
{
	mount_exports(self);
	powercut_take(&self->power, PER_RUN, interrupted_start(&self->export, RATE));
	ASSERT_OK(system(fmt("rm -r '%s/web1'", self->stage.exports)));
	powercut_unmount(&self->power);
}

static void look(struct powercut_fixture *self, unsigned number)
{
	const struct stage *s = &self->stage;

	powercut_look(&self->power, number);
	if (exists(stage_export_path(s->exports, s->point))) {
		self->published++;
	} else {
		interrupted_finish(&self->export);
		if (interrupted_kept_bytes(&self->export))
			self->resumed++;
		else
			self->begun++;
	}
	EXPECT_TRUE(stage_good_export(s->exports, s->point, s->twin));
	powercut_drop(&self->power, number);
}

TEST_F_TIMEOUT(powercut, leaves_a_good_export_or_one_to_resume, 3600)
{
	unsigned cuts = interrupted_count("CUTS", PER_RUN);

	for (unsigned done = 0; done < cuts; done += PER_RUN) {
		export_and_cut(self);
		for (unsigned i = 0; i < PER_RUN; i++)
			look(self, i);
	}
	test_log("%u cuts: %u published, %u resumed, %u begun anew",
		 self->published + self->resumed + self->begun, self->published,
		 self->resumed, self->begun);
	if (cuts >= 40) {
		EXPECT_GT(self->published, 0);
		EXPECT_GT(self->resumed, cuts / 4);
	}
}

static bool dies_named; /* who gives an export its name */

int renameat2(int from, const char *old, int to, const char *new, unsigned flags)
{
	int r = (int)syscall(SYS_renameat2, from, old, to, new, flags);

	if (dies_named && flags == RENAME_NOREPLACE)
		_exit(0);
	return r;
}

/* The record of one that died as it had its name says that it is there: so it is. */
TEST_F(powercut, takes_no_name_that_a_record_tells_of)
{
	const struct rp_export_options options = stage_copying(RP_IO_AUTO);
	struct stage *s = &self->stage;
	struct rp_error err;
	siginfo_t info;
	json_t *doc;
	pid_t pid;

	mount_exports(self);
	pid = fork();
	if (pid == 0) {
		s->store = stage_open(s, 0);
		dies_named = true;
		stage_export(s, &options, &err);
		_exit(1);
	}
	ASSERT_OK(waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT));
	s->store = stage_open(s, 0);
	self->power.within_ms = 1; /* now */
	powercut_take(&self->power, 1, pid);
	doc = stage_only_job(s);
	EXPECT_EQ(json_number(doc, "JobState"), RP_JOB_COMPLETED);
	json_decref(doc);
	powercut_unmount(&self->power);
	powercut_look(&self->power, 0);
	EXPECT_TRUE(stage_good_export(s->exports, s->point, s->twin));
	powercut_drop(&self->power, 0);
}

TEST_MAIN_REQUIRES(interrupted_missing)
