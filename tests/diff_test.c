/* SPDX-License-Identifier: MIT */
/*
 * diff_test.c - two maps side by side, and how records become a map: no files
 */
#include <stdio.h>
#include <stdlib.h>

#include "data.h"
#include "engine/diff.h"
#include "harness.h"
#include "io/base.h"

/* A map that a test has written down. */
struct list {
	struct io_map map;
	const struct io_extent *extents;
	size_t count, at;
};

static int list_next(void *list, struct io_extent *ret)
{
	struct list *l = list;

	if (l->at == l->count)
		return -ENXIO;
	*ret = l->extents[l->at++];
	return 0;
}

/* Only what begins before the limit, and once more what goes on behind it. */
static int list_record(struct io_map *map, struct io_extent *ret)
{
	struct list *l = container_of(map, struct list, map);
	int r;

	if (l->at < l->count && l->extents[l->at].start >= map->limit)
		return -ENXIO;
	r = list_next(l, ret);
	if (r == 0 && ret->end > map->limit && map->limit < map->size)
		l->at--;
	return r;
}

#define LIST(...)                                                    \
	{                                                            \
		.extents = (const struct io_extent[]){__VA_ARGS__},  \
		.count = sizeof((struct io_extent[]){__VA_ARGS__}) / \
			 sizeof(struct io_extent),                   \
	}

#define LIST_MAP(bytes)                                              \
	(struct io_map)                                              \
	{                                                            \
		.size = bytes, .limit = bytes, .record = list_record \
	}

#define ZERO(s, e)                                           \
	{                                                    \
		.start = s, .end = e, .kind = IO_EXTENT_ZERO \
	}
#define DATA(s, e, place)                                                 \
	{                                                                 \
		.start = s, .end = e, .kind = IO_EXTENT_DATA, .at = place \
	}
#define TAINT(s, e)                                           \
	{                                                     \
		.start = s, .end = e, .kind = IO_EXTENT_TAINT \
	}
#define PACKED(s, e, x, off)                    \
	{                                       \
		s, e, IO_EXTENT_DATA, off, x, 3 \
	}

struct pair {
	struct list *base, *target;
};

static int base_next(void *pair, struct io_extent *ret)
{
	return list_next(((struct pair *)pair)->base, ret);
}

static int target_next(void *pair, struct io_extent *ret)
{
	return list_next(((struct pair *)pair)->target, ret);
}

/* The same through the joining of pieces, which must change nothing. */
static int joined_base_next(void *pair, struct io_extent *ret)
{
	return io_map_next(&((struct pair *)pair)->base->map, ret);
}

static int joined_target_next(void *pair, struct io_extent *ret)
{
	return io_map_next(&((struct pair *)pair)->target->map, ret);
}

/* "SAME 0-10 DATA 10-20 ..." of disks of these sizes, blocks being 4. */
static const char *differences(struct list *base, struct list *target, uint64_t base_size,
			       uint64_t size)
{
	static const char *const names[] = {"SAME", "DATA", "ZERO", "UNSURE"};
	static char text[1000];
	struct pair pair = {base, target};
	struct diff_range range;
	struct diff diff;
	size_t len = 0;
	int r;

	diff_init(&diff, &pair, base_next, target_next, base_size, size, 4);
	text[0] = 0;
	while ((r = diff_next(&diff, &range)) == 0)
		len += (size_t)snprintf(text + len, sizeof(text) - len, "%s%s %d-%d",
					len ? " " : "", names[range.verdict],
					(int)range.start, (int)range.end);
	if (r != -ENXIO)
		snprintf(text + len, sizeof(text) - len, " error %d", -r);
	return text;
}

TEST(the_same_place_is_the_same_data)
{
	struct list a = LIST(DATA(0, 40, 1000), ZERO(40, 80));
	struct list b = LIST(DATA(0, 40, 1000), ZERO(40, 80));

	EXPECT_STREQ(differences(&a, &b, 80, 80), "SAME 0-40 SAME 40-80");
}

TEST(places_are_compared_where_they_are)
{
	struct list a = LIST(DATA(0, 40, 1000));
	struct list b = LIST(DATA(0, 8, 1000), DATA(8, 12, 5000), DATA(12, 40, 1012));
	struct list c = LIST(DATA(0, 40, 1000));
	struct list d = LIST(DATA(0, 20, 996), DATA(20, 40, 1020));

	EXPECT_STREQ(differences(&a, &b, 40, 40), "SAME 0-8 DATA 8-12 SAME 12-40");
	EXPECT_STREQ(differences(&c, &d, 40, 40), "DATA 0-20 SAME 20-40");
}

/* H28: an incremental must say what reads as zeros now. */
TEST(H28_new_holes_are_zeros)
{
	struct list a = LIST(DATA(0, 40, 1000), ZERO(40, 80));
	struct list b = LIST(DATA(0, 8, 1000), ZERO(8, 60), DATA(60, 80, 7000));

	EXPECT_STREQ(differences(&a, &b, 80, 80),
		     "SAME 0-8 ZERO 8-40 SAME 40-60 DATA 60-80");
}

TEST(H1_tainted_places_say_nothing)
{
	struct list a = LIST(TAINT(0, 40), DATA(40, 80, 1000));
	struct list b = LIST(TAINT(0, 20), ZERO(20, 40), TAINT(40, 80));

	EXPECT_STREQ(differences(&a, &b, 80, 80),
		     "UNSURE 0-20 UNSURE 20-40 UNSURE 40-80");
}

TEST(packed_extents_are_compared_by_extent_and_offset)
{
	struct list a = LIST(PACKED(0, 40, 1000, 0), PACKED(40, 80, 2000, 0));
	struct list b = LIST(PACKED(0, 20, 1000, 0), PACKED(20, 40, 1000, 40),
			     PACKED(40, 60, 3000, 0), DATA(60, 80, 2020));

	EXPECT_STREQ(differences(&a, &b, 80, 80),
		     "SAME 0-20 DATA 20-40 DATA 40-60 DATA 60-80");
}

TEST(a_grown_disk_was_zeros_behind_its_end)
{
	struct list a = LIST(DATA(0, 10, 1000));
	struct list b = LIST(DATA(0, 20, 1000), ZERO(20, 30), DATA(30, 40, 1030));

	/* The block that holds the old end has changed, whatever the maps say. */
	EXPECT_STREQ(differences(&a, &b, 10, 40),
		     "SAME 0-8 DATA 8-10 DATA 10-12 DATA 12-20 SAME 20-30 DATA 30-40");
}

TEST(a_cut_disk_has_changed_where_it_ends)
{
	struct list a = LIST(DATA(0, 40, 1000));
	struct list b = LIST(DATA(0, 10, 1000));
	struct list c = LIST(DATA(0, 40, 1000));
	struct list d = LIST(ZERO(0, 10));

	EXPECT_STREQ(differences(&a, &b, 40, 10), "SAME 0-8 DATA 8-10");
	EXPECT_STREQ(differences(&c, &d, 40, 10), "ZERO 0-8 ZERO 8-10");
}

TEST(empty_disks)
{
	struct list none = {0}, a = LIST(DATA(0, 8, 1000));

	EXPECT_STREQ(differences(&none, &none, 0, 0), "");
	EXPECT_STREQ(differences(&none, &a, 0, 8), "DATA 0-4 DATA 4-8");
	EXPECT_STREQ(differences(&a, &none, 8, 0), "");
}

/* H4: a map that ends early or has a gap is no map. */
TEST(H4_maps_that_cannot_be_are_errors)
{
	struct list a = LIST(DATA(0, 40, 1000)), b = LIST(DATA(0, 20, 1000));
	struct list c = LIST(DATA(0, 40, 1000)), d = LIST(DATA(4, 40, 1004));

	EXPECT_STREQ(differences(&a, &b, 40, 40), "SAME 0-20 error 5");
	EXPECT_STREQ(differences(&c, &d, 40, 40), " error 5");
}

/* --------------------------------------------------------------- records to maps */

static const char *extents_of(struct list *l, uint64_t size)
{
	static const char *const names[] = {"ZERO", "DATA", "TAINT"};
	static char text[1000];
	struct io_extent e;
	size_t len = 0;
	int r;

	l->map = LIST_MAP(size);
	text[0] = 0;
	while ((r = io_map_next(&l->map, &e)) == 0)
		len += (size_t)snprintf(text + len, sizeof(text) - len,
					e.kind == IO_EXTENT_DATA ? "%s%s %d-%d @%d"
								 : "%s%s %d-%d",
					len ? " " : "", names[e.kind], (int)e.start,
					(int)e.end, (int)e.at);
	return r == -ENXIO ? text : "an error";
}

TEST(gaps_are_zeros)
{
	struct list none = {0}, l = LIST(DATA(8, 12, 100), DATA(20, 24, 200));

	EXPECT_STREQ(extents_of(&none, 40), "ZERO 0-40");
	EXPECT_STREQ(extents_of(&none, 0), "");
	EXPECT_STREQ(extents_of(&l, 40),
		     "ZERO 0-8 DATA 8-12 @100 ZERO 12-20 DATA 20-24 @200 ZERO 24-40");
}

/* What goes on behind the limit is told in two pieces; nothing is told twice. */
TEST(limits_move)
{
	struct list l = LIST(DATA(8, 20, 100), DATA(20, 24, 200));
	struct io_extent e;

	l.map = LIST_MAP(40);
	io_map_limit(&l.map, 4);
	ASSERT_OK(io_map_next(&l.map, &e));
	EXPECT_TRUE(e.start == 0 && e.end == 4 && e.kind == IO_EXTENT_ZERO);
	EXPECT_EQ(io_map_next(&l.map, &e), -ENXIO);
	EXPECT_EQ(l.at, 0); /* read no further */
	io_map_limit(&l.map, 100);
	ASSERT_OK(io_map_next(&l.map, &e));
	EXPECT_TRUE(e.start == 4 && e.end == 8 && e.kind == IO_EXTENT_ZERO);
	ASSERT_OK(io_map_next(&l.map, &e));
	EXPECT_TRUE(e.start == 8 && e.end == 20 && e.at == 100);
	ASSERT_OK(io_map_next(&l.map, &e));
	EXPECT_TRUE(e.start == 20 && e.end == 24 && e.at == 200);
	ASSERT_OK(io_map_next(&l.map, &e));
	EXPECT_TRUE(e.start == 24 && e.end == 40 && e.kind == IO_EXTENT_ZERO);
	EXPECT_EQ(io_map_next(&l.map, &e), -ENXIO);
}

/* H7: how they are split says nothing. */
TEST(H7_pieces_are_joined)
{
	struct list l = LIST(DATA(0, 8, 100), DATA(8, 12, 108), DATA(12, 16, 200),
			     ZERO(20, 24), ZERO(24, 28), TAINT(28, 32), TAINT(32, 36));
	struct list p = LIST(PACKED(0, 8, 500, 0), PACKED(8, 12, 500, 8),
			     PACKED(12, 16, 600, 12));

	EXPECT_STREQ(extents_of(&l, 40), "DATA 0-12 @100 DATA 12-16 @200 ZERO 16-28 "
					 "TAINT 28-36 ZERO 36-40");
	EXPECT_STREQ(extents_of(&p, 16), "DATA 0-12 @0 DATA 12-16 @12");
}

TEST(H4_records_are_clipped)
{
	struct list l = LIST(DATA(0, 12, 100), DATA(8, 20, 308), DATA(10, 14, 900),
			     DATA(30, 60, 500), DATA(70, 80, 600));

	EXPECT_STREQ(extents_of(&l, 40),
		     "DATA 0-12 @100 DATA 12-20 @312 ZERO 20-30 DATA 30-40 @500");
}

/* ---------------------------------------------------------------------- at random */

#define UNITS 64

/* A disk as an array: what is at each unit. */
static size_t make_map(uint64_t *seed, const struct io_extent *like,
		       struct io_extent *map)
{
	for (size_t i = 0; i < UNITS; i++) {
		if (like && data_random(seed) % 4) {
			map[i] = like[i];
			continue;
		}
		map[i] = (struct io_extent){
			.start = i,
			.end = i + 1,
			.kind = (enum io_extent_kind)(data_random(seed) % 3),
		};
		if (map[i].kind == IO_EXTENT_DATA)
			map[i].at = i + data_random(seed) % 3 * 1000;
	}
	return UNITS;
}

TEST(any_two_maps_unit_by_unit)
{
	uint64_t seed = test_seed();

	for (unsigned round = 0; round < 2000; round++) {
		struct io_extent a[UNITS], b[UNITS];
		struct list la = {.extents = a, .count = make_map(&seed, NULL, a)};
		struct list lb = {.extents = b, .count = make_map(&seed, a, b)};
		struct pair pair = {&la, &lb};
		struct diff_range range;
		struct diff diff;
		uint64_t pos = 0;

		la.map = LIST_MAP(UNITS);
		lb.map = LIST_MAP(UNITS);
		diff_init(&diff, &pair, joined_base_next, joined_target_next, UNITS,
			  UNITS, 1);
		while (diff_next(&diff, &range) == 0) {
			ASSERT_EQ(range.start, pos);
			for (; pos < range.end; pos++) {
				enum diff_verdict want = DIFF_DATA;

				if (a[pos].kind == IO_EXTENT_TAINT ||
				    b[pos].kind == IO_EXTENT_TAINT)
					want = DIFF_UNSURE;
				else if (a[pos].kind == b[pos].kind &&
					 a[pos].at == b[pos].at)
					want = DIFF_SAME;
				else if (b[pos].kind == IO_EXTENT_ZERO)
					want = DIFF_ZERO;
				ASSERT_EQ(range.verdict, want, "unit %llu of round %u",
					  (unsigned long long)pos, round);
			}
		}
		ASSERT_EQ(pos, UNITS);
	}
}

TEST_MAIN
