/* SPDX-License-Identifier: MIT */
/*
 * plan_test.c - windows and segments against what they should cover; no files
 */
#include <stdlib.h>

#include "data.h"
#include "engine/plan.h"
#include "harness.h"
#include "io/base.h"

struct range {
	uint64_t start, end;
};

/* Data ranges in the order of their starts. */
struct map {
	struct range range[64];
	unsigned count;
	bool whole;	 /* tells ranges as they are, also when pos is inside */
	unsigned calls;	 /* so far */
	unsigned fails;	 /* at this call, from 1; 0 = never */
	int error;	 /* with this */
	uint64_t max_at; /* the largest pos asked for */
};

static int next_of_map(void *context, uint64_t pos, uint64_t *ret_start,
		       uint64_t *ret_end)
{
	struct map *map = context;

	map->max_at = max_u64(map->max_at, pos);
	if (++map->calls == map->fails)
		return map->error;
	for (unsigned i = 0; i < map->count; i++) {
		const struct range *r = &map->range[i];

		if (r->end <= pos)
			continue;
		*ret_start = map->whole ? r->start : max_u64(r->start, pos);
		*ret_end = r->end;
		return 0;
	}
	return -ENXIO;
}

static void add_range(struct map *map, uint64_t start, uint64_t end)
{
	ASSERT_LT(map->count, ARRAY_SIZE(map->range));
	map->range[map->count++] = (struct range){start, end};
}

/* ------------------------------------------------------------- known answers */

/* A segment as it lies on the disk, and the window it must come with. */
struct piece {
	uint64_t window, start, end;
};

static void expect_plan(struct plan *p, const struct piece *expected, size_t count)
{
	size_t room = PLAN_MAX_SEGMENTS(p->window, p->align), at = 0;
	_cleanup_free_ struct plan_segment *segments = calloc(room, sizeof(*segments));
	uint64_t window;
	unsigned n;
	int r;

	ASSERT_NE(segments, NULL);
	while ((r = plan_next(p, &window, segments, &n)) == 0) {
		ASSERT_GE(n, 1u);
		ASSERT_LE(n, room);
		for (unsigned i = 0; i < n; i++, at++) {
			ASSERT_LT(at, count, "one more at %llu",
				  (unsigned long long)window);
			EXPECT_EQ(window, expected[at].window, "segment %zu", at);
			EXPECT_EQ(window + segments[i].start, expected[at].start,
				  "segment %zu", at);
			EXPECT_EQ(window + segments[i].end, expected[at].end,
				  "segment %zu", at);
			/* A new window when it is expected, and only then. */
			if (at)
				EXPECT_EQ(i == 0,
					  expected[at].window != expected[at - 1].window,
					  "segment %zu", at);
		}
	}
	EXPECT_EQ(r, -ENXIO);
	EXPECT_EQ(at, count);
	EXPECT_EQ(plan_next(p, &window, segments, &n), -ENXIO, "again");
}
#define EXPECT_PLAN(p, ...)                                 \
	expect_plan(p, (const struct piece[]){__VA_ARGS__}, \
		    sizeof((const struct piece[]){__VA_ARGS__}) / sizeof(struct piece))

#define K (UINT64_C(1) << 10)

TEST(a_disk_without_bytes_is_not_even_asked)
{
	struct map map = {.range = {{0, 4 * K}}, .count = 1};
	struct plan p;

	plan_init(&p, next_of_map, &map, 0, 64 * K, 4 * K, 0);
	expect_plan(&p, NULL, 0);
	EXPECT_EQ(map.calls, 0u);
}

TEST(a_disk_that_is_one_hole_has_no_window)
{
	struct map map = {.count = 0};
	struct plan p;

	plan_init(&p, next_of_map, &map, INT64_MAX, MIB, 4 * K, 0);
	expect_plan(&p, NULL, 0);
	EXPECT_EQ(map.calls, 1u);
}

TEST(all_data_is_one_segment_per_window_and_a_short_last_one)
{
	struct map map = {.range = {{0, 150 * K + 7}}, .count = 1};
	struct plan p;

	plan_init(&p, next_of_map, &map, 150 * K + 7, 64 * K, 4 * K, 0);
	EXPECT_PLAN(&p, {0, 0, 64 * K}, {64 * K, 64 * K, 128 * K},
		    {128 * K, 128 * K, 150 * K + 7});
}

TEST(one_byte_is_one_block)
{
	struct map map = {.range = {{100 * K + 1, 100 * K + 2}}, .count = 1};
	struct plan p;

	plan_init(&p, next_of_map, &map, 200 * K, 64 * K, 4 * K, 0);
	EXPECT_PLAN(&p, {64 * K, 100 * K, 104 * K});
}

TEST(the_last_byte_is_clipped_to_the_size)
{
	struct map map = {.range = {{100 * K, 100 * K + 1}}, .count = 1};
	struct plan p;

	plan_init(&p, next_of_map, &map, 100 * K + 1, 64 * K, 4 * K, 0);
	EXPECT_PLAN(&p, {64 * K, 100 * K, 100 * K + 1});
}

TEST(ranges_that_touch_are_one_segment)
{
	struct map map = {.count = 0};
	struct plan p;

	add_range(&map, 4 * K, 8 * K);
	add_range(&map, 8 * K, 12 * K); /* as they are */
	add_range(&map, 12 * K + 5, 12 * K + 6);
	add_range(&map, 15 * K, 16 * K + 1); /* in one block with the one before */
	add_range(&map, 20 * K, 21 * K);     /* touches when grown */
	add_range(&map, 28 * K, 29 * K);     /* does not */
	plan_init(&p, next_of_map, &map, 64 * K, 32 * K, 4 * K, 0);
	EXPECT_PLAN(&p, {0, 4 * K, 24 * K}, {0, 28 * K, 32 * K});
}

TEST(a_range_over_a_window_bound_is_cut_there)
{
	struct map map = {.count = 0};
	struct plan p;

	add_range(&map, 60 * K, 70 * K);
	add_range(&map, 80 * K, 84 * K);
	plan_init(&p, next_of_map, &map, 256 * K, 64 * K, 4 * K, 0);
	EXPECT_PLAN(&p, {0, 60 * K, 64 * K}, {64 * K, 64 * K, 72 * K},
		    {64 * K, 80 * K, 84 * K});
}

TEST(every_second_block_fills_the_segments)
{
	struct map map = {.count = 0};
	struct plan p;

	for (unsigned i = 0; i < 16; i += 2)
		add_range(&map, i * 4 * K, i * 4 * K + 1);
	plan_init(&p, next_of_map, &map, 64 * K, 64 * K, 4 * K, 0);
	EXPECT_PLAN(&p, {0, 0, 4 * K}, {0, 8 * K, 12 * K}, {0, 16 * K, 20 * K},
		    {0, 24 * K, 28 * K}, {0, 32 * K, 36 * K}, {0, 40 * K, 44 * K},
		    {0, 48 * K, 52 * K}, {0, 56 * K, 60 * K});
}

TEST(a_plan_may_begin_in_the_middle)
{
	struct map map = {.range = {{0, 256 * K}}, .count = 1, .whole = true};
	struct plan p;

	plan_init(&p, next_of_map, &map, 200 * K, 64 * K, 4 * K, 128 * K);
	EXPECT_PLAN(&p, {128 * K, 128 * K, 192 * K}, {192 * K, 192 * K, 200 * K});
	map.calls = 0;
	plan_init(&p, next_of_map, &map, 200 * K, 64 * K, 4 * K, 256 * K);
	expect_plan(&p, NULL, 0);
	EXPECT_EQ(map.calls, 0u, "it lies behind the end");
}

TEST(the_ends_of_the_largest_disk)
{
	uint64_t size = INT64_MAX, last = round_down(size, MIB);
	struct map map = {.range = {{0, 1}, {size - 1, UINT64_MAX}}, .count = 2};
	struct plan p;

	plan_init(&p, next_of_map, &map, size, MIB, 4 * K, 0);
	EXPECT_PLAN(&p, {0, 0, 4 * K}, {last, size - 4095, size});
	EXPECT_LT(map.max_at, size, "asks no further than the disk goes");
}

/* -------------------------------------------------------- broken map callbacks */

/* Plans to the first failure; returns it. Fails when it goes on for ever. */
static int run_plan(struct map *map, uint64_t size)
{
	struct plan_segment segments[PLAN_MAX_SEGMENTS(64 * 1024, 4096)];
	struct plan p;
	uint64_t window;
	unsigned n, rounds = 0;
	int r;

	plan_init(&p, next_of_map, map, size, 64 * K, 4 * K, 0);
	while ((r = plan_next(&p, &window, segments, &n)) == 0)
		ASSERT_LT(rounds++, 1000u, "it goes on for ever");
	return r;
}

struct answer {
	struct range range;
	bool again; /* whatever is asked; else only once */
	unsigned calls;
};

static int answer(void *context, uint64_t pos, uint64_t *ret_start, uint64_t *ret_end)
{
	struct answer *a = context;

	(void)pos;
	if (a->calls++ && !a->again)
		return -ENXIO;
	*ret_start = a->range.start;
	*ret_end = a->range.end;
	return 0;
}

static int first_window_of(struct answer a, uint64_t size, uint64_t pos)
{
	struct plan_segment segments[PLAN_MAX_SEGMENTS(64 * 1024, 4096)];
	struct plan p;
	uint64_t window;
	unsigned n;

	plan_init(&p, answer, &a, size, 64 * K, 4 * K, pos);
	return plan_next(&p, &window, segments, &n);
}

TEST(a_range_that_gets_nowhere_is_an_error)
{
	static const struct {
		const char *what;
		struct range range;
		uint64_t size, pos;
	} wrong[] = {
		{"empty", {8 * K, 8 * K}, 64 * K, 0},
		{"empty, in a block", {5000, 5000}, 64 * K, 0},
		{"ends first", {12 * K, 8 * K}, 64 * K, 0},
		{"ends first, in a block", {6000, 5000}, 64 * K, 0},
		{"all before pos", {0, 64 * K}, 128 * K, 64 * K},
		{"behind the disk", {64 * K, 65 * K}, 64 * K, 0},
		{"behind the disk, in its last block", {5000, 6000}, 5000, 0},
	};

	for (size_t i = 0; i < ARRAY_SIZE(wrong); i++) {
		struct answer a = {.range = wrong[i].range};

		EXPECT_EQ(first_window_of(a, wrong[i].size, wrong[i].pos), -EIO, "%s",
			  wrong[i].what);
	}
}

TEST(a_range_that_is_told_again_is_an_error)
{
	struct answer a = {.range = {0, 4 * K}, .again = true};

	EXPECT_EQ(first_window_of(a, 64 * K, 0), -EIO);
	a.range.end = 64 * K; /* to the end of the disk: nothing more is asked */
	EXPECT_EQ(first_window_of(a, 64 * K, 0), 0);
}

TEST(an_error_of_the_map_comes_through_and_is_no_end)
{
	struct map map = {.error = -EIO};

	for (unsigned i = 0; i < 8; i++)
		add_range(&map, i * 24 * K, i * 24 * K + 4 * K);
	/* Eight ranges; that there are no more is asked twice. */
	for (unsigned call = 1; call <= 10; call++) {
		map.calls = 0;
		map.fails = call;
		EXPECT_EQ(run_plan(&map, 256 * K), -EIO, "call %u", call);
	}
	map.calls = 0;
	map.fails = 11;
	EXPECT_EQ(run_plan(&map, 256 * K), -ENXIO, "there is no such call");
}

/* ------------------------------------------------------------------ at random */

#define MOST (32 * 1024) /* bytes of a random disk */

struct scene {
	struct map map;
	uint64_t size, window, align, pos;
};

static uint64_t below(uint64_t *state, uint64_t n)
{
	return data_random(state) % n;
}

static int by_start(const void *a, const void *b)
{
	const struct range *x = a, *y = b;

	return x->start < y->start ? -1 : x->start > y->start;
}

/* Ranges may overlap, touch, share a block and go on behind the end. */
static void make_scene(struct scene *s, uint64_t *state)
{
	*s = (struct scene){.size = below(state, MOST + 1)};
	s->align = UINT64_C(1) << below(state, 13);
	s->window = s->align << below(state, 6);
	if (below(state, 2))
		s->pos = round_down(below(state, MOST), s->window);
	else if (below(state, 2))
		s->pos = below(state, MOST);
	s->map.whole = below(state, 2);
	for (unsigned i = (unsigned)below(state, 20); i && s->size; i--) {
		uint64_t start = below(state, s->size);
		uint64_t len = 1 + below(state, below(state, 4) ? 600 : 9000);

		if (s->map.count && below(state, 4) == 0)
			start = min_u64(s->map.range[s->map.count - 1].end, s->size - 1);
		add_range(&s->map, start, start + len);
	}
	if (s->map.count)
		qsort(s->map.range, s->map.count, sizeof(struct range), by_start);
}

/* What must be moved, byte by byte: the blocks with data from pos on. */
static void make_model(const struct scene *s, bool *model)
{
	memset(model, 0, MOST);
	for (unsigned i = 0; i < s->map.count; i++) {
		const struct range *r = &s->map.range[i];
		uint64_t start = max_u64(r->start, s->pos);
		uint64_t end = min_u64(r->end, s->size);

		if (start >= end)
			continue;
		start = max_u64(start / s->align * s->align, s->pos);
		end = min_u64((end + s->align - 1) / s->align * s->align, s->size);
		memset(model + start, true, end - start);
	}
}

/* One window: where it may be, and its bytes taken off the model. */
static void check_window(const struct scene *s, bool *model, uint64_t window,
			 const struct plan_segment *segments, unsigned count)
{
	uint64_t last = 0;

	ASSERT_EQ(window % s->window, 0);
	ASSERT_GE(count, 1u);
	ASSERT_LE(count, PLAN_MAX_SEGMENTS(s->window, s->align));
	for (unsigned i = 0; i < count; i++) {
		uint64_t start = window + segments[i].start,
			 end = window + segments[i].end;

		ASSERT_LT(start, end);
		ASSERT_LE(end, min_u64(window + s->window, s->size));
		ASSERT_TRUE(start % s->align == 0 || start == s->pos);
		ASSERT_TRUE(end % s->align == 0 || end == s->size);
		if (i)
			ASSERT_GT(start, last, "touching segments are not joined");
		last = end;
		for (uint64_t at = start; at < end; at++) {
			ASSERT_TRUE(model[at], "hole, or a second time: %llu",
				    (unsigned long long)at);
			model[at] = false;
		}
	}
}

static void check_scene(struct scene *s)
{
	_cleanup_free_ bool *model = malloc(MOST);
	size_t room = PLAN_MAX_SEGMENTS(s->window, s->align);
	struct plan_segment segments[room];
	struct plan p;
	uint64_t window, next = 0;
	unsigned count;
	int r;

	ASSERT_NE(model, NULL);
	make_model(s, model);
	plan_init(&p, next_of_map, &s->map, s->size, s->window, s->align, s->pos);
	while ((r = plan_next(&p, &window, segments, &count)) == 0) {
		ASSERT_GE(window, next, "windows go forward");
		check_window(s, model, window, segments, count);
		next = window + s->window;
	}
	ASSERT_EQ(r, -ENXIO);
	ASSERT_EQ(plan_next(&p, &window, segments, &count), -ENXIO);
	ASSERT_EQ(memchr(model, true, MOST), NULL, "data left out");
	/* Each range once, and twice that there are no more. */
	ASSERT_LE(s->map.calls, s->map.count + 2);
}

TEST(windows_cover_exactly_the_data_whatever_it_is)
{
	uint64_t state = test_seed();

	for (unsigned i = 0; i < 4000; i++) {
		struct scene s;

		make_scene(&s, &state);
		check_scene(&s);
	}
}

TEST_MAIN
