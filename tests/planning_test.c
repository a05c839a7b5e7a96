/* SPDX-License-Identifier: MIT */
/*
 * planning_test.c - work is seen, and can be stopped, while the 200,000 ranges of a disk
 * are counted
 */
#include <stdio.h>
#include <time.h>

#include "engine/stream.h"
#include "engine/watch.h"
#include "harness.h"

#define RANGES	 200000
#define STEP	 (64 * KIB)
#define SLOW_ONE 200 /* each so manieth range is one for which a device is read */

struct ranges_source {
	struct source source;
	unsigned asked;
};

static int next_range(struct source *source, uint64_t pos, struct source_range *ret)
{
	struct ranges_source *r = container_of(source, struct ranges_source, source);
	uint64_t index = (pos + STEP - 1) / STEP;

	if (++r->asked % SLOW_ONE == 0)
		nanosleep(&(struct timespec){.tv_nsec = 300000}, NULL);
	if (index >= RANGES)
		return -ENXIO;
	*ret = (struct source_range){.start = index * STEP,
				     .end = index * STEP + 4 * KIB};
	return 0;
}

struct seen {
	unsigned calls, stop_at;
	uint64_t total;
};

static int see(void *context, const struct rp_progress *p)
{
	struct seen *seen = context;

	EXPECT_STREQ(p->phase, "planning");
	if (seen->calls++)
		EXPECT_GT(p->bytes_total, seen->total);
	seen->total = p->bytes_total;
	return seen->calls == seen->stop_at;
}

static int measure(struct seen *seen, struct ranges_source *source)
{
	const struct rp_watch user = {
		.size = sizeof(user), .context = seen, .progress = see};
	struct stream s = {.from = &source->source, .src = IO_FILE_NONE};
	struct watch w;
	int r;

	source->source = (struct source){.size = (uint64_t)RANGES * STEP,
					 .next = next_range};
	watch_init(&w, &user, 0);
	r = stream_measure(&s, &w);
	if (r == 0)
		EXPECT_EQ(s.data_bytes, (uint64_t)RANGES * 4 * KIB);
	return r;
}

TEST(shows_work)
{
	struct ranges_source source = {0};
	struct seen seen = {0};

	EXPECT_EQ(measure(&seen, &source), 0);
	EXPECT_GE(seen.calls, 2);
	EXPECT_GE(source.asked, RANGES);
}

TEST(can_be_stopped)
{
	struct ranges_source source = {0};
	struct seen seen = {.stop_at = 2};

	EXPECT_EQ(measure(&seen, &source), -ECANCELED);
	EXPECT_LT(source.asked, RANGES);
}

TEST_MAIN
