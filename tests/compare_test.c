/* SPDX-License-Identifier: MIT */
/*
 * compare_test.c - two files read side by side: with which buffers, beside whom, and by
 * which backend
 */
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <unistd.h>

#include "data.h"
#include "engine/compare.h"
#include "engine/gear.h"
#include "engine_fixture.h"
#include "harness.h"
#include "io/base.h"

#define SIZE (9 * MIB + 4096)

FIXTURE(compare)
{
	struct io_file file[2];
	struct io_pool *pool; /* of two windows */
};

FIXTURE_SETUP(compare)
{
	static const char *const names[] = {"a", "b"};

	for (size_t i = 0; i < 2; i++) {
		const char *path = fmt("%s/%s", test_dir(), names[i]);
		int fd = data_create(path, SIZE);

		data_write(fd, 1, 0, SIZE);
		if (i) {
			data_write(fd, 2, 0, 1);
			data_write(fd, 2, 3 * MIB - 1, 1);
			data_write(fd, 2, SIZE - 1, 1);
		}
		close(fd);
		ASSERT_OK(io_file_open_read(AT_FDCWD, path, &self->file[i]));
	}
	ASSERT_OK(io_pool_open(&self->pool, 4 * MIB));
}

FIXTURE_TEARDOWN(compare)
{
	io_pool_close(self->pool);
	io_file_close(&self->file[0]);
	io_file_close(&self->file[1]);
}

struct comparing {
	struct compare_fixture *self;
	struct gear gear;
	bool alone; /* nobody else has buffers */
	atomic_bool *stop;
	unsigned found, rounds;
};

static int on_found(void *context, uint64_t start, uint64_t end, bool zero)
{
	static const uint64_t want[] = {0, 3 * MIB - 4096, SIZE - 4096};
	struct comparing *x = context;

	EXPECT_LT(x->found, ARRAY_SIZE(want));
	EXPECT_EQ(start, want[x->found % ARRAY_SIZE(want)]);
	EXPECT_EQ(end, start + 4096);
	EXPECT_FALSE(zero);
	x->found++;
	if (x->alone) /* the buffers are of the pool */
		EXPECT_EQ(io_pool_get(x->self->pool, 4 * MIB, 0), NULL);
	return 0;
}

static void compare_once(struct comparing *x, struct tuning *t)
{
	struct compare *c = NULL;
	struct watch w;

	watch_init(&w, NULL, 0);
	x->found = 0;
	ASSERT_EQ(compare_open(&c, &x->self->file[0], &x->self->file[1], t, &w, on_found,
			       x, NULL),
		  RP_OK);
	EXPECT_OK(compare_add(c, 0, SIZE));
	EXPECT_OK(compare_finish(c));
	EXPECT_FALSE(w.holds);
	compare_close(c);
	EXPECT_EQ(x->found, 3);
	EXPECT_EQ(w.progress.bytes_done, SIZE);
	x->rounds++;
}

/* All of it is given back, also by who stops half-way. */
TEST_F(compare, takes_its_buffers_from_the_pool_of_the_gear)
{
	struct comparing x = {.self = self, .gear.pool = self->pool, .alone = true};
	struct compare *c = NULL;
	struct tuning t;
	struct watch w;
	void *all;

	tuning_init(&t, RP_IO_AUTO);
	t.gear = &x.gear;
	t.memory = 4 * MIB;
	compare_once(&x, &t);
	watch_init(&w, NULL, 0);
	ASSERT_EQ(compare_open(&c, &self->file[0], &self->file[1], &t, &w, on_found, &x,
			       NULL),
		  RP_OK);
	EXPECT_OK(compare_add(c, MIB, 3 * MIB - 4096));
	EXPECT_TRUE(w.holds);
	compare_close(c);
	EXPECT_FALSE(w.holds);
	all = io_pool_get(self->pool, 4 * MIB, 0);
	EXPECT_NE(all, NULL);
	io_pool_put(self->pool, all, 4 * MIB);
	gear_close(&x.gear);
}

static void *compare_often(void *arg)
{
	struct comparing *x = arg;
	struct tuning t;

	tuning_init(&t, RP_IO_AUTO);
	t.gear = &x->gear;
	t.memory = 4 * MIB;
	while (!*x->stop && x->rounds < 20)
		compare_once(x, &t);
	gear_close(&x->gear);
	return NULL;
}

/* More of them than there are windows: each gets its turn, and none waits for ever. */
TEST_F(compare, several_share_a_pool)
{
	struct comparing x[5];
	pthread_t threads[ARRAY_SIZE(x)];
	atomic_bool stop = false;

	for (size_t i = 0; i < ARRAY_SIZE(x); i++) {
		x[i] = (struct comparing){
			.self = self, .gear.pool = self->pool, .stop = &stop};
		ASSERT_EQ(pthread_create(&threads[i], NULL, compare_often, &x[i]), 0);
	}
	for (size_t i = 0; i < ARRAY_SIZE(x); i++) {
		pthread_join(threads[i], NULL);
		EXPECT_EQ(x[i].rounds, 20);
	}
}

TEST_F(compare, uses_the_backend_that_was_asked_for)
{
	static const enum rp_io all[] = {RP_IO_URING, RP_IO_AIO, RP_IO_SYNC};
	static const char *const names[] = {"uring", "aio", "sync"};

	for (size_t i = 0; i < ARRAY_SIZE(all); i++) {
		struct comparing x = {.self = self, .gear.pool = self->pool};
		struct tuning t;

		if (!backend_works(all[i]))
			continue;
		tuning_init(&t, all[i]);
		t.gear = &x.gear;
		t.memory = 4 * MIB;
		compare_once(&x, &t);
		ASSERT_NE(x.gear.q, NULL);
		EXPECT_STREQ(io_queue_backend(x.gear.q), names[i]);
		gear_close(&x.gear);
	}
}

/* A job that is suspended rests when nothing is held any more. */
static int attend(void *attendant, struct watch *w)
{
	struct comparing *x = attendant;
	void *all;

	w->to_rest = w->holds;
	if (w->holds)
		return 0;
	all = io_pool_get(x->self->pool, 4 * MIB, 0);
	EXPECT_NE(all, NULL);
	io_pool_put(x->self->pool, all, 4 * MIB);
	x->rounds++;
	return 0;
}

/* Others of the set wait for its buffers. */
TEST_F(compare, who_rests_holds_nothing)
{
	struct comparing x = {.self = self, .gear.pool = self->pool};
	struct compare *c = NULL;
	struct tuning t;
	struct watch w;

	tuning_init(&t, RP_IO_AUTO);
	t.gear = &x.gear;
	t.memory = 4 * MIB;
	watch_init(&w, NULL, 0);
	w.attend = attend;
	w.attendant = &x;
	ASSERT_EQ(compare_open(&c, &self->file[0], &self->file[1], &t, &w, on_found, &x,
			       NULL),
		  RP_OK);
	EXPECT_OK(compare_add(c, 0, MIB));
	EXPECT_TRUE(w.holds);
	w.to_rest = true;
	x.rounds = 0;
	EXPECT_OK(compare_add(c, MIB, 2 * MIB));
	EXPECT_EQ(x.rounds, 1);
	EXPECT_FALSE(w.to_rest);
	compare_close(c);
	gear_close(&x.gear);
}

TEST_MAIN
