/* SPDX-License-Identifier: MIT */
/*
 * checkpoint_test.c - a checkpoint keeps nobody waiting: bytes move on while its journal
 * is on the way to stable storage. None is made where it costs more than it saves
 */
#include <fcntl.h>
#include <stdatomic.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "data.h"
#include "engine/journal.h"
#include "engine/watch.h"
#include "harness.h"
#include "io/base.h"
#include "io/clock.h"
#include "moving.h"

#define SIZE	 (32 * MIB)
#define HELD	 (2 * MIB)
#define PATIENCE 12000 /* times 10 ms: never, if all is well */

static atomic_bool moving, noting, moved_on;
static atomic_uint waits;

/* In place of libc's: the journal's takes as long as it takes the mover to go on. */
int fsync(int fd)
{
	atomic_store(&noting, atomic_load(&moving));
	while (noting && !atomic_load(&moved_on) &&
	       atomic_fetch_add(&waits, 1) < PATIENCE)
		usleep(10000);
	return (int)syscall(SYS_fsync, fd);
}

/* What is held can be read once the journal is being written. */
static void let_go_when_noting(struct moving *m)
{
	if (atomic_load(&noting))
		fakeio_release(m->fake);
	for (size_t i = 0; i < m->fake->count; i++)
		if (m->fake->pieces[i].op == IO_WRITE && m->fake->pieces[i].start >= HELD)
			atomic_store(&moved_on, true);
}

/* Or once it would have been by far. */
static void let_go_later(struct moving *m)
{
	if (io_now_ns() - m->w.phase_ns > 1500 * UINT64_C(1000000))
		fakeio_release(m->fake);
}

struct noted {
	struct moving m;
	struct journal journal;
	int dir;
};

/* Everything from @held on is read when @at_reap lets it go. */
static void move_held(struct noted *n, uint64_t held, uint64_t bandwidth,
		      void (*at_reap)(struct moving *m))
{
	int fd;

	moving_open(&n->m, 16 * MIB, 64);
	n->m.w.bandwidth = bandwidth;
	fd = moving_disk(&n->m, SIZE);
	data_write(fd, 1, 0, SIZE);
	close(fd);
	moving_begin(&n->m, false);
	n->dir = open(test_dir(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	ASSERT_GE(n->dir, 0);
	ASSERT_OK(journal_begin(&n->journal, n->dir,
				json_pack("{s:i}", "FormatVersion", 1)));
	n->m.s[0].journal = &n->journal;
	n->m.s[0].slot = journal_disk(&n->journal, "d0", "d0.raw", SIZE);
	ASSERT_EQ(n->m.s[0].slot, 0);
	n->m.at_reap = at_reap;
	fakeio_rule(n->m.fake,
		    (struct fakeio_rule){
			    .ops = FAKEIO_READ, .from = held, .to = SIZE, .held = true});
	moving = true;
	EXPECT_EQ(moving_run(&n->m), RP_OK);
	EXPECT_TRUE(data_same(n->m.src[0], n->m.dst[0]));
	moving = false;
}

static void end(struct noted *n)
{
	journal_close(&n->journal);
	close(n->dir);
	moving_close(&n->m);
}

/* Most is still to be done. */
TEST(bytes_move_while_the_journal_is_written)
{
	struct noted n = {0};
	uint64_t mark;

	move_held(&n, HELD, 0, let_go_when_noting);
	EXPECT_TRUE(moved_on);
	EXPECT_LT(waits, PATIENCE);
	/* What was noted is there, and true. */
	mark = journal_mark(&n.journal, 0);
	EXPECT_TRUE(mark && mark <= HELD, "%lu", mark);
	journal_close(&n.journal);
	ASSERT_OK(journal_open(&n.journal, n.dir));
	EXPECT_EQ(journal_mark(&n.journal, 0), mark);
	end(&n);
}

/* Who is held back by a limit has the time. */
TEST(one_is_made_shortly_before_the_end_of_a_slowed_move)
{
	struct noted n = {0};

	move_held(&n, SIZE - HELD, GIB, let_go_when_noting);
	EXPECT_GE(journal_mark(&n.journal, 0), 1);
	end(&n);
}

TEST(none_is_made_shortly_before_the_end)
{
	struct noted n = {0};

	move_held(&n, SIZE - HELD, 0, let_go_later);
	EXPECT_FALSE(noting);
	EXPECT_EQ(journal_mark(&n.journal, 0), 0);
	end(&n);
}

TEST_MAIN
