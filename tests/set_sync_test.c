/* SPDX-License-Identifier: MIT */
/*
 * set_sync_test.c - the syncs of many points exported at once: few for all of them, and
 * nothing is published that was not told to be on stable storage
 */
#include <errno.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "data.h"
#include "harness.h"
#include "io/dirty.h"
#include "members.h"

/* The library's syncs come by here: of a whole file system, and of files. */
static atomic_uint whole_syncs, file_syncs, list_syncs;
static atomic_int whole_error; /* of the next one */
static const char *broken;     /* files whose path has this in it fail */

static int sync_file(int fd, long call)
{
	atomic_fetch_add(&file_syncs, 1);
	atomic_fetch_add(&list_syncs, fd_path_has(fd, ".changes"));
	if (!broken || !fd_path_has(fd, broken))
		return (int)syscall(call, fd);
	errno = EIO;
	return -1;
}

int fsync(int fd)
{
	return sync_file(fd, SYS_fsync);
}

int fdatasync(int fd)
{
	return sync_file(fd, SYS_fdatasync);
}

int syncfs(int fd)
{
	int error = atomic_exchange(&whole_error, 0);

	atomic_fetch_add(&whole_syncs, 1);
	if (!error)
		return (int)syscall(SYS_syncfs, fd);
	errno = error;
	return -1;
}

/* What others on the machine write is none of these tests' business. */
uint64_t io_dirty_bytes(void)
{
	return 0;
}

FIXTURE(set)
{
	struct members m;
};

FIXTURE_SETUP(set)
{
	members_open(&self->m);
}

FIXTURE_TEARDOWN(set)
{
	members_close(&self->m);
}

TEST_F(set, syncs_serve_many)
{
	unsigned alone, together;
	struct rp_error err;

	whole_syncs = file_syncs = 0; /* but for those that made the points */
	for (unsigned i = 0; i < 2; i++) {
		EXPECT_EQ(rp_export(self->m.e.store, self->m.points[i], self->m.e.out,
				    NULL, NULL, &err),
			  RP_OK, "%s", err.message);
		remove_tree(fmt("%s/vm%02u", self->m.e.out, i));
	}
	EXPECT_EQ(whole_syncs, 0, "what one export has is not worth one");
	alone = file_syncs / 2;
	EXPECT_LE(alone, 14);
	file_syncs = 0;
	EXPECT_EQ(members_export(&self->m, NULL, &err), RP_OK, "%s", err.message);
	members_expect_all(&self->m);
	together = whole_syncs + file_syncs;
	test_log("%u syncs for one, %u for %u", alone, together, MEMBERS);
	EXPECT_LE(together, 2 * MEMBERS);
}

/* A list of changes is one file more of each. */
TEST_F(set, syncs_serve_many_that_are_differential)
{
	const struct rp_export_options o = {.size = sizeof(o), .base = "@latest~1"};
	struct rp_error err;

	GIVES(OK, members_export(&self->m, NULL, &err));
	members_go_on(&self->m, 0);
	list_syncs = 0;
	GIVES(OK, rp_export(self->m.e.store, self->m.points[0], self->m.e.out, &o, NULL,
			    &err));
	EXPECT_EQ(list_syncs, 1, "alone");
	remove_tree(fmt("%s/vm00/%s", self->m.e.out, strchr(self->m.points[0], '@') + 1));
	list_syncs = 0;
	GIVES(OK, members_export(&self->m, &o, &err));
	EXPECT_EQ(list_syncs, 0);
	EXPECT_TRUE(members_arrived_as_change(&self->m, 5));
}

/* The kernel tells of it to whoever asks first; it is asked for each file then. */
TEST_F(set, a_failed_sync_is_told_of_whose_it_was)
{
	struct rp_error err;

	whole_error = EIO;
	broken = "/out/vm05/";
	EXPECT_EQ(members_export(&self->m, NULL, &err), RP_FAILED);
	broken = NULL;
	EXPECT_EQ(err.os_error, EIO);
	EXPECT_STREQ(err.system, "vm05");
	for (unsigned i = 0; i < MEMBERS; i++) {
		EXPECT_EQ(self->m.values[i], i == 5 ? RP_FAILED : RP_OK, "%u", i);
		EXPECT_EQ(members_arrived(&self->m, i), i != 5, "%u: %s", i,
			  self->m.messages[i]);
	}
	engine_expect_idle(&self->m.e);
	EXPECT_EQ(rp_export(self->m.e.store, self->m.points[5], self->m.e.out, NULL, NULL,
			    &err),
		  RP_OK, "%s", err.message);
	EXPECT_TRUE(members_arrived(&self->m, 5));
}

TEST_F(set, nothing_is_published_that_cannot_be_synced)
{
	struct rp_export_options o = stage_copying(RP_IO_AUTO);
	struct rp_error err;

	whole_error = EIO;
	broken = "/out/";
	EXPECT_EQ(members_export(&self->m, &o, &err), RP_FAILED);
	broken = NULL;
	for (unsigned i = 0; i < MEMBERS; i++) {
		EXPECT_EQ(self->m.values[i], RP_FAILED, "%u", i);
		EXPECT_FALSE(members_arrived(&self->m, i), "%u", i);
	}
	EXPECT_EQ(members_export(&self->m, &o, &err), RP_OK, "%s", err.message);
}

TEST_MAIN
