/* SPDX-License-Identifier: MIT */
/*
 * set_room_test.c - many points exported at once to where there is no room for all: as
 * many arrive as would one after another, and each is told
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "data.h"
#include "engine/exporting.h"
#include "harness.h"
#include "members.h"

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

/* Who failed for want of room has none even now that nobody else is at work. */
static void expect_no_room(struct set_fixture *self, unsigned i, const char *directory)
{
	const struct rp_export_options o = stage_copying(RP_IO_AUTO);
	struct rp_error err;

	EXPECT_EQ(
		rp_export(self->m.e.store, self->m.points[i], directory, &o, NULL, &err),
		RP_FAILED, "%u had: %s", i, self->m.messages[i]);
	EXPECT_EQ(err.os_error, ENOSPC, "%s", err.message);
}

/* Where there is room for most of them, most of them arrive, whoever was at work first.
 */
TEST_F(set, little_room)
{
	const struct rp_export_options o = stage_copying(RP_IO_AUTO);
	struct loopfs small;
	struct rp_error err;

	loopfs_mount(&small, "ext4", 12 * MIB, "-b 4096 -m 0", NULL);
	for (unsigned round = 0; round < 8; round++) {
		memset(self->m.told, 0, sizeof(self->m.told));
		EXPECT_EQ(rp_export_set(self->m.e.store, self->m.points, MEMBERS,
					small.mnt, &o, members_told, &self->m, &err),
			  RP_FAILED);
		EXPECT_EQ(err.os_error, ENOSPC, "%s", err.message);
		for (unsigned i = 0; i < MEMBERS; i++) {
			EXPECT_EQ(self->m.told[i], 1, "%u", i);
			if (self->m.values[i])
				expect_no_room(self, i, small.mnt);
		}
		for (unsigned i = 0; i < MEMBERS; i++)
			if (exists(fmt("%s/vm%02u", small.mnt, i)))
				remove_tree(fmt("%s/vm%02u", small.mnt, i));
	}
	loopfs_umount(&small);
}

/* Some have found no room, others were not begun when the time is over: each is told. */
TEST_F(set, little_room_and_time)
{
	struct rp_export_options o = stage_copying(RP_IO_AUTO);
	unsigned full = 0, late = 0;
	struct loopfs small;
	struct rp_error err;

	loopfs_mount(&small, "ext4", 12 * MIB, "-b 4096 -m 0", NULL);
	EXPECT_NE(system(fmt("cat /dev/zero >%s/all 2>/dev/null", small.mnt)), 0);
	limit_files(getpid(), 128); /* two at once */
	/* How long it takes to find that there is no room, who knows? */
	for (o.timeout_ms = 2; o.timeout_ms < 60 || (!full && o.timeout_ms < 60000);
	     o.timeout_ms += 2 + o.timeout_ms / 8) {
		memset(self->m.told, 0, sizeof(self->m.told));
		EXPECT_NE(rp_export_set(self->m.e.store, self->m.points, MEMBERS,
					small.mnt, &o, members_told, &self->m, &err),
			  RP_OK);
		for (unsigned i = 0; i < MEMBERS; i++) {
			const char *path = fmt("%s/vm%02u", small.mnt, i);

			EXPECT_EQ(self->m.told[i], 1, "%u of %lu ms", i, o.timeout_ms);
			full += self->m.values[i] == RP_FAILED;
			late += self->m.values[i] == RP_TIMEOUT;
			/* A little room was left; and who ran out of time may go on. */
			EXPECT_TRUE(self->m.values[i] || exists(path));
			if (exists(path))
				remove_tree(path);
		}
	}
	EXPECT_TRUE(full && late, "%u and %u", full, late);
	loopfs_umount(&small);
}

/* When it has something to keep, others take the room. */
static int take_the_room(void *directory, const struct rp_progress *p)
{
	const char *journal = fmt("%s/vm%02u/.*.partial/.journal", (char *)directory,
				  MEMBERS);

	(void)p;
	if (!exists(fmt("%s/all", (char *)directory)) &&
	    system(fmt("test -s %s", journal)) == 0)
		EXPECT_NE(system(fmt("cat /dev/zero >%s/all 2>/dev/null",
				     (char *)directory)),
			  0);
	return 0;
}

/* One that is tried again when it is alone leaves the room it has taken to the others. */
TEST_F(set, what_is_tried_again_takes_no_room)
{
	struct rp_export_options o = stage_copying(RP_IO_AUTO);
	struct loopfs small;
	struct rp_watch watch = {
		.size = sizeof(watch), .context = small.mnt, .progress = take_the_room};

	members_add_scattered(&self->m);
	o.watch = &watch;
	o.bandwidth = 2 * MIB;
	for (unsigned again = 0; again < 2; again++) {
		const struct exporting_tools tools = {.yields = again};
		struct exporting *x = NULL;
		struct rp_error err = {0};

		loopfs_mount(&small, "ext4", 24 * MIB, "-b 4096 -m 0", NULL);
		GIVES(OK, exporting_new(self->m.e.store, self->m.points[MEMBERS],
					small.mnt, &o, false, &x, &err));
		exporting_use(x, &tools);
		GIVES(FAILED, exporting_run(x, NULL, &err));
		exporting_free(x);
		EXPECT_EQ(err.os_error, ENOSPC, "%s", err.message);
		EXPECT_EQ(exists(fmt("%s/vm%02u", small.mnt, MEMBERS)), !again, "%s",
			  err.message);
		loopfs_umount(&small);
	}
}

TEST_MAIN
