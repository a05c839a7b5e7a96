/* SPDX-License-Identifier: MIT */
/*
 * io_fault_test.c - what the queue makes of a backend that cuts, fails and delays
 */
#include "data.h"
#include "faked.h"
#include "harness.h"
#include "iojob.h"

FIXTURE(fault)
{
	struct faked f;
};

FIXTURE_VARIANT(fault)
{
	bool direct;
};

FIXTURE_VARIANT_ADD(fault, direct){.direct = true};
FIXTURE_VARIANT_ADD(fault, buffered){.direct = false};

FIXTURE_SETUP(fault)
{
	faked_open(&self->f, variant->direct);
}

FIXTURE_TEARDOWN(fault)
{
	faked_close(&self->f);
}

struct expected {
	enum io_op op;
	bool tail;
	uint64_t start, len;
};

/* Exactly these pieces, in this order, and nothing else. */
static void expect_pieces(const struct fakeio *fake, const struct expected *expected,
			  size_t count)
{
	EXPECT_EQ(fake->count, count);
	for (size_t i = 0; i < fake->count && i < count; i++) {
		const struct fakeio_piece *p = &fake->pieces[i];

		EXPECT_EQ(p->op, expected[i].op, "piece %zu", i);
		EXPECT_EQ(p->tail, expected[i].tail, "piece %zu", i);
		EXPECT_EQ(p->start, expected[i].start, "piece %zu", i);
		EXPECT_EQ(p->len, expected[i].len, "piece %zu", i);
		EXPECT_TRUE(p->done, "piece %zu", i);
	}
}
#define EXPECT_PIECES(fake, ...)                                       \
	expect_pieces(fake, (const struct expected[]){__VA_ARGS__},    \
		      sizeof((const struct expected[]){__VA_ARGS__}) / \
			      sizeof(struct expected))

TEST_F(fault, one_read_is_one_piece_and_a_tail)
{
	void *buf = self->f.bufs[0];
	struct job job = job_of(&self->f.file, IO_READ, 8192, 20000, buf);

	EXPECT_EQ(job_run(self->f.q, &job), 0);
	expect_same_bytes(buf, self->f.bytes + 8192, 20000);
	if (variant->direct)
		EXPECT_PIECES(self->f.fake, {IO_READ, false, 8192, 16384},
			      {IO_READ, true, 24576, 3616});
	else
		EXPECT_PIECES(self->f.fake, {IO_READ, false, 8192, 20000});
}

TEST_F(fault, less_than_a_block_is_only_a_tail)
{
	void *buf = self->f.bufs[0];
	struct job job = job_of(&self->f.file, IO_READ, 4096, 100, buf);

	EXPECT_EQ(job_run(self->f.q, &job), 0);
	expect_same_bytes(buf, self->f.bytes + 4096, 100);
	EXPECT_PIECES(self->f.fake, {IO_READ, variant->direct, 4096, 100});
}

TEST_F(fault, unaligned_start_goes_around_direct_io)
{
	char *buf = self->f.bufs[0];
	struct job apart = job_of(&self->f.file, IO_READ, 1000, 20000, buf);
	struct job along = job_of(&self->f.file, IO_READ, 1000, 20000, buf + 1000);

	/* Memory that is never aligned where the file is: all of it. */
	EXPECT_EQ(job_run(self->f.q, &apart), 0);
	expect_same_bytes(buf, self->f.bytes + 1000, 20000);
	EXPECT_PIECES(self->f.fake, {IO_READ, variant->direct, 1000, 20000});
	/* Memory that is: the first block only. */
	fakeio_forget(self->f.fake);
	EXPECT_EQ(job_run(self->f.q, &along), 0);
	expect_same_bytes(buf + 1000, self->f.bytes + 1000, 20000);
	if (variant->direct)
		EXPECT_PIECES(self->f.fake, {IO_READ, true, 1000, 3096},
			      {IO_READ, false, 4096, 16384}, {IO_READ, true, 20480, 520});
	else
		EXPECT_PIECES(self->f.fake, {IO_READ, false, 1000, 20000});
}

TEST_F(fault, short_transfers_go_on_where_they_ended)
{
	void *buf = self->f.bufs[0];
	struct job job = job_of(&self->f.file, IO_READ, 0, 102400, buf);

	fakeio_rule(self->f.fake, (struct fakeio_rule){.at_most = 32768});
	EXPECT_EQ(job_run(self->f.q, &job), 0);
	expect_same_bytes(buf, self->f.bytes, 102400);
	EXPECT_PIECES(self->f.fake, {IO_READ, false, 0, 102400},
		      {IO_READ, false, 32768, 69632}, {IO_READ, false, 65536, 36864},
		      {IO_READ, false, 98304, 4096});
}

TEST_F(fault, short_write_in_a_block_moves_the_block_again)
{
	unsigned char *buf = self->f.bufs[0];
	struct job job = job_of(&self->f.file, IO_WRITE, 0, 20000, buf);
	void *seen = self->f.bufs[1];

	data_bytes(2, 0, buf, 20000);
	fakeio_rule(self->f.fake, (struct fakeio_rule){.nth = 1, .at_most = 10000});
	EXPECT_EQ(job_run(self->f.q, &job), 0);
	ASSERT_EQ(pread(self->f.file.fd, seen, FILE_SIZE, 0), FILE_SIZE);
	expect_same_bytes(seen, buf, 20000);
	expect_same_bytes((char *)seen + 20000, self->f.bytes + 20000, FILE_SIZE - 20000);
	if (variant->direct)
		EXPECT_PIECES(self->f.fake, {IO_WRITE, false, 0, 16384},
			      {IO_WRITE, false, 8192, 8192},
			      {IO_WRITE, true, 16384, 3616});
	else
		EXPECT_PIECES(self->f.fake, {IO_WRITE, false, 0, 20000},
			      {IO_WRITE, false, 10000, 10000});
}

TEST_F(fault, less_than_a_block_moved_goes_on_through_the_cache)
{
	void *buf = self->f.bufs[0];
	struct job job = job_of(&self->f.file, IO_READ, 4096, 16384, buf);

	fakeio_rule(self->f.fake, (struct fakeio_rule){.nth = 1, .at_most = 1000});
	EXPECT_EQ(job_run(self->f.q, &job), 0);
	expect_same_bytes(buf, self->f.bytes + 4096, 16384);
	if (variant->direct)
		EXPECT_PIECES(self->f.fake, {IO_READ, false, 4096, 16384},
			      {IO_READ, true, 5096, 3096}, {IO_READ, false, 8192, 12288});
	else
		EXPECT_PIECES(self->f.fake, {IO_READ, false, 4096, 16384},
			      {IO_READ, false, 5096, 15384});
}

TEST_F(fault, interrupted_piece_is_asked_for_again)
{
	void *buf = self->f.bufs[0];
	struct job read = job_of(&self->f.file, IO_READ, 0, 8192, buf);
	struct job sync = job_of(&self->f.file, IO_SYNC, 0, 0, NULL);

	fakeio_rule(self->f.fake, (struct fakeio_rule){.nth = 1, .error = -EINTR});
	fakeio_rule(self->f.fake, (struct fakeio_rule){.nth = 3, .error = -EINTR});
	EXPECT_EQ(job_run(self->f.q, &read), 0);
	EXPECT_EQ(job_run(self->f.q, &sync), 0);
	expect_same_bytes(buf, self->f.bytes, 8192);
	EXPECT_PIECES(self->f.fake, {IO_READ, false, 0, 8192}, {IO_READ, false, 0, 8192},
		      {IO_SYNC, false, 0, 0}, {IO_SYNC, false, 0, 0});
}

static void expect_plain_calls(struct faked *f, int error)
{
	unsigned char *buf = f->bufs[0];
	struct job read = job_of(&f->file, IO_READ, 0, 8192, buf);
	struct job write = job_of(&f->file, IO_WRITE, 65536, 8192, buf);
	struct job sync = job_of(&f->file, IO_SYNC, 0, 0, NULL);
	unsigned char seen[8192];

	fakeio_rule(f->fake, (struct fakeio_rule){.error = error});
	EXPECT_EQ(job_run(f->q, &read), 0);
	EXPECT_EQ(job_run(f->q, &write), 0);
	EXPECT_EQ(job_run(f->q, &sync), 0);
	expect_same_bytes(buf, f->bytes, 8192);
	ASSERT_EQ(pread(f->file.fd, seen, 8192, 65536), 8192);
	expect_same_bytes(seen, buf, 8192);
	EXPECT_PIECES(f->fake, {IO_READ, false, 0, 8192}, {IO_WRITE, false, 65536, 8192},
		      {IO_SYNC, false, 0, 0});
}

TEST_F(fault, piece_that_would_wait_is_done_by_a_plain_call)
{
	expect_plain_calls(&self->f, -EAGAIN);
}

/* What io_uring tells where it may have no thread to wait in. */
TEST_F(fault, piece_that_nobody_could_wait_for_is_done_by_a_plain_call)
{
	expect_plain_calls(&self->f, -ECANCELED);
}

TEST_F(fault, plain_call_fails_for_its_own_reason)
{
	struct io_file nowhere = {.fd = -1, .direct_fd = -1, .align = 4096};
	struct job job = job_of(&nowhere, IO_SYNC, 0, 0, NULL);

	fakeio_rule(self->f.fake, (struct fakeio_rule){.error = -EAGAIN});
	EXPECT_EQ(job_run(self->f.q, &job), -EBADF);
}

/* The kernel tells once that it has lost what was written. */
TEST_F(fault, failed_sync_is_remembered)
{
	struct job first = job_of(&self->f.file, IO_SYNC, 0, 0, NULL), again = first;

	fakeio_rule(self->f.fake, (struct fakeio_rule){.error = -EIO, .nth = 1});
	EXPECT_EQ(job_run(self->f.q, &first), -EIO);
	EXPECT_EQ(job_run(self->f.q, &again), -EIO);
	EXPECT_EQ(self->f.file.error, -EIO);
}

TEST_F(fault, read_of_nothing_is_no_data)
{
	void *buf = self->f.bufs[0];
	struct job job = job_of(&self->f.file, IO_READ, FILE_SIZE - 8192, 12288, buf);

	EXPECT_EQ(job_run(self->f.q, &job), -ENODATA);
	expect_same_bytes(buf, self->f.bytes + FILE_SIZE - 8192, 8192);
	EXPECT_PIECES(self->f.fake, {IO_READ, false, FILE_SIZE - 8192, 12288},
		      {IO_READ, false, FILE_SIZE, 4096});
}

TEST_F(fault, write_of_nothing_is_an_error)
{
	void *buf = self->f.bufs[0];
	struct job job = job_of(&self->f.file, IO_WRITE, 0, 8192, buf);

	fakeio_rule(self->f.fake, (struct fakeio_rule){.nothing = true});
	EXPECT_EQ(job_run(self->f.q, &job), -EIO);
	EXPECT_PIECES(self->f.fake, {IO_WRITE, false, 0, 8192});
}

TEST_F(fault, first_error_ends_the_request)
{
	void *buf = self->f.bufs[0];
	struct job job = job_of(&self->f.file, IO_WRITE, 0, 16384, buf);

	fakeio_rule(self->f.fake, (struct fakeio_rule){.nth = 2, .error = -ENOSPC});
	fakeio_rule(self->f.fake, (struct fakeio_rule){.at_most = 4096});
	EXPECT_EQ(job_run(self->f.q, &job), -ENOSPC);
	EXPECT_PIECES(self->f.fake, {IO_WRITE, false, 0, 16384},
		      {IO_WRITE, false, 4096, 12288});
}

TEST_F(fault, error_at_an_offset_hits_only_who_touches_it)
{
	struct job jobs[4];

	fakeio_rule(self->f.fake, (struct fakeio_rule){.ops = FAKEIO_READ,
						       .from = 70000,
						       .to = 70001,
						       .error = -EIO});
	for (unsigned i = 0; i < 4; i++) {
		jobs[i] = job_of(&self->f.file, IO_READ, i * 32768, 32768,
				 self->f.bufs[i]);
		ASSERT_OK(io_queue_add(self->f.q, &jobs[i].req));
	}
	EXPECT_EQ(io_queue_reap(self->f.q, 4, -1), 4);
	for (unsigned i = 0; i < 4; i++) {
		EXPECT_EQ(jobs[i].delivered, 1);
		EXPECT_EQ(jobs[i].req.result, i == 2 ? -EIO : 0, "request %u", i);
		if (i != 2)
			expect_same_bytes(jobs[i].req.buf, self->f.bytes + i * 32768,
					  32768);
	}
	EXPECT_PIECES(self->f.fake, {IO_READ, false, 0, 32768},
		      {IO_READ, false, 32768, 32768}, {IO_READ, false, 65536, 32768},
		      {IO_READ, false, 98304, 32768});
}

TEST_F(fault, completions_are_delivered_in_their_own_order)
{
	struct job jobs[DEPTH];

	self->f.fake->order = FAKEIO_LIFO;
	for (unsigned i = 0; i < DEPTH; i++) {
		jobs[i] = job_of(&self->f.file, IO_READ, i * 8192, 8192, self->f.bufs[i]);
		ASSERT_OK(io_queue_add(self->f.q, &jobs[i].req));
	}
	EXPECT_EQ(io_queue_reap(self->f.q, DEPTH, -1), DEPTH);
	for (unsigned i = 0; i < DEPTH; i++) {
		EXPECT_EQ(jobs[i].delivered, 1);
		if (i)
			EXPECT_LT(jobs[i].turn, jobs[i - 1].turn);
		EXPECT_EQ(jobs[i].req.result, 0);
		expect_same_bytes(jobs[i].req.buf, self->f.bytes + i * 8192, 8192);
	}
}

TEST_F(fault, late_completion_keeps_its_request)
{
	unsigned char *late_buf = self->f.bufs[0];
	struct job late = job_of(&self->f.file, IO_READ, 0, 8192, late_buf);
	struct job other = job_of(&self->f.file, IO_READ, 65536, 8192, self->f.bufs[1]);
	struct timespec before, after;

	memset(late_buf, 0xee, 8192);
	fakeio_rule(self->f.fake, (struct fakeio_rule){.to = 1, .held = true});
	ASSERT_OK(io_queue_add(self->f.q, &late.req));
	ASSERT_OK(io_queue_add(self->f.q, &other.req));
	EXPECT_EQ(io_queue_reap(self->f.q, 1, -1), 1);
	EXPECT_EQ(other.delivered, 1);
	clock_gettime(CLOCK_MONOTONIC, &before);
	EXPECT_EQ(io_queue_reap(self->f.q, 1, 30), 0); /* the time is up */
	clock_gettime(CLOCK_MONOTONIC, &after);
	EXPECT_GE((after.tv_sec - before.tv_sec) * 1000000000LL + after.tv_nsec -
			  before.tv_nsec,
		  29000000);
	EXPECT_EQ(late.delivered, 0);
	EXPECT_EQ(io_queue_in_flight(self->f.q), 1);
	EXPECT_EQ(late_buf[0], 0xee);
	fakeio_release(self->f.fake);
	EXPECT_EQ(io_queue_reap(self->f.q, 1, -1), 1);
	EXPECT_EQ(late.delivered, 1);
	EXPECT_EQ(late.req.result, 0);
	expect_same_bytes(late_buf, self->f.bytes, 8192);
}

TEST_F(fault, failed_request_does_not_count_late_ones)
{
	struct job jobs[4], again;

	/* One of a batch fails, the rest of it comes in after that was seen. */
	fakeio_rule(self->f.fake, (struct fakeio_rule){.nth = 1, .error = -EIO});
	fakeio_rule(self->f.fake, (struct fakeio_rule){.ops = FAKEIO_READ, .held = true});
	for (unsigned i = 0; i < 4; i++) {
		jobs[i] = job_of(&self->f.file, IO_READ, i * 8192, 8192, self->f.bufs[i]);
		ASSERT_OK(io_queue_add(self->f.q, &jobs[i].req));
	}
	EXPECT_EQ(io_queue_reap(self->f.q, 1, -1), 1);
	EXPECT_EQ(jobs[0].req.result, -EIO);
	fakeio_release(self->f.fake);
	self->f.fake->order = FAKEIO_LIFO;
	self->f.fake->batch = 1;
	again = job_of(&self->f.file, IO_WRITE, 0, 8192, jobs[0].req.buf);
	ASSERT_OK(io_queue_add(self->f.q, &again.req));
	EXPECT_EQ(io_queue_reap(self->f.q, 1, -1), 1);
	EXPECT_EQ(again.delivered, 1);
	EXPECT_EQ(again.req.result, 0);
	EXPECT_EQ(io_queue_reap(self->f.q, 9, -1), 3);
	for (unsigned i = 1; i < 4; i++) {
		EXPECT_EQ(jobs[i].delivered, 1);
		EXPECT_EQ(jobs[i].req.result, 0);
		expect_same_bytes(jobs[i].req.buf, self->f.bytes + i * 8192, 8192);
	}
}

TEST_F(fault, reap_waits_for_all_it_was_asked_for)
{
	struct job jobs[DEPTH];

	self->f.fake->batch = 1;
	for (unsigned i = 0; i < DEPTH; i++) {
		jobs[i] = job_of(&self->f.file, IO_READ, i * 8192, 8192, self->f.bufs[i]);
		ASSERT_OK(io_queue_add(self->f.q, &jobs[i].req));
	}
	EXPECT_EQ(io_queue_reap(self->f.q, 3, -1), 3);
	EXPECT_EQ(io_queue_reap(self->f.q, 0, -1), 1); /* what is there, no waiting */
	EXPECT_EQ(io_queue_reap(self->f.q, 100, -1), DEPTH - 4);
	EXPECT_EQ(io_queue_reap(self->f.q, 100, -1), 0);
}

TEST_F(fault, backend_that_takes_nothing_fails_the_add)
{
	void *buf = self->f.bufs[0];
	struct job job = job_of(&self->f.file, IO_READ, 0, 8192, buf);

	self->f.fake->queue_error = -ENOMEM;
	EXPECT_EQ(io_queue_add(self->f.q, &job.req), -ENOMEM);
	EXPECT_EQ(io_queue_in_flight(self->f.q), 0);
	EXPECT_EQ(io_queue_reap(self->f.q, 1, -1), 0);
	EXPECT_EQ(job.delivered, 0);
	EXPECT_EQ(job_run(self->f.q, &job), 0);
}

TEST_F(fault, backend_that_takes_no_second_piece_fails_the_request)
{
	void *buf = self->f.bufs[0];
	struct job job = job_of(&self->f.file, IO_READ, 0, 8192, buf);

	fakeio_rule(self->f.fake, (struct fakeio_rule){.at_most = 4096});
	ASSERT_OK(io_queue_add(self->f.q, &job.req));
	self->f.fake->queue_error = -ENOMEM;
	EXPECT_EQ(io_queue_reap(self->f.q, 1, -1), 1);
	EXPECT_EQ(job.delivered, 1);
	EXPECT_EQ(job.req.result, -ENOMEM);
	EXPECT_EQ(io_queue_in_flight(self->f.q), 0);
}

TEST_F(fault, errors_of_kick_and_reap_are_returned_and_nothing_is_lost)
{
	void *buf = self->f.bufs[0];
	struct job job = job_of(&self->f.file, IO_READ, 0, 8192, buf);

	ASSERT_OK(io_queue_add(self->f.q, &job.req));
	self->f.fake->kick_error = -EPERM;
	EXPECT_EQ(io_queue_kick(self->f.q), -EPERM);
	self->f.fake->reap_error = -EIO;
	EXPECT_EQ(io_queue_reap(self->f.q, 1, -1), -EIO);
	self->f.fake->reap_error = -EINTR; /* a signal: nothing came yet */
	EXPECT_EQ(io_queue_reap(self->f.q, 1, -1), 0);
	EXPECT_EQ(job.delivered, 0);
	EXPECT_EQ(io_queue_in_flight(self->f.q), 1);
	EXPECT_EQ(io_queue_reap(self->f.q, 1, -1), 1);
	EXPECT_EQ(job.req.result, 0);
}

TEST_F(fault, nothing_is_asked_for_an_empty_range)
{
	struct job job = job_of(&self->f.file, IO_WRITE, 12345, 0, NULL);

	EXPECT_EQ(job_run(self->f.q, &job), 0);
	EXPECT_EQ(self->f.fake->count, 0);
}

TEST_F(fault, what_is_finished_does_not_wait_for_others)
{
	void *buf = self->f.bufs[0];
	struct job held = job_of(&self->f.file, IO_READ, 0, 8192, buf);
	struct job empty = job_of(&self->f.file, IO_READ, 0, 0, NULL);

	fakeio_rule(self->f.fake, (struct fakeio_rule){.held = true});
	ASSERT_OK(io_queue_add(self->f.q, &held.req));
	ASSERT_OK(io_queue_add(self->f.q, &empty.req));
	EXPECT_EQ(io_queue_reap(self->f.q, 1, -1), 1);
	EXPECT_EQ(empty.delivered, 1);
	fakeio_release(self->f.fake);
	EXPECT_EQ(io_queue_reap(self->f.q, 1, -1), 1);
	EXPECT_EQ(held.delivered, 1);
}

TEST_F(fault, range_past_the_end_of_numbers_is_refused)
{
	void *buf = self->f.bufs[0];
	struct job job = job_of(&self->f.file, IO_READ, UINT64_MAX - 4095, 8192, buf);

	EXPECT_EQ(io_queue_add(self->f.q, &job.req), -EOVERFLOW);
	EXPECT_EQ(io_queue_in_flight(self->f.q), 0);
}

/* The page cache is kept small behind a buffered file, and only there. */
TEST_F(fault, buffered_files_are_advanced)
{
	void *buf = self->f.bufs[0];

	for (uint64_t start = 0; start < 16 * MIB; start += FILE_SIZE) {
		struct job job = job_of(&self->f.file, IO_WRITE, start, FILE_SIZE, buf);

		EXPECT_EQ(job_run(self->f.q, &job), 0);
	}
	EXPECT_EQ(self->f.file.front > 0, !variant->direct);
}

/* One request is one piece as far as the kernel and the file's alignment allow. */
TEST(pieces_of_huge_ranges)
{
	struct io_file file = {.fd = 4, .direct_fd = 3, .align = 65536};
	struct io_req req = {.op = IO_WRITE, .file = &file, .len = 5 * GIB + 1};
	struct io_piece p;

	io_req_piece(&req, &p);
	EXPECT_EQ(p.fd, 3);
	EXPECT_EQ(p.start, 0);
	EXPECT_EQ(p.len, 0x7fff0000);
	req.moved = 4 * GIB;
	io_req_piece(&req, &p);
	EXPECT_EQ(p.start, 4 * GIB);
	EXPECT_EQ(p.len, GIB);
	req.moved = 5 * GIB;
	io_req_piece(&req, &p);
	EXPECT_EQ(p.fd, 4);
	EXPECT_EQ(p.start, 5 * GIB);
	EXPECT_EQ(p.len, 1);
	file = (struct io_file){.fd = 3, .direct_fd = -1};
	req.moved = 1;
	io_req_piece(&req, &p);
	EXPECT_EQ(p.fd, 3);
	EXPECT_EQ(p.start, 1);
	EXPECT_EQ(p.len, 0x7ffff000);
}

TEST_MAIN
