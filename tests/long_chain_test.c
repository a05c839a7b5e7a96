/* SPDX-License-Identifier: MIT */
/*
 * long_chain_test.c - what a chain of many exports of many disks costs: as many looks at
 * its parts as there are files, and no more descriptors than a short one where it is only
 * checked
 */
#include <dlfcn.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "data.h"
#include "engine_fixture.h"
#include "harness.h"

#define DISKS 8
#define PARTS 16
#define SIZE  (64 * KIB)

static atomic_uint lookups; /* in documents */

/* The library's calls come by here. */
json_t *json_object_get(const json_t *object, const char *key)
{
	static json_t *(*real)(const json_t *object, const char *key);

	if (!real)
		real = dlsym(RTLD_NEXT, "json_object_get");
	lookups++;
	return real(object, key);
}

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

TEST_MAIN
