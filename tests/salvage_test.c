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
#include "engine/change_list.h"
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

/* ---------------------------------------------------------- parts that cut each other */

#define PARTS  4
#define BLOCK  CHANGE_LIST_GRAIN
#define BLOCKS 2048 /* of the disk */
#define ZEROS  PARTS

struct cut {
	struct stage s;
	char paths[PARTS][PATH_MAX];
	bool has[PARTS][BLOCKS]; /* data, as its list says; the first has all */
	unsigned owner[BLOCKS];	 /* the part whose data is seen, or ZEROS */
	bool bad[PARTS][BLOCKS]; /* in a chunk that was damaged */
	uint64_t state;
};

/* What a part has, and takes from those below. */
static void read_list(struct cut *c, unsigned part)
{
	int dir = open(c->paths[part], O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	char digest[DIGEST_TEXT_SIZE];
	struct layer_range range;
	struct change_list *list;
	uint64_t pos = 0;

	ASSERT_GE(dir, 0);
	ASSERT_OK(change_list_open(dir, "vda.changes", NULL, &list, digest));
	for (; change_list_next(list, pos, &range) == 0; pos = range.end) {
		for (uint64_t i = range.start / BLOCK; i < range.end / BLOCK; i++) {
			c->has[part][i] = range.state == LAYER_DATA;
			c->owner[i] = c->has[part][i] ? part : ZEROS;
		}
	}
	change_list_close(list);
	close(dir);
}

/* Blocks here and there, some of which become holes. */
static void change_blocks(struct cut *c, unsigned part)
{
	int fd = open(c->s.disk, O_RDWR | O_CLOEXEC);

	ASSERT_GE(fd, 0);
	for (unsigned i = 0; i < BLOCKS / 16; i++) {
		uint64_t at = data_random(&c->state) % BLOCKS * BLOCK;

		if (i % 8)
			data_write(fd, 100 + part, at, BLOCK);
		else
			ASSERT_OK(fallocate(fd,
					    FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
					    (off_t)at, BLOCK));
	}
	close(fd);
}

static void make_cut(struct cut *c)
{
	struct rp_export_options options = stage_copying(RP_IO_AUTO);
	char points[PARTS][POINT_SIZE];
	struct rp_error err;

	c->state = test_seed();
	stage_make(&c->s, test_dir(), BLOCKS * BLOCK, c->state);
	memset(c->has[0], true, sizeof(c->has[0]));
	for (unsigned i = 0; i < PARTS; i++) {
		if (i)
			change_blocks(c, i);
		stage_take(&c->s, points[i]);
		options.base = i ? points[i - 1] : NULL;
		GIVES(OK, rp_export(c->s.store, points[i], c->s.exports, &options, NULL,
				    &err));
		snprintf(c->paths[i], PATH_MAX, "%s",
			 stage_export_path(c->s.exports, points[i]));
		if (i)
			read_list(c, i);
	}
}

/* Some block of a part that it has, and so the chunk. */
static void damage_part(struct cut *c, unsigned part)
{
	uint64_t block = data_random(&c->state) % BLOCKS;
	uint64_t chunk = round_down(block, DIGEST_CHUNK / BLOCK);

	if (!c->has[part][block] || c->bad[part][block])
		return;
	data_flip(fmt("%s/vda.raw", c->paths[part]), block * BLOCK + 7);
	memset(c->bad[part] + chunk, true, DIGEST_CHUNK / BLOCK);
}

static bool is_lost(const struct cut *c, uint64_t block)
{
	return block < BLOCKS && c->owner[block] != ZEROS &&
	       c->bad[c->owner[block]][block];
}

/* As it is told: {Offset, Length} of each run of lost blocks. */
static json_t *lost_of(const struct cut *c)
{
	json_t *lost = json_array();
	uint64_t start = 0;

	for (uint64_t i = 0; i <= BLOCKS; i++) {
		if (is_lost(c, i) && (i == 0 || !is_lost(c, i - 1)))
			start = i;
		if (!is_lost(c, i) && i && is_lost(c, i - 1))
			json_array_append_new(
				lost, json_pack("{s:I, s:I}", "Offset",
						(json_int_t)(start * BLOCK), "Length",
						(json_int_t)((i - start) * BLOCK)));
	}
	return lost;
}

static void expect_lost(const struct cut *c)
{
	const struct rp_read_options options = {.size = sizeof(options), .salvage = true};
	const char *tip = c->paths[PARTS - 1];
	const char *output = fmt("%s/restored", test_dir());
	json_t *report = stage_restore(tip, "vda", output, &options);
	json_t *lost = lost_of(c);
	char *have = json_dumps(json_object_get(report, "Lost"), JSON_SORT_KEYS);
	char *want = json_dumps(lost, JSON_SORT_KEYS);

	EXPECT_STREQ(have, want);
	ASSERT_OK(unlink(output));
	free(have);
	free(want);
	json_decref(report);
	json_decref(lost);
	stage_salvage(tip, c->s.disk);
}

/* To the block, whatever is good or bad in one part and cut into pieces by the others. */
TEST(salvage_of_parts_that_cut_each_other)
{
	static struct cut c;
	int fd;

	make_cut(&c);
	expect_lost(&c);
	for (unsigned turn = 0; turn < 6; turn++) {
		for (unsigned i = 0; i < PARTS; i++)
			for (unsigned k = 0; k < 12; k++)
				damage_part(&c, i);
		expect_lost(&c);
	}
	/* Data that has become a hole in the full image. */
	fd = open(fmt("%s/vda.raw", c.paths[0]), O_RDWR | O_CLOEXEC);
	ASSERT_GE(fd, 0);
	ASSERT_OK(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
			    BLOCKS / 2 * BLOCK, 3 * DIGEST_CHUNK));
	close(fd);
	memset(c.bad[0] + BLOCKS / 2, true, 3 * DIGEST_CHUNK / BLOCK);
	expect_lost(&c);
	stage_close(&c.s);
}

TEST_MAIN
