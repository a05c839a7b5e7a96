/* SPDX-License-Identifier: MIT */
/*
 * buf_test.c - the buffer pool
 */
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "data.h"
#include "harness.h"
#include "io/base.h"
#include "io/buf.h"

TEST(gives_out_the_whole_area)
{
	static const size_t sizes[] = {MIB, 65536, 4 * MIB, 1, 4096, 65537, 16 * MIB};
	struct io_pool *pool;
	size_t area_size;
	char *area;

	ASSERT_OK(io_pool_open(&pool, 16 * MIB));
	area = io_pool_area(pool, &area_size);
	EXPECT_EQ(area_size, 16 * MIB);
	EXPECT_EQ((uintptr_t)area % (2 * MIB), 0);
	EXPECT_EQ(io_pool_get(pool, 16 * MIB + 1, 0), NULL);
	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		size_t room = round_up(sizes[i], IO_POOL_UNIT);
		size_t count = 16 * MIB / room;

		for (size_t n = 0; n < count; n++) {
			char *buf = io_pool_get(pool, sizes[i], 0);

			ASSERT_EQ(buf, area + n * room);
			buf[0] = buf[sizes[i] - 1] = 1;
		}
		EXPECT_EQ(io_pool_get(pool, sizes[i], 0), NULL);
		for (size_t n = 0; n < count; n++)
			io_pool_put(pool, area + n * room, sizes[i]);
	}
	io_pool_close(pool);
	io_pool_close(NULL);
}

/* A buffer lies in as few pages as there can be: each of them is registered by itself. */
TEST(buffers_straddle_pages_only_where_they_must)
{
	struct io_pool *pool;
	size_t size;
	char *area;

	ASSERT_OK(io_pool_open(&pool, 3 * IO_POOL_PAGE));
	area = io_pool_area(pool, &size);
	EXPECT_EQ(io_pool_get(pool, IO_POOL_UNIT, 0), area);
	EXPECT_EQ(io_pool_get(pool, IO_POOL_PAGE, 0), area + IO_POOL_PAGE);
	EXPECT_EQ(io_pool_get(pool, IO_POOL_UNIT, 0), area + IO_POOL_UNIT, "the lowest");
	EXPECT_EQ(io_pool_get(pool, IO_POOL_PAGE - IO_POOL_UNIT, 0),
		  area + 2 * IO_POOL_PAGE);
	io_pool_put(pool, area + IO_POOL_PAGE, IO_POOL_PAGE);
	EXPECT_EQ(io_pool_get(pool, IO_POOL_PAGE + IO_POOL_UNIT, 0),
		  area + 2 * IO_POOL_UNIT, "it must");
	io_pool_put(pool, area, 2 * IO_POOL_UNIT);
	io_pool_put(pool, area + 2 * IO_POOL_UNIT, IO_POOL_PAGE + IO_POOL_UNIT);
	io_pool_put(pool, area + 2 * IO_POOL_PAGE, IO_POOL_PAGE - IO_POOL_UNIT);
	io_pool_close(pool);
}

/* Whatever is got and put, no byte belongs to two. */
TEST(never_gives_a_byte_twice)
{
	static uint8_t owner[32];
	struct {
		char *buf;
		size_t len;
	} out[32] = {0};
	uint64_t state = test_seed();
	struct io_pool *pool;
	size_t size, refused = 0;
	char *area;

	ASSERT_OK(io_pool_open(&pool, 2 * MIB));
	area = io_pool_area(pool, &size);
	for (unsigned i = 0; i < 100000; i++) {
		size_t k = data_random(&state) % ARRAY_SIZE(out);
		size_t first, n;

		if (!out[k].buf) {
			out[k].len = 1 + data_random(&state) % (MIB / 2);
			out[k].buf = io_pool_get(pool, out[k].len, 0);
			refused += !out[k].buf;
			if (!out[k].buf)
				continue;
		}
		first = (size_t)(out[k].buf - area) / IO_POOL_UNIT;
		n = round_up(out[k].len, IO_POOL_UNIT) / IO_POOL_UNIT;
		ASSERT_LE(first + n, ARRAY_SIZE(owner));
		if (owner[first]) { /* it was out: give it back */
			for (size_t u = first; u < first + n; u++) {
				ASSERT_EQ(owner[u], k + 1);
				owner[u] = 0;
			}
			io_pool_put(pool, out[k].buf, out[k].len);
			out[k].buf = NULL;
			continue;
		}
		for (size_t u = first; u < first + n; u++) {
			ASSERT_EQ(owner[u], 0);
			owner[u] = (uint8_t)(k + 1);
		}
	}
	EXPECT_GT(refused, 0);
	for (size_t k = 0; k < ARRAY_SIZE(out); k++)
		if (out[k].buf)
			io_pool_put(pool, out[k].buf, out[k].len);
	EXPECT_EQ(io_pool_get(pool, 2 * MIB, 0), area, "all of it is back");
	io_pool_put(pool, area, 2 * MIB);
	io_pool_close(pool);
}

/* Another process must not get copies of pages that the kernel is writing to. */
TEST(is_not_there_in_a_child)
{
	struct io_pool *pool;
	volatile char *area;
	size_t size;
	int status;
	pid_t pid;

	ASSERT_OK(io_pool_open(&pool, 2 * MIB));
	area = io_pool_area(pool, &size);
	area[0] = 1;
	pid = fork();
	ASSERT_GE(pid, 0);
	if (!pid) {
		signal(SIGSEGV, SIG_DFL);
		_exit(area[0]);
	}
	ASSERT_EQ(waitpid(pid, &status, 0), pid);
	EXPECT_TRUE(WIFSIGNALED(status));
	EXPECT_EQ(WTERMSIG(status), SIGSEGV);
	io_pool_close(pool);
}

/* Room for that much more than what is mapped now. */
static void limit_memory(size_t more)
{
	unsigned long pages;
	struct rlimit limit;
	FILE *f = fopen("/proc/self/statm", "re");

	ASSERT_NE(f, NULL);
	ASSERT_EQ(fscanf(f, "%lu", &pages), 1);
	fclose(f);
	ASSERT_OK(getrlimit(RLIMIT_AS, &limit));
	limit.rlim_cur = pages * (rlim_t)sysconf(_SC_PAGESIZE) + more;
	ASSERT_OK(setrlimit(RLIMIT_AS, &limit));
}

struct wanting {
	struct io_pool *pool;
	int ms;
	void *buf;
	pthread_t thread;
	atomic_int tid; /* 0 = it has not begun */
};

static void *want_all(void *arg)
{
	struct wanting *w = arg;

	w->tid = gettid();
	w->buf = io_pool_get(w->pool, 2 * MIB, w->ms);
	return NULL;
}

static bool is_asleep(pid_t tid)
{
	char path[64], state = '?';
	FILE *f;

	snprintf(path, sizeof(path), "/proc/self/task/%d/stat", tid);
	f = fopen(path, "re");
	if (!f || fscanf(f, "%*d (%*[^)]) %c", &state) != 1)
		state = 'X'; /* it has ended */
	if (f)
		fclose(f);
	return state == 'S' || state == 'X';
}

/* It waits for the memory, or no more, when this returns. */
static void start(struct wanting *w, struct io_pool *pool, int ms)
{
	*w = (struct wanting){.pool = pool, .ms = ms};
	ASSERT_EQ(pthread_create(&w->thread, NULL, want_all, w), 0);
	while (!w->tid || !is_asleep(w->tid))
		usleep(1000);
	usleep(100000);
}

static void *end(struct wanting *w)
{
	pthread_join(w->thread, NULL);
	return w->buf;
}

/* Who has just given back does not come before those who wait; they come in turn. */
TEST(is_had_in_turn)
{
	struct io_pool *pool;
	struct wanting a, b;
	void *buf;

	ASSERT_OK(io_pool_open(&pool, 2 * MIB));
	buf = io_pool_get(pool, MIB, 0);
	ASSERT_NE(buf, NULL);
	start(&a, pool, 60000);
	EXPECT_EQ(io_pool_get(pool, MIB, 0), NULL, "others wait");
	start(&b, pool, 60000);
	io_pool_put(pool, buf, MIB);
	EXPECT_EQ(io_pool_get(pool, MIB, 0), NULL, "the others are first");
	ASSERT_EQ(end(&a), buf);
	EXPECT_EQ(b.buf, NULL);
	io_pool_put(pool, buf, 2 * MIB);
	EXPECT_EQ(io_pool_get(pool, MIB, 0), NULL);
	ASSERT_EQ(end(&b), buf);
	io_pool_put(pool, buf, 2 * MIB);
	ASSERT_EQ(io_pool_get(pool, 2 * MIB, 0), buf, "nobody waits any more");
	io_pool_put(pool, buf, 2 * MIB);
	io_pool_close(pool);
}

/* Who wants less, and could have it, is not kept by one who has given up. */
TEST(is_waited_for_no_longer_than_asked)
{
	struct io_pool *pool;
	struct wanting a, b;
	void *buf;

	ASSERT_OK(io_pool_open(&pool, 2 * MIB));
	buf = io_pool_get(pool, MIB, 0);
	start(&a, pool, 300);
	start(&b, pool, 1);
	EXPECT_EQ(end(&b), NULL);
	EXPECT_EQ(end(&a), NULL);
	EXPECT_EQ(io_pool_get(pool, MIB, 1), (char *)buf + MIB);
	io_pool_put(pool, buf, 2 * MIB);
	io_pool_close(pool);
}

TEST(says_when_there_is_no_memory)
{
	struct io_pool *pool = NULL;

	limit_memory(64 * MIB);
	EXPECT_EQ(io_pool_open(&pool, 128 * MIB), -ENOMEM);
	EXPECT_EQ(pool, NULL);
	EXPECT_OK(io_pool_open(&pool, 16 * MIB));
	io_pool_close(pool);
}

TEST_MAIN
