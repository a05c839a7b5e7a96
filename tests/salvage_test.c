/* SPDX-License-Identifier: MIT */
/*
 * salvage_test.c - of a broken chain all is had that can be had, and what is lost is
 * said: neither more nor less
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "data.h"
#include "engine/chain_disk.h"
#include "engine_fixture.h"
#include "harness.h"
#include "links.h"

FIXTURE(salvage)
{
	struct links l;
};

FIXTURE_SETUP(salvage)
{
	links_make(&self->l);
}

FIXTURE_TEARDOWN(salvage)
{
	links_close(&self->l);
}

static uint64_t salvage(const struct salvage_fixture *self)
{
	return stage_salvage(self->l.paths[2], self->l.stage.disk);
}

TEST_F(salvage, of_what_is_damaged)
{
	char *aside = strdup(fmt("%s/aside", test_dir()));
	int fd;

	EXPECT_EQ(salvage(self), 0);
	/* A chunk of the full export, and one of each differential. */
	data_flip(fmt("%s/vda.raw", self->l.paths[0]), 3 * MIB);
	EXPECT_EQ(salvage(self), 64 * KIB);
	data_flip(fmt("%s/vda.raw", self->l.paths[1]), MIB + 70000);
	EXPECT_LE(salvage(self), 2 * 64 * KIB);
	EXPECT_GT(salvage(self), 64 * KIB);
	data_flip(fmt("%s/vda.raw", self->l.paths[2]), 2 * MIB + 70000);
	EXPECT_LE(salvage(self), 3 * 64 * KIB);
	/* Data that has become a hole. */
	fd = open(fmt("%s/vda.raw", self->l.paths[0]), O_RDWR | O_CLOEXEC);
	ASSERT_OK(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 4 * MIB,
			    64 * KIB));
	close(fd);
	EXPECT_GT(salvage(self), 2 * 64 * KIB);
	EXPECT_LE(salvage(self), 4 * 64 * KIB);
	/* Without the one in the middle nothing below it counts: it would be too old. */
	ASSERT_OK(rename(self->l.paths[1], aside));
	EXPECT_GT(salvage(self), LINKS_SIZE - 3 * 64 * KIB);
	ASSERT_OK(rename(aside, self->l.paths[1]));
	ASSERT_OK(unlink(fmt("%s/vda.changes", self->l.paths[1])));
	EXPECT_GT(salvage(self), LINKS_SIZE - 3 * 64 * KIB);
	free(aside);
}

/* The part that is missing never had more of the disk than there was of it. */
TEST(salvage_of_a_disk_that_grew)
{
	struct rp_export_options options = stage_copying(RP_IO_AUTO);
	char base[POINT_SIZE];
	struct rp_error err;
	struct stage s;

	stage_make(&s, test_dir(), MIB, test_seed());
	GIVES(OK, stage_export(&s, &options, &err));
	memcpy(base, s.point, sizeof(base));
	ASSERT_OK(truncate(s.disk, 64 * MIB));
	stage_take(&s, s.point);
	options.base = base;
	GIVES(OK, stage_export(&s, &options, &err));
	remove_tree(stage_export_path(s.exports, base));
	EXPECT_EQ(stage_salvage(stage_export_path(s.exports, s.point), s.disk), MIB);
	stage_close(&s);
}

/* What is there is not taken for lost because there is no descriptor to look at it. */
TEST_F(salvage, is_not_for_want_of_descriptors)
{
	int free = fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 0);
	uint32_t rc = RP_FAILED;

	close(free);
	for (int more = 0; rc && more < 100; more++) {
		rlim_t limit = limit_files(getpid(), (rlim_t)(free + more));
		struct chain_disk disk = {0};
		struct chain chain = {0};
		struct rp_error cut, err;

		rp_error_clear(&cut);
		rc = chain_open_some(self->l.paths[2], "vda", NULL, 0, &chain, &cut,
				     &err);
		if (rc == RP_OK)
			rc = chain_disk_open_some(&chain, "vda", NULL, &disk, &cut, &err);
		limit_files(getpid(), limit);
		EXPECT_EQ(cut.code, RP_OK, "%d: %s", more, cut.message);
		if (rc)
			EXPECT_EQ(err.os_error, EMFILE, "%d: %s", more, err.message);
		else
			EXPECT_EQ(disk.count, LINKS);
		for (size_t i = 0; rc == RP_OK && i < disk.count; i++)
			EXPECT_GE(disk.layer[i]->file.fd, 0, "%d", more);
		chain_disk_close(&disk);
		chain_close(&chain);
	}
	EXPECT_EQ(rc, RP_OK);
}

/* By a byte, as a file system's repair does it: the rest of it counts. */
TEST_F(salvage, of_what_was_cut)
{
	const char *full = fmt("%s/vda.raw", self->l.paths[0]);
	const char *tip = fmt("%s/vda.raw", self->l.paths[2]);

	ASSERT_OK(truncate(full, LINKS_SIZE + 1));
	EXPECT_EQ(salvage(self), 0);
	ASSERT_OK(truncate(full, LINKS_SIZE - 1));
	EXPECT_LE(salvage(self), LINKS_SIZE / 4); /* behind the last data of it */
	ASSERT_OK(truncate(tip, LINKS_SIZE - 1));
	EXPECT_LE(salvage(self), LINKS_SIZE / 4);
	ASSERT_OK(truncate(tip, 2 * MIB));
	EXPECT_GT(salvage(self), 64 * KIB);
	EXPECT_LE(salvage(self), LINKS_SIZE / 4 + 2 * 64 * KIB);
}

/* Its list tells what it had: no more is lost, and what is below counts. */
TEST_F(salvage, without_a_file)
{
	ASSERT_OK(unlink(fmt("%s/vda.raw", self->l.paths[1])));
	EXPECT_GT(salvage(self), 64 * KIB);
	EXPECT_LE(salvage(self), 2 * 64 * KIB);
	ASSERT_OK(unlink(fmt("%s/vda.raw", self->l.paths[2])));
	EXPECT_GT(salvage(self), 2 * 64 * KIB);
	EXPECT_LE(salvage(self), 4 * 64 * KIB);
	ASSERT_OK(unlink(fmt("%s/vda.raw", self->l.paths[0])));
	EXPECT_EQ(salvage(self), LINKS_SIZE);
}

TEST_MAIN
