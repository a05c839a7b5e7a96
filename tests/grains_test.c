/* SPDX-License-Identifier: MIT */
/*
 * grains_test.c - a disk as runs of grains: which have data, and which became zeros
 */
#include "engine/grains.h"
#include "harness.h"
#include "pattern.h"

/* The changes of a disk are those of another pattern. */
static int next_change(void *changes, uint64_t pos, uint64_t *ret_start,
		       uint64_t *ret_end)
{
	struct pattern *p = changes;
	struct source_range range;
	int r = p->source.next(&p->source, pos, &range);

	if (r == 0) {
		*ret_start = range.start;
		*ret_end = range.end;
	}
	return r;
}

static void expect_run(struct grains *g, uint64_t start, uint64_t end, bool zero)
{
	struct grain_run run;

	ASSERT_OK(grains_next(g, &run));
	EXPECT_EQ(run.start, start);
	EXPECT_EQ(run.end, end);
	EXPECT_EQ(run.zero, zero);
}

static void expect_no_run(struct grains *g)
{
	struct grain_run run;

	EXPECT_EQ(grains_next(g, &run), -ENXIO);
	EXPECT_EQ(grains_next(g, &run), -ENXIO, "again");
}

TEST(a_grain_has_data_if_a_byte_of_it_is)
{
	struct pattern p = pattern(5 * MIB + 1, 2 * MIB, 1);
	struct image im = {.name = "vda", .source = &p.source, .grain = 64 * KIB};
	struct grains g;

	grains_init(&g, &im);
	expect_run(&g, 0, 1, false);
	expect_run(&g, 32, 33, false);
	expect_run(&g, 64, 65, false);
	expect_no_run(&g);
}

TEST(two_ranges_in_a_grain_are_one)
{
	struct pattern p = pattern(128 * KIB, 8 * KIB, 4 * KIB);
	struct image im = {.name = "vda", .source = &p.source, .grain = 64 * KIB};
	struct grains g;

	grains_init(&g, &im);
	expect_run(&g, 0, 1, false);
	expect_run(&g, 1, 2, false);
	expect_no_run(&g);
}

TEST(changed_grains_have_data_or_became_zeros)
{
	struct pattern p = pattern(4 * MIB, 2 * MIB, MIB),
		       c = pattern(8 * MIB, 3 * MIB, 2 * MIB);
	struct image im = {.name = "vda",
			   .source = &p.source,
			   .grain = MIB,
			   .next_change = next_change,
			   .changes = &c};
	struct grains g;

	grains_init(&g, &im); /* changed: 0, 1, 3; data: 0, 2 */
	expect_run(&g, 0, 1, false);
	expect_run(&g, 1, 2, true);
	expect_run(&g, 3, 4, true);
	expect_no_run(&g);
}

TEST(an_empty_disk_has_no_grain)
{
	struct pattern p = pattern(0, MIB, MIB);
	struct image im = {.name = "vda", .source = &p.source, .grain = MIB};
	struct grains g;

	grains_init(&g, &im);
	expect_no_run(&g);
}

TEST_MAIN
