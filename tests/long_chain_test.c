/* SPDX-License-Identifier: MIT */
/*
 * long_chain_test.c - what a chain of many exports of many disks costs: as many looks at
 * its parts as there are files, and no more descriptors than a short one where it is only
 * checked
 */
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "data.h"
#include "engine_fixture.h"
#include "harness.h"
#include "intercept.h"

#define DISKS 8
#define PARTS 16
#define SIZE  (64 * KIB)

static atomic_uint lookups;   /* in documents */
static atomic_uint manifests; /* opened */
static unsigned oldest;	      /* manifest: when it is opened, this is done */
static void (*meanwhile)(void);

/* The library's calls come by here. */
json_t *json_object_get(const json_t *object, const char *key)
{
	lookups++;
	return REAL(json_object_get)(object, key);
}

static int before_syscall(long number, const long arg[6])
{
	if (number == SYS_openat2 && !strcmp((const char *)arg[1], "export.json") &&
	    ++manifests == oldest && meanwhile)
		meanwhile();
	return 0;
}

INTERCEPT_SYSCALL(before_syscall)

FIXTURE(chain)
{
	struct stage s;
	char points[PARTS + 1][POINT_SIZE];
};

static const char *disk_path(unsigned i)
{
	return i ? fmt("%s/disk%u", test_dir(), i) : fmt("%s/web1.img", test_dir());
}

static void add_disks(const struct stage *s)
{
	const char *path = fmt("%s/systems/web1/system.json", s->path);
	json_t *doc = load_json(path);

	for (unsigned i = 1; i < DISKS; i++) {
		data_create_random(disk_path(i), SIZE, i, i);
		json_array_append_new(json_object_get(doc, "Disks"),
				      json_pack("{s:s, s:s}", "DiskId", fmt("vd%u", i),
						"Path", disk_path(i)));
	}
	save_json(path, doc);
}

static void change_disks(unsigned night)
{
	for (unsigned i = 0; i < DISKS; i++) {
		int fd = open(disk_path(i), O_WRONLY | O_CLOEXEC);

		ASSERT_GE(fd, 0);
		data_write(fd, night, 4096 * (night % 8), 512);
		close(fd);
	}
}

/* Of night @i, on that of the one before. */
static uint32_t export_night(const struct chain_fixture *self, unsigned i,
			     struct rp_export_options options, struct rp_error *err)
{
	options.base = i ? self->points[i - 1] : NULL;
	options.strict = i;
	return rp_export(self->s.store, self->points[i], self->s.exports, &options, NULL,
			 err);
}

static const char *path_of(const struct chain_fixture *self, unsigned i)
{
	return stage_export_path(self->s.exports, self->points[i]);
}

/* All nights but the last are exported. */
FIXTURE_SETUP(chain)
{
	const struct rp_export_options options = stage_copying(RP_IO_SYNC);
	struct rp_error err;

	stage_make(&self->s, test_dir(), SIZE, test_seed());
	add_disks(&self->s);
	for (unsigned i = 0; i <= PARTS; i++) {
		change_disks(i);
		stage_take(&self->s, self->points[i]);
		if (i < PARTS)
			ASSERT_EQ(export_night(self, i, options, &err), RP_OK, "%s",
				  err.message);
	}
}

FIXTURE_TEARDOWN(chain)
{
	stage_close(&self->s);
}

static unsigned lookups_of_verify(const struct chain_fixture *self, unsigned i)
{
	struct rp_error err;

	lookups = 0;
	GIVES(OK, rp_verify(path_of(self, i), NULL, NULL, &err));
	return lookups;
}

/* Twice as many parts, twice the work. */
TEST_F(chain, verify_looks_at_each_part_once)
{
	unsigned half = lookups_of_verify(self, PARTS / 2 - 1);
	unsigned all = lookups_of_verify(self, PARTS - 1);

	EXPECT_LT(all, half * 9 / 4, "%u after %u", all, half);
}

/* However many disks need them. */
TEST_F(chain, an_export_reads_each_part_once)
{
	struct rp_export_options options = stage_copying(RP_IO_SYNC);
	struct rp_error err;

	for (unsigned merge = 0; merge < 2; merge++) {
		options.merge = merge;
		manifests = 0;
		GIVES(OK, export_night(self, PARTS, options, &err));
		EXPECT_GE(manifests, PARTS);
		EXPECT_LE(manifests, PARTS + 1, "merge %u", merge); /* the base's twice */
		remove_tree(path_of(self, PARTS));
	}
}

/* One that a part was exported without, though it is needed of it. */
static void lose_disk(const struct chain_fixture *self, unsigned part, size_t i)
{
	const char *path = fmt("%s/export.json", path_of(self, part));
	json_t *doc = load_json(path);

	ASSERT_OK(json_array_remove(json_object_get(doc, "Disks"), i));
	save_json(path, doc);
}

/* Others do not suffer for it, whichever was the first that needed the part. */
TEST_F(chain, what_a_part_lacks_is_told_of_its_disk)
{
	static const char *const others[] = {"vda", "vd2", "vd7"};
	struct rp_export_options options = stage_copying(RP_IO_SYNC);
	struct rp_error err;

	lose_disk(self, PARTS / 2, 3);
	for (unsigned merge = 0; merge < 2; merge++) {
		options.merge = merge;
		options.disks = NULL;
		options.disk_count = 0;
		GIVES(INVALID_STATE, export_night(self, PARTS, options, &err));
		EXPECT_STREQ(err.disk, "vd3");
		EXPECT_NE(strstr(err.message, "exported without this disk"), NULL, "%s",
			  err.message);
		options.disks = others;
		options.disk_count = ARRAY_SIZE(others);
		GIVES(OK, export_night(self, PARTS, options, &err));
		remove_tree(path_of(self, PARTS));
	}
}

static const struct chain_fixture *merging;
static unsigned middle; /* the part that is merged */

static void merge_middle(void)
{
	struct rp_error err;

	meanwhile = NULL;
	GIVES(OK, rp_merge(path_of(merging, middle), NULL, NULL, &err));
}

/* Then nobody needs what it was based on, but who has begun before. */
static void merge_and_remove(void)
{
	merge_middle();
	remove_tree(path_of(merging, middle - 1));
}

/* By then nothing of it is open any more. */
TEST_F(chain, a_part_is_merged_meanwhile)
{
	static void (*const ways[])(void) = {merge_middle, merge_and_remove};
	struct rp_export_options options = stage_copying(RP_IO_SYNC);
	struct rp_error err;

	merging = self;
	oldest = PARTS + 1;
	for (size_t i = 0; i < ARRAY_SIZE(ways); i++) {
		const char *tip = path_of(self, PARTS);

		middle = (i + 1) * PARTS / 4;
		meanwhile = ways[i];
		manifests = 0;
		GIVES(OK, export_night(self, PARTS, options, &err));
		EXPECT_GT(manifests, oldest);
		EXPECT_EQ(meanwhile, NULL);
		GIVES(OK, rp_verify(tip, NULL, NULL, &err));
		remove_tree(tip);
		oldest = PARTS + 1 - middle;
	}
}

/* With so many descriptors more than there are night @i can be exported. */
static int descriptors_of(const struct chain_fixture *self, unsigned i,
			  enum rp_format format)
{
	struct rp_export_options options = stage_copying(RP_IO_SYNC);
	int free = fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 0), more = 0;
	uint32_t rc = RP_FAILED;
	struct rp_error err;

	close(free);
	options.format = format;
	for (; rc; more++) {
		rlim_t limit = limit_files(getpid(), (rlim_t)(free + more));

		rc = export_night(self, i, options, &err);
		limit_files(getpid(), limit);
		if (rc)
			ASSERT_EQ(err.os_error, EMFILE, "%d more: %s", more, err.message);
	}
	return more;
}

TEST_F(chain, an_export_needs_no_descriptors_for_it)
{
	int all = descriptors_of(self, PARTS, RP_FORMAT_RAW);

	remove_tree(path_of(self, 1));
	EXPECT_LE(all, descriptors_of(self, 1, RP_FORMAT_RAW) + 4);
}

/* Those that images are based on are not all open at once. */
TEST_F(chain, images_need_few_descriptors_more)
{
	int raw, images;

	remove_tree(path_of(self, 1));
	raw = descriptors_of(self, 1, RP_FORMAT_RAW);
	remove_tree(path_of(self, 1));
	images = descriptors_of(self, 1, RP_FORMAT_QCOW2);
	EXPECT_LE(images, raw + 4);
}

TEST_F(chain, where_it_is_too_long_that_is_said)
{
	const char *tip = path_of(self, PARTS - 1);
	const char *output = fmt("%s/restored", test_dir());
	int free = fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 0);
	struct rp_error err;
	rlim_t limit;

	close(free);
	limit = limit_files(getpid(), (rlim_t)(free + 2 * PARTS));
	GIVES(FAILED, rp_restore(tip, "vda", output, NULL, NULL, &err));
	limit_files(getpid(), limit);
	EXPECT_EQ(err.os_error, EMFILE);
	EXPECT_NE(strstr(err.message, fmt("; the chain has %u exports", PARTS)), NULL,
		  "%s", err.message);
	GIVES(OK, rp_restore(tip, "vda", output, NULL, NULL, &err));
}

TEST_MAIN
