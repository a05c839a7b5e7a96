/* SPDX-License-Identifier: MIT */
/*
 * watch_test.c - what a caller is told and how often, and when it stops an operation
 *
 * The clock is one of its own: what is told when does not depend on the machine.
 */
#include "engine/watch.h"

#include <stdio.h>
#include <time.h>

#include "harness.h"
#include "io/base.h"
#include "io/clock.h"

#define MS	1000000u
#define HOUR_MS 3600000u

static uint64_t clock_ns = 1000 * MS;

int clock_gettime(clockid_t id, struct timespec *ret)
{
	(void)id;
	*ret = (struct timespec){.tv_sec = (time_t)(clock_ns / (1000 * MS)),
				 .tv_nsec = (long)(clock_ns % (1000 * MS))};
	return 0;
}

/* A caller that keeps what it is told. */
struct caller {
	struct rp_watch watch;
	unsigned told;
	uint64_t told_at[256]; /* ns */
	struct rp_progress last;
	unsigned cancels_at; /* the call that does; 0 = none */
	unsigned warned;
	char warning[1024];
};

static int note_progress(void *context, const struct rp_progress *progress)
{
	struct caller *c = context;

	ASSERT_LT(c->told, ARRAY_SIZE(c->told_at));
	ASSERT_GE(progress->bytes_done, c->last.bytes_done, "it goes back");
	c->told_at[c->told++] = io_now_ns();
	c->last = *progress;
	return c->told == c->cancels_at ? 7 : 0;
}

static void note_warning(void *context, const char *text)
{
	struct caller *c = context;

	c->warned++;
	snprintf(c->warning, sizeof(c->warning), "%s", text);
}

static struct watch begin(struct caller *c, uint64_t timeout_ms)
{
	struct watch w;

	*c = (struct caller){.watch = {.size = sizeof(c->watch),
				       .context = c,
				       .progress = note_progress,
				       .warning = note_warning}};
	watch_init(&w, &c->watch, timeout_ms);
	return w;
}

static void pass_ms(unsigned ms)
{
	clock_ns += (uint64_t)ms * MS;
}

/* As an operation does that has much to do: a tick a millisecond; says why it stopped. */
static int tick_for(struct watch *w, unsigned ms)
{
	int r = 0;

	for (unsigned i = 0; r == 0 && i < ms; i++) {
		pass_ms(1);
		w->progress.bytes_done += 1000;
		r = watch_tick(w);
	}
	return r;
}

/* ------------------------------------------------------------------------ telling */

TEST(the_first_tick_tells_at_once)
{
	struct caller c;
	struct watch w = begin(&c, 0);

	EXPECT_EQ(c.told, 0u, "nothing has been done yet");
	w.progress.bytes_total = 5000;
	w.progress.bytes_done = 1000;
	EXPECT_EQ(watch_tick(&w), 0);
	ASSERT_EQ(c.told, 1u);
	EXPECT_STREQ(c.last.phase, "planning");
	EXPECT_EQ(c.last.bytes_total, 5000);
	EXPECT_EQ(c.last.bytes_done, 1000);
}

TEST(many_ticks_tell_ten_times_a_second)
{
	struct caller c;
	struct watch w = begin(&c, 0);

	EXPECT_EQ(tick_for(&w, 1050), 0);
	EXPECT_EQ(c.told, 11u);
	for (unsigned i = 1; i < c.told; i++)
		EXPECT_EQ(c.told_at[i] - c.told_at[i - 1], 100 * MS, "call %u", i);
}

TEST(a_tick_after_a_pause_tells)
{
	struct caller c;
	struct watch w = begin(&c, 0);

	ASSERT_EQ(watch_tick(&w), 0);
	ASSERT_EQ(watch_tick(&w), 0);
	EXPECT_EQ(c.told, 1u);
	pass_ms(99);
	ASSERT_EQ(watch_tick(&w), 0);
	EXPECT_EQ(c.told, 1u);
	pass_ms(1);
	ASSERT_EQ(watch_tick(&w), 0);
	EXPECT_EQ(c.told, 2u);
}

TEST(a_phase_is_told_at_once)
{
	static const char *const phases[] = {"planning", "cloning", "copying", "syncing",
					     "publishing"};
	struct caller c;
	struct watch w = begin(&c, 0);

	ASSERT_EQ(watch_tick(&w), 0);
	for (unsigned i = 0; i < ARRAY_SIZE(phases); i++) {
		w.progress.bytes_done += 10;
		watch_phase(&w, phases[i]);
		ASSERT_EQ(c.told, 2 + i, "%s", phases[i]);
		EXPECT_STREQ(c.last.phase, phases[i]);
		EXPECT_EQ(c.last.bytes_done, 10 * (i + 1), "goes on from phase to phase");
	}
}

TEST(the_rate_is_that_of_the_phase)
{
	struct caller c;
	struct watch w = begin(&c, 0);

	w.progress.bytes_done = UINT64_C(1) << 50; /* cloned in no time */
	watch_phase(&w, "copying");
	EXPECT_EQ(c.last.bytes_per_second, 0u, "nothing yet");
	pass_ms(200);
	w.progress.bytes_done += 1000000;
	ASSERT_EQ(watch_tick(&w), 0);
	EXPECT_EQ(c.last.bytes_per_second, 5000000u);
	EXPECT_EQ(c.last.bytes_done, (UINT64_C(1) << 50) + 1000000);
	watch_phase(&w, "syncing");
	EXPECT_EQ(c.last.bytes_per_second, 0u, "a new one");
}

/* A job that rests for an hour, and for another one while it waits for its turn. */
static int rest_twice(void *attendant, struct watch *w)
{
	unsigned *rests = attendant;
	uint64_t before;

	if (*rests == 2)
		return 0;
	before = watch_rest(w);
	pass_ms(HOUR_MS);
	if (++*rests == 1)
		EXPECT_EQ(watch_tick(w), 0);
	pass_ms(HOUR_MS);
	EXPECT_EQ(watch_ask(w), 0);
	watch_go_on(w, before);
	return 0;
}

TEST(rests_are_no_time_of_the_work)
{
	struct caller c;
	struct watch w = begin(&c, 0);
	unsigned rests = 0;

	w.attend = rest_twice;
	w.attendant = &rests;
	w.progress.bytes_total = 3000000;
	watch_phase(&w, "copying");
	pass_ms(200);
	w.progress.bytes_done += 1000000;
	EXPECT_EQ(watch_tick(&w), 0);
	EXPECT_EQ(rests, 2u);
	EXPECT_EQ(c.last.bytes_per_second, 5000000u, "of an hour ago");
	pass_ms(200);
	w.progress.bytes_done += 1000000;
	EXPECT_EQ(watch_tick(&w), 0);
	EXPECT_EQ(c.last.bytes_per_second, 5000000u);
	EXPECT_EQ(watch_work_left_ns(&w, watch_now(&w)), 200 * MS);
	watch_phase(&w, "syncing");
	pass_ms(200);
	w.progress.bytes_done += 500000;
	EXPECT_EQ(watch_tick(&w), 0);
	EXPECT_EQ(c.last.bytes_per_second, 2500000u);
}

TEST(nobody_has_to_watch)
{
	struct rp_watch none = {.size = sizeof(none)};
	struct watch w;

	watch_init(&w, NULL, 0);
	watch_phase(&w, "copying");
	EXPECT_EQ(tick_for(&w, 120), 0);
	watch_warn(&w, "nobody reads %s", "this");
	watch_init(&w, &none, 0);
	watch_phase(&w, "copying");
	EXPECT_EQ(tick_for(&w, 120), 0);
	watch_warn(&w, "nobody reads %s", "this");
}

TEST(a_warning_is_passed_on_and_cut_where_it_is_too_long)
{
	struct caller c;
	struct watch w = begin(&c, 0);
	char text[2000];

	watch_warn(&w, "disk %s: %d extents", "vda", 12);
	EXPECT_EQ(c.warned, 1u);
	EXPECT_STREQ(c.warning, "disk vda: 12 extents");
	memset(text, 'x', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	watch_warn(&w, "%s", text);
	EXPECT_EQ(c.warned, 2u);
	EXPECT_GT(strlen(c.warning), 200);
	EXPECT_EQ(strspn(c.warning, "x"), strlen(c.warning));
	EXPECT_EQ(c.told, 0u, "no progress");
}

/* ----------------------------------------------------------------------- stopping */

TEST(a_caller_may_cancel)
{
	struct caller c;
	struct watch w = begin(&c, 0);
	struct rp_error err;

	c.cancels_at = 3;
	watch_phase(&w, "copying");
	ASSERT_EQ(tick_for(&w, 5000), -ECANCELED);
	EXPECT_EQ(c.told, 3u);
	EXPECT_EQ(watch_fail(&w, -ECANCELED, &err), RP_FAILED);
	EXPECT_EQ(err.code, RP_FAILED);
	EXPECT_EQ(err.os_error, ECANCELED);
	EXPECT_EQ(err.offset, RP_NO_OFFSET);
	EXPECT_STREQ(err.step, "copying");
	EXPECT_STREQ(err.message, "copying: cancelled");
	EXPECT_EQ(watch_fail(&w, -ECANCELED, NULL), RP_FAILED);
}

/* It says so once; a caller that clears its flag does not take it back. */
TEST(cancelled_is_cancelled)
{
	struct caller c;
	struct watch w = begin(&c, 0);

	c.cancels_at = 1;
	EXPECT_EQ(watch_tick(&w), -ECANCELED);
	EXPECT_EQ(watch_tick(&w), -ECANCELED);
	watch_phase(&w, "copying");
	pass_ms(110);
	EXPECT_EQ(watch_tick(&w), -ECANCELED);
	EXPECT_EQ(c.told, 1u, "and is not asked again");
}

TEST(a_caller_may_cancel_when_a_phase_begins)
{
	struct caller c;
	struct watch w = begin(&c, 0);

	c.cancels_at = 1;
	watch_phase(&w, "publishing");
	EXPECT_EQ(c.told, 1u);
	EXPECT_EQ(watch_tick(&w), -ECANCELED);
}

TEST(the_time_limit_passes)
{
	struct caller c;
	uint64_t before = clock_ns;
	struct watch w = begin(&c, 200);
	struct rp_error err;

	watch_phase(&w, "copying");
	ASSERT_EQ(tick_for(&w, 5000), -ETIME);
	EXPECT_EQ(clock_ns - before, 200 * MS);
	EXPECT_EQ(watch_tick(&w), -ETIME, "for good");
	EXPECT_EQ(watch_fail(&w, -ETIME, &err), RP_TIMEOUT);
	EXPECT_EQ(err.code, RP_TIMEOUT);
	EXPECT_EQ(err.os_error, ETIME);
	EXPECT_EQ(err.offset, RP_NO_OFFSET);
	EXPECT_STREQ(err.step, "copying");
	EXPECT_STREQ(err.message, "copying: the time limit of 0.2 s has passed");
	EXPECT_EQ(watch_fail(&w, -ETIME, NULL), RP_TIMEOUT);
}

TEST(the_time_limit_counts_without_ticks_too)
{
	struct watch w;

	watch_init(&w, NULL, 20);
	pass_ms(19);
	EXPECT_EQ(watch_tick(&w), 0);
	pass_ms(1);
	EXPECT_EQ(watch_tick(&w), -ETIME);
	watch_phase(&w, "syncing");
	EXPECT_EQ(watch_tick(&w), -ETIME, "a new phase has no new limit");
}

TEST(no_time_limit_and_endless_ones)
{
	static const uint64_t limits[] = {0, UINT32_MAX, UINT64_C(1) << 33, INT64_MAX,
					  UINT64_MAX};

	for (size_t i = 0; i < ARRAY_SIZE(limits); i++) {
		struct watch w;

		watch_init(&w, NULL, limits[i]);
		EXPECT_EQ(watch_tick(&w), 0, "%llu", (unsigned long long)limits[i]);
		EXPECT_EQ(watch_tick(&w), 0, "%llu", (unsigned long long)limits[i]);
	}
}

/* The longest one that --timeout takes; and who asks for more has more than he sees. */
TEST(long_limits_are_not_cut)
{
	const uint64_t longest = UINT32_MAX * UINT64_C(1000);
	struct watch w;

	watch_init(&w, NULL, longest);
	EXPECT_EQ(watch_left_ms(&w, 0), longest);
	watch_init(&w, NULL, UINT64_MAX);
	EXPECT_GT(watch_left_ms(&w, 0), longest);
	pass_ms(UINT32_MAX);
	EXPECT_EQ(watch_tick(&w), 0);
}

TEST(what_is_left_of_the_time)
{
	struct watch w;

	watch_init(&w, NULL, 0);
	EXPECT_EQ(watch_left_ms(&w, 0), 0);
	EXPECT_EQ(watch_left_ms(&w, 30000), 30000);
	watch_init(&w, NULL, 10000);
	EXPECT_EQ(watch_left_ms(&w, 0), 10000);
	pass_ms(1000);
	EXPECT_EQ(watch_left_ms(&w, 77), 9000, "the limit counts, not the other");
	watch_init(&w, NULL, 1);
	pass_ms(2);
	EXPECT_EQ(watch_left_ms(&w, 0), 1,
		  "never 0: that would be for ever, or not at all");
}

TEST_MAIN
