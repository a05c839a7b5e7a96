/* SPDX-License-Identifier: MIT */
/*
 * throttle_test.c - the token bucket, with a clock of its own
 */
#include "engine/throttle.h"

#include "harness.h"
#include "io/base.h"

#define SECOND UINT64_C(1000000000)

/* Bytes that pass from @from to @to at @rate, in chunks that the device takes at once. */
static uint64_t pass(struct throttle *t, uint64_t rate, uint64_t chunk, uint64_t from,
		     uint64_t to)
{
	uint64_t bytes = 0, now = from;

	while (now < to) {
		if (throttle_ready(t, rate, now)) {
			throttle_take(t, chunk);
			bytes += chunk;
		} else {
			now += (uint64_t)throttle_wait_ms(t, rate, 50) * 1000000;
		}
	}
	return bytes;
}

static void expect_about(uint64_t bytes, uint64_t want)
{
	EXPECT_GE(bytes, want * 95 / 100);
	EXPECT_LE(bytes, want * 105 / 100);
}

/* The chunks are those that move.c makes for the rate. */
TEST(is_accurate_over_five_seconds)
{
	static const uint64_t rates[] = {2 * MIB,   10 * MIB,  50 * MIB,
					 100 * MIB, 777777777, 4 * GIB};

	for (size_t i = 0; i < ARRAY_SIZE(rates); i++) {
		uint64_t chunk = MIB;
		struct throttle t;

		while (chunk > rates[i] / 32 && chunk > 64 * KIB)
			chunk /= 2;
		throttle_init(&t, chunk, 7 * SECOND);
		expect_about(pass(&t, rates[i], chunk, 7 * SECOND, 12 * SECOND),
			     5 * rates[i]);
	}
}

TEST(changes_while_it_runs)
{
	struct throttle t;

	throttle_init(&t, MIB, 0);
	expect_about(pass(&t, 100 * MIB, MIB, 0, 5 * SECOND), 500 * MIB);
	expect_about(pass(&t, 40 * MIB, MIB, 5 * SECOND, 10 * SECOND), 200 * MIB);
	expect_about(pass(&t, 80 * MIB, MIB, 10 * SECOND, 15 * SECOND), 400 * MIB);
}

/* What a slow device has not used comes to no burst. */
TEST(saves_next_to_nothing)
{
	struct throttle t;

	throttle_init(&t, MIB, 0);
	throttle_ready(&t, 10 * MIB, 0);
	EXPECT_LE(pass(&t, 10 * MIB, MIB, 60 * SECOND, 61 * SECOND), 13 * MIB);
}

TEST(has_no_limit_at_0)
{
	struct throttle t;

	throttle_init(&t, MIB, 0);
	for (int i = 0; i < 1000; i++) {
		EXPECT_TRUE(throttle_ready(&t, 0, 0));
		throttle_take(&t, MIB);
	}
	EXPECT_EQ(throttle_wait_ms(&t, 0, 50), 0);
}

TEST_MAIN
