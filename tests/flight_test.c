/* SPDX-License-Identifier: MIT */
/*
 * flight_test.c - how much is under way on devices that are near or far, with a clock of
 * its own
 */
#include "engine/flight.h"

#include "data.h"
#include "harness.h"
#include "io/base.h"

#define SECOND UINT64_C(1000000000)
#define BLOCK  (2 * MIB)
#define ENOUGH (3 * BLOCK)
#define LIMIT  (16 * MIB)

/* Serves one block after another and answers some time after each. */
struct device {
	uint64_t rate;	 /* bytes a second */
	uint64_t away;	 /* nanoseconds */
	unsigned jitter; /* of its rate, per cent */
	uint64_t syncs;	 /* does nothing else for as long, ten times as long after each */
	uint64_t sync_at; /* the next one */
	uint64_t idle_at; /* when it has served what it has got */
	uint64_t seed;
};

/* The way of blocks in the order of their beginning, at most LIMIT / BLOCK of them. */
struct way {
	struct flight f;
	uint64_t lands[LIMIT / BLOCK];
	unsigned under_way;
	uint64_t now, bytes;
	uint64_t more_ns; /* for how long more than ENOUGH was allowed */
};

static void begin(struct way *w, struct device *d)
{
	uint64_t takes = BLOCK * SECOND / d->rate;
	uint64_t more = 100 + data_random(&d->seed) % (2 * d->jitter + 1) - d->jitter;

	d->idle_at = max_u64(d->idle_at, w->now) + takes * more / 100;
	if (d->syncs && d->idle_at > d->sync_at) {
		d->idle_at += d->syncs;
		d->sync_at = d->idle_at + 10 * d->syncs;
	}
	w->lands[w->under_way++] = d->idle_at + d->away;
}

static void land(struct way *w)
{
	uint64_t at = w->lands[0];

	if (w->f.most > ENOUGH)
		w->more_ns += at - w->now;
	w->now = at;
	memmove(w->lands, w->lands + 1, --w->under_way * sizeof(w->lands[0]));
	w->bytes += BLOCK;
	flight_landed(&w->f, BLOCK, LIMIT, w->now);
}

static void fly(struct way *w, struct device *d, uint64_t seconds)
{
	uint64_t until = w->now + seconds * SECOND;

	while (w->now < until) {
		while (!w->under_way || (w->under_way + 1) * BLOCK <= w->f.most)
			begin(w, d);
		land(w);
	}
}

static struct way start(uint64_t limit)
{
	struct way w = {.now = 7 * SECOND};

	flight_init(&w.f, BLOCK, ENOUGH, limit, w.now);
	return w;
}

TEST(begins_with_less_and_goes_out_of_step)
{
	struct way w = start(LIMIT);

	EXPECT_EQ(w.f.most, 2 * BLOCK);
	flight_landed(&w.f, BLOCK, LIMIT, w.now);
	EXPECT_EQ(w.f.most, ENOUGH);
	flight_landed(&w.f, BLOCK, LIMIT, w.now);
	EXPECT_EQ(w.f.most, ENOUGH);
}

/* One that is small is moved in two blocks: one by one would take twice as long. */
TEST(two_blocks_are_not_moved_one_by_one)
{
	EXPECT_EQ(start(2 * BLOCK).f.most, 2 * BLOCK);
	EXPECT_EQ(start(BLOCK).f.most, BLOCK);
}

TEST(a_near_device_is_kept_busy_by_little)
{
	struct device disks[] = {
		{.rate = 2200 * MIB, .away = 100000, .jitter = 5},
		{.rate = 500 * MIB, .away = 500000, .jitter = 5},
		{.rate = 100 * MIB, .away = 10000000, .jitter = 5},
		{.rate = GIB, .away = 100000, .jitter = 5, .syncs = 20000000},
		{.rate = GIB, .away = 100000, .jitter = 5, .syncs = 100000000},
	};

	for (size_t i = 0; i < ARRAY_SIZE(disks); i++) {
		struct way w = start(LIMIT);

		disks[i].seed = test_seed() + i;
		fly(&w, &disks[i], 600);
		if (!disks[i].syncs)
			EXPECT_GE(w.bytes, disks[i].rate * 600 / 100 * 95, "disk %zu", i);
		EXPECT_LE(w.more_ns, 600 * SECOND / 20, "disk %zu", i);
	}
}

/* A network that has room for much more than there are buffers. */
TEST(a_far_device_gets_all_there_is)
{
	struct device far = {.rate = 1000 * MIB,
			     .away = SECOND / 10,
			     .jitter = 5,
			     .seed = test_seed()};
	struct way w = start(LIMIT);

	fly(&w, &far, 10);
	EXPECT_EQ(w.f.most, LIMIT);
	w.bytes = 0;
	fly(&w, &far, 60);
	EXPECT_EQ(w.f.most, LIMIT);
	EXPECT_GE(w.bytes, 60 * 10 * LIMIT / 100 * 85);
}

/* As when others have left a network, or moved a disk farther away: hours later, too. */
TEST(what_becomes_far_is_noticed)
{
	struct device d = {
		.rate = 1000 * MIB, .away = 100000, .jitter = 5, .seed = test_seed()};
	struct way w = start(LIMIT);

	fly(&w, &d, 4 * 3600);
	EXPECT_EQ(flight_usual(&w.f), ENOUGH);
	d.away = SECOND / 10;
	fly(&w, &d, 90);
	EXPECT_EQ(w.f.most, LIMIT);
}

TEST(trials_in_vain_become_rare)
{
	struct device d = {.rate = 1000 * MIB, .away = 100000};
	struct way w = start(LIMIT);
	unsigned trials = 0;

	for (uint64_t i = 0; i < 3600; i++) {
		uint64_t next = w.f.next_ns;

		fly(&w, &d, 1);
		trials += w.f.next_ns != next;
	}
	EXPECT_GE(trials, 60U);
	EXPECT_LE(trials, 70U);
}

/* Who waits for a limit, or was suspended, does not know how fast the devices are. */
TEST(what_is_held_back_is_no_trial)
{
	struct device far = {.rate = 1000 * MIB, .away = SECOND / 10};
	struct way w = start(LIMIT);

	for (unsigned i = 0; i < 600; i++) {
		fly(&w, &far, 1);
		flight_interrupted(&w.f);
		ASSERT_EQ(w.f.most, ENOUGH);
		w.now += SECOND;
	}
	fly(&w, &far, 10);
	EXPECT_EQ(w.f.most, LIMIT);
}

/* A trial of what others have would be in vain. */
TEST(others_have_their_share)
{
	struct way w = start(LIMIT);

	for (unsigned i = 0; i < 10000; i++) {
		w.now += SECOND / 100;
		flight_landed(&w.f, BLOCK, LIMIT / 3, w.now);
		ASSERT_LE(w.f.most, ENOUGH);
	}
	EXPECT_EQ(w.f.rest_ns, SECOND);
}

TEST(never_goes_over_its_limit)
{
	for (uint64_t limit = BLOCK; limit <= LIMIT; limit += BLOCK) {
		struct device far = {.rate = 1000 * MIB, .away = SECOND / 10};
		struct way w = start(limit);

		for (unsigned i = 0; i < 100; i++) {
			fly(&w, &far, 1);
			ASSERT_LE(w.f.most, limit);
		}
		EXPECT_EQ(w.f.most, limit);
	}
}

TEST_MAIN
