/* SPDX-License-Identifier: MIT */
/*
 * powercut_set_test.c - the power goes while many points are exported at once: of each
 * there is a whole export or none, the store opens, and the same command makes the rest
 */
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "data.h"
#include "harness.h"
#include "powercut.h"
#include "stage.h"

#define COUNT	  40
#define SIZE	  (192 * KIB)
#define PER_RUN	  6   /* cuts of one run */
#define WITHIN_MS 400 /* they come, at first */

static const char *missing(void)
{
	return program_missing() ?: loopfs_skip_reason("xfs");
}

/* Of each file system: $CUTS, or a few. */
static unsigned cuts(void)
{
	const char *text = getenv("CUTS");

	return text ? (unsigned)strtoul(text, NULL, 10) : PER_RUN;
}

/*
 *	mnt/out		where is exported to, until the power goes
 *	WHERE/store	and WHERE/diskN, with WHERE the same file system or its host
 *	host/twinN	what is on the disks
 */
FIXTURE(cut)
{
	struct powercut power;
	char where[PATH_MAX / 2];
	char points[COUNT][POINT_SIZE];
	unsigned published, missing; /* what was found after cuts */
};

FIXTURE_VARIANT(cut)
{
	struct powercut_kind kind;
	bool same; /* the store is there too, and shares blocks */
};

FIXTURE_VARIANT_ADD(cut, xfs){POWERCUT_XFS(400), .same = true};
FIXTURE_VARIANT_ADD(cut, btrfs){POWERCUT_BTRFS(256), .same = true};
FIXTURE_VARIANT_ADD(cut, to_xfs){POWERCUT_XFS(320), .same = false};
FIXTURE_VARIANT_ADD(cut, to_ext4){POWERCUT_EXT4(160), .same = false};

static const char *twin(const struct cut_fixture *self, unsigned i)
{
	return fmt("%s/twin%u", self->power.host.mnt, i);
}

static void add_system(struct cut_fixture *self, struct rp_store *store, unsigned i)
{
	const char *name = fmt("vm%02u", i),
		   *config = fmt("%s/config", self->power.host.mnt);
	struct rp_disk disk = {.id = "vda", .path = fmt("%s/disk%u", self->where, i)};
	struct rp_error err;
	char *point;

	data_create_random(disk.path, SIZE, data_random(&self->power.random), 5);
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
	struct powercut *p = &self->power;
	struct rp_store *store;
	struct rp_error err;

	powercut_make(p, &variant->kind, 4096 * MIB, WITHIN_MS);
	snprintf(self->where, sizeof(self->where), "%s",
		 variant->same ? p->mnt : p->host.mnt);
	powercut_mount(p);
	ASSERT_OK(system(fmt("echo x >'%s/config'", self->power.host.mnt)));
	GIVES(OK, rp_store_init(fmt("%s/store", self->where), &err));
	store = open_store(self);
	for (unsigned i = 0; i < COUNT; i++)
		add_system(self, store, i);
	rp_store_close(store);
	powercut_unmount(p);
}

FIXTURE_TEARDOWN(cut)
{
	powercut_destroy(&self->power);
}

static pid_t start(const struct cut_fixture *self)
{
	pid_t pid = fork();

	ASSERT_GE(pid, 0);
	if (pid)
		return pid;
	dup2(open("/dev/null", O_WRONLY), STDOUT_FILENO);
	dup2(STDOUT_FILENO, STDERR_FILENO);
	execl(program(), program(), "--store", fmt("%s/store", self->where), "export",
	      "--all", fmt("%s/out", self->power.mnt), NULL);
	_exit(98);
}

static void export_and_cut(struct cut_fixture *self)
{
	struct powercut *p = &self->power;

	powercut_mount(p);
	ASSERT_OK(mkdir(fmt("%s/out", p->mnt), 0700));
	ASSERT_OK(system("sync"));
	powercut_take(p, PER_RUN, start(self));
	ASSERT_OK(system(fmt("rm -r '%s/out'", p->mnt)));
	powercut_unmount(p);
}

static const char *export_path(const struct cut_fixture *self, unsigned i)
{
	return fmt("%s/out/vm%02u/%s", self->power.mnt, i,
		   strchr(self->points[i], '@') + 1);
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

/* What a dead job has left may be on what is not mounted now (job_sweep.h), as here where
 * the cut's device has got another number; else it is looked after. */
static void expect_swept(const struct cut_fixture *self)
{
	char *ids = strdup(listing(fmt("%s/store/jobs/active", self->where)));
	char *id, *rest = ids;
	struct stat now;

	ASSERT_OK(stat(self->power.mnt, &now));
	while ((id = strsep(&rest, " ")) && *id) {
		json_t *job = load_json(
			fmt("%s/store/jobs/active/%s/job.json", self->where, id));

		EXPECT_NE(json_number(job, "ExportDevice"), now.st_dev, "%s", id);
		json_decref(job);
	}
	free(ids);
}

/* Every job is known, has ended, and if it has exported says what. */
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
		EXPECT_EQ(json_array_size(json_object_get(job, "ExportedDisks")),
			  state == RP_JOB_COMPLETED);
	}
	json_decref(jobs);
	rp_free(text);
	rp_store_close(store);
	expect_swept(self);
	EXPECT_STREQ(listing(fmt("%s/store/pending", self->where)), "");
}

static void look(struct cut_fixture *self, unsigned number)
{
	int status;

	powercut_look(&self->power, number);
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
		EXPECT_STREQ(listing(fmt("%s/out/vm%02u", self->power.mnt, i)),
			     strchr(self->points[i], '@') + 1);
	}
	expect_records(self);
	powercut_drop(&self->power, number);
}

TEST_F_TIMEOUT(cut, each_export_is_whole_or_not_there, 3600)
{
	for (unsigned done = 0; done < cuts(); done += PER_RUN) {
		export_and_cut(self);
		for (unsigned i = 0; i < PER_RUN; i++)
			look(self, i);
	}
	test_log("after cuts %u were published and %u missing", self->published,
		 self->missing);
	if (cuts() >= 40) {
		EXPECT_GT(self->published, 0);
		EXPECT_GT(self->missing, 0);
	}
}

TEST_MAIN_REQUIRES(missing)
