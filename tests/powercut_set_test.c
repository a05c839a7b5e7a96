/* SPDX-License-Identifier: MIT */
/*
 * powercut_set_test.c - the power goes while many points are exported at once: of each
 * there is a whole export or none, the store opens, and the same command makes the rest
 */
#include <fcntl.h>
#include <linux/fs.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "data.h"
#include "harness.h"
#include "loopfs.h"
#include "stage.h"

#define COUNT	   40
#define SIZE	   (192 * KIB)
#define PER_RUN	   6   /* cuts of one run */
#define INSTANT_MS 400 /* they come within this time, which a run may take or not */

static const char *program;

static const char *missing(void)
{
	program = getenv("REFPOINT");
	if (!program)
		return "REFPOINT, the path of the program, is not set";
	return loopfs_skip_reason("xfs");
}

/* Of each file system: $CUTS, or a few. */
static unsigned cuts(void)
{
	const char *text = getenv("CUTS");

	return text ? (unsigned)strtoul(text, NULL, 10) : PER_RUN;
}

/*
 *	host/image	the file system whose power goes; host/cutN: what it had then
 *	mnt/out		where is exported to
 *	WHERE/store	and WHERE/diskN, with WHERE the one or the other
 *	host/twinN	what is on the disks
 */
FIXTURE(cut)
{
	struct loopfs host;
	uint64_t random;
	char image[PATH_MAX / 2], mnt[PATH_MAX / 4], where[PATH_MAX / 2];
	char points[COUNT][POINT_SIZE];
	bool mounted;
	unsigned published, missing; /* what was found after cuts */
};

FIXTURE_VARIANT(cut)
{
	const char *type, *size, *mkfs;
	const char *mount;
	bool same; /* the store is there too, and shares blocks */
};

FIXTURE_VARIANT_ADD(cut, xfs){
	.type = "xfs",
	.size = "400M",
	.mkfs = "mkfs.xfs -q",
	.mount = "loop,nouuid",
	.same = true,
};
FIXTURE_VARIANT_ADD(cut, btrfs){
	.type = "btrfs",
	.size = "256M",
	.mkfs = "mkfs.btrfs -q",
	.mount = "loop",
	.same = true,
};
FIXTURE_VARIANT_ADD(cut, to_xfs){
	.type = "xfs",
	.size = "320M",
	.mkfs = "mkfs.xfs -q",
	.mount = "loop,nouuid",
};
FIXTURE_VARIANT_ADD(cut, to_ext4){
	.type = "ext4",
	.size = "160M",
	.mkfs = "mkfs.ext4 -q -F",
	.mount = "loop",
};

static void mount_image(struct cut_fixture *self, const char *image, const char *options)
{
	ASSERT_OK(system(fmt("mount -o '%s' '%s' '%s'", options, image, self->mnt)));
	self->mounted = true;
}

static void unmount(struct cut_fixture *self)
{
	if (self->mounted)
		EXPECT_OK(system(fmt("umount '%s'", self->mnt)));
	self->mounted = false;
}

static const char *twin(const struct cut_fixture *self, unsigned i)
{
	return fmt("%s/twin%u", self->host.mnt, i);
}

static void add_system(struct cut_fixture *self, struct rp_store *store, unsigned i)
{
	const char *name = fmt("vm%02u", i), *config = fmt("%s/config", self->host.mnt);
	struct rp_disk disk = {.id = "vda", .path = fmt("%s/disk%u", self->where, i)};
	struct rp_error err;
	char *point;

	data_create_random(disk.path, SIZE, data_random(&self->random), 5);
	ASSERT_OK(system(fmt("cp '%s' '%s'", disk.path, twin(self, i))));
	GIVES(OK, rp_system_add(store, name, &disk, 1, &config, 1, &err));
	GIVES(OK, rp_create_reference_point(store, name, NULL, &point, &err));
	snprintf(self->points[i], POINT_SIZE, "%s", point);
	rp_free(point);
}

static struct rp_store *open_store(const struct cut_fixture *self)
{
	struct rp_store *store = NULL;
	struct rp_error err;

	GIVES(OK, rp_store_open(fmt("%s/store", self->where), NULL, &store, &err));
	return store;
}

FIXTURE_SETUP(cut)
{
	const char *why = loopfs_skip_reason(variant->type);
	struct rp_store *store;
	struct rp_error err;

	if (why)
		SKIP("%s", why);
	self->random = test_seed();
	loopfs_mount(&self->host, "xfs", 4096 * MIB, NULL, NULL);
	snprintf(self->image, sizeof(self->image), "%s/image", self->host.mnt);
	snprintf(self->mnt, sizeof(self->mnt), "%s/mnt", test_dir());
	snprintf(self->where, sizeof(self->where), "%s",
		 variant->same ? self->mnt : self->host.mnt);
	ASSERT_OK(mkdir(self->mnt, 0700));
	ASSERT_OK(system(fmt("truncate -s %s '%s' && %s '%s' >/dev/null 2>&1",
			     variant->size, self->image, variant->mkfs, self->image)));
	mount_image(self, self->image, "loop");
	ASSERT_OK(system(fmt("echo x >'%s/config'", self->host.mnt)));
	GIVES(OK, rp_store_init(fmt("%s/store", self->where), &err));
	store = open_store(self);
	for (unsigned i = 0; i < COUNT; i++)
		add_system(self, store, i);
	rp_store_close(store);
	unmount(self);
}

FIXTURE_TEARDOWN(cut)
{
	unmount(self);
	loopfs_umount(&self->host);
}

/* -------------------------------------------------------------------------- the cuts */

static pid_t start(const struct cut_fixture *self)
{
	pid_t pid = fork();

	ASSERT_GE(pid, 0);
	if (pid)
		return pid;
	dup2(open("/dev/null", O_WRONLY), STDOUT_FILENO);
	dup2(STDOUT_FILENO, STDERR_FILENO);
	execl(program, program, "--store", fmt("%s/store", self->where), "export",
	      "--all", fmt("%s/out", self->mnt), NULL);
	_exit(98);
}

static void cut(const struct cut_fixture *self, unsigned number)
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

static void export_and_cut(struct cut_fixture *self)
{
	int instants[PER_RUN], now = 0, status;
	pid_t pid;

	for (unsigned i = 0; i < PER_RUN; i++)
		instants[i] = (int)(data_random(&self->random) % INSTANT_MS);
	qsort(instants, PER_RUN, sizeof(instants[0]), by_number);
	mount_image(self, self->image, "loop");
	ASSERT_OK(mkdir(fmt("%s/out", self->mnt), 0700));
	ASSERT_OK(system("sync"));
	pid = start(self);
	for (unsigned i = 0; i < PER_RUN; i++) {
		usleep((useconds_t)(instants[i] - now) * 1000);
		now = instants[i];
		cut(self, i);
	}
	ASSERT_EQ(waitpid(pid, &status, 0), pid);
	ASSERT_EQ(status, 0);
	ASSERT_OK(system(fmt("rm -r '%s/out'", self->mnt)));
	unmount(self);
}

/* --------------------------------------------------------------------- and afterwards */

static const char *export_path(const struct cut_fixture *self, unsigned i)
{
	return fmt("%s/out/vm%02u/%s", self->mnt, i, strchr(self->points[i], '@') + 1);
}

static bool is_published(const struct cut_fixture *self, unsigned i)
{
	return exists(export_path(self, i));
}

static void expect_good(const struct cut_fixture *self, unsigned i)
{
	const char *path = export_path(self, i);
	struct rp_error err;

	EXPECT_EQ(rp_verify(path, NULL, NULL, &err), RP_OK, "%s", err.message);
	EXPECT_TRUE(data_same(fmt("%s/vda.raw", path), twin(self, i)), "%s", path);
}

/* Every job is known, and has ended. */
static void expect_records(const struct cut_fixture *self)
{
	struct rp_store *store = open_store(self);
	json_t *jobs, *job;
	struct rp_error err;
	char *text;
	size_t i;

	GIVES(OK, rp_job_list(store, &text, &err));
	jobs = json_loads(text, 0, NULL);
	json_array_foreach(jobs, i, job) {
		int64_t state = json_number(job, "JobState");

		EXPECT_TRUE(state == RP_JOB_COMPLETED || state == RP_JOB_EXCEPTION,
			    "%lld", (long long)state);
	}
	json_decref(jobs);
	rp_free(text);
	rp_store_close(store);
	EXPECT_STREQ(listing(fmt("%s/store/jobs/active", self->where)), "");
	EXPECT_STREQ(listing(fmt("%s/store/pending", self->where)), "");
}

static void look(struct cut_fixture *self, const struct cut_variant *variant,
		 unsigned number)
{
	char image[PATH_MAX + 64];
	int status;

	snprintf(image, sizeof(image), "%s/cut%u", self->host.mnt, number);
	mount_image(self, image, variant->mount);
	for (unsigned i = 0; i < COUNT; i++) {
		if (!is_published(self, i)) {
			self->missing++;
			continue;
		}
		self->published++;
		expect_good(self, i);
	}
	expect_records(self);
	/* It refuses those that are there, and makes the others. */
	ASSERT_GE(waitpid(start(self), &status, 0), 0);
	for (unsigned i = 0; i < COUNT; i++) {
		EXPECT_TRUE(is_published(self, i), "%u", i);
		expect_good(self, i);
		EXPECT_STREQ(listing(fmt("%s/out/vm%02u", self->mnt, i)),
			     strchr(self->points[i], '@') + 1);
	}
	expect_records(self);
	unmount(self);
	ASSERT_OK(unlink(image));
}

TEST_F_TIMEOUT(cut, each_export_is_whole_or_not_there, 3600)
{
	for (unsigned done = 0; done < cuts(); done += PER_RUN) {
		export_and_cut(self);
		for (unsigned i = 0; i < PER_RUN; i++)
			look(self, variant, i);
	}
	test_log("after cuts %u were published and %u missing", self->published,
		 self->missing);
	if (cuts() >= 40) {
		EXPECT_GT(self->published, 0);
		EXPECT_GT(self->missing, 0);
	}
}

TEST_MAIN_REQUIRES(missing)
