/* SPDX-License-Identifier: MIT */
/*
 * io_cut_test.c - random requests over a backend that cuts, interrupts, puts off and
 * reorders at random
 */

#include "data.h"
#include "faked.h"
#include "harness.h"
#include "iojob.h"

FIXTURE(cut)
{
	struct faked f;
};

FIXTURE_VARIANT(cut)
{
	bool direct;
};

FIXTURE_VARIANT_ADD(cut, direct){.direct = true};
FIXTURE_VARIANT_ADD(cut, buffered){.direct = false};

FIXTURE_SETUP(cut)
{
	faked_open(&self->f, variant->direct);
}

FIXTURE_TEARDOWN(cut)
{
	faked_close(&self->f);
}

#define ROUNDS 300

/* A request over random bytes of [from, to), its buffer aligned or not. */
static struct job random_job(struct io_file *file, enum io_op op, uint64_t from,
			     uint64_t to, unsigned char *buf, uint64_t *seed)
{
	uint64_t start = from + data_random(seed) % (to - from);
	uint64_t len = data_random(seed) % (to - start + 1);

	if (data_random(seed) % 4)
		start = max_u64(from, round_down(start, 4096));
	if (data_random(seed) % 4 == 0)
		buf += start % 4096; /* aligned as the file is */
	return job_of(file, op, start, min_u64(len, to - start), buf);
}

/*
 * Whatever is cut, interrupted, put off and reordered: what is read are the file's
 * bytes, and the file then holds what was written and the rest unchanged.
 */
static void one_round(struct io_queue *q, struct io_file *file, void *const *bufs,
		      unsigned char *model, uint64_t *seed)
{
	struct fakeio *fake = fakeio_of(q);
	struct job jobs[DEPTH];
	uint64_t part = FILE_SIZE / DEPTH; /* requests in flight do not overlap */

	fakeio_forget(fake);
	for (unsigned i = 0; i < 8; i++) {
		unsigned nth = 1 + data_random(seed) % 30;

		fakeio_rule(fake, (struct fakeio_rule){
					  .nth = nth, .error = i % 2 ? -EINTR : -EAGAIN});
	}
	fake->order = data_random(seed) % 3;
	fake->seed = data_random(seed);
	fake->batch = data_random(seed) % 4;
	fake->short_random = data_random(seed) % 4 ? 1 + data_random(seed) % 40000 : 0;
	for (unsigned i = 0; i < DEPTH; i++) {
		enum io_op op = data_random(seed) % 2 ? IO_READ : IO_WRITE;

		jobs[i] = random_job(file, op, i * part, (i + 1) * part, bufs[i], seed);
		data_bytes(data_random(seed), 0, jobs[i].req.buf, jobs[i].req.len);
		ASSERT_OK(io_queue_add(q, &jobs[i].req));
	}
	ASSERT_EQ(io_queue_reap(q, DEPTH, -1), DEPTH);
	for (unsigned i = 0; i < DEPTH; i++) {
		struct io_req *req = &jobs[i].req;

		ASSERT_EQ(jobs[i].delivered, 1);
		ASSERT_OK(req->result);
		if (req->op == IO_WRITE)
			memcpy(model + req->start, req->buf, req->len);
		ASSERT_EQ(memcmp(req->buf, model + req->start, req->len), 0,
			  "request [%ju, +%ju)", (uintmax_t)req->start,
			  (uintmax_t)req->len);
	}
}

/* Nothing outside of what the requests cover was ever asked for. */
static void check_record(struct fakeio *fake, const struct io_file *file)
{
	for (size_t i = 0; i < fake->count; i++) {
		const struct fakeio_piece *p = &fake->pieces[i];

		ASSERT_TRUE(p->done);
		ASSERT_GT(p->len, 0);
		ASSERT_EQ(p->start / (FILE_SIZE / DEPTH),
			  (p->start + p->len - 1) / (FILE_SIZE / DEPTH));
		if (io_file_is_direct(file) && !p->tail) {
			ASSERT_EQ(p->start % file->align, 0);
			ASSERT_EQ(p->len % file->align, 0);
		}
	}
}

TEST_F(cut, moves_the_same_bytes)
{
	uint64_t seed = test_seed();
	unsigned char *seen = malloc(FILE_SIZE);

	ASSERT_NE(seen, NULL);
	for (unsigned i = 0; i < ROUNDS; i++) {
		one_round(self->f.q, &self->f.file, self->f.bufs, self->f.bytes, &seed);
		check_record(self->f.fake, &self->f.file);
	}
	ASSERT_EQ(pread(self->f.file.fd, seen, FILE_SIZE, 0), FILE_SIZE);
	expect_same_bytes(seen, self->f.bytes, FILE_SIZE);
	free(seen);
}

TEST_MAIN
