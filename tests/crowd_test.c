/* SPDX-License-Identifier: MIT */
/*
 * crowd_test.c - each is done once, whatever their number, by several at a time if there
 * are many, and all of them before it returns
 */
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include "engine/crowd.h"
#include "harness.h"

#define MOST 1000

static atomic_uint done[MOST], busy, busiest;
static pthread_t caller;
static atomic_uint deaf, listening;

static void one(void *context, size_t i)
{
	unsigned now = atomic_fetch_add(&busy, 1) + 1, before = busiest;
	sigset_t set;

	while (now > before && !atomic_compare_exchange_weak(&busiest, &before, now))
		;
	if (!pthread_equal(pthread_self(), caller)) {
		pthread_sigmask(SIG_SETMASK, NULL, &set);
		atomic_fetch_add(sigismember(&set, SIGTERM) ? &deaf : &listening, 1);
	}
	usleep(*(useconds_t *)context);
	atomic_fetch_add(&done[i], 1);
	atomic_fetch_sub(&busy, 1);
}

static void expect_each_once(size_t count, useconds_t us)
{
	for (size_t i = 0; i < MOST; i++)
		done[i] = 0;
	busiest = 0;
	caller = pthread_self();
	crowd(count, one, &us);
	EXPECT_EQ(busy, 0, "%zu", count);
	for (size_t i = 0; i < MOST; i++)
		EXPECT_EQ(done[i], i < count, "%zu of %zu", i, count);
}

TEST(each_is_done_once)
{
	static const size_t counts[] = {0, 1, 2, 7, 8, 9, 100, MOST};

	for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++)
		expect_each_once(counts[i], 0);
}

TEST(many_are_done_at_a_time)
{
	expect_each_once(400, 2000);
	EXPECT_GT(busiest, 3);
	EXPECT_GT(deaf, 0);
	EXPECT_EQ(listening, 0, "signals are for the caller's threads");
}

/* Without threads it takes longer, that is all. */
TEST(no_threads)
{
	struct rlimit before, none;

	ASSERT_OK(getrlimit(RLIMIT_NPROC, &before));
	none = (struct rlimit){0, before.rlim_max};
	ASSERT_OK(setrlimit(RLIMIT_NPROC, &none));
	if (geteuid() == 0) { /* whom the limit does not stop */
		ASSERT_OK(setgid(65534));
		ASSERT_OK(setuid(65534));
	}
	expect_each_once(100, 0);
	EXPECT_EQ(busiest, 1);
	/* Who looks for leaks needs a thread, and to look at us. */
	ASSERT_OK(setrlimit(RLIMIT_NPROC, &before));
	ASSERT_OK(prctl(PR_SET_DUMPABLE, 1));
}

TEST_MAIN
