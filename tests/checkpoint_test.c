/* SPDX-License-Identifier: MIT */
/*
 * checkpoint_test.c - a checkpoint keeps nobody waiting: bytes move on while its journal
 * is on the way to stable storage. None is made where it costs more than it saves, and
 * a rest costs nothing
 */
#include <fcntl.h>
#include <stdatomic.h>
#include <sys/syscall.h>
#include <time.h>
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
#define SECOND	 UINT64_C(1000000000)

static atomic_bool moving, noting, moved_on;
static atomic_uint waits;
static atomic_ulong passed_s; /* besides what passes by itself */

/* In place of libc's: the journal's takes as long as it takes the mover to go on. */
int fsync(int fd)
{
	atomic_store(&noting, atomic_load(&moving));
	while (noting && !atomic_load(&moved_on) &&
	       atomic_fetch_add(&waits, 1) < PATIENCE)
		usleep(10000);
	return (int)syscall(SYS_fsync, fd);
}

int clock_gettime(clockid_t id, struct timespec *ret)
{
	int r = (int)syscall(SYS_clock_gettime, id, ret);

	ret->tv_sec += (time_t)atomic_load(&passed_s);
	return r;
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
	if (io_now_ns() - m->w.phase_ns > 3 * SECOND / 2)
		fakeio_release(m->fake);
}

struct noted {
	struct moving m;
	struct journal journal;
	int dir;
};

/* Everything from @held on is read when @at_reap lets it go. */
static void begin_held(struct noted *n, uint64_t held, uint64_t bandwidth,
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
}

static void move(struct noted *n)
{
	moving = true;
	EXPECT_EQ(moving_run(&n->m), RP_OK);
	EXPECT_TRUE(data_same(n->m.src[0], n->m.dst[0]));
	moving = false;
}

static void move_held(struct noted *n, uint64_t held, uint64_t bandwidth,
		      void (*at_reap)(struct moving *m))
{
	begin_held(n, held, bandwidth, at_reap);
	move(n);
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

/* ------------------------------------------------------------------------- rests */

#define REAPS 70

static unsigned reaps; /* after the rest, until the second checkpoint */

static unsigned syncs(const struct moving *m)
{
	return moving_pieces(m, FAKEIO_SYNC, -1);
}

/* A job that is suspended for an hour when its first checkpoint has begun. */
static int rest_once(void *attendant, struct watch *w)
{
	uint64_t before;

	w->attended_ns = 0; /* with each tick */
	w->to_rest = !passed_s && syncs(attendant);
	if (!w->to_rest || w->holds)
		return 0;
	w->to_rest = false;
	before = watch_rest(w);
	passed_s = 3600;
	watch_go_on(w, before);
	return 0;
}

/* What is being read comes back before the rest, the sync after it. Then for ten minutes
 * there is time for another one. */
static void let_go_at_the_second(struct moving *m)
{
	if (!passed_s) {
		if (syncs(m))
			fakeio_release_only(m->fake, FAKEIO_READ);
		return;
	}
	fakeio_release_only(m->fake, FAKEIO_SYNC);
	if (syncs(m) > 1 || reaps == REAPS)
		fakeio_release(m->fake);
	else if (++reaps > 10) /* the first one is through */
		passed_s += 10;
}

/* As if it had not rested. */
TEST(a_rest_is_no_cost)
{
	struct noted n = {0};

	moved_on = true;
	begin_held(&n, HELD, 0, let_go_at_the_second);
	fakeio_rule(n.m.fake, (struct fakeio_rule){.ops = FAKEIO_SYNC, .held = true});
	n.m.w.attend = rest_once;
	n.m.w.attendant = &n.m;
	move(&n);
	EXPECT_GE(passed_s, 3600);
	EXPECT_LT(reaps, REAPS);
	end(&n);
}

TEST_MAIN
