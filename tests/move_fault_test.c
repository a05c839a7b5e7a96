/* SPDX-License-Identifier: MIT */
/*
 * move_fault_test.c - what move_streams() makes of requests that fail, of disks that
 * change, and of callers that have had enough: the first error, with its place, and
 * nothing begun after it
 */
#include <fcntl.h>
#include <stdio.h>
#include <time.h>

#include "data.h"
#include "harness.h"
#include "io/clock.h"
#include "loopfs.h"
#include "engine/journal.h"
#include "moving.h"

#define K (UINT64_C(1) << 10)

FIXTURE(fault)
{
	struct moving m;
};

FIXTURE_VARIANT(fault)
{
	bool direct;
	unsigned batch; /* completions per reap; 0 = all there are */
};

FIXTURE_VARIANT_ADD(fault, direct_one_by_one){.direct = true, .batch = 1};
FIXTURE_VARIANT_ADD(fault, direct_all_at_once){.direct = true, .batch = 0};
FIXTURE_VARIANT_ADD(fault, buffered_one_by_one){.direct = false, .batch = 1};

/*
 * Two disks: windows with several segments, full ones, a tail. There are fewer chunks
 * than windows, and less room in the queue than there are segments.
 */
static void set_scene(struct moving *m, bool direct, unsigned batch)
{
	int fd;

	moving_open(m, 4 * MIB, 6);
	fd = moving_disk(m, 6 * MIB + 5000);
	for (unsigned i = 0; i < 8; i++)
		data_write(fd, 1, MIB + i * 16 * K, 4 * K);
	data_write(fd, 1, 3 * MIB, 2 * MIB);
	data_write(fd, 1, 6 * MIB + 4096, 904);
	close(fd);
	fd = moving_disk(m, 4 * MIB);
	data_write(fd, 2, 0, 3 * MIB);
	data_write(fd, 2, 3 * MIB + 512 * K, 8 * K);
	close(fd);
	moving_begin(m, direct);
	m->fake->batch = batch;
}

/* Away with its files, for another one. */
static void clear_scene(struct moving *m)
{
	for (size_t i = 0; i < m->count; i++) {
		ASSERT_EQ(unlink(m->src[i]), 0);
		ASSERT_EQ(unlink(m->dst[i]), 0);
	}
	moving_close(m);
}

FIXTURE_SETUP(fault)
{
	set_scene(&self->m, variant->direct, variant->batch);
}

FIXTURE_TEARDOWN(fault)
{
	moving_close(&self->m);
}

static void fail_one(struct moving *m, unsigned ops, unsigned nth, int error)
{
	fakeio_rule(m->fake,
		    (struct fakeio_rule){.ops = ops, .nth = nth, .error = error});
}

/* The first of these ops that failed, as it was recorded. */
static const struct fakeio_piece *failed_piece(const struct moving *m)
{
	for (size_t i = 0; i < m->fake->count; i++) {
		const struct fakeio_piece *p = &m->fake->pieces[i];

		if (p->done && (p->result < 0 || (p->result == 0 && p->len)))
			return p;
	}
	FAIL("nothing has failed");
}

static size_t disk_of(const struct moving *m, const struct io_file *file)
{
	for (size_t i = 0; i < m->count; i++) {
		if (file == &m->s[i].src || file == &m->s[i].dst)
			return i;
	}
	FAIL("not a file of the scene");
}

/* ---------------------------------------------------------------- every position */

/* Fails each piece of @ops once, in a scene of its own. */
static void fail_at_every_position(struct fault_fixture *self,
				   const struct fault_variant *variant, unsigned ops,
				   int error, const char *step, uint32_t code)
{
	struct moving *m = &self->m;
	unsigned count;

	moving_expect_copies(m, moving_run(m));
	count = moving_pieces(m, ops, -1);
	ASSERT_GE(count, 2u);
	for (unsigned nth = 1; nth <= count; nth++) {
		const struct fakeio_piece *p;
		uint32_t rc;
		size_t disk;

		clear_scene(m);
		set_scene(m, variant->direct, variant->batch);
		fail_one(m, ops, nth, error);
		rc = moving_run(m);
		p = failed_piece(m);
		disk = disk_of(m, p->file);
		moving_expect_error(m, rc, code, -error, step, disk,
				    p->op == IO_SYNC ? RP_NO_OFFSET : p->start);
		EXPECT_NE(strstr(m->err.message, strerror(-error)), NULL, "%s",
			  m->err.message);
		EXPECT_NE(strstr(m->err.message,
				 p->op == IO_READ ? m->src[disk] : m->dst[disk]),
			  NULL, "%s", m->err.message);
		EXPECT_LE(moving_pieces(m, FAKEIO_SYNC, (int)disk),
			  p->op == IO_SYNC ? 1u : 0u, "it is not on its disk");
	}
}

TEST_F(fault, every_read)
{
	fail_at_every_position(self, variant, FAKEIO_READ, -EIO, "read", RP_FAILED);
}

TEST_F(fault, every_write)
{
	fail_at_every_position(self, variant, FAKEIO_WRITE, -ENOSPC, "write", RP_FAILED);
}

TEST_F(fault, every_sync)
{
	fail_at_every_position(self, variant, FAKEIO_SYNC, -EDQUOT, "sync", RP_FAILED);
}

TEST_F(fault, the_code_follows_the_error)
{
	static const struct {
		int error;
		uint32_t code;
	} codes[] = {
		{-EIO, RP_FAILED},	     {-EACCES, RP_ACCESS_DENIED},
		{-EROFS, RP_ACCESS_DENIED},  {-ENOMEM, RP_OUT_OF_MEMORY},
		{-ENODEV, RP_NOT_AVAILABLE}, {-EOPNOTSUPP, RP_NOT_SUPPORTED},
		{-EILSEQ, RP_FAILED},
	};
	struct moving *m = &self->m;

	for (size_t i = 0; i < ARRAY_SIZE(codes); i++) {
		uint32_t rc;

		clear_scene(m);
		set_scene(m, variant->direct, variant->batch);
		fail_one(m, FAKEIO_READ, 1, codes[i].error);
		rc = moving_run(m);
		moving_expect_error(m, rc, codes[i].code, -codes[i].error, "read",
				    disk_of(m, failed_piece(m)->file),
				    failed_piece(m)->start);
	}
}

TEST_F(fault, nobody_has_to_take_the_error)
{
	struct moving *m = &self->m;

	fail_one(m, FAKEIO_WRITE, 2, -EIO);
	EXPECT_EQ(move_streams(m->s, m->count, m->q, m->pool, 0, &m->w, NULL), RP_FAILED);
	EXPECT_EQ(m->begun_late, 0u);
}

/* Disk 0 is asked for 1 MiB at 3 MiB, gets a part, then an error. */
static void fail_in_the_rest(struct moving *m, unsigned ops, const struct io_file *file,
			     const char *step)
{
	uint64_t at = 3 * MIB + 96 * K;

	moving_allow_cuts(m);
	fakeio_rule(m->fake, (struct fakeio_rule){.ops = ops,
						  .file = file,
						  .from = 3 * MIB,
						  .to = 3 * MIB + 1,
						  .at_most = 96 * K});
	fakeio_rule(m->fake, (struct fakeio_rule){.ops = ops,
						  .file = file,
						  .from = at,
						  .to = 4 * MIB,
						  .error = -EIO});
	moving_expect_error(m, moving_run(m), RP_FAILED, EIO, step, 0, at);
}

TEST_F(fault, an_error_in_the_rest_of_a_short_read_has_its_own_place)
{
	fail_in_the_rest(&self->m, FAKEIO_READ, &self->m.s[0].src, "read");
}

TEST_F(fault, an_error_in_the_rest_of_a_short_write_has_its_own_place)
{
	fail_in_the_rest(&self->m, FAKEIO_WRITE, &self->m.s[0].dst, "write");
}

TEST_F(fault, a_write_that_takes_nothing_is_an_error)
{
	struct moving *m = &self->m;
	uint32_t rc;

	fakeio_rule(m->fake,
		    (struct fakeio_rule){.ops = FAKEIO_WRITE, .nth = 3, .nothing = true});
	rc = moving_run(m);
	moving_expect_error(m, rc, RP_FAILED, EIO, "write",
			    disk_of(m, failed_piece(m)->file), failed_piece(m)->start);
}

/* ------------------------------------------------------------------------ the first */

TEST_F(fault, of_all_that_fail_the_first_is_told)
{
	struct moving *m = &self->m;
	const struct fakeio_piece *first;
	uint32_t rc;

	m->fake->order = FAKEIO_FIFO;
	fail_one(m, FAKEIO_READ, 2, -EIO);
	fail_one(m, 0, 0, -ENOMEM); /* and all that come after it, or before */
	m->fake->rules[1].from = 3 * MIB;
	m->fake->rules[1].to = UINT64_MAX;
	rc = moving_run(m);
	first = failed_piece(m);
	EXPECT_NE(rc, RP_OK);
	EXPECT_EQ(m->err.os_error, -first->result);
	EXPECT_EQ(m->err.offset, first->start);
	EXPECT_STREQ(m->err.disk, m->id[disk_of(m, first->file)]);
	EXPECT_EQ(m->begun_late, 0u);
}

static void break_queue_after_the_failure(struct moving *m)
{
	static unsigned reaps;

	if (m->over && reaps++ < 3)
		m->fake->reap_error = -ENXIO;
}

TEST_F(fault, what_the_queue_says_later_does_not_count)
{
	struct moving *m = &self->m;
	uint32_t rc;

	m->at_reap = break_queue_after_the_failure;
	m->fake->batch = 1;
	fail_one(m, FAKEIO_READ, 1, -EIO);
	rc = moving_run(m);
	moving_expect_error(m, rc, RP_FAILED, EIO, "read",
			    disk_of(m, failed_piece(m)->file), failed_piece(m)->start);
}

/* ------------------------------------------------------------------ a broken queue */

TEST_F(fault, a_queue_that_cannot_be_kicked)
{
	struct moving *m = &self->m;
	uint32_t rc;

	m->fake->kick_error = -EBADF;
	rc = moving_run(m);
	moving_expect_error(m, rc, RP_FAILED, EBADF, "reap", m->count, RP_NO_OFFSET);
}

TEST_F(fault, a_queue_that_cannot_be_reaped)
{
	struct moving *m = &self->m;
	uint32_t rc;

	m->fake->reap_error = -EBADF;
	rc = moving_run(m);
	moving_expect_error(m, rc, RP_FAILED, EBADF, "reap", m->count, RP_NO_OFFSET);
}

TEST_F(fault, a_queue_that_refuses_a_request)
{
	struct moving *m = &self->m;
	unsigned count;

	moving_expect_copies(m, moving_run(m));
	count = m->begun;
	for (unsigned nth = 1; nth <= count; nth++) {
		uint32_t rc;

		clear_scene(m);
		set_scene(m, variant->direct, variant->batch);
		m->refuses = nth;
		m->refuses_with = -ENOMEM;
		rc = moving_run(m);
		EXPECT_EQ(rc, RP_OUT_OF_MEMORY, "request %u: %s", nth, m->err.message);
		EXPECT_EQ(m->err.os_error, ENOMEM);
		EXPECT_STREQ(m->err.step, "queue");
		EXPECT_NE(m->err.disk[0], '\0');
		EXPECT_EQ(m->begun_late, 0u, "request %u", nth);
	}
}

/* ------------------------------------------------------------- disks that change */

/* What was cut off looks like a hole to whoever asks where data is. */
TEST_F(fault, a_source_cut_within_its_data)
{
	struct moving *m = &self->m;
	uint32_t rc;

	ASSERT_EQ(truncate(m->src[0], 3 * MIB + 8192), 0);
	rc = moving_run(m);
	moving_expect_error(m, rc, RP_FAILED, ENODATA, "map", 0, m->err.offset);
	EXPECT_LE(m->err.offset, 3 * MIB + 8192);
}

TEST_F(fault, a_source_cut_in_a_hole)
{
	struct moving *m = &self->m;
	uint32_t rc;

	ASSERT_EQ(truncate(m->src[0], 2 * MIB + 8192), 0);
	rc = moving_run(m);
	moving_expect_error(m, rc, RP_FAILED, ENODATA, "map", 0, m->err.offset);
	EXPECT_LE(m->err.offset, 2 * MIB + 8192);
}

TEST_F(fault, a_source_cut_to_nothing)
{
	struct moving *m = &self->m;

	ASSERT_EQ(truncate(m->src[1], 0), 0);
	moving_expect_error(m, moving_run(m), RP_FAILED, ENODATA, "map", 1, 0);
}

/* After the window at 3 MiB has been asked for, and before it is read; the next one may
 * find out first. */
static void cut_source_late(struct moving *m)
{
	for (size_t i = 0; i < m->fake->count; i++) {
		const struct fakeio_piece *p = &m->fake->pieces[i];

		if (p->file == &m->s[0].src && p->start + p->len > 3 * MIB)
			ASSERT_EQ(truncate(m->src[0], 3 * MIB + 8192), 0);
	}
}

TEST_F(fault, a_source_cut_while_it_is_copied)
{
	struct moving *m = &self->m;
	uint32_t rc;

	m->at_reap = cut_source_late;
	rc = moving_run(m);
	moving_expect_error(m, rc, RP_FAILED, ENODATA, "read", 0, failed_piece(m)->start);
}

TEST_F(fault, a_source_that_has_grown_is_copied_as_it_was)
{
	struct moving *m = &self->m;
	int fd = open(m->src[1], O_WRONLY | O_CLOEXEC);

	data_write(fd, 9, 4 * MIB, 2 * MIB);
	ASSERT_EQ(fsync(fd), 0);
	ASSERT_EQ(moving_run(m), RP_OK, "%s", m->err.message);
	ASSERT_EQ(ftruncate(fd, 4 * MIB), 0);
	close(fd);
	moving_expect_copies(m, RP_OK);
}

TEST_F(fault, a_source_without_a_map)
{
	struct moving *m = &self->m;
	int fd = m->s[1].src.fd, pipes[2];
	uint32_t rc;

	ASSERT_EQ(pipe2(pipes, O_CLOEXEC), 0);
	m->s[1].src.fd = pipes[0]; /* it cannot seek */
	rc = moving_run(m);
	m->s[1].src.fd = fd;
	close(pipes[0]);
	close(pipes[1]);
	moving_expect_error(m, rc, RP_FAILED, ESPIPE, "map", 1, 0);
}

TEST(a_full_file_system_shows_before_anything_is_written)
{
	struct loopfs fs = {0};
	struct moving m;
	uint32_t rc;
	int fd;

	loopfs_mount(&fs, "ext4", 0, NULL, NULL);
	moving_open(&m, 2 * MIB, 8);
	fd = moving_disk(&m, 100 * MIB);
	data_write(fd, 1, 0, 100 * MIB);
	close(fd);
	snprintf(m.dst[0], sizeof(m.dst[0]), "%s/full", fs.mnt);
	moving_begin(&m, true);
	if (io_file_is_direct(&m.s[0].dst)) {
		rc = moving_run(&m);
		moving_expect_error(&m, rc, RP_FAILED, ENOSPC, "allocate", 0, 0);
		EXPECT_EQ(m.fake->count, 0);
	}
	moving_close(&m);
	loopfs_umount(&fs);
}

/* --------------------------------------------------------------- had enough of it */

static uint64_t release_at_ns;

static void release_in_time(struct moving *m)
{
	if (release_at_ns && io_now_ns() >= release_at_ns)
		fakeio_release(m->fake);
	else if (m->over && !release_at_ns)
		release_at_ns = io_now_ns() + 250000000;
}

static void hold_all_writes(struct moving *m)
{
	fakeio_rule(m->fake, (struct fakeio_rule){.ops = FAKEIO_WRITE, .held = true});
	m->at_reap = release_in_time;
}

TEST_F(fault, a_caller_who_cancels_waits_for_what_is_on_its_way)
{
	struct moving *m = &self->m;
	uint32_t rc;

	m->cancels_at = 3;
	hold_all_writes(m);
	rc = moving_run(m);
	moving_expect_error(m, rc, RP_FAILED, ECANCELED, "copying", m->count,
			    RP_NO_OFFSET);
	EXPECT_GE(io_now_ns(), release_at_ns, "it has waited");
	EXPECT_EQ(m->told, 3u, "and has asked no more");
	EXPECT_EQ(moving_pieces(m, FAKEIO_SYNC, -1), 0u);
}

TEST_F(fault, a_caller_who_cancels_before_it_begins)
{
	struct moving *m = &self->m;

	m->cancels_at = 1;
	moving_expect_error(m, moving_run(m), RP_FAILED, ECANCELED, "copying", m->count,
			    RP_NO_OFFSET);
	EXPECT_EQ(m->fake->count, 0);
}

TEST_F(fault, the_time_limit_passes)
{
	struct moving *m = &self->m;
	uint32_t rc;

	watch_init(&m->w, &m->user, 500);
	release_at_ns = io_now_ns() + 800000000;
	hold_all_writes(m);
	rc = moving_run(m);
	moving_expect_error(m, rc, RP_TIMEOUT, ETIME, "copying", m->count, RP_NO_OFFSET);
	EXPECT_GE(io_now_ns(), release_at_ns, "it has waited for its writes");
	EXPECT_EQ(moving_pieces(m, FAKEIO_SYNC, -1), 0u);
}

TEST_F(fault, held_completions_only_take_longer)
{
	struct moving *m = &self->m;

	release_at_ns = io_now_ns() + 150000000;
	m->at_reap = release_in_time;
	fakeio_rule(m->fake,
		    (struct fakeio_rule){.ops = FAKEIO_WRITE, .nth = 1, .held = true});
	fakeio_rule(m->fake,
		    (struct fakeio_rule){.ops = FAKEIO_READ, .nth = 4, .held = true});
	moving_expect_copies(m, moving_run(m));
	EXPECT_GE(io_now_ns(), release_at_ns);
}

/* ------------------------------------------------------ a checkpoint that comes last */

static unsigned syncs_of_disk(const struct moving *m, bool done)
{
	unsigned count = 0;

	for (size_t i = 0; i < m->fake->count; i++) {
		const struct fakeio_piece *p = &m->fake->pieces[i];

		count += p->op == IO_SYNC && p->file == &m->s[0].dst &&
			 (!done || p->done);
	}
	return count;
}

/* The end of the disk comes when the checkpoint's sync is on its way, which then comes
 * back after that of the whole disk. */
static void checkpoint_last_of_all(struct moving *m)
{
	if (syncs_of_disk(m, false) == 1)
		fakeio_release_only(m->fake, FAKEIO_READ);
	if (syncs_of_disk(m, true) == 1)
		fakeio_release(m->fake);
}

/* Of two syncs of a file the kernel tells one what was lost, whichever that is. */
TEST(a_lost_write_that_only_the_last_checkpoint_is_told_of)
{
	struct moving m = {0};
	struct journal journal;
	int fd, dir;

	moving_open(&m, 16 * MIB, 64);
	fd = moving_disk(&m, 4 * MIB);
	data_write(fd, 1, 0, 4 * MIB);
	close(fd);
	moving_begin(&m, false);
	moving_digest(&m, 0, STREAM_DIGEST);
	dir = open(test_dir(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	ASSERT_GE(dir, 0);
	ASSERT_OK(journal_begin(&journal, dir, json_pack("{s:i}", "FormatVersion", 1)));
	m.s[0].journal = &journal;
	m.s[0].slot = journal_disk(&journal, "d0", "d0.raw", 4 * MIB);
	ASSERT_EQ(m.s[0].slot, 0);
	m.at_reap = checkpoint_last_of_all;
	fakeio_rule(m.fake, (struct fakeio_rule){.ops = FAKEIO_READ,
						 .from = 3 * MIB,
						 .to = 4 * MIB,
						 .held = true});
	fakeio_rule(m.fake, (struct fakeio_rule){.ops = FAKEIO_SYNC,
						 .file = &m.s[0].dst,
						 .nth = 1,
						 .error = -EIO,
						 .held = true});
	EXPECT_EQ(moving_run(&m), RP_FAILED);
	EXPECT_EQ(m.err.os_error, EIO, "%s", m.err.message);
	EXPECT_EQ(syncs_of_disk(&m, true), 2);
	journal_close(&journal);
	close(dir);
	moving_close(&m);
}

TEST_MAIN
