/* SPDX-License-Identifier: MIT */
/*
 * move_test.c - what move_streams() reads, writes and digests: all of it, nothing else
 */
#include <fcntl.h>
#include <stdio.h>
#include <time.h>

#include "data.h"
#include "harness.h"
#include "moving.h"

#define K (UINT64_C(1) << 10)

FIXTURE(move)
{
	struct moving m;
};

FIXTURE_VARIANT(move)
{
	bool direct;
};

FIXTURE_VARIANT_ADD(move, direct){.direct = true};
FIXTURE_VARIANT_ADD(move, buffered){.direct = false};

FIXTURE_SETUP(move)
{
	moving_open(&self->m, 16 * MIB, 64);
}

FIXTURE_TEARDOWN(move)
{
	moving_close(&self->m);
}

static void add_disk(struct moving *m, uint64_t size, uint64_t data)
{
	int fd = moving_disk(m, size);

	if (data)
		data_write(fd, m->count, 0, data);
	close(fd);
}

/* ------------------------------------------------------------------ exactly these */

struct expected {
	enum io_op op;
	uint64_t start, len;
};

/* Each of these pieces once, and no other; in whatever order, but a sync is the last. */
static void expect_pieces(const struct moving *m, const struct expected *expected,
			  size_t count)
{
	bool found[64] = {false};

	ASSERT_LE(count, ARRAY_SIZE(found));
	for (size_t i = 0; i < m->fake->count; i++) {
		const struct fakeio_piece *p = &m->fake->pieces[i];
		size_t j = 0;

		while (j < count &&
		       (found[j] || expected[j].op != p->op ||
			expected[j].start != p->start || expected[j].len != p->len))
			j++;
		EXPECT_LT(j, count, "nobody asked for: op %d, %zu bytes at %llu", p->op,
			  p->len, (unsigned long long)p->start);
		if (j < count)
			found[j] = true;
		EXPECT_EQ(p->file, p->op == IO_READ ? &m->s[0].src : &m->s[0].dst);
		EXPECT_TRUE(p->op != IO_SYNC || i == m->fake->count - 1);
	}
	for (size_t j = 0; j < count; j++)
		EXPECT_TRUE(found[j], "missing: op %d, %llu bytes at %llu",
			    expected[j].op, (unsigned long long)expected[j].len,
			    (unsigned long long)expected[j].start);
}
#define EXPECT_PIECES(m, ...)                                          \
	expect_pieces(m, (const struct expected[]){__VA_ARGS__},       \
		      sizeof((const struct expected[]){__VA_ARGS__}) / \
			      sizeof(struct expected))

/* Windows 0 and 1 with several segments, 2 empty, 3 and 4 full, the rest a hole. */
static void add_islands(struct moving *m)
{
	int fd = moving_disk(m, 8 * MIB);

	data_write(fd, 1, 0, 4 * K);
	data_write(fd, 1, 64 * K, 64 * K);
	data_write(fd, 1, MIB - 4 * K, 8 * K);
	data_write(fd, 1, MIB + 512 * K, 100);
	data_write(fd, 1, 3 * MIB, 2 * MIB);
	close(fd);
}

TEST_F(move, reads_each_window_once_and_writes_its_data_alone)
{
	struct moving *m = &self->m;

	add_islands(m);
	moving_begin(m, variant->direct);
	moving_expect_copies(m, moving_run(m));
	EXPECT_PIECES(m, {IO_READ, 0, MIB}, {IO_WRITE, 0, 4 * K},
		      {IO_WRITE, 64 * K, 64 * K}, {IO_WRITE, MIB - 4 * K, 4 * K},
		      {IO_READ, MIB, 516 * K}, {IO_WRITE, MIB, 4 * K},
		      {IO_WRITE, MIB + 512 * K, 4 * K}, {IO_READ, 3 * MIB, MIB},
		      {IO_WRITE, 3 * MIB, MIB}, {IO_READ, 4 * MIB, MIB},
		      {IO_WRITE, 4 * MIB, MIB}, {IO_SYNC, 0, 0});
	EXPECT_EQ(m->w.progress.bytes_done, 2 * MIB + 80 * K);
	EXPECT_EQ(m->w.progress.bytes_done, m->s[0].data_bytes);
	EXPECT_STREQ(m->w.progress.phase, "copying");
}

TEST_F(move, a_disk_that_ends_in_a_block_has_a_tail)
{
	struct moving *m = &self->m;

	add_disk(m, 2 * MIB + 5000, 2 * MIB + 5000);
	moving_begin(m, variant->direct);
	moving_expect_copies(m, moving_run(m));
	if (io_file_is_direct(&m->s[0].src) && io_file_is_direct(&m->s[0].dst))
		EXPECT_PIECES(m, {IO_READ, 0, MIB}, {IO_READ, MIB, MIB},
			      {IO_READ, 2 * MIB, 4096}, {IO_READ, 2 * MIB + 4096, 904},
			      {IO_WRITE, 0, MIB}, {IO_WRITE, MIB, MIB},
			      {IO_WRITE, 2 * MIB, 4096}, {IO_WRITE, 2 * MIB + 4096, 904},
			      {IO_SYNC, 0, 0});
	else if (!variant->direct)
		EXPECT_PIECES(m, {IO_READ, 0, MIB}, {IO_READ, MIB, MIB},
			      {IO_READ, 2 * MIB, 5000}, {IO_WRITE, 0, MIB},
			      {IO_WRITE, MIB, MIB}, {IO_WRITE, 2 * MIB, 5000},
			      {IO_SYNC, 0, 0});
}

TEST_F(move, a_disk_without_data_is_only_synced)
{
	struct moving *m = &self->m;

	add_disk(m, 0, 0);
	add_disk(m, 100 * GIB + 1, 0);
	moving_begin(m, variant->direct);
	moving_expect_copies(m, moving_run(m));
	EXPECT_EQ(m->fake->count, 2);
	EXPECT_EQ(data_allocated(m->dst[1]), 0);
	EXPECT_EQ(m->w.progress.bytes_done, 0);
}

TEST_F(move, zeros_that_are_data_are_written)
{
	static const char zeros[64 * 1024];
	struct moving *m = &self->m;
	int fd = moving_disk(m, MIB);

	ASSERT_EQ(pwrite(fd, zeros, sizeof(zeros), 256 * 1024), sizeof(zeros));
	close(fd);
	moving_begin(m, variant->direct);
	moving_expect_copies(m, moving_run(m));
	EXPECT_PIECES(m, {IO_READ, 256 * K, 64 * K}, {IO_WRITE, 256 * K, 64 * K},
		      {IO_SYNC, 0, 0});
}

/* What a rung above has placed is not moved again. */
TEST_F(move, what_was_shared_is_left_alone)
{
	struct moving *m = &self->m;
	_cleanup_close_ int dst = -1;

	add_islands(m);
	moving_begin(m, variant->direct);
	dst = open(m->dst[0], O_WRONLY | O_CLOEXEC);
	data_write(dst, 1, 0, 4 * K);
	data_write(dst, 1, 64 * K, 64 * K);
	data_write(dst, 1, MIB - 4 * K, 8 * K);
	data_write(dst, 1, MIB + 512 * K, 100);
	data_write(dst, 1, 3 * MIB, 512 * K);
	m->s[0].shared_to = 3 * MIB + 512 * K;
	moving_expect_copies(m, moving_run(m));
	EXPECT_PIECES(m, {IO_READ, 3 * MIB, MIB}, {IO_WRITE, 3 * MIB + 512 * K, 512 * K},
		      {IO_READ, 4 * MIB, MIB}, {IO_WRITE, 4 * MIB, MIB}, {IO_SYNC, 0, 0});
}

TEST_F(move, what_was_shared_is_read_for_its_digest_alone)
{
	struct moving *m = &self->m;

	add_islands(m);
	moving_begin(m, variant->direct);
	moving_digest(m, 0, STREAM_DIGEST_READ);
	m->s[0].shared_to = 8 * MIB;
	ASSERT_EQ(moving_run(m), RP_OK, "%s", m->err.message);
	EXPECT_PIECES(m, {IO_READ, 0, MIB}, {IO_READ, MIB, 516 * K},
		      {IO_READ, 3 * MIB, MIB}, {IO_READ, 4 * MIB, MIB}, {IO_SYNC, 0, 0});
}

TEST_F(move, says_how_it_moved)
{
	struct moving *m = &self->m;

	add_disk(m, MIB, MIB);
	moving_begin(m, variant->direct);
	moving_expect_copies(m, moving_run(m));
	EXPECT_STREQ(m->s[0].backend, "witness");
	EXPECT_STREQ(m->s[0].backend_reason, "first choice");
	if (!variant->direct)
		EXPECT_STREQ(m->s[0].reason, "source buffered: the test wants it; "
					     "destination buffered: the test wants it");
}

/* ----------------------------------------------------------------- order, memory */

/* A job that is to be suspended once it has begun. */
struct resting {
	struct moving *m;
	bool begun, rested;
};

/* Nothing of the pool may be held when it may block. */
static int rest_once(void *attendant, struct watch *w)
{
	struct resting *r = attendant;
	size_t size;
	void *all;

	w->attended_ns = 0; /* with each tick */
	r->begun |= w->holds;
	w->to_rest = r->begun && !r->rested;
	if (!w->to_rest || w->holds)
		return 0;
	w->to_rest = false;
	r->rested = true;
	io_pool_area(r->m->pool, &size);
	all = io_pool_get(r->m->pool, size, 0);
	EXPECT_NE(all, NULL, "who rests holds buffers");
	if (all)
		io_pool_put(r->m->pool, all, size);
	return 0;
}

TEST_F(move, who_rests_holds_no_buffers)
{
	struct moving *m = &self->m;
	struct resting resting = {.m = m};

	add_disk(m, 64 * MIB, 64 * MIB);
	moving_begin(m, variant->direct);
	m->w.attend = rest_once;
	m->w.attendant = &resting;
	moving_expect_copies(m, moving_run(m));
	EXPECT_TRUE(resting.rested);
	EXPECT_FALSE(m->w.holds);
}

TEST_F(move, a_disk_is_read_from_front_to_back)
{
	struct moving *m = &self->m;
	uint64_t next = 0;

	add_disk(m, 40 * MIB, 40 * MIB);
	moving_begin(m, variant->direct);
	m->fake->batch = 1;
	moving_expect_copies(m, moving_run(m));
	for (size_t i = 0; i < m->fake->count; i++) {
		const struct fakeio_piece *p = &m->fake->pieces[i];

		if (p->op != IO_READ)
			continue;
		EXPECT_EQ(p->start, next);
		next = p->start + p->len;
	}
	EXPECT_EQ(next, 40 * MIB);
}

/* How many windows are under way: at the most, and at the most before one was done. */
static void count_windows(struct moving *m)
{
	unsigned begun = moving_pieces(m, FAKEIO_READ, 0), done = 0;

	for (size_t i = 0; i < m->fake->count; i++)
		done += m->fake->pieces[i].op == IO_WRITE && m->fake->pieces[i].done;
	if (!done)
		m->first = begun;
	m->most = max_u64(m->most, begun - done);
}

/* In step all would be read, then all written. The page cache takes what it is given. */
TEST_F(move, windows_are_not_begun_in_step)
{
	struct moving *m = &self->m;

	add_disk(m, 60 * MIB, 60 * MIB);
	moving_begin(m, variant->direct);
	m->fake->batch = 1;
	m->at_reap = count_windows;
	moving_expect_copies(m, moving_run(m));
	EXPECT_EQ(m->first, variant->direct ? 4u : 10u);
	EXPECT_EQ(m->most, variant->direct ? 6u : 16u);
}

/* All that is under way comes back at once, after a while. */
static void answer_late(struct moving *m)
{
	count_windows(m);
	nanosleep(&(struct timespec){.tv_nsec = 50000000}, NULL);
}

TEST_F(move, a_far_device_gets_all_there_is)
{
	struct moving *m = &self->m;

	add_disk(m, 384 * MIB, 384 * MIB);
	moving_begin(m, variant->direct);
	m->at_reap = answer_late;
	moving_expect_copies(m, moving_run(m));
	EXPECT_EQ(m->most, 16u);
}

TEST(as_many_windows_as_were_asked_for)
{
	struct moving m;

	moving_open(&m, 200 * MIB, 256);
	add_disk(&m, 384 * MIB, 384 * MIB);
	moving_begin(&m, true);
	m.fake->batch = 1;
	m.at_reap = count_windows;
	EXPECT_EQ(move_streams(m.s, m.count, m.q, m.pool, 200, &m.w, &m.err), RP_OK);
	EXPECT_EQ(m.most, 200u);
	EXPECT_EQ(m.s[0].depth, 200u);
	moving_close(&m);
}

/* How many pieces of disk @i were asked for before the sync of disk @of. */
static unsigned pieces_before_sync(const struct moving *m, size_t i, size_t of)
{
	unsigned count = 0;

	for (size_t at = 0; at < m->fake->count; at++) {
		const struct fakeio_piece *p = &m->fake->pieces[at];

		if (p->op == IO_SYNC && p->file == &m->s[of].dst)
			return count;
		count += p->file == &m->s[i].src || p->file == &m->s[i].dst;
	}
	FAIL("no sync of disk %zu", of);
}

/* @small is the place of the disk of 4 MiB among those of 32 MiB. */
static void move_small_and_large(struct moving *m, bool direct, size_t small)
{
	for (size_t i = 0; i < 3; i++)
		add_disk(m, 32 * MIB, (i == small ? 4 : 32) * MIB);
	moving_begin(m, direct);
	m->fake->batch = 1;
	moving_expect_copies(m, moving_run(m));
	for (size_t i = 0; i < 3; i++) {
		unsigned pieces;

		if (i == small)
			continue;
		pieces = pieces_before_sync(m, i, small);
		/* A read and a write each: as many as its own 8, and what 4 chunks can
		 * have on their way. */
		EXPECT_LE(pieces, 8u + 4, "disk %zu of 64 pieces", i);
		EXPECT_GE(pieces, 8u - 4, "disk %zu has its turn too", i);
		EXPECT_GT(pieces_before_sync(m, small, i), 8u, "synced before it");
	}
}

FIXTURE(turns)
{
	struct moving m;
};

FIXTURE_VARIANT(turns)
{
	size_t small;
};

FIXTURE_VARIANT_ADD(turns, small_first){.small = 0};
FIXTURE_VARIANT_ADD(turns, small_between){.small = 1};
FIXTURE_VARIANT_ADD(turns, small_last){.small = 2};

FIXTURE_SETUP(turns)
{
	moving_open(&self->m, 4 * MIB, 64);
}

FIXTURE_TEARDOWN(turns)
{
	moving_close(&self->m);
}

TEST_F(turns, a_small_disk_does_not_wait_for_large_ones)
{
	move_small_and_large(&self->m, true, variant->small);
}

/* ------------------------------------------------------------------------ digests */

/* The leaf of every chunk from the bytes themselves, and the root of these leaves. */
static void expect_digest(struct moving *m, size_t i)
{
	struct stream *s = &m->s[i];
	struct digest own = {.size = s->src.size};
	_cleanup_free_ char *chunk = malloc(DIGEST_CHUNK);
	uint8_t want[DIGEST_SIZE], have[DIGEST_SIZE];
	char path[PATH_MAX + 32];
	_cleanup_close_ int fd = open(m->src[i], O_RDONLY | O_CLOEXEC);

	ASSERT_TRUE(chunk && fd >= 0);
	snprintf(path, sizeof(path), "%s.own", m->src[i]);
	own.fd = data_create(path, digest_file_size(own.size));
	for (uint64_t at = 0; at < own.size; at += DIGEST_CHUNK) {
		size_t len = min_u64(DIGEST_CHUNK, own.size - at);

		ASSERT_EQ(pread(fd, chunk, len, (off_t)at), len);
		digest_leaf(chunk, len, want);
		ASSERT_OK(digest_put(&own, at / DIGEST_CHUNK, want, 1));
		ASSERT_OK(digest_get(&s->leaves, at / DIGEST_CHUNK, have, 1));
		EXPECT_EQ(memcmp(have, want, DIGEST_SIZE), 0, "chunk %llu",
			  (unsigned long long)(at / DIGEST_CHUNK));
	}
	ASSERT_OK(digest_root(&own, NULL, want));
	ASSERT_OK(digest_root(&s->leaves, NULL, have));
	EXPECT_EQ(memcmp(have, want, DIGEST_SIZE), 0, "root");
	close(own.fd);
}

/* How many writes were asked for whose bytes have no leaves yet. */
static void count_undigested(struct moving *m)
{
	uint64_t undigested = 0;

	for (size_t i = 0; i < m->fake->count; i++) {
		const struct fakeio_piece *p = &m->fake->pieces[i];
		uint8_t leaf[DIGEST_SIZE], none[DIGEST_SIZE] = {0};

		if (p->op != IO_WRITE)
			continue;
		ASSERT_OK(digest_get(&m->s[0].leaves, p->start / DIGEST_CHUNK, leaf, 1));
		undigested += memcmp(leaf, none, DIGEST_SIZE) == 0;
	}
	m->most = max_u64(m->most, undigested);
}

TEST_F(move, no_write_waits_for_a_digest)
{
	struct moving *m = &self->m;

	add_disk(m, 8 * MIB, 8 * MIB);
	moving_begin(m, variant->direct);
	moving_digest(m, 0, STREAM_DIGEST);
	m->at_reap = count_undigested;
	moving_expect_copies(m, moving_run(m));
	EXPECT_GT(m->most, 0u);
	expect_digest(m, 0);
}

TEST_F(move, the_digest_is_that_of_the_bytes)
{
	static const uint64_t sizes[] = {8 * MIB, 3 * MIB + 1, 777};
	struct moving *m = &self->m;
	uint64_t seed = test_seed();

	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		close(moving_disk(m, 0));
		ASSERT_EQ(unlink(m->src[i]), 0);
		data_create_random(m->src[i], sizes[i], seed + i, 20);
	}
	moving_begin(m, variant->direct);
	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++)
		moving_digest(m, i, STREAM_DIGEST);
	moving_allow_cuts(m);
	m->fake->order = FAKEIO_RANDOM;
	m->fake->seed = seed;
	m->fake->short_random = 300000;
	moving_expect_copies(m, moving_run(m));
	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++)
		expect_digest(m, i);
}

/* Buffers come with what was in them before. */
TEST_F(move, holes_around_data_are_zeros_in_the_digest)
{
	struct moving *m = &self->m;
	int fd = moving_disk(m, 64 * MIB);

	data_write(fd, 5, 0, 16 * MIB); /* fills all buffers */
	for (uint64_t at = 16 * MIB; at < 64 * MIB; at += MIB)
		data_write(fd, 6, at + at / 7 % (MIB - 9000), 100);
	close(fd);
	moving_begin(m, variant->direct);
	moving_digest(m, 0, STREAM_DIGEST);
	moving_expect_copies(m, moving_run(m));
	expect_digest(m, 0);
}

TEST_F(move, a_huge_sparse_disk_has_a_digest_in_no_time)
{
	static const uint64_t at[] = {0, 65535 * MIB + 4096, 65536 * MIB, 70 * GIB};
	struct moving *m = &self->m;
	int fd = moving_disk(m, 70 * GIB + 5);
	char data[5];
	uint8_t leaf[DIGEST_SIZE], last[DIGEST_SIZE];
	uint64_t index = 0;

	for (size_t i = 0; i < ARRAY_SIZE(at); i++)
		data_write(fd, 7, at[i], 5);
	close(fd);
	moving_begin(m, variant->direct);
	moving_digest(m, 0, STREAM_DIGEST);
	moving_expect_copies(m, moving_run(m));
	for (size_t i = 0; i < ARRAY_SIZE(at); i++) {
		ASSERT_OK(digest_next(&m->s[0].leaves, index, &index));
		EXPECT_EQ(index, at[i] / DIGEST_CHUNK);
		index++;
	}
	EXPECT_EQ(digest_next(&m->s[0].leaves, index, &index), -ENXIO);
	data_bytes(7, 70 * GIB, data, sizeof(data));
	digest_leaf(data, sizeof(data), leaf);
	ASSERT_OK(digest_get(&m->s[0].leaves, 70 * GIB / DIGEST_CHUNK, last, 1));
	EXPECT_EQ(memcmp(leaf, last, DIGEST_SIZE), 0, "the last chunk has 5 bytes");
}

/* --------------------------------------------------------------- whatever comes */

/* Closes a scene of several and removes its files. */
static void end_scene(struct moving *m)
{
	static const char *const ends[] = {"", ".digest", ".own"};
	char path[PATH_MAX + 32];

	for (size_t i = 0; i < m->count; i++) {
		ASSERT_EQ(unlink(m->dst[i]), 0);
		for (size_t j = 0; j < ARRAY_SIZE(ends); j++) {
			snprintf(path, sizeof(path), "%s%s", m->src[i], ends[j]);
			unlink(path);
		}
	}
	moving_close(m);
}

TEST_F(move, every_short_transfer)
{
	static const size_t most[] = {4095, 4096, 4097, 65536, MIB - 1};
	struct moving *m = &self->m;

	for (size_t i = 0; i < ARRAY_SIZE(most); i++) {
		end_scene(m);
		moving_open(m, 16 * MIB, 64);
		add_islands(m);
		moving_begin(m, variant->direct);
		moving_allow_cuts(m);
		fakeio_rule(m->fake,
			    (struct fakeio_rule){.ops = FAKEIO_READ | FAKEIO_WRITE,
						 .at_most = most[i]});
		moving_expect_copies(m, moving_run(m));
	}
}

TEST_F(move, a_queue_smaller_than_the_segments_of_a_window)
{
	static const unsigned depths[] = {1, 2, 3, 7};
	struct moving *m = &self->m;
	int fd;

	for (size_t i = 0; i < ARRAY_SIZE(depths); i++) {
		end_scene(m);
		test_log("depth %u", depths[i]);
		moving_open(m, 4 * MIB, depths[i]);
		fd = moving_disk(m, 3 * MIB);
		for (uint64_t at = 0; at < 2 * MIB; at += 8 * K) /* 128 a window */
			data_write(fd, i, at, 4 * K);
		close(fd);
		moving_begin(m, variant->direct);
		moving_digest(m, 0, STREAM_DIGEST);
		m->fake->order = i % 2 ? FAKEIO_RANDOM : FAKEIO_FIFO;
		moving_expect_copies(m, moving_run(m));
		EXPECT_EQ(moving_pieces(m, FAKEIO_READ, -1), 2u);
		EXPECT_EQ(moving_pieces(m, FAKEIO_WRITE, -1), 256u);
	}
}

/* One scene of the random test: everything about it comes from @state. */
static void move_at_random(struct moving *m, bool direct, uint64_t *state, unsigned round)
{
	static const uint64_t pools[] = {2, 2, 4, 16};
	uint64_t scene = *state;
	size_t count = 1 + data_random(state) % MOVING_MOST;

	moving_open(m, pools[data_random(state) % 4] * MIB, 1 + data_random(state) % 40);
	for (size_t i = 0; i < count; i++) {
		uint64_t size = data_random(state) % (6 * MIB);

		close(moving_disk(m, 0));
		ASSERT_EQ(unlink(m->src[i]), 0);
		if (data_random(state) % 2)
			size = round_down(size, 4096);
		data_create_random(m->src[i], size, data_random(state),
				   (unsigned)(data_random(state) % 40));
	}
	moving_begin(m, direct);
	for (size_t i = 0; i < count; i++)
		moving_digest(m, i, STREAM_DIGEST);
	m->fake->order = (enum fakeio_order)(data_random(state) % 3);
	m->fake->seed = data_random(state);
	m->fake->batch = (unsigned)(data_random(state) % 5);
	moving_allow_cuts(m);
	if (data_random(state) % 2)
		m->fake->short_random = 4096 + data_random(state) % MIB;
	test_log("round %u: state %llu, %zu disks, depth %u, short %zu", round,
		 (unsigned long long)scene, count, m->q->depth, m->fake->short_random);
	moving_expect_copies(m, moving_run(m));
	for (size_t i = 0; i < count; i++)
		expect_digest(m, i);
}

TEST_F(move, disks_at_random)
{
	uint64_t state = test_seed();

	for (unsigned round = 0; round < 25; round++) {
		end_scene(&self->m);
		move_at_random(&self->m, variant->direct, &state, round);
	}
}

TEST_MAIN
