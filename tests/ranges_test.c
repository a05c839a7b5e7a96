/* SPDX-License-Identifier: MIT */
/*
 * ranges_test.c - what goes into a list of ranges comes out of it, in whole blocks, and
 * a long one does not lie in memory
 */
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "data.h"
#include "engine/ranges.h"
#include "harness.h"
#include "io/base.h"

#define B RANGES_GRAIN

static int begin(struct ranges *r, uint64_t size)
{
	int dirfd = open(test_dir(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	ASSERT_GE(dirfd, 0);
	return ranges_begin(r, size, dirfd);
}

static void end(struct ranges *r)
{
	close(r->dirfd);
	ranges_free(r);
}

/* "D 0-1 Z 1-3 ..." in blocks, "+5" being odd bytes. */
static const char *text_of(struct ranges *r)
{
	struct ranges_cursor cursor = {.ranges = r};
	static char text[500];
	struct change c;
	size_t len = 0;

	text[0] = 0;
	for (uint64_t pos = 0; ranges_next(&cursor, pos, &c) == 0; pos = c.end) {
		len += (size_t)snprintf(text + len, sizeof(text) - len, "%s%c %d-%d",
					len ? " " : "", "DZU"[c.kind], (int)(c.start / B),
					(int)(c.end / B));
		if (c.end % B)
			len += (size_t)snprintf(text + len, sizeof(text) - len, "+%d",
						(int)(c.end % B));
	}
	return text;
}

TEST(data_grows_outward_and_joins)
{
	struct ranges r;

	ASSERT_OK(begin(&r, 10 * B + 5));
	EXPECT_OK(ranges_add(&r, 10, 20, CHANGE_DATA));
	EXPECT_OK(ranges_add(&r, 30, B + 1, CHANGE_DATA));
	EXPECT_OK(ranges_add(&r, B + 7, 2 * B, CHANGE_DATA));
	EXPECT_OK(ranges_add(&r, 4 * B, 5 * B, CHANGE_DATA));
	EXPECT_OK(ranges_add(&r, 10 * B + 2, 12 * B, CHANGE_DATA));
	EXPECT_OK(ranges_end(&r));
	EXPECT_STREQ(text_of(&r), "D 0-2 D 4-5 D 10-10+5");
	EXPECT_EQ(r.count, 3);
	EXPECT_EQ(r.bytes[CHANGE_DATA], 3 * B + 5);
	end(&r);
}

TEST(zeros_shrink_inward_and_their_edges_are_data)
{
	struct ranges r;

	ASSERT_OK(begin(&r, 20 * B + 5));
	EXPECT_OK(ranges_add(&r, 10, 2 * B + 10, CHANGE_ZERO));
	EXPECT_OK(ranges_add(&r, 4 * B, 5 * B, CHANGE_ZERO));
	EXPECT_OK(ranges_add(&r, 6 * B + 1, 7 * B - 1, CHANGE_ZERO));
	EXPECT_OK(ranges_add(&r, 8 * B, 8 * B + 100, CHANGE_ZERO));
	EXPECT_OK(ranges_add(&r, 8 * B + 100, 9 * B, CHANGE_ZERO)); /* goes on */
	EXPECT_OK(ranges_add(&r, 20 * B, 20 * B + 5, CHANGE_ZERO)); /* all there is */
	EXPECT_OK(ranges_end(&r));
	EXPECT_STREQ(text_of(&r), "D 0-1 Z 1-2 D 2-3 Z 4-5 D 6-7 Z 8-9 Z 20-20+5");
	EXPECT_EQ(r.bytes[CHANGE_ZERO], 3 * B + 5);
	end(&r);
}

TEST(kinds_that_share_a_block_make_it_data)
{
	struct ranges r;

	ASSERT_OK(begin(&r, 10 * B));
	EXPECT_OK(ranges_add(&r, 0, B + 100, CHANGE_ZERO));
	EXPECT_OK(ranges_add(&r, B + 100, 3 * B - 7, CHANGE_UNSURE));
	EXPECT_OK(ranges_add(&r, 3 * B - 7, 5 * B, CHANGE_ZERO));
	EXPECT_OK(ranges_end(&r));
	EXPECT_STREQ(text_of(&r), "Z 0-1 D 1-3 Z 3-5");
	end(&r);
}

TEST(what_is_out_of_order_is_refused)
{
	struct ranges r;

	ASSERT_OK(begin(&r, 10 * B));
	EXPECT_OK(ranges_add(&r, 2 * B, 4 * B, CHANGE_DATA));
	EXPECT_EQ(ranges_add(&r, 3 * B, 5 * B, CHANGE_DATA), -EINVAL);
	EXPECT_OK(ranges_add(&r, 11 * B, 12 * B, CHANGE_DATA)); /* behind the end */
	EXPECT_OK(ranges_end(&r));
	EXPECT_STREQ(text_of(&r), "D 2-4");
	end(&r);
}

TEST(a_cursor_finds_what_ends_behind_a_place)
{
	struct ranges r;
	struct ranges_cursor cursor = {.ranges = &r};
	struct change c;

	ASSERT_OK(begin(&r, 100 * B));
	EXPECT_OK(ranges_add(&r, 2 * B, 4 * B, CHANGE_DATA));
	EXPECT_OK(ranges_add(&r, 8 * B, 9 * B, CHANGE_ZERO));
	EXPECT_OK(ranges_end(&r));
	EXPECT_OK(ranges_next(&cursor, 3 * B, &c));
	EXPECT_EQ(c.start, 2 * B);
	EXPECT_OK(ranges_next(&cursor, 3 * B + 1, &c));
	EXPECT_EQ(c.start, 2 * B);
	EXPECT_OK(ranges_next(&cursor, 4 * B, &c));
	EXPECT_EQ(c.start, 8 * B);
	EXPECT_EQ(ranges_next(&cursor, 9 * B, &c), -ENXIO);
	EXPECT_OK(ranges_next(&cursor, 0, &c)); /* back */
	EXPECT_EQ(c.start, 2 * B);
	end(&r);
}

/* Every second block of a petabyte's worth, at random distances: some megabytes. */
TEST(a_long_list_comes_back_from_its_file)
{
	uint64_t seed = test_seed(), again = seed, pos = 0;
	struct ranges_cursor cursor = {.ranges = NULL};
	struct ranges r;
	struct change c;

	ASSERT_OK(begin(&r, UINT64_C(1) << 50));
	for (unsigned i = 0; i < 1000000; i++) {
		uint64_t start = pos + B * (1 + data_random(&seed) % 1000);

		pos = start + B * (1 + data_random(&seed) % 300);
		ASSERT_OK(ranges_add(&r, start, pos, i % 3 ? CHANGE_DATA : CHANGE_ZERO));
	}
	ASSERT_OK(ranges_end(&r));
	EXPECT_GT(r.in_file, 2 * MIB);
	cursor.ranges = &r;
	pos = 0;
	for (unsigned i = 0; i < 1000000; i++) {
		uint64_t start = pos + B * (1 + data_random(&again) % 1000);

		ASSERT_OK(ranges_next(&cursor, pos, &c));
		pos = start + B * (1 + data_random(&again) % 300);
		ASSERT_EQ(c.start, start);
		ASSERT_EQ(c.end, pos);
		ASSERT_EQ(c.kind, i % 3 ? CHANGE_DATA : CHANGE_ZERO);
	}
	EXPECT_EQ(ranges_next(&cursor, pos, &c), -ENXIO);
	end(&r);
}

TEST_MAIN
