/* SPDX-License-Identifier: MIT */
/*
 * io_copy_test.c - whole copies, written from done(), on every backend and on the fake
 * one with its completions out of order
 */
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <unistd.h>

#include "data.h"
#include "fakeio.h"
#include "harness.h"
#include "io/base.h"
#include "iojob.h"

#define DEPTH	  8
#define BUF_SIZE  (256 * KIB)
#define FILE_SIZE (3 * MIB + 777)

FIXTURE(copy)
{
	char path[4096]; /* the source */
};

FIXTURE_VARIANT(copy)
{
	const struct io_backend *backend;
	bool direct;
};

FIXTURE_VARIANT_ADD(copy, uring){&io_backend_uring, true};
FIXTURE_VARIANT_ADD(copy, aio){&io_backend_aio, true};
FIXTURE_VARIANT_ADD(copy, sync){&io_backend_sync, true};
FIXTURE_VARIANT_ADD(copy, fake){&fakeio_backend, true};
FIXTURE_VARIANT_ADD(copy, uring_buffered){&io_backend_uring, false};
FIXTURE_VARIANT_ADD(copy, aio_buffered){&io_backend_aio, false};
FIXTURE_VARIANT_ADD(copy, sync_buffered){&io_backend_sync, false};
FIXTURE_VARIANT_ADD(copy, fake_buffered){&fakeio_backend, false};

FIXTURE_SETUP(copy)
{
	struct io_queue *q;
	int r, fd;

	snprintf(self->path, sizeof(self->path), "%s/source", test_dir());
	fd = data_create(self->path, FILE_SIZE);
	data_write(fd, 1, 0, FILE_SIZE);
	close(fd);
	r = io_queue_open_backend(&q, variant->backend, 1, NULL);
	if (r == -EPERM || r == -ENOSYS)
		SKIP("%s does not work here: %s", variant->backend->name, strerror(-r));
	ASSERT_OK(r);
	io_queue_close(q);
}

FIXTURE_TEARDOWN(copy)
{
	unlink(self->path);
}

/* A chunk of a copy: read, then written from the read's done(). */
struct chunk {
	struct io_req req;
	struct copy *copy;
};

struct copy {
	struct io_queue *q;
	struct io_file *from, *to;
	uint64_t next; /* all before is asked for */
	uint64_t seed;
	struct chunk chunks[DEPTH];
};

static void chunk_done(struct io_req *req);

static void chunk_start(struct chunk *chunk)
{
	struct copy *copy = chunk->copy;
	uint64_t len = round_down(1 + data_random(&copy->seed) % BUF_SIZE + 4095, 4096);

	len = min_u64(min_u64(len, BUF_SIZE), FILE_SIZE - copy->next);
	if (!len)
		return;
	chunk->req.op = IO_READ;
	chunk->req.file = copy->from;
	chunk->req.start = copy->next;
	chunk->req.len = len;
	chunk->req.done = chunk_done;
	copy->next += len;
	ASSERT_OK(io_queue_add(copy->q, &chunk->req));
}

static void chunk_done(struct io_req *req)
{
	struct chunk *chunk = container_of(req, struct chunk, req);

	ASSERT_OK(req->result);
	if (req->op == IO_WRITE) {
		chunk_start(chunk);
		return;
	}
	req->op = IO_WRITE;
	req->file = chunk->copy->to;
	ASSERT_OK(io_queue_add(chunk->copy->q, req));
}

static void copy_all(struct copy *copy, void *const *bufs)
{
	for (unsigned i = 0; i < DEPTH; i++) {
		copy->chunks[i].copy = copy;
		copy->chunks[i].req.buf = bufs[i];
		chunk_start(&copy->chunks[i]);
	}
	while (io_queue_in_flight(copy->q)) {
		ASSERT_OK(io_queue_kick(copy->q));
		ASSERT_GE(io_queue_reap(copy->q, 1, -1), 1);
	}
}

/* A copy with a queue, a pool and files of its own; any thread may run one. */
struct worker {
	pthread_t thread;
	const struct io_backend *backend;
	const char *from_path;
	char path[4200]; /* the copy */
	struct io_file from, to;
	uint64_t seed;
};

static void worker_open(struct worker *w, const struct io_backend *backend,
			const char *from_path, bool direct, unsigned number,
			uint64_t seed)
{
	*w = (struct worker){.backend = backend, .from_path = from_path, .seed = seed};
	snprintf(w->path, sizeof(w->path), "%s.%u", from_path, number);
	ASSERT_OK(io_file_open_read(AT_FDCWD, from_path, &w->from));
	choose_mode(&w->from, direct);
	ASSERT_OK(io_file_create(AT_FDCWD, w->path, -1, &w->to));
	choose_mode(&w->to, direct);
}

static void *worker_run(void *arg)
{
	struct worker *w = arg;
	struct copy copy = {.from = &w->from, .to = &w->to, .seed = w->seed};
	struct io_pool *pool;
	void *bufs[DEPTH];

	ASSERT_OK(io_pool_open(&pool, DEPTH * BUF_SIZE));
	for (unsigned i = 0; i < DEPTH; i++)
		bufs[i] = io_pool_get(pool, BUF_SIZE, 0);
	ASSERT_OK(io_queue_open_backend(&copy.q, w->backend, DEPTH, pool));
	if (w->backend == &fakeio_backend) {
		fakeio_of(copy.q)->order = FAKEIO_RANDOM;
		fakeio_of(copy.q)->seed = w->seed;
		fakeio_of(copy.q)->batch = 3;
	}
	copy_all(&copy, bufs);
	io_queue_close(copy.q);
	for (unsigned i = 0; i < DEPTH; i++)
		io_pool_put(pool, bufs[i], BUF_SIZE);
	io_pool_close(pool);
	return NULL;
}

static void worker_close(struct worker *w)
{
	io_file_close(&w->from);
	io_file_close(&w->to);
	EXPECT_TRUE(data_same(w->from_path, w->path));
}

TEST_F(copy, in_random_chunks)
{
	uint64_t seed = test_seed();

	for (unsigned round = 0; round < 5; round++) {
		struct worker w;

		worker_open(&w, variant->backend, self->path, variant->direct, round,
			    data_random(&seed));
		worker_run(&w);
		worker_close(&w);
	}
}

TEST_F(copy, in_several_threads)
{
	struct worker workers[3];

	for (unsigned i = 0; i < 3; i++) {
		worker_open(&workers[i], variant->backend, self->path, variant->direct, i,
			    i);
		ASSERT_OK(pthread_create(&workers[i].thread, NULL, worker_run,
					 &workers[i]));
	}
	for (unsigned i = 0; i < 3; i++) {
		ASSERT_OK(pthread_join(workers[i].thread, NULL));
		worker_close(&workers[i]);
	}
}

TEST_MAIN
