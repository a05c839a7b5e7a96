/* SPDX-License-Identifier: MIT */
/*
 * powercut_test.c - the power goes while an export is written: its file system lies in an
 * image, which is cloned at random instants; what the device had then is mounted, its log
 * replayed. What is published verifies, what is not is resumed by the same command
 */
#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "data.h"
#include "harness.h"
#include "interrupted.h"
#include "loopfs.h"
#include "stage.h"

#define SIZE	   (48 * MIB)
#define RATE	   "24M" /* some 1.2 seconds */
#define PER_RUN	   4	 /* cuts of one export */
#define INSTANT_MS 1500	 /* they come within this time */

FIXTURE(powercut)
{
	struct loopfs host; /* of the store and the images */
	struct stage stage;
	struct interrupted export;
	uint64_t random;
	char image[PATH_MAX / 2], mnt[PATH_MAX / 4];
	bool mounted;
	unsigned published, resumed, begun; /* what was found after cuts */
};

FIXTURE_VARIANT(powercut)
{
	const char *type, *size, *mkfs;
	const char *mount;   /* options: XFS does not mount what has a UUID it knows */
	const char *options; /* of the export */
};

FIXTURE_VARIANT_ADD(powercut, xfs){
	.type = "xfs",
	.size = "320M",
	.mkfs = "mkfs.xfs -q",
	.mount = "loop,nouuid",
	.options = "",
};
FIXTURE_VARIANT_ADD(powercut, ext4){
	.type = "ext4",
	.size = "160M",
	.mkfs = "mkfs.ext4 -q -F",
	.mount = "loop",
	.options = "",
};
FIXTURE_VARIANT_ADD(powercut, btrfs){
	.type = "btrfs",
	.size = "256M",
	.mkfs = "mkfs.btrfs -q",
	.mount = "loop",
	.options = "",
};
FIXTURE_VARIANT_ADD(powercut, xfs_qcow2){
	.type = "xfs",
	.size = "320M",
	.mkfs = "mkfs.xfs -q",
	.mount = "loop,nouuid",
	.options = "--format qcow2",
};
FIXTURE_VARIANT_ADD(powercut, ext4_vhdx){
	.type = "ext4",
	.size = "160M",
	.mkfs = "mkfs.ext4 -q -F",
	.mount = "loop",
	.options = "--format vhdx",
};

static void mount_image(struct powercut_fixture *self, const char *image,
			const char *options)
{
	ASSERT_OK(system(fmt("mount -o '%s' '%s' '%s'", options, image, self->mnt)));
	self->mounted = true;
}

static void unmount(struct powercut_fixture *self)
{
	if (self->mounted)
		EXPECT_OK(system(fmt("umount '%s'", self->mnt)));
	self->mounted = false;
}

FIXTURE_SETUP(powercut)
{
	struct stage *s = &self->stage;
	const char *why = loopfs_skip_reason(variant->type);

	if (why)
		SKIP("%s", why);
	self->random = test_seed();
	loopfs_mount(&self->host, "xfs", 2048 * MIB, NULL, NULL);
	stage_make(s, self->host.mnt, SIZE, self->random);
	stage_close(s);
	self->export = (struct interrupted){.stage = s, .options = variant->options};
	snprintf(self->image, sizeof(self->image), "%s/image", self->host.mnt);
	snprintf(self->mnt, sizeof(self->mnt), "%s/mnt", test_dir());
	ASSERT_OK(mkdir(self->mnt, 0700));
	ASSERT_OK(system(fmt("truncate -s %s '%s' && %s '%s' >/dev/null 2>&1",
			     variant->size, self->image, variant->mkfs, self->image)));
	snprintf(s->exports, sizeof(s->exports), "%s/exports", self->mnt);
}

FIXTURE_TEARDOWN(powercut)
{
	stage_close(&self->stage);
	unmount(self);
	loopfs_umount(&self->host);
}

/* -------------------------------------------------------------------------- the cuts */

/* All that the device has at this instant. */
static void cut(const struct powercut_fixture *self, unsigned number)
{
	int from = open(self->image, O_RDONLY | O_CLOEXEC);
	int to = open(fmt("%s/cut%u", self->host.mnt, number),
		      O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	ASSERT_GE(from, 0);
	ASSERT_GE(to, 0);
	ASSERT_OK(ioctl(to, FICLONE, from));
	close(from);
	close(to);
}

static int by_number(const void *a, const void *b)
{
	return *(const int *)a - *(const int *)b;
}

static void export_and_cut(struct powercut_fixture *self)
{
	int instants[PER_RUN], now = 0, status;
	pid_t pid;

	for (unsigned i = 0; i < PER_RUN; i++)
		instants[i] = (int)(data_random(&self->random) % INSTANT_MS);
	qsort(instants, PER_RUN, sizeof(instants[0]), by_number);
	mount_image(self, self->image, "loop");
	if (!exists(self->stage.exports))
		ASSERT_OK(mkdir(self->stage.exports, 0700));
	ASSERT_OK(system("sync"));
	pid = interrupted_start(&self->export, RATE);
	for (unsigned i = 0; i < PER_RUN; i++) {
		usleep((useconds_t)(instants[i] - now) * 1000);
		now = instants[i];
		cut(self, i);
	}
	ASSERT_EQ(waitpid(pid, &status, 0), pid);
	ASSERT_EQ(status, 0);
	ASSERT_OK(system(fmt("rm -r '%s/web1'", self->stage.exports)));
	unmount(self);
}

/* --------------------------------------------------------------------- and afterwards */

static void look(struct powercut_fixture *self, const struct powercut_variant *variant,
		 unsigned number)
{
	const struct stage *s = &self->stage;
	const char *image = fmt("%s/cut%u", self->host.mnt, number);

	mount_image(self, image, variant->mount);
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
	unmount(self);
	ASSERT_OK(unlink(image));
}

TEST_F_TIMEOUT(powercut, leaves_a_good_export_or_one_to_resume, 3600)
{
	unsigned cuts = interrupted_count("CUTS", PER_RUN);

	for (unsigned done = 0; done < cuts; done += PER_RUN) {
		export_and_cut(self);
		for (unsigned i = 0; i < PER_RUN; i++)
			look(self, variant, i);
	}
	test_log("%u cuts: %u published, %u resumed, %u begun anew",
		 self->published + self->resumed + self->begun, self->published,
		 self->resumed, self->begun);
	if (cuts >= 40) {
		EXPECT_GT(self->published, 0);
		EXPECT_GT(self->resumed, cuts / 4);
	}
}

TEST_MAIN_REQUIRES(interrupted_missing)
