/* SPDX-License-Identifier: MIT */
/*
 * set_limits_test.c - a limit of a set is one of all its points together, in whatever
 * form it was given, and is no reservation
 */
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/sysinfo.h>
#include <unistd.h>

#include "data.h"
#include "engine_fixture.h"
#include "harness.h"

#define COUNT 3
#define SIZE  (4 * MIB)

/* Pools of buffers of at least this size that were made: the library's calls come by
 * here, and those of a sanitizer that is not ready yet. */
#define LARGE (40 * MIB)
static atomic_uint large_pools;

__attribute__((no_sanitize_thread)) void *mmap(void *at, size_t len, int prot, int flags,
					       int fd, off_t offset)
{
	if (fd < 0 && len >= LARGE && !(flags & (MAP_NORESERVE | MAP_STACK)))
		atomic_fetch_add(&large_pools, 1);
	return (void *)syscall(SYS_mmap, at, len, prot, flags, fd, offset);
}

FIXTURE(limits)
{
	struct engine e;
	char names[COUNT][POINT_SIZE];
	const char *points[COUNT];
	unsigned told, done, late;
	size_t most; /* jobs at once */
};

static void fill(int fd, uint64_t size, uint64_t seed)
{
	data_write(fd, seed, 0, size);
}

static void add_system(struct limits_fixture *self, unsigned i)
{
	const struct shape shape = {fmt("disk%u", i), SIZE, .fill = fill};
	struct rp_disk disk = {"vda", engine_disk(&self->e, shape.id)};
	const char *name = fmt("vm%u", i);
	struct rp_error err;
	char *point;

	shape_make(&shape, disk.path, i);
	ASSERT_EQ(rp_system_add(self->e.store, name, &disk, 1, NULL, 0, &err), RP_OK,
		  "%s", err.message);
	ASSERT_EQ(rp_create_reference_point(self->e.store, name, NULL, &point, &err),
		  RP_OK, "%s", err.message);
	snprintf(self->names[i], POINT_SIZE, "%s", point);
	self->points[i] = self->names[i];
	rp_free(point);
}

FIXTURE_SETUP(limits)
{
	engine_open(&self->e, "xfs", 0, NULL, NULL);
	for (unsigned i = 0; i < COUNT; i++)
		add_system(self, i);
}

FIXTURE_TEARDOWN(limits)
{
	engine_close(&self->e);
}

static void told(void *context, size_t index, uint32_t value, const char *report,
		 const struct rp_error *error)
{
	struct limits_fixture *self = context;

	(void)report;
	self->told++;
	self->done += value == RP_OK;
	self->late += value == RP_TIMEOUT;
	if (error)
		test_log("%zu: %s", index, error->message);
}

static int count_jobs(void *context, const struct rp_progress *progress)
{
	const char *names = listing(fmt("%s/store/jobs/active",
					((struct limits_fixture *)context)->e.fs.mnt));
	struct limits_fixture *self = context;
	size_t count = *names != '\0';

	(void)progress;
	for (; *names; names++)
		count += *names == ' ';
	if (count > self->most)
		self->most = count;
	return 0;
}

static uint32_t export(struct limits_fixture *self, struct rp_export_options *options,
		       struct rp_error *err)
{
	const struct rp_watch watch = {
		.size = sizeof(watch), .context = self, .progress = count_jobs};

	self->told = self->done = self->late = 0;
	options->size = sizeof(*options);
	options->watch = &watch;
	return rp_export_set(self->e.store, self->points, COUNT, self->e.out, options,
			     told, self, err);
}

static uint32_t export_by(struct limits_fixture *self, const char *settings,
			  struct rp_error *err)
{
	struct rp_export_options options = {.settings = settings};

	return export(self, &options, err);
}

TEST_F(limits, a_rate_in_settings_is_one_of_all)
{
	struct rp_error err;

	EXPECT_EQ(export_by(self,
			    "{\"Options\": {\"Clone\": \"never\", "
			    "\"BandwidthLimit\": 4194304}}",
			    &err),
		  RP_OK, "%s", err.message);
	EXPECT_EQ(self->done, COUNT);
	EXPECT_EQ(self->most, 1);
}

/* Each of them is one read and one write, and waits for both before it is complete. */
TEST_F(limits, requests_are_counted_over_all)
{
	uint64_t begin = now_ms();
	struct rp_error err;

	EXPECT_EQ(export_by(self,
			    "{\"Options\": {\"Clone\": \"never\", "
			    "\"BlockSize\": 4194304, \"IopsLimit\": 2}}",
			    &err),
		  RP_OK, "%s", err.message);
	EXPECT_EQ(self->done, COUNT);
	EXPECT_GE(now_ms() - begin, 1000 * (2 * COUNT - 2) / 2 * 9 / 10);
}

/* Each has time enough for itself. */
TEST_F(limits, a_time_in_settings_is_one_of_all)
{
	struct rp_error err;

	EXPECT_EQ(export_by(self,
			    "{\"Options\": {\"Clone\": \"never\", \"Timeout\": 2.0, "
			    "\"BandwidthLimit\": 4194304}}",
			    &err),
		  RP_TIMEOUT, "%s", err.message);
	EXPECT_EQ(self->told, COUNT);
	EXPECT_GE(self->late, 1);
	engine_expect_idle(&self->e);
}

TEST_F(limits, settings_that_cannot_be_are_refused_once)
{
	struct rp_error err;

	GIVES(INVALID_PARAMETER, export_by(self, "{\"Options\"", &err));
	GIVES(INVALID_PARAMETER,
	      export_by(self, "{\"Options\": {\"BlockSize\": 0}}", &err));
	EXPECT_EQ(self->told, 0);
	EXPECT_STREQ(listing(self->e.out), "");
	EXPECT_STREQ(listing(fmt("%s/store/jobs/ended", self->e.fs.mnt)), "");
}

/* What they say of a point is for each to find out. */
TEST_F(limits, settings_that_fit_some_points)
{
	const char *settings = fmt("{\"BaseReferencePoint\": \"%s\"}", self->names[0]);
	struct rp_error err;
	char *point;

	EXPECT_EQ(rp_create_reference_point(self->e.store, "vm0", NULL, &point, &err),
		  RP_OK, "%s", err.message);
	self->points[0] = point;
	EXPECT_NE(export_by(self, settings, &err), RP_OK);
	EXPECT_STREQ(err.system, "vm1");
	EXPECT_EQ(self->told, COUNT);
	EXPECT_EQ(self->done, 1);
	EXPECT_NE(export_by(self, "{\"DisksToExport\": [\"vdb\"]}", &err), RP_OK);
	EXPECT_EQ(self->told, COUNT);
	EXPECT_EQ(export_by(self, "{\"DisksToExport\": [\"vda\"]}", &err),
		  RP_INVALID_STATE, "the first is there");
	EXPECT_EQ(self->done, COUNT - 1);
	rp_free(point);
}

/* Far more than there is. */
TEST_F(limits, of_more_memory_than_there_is)
{
	static const uint64_t limits[] = {64 * GIB, 1024 * GIB, GIB * 1024 * 7000000,
					  UINT64_MAX};
	struct rp_error err;

	for (size_t i = 0; i < ARRAY_SIZE(limits); i++) {
		struct rp_export_options o = stage_copying(RP_IO_AUTO);

		o.memory = limits[i];
		EXPECT_EQ(export(self, &o, &err), RP_OK, "%s", err.message);
		EXPECT_EQ(self->done, COUNT);
		for (unsigned k = 0; k < COUNT; k++)
			remove_tree(fmt("%s/vm%u", self->e.out, k));
	}
}

/* Each of them says that it does not do, though none of them has begun. */
TEST_F(limits, of_less_memory_than_one_needs)
{
	struct rp_export_options o = stage_copying(RP_IO_AUTO);
	struct rp_error err;

	o.memory = MIB;
	EXPECT_EQ(export(self, &o, &err), RP_OUT_OF_MEMORY, "%s", err.message);
	EXPECT_EQ(self->done, 0);
}

/* It is what all of them have on their way together. */
TEST_F(limits, a_queue_depth_is_one_of_all)
{
	struct rp_export_options o = stage_copying(RP_IO_AUTO);
	struct rp_error err;

	o.queue_depth = LARGE / MIB;
	large_pools = 0;
	EXPECT_EQ(export(self, &o, &err), RP_OK, "%s", err.message);
	EXPECT_EQ(self->done, COUNT);
	EXPECT_EQ(large_pools, 1);
}

/* What one of them can use there is; what all could use at once there is not. */
TEST_F(limits, of_more_memory_than_there_is_for_all)
{
	struct rp_export_options o = stage_copying(RP_IO_AUTO);
	struct sysinfo info;
	struct rp_error err;

	ASSERT_OK(sysinfo(&info));
	o.memory = UINT64_MAX;
	o.block_size = 64 * MIB;
	o.queue_depth = (unsigned)(info.totalram * info.mem_unit / 2 / o.block_size);
	if (o.queue_depth > 256)
		test_skip("more memory than a queue may be deep");
	EXPECT_EQ(export(self, &o, &err), RP_OK, "%s", err.message);
	EXPECT_EQ(self->done, COUNT);
}

TEST_MAIN
