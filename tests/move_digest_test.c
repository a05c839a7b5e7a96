/* SPDX-License-Identifier: MIT */
/*
 * move_digest_test.c - digests while disks are moved: what differs from them is found,
 * told of where it is, and goes no further
 */
#include <fcntl.h>
#include <stdio.h>

#include "data.h"
#include "harness.h"
#include "moving.h"

#define K (UINT64_C(1) << 10)

FIXTURE(check)
{
	struct moving m;
	bool written; /* the leaves */
};

FIXTURE_VARIANT(check)
{
	bool only_read;
};

FIXTURE_VARIANT_ADD(check, verifying){.only_read = true};
FIXTURE_VARIANT_ADD(check, restoring){.only_read = false};

/* One disk with known leaves; a hole in chunk 2, and around the data of chunk 4. */
FIXTURE_SETUP(check)
{
	struct moving *m = &self->m;
	struct digest *leaves = &m->s[0].leaves;
	_cleanup_free_ char *chunk = malloc(MIB);
	uint8_t leaf[DIGEST_SIZE];
	int fd;

	moving_open(m, 4 * MIB, 64);
	m->only_read = variant->only_read;
	fd = moving_disk(m, 5 * MIB + 777);
	data_write(fd, 3, 0, 2 * MIB);
	data_write(fd, 3, 3 * MIB, MIB);
	data_write(fd, 3, 4 * MIB + 500 * K, 4 * K);
	data_write(fd, 3, 5 * MIB, 777);
	moving_begin(m, true);
	moving_digest(m, 0, STREAM_DIGEST_CHECK);
	ASSERT_NE(chunk, NULL);
	for (uint64_t i = 0; i <= 5 * MIB / DIGEST_CHUNK; i++) {
		ssize_t len = pread(fd, chunk, DIGEST_CHUNK, (off_t)(i * DIGEST_CHUNK));

		ASSERT_EQ(len, i < 5 * MIB / DIGEST_CHUNK ? DIGEST_CHUNK : 777);
		digest_leaf(chunk, (size_t)len, leaf);
		ASSERT_OK(digest_put(leaves, i, leaf, 1));
	}
	close(fd);
}

FIXTURE_TEARDOWN(check)
{
	moving_close(&self->m);
}

TEST_F(check, what_is_as_it_was_passes)
{
	struct moving *m = &self->m;
	uint32_t rc = moving_run(m);

	EXPECT_EQ(rc, RP_OK, "%s", m->err.message);
	EXPECT_EQ(m->w.progress.bytes_done, m->s[0].data_bytes);
	if (variant->only_read)
		EXPECT_EQ(moving_pieces(m, FAKEIO_WRITE | FAKEIO_SYNC, -1), 0u);
	else
		moving_expect_copies(m, rc);
}

/* Where a bit that was flipped at @at is found, and that its window went no further. */
static void expect_flipped(struct moving *m, uint64_t at)
{
	uint64_t chunk = at / DIGEST_CHUNK;
	char text[64];

	moving_expect_error(m, moving_run(m), RP_FAILED, 0, "digest", 0,
			    chunk * DIGEST_CHUNK);
	snprintf(text, sizeof(text), "chunk %llu differs", (unsigned long long)chunk);
	EXPECT_NE(strstr(m->err.message, text), NULL, "%s", m->err.message);
	for (size_t i = 0; i < m->fake->count; i++) {
		const struct fakeio_piece *p = &m->fake->pieces[i];

		if (p->op == IO_WRITE)
			EXPECT_NE(p->start / MIB, at / MIB,
				  "bad bytes are not passed on");
		EXPECT_NE(p->op, IO_SYNC);
	}
}

TEST_F(check, a_flipped_bit_is_found_in_the_first_chunk)
{
	data_flip(self->m.src[0], 0);
	expect_flipped(&self->m, 0);
}

TEST_F(check, a_flipped_bit_is_found_at_the_end_of_a_chunk)
{
	data_flip(self->m.src[0], 2 * MIB - 1);
	expect_flipped(&self->m, 2 * MIB - 1);
}

TEST_F(check, a_flipped_bit_is_found_between_holes)
{
	data_flip(self->m.src[0], 4 * MIB + 503 * K);
	expect_flipped(&self->m, 4 * MIB + 503 * K);
}

TEST_F(check, a_flipped_bit_is_found_in_the_last_short_chunk)
{
	data_flip(self->m.src[0], 5 * MIB + 776);
	expect_flipped(&self->m, 5 * MIB + 776);
}

TEST_F(check, bytes_where_a_hole_was_are_found)
{
	data_flip(self->m.src[0], 2 * MIB + 12345);
	expect_flipped(&self->m, 2 * MIB + 12345);
}

TEST_F(check, bytes_that_became_a_hole_beside_data_are_found)
{
	int fd = open(self->m.src[0], O_RDWR | O_CLOEXEC);

	ASSERT_EQ(
		fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 3 * MIB, 4 * K),
		0);
	close(fd);
	expect_flipped(&self->m, 3 * MIB);
}

TEST_F(check, of_two_flipped_bits_the_first_is_told)
{
	struct moving *m = &self->m;

	data_flip(m->src[0], 3 * MIB + 5);
	data_flip(m->src[0], MIB + 5);
	expect_flipped(m, MIB + 5);
}

TEST_F(check, of_two_flipped_bits_the_first_is_told_also_if_it_comes_last)
{
	struct moving *m = &self->m;

	data_flip(m->src[0], MIB + 5); /* two windows are asked for at once */
	data_flip(m->src[0], 5);
	m->fake->order = FAKEIO_LIFO;
	m->fake->batch = 1;
	expect_flipped(m, 5);
}

TEST_F(check, leaves_that_cannot_be_read_are_no_difference)
{
	struct moving *m = &self->m;

	ASSERT_EQ(ftruncate(m->s[0].leaves.fd, 3 * MIB / DIGEST_CHUNK * DIGEST_SIZE), 0);
	m->fake->batch = 1;
	moving_expect_error(m, moving_run(m), RP_FAILED, ENODATA, "read digests of", 0,
			    3 * MIB);
}

/* A device that guards its blocks says EILSEQ: that is no digest of ours. */
TEST_F(check, a_device_that_finds_its_own_fault_is_a_failed_read)
{
	struct moving *m = &self->m;

	fakeio_rule(m->fake,
		    (struct fakeio_rule){.ops = FAKEIO_READ, .nth = 1, .error = -EILSEQ});
	moving_expect_error(m, moving_run(m), RP_FAILED, EILSEQ, "read", 0, 0);
}

TEST(leaves_that_cannot_be_written)
{
	struct moving m;
	int fd;

	moving_open(&m, 4 * MIB, 8);
	fd = moving_disk(&m, 3 * MIB);
	data_write(fd, 3, 0, 3 * MIB);
	close(fd);
	moving_begin(&m, true);
	moving_digest(&m, 0, STREAM_DIGEST);
	m.fake->batch = 1;
	close(m.s[0].leaves.fd);
	m.s[0].leaves.fd = open("/dev/full", O_RDWR | O_CLOEXEC);
	moving_expect_error(&m, moving_run(&m), RP_FAILED, ENOSPC, "write digests of", 0,
			    0);
	moving_close(&m);
}

TEST_MAIN
