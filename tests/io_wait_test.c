/* SPDX-License-Identifier: MIT */
/*
 * io_wait_test.c - waiting for a file that is really slow: timeouts and signals
 *
 * The file is served by nbdkit through FUSE and takes its time for each read. It is
 * opened for direct I/O, as native AIO waits in io_submit() for the page cache.
 */
#include <fcntl.h>
#include <linux/magic.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/time.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "harness.h"
#include "io/backend.h"
#include "io/base.h"
#include "iojob.h"

#define SLOW_MS 600

FIXTURE(slow)
{
	char path[4096];
	pid_t server;
	struct io_file file;
	struct io_queue *q;
	unsigned char *buf;
};

FIXTURE_VARIANT(slow)
{
	const struct io_backend *backend;
};

FIXTURE_VARIANT_ADD(slow, uring){&io_backend_uring};
FIXTURE_VARIANT_ADD(slow, aio){&io_backend_aio};
FIXTURE_VARIANT_ADD(slow, sync){&io_backend_sync};

static int64_t now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* Serves @path, in a mount namespace that ends with the test. */
static pid_t serve_slow_file(const char *path)
{
	struct statfs fs = {0};
	int64_t deadline = now_ms() + 10000;
	int fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
	pid_t pid;

	ASSERT_GE(fd, 0);
	close(fd);
	if (unshare(CLONE_NEWNS))
		SKIP("no mount namespace: %s", strerror(errno));
	ASSERT_OK(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL));
	pid = fork();
	ASSERT_GE(pid, 0);
	if (!pid) {
		execlp("nbdfuse", "nbdfuse", path, "--command", "nbdkit", "-s",
		       "--filter=delay", "pattern", "1M", "rdelay=600ms", NULL);
		_exit(127);
	}
	while (fs.f_type != FUSE_SUPER_MAGIC) {
		ASSERT_LT(now_ms(), deadline, "nbdfuse did not mount");
		usleep(10000);
		ASSERT_OK(statfs(path, &fs));
	}
	return pid;
}

FIXTURE_SETUP(slow)
{
	int r;

	self->file = (struct io_file)IO_FILE_NONE;
	if (geteuid() || access("/dev/fuse", R_OK | W_OK))
		SKIP("no FUSE, or not root");
	if (system("command -v nbdfuse nbdkit >/dev/null"))
		SKIP("no nbdfuse or nbdkit");
	r = io_queue_open_backend(&self->q, variant->backend, 4, NULL);
	if (r == -EPERM || r == -ENOSYS)
		SKIP("%s does not work here: %s", variant->backend->name, strerror(-r));
	ASSERT_OK(r);
	self->buf = aligned_alloc(4096, 4096);
	ASSERT_NE(self->buf, NULL);
	snprintf(self->path, sizeof(self->path), "%s/slow", test_dir());
	self->server = serve_slow_file(self->path);
	self->file.fd = open(self->path, O_RDONLY | O_DIRECT | O_CLOEXEC);
	self->file.tail_fd = self->file.fd;
	ASSERT_GE(self->file.fd, 0);
	self->file.direct = true;
	self->file.align = 4096;
}

FIXTURE_TEARDOWN(slow)
{
	if (self->q && !io_queue_in_flight(self->q))
		io_queue_close(self->q);
	if (self->file.fd >= 0)
		close(self->file.fd);
	free(self->buf);
	if (self->server > 0) {
		/* A closed ring lets go of its files a moment later. */
		for (unsigned i = 0; i < 500 && umount2(self->path, 0) && errno == EBUSY;
		     i++)
			usleep(10000);
		waitpid(self->server, NULL, 0);
	}
}

/* nbdkit's pattern: each 8 bytes hold their own offset, big-endian. */
static void expect_pattern(const unsigned char *bytes, size_t len, uint64_t start)
{
	for (size_t i = 0; i < len; i += 8)
		ASSERT_EQ(__builtin_bswap64(*(const uint64_t *)(bytes + i)), start + i);
}

static volatile sig_atomic_t alarms;
static pid_t alarm_thread;

static void on_alarm(int number)
{
	(void)number;
	alarm_thread = gettid();
	alarms++;
}

static void alarm_in_ms(unsigned ms)
{
	struct sigaction act = {.sa_handler = on_alarm};
	struct itimerval timer = {.it_value.tv_usec = ms * 1000};

	ASSERT_OK(sigaction(SIGALRM, &act, NULL));
	ASSERT_OK(setitimer(ITIMER_REAL, &timer, NULL));
}

TEST_F(slow, reap_gives_up_when_the_time_is_up)
{
	struct job job = job_of(&self->file, IO_READ, 8192, 4096, self->buf);
	int64_t begin, took;

	ASSERT_OK(io_queue_add(self->q, &job.req));
	begin = now_ms();
	EXPECT_EQ(io_queue_reap(self->q, 1, 0), 0);
	EXPECT_EQ(io_queue_reap(self->q, 1, 100), 0);
	took = now_ms() - begin;
	EXPECT_GE(took, 99);
	EXPECT_LT(took, SLOW_MS);
	EXPECT_EQ(job.delivered, 0);
	EXPECT_EQ(io_queue_in_flight(self->q), 1);
	EXPECT_EQ(io_queue_reap(self->q, 1, 20000), 1);
	EXPECT_GE(now_ms() - begin, SLOW_MS - 1);
	EXPECT_OK(job.req.result);
	expect_pattern(self->buf, 4096, 8192);
}

TEST_F(slow, signals_end_the_wait_or_pass_by)
{
	struct job job = job_of(&self->file, IO_READ, 0, 4096, self->buf);
	int count;

	ASSERT_OK(io_queue_add(self->q, &job.req));
	ASSERT_OK(io_queue_kick(self->q));
	alarm_in_ms(100);
	count = io_queue_reap(self->q, 1, -1);
	/* The kernel's waits end; the one for our own threads need not. */
	EXPECT_EQ(count, variant->backend == &io_backend_sync);
	while (io_queue_in_flight(self->q))
		ASSERT_GE(io_queue_reap(self->q, 1, -1), 0);
	EXPECT_EQ(job.delivered, 1);
	EXPECT_OK(job.req.result);
	expect_pattern(self->buf, 4096, 0);
	usleep(1); /* TSan keeps signals back until a call it knows */
	EXPECT_EQ(alarms, 1);
	EXPECT_EQ(alarm_thread, gettid());
}

TEST_MAIN
