/* SPDX-License-Identifier: MIT */
/*
 * exchange_test.c - where two folders cannot change places, what needs that says so at
 * once: nothing was read, and nothing has changed
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "harness.h"
#include "stage.h"

static bool exchanges;	  /* else as NFS has it */
static const char *stays; /* what has this name cannot be removed, once */

/* The library's calls come by here. */
int renameat2(int from_dirfd, const char *from, int to_dirfd, const char *to,
	      unsigned flags)
{
	if (exchanges || !(flags & RENAME_EXCHANGE))
		return (int)syscall(SYS_renameat2, from_dirfd, from, to_dirfd, to, flags);
	errno = EINVAL;
	return -1;
}

int unlinkat(int dirfd, const char *name, int flags)
{
	if (!stays || strcmp(name, stays))
		return (int)syscall(SYS_unlinkat, dirfd, name, flags);
	stays = NULL;
	errno = EIO;
	return -1;
}

static int note(void *context, const struct rp_progress *progress)
{
	*(uint64_t *)context = max_u64(*(uint64_t *)context, progress->bytes_done);
	return 0;
}

TEST(none)
{
	struct rp_export_options exporting = stage_copying(RP_IO_AUTO);
	uint64_t done = 0;
	const struct rp_watch watch = {
		.size = sizeof(watch), .context = &done, .progress = note};
	const struct rp_read_options options = {.size = sizeof(options), .watch = &watch};
	char base[POINT_SIZE];
	struct rp_error err;
	const char *path;
	struct stage s;

	stage_make(&s, test_dir(), 4 * MIB, test_seed());
	GIVES(OK, stage_export(&s, &exporting, &err));
	memcpy(base, s.point, sizeof(base));
	stage_take(&s, s.point);
	exporting.base = base;
	GIVES(OK, stage_export(&s, &exporting, &err));
	path = stage_export_path(s.exports, s.point);

	GIVES(NOT_SUPPORTED, rp_merge(path, &options, NULL, &err));
	EXPECT_NE(strstr(err.message, "exchange of folders"), NULL, "%s", err.message);
	EXPECT_EQ(done, 0);
	EXPECT_EQ(strstr(listing(fmt("%s/web1", s.exports)), "."), NULL);
	GIVES(OK, rp_verify(path, NULL, NULL, &err));

	/* Nothing of the trial may be published. */
	exchanges = true;
	stays = ".this";
	GIVES(FAILED, rp_merge(path, &options, NULL, &err));
	EXPECT_EQ(err.os_error, EIO);
	EXPECT_EQ(stays, NULL);
	EXPECT_EQ(done, 0);
	EXPECT_EQ(strstr(listing(fmt("%s/web1", s.exports)), "."), NULL);
	exchanges = false;

	GIVES(NOT_SUPPORTED, rp_release(s.store, s.point, &options, &err));
	EXPECT_NE(strstr(err.message, "exchange of folders"), NULL, "%s", err.message);
	EXPECT_EQ(done, 0);
	stage_expect_idle(&s);
	GIVES(OK, rp_destroy_reference_point(s.store, s.point, &err));
	stage_close(&s);
}

/* A point that has been released, but for what could not be removed. */
TEST(but_what_was_exchanged_stays)
{
	const char *pending;
	struct rp_error err;
	struct stage s;

	stage_make(&s, test_dir(), 4 * MIB, test_seed());
	pending = fmt("%s/pending", s.path);
	exchanges = true;
	stays = "vda.raw";
	GIVES(FAILED, rp_release(s.store, s.point, NULL, &err));
	EXPECT_EQ(err.os_error, EIO, "%s", err.message);
	EXPECT_NE(listing(pending)[0], '\0');
	EXPECT_NE(strstr(err.message, fmt("pending/%s ", listing(pending))), NULL, "%s",
		  err.message);
	EXPECT_TRUE(exists(fmt("%s/vda.digest", stage_point_path(&s, s.point))));
	rp_store_close(s.store);
	s.store = stage_open(&s, 0);
	stage_expect_idle(&s);
	stage_close(&s);
}

TEST_MAIN
