/* SPDX-License-Identifier: MIT */
/*
 * io_wait_test.c - waiting for a file that gives nothing: timeouts and signals
 *
 * The file is served by nbdkit through FUSE, and gives nothing while nbdkit pauses. It is
 * opened for direct I/O, as native AIO waits in io_submit() for the page cache.
 */
#include <fcntl.h>
#include <linux/magic.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include <unistd.h>

#include "harness.h"
#include "io/backend.h"
#include "io/base.h"
#include "iojob.h"
#include "stage.h"

FIXTURE(slow)
{
	char path[4096];
	pid_t server;
	int control; /* of the server */
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

/* Serves @path, in a mount namespace that ends with the test. */
static pid_t serve_slow_file(const char *path, const char *control)
{
	struct statfs fs = {0};
	uint64_t deadline = now_ms() + 60000;
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
		       "--filter=pause", "pattern", "1M",
		       fmt("pause-control=%s", control), NULL);
		_exit(127);
	}
	while (fs.f_type != FUSE_SUPER_MAGIC) {
		ASSERT_LT(now_ms(), deadline, "nbdfuse did not mount");
		usleep(10000);
		ASSERT_OK(statfs(path, &fs));
	}
	return pid;
}

static int connect_to(const char *path)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	ASSERT_GE(fd, 0);
	ASSERT_LT(snprintf(address.sun_path, sizeof(address.sun_path), "%s", path),
		  sizeof(address.sun_path), "%s", path);
	ASSERT_OK(connect(fd, (struct sockaddr *)&address, sizeof(address)), "%s", path);
	return fd;
}

FIXTURE_SETUP(slow)
{
	const char *control;
	int r;

	self->control = -1;
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
	control = fmt("%s/control", test_dir());
	self->server = serve_slow_file(self->path, control);
	self->control = connect_to(control);
	self->file.direct_fd = open(self->path, O_RDONLY | O_DIRECT | O_CLOEXEC);
	ASSERT_GE(self->file.direct_fd, 0);
	self->file.align = 4096;
}

FIXTURE_TEARDOWN(slow)
{
	if (self->q && !io_queue_in_flight(self->q))
		io_queue_close(self->q);
	io_file_close(&self->file);
	free(self->buf);
	if (self->server > 0) {
		/* A closed ring lets go of its files a moment later. */
		for (unsigned i = 0; i < 6000 && umount2(self->path, 0) && errno == EBUSY;
		     i++)
			usleep(10000);
		waitpid(self->server, NULL, 0);
	}
	if (self->control >= 0)
		close(self->control);
}

/* nbdkit's pattern: each 8 bytes hold their own offset, big-endian. */
static void expect_pattern(const unsigned char *bytes, size_t len, uint64_t start)
{
	for (size_t i = 0; i < len; i += 8)
		ASSERT_EQ(__builtin_bswap64(*(const uint64_t *)(bytes + i)), start + i);
}

/* From here on no read ends ... */
static void pause_server(const struct slow_fixture *self)
{
	char answer = 0;

	ASSERT_EQ(write(self->control, "p", 1), 1);
	ASSERT_EQ(read(self->control, &answer, 1), 1);
	ASSERT_EQ(answer, 'P');
}

/* ... up to here. */
static void resume_server(const struct slow_fixture *self)
{
	ASSERT_EQ(write(self->control, "r", 1), 1);
}

static volatile sig_atomic_t alarms, strays; /* those that other threads have got */
static volatile pid_t alarmed;
static volatile int resumed = -1; /* the server, by the third one */

static void on_alarm(int number)
{
	(void)number;
	strays += gettid() != alarmed;
	if (++alarms == 3 && resumed >= 0 && write(resumed, "r", 1) != 1)
		abort();
}

/* Again and again: the first may come before anybody waits. */
static void alarm_every_ms(unsigned ms)
{
	struct sigaction act = {.sa_handler = on_alarm};
	struct itimerval timer = {.it_value.tv_usec = ms * 1000,
				  .it_interval.tv_usec = ms * 1000};

	alarmed = gettid();
	ASSERT_OK(sigaction(SIGALRM, &act, NULL));
	ASSERT_OK(setitimer(ITIMER_REAL, &timer, NULL));
}

TEST_F(slow, reap_gives_up_when_the_time_is_up)
{
	struct job job = job_of(&self->file, IO_READ, 8192, 4096, self->buf);
	uint64_t begin;

	pause_server(self);
	ASSERT_OK(io_queue_add(self->q, &job.req));
	begin = now_ms();
	EXPECT_EQ(io_queue_reap(self->q, 1, 0), 0);
	EXPECT_EQ(io_queue_reap(self->q, 1, 100), 0);
	EXPECT_GE(now_ms() - begin, 99);
	EXPECT_EQ(job.delivered, 0);
	EXPECT_EQ(io_queue_in_flight(self->q), 1);
	resume_server(self);
	EXPECT_EQ(io_queue_reap(self->q, 1, 60000), 1);
	EXPECT_OK(job.req.result);
	expect_pattern(self->buf, 4096, 8192);
}

TEST_F(slow, signals_end_the_wait_or_pass_by)
{
	struct job job = job_of(&self->file, IO_READ, 0, 4096, self->buf);
	bool passes_by = variant->backend == &io_backend_sync;
	int count;

	pause_server(self);
	ASSERT_OK(io_queue_add(self->q, &job.req));
	ASSERT_OK(io_queue_kick(self->q));
	resumed = passes_by ? self->control : -1;
	alarm_every_ms(100);
	count = io_queue_reap(self->q, 1, -1);
	/* The kernel's waits end; the one for our own threads need not. */
	EXPECT_EQ(count, passes_by);
	if (!passes_by)
		resume_server(self);
	while (io_queue_in_flight(self->q))
		ASSERT_GE(io_queue_reap(self->q, 1, -1), 0);
	EXPECT_EQ(job.delivered, 1);
	EXPECT_OK(job.req.result);
	expect_pattern(self->buf, 4096, 0);
	usleep(1); /* TSan keeps signals back until a call it knows */
	EXPECT_GE(alarms, 1);
	EXPECT_EQ(strays, 0);
}

TEST_MAIN
