/* SPDX-License-Identifier: MIT */
/*
 * io_contract_test.c - what a queue promises, on every backend and on the fake one,
 * to a file with direct I/O and to one without
 */
#include <dirent.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/resource.h>

#include "data.h"
#include "fakeio.h"
#include "harness.h"
#include "io/base.h"
#include "iojob.h"
#include "loopfs.h"

#define DEPTH	  8
#define BUF_SIZE  (256 * KIB)
#define FILE_SIZE (3 * MIB + 777)

FIXTURE(queue)
{
	struct io_pool *pool;
	void *bufs[DEPTH]; /* all of the pool */
	struct io_queue *q;
	struct io_file file;
	unsigned char *bytes; /* what the file holds at first */
	char path[4096];
};

FIXTURE_VARIANT(queue)
{
	const struct io_backend *backend;
	bool direct;
};

FIXTURE_VARIANT_ADD(queue, uring){&io_backend_uring, true};
FIXTURE_VARIANT_ADD(queue, aio){&io_backend_aio, true};
FIXTURE_VARIANT_ADD(queue, sync){&io_backend_sync, true};
FIXTURE_VARIANT_ADD(queue, fake){&fakeio_backend, true};
FIXTURE_VARIANT_ADD(queue, uring_buffered){&io_backend_uring, false};
FIXTURE_VARIANT_ADD(queue, aio_buffered){&io_backend_aio, false};
FIXTURE_VARIANT_ADD(queue, sync_buffered){&io_backend_sync, false};
FIXTURE_VARIANT_ADD(queue, fake_buffered){&fakeio_backend, false};

static void create_file(struct io_file *ret, const char *path, bool direct)
{
	ASSERT_OK(io_file_create(AT_FDCWD, path, -1, ret));
	choose_mode(ret, direct);
}

FIXTURE_SETUP(queue)
{
	int r;

	self->file = (struct io_file)IO_FILE_NONE;
	ASSERT_OK(io_pool_open(&self->pool, DEPTH * BUF_SIZE));
	for (unsigned i = 0; i < DEPTH; i++)
		self->bufs[i] = io_pool_get(self->pool, BUF_SIZE, 0);
	self->bytes = malloc(FILE_SIZE);
	ASSERT_NE(self->bytes, NULL);
	data_bytes(1, 0, self->bytes, FILE_SIZE);
	snprintf(self->path, sizeof(self->path), "%s/file", test_dir());
	create_file(&self->file, self->path, variant->direct);
	ASSERT_EQ(pwrite(self->file.fd, self->bytes, FILE_SIZE, 0), FILE_SIZE);
	r = io_queue_open_backend(&self->q, variant->backend, DEPTH, self->pool);
	if (r == -EPERM || r == -ENOSYS)
		SKIP("%s does not work here: %s", variant->backend->name, strerror(-r));
	ASSERT_OK(r);
}

FIXTURE_TEARDOWN(queue)
{
	if (self->q && !io_queue_in_flight(self->q))
		io_queue_close(self->q);
	io_file_close(&self->file);
	free(self->bytes);
	for (unsigned i = 0; i < DEPTH && self->bufs[i]; i++)
		io_pool_put(self->pool, self->bufs[i], BUF_SIZE);
	io_pool_close(self->pool);
}

/* Before its files' file system is unmounted: an io_uring lets go of a file that was done
 * with when it is entered next, or closed. */
static void close_queue(struct queue_fixture *self)
{
	io_queue_close(self->q);
	self->q = NULL;
}

/* The file holds exactly these bytes. */
static void expect_file(const char *path, const void *bytes, size_t len)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	char *seen = malloc(len + 1);

	ASSERT_GE(fd, 0);
	ASSERT_NE(seen, NULL);
	ASSERT_EQ(pread(fd, seen, len + 1, 0), len);
	expect_same_bytes(seen, bytes, len);
	free(seen);
	close(fd);
}

/* ------------------------------------------------------------------ whole ranges */

TEST_F(queue, reads_every_byte)
{
	struct job jobs[DEPTH];
	uint64_t start = 0;

	while (start < FILE_SIZE) {
		unsigned count = 0;

		for (; count < DEPTH && start < FILE_SIZE; count++) {
			uint64_t len = min_u64(BUF_SIZE, FILE_SIZE - start);

			jobs[count] = job_of(&self->file, IO_READ, start, len,
					     self->bufs[count]);
			ASSERT_OK(io_queue_add(self->q, &jobs[count].req));
			start += len;
		}
		ASSERT_EQ(io_queue_reap(self->q, count, -1), count);
		for (unsigned i = 0; i < count; i++) {
			const struct io_req *req = &jobs[i].req;

			ASSERT_OK(req->result);
			expect_same_bytes(req->buf, self->bytes + req->start, req->len);
		}
	}
}

TEST_F(queue, writes_every_byte_and_no_more)
{
	static const uint64_t sizes[] = {1,    511,  512,	  4095,		4096,
					 4097, 8191, 65536 + 777, BUF_SIZE - 1, BUF_SIZE};

	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		struct io_file file = IO_FILE_NONE;
		struct job job = job_of(&file, IO_WRITE, 0, sizes[i], self->bufs[0]);
		char path[4200];

		snprintf(path, sizeof(path), "%s.%zu", self->path, i);
		create_file(&file, path, variant->direct);
		data_bytes(i, 0, self->bufs[0], sizes[i]);
		EXPECT_OK(job_run(self->q, &job));
		io_file_close(&file);
		expect_file(path, self->bufs[0], sizes[i]);
	}
}

TEST_F(queue, reads_unaligned_ends)
{
	static const uint64_t lens[] = {1, 511, 4095, 4096, 4097, 65536 + 777};

	for (size_t i = 0; i < ARRAY_SIZE(lens); i++) {
		struct job job = job_of(&self->file, IO_READ, MIB, lens[i],
					self->bufs[0]);

		memset(self->bufs[0], 0xee, lens[i] + 1);
		EXPECT_OK(job_run(self->q, &job));
		expect_same_bytes(self->bufs[0], self->bytes + MIB, lens[i]);
		EXPECT_EQ(((unsigned char *)self->bufs[0])[lens[i]], 0xee);
	}
}

TEST_F(queue, moves_unaligned_ranges)
{
	char *buf = self->bufs[0];
	/* Memory aligned as the file is, aligned otherwise, and aligned alone. */
	struct job jobs[] = {
		job_of(&self->file, IO_WRITE, MIB + 1000, 30000, buf + 1000),
		job_of(&self->file, IO_WRITE, 1111, 30000, buf + 333),
		job_of(&self->file, IO_WRITE, 2 * MIB + 1, 30000, buf),
		job_of(&self->file, IO_WRITE, 2 * MIB + 65536, 30000, buf + 512),
	};

	for (size_t i = 0; i < ARRAY_SIZE(jobs); i++) {
		struct io_req *req = &jobs[i].req;
		struct job back = jobs[i];

		data_bytes(i + 10, 0, req->buf, req->len);
		memcpy(self->bytes + req->start, req->buf, req->len);
		EXPECT_OK(job_run(self->q, &jobs[i]));
		memset(req->buf, 0, req->len);
		back.req.op = IO_READ;
		EXPECT_OK(job_run(self->q, &back));
		expect_same_bytes(req->buf, self->bytes + req->start, req->len);
	}
	expect_file(self->path, self->bytes, FILE_SIZE);
}

TEST_F(queue, moves_memory_that_is_not_the_pools)
{
	unsigned char *own = aligned_alloc(4096, BUF_SIZE);
	struct job job = job_of(&self->file, IO_READ, 4096, BUF_SIZE, own);

	ASSERT_NE(own, NULL);
	EXPECT_OK(job_run(self->q, &job));
	expect_same_bytes(own, self->bytes + 4096, BUF_SIZE);
	free(own);
}

TEST_F(queue, moves_nothing_when_nothing_is_asked)
{
	struct job job = job_of(&self->file, IO_READ, FILE_SIZE, 0, NULL);

	ASSERT_OK(io_queue_add(self->q, &job.req));
	EXPECT_EQ(job.delivered, 0);
	EXPECT_EQ(io_queue_in_flight(self->q), 1);
	EXPECT_EQ(io_queue_reap(self->q, 1, -1), 1);
	EXPECT_EQ(job.delivered, 1);
	EXPECT_EQ(job.req.result, 0);
}

/* ------------------------------------------------------------ filling, delivering */

TEST_F(queue, full_is_an_answer)
{
	struct job jobs[DEPTH + 1];

	for (unsigned i = 0; i <= DEPTH; i++)
		jobs[i] = job_of(&self->file, IO_READ, i * 4096, 4096,
				 self->bufs[i % DEPTH]);
	for (unsigned i = 0; i < DEPTH; i++)
		ASSERT_OK(io_queue_add(self->q, &jobs[i].req));
	EXPECT_EQ(io_queue_add(self->q, &jobs[DEPTH].req), -EAGAIN);
	EXPECT_EQ(io_queue_in_flight(self->q), DEPTH);
	EXPECT_GE(io_queue_reap(self->q, 1, -1), 1);
	EXPECT_OK(io_queue_add(self->q, &jobs[DEPTH].req));
	while (io_queue_in_flight(self->q))
		ASSERT_GE(io_queue_reap(self->q, 1, -1), 0);
	for (unsigned i = 0; i <= DEPTH; i++)
		EXPECT_EQ(jobs[i].delivered, 1, "request %u", i);
}

TEST_F(queue, delivers_many_exactly_once)
{
	enum {
		COUNT = 1000
	};
	struct job *jobs = calloc(COUNT, sizeof(*jobs));
	unsigned added = 0, full = 0, delivered = 0;

	ASSERT_NE(jobs, NULL);
	while (delivered < COUNT) {
		int r = 0;

		while (added < COUNT && !r) {
			enum io_op op = added % 10 ? IO_READ : IO_SYNC;
			uint64_t len = op == IO_SYNC ? 0 : added % 5000;

			jobs[added] = job_of(&self->file, op,
					     op == IO_SYNC ? 0 : added * 8, len,
					     self->bufs[added % DEPTH]);
			r = io_queue_add(self->q, &jobs[added].req);
			added += !r;
		}
		full += r == -EAGAIN;
		r = io_queue_reap(self->q, 1 + added % DEPTH, -1);
		ASSERT_GE(r, 1);
		delivered += (unsigned)r;
		ASSERT_EQ(added - delivered, io_queue_in_flight(self->q));
	}
	EXPECT_GT(full, COUNT / DEPTH / 2);
	for (unsigned i = 0; i < COUNT; i++) {
		EXPECT_EQ(jobs[i].delivered, 1, "request %u", i);
		EXPECT_EQ(jobs[i].req.result, 0, "request %u", i);
	}
	free(jobs);
}

TEST_F(queue, delivers_from_reap_only)
{
	struct job read = job_of(&self->file, IO_READ, 0, 4096, self->bufs[0]);
	struct job sync = job_of(&self->file, IO_SYNC, 0, 0, NULL);

	ASSERT_OK(io_queue_add(self->q, &read.req));
	ASSERT_OK(io_queue_kick(self->q));
	ASSERT_OK(io_queue_add(self->q, &sync.req));
	ASSERT_OK(io_queue_kick(self->q));
	usleep(50000);
	EXPECT_EQ(read.delivered + sync.delivered, 0);
	EXPECT_EQ(io_queue_in_flight(self->q), 2);
	EXPECT_EQ(io_queue_reap(self->q, 2, -1), 2);
	EXPECT_EQ(read.delivered, 1);
	EXPECT_EQ(sync.delivered, 1);
}

TEST_F(queue, reap_waits_for_no_more_than_there_is)
{
	struct job jobs[3];

	EXPECT_EQ(io_queue_reap(self->q, 1, -1), 0);
	EXPECT_EQ(io_queue_reap(self->q, 0, 0), 0);
	for (unsigned i = 0; i < 3; i++) {
		jobs[i] = job_of(&self->file, IO_READ, 0, 4096, self->bufs[i]);
		ASSERT_OK(io_queue_add(self->q, &jobs[i].req));
	}
	EXPECT_EQ(io_queue_reap(self->q, 100, -1), 3);
}

/* Reaping for nothing still moves things on. */
TEST_F(queue, polling_gets_there)
{
	struct job job = job_of(&self->file, IO_READ, 0, 70000, self->bufs[0]);
	int count = 0;

	ASSERT_OK(io_queue_add(self->q, &job.req));
	while (!count) {
		usleep(1000);
		count = io_queue_reap(self->q, 0, -1);
	}
	EXPECT_EQ(count, 1);
	expect_same_bytes(self->bufs[0], self->bytes, 70000);
}

/* A request that adds itself again from done() until it has read the file. */
struct walk {
	struct io_req req;
	struct io_queue *q;
	const unsigned char *bytes;
	unsigned steps;
};

static void walk_on(struct io_req *req)
{
	struct walk *walk = container_of(req, struct walk, req);

	ASSERT_OK(req->result);
	expect_same_bytes(req->buf, walk->bytes + req->start, req->len);
	walk->steps++;
	req->start += req->len;
	req->len = min_u64(req->len, FILE_SIZE - req->start);
	if (req->len)
		ASSERT_OK(io_queue_add(walk->q, req));
}

TEST_F(queue, done_may_add)
{
	struct walk walk = {
		.req = {.op = IO_READ,
			.file = &self->file,
			.len = 65536,
			.buf = self->bufs[0],
			.done = walk_on},
		.q = self->q,
		.bytes = self->bytes,
	};

	ASSERT_OK(io_queue_add(self->q, &walk.req));
	while (io_queue_in_flight(self->q))
		ASSERT_GE(io_queue_reap(self->q, 1, -1), 1);
	EXPECT_EQ(walk.req.start, FILE_SIZE);
	EXPECT_EQ(walk.steps, 49);
}

static void add_again(struct io_req *req)
{
	struct walk *walk = container_of(req, struct walk, req);

	if (++walk->steps < 1000)
		ASSERT_OK(io_queue_add(walk->q, req));
}

/* What never waits does not keep reap() from returning. */
TEST_F(queue, reap_ends_though_done_adds)
{
	struct walk walk = {
		.req = {.op = IO_READ, .file = &self->file, .done = add_again},
		.q = self->q,
	};

	ASSERT_OK(io_queue_add(self->q, &walk.req));
	EXPECT_EQ(io_queue_reap(self->q, 1, -1), 1);
	EXPECT_EQ(walk.steps, 1);
	EXPECT_EQ(io_queue_in_flight(self->q), 1);
	EXPECT_EQ(io_queue_reap(self->q, 999, -1), 999);
	EXPECT_EQ(io_queue_in_flight(self->q), 0);
}

/* -------------------------------------------------------------------- real errors */

TEST_F(queue, end_of_file_is_no_data)
{
	struct job across = job_of(&self->file, IO_READ, 3 * MIB, 65536, self->bufs[0]);
	struct job behind = job_of(&self->file, IO_READ, 4 * MIB, 4096, self->bufs[1]);

	EXPECT_EQ(job_run(self->q, &across), -ENODATA);
	EXPECT_EQ(job_run(self->q, &behind), -ENODATA);
}

TEST_F(queue, bad_descriptor)
{
	static const enum io_op ops[] = {IO_READ, IO_WRITE, IO_SYNC};
	int fd = open(self->path, O_RDWR | O_CLOEXEC);
	struct io_file closed = self->file;

	ASSERT_GE(fd, 0);
	close(fd);
	closed.fd = fd;
	if (io_file_is_direct(&closed))
		closed.direct_fd = fd;
	for (size_t i = 0; i < ARRAY_SIZE(ops); i++) {
		struct job job = job_of(&closed, ops[i], 0, ops[i] == IO_SYNC ? 0 : 8192,
					self->bufs[0]);

		EXPECT_EQ(job_run(self->q, &job), -EBADF);
	}
	/* Also amidst others, which it does not hurt. */
	for (unsigned round = 0; round < 10; round++) {
		struct job jobs[DEPTH];

		for (unsigned i = 0; i < DEPTH; i++) {
			jobs[i] = job_of(i == 3 ? &closed : &self->file, IO_READ,
					 i * 8192, 8192, self->bufs[i]);
			ASSERT_OK(io_queue_add(self->q, &jobs[i].req));
		}
		ASSERT_EQ(io_queue_reap(self->q, DEPTH, -1), DEPTH);
		for (unsigned i = 0; i < DEPTH; i++)
			EXPECT_EQ(jobs[i].req.result, i == 3 ? -EBADF : 0);
	}
}

TEST_F(queue, file_size_limit)
{
	struct job job = job_of(&self->file, IO_WRITE, 4 * MIB, 131072, self->bufs[0]);
	struct rlimit limit;
	unsigned char seen[65536];

	signal(SIGXFSZ, SIG_IGN);
	ASSERT_OK(getrlimit(RLIMIT_FSIZE, &limit));
	limit.rlim_cur = 4 * MIB + 65536;
	ASSERT_OK(setrlimit(RLIMIT_FSIZE, &limit));
	data_bytes(3, 0, self->bufs[0], 131072);
	EXPECT_EQ(job_run(self->q, &job), -EFBIG);
	ASSERT_EQ(pread(self->file.fd, seen, 65536, 4 * MIB), 65536);
	expect_same_bytes(seen, self->bufs[0], 65536);
}

TEST_F(queue, no_space)
{
	struct io_file file = IO_FILE_NONE;
	struct job jobs[DEPTH];
	unsigned written = 0;
	struct loopfs fs = {0};
	char path[4200];

	loopfs_mount(&fs, "tmpfs", 0, NULL, "size=1m");
	snprintf(path, sizeof(path), "%s/file", fs.mnt);
	create_file(&file, path, variant->direct);
	for (unsigned i = 0; i < DEPTH; i++) { /* twice of what there is */
		data_bytes(i, 0, self->bufs[i], BUF_SIZE);
		jobs[i] = job_of(&file, IO_WRITE, i * BUF_SIZE, BUF_SIZE, self->bufs[i]);
		ASSERT_OK(io_queue_add(self->q, &jobs[i].req));
	}
	ASSERT_EQ(io_queue_reap(self->q, DEPTH, -1), DEPTH);
	for (unsigned i = 0; i < DEPTH; i++) {
		unsigned char seen[BUF_SIZE];

		if (jobs[i].req.result) {
			EXPECT_EQ(jobs[i].req.result, -ENOSPC);
			continue;
		}
		written++;
		ASSERT_EQ(pread(file.fd, seen, BUF_SIZE, i * BUF_SIZE), BUF_SIZE);
		expect_same_bytes(seen, self->bufs[i], BUF_SIZE);
	}
	EXPECT_LE(written, MIB / BUF_SIZE);
	io_file_close(&file);
	close_queue(self);
	loopfs_umount(&fs);
}

/* --------------------------------------------------------------------------- sync */

TEST_F(queue, syncs)
{
	struct job write = job_of(&self->file, IO_WRITE, 0, BUF_SIZE, self->bufs[0]);
	struct job sync = job_of(&self->file, IO_SYNC, 0, 0, NULL);

	data_bytes(4, 0, self->bufs[0], BUF_SIZE);
	EXPECT_OK(job_run(self->q, &write));
	EXPECT_OK(job_run(self->q, &sync));
	memcpy(self->bytes, self->bufs[0], BUF_SIZE);
	expect_file(self->path, self->bytes, FILE_SIZE);
}

TEST_F(queue, says_what_cannot_be_synced)
{
	struct io_file pipe_end = IO_FILE_NONE;
	struct job job = job_of(&pipe_end, IO_SYNC, 0, 0, NULL);
	int fds[2];

	ASSERT_OK(pipe2(fds, O_CLOEXEC));
	pipe_end.fd = fds[1];
	EXPECT_EQ(job_run(self->q, &job), -EINVAL);
	close(fds[0]);
	close(fds[1]);
}

/* ------------------------------------------------------------------- coming, going */

static size_t count_entries(const char *path)
{
	DIR *dir = opendir(path);
	size_t count = 0;

	ASSERT_NE(dir, NULL);
	while (readdir(dir))
		count++;
	closedir(dir);
	return count;
}

TEST_F(queue, close_leaves_nothing)
{
	size_t fds, tasks;

	io_queue_close(NULL);
	fds = count_entries("/proc/self/fd");
	tasks = count_entries("/proc/self/task");
	for (unsigned i = 0; i < 20; i++) {
		struct job job = job_of(&self->file, IO_READ, 0, 4096, self->bufs[0]);
		struct io_queue *q;

		ASSERT_OK(io_queue_open_backend(&q, variant->backend, 64, self->pool));
		ASSERT_OK(job_run(q, &job));
		io_queue_close(q);
	}
	EXPECT_EQ(count_entries("/proc/self/fd"), fds);
	/* The kernel keeps a worker or two for a thread that had a ring. One that was
	 * joined can be seen for a moment more. */
	if (variant->backend == &io_backend_uring)
		return;
	for (int i = 0; count_entries("/proc/self/task") > tasks && i < 1000; i++)
		usleep(10000);
	EXPECT_EQ(count_entries("/proc/self/task"), tasks);
}

/* ------------------------------------------------------------------- a slow device */

struct thaw {
	int dir;
	unsigned after_ms;
};

static void *thaw_later(void *arg)
{
	const struct thaw *thaw = arg;

	usleep(thaw->after_ms * 1000);
	ioctl(thaw->dir, FITHAW, 0);
	return NULL;
}

/* Writes that take twenty times as long as a queue waits before it sees whether the
 * kernel has lost something: each comes back once, and so does what follows. */
TEST_F(queue, waits_for_a_slow_device)
{
	struct loopfs fs = {0};
	struct io_file file = IO_FILE_NONE;
	struct job jobs[DEPTH];
	struct thaw thaw = {.after_ms = 1000};
	pthread_t thread;
	char path[4200];

	loopfs_mount(&fs, "ext4", 0, NULL, NULL);
	snprintf(path, sizeof(path), "%s/file", fs.mnt);
	create_file(&file, path, variant->direct);
	thaw.dir = open(fs.mnt, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	ASSERT_GE(thaw.dir, 0);
	ASSERT_OK(ioctl(thaw.dir, FIFREEZE, 0));
	ASSERT_EQ(pthread_create(&thread, NULL, thaw_later, &thaw), 0);
	for (unsigned i = 0; i < DEPTH; i++) {
		jobs[i] = job_of(&file, IO_WRITE, i * BUF_SIZE, BUF_SIZE, self->bufs[i]);
		memcpy(self->bufs[i], self->bytes + i * BUF_SIZE, BUF_SIZE);
		ASSERT_OK(io_queue_add(self->q, &jobs[i].req));
	}
	EXPECT_EQ(io_queue_reap(self->q, DEPTH, -1), DEPTH);
	pthread_join(thread, NULL);
	for (unsigned i = 0; i < DEPTH; i++) {
		EXPECT_OK(jobs[i].req.result);
		jobs[i].req.op = IO_READ;
		memset(self->bufs[i], 0, BUF_SIZE);
		ASSERT_OK(io_queue_add(self->q, &jobs[i].req));
	}
	EXPECT_EQ(io_queue_reap(self->q, DEPTH, -1), DEPTH);
	for (unsigned i = 0; i < DEPTH; i++)
		expect_same_bytes(self->bufs[i], self->bytes + i * BUF_SIZE, BUF_SIZE);
	expect_file(path, self->bytes, DEPTH * BUF_SIZE);
	io_file_close(&file);
	close(thaw.dir);
	close_queue(self);
	loopfs_umount(&fs);
}

static volatile sig_atomic_t signals;

static void on_signal(int number)
{
	(void)number;
	signals++;
}

/* A signal the program has blocked finds no thread of a backend to run in. */
TEST_F(queue, signals_stay_with_the_program)
{
	struct job job = job_of(&self->file, IO_READ, 0, 4096, self->bufs[0]);
	sigset_t set;

	signal(SIGUSR1, on_signal);
	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	ASSERT_OK(sigprocmask(SIG_BLOCK, &set, NULL));
	ASSERT_OK(kill(getpid(), SIGUSR1));
	EXPECT_OK(job_run(self->q, &job));
	usleep(20000);
	EXPECT_EQ(signals, 0);
	ASSERT_OK(sigpending(&set));
	EXPECT_EQ(sigismember(&set, SIGUSR1), 1);
}

TEST_MAIN
