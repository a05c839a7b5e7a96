/* SPDX-License-Identifier: MIT */
/*
 * io_choice_test.c - which backend a queue is opened on, and the reason it gives
 */
#include <dirent.h>
#include <fcntl.h>
#include <grp.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "blocked.h"
#include "data.h"
#include "harness.h"
#include "io/backend.h"
#include "io/base.h"
#include "iojob.h"

static const char *const all[] = {"uring", "aio", "sync", NULL};

/* Skips where @name does not work to begin with. */
static void require_backend(const char *name)
{
	const char *const names[] = {name, NULL};
	struct io_queue *q;
	int r = io_queue_open(&q, names, 1, NULL);

	if (r == -EPERM || r == -ENOSYS)
		SKIP("%s does not work here: %s", name, strerror(-r));
	ASSERT_OK(r);
	io_queue_close(q);
}

static int make_file(void)
{
	char path[4096];
	int fd;

	snprintf(path, sizeof(path), "%s/file", test_dir());
	fd = data_create(path, MIB);
	data_write(fd, 7, 0, MIB);
	return fd;
}

/* The queue moves the bytes of make_file(). */
static void expect_works(struct io_queue *q, int fd)
{
	struct io_file file = {.fd = fd, .direct_fd = -1, .align = 1};
	unsigned char *buf = q->pool ? io_pool_get(q->pool, MIB, 0)
				     : aligned_alloc(4096, MIB);
	unsigned char *expected = malloc(MIB);
	struct job job = job_of(&file, IO_READ, 0, MIB, buf);

	ASSERT_NE(buf, NULL);
	ASSERT_NE(expected, NULL);
	data_bytes(7, 0, expected, MIB);
	EXPECT_OK(job_run(q, &job));
	expect_same_bytes(buf, expected, MIB);
	free(expected);
	if (q->pool)
		io_pool_put(q->pool, buf, MIB);
	else
		free(buf);
}

TEST(takes_the_first_that_works)
{
	struct io_queue *q;
	int fd = make_file();

	require_backend("uring");
	ASSERT_OK(io_queue_open(&q, all, 4, NULL));
	EXPECT_STREQ(io_queue_backend(q), "uring");
	EXPECT_STREQ(io_queue_reason(q), "first choice");
	expect_works(q, fd);
	io_queue_close(q);
	close(fd);
}

TEST(takes_the_one_asked_for)
{
	int fd = make_file();

	require_backend("uring");
	require_backend("aio");
	for (size_t i = 0; i < 3; i++) {
		const char *const names[] = {all[i], NULL};
		struct io_queue *q;

		ASSERT_OK(io_queue_open(&q, names, 4, NULL));
		EXPECT_STREQ(io_queue_backend(q), all[i]);
		EXPECT_STREQ(io_queue_reason(q), "first choice");
		EXPECT_GE(io_queue_block(q), MIB);
		expect_works(q, fd);
		io_queue_close(q);
	}
	close(fd);
}

TEST(blocked_io_uring_is_named)
{
	struct io_queue *q;
	int fd = make_file();

	require_backend("aio");
	block_syscall(SYS_io_uring_setup, EPERM);
	ASSERT_OK(io_queue_open(&q, all, 4, NULL));
	EXPECT_STREQ(io_queue_backend(q), "aio");
	EXPECT_STREQ(io_queue_reason(q),
		     "uring not used: io_uring_setup: Operation not permitted "
		     "(seccomp or kernel.io_uring_disabled)");
	expect_works(q, fd);
	io_queue_close(q);
	close(fd);
}

TEST(all_that_were_passed_over_are_named)
{
	struct io_queue *q;
	int fd = make_file();

	block_syscall(SYS_io_uring_setup, ENOSYS);
	block_syscall(SYS_io_setup, EPERM);
	ASSERT_OK(io_queue_open(&q, all, 4, NULL));
	EXPECT_STREQ(io_queue_backend(q), "sync");
	EXPECT_STREQ(io_queue_reason(q),
		     "uring not used: io_uring_setup: Function not implemented; "
		     "aio not used: io_setup: Operation not permitted");
	expect_works(q, fd);
	io_queue_close(q);
	close(fd);
}

/* What cannot be used must not be found out with requests in flight. */
TEST(a_use_that_is_blocked_is_found_at_once)
{
	struct io_queue *q;
	int fd = make_file();

	require_backend("uring");
	require_backend("aio");
	block_syscall(SYS_io_uring_enter, EPERM);
	block_syscall(SYS_io_submit, EPERM);
	ASSERT_OK(io_queue_open(&q, all, 4, NULL));
	EXPECT_STREQ(io_queue_backend(q), "sync");
	EXPECT_STREQ(io_queue_reason(q),
		     "uring not used: io_uring_enter: Operation not permitted "
		     "(seccomp or kernel.io_uring_disabled); "
		     "aio not used: io_submit: Operation not permitted");
	expect_works(q, fd);
	io_queue_close(q);
	close(fd);
}

TEST(a_reaping_that_is_blocked_is_found_at_once)
{
	static const char *const aio_first[] = {"aio", "sync", NULL};
	struct io_queue *q;
	int fd = make_file();

	require_backend("aio");
	block_syscall(SYS_io_getevents, EPERM);
	ASSERT_OK(io_queue_open(&q, aio_first, 4, NULL));
	EXPECT_STREQ(io_queue_backend(q), "sync");
	EXPECT_STREQ(io_queue_reason(q),
		     "aio not used: io_getevents: Operation not permitted");
	expect_works(q, fd);
	io_queue_close(q);
	close(fd);
}

TEST(the_only_one_blocked_is_an_error)
{
	static const char *const uring[] = {"uring", NULL};
	static const char *const both[] = {"uring", "aio", NULL};
	struct io_queue *q = NULL;

	block_syscall(SYS_io_uring_setup, EPERM);
	EXPECT_EQ(io_queue_open(&q, uring, 4, NULL), -EPERM);
	block_syscall(SYS_io_setup, ENOSYS);
	EXPECT_EQ(io_queue_open(&q, both, 4, NULL), -EPERM); /* that of the first */
	EXPECT_EQ(q, NULL);
}

TEST(unknown_names_are_no_backends)
{
	static const char *const nothing[] = {NULL};
	static const char *const unknown[] = {"tape", NULL};
	static const char *const then_sync[] = {"tape", "sync", NULL};
	struct io_queue *q = NULL;

	EXPECT_EQ(io_queue_open(&q, nothing, 4, NULL), -EINVAL);
	EXPECT_EQ(io_queue_open(&q, unknown, 4, NULL), -EINVAL);
	EXPECT_EQ(q, NULL);
	ASSERT_OK(io_queue_open(&q, then_sync, 4, NULL));
	EXPECT_STREQ(io_queue_reason(q), "tape not used: no such backend");
	io_queue_close(q);
}

/* A user without the right to lock memory, whom nothing else runs as. */
static void become_nobody(void)
{
	if (geteuid())
		SKIP("only root can become another user");
	ASSERT_OK(setgroups(0, NULL));
	ASSERT_OK(setresgid(64321, 64321, 64321));
	ASSERT_OK(setresuid(64321, 64321, 64321));
}

static void limit_locked_memory(rlim_t bytes)
{
	ASSERT_OK(setrlimit(RLIMIT_MEMLOCK, &(struct rlimit){bytes, 3 * MIB}));
}

/* Between a file and the bytes at @offset of the queue's pool. */
static int move_at(struct io_queue *q, int fd, enum io_op op, size_t offset, size_t len)
{
	struct io_file file = {.fd = fd, .direct_fd = -1, .align = 1};
	size_t size;
	char *area = io_pool_area(q->pool, &size);
	struct job job = job_of(&file, op, 0, len, area + offset);

	return job_run(q, &job);
}

FIXTURE(registered)
{
	struct io_pool *pool;
	struct io_queue *q;
	char *area;
	size_t size;
	int fd;
};

FIXTURE_SETUP(registered)
{
	static const char *const uring[] = {"uring", NULL};

	require_backend("uring");
	self->fd = make_file();
	ASSERT_OK(io_pool_open(&self->pool, 4 * IO_POOL_PAGE));
	self->area = io_pool_area(self->pool, &self->size);
	ASSERT_OK(io_queue_open(&self->q, uring, 4, self->pool));
}

FIXTURE_TEARDOWN(registered)
{
	io_queue_close(self->q);
	io_pool_close(self->pool);
	close(self->fd);
}

/* The kernel knows the pages of a registered buffer, whatever becomes of the mapping. */
TEST_F(registered, buffers_are)
{
	static const char *const sync[] = {"sync", NULL};
	struct io_queue *other;

	EXPECT_EQ(move_at(self->q, self->fd, IO_READ, IO_POOL_PAGE, 65536), 0);
	ASSERT_OK(mprotect(self->area, self->size, PROT_NONE));
	EXPECT_EQ(move_at(self->q, self->fd, IO_READ, 0, 65536), 0);
	EXPECT_EQ(move_at(self->q, self->fd, IO_WRITE, IO_POOL_PAGE, 65536), 0);
	EXPECT_EQ(move_at(self->q, self->fd, IO_WRITE, 2 * IO_POOL_PAGE - 65536, 65536),
		  0);
	/* Each page is a buffer by itself. */
	EXPECT_EQ(move_at(self->q, self->fd, IO_WRITE, IO_POOL_PAGE - 4096, 8192),
		  -EFAULT);
	/* Anybody else is told that there is no such memory. */
	ASSERT_OK(io_queue_open(&other, sync, 4, self->pool));
	EXPECT_EQ(move_at(other, self->fd, IO_WRITE, 0, 65536), -EFAULT);
	io_queue_close(other);
	ASSERT_OK(mprotect(self->area, self->size, PROT_READ | PROT_WRITE));
}

static size_t resident(const char *area, size_t size)
{
	unsigned char pages[4 * IO_POOL_PAGE / 4096];
	size_t count = 0;

	ASSERT_LE(size / 4096, sizeof(pages));
	ASSERT_OK(mincore((void *)area, size, pages));
	for (size_t i = 0; i < size / 4096; i++)
		count += pages[i] & 1;
	return count * 4096;
}

/* Memory that nobody moves bytes through costs nothing. */
TEST_F(registered, buffers_are_when_they_are_used)
{
	EXPECT_EQ(resident(self->area, self->size), IO_POOL_PAGE);
	EXPECT_EQ(move_at(self->q, self->fd, IO_WRITE, 2 * IO_POOL_PAGE, 65536), 0);
	EXPECT_EQ(resident(self->area, self->size), 2 * IO_POOL_PAGE);
	EXPECT_STREQ(io_queue_reason(self->q), "first choice");
}

TEST(buffers_that_cannot_be_locked_are_used_unregistered)
{
	static const char *const uring[] = {"uring", NULL};
	struct io_pool *pool;
	struct io_queue *q;
	int fd = make_file();

	require_backend("uring");
	ASSERT_OK(io_pool_open(&pool, 4 * MIB));
	ASSERT_OK(io_queue_open(&q, uring, 4, pool));
	EXPECT_STREQ(io_queue_reason(q), "first choice");
	expect_works(q, fd);
	io_queue_close(q);

	become_nobody();
	limit_locked_memory(MIB);
	ASSERT_OK(io_queue_open(&q, uring, 4, pool));
	EXPECT_STREQ(io_queue_reason(q), "first choice; buffers not registered: "
					 "Cannot allocate memory (RLIMIT_MEMLOCK)");
	expect_works(q, fd);
	io_queue_close(q);

	/* Room for one of them, and not for two. */
	limit_locked_memory(3 * MIB);
	ASSERT_OK(io_queue_open(&q, uring, 4, pool));
	EXPECT_STREQ(io_queue_reason(q), "first choice");
	EXPECT_EQ(move_at(q, fd, IO_READ, IO_POOL_PAGE, 65536), 0);
	EXPECT_STREQ(io_queue_reason(q), "first choice; buffers not registered: "
					 "Cannot allocate memory (RLIMIT_MEMLOCK)");
	expect_works(q, fd);
	io_queue_close(q);

	/* Kernels differ in whether the ring itself counts; all name the limit. */
	limit_locked_memory(0);
	ASSERT_OK(io_queue_open(&q, all, 4, pool));
	EXPECT_NE(strstr(io_queue_reason(q), "(RLIMIT_MEMLOCK)"), NULL, "%s: %s",
		  io_queue_backend(q), io_queue_reason(q));
	expect_works(q, fd);
	io_queue_close(q);
	io_pool_close(pool);
	close(fd);
}

static unsigned count_threads(void)
{
	DIR *dir = opendir("/proc/self/task");
	unsigned count = 0;

	ASSERT_NE(dir, NULL);
	while (readdir(dir))
		count++;
	closedir(dir);
	return count - 2; /* . and .. */
}

/* One thread short, two threads short: nothing of them stays behind. */
TEST(threads_that_cannot_be_had)
{
	static const char *const sync[] = {"sync", NULL};
	unsigned threads = count_threads();
	struct io_queue *q = NULL;

	become_nobody();
	for (unsigned more = 0; more < 2; more++) {
		struct rlimit limit = {threads + more, threads + 2};

		ASSERT_OK(setrlimit(RLIMIT_NPROC, &limit));
		EXPECT_EQ(io_queue_open(&q, sync, 4, NULL), -ENOMEM);
		/* One that was joined can be seen for a moment more. */
		for (int i = 0; count_threads() > threads && i < 1000; i++)
			usleep(10000);
		EXPECT_EQ(count_threads(), threads);
	}
	ASSERT_OK(setrlimit(RLIMIT_NPROC, &(struct rlimit){threads + 2, threads + 2}));
	ASSERT_OK(io_queue_open(&q, sync, 4, NULL));
	EXPECT_EQ(count_threads(), threads + 2);
	io_queue_close(q);
}

TEST_MAIN
