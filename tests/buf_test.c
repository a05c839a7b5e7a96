/* SPDX-License-Identifier: MIT */
/*
 * buf_test.c - the buffer pool
 */
#include <signal.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "harness.h"
#include "io/base.h"
#include "io/buf.h"

TEST(cuts_the_whole_area)
{
	static const size_t sizes[] = {MIB, 4096, 4 * MIB, 3 * 4096, 16 * MIB};
	struct io_pool *pool;
	size_t area_size;
	char *area;

	ASSERT_OK(io_pool_open(&pool, 16 * MIB));
	EXPECT_EQ(io_pool_get(pool), NULL); /* not cut yet */
	area = io_pool_area(pool, &area_size);
	EXPECT_EQ(area_size, 16 * MIB);
	EXPECT_EQ((uintptr_t)area % (2 * MIB), 0);
	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		unsigned count = io_pool_cut(pool, sizes[i]);
		char *last = area - sizes[i];

		ASSERT_EQ(count, 16 * MIB / sizes[i]);
		for (unsigned n = 0; n < count; n++) {
			char *buf = io_pool_get(pool);

			ASSERT_EQ(buf, last + sizes[i]);
			buf[0] = buf[sizes[i] - 1] = 1;
			last = buf;
		}
		EXPECT_EQ(io_pool_get(pool), NULL);
		for (unsigned n = 0; n < count; n++)
			io_pool_put(pool, area + n * sizes[i]);
	}
	io_pool_close(pool);
}

TEST(gives_back_what_was_used_last)
{
	struct io_pool *pool;
	void *first, *second;

	ASSERT_OK(io_pool_open(&pool, 2 * MIB));
	ASSERT_EQ(io_pool_cut(pool, MIB), 2);
	first = io_pool_get(pool);
	second = io_pool_get(pool);
	ASSERT_NE(first, second);
	io_pool_put(pool, first);
	EXPECT_EQ(io_pool_get(pool), first);
	io_pool_put(pool, second);
	io_pool_put(pool, first);
	EXPECT_EQ(io_pool_get(pool), first);
	io_pool_put(pool, first);
	io_pool_close(pool);
	io_pool_close(NULL);
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
