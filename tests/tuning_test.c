/* SPDX-License-Identifier: MIT */
/*
 * tuning_test.c - whatever block size, queue depth and memory limit: the same bytes
 * arrive, and the manifest says how
 */
#include <string.h>

#include "data.h"
#include "engine_fixture.h"
#include "engine/tuning.h"
#include "harness.h"
#include "stage.h"

#define SIZE (9 * MIB + 12345)

FIXTURE(tuning)
{
	struct stage stage;
};

FIXTURE_VARIANT(tuning)
{
	enum rp_io io;
};

FIXTURE_VARIANT_ADD(tuning, uring){RP_IO_URING};
FIXTURE_VARIANT_ADD(tuning, aio){RP_IO_AIO};
FIXTURE_VARIANT_ADD(tuning, sync){RP_IO_SYNC};

FIXTURE_SETUP(tuning)
{
	if (!backend_works(variant->io))
		SKIP("the backend does not work here");
	stage_make(&self->stage, test_dir(), SIZE, test_seed());
}

FIXTURE_TEARDOWN(tuning)
{
	stage_close(&self->stage);
}

/* What the manifest has to say when that is asked for; 0 = anything. */
struct asked {
	uint64_t block, memory;
	unsigned depth;
	uint64_t want_block;
	unsigned want_depth;
};

static void export_so(const struct stage *s, enum rp_io io, const struct asked *asked)
{
	struct rp_export_options o = stage_copying(io);
	const char *path = stage_export_path(s->exports, s->point);
	const json_t *disk;
	struct rp_error err;
	json_t *manifest;

	o.block_size = asked->block;
	o.queue_depth = asked->depth;
	o.memory = asked->memory;
	ASSERT_EQ(stage_export(s, &o, &err), RP_OK, "%s", err.message);
	EXPECT_TRUE(stage_good_export(s->exports, s->point, s->twin));
	manifest = load_json(fmt("%s/export.json", path));
	disk = disk_of(manifest, "vda");
	if (asked->want_block)
		EXPECT_EQ(json_number(disk, "BlockSize"), asked->want_block);
	if (asked->want_depth)
		EXPECT_EQ(json_number(disk, "QueueDepth"), asked->want_depth);
	EXPECT_EQ(!!strstr(json_text(disk, "BackendReason"), "asked for"),
		  asked->block || asked->depth || asked->memory, "%s",
		  json_text(disk, "BackendReason"));
	json_decref(manifest);
	remove_tree(fmt("%s/web1", s->exports));
}

TEST_F(tuning, of_every_kind)
{
	const struct asked cases[] = {
		{0},
		{.block = MIB, .depth = 2, .want_block = MIB, .want_depth = 2},
		{.block = 2 * MIB, .depth = 1, .want_block = 2 * MIB, .want_depth = 1},
		{.block = 2 * MIB, .depth = 256, .want_depth = 256},
		{.block = 64 * MIB, .want_block = 64 * MIB, .want_depth = 1},
		{.block = MIB, .depth = 1, .want_block = MIB, .want_depth = 1},
		{.memory = 2 * MIB}, /* less than the sync backend likes at once */
		{.memory = 3 * MIB},
		{.memory = 4 * MIB},
		{.memory = 5 * MIB, .block = MIB, .want_block = MIB, .want_depth = 4},
		{.memory = 32 * MIB},
		{.depth = 4, .want_depth = 4},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		export_so(&self->stage, variant->io, &cases[i]);
}

/* What the message says is enough. */
TEST_F(tuning, that_does_not_fit)
{
	const struct {
		struct asked asked;
		const char *needed;
	} cases[] = {
		{{.memory = MIB}, "at least 2 MiB"},
		{{.memory = 4 * MIB, .block = 8 * MIB}, "at least 8 MiB"},
		{{.memory = 4 * MIB, .block = MIB, .depth = 6}, "at least 6 MiB"},
		{{.memory = 4 * MIB, .block = 4 * MIB, .depth = 3}, "at least 12 MiB"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct rp_export_options o = stage_copying(variant->io);
		struct rp_error err;

		o.block_size = cases[i].asked.block;
		o.queue_depth = cases[i].asked.depth;
		o.memory = cases[i].asked.memory;
		EXPECT_EQ(stage_export(&self->stage, &o, &err), RP_OUT_OF_MEMORY);
		EXPECT_NE(strstr(err.message, cases[i].needed), NULL, "%s", err.message);
	}
}

TEST(who_is_held_back_does_not_try_how_fast_it_could_go)
{
	struct rp_export_options o = {.size = sizeof(o)};
	struct tuning t;
	struct rp_error err;

	ASSERT_EQ(tuning_of_options(&t, &o, &err), RP_OK);
	EXPECT_TRUE(t.choose);
	o.bandwidth = MIB;
	ASSERT_EQ(tuning_of_options(&t, &o, &err), RP_OK);
	EXPECT_FALSE(t.choose);
	o = (struct rp_export_options){.size = sizeof(o), .iops = 100};
	ASSERT_EQ(tuning_of_options(&t, &o, &err), RP_OK);
	EXPECT_FALSE(t.choose);
	o = (struct rp_export_options){.size = sizeof(o), .max_pressure = 10};
	ASSERT_EQ(tuning_of_options(&t, &o, &err), RP_OK);
	EXPECT_FALSE(t.choose);
}

TEST_MAIN
