/* SPDX-License-Identifier: MIT */
/*
 * checkpoint_test.c - a checkpoint keeps nobody waiting: bytes move on while its journal
 * is on the way to stable storage
 */
#include <fcntl.h>
#include <stdatomic.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "data.h"
#include "engine/journal.h"
#include "harness.h"
#include "io/base.h"
#include "moving.h"

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

/* The last MiB can be read once the journal is being written. */
static void at_reap(struct moving *m)
{
	if (atomic_load(&noting))
		fakeio_release(m->fake);
	for (size_t i = 0; i < m->fake->count; i++)
		if (m->fake->pieces[i].op == IO_WRITE &&
		    m->fake->pieces[i].start >= 3 * MIB)
			atomic_store(&moved_on, true);
}

TEST(bytes_move_while_the_journal_is_written)
{
	struct moving m = {0};
	struct journal journal;
	uint64_t mark;
	int fd, dir;

	moving_open(&m, 16 * MIB, 64);
	fd = moving_disk(&m, 4 * MIB);
	data_write(fd, 1, 0, 4 * MIB);
	close(fd);
	moving_begin(&m, false);
	dir = open(test_dir(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	ASSERT_GE(dir, 0);
	ASSERT_OK(journal_begin(&journal, dir, json_pack("{s:i}", "FormatVersion", 1)));
	m.s[0].journal = &journal;
	m.s[0].slot = journal_disk(&journal, "d0", "d0.raw", 4 * MIB);
	ASSERT_EQ(m.s[0].slot, 0);
	m.at_reap = at_reap;
	fakeio_rule(m.fake, (struct fakeio_rule){.ops = FAKEIO_READ,
						 .from = 3 * MIB,
						 .to = 4 * MIB,
						 .held = true});
	moving = true;
	EXPECT_EQ(moving_run(&m), RP_OK);
	EXPECT_TRUE(data_same(m.src[0], m.dst[0]));
	EXPECT_TRUE(moved_on);
	EXPECT_LT(waits, PATIENCE);
	/* What was noted is there, and true. */
	mark = journal_mark(&journal, 0);
	EXPECT_TRUE(mark && mark <= 3 * MIB, "%lu", mark);
	journal_close(&journal);
	ASSERT_OK(journal_open(&journal, dir));
	EXPECT_EQ(journal_mark(&journal, 0), mark);
	journal_close(&journal);
	close(dir);
	moving_close(&m);
}

TEST_MAIN
