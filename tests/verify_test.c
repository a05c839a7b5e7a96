/* SPDX-License-Identifier: MIT */
/*
 * verify_test.c - whatever happens to the files of an export, verify finds it and says
 * where, and restore does not bring it back
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "data.h"
#include "engine/digest.h"
#include "engine_fixture.h"
#include "harness.h"

/* What the exported disk is: data, a hole, data, with an odd end. */
#define HOLE (5 * MIB)
#define BACK (9 * MIB + 4096) /* where the second data begins */
#define SIZE (12 * MIB + 777)

FIXTURE(damage)
{
	struct stage stage;
	char point[POINT_SIZE];
	char path[PATH_MAX]; /* of the export */
};

static void export_with(struct damage_fixture *self, enum rp_digest digest)
{
	struct rp_export_options options = stage_copying(RP_IO_AUTO);
	struct rp_error err;

	options.digest = digest;
	ASSERT_EQ(rp_export(self->stage.store, self->point, self->stage.exports, &options,
			    NULL, &err),
		  RP_OK, "%s", err.message);
}

FIXTURE_SETUP(damage)
{
	int fd;

	stage_make(&self->stage, test_dir(), SIZE, 1);
	fd = open(self->stage.disk, O_RDWR | O_CLOEXEC);
	ASSERT_GE(fd, 0);
	ASSERT_OK(ftruncate(fd, 0));
	ASSERT_OK(ftruncate(fd, SIZE));
	data_write(fd, 9, 0, HOLE);
	data_write(fd, 9, BACK, SIZE - BACK);
	close(fd);
	stage_take(&self->stage, self->point);
	snprintf(self->path, sizeof(self->path), "%s",
		 stage_export_path(self->stage.exports, self->point));
	export_with(self, RP_DIGEST_AUTO);
}

FIXTURE_TEARDOWN(damage)
{
	stage_close(&self->stage);
}

static void again(struct damage_fixture *self)
{
	remove_tree(self->path);
	export_with(self, RP_DIGEST_AUTO);
}

/* Both verify and restore say so; and restore leaves nothing. */
static void expect_found(const struct damage_fixture *self, const char *what,
			 uint32_t code, uint64_t offset)
{
	const char *folder = fmt("%s/restored", test_dir());
	struct rp_error err;
	char *report = NULL;

	EXPECT_EQ(rp_verify(self->path, NULL, &report, &err), code, "%s: %s", what,
		  err.message);
	EXPECT_EQ(report, NULL, "%s", what);
	EXPECT_EQ(err.code, code, "%s", what);
	EXPECT_STREQ(err.system, "web1", "%s", what);
	EXPECT_STREQ(err.disk, "vda", "%s", what);
	EXPECT_EQ(err.offset, offset, "%s: %s", what, err.message);
	if (offset != RP_NO_OFFSET) {
		EXPECT_STREQ(err.step, "digest");
		EXPECT_NE(strstr(err.message,
				 fmt("chunk %llu ",
				     (unsigned long long)(offset / DIGEST_CHUNK))),
			  NULL, "%s", err.message);
	}
	ASSERT_OK(mkdir(folder, 0755));
	EXPECT_EQ(rp_restore(self->path, "vda", fmt("%s/vda", folder), NULL, NULL, &err),
		  code, "%s: %s", what, err.message);
	EXPECT_EQ(err.offset, offset, "%s: %s", what, err.message);
	EXPECT_STREQ(err.disk, "vda");
	EXPECT_STREQ(listing(folder), "", "%s", what);
	ASSERT_OK(rmdir(folder));
}

static int open_part(const struct damage_fixture *self, const char *name)
{
	int fd = open(fmt("%s/%s", self->path, name), O_RDWR | O_CLOEXEC);

	ASSERT_GE(fd, 0, "%s: %s", name, strerror(errno));
	return fd;
}

static void flip(const struct damage_fixture *self, const char *name, uint64_t at)
{
	data_flip(fmt("%s/%s", self->path, name), at);
}

static void punch(const struct damage_fixture *self, uint64_t start, uint64_t len)
{
	int fd = open_part(self, "vda.raw");

	ASSERT_OK(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)start,
			    (off_t)len));
	close(fd);
}

static void cut(const struct damage_fixture *self, const char *name, uint64_t size)
{
	int fd = open_part(self, name);

	ASSERT_OK(ftruncate(fd, (off_t)size));
	close(fd);
}

/* Part @name is elsewhere, and a link in its place. */
static void make_link(const struct damage_fixture *self, const char *name)
{
	const char *part = fmt("%s/%s", self->path, name);
	const char *aside = fmt("%s/aside", test_dir());

	ASSERT_OK(rename(part, aside));
	ASSERT_OK(symlink(aside, part));
}

TEST_F(damage, none)
{
	struct rp_read_options options = {.size = sizeof(options)};
	struct rp_error err;
	json_t *report, *disk;
	char *text;

	for (enum rp_io io = RP_IO_AUTO; io <= RP_IO_SYNC; io++) {
		if (!backend_works(io))
			continue;
		options.io = io;
		ASSERT_EQ(rp_verify(self->path, &options, &text, &err), RP_OK, "%s",
			  err.message);
		report = take_json(text);
		disk = disk_of(report, "vda");
		EXPECT_STREQ(json_text(report, "ExportPath"), self->path);
		EXPECT_STREQ(json_text(report, "VirtualSystemIdentifier"), "web1");
		EXPECT_STREQ(json_text(report, "ReferencePointId"),
			     strchr(self->point, '@') + 1);
		EXPECT_STREQ(json_text(disk, "Compared"), "digest");
		EXPECT_EQ(json_number(disk, "Chunks"), SIZE / DIGEST_CHUNK + 1);
		EXPECT_EQ(json_number(disk, "VirtualSize"), SIZE);
		json_decref(report);
	}
}

TEST_F(damage, flipped_bits)
{
	static const uint64_t places[] = {
		0,	  4095, MIB - 1,  MIB,	    3 * MIB + 99,
		HOLE - 1, BACK, 10 * MIB, 12 * MIB, SIZE - 1};
	struct rp_read_options options = {.size = sizeof(options)};
	struct rp_error err;

	for (size_t i = 0; i < ARRAY_SIZE(places); i++) {
		flip(self, "vda.raw", places[i]);
		expect_found(self, fmt("at %llu", (unsigned long long)places[i]),
			     RP_FAILED, round_down(places[i], DIGEST_CHUNK));
		flip(self, "vda.raw", places[i]);
	}
	flip(self, "vda.raw", 3 * MIB);
	for (enum rp_io io = RP_IO_URING; io <= RP_IO_SYNC; io++) {
		if (!backend_works(io))
			continue;
		options.io = io;
		EXPECT_EQ(rp_verify(self->path, &options, NULL, &err), RP_FAILED);
		EXPECT_EQ(err.offset, 3 * MIB);
	}
	flip(self, "vda.raw", 3 * MIB);
	EXPECT_EQ(rp_verify(self->path, NULL, NULL, &err), RP_OK, "%s", err.message);
}

TEST_F(damage, data_where_a_hole_was)
{
	struct rp_error err;
	int fd;

	flip(self, "vda.raw", HOLE);
	expect_found(self, "at its begin", RP_FAILED, HOLE);
	again(self);
	flip(self, "vda.raw", BACK - 1);
	expect_found(self, "at its end", RP_FAILED, round_down(BACK, DIGEST_CHUNK));
	again(self);
	flip(self, "vda.raw", 7 * MIB + 12345);
	expect_found(self, "in the middle", RP_FAILED,
		     round_down(7 * MIB + 12345, DIGEST_CHUNK));
	again(self);
	/* Zeros are what a hole reads as: nothing is lost. */
	fd = open_part(self, "vda.raw");
	ASSERT_EQ(pwrite(fd, "", 1, 6 * MIB), 1);
	close(fd);
	EXPECT_EQ(rp_verify(self->path, NULL, NULL, &err), RP_OK, "%s", err.message);
}

TEST_F(damage, a_hole_where_data_was)
{
	punch(self, MIB, MIB);
	expect_found(self, "a chunk", RP_FAILED, MIB);
	again(self);
	punch(self, 2 * MIB + 8192, 4096);
	expect_found(self, "a block", RP_FAILED, 2 * MIB);
	again(self);
	punch(self, 2 * MIB + 8192, 2 * MIB);
	expect_found(self, "chunks and parts of two", RP_FAILED, 2 * MIB + DIGEST_CHUNK);
	again(self);
	punch(self, BACK, SIZE - BACK);
	expect_found(self, "all to the end", RP_FAILED, round_down(BACK, DIGEST_CHUNK));
	again(self);
	punch(self, SIZE - 777, 777);
	expect_found(self, "the end", RP_FAILED, 12 * MIB);
	again(self);
	punch(self, 0, SIZE);
	expect_found(self, "everything", RP_FAILED, 0);
}

TEST_F(damage, another_size)
{
	static const uint64_t sizes[] = {0,	   SIZE - 1, SIZE + 1,
					 12 * MIB, 13 * MIB, 1024 * GIB};

	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		cut(self, "vda.raw", sizes[i]);
		expect_found(self, fmt("%llu", (unsigned long long)sizes[i]), RP_FAILED,
			     RP_NO_OFFSET);
		again(self);
	}
}

/* A file that is not there, and others that are not it. */
TEST_F(damage, another_file)
{
	char raw[PATH_MAX + 16];

	snprintf(raw, sizeof(raw), "%s/vda.raw", self->path);
	ASSERT_OK(unlink(raw));
	expect_found(self, "missing", RP_NOT_AVAILABLE, RP_NO_OFFSET);
	ASSERT_OK(mkdir(raw, 0755));
	expect_found(self, "a folder", RP_NOT_AVAILABLE, RP_NO_OFFSET);
	ASSERT_OK(rmdir(raw));
	ASSERT_OK(mkfifo(raw, 0600));
	expect_found(self, "a pipe", RP_NOT_AVAILABLE, RP_NO_OFFSET);
	again(self);
	/* Even to the right bytes: it could as well lead to what is not to be told. */
	make_link(self, "vda.raw");
	expect_found(self, "a link", RP_FAILED, RP_NO_OFFSET);
}

TEST_F(damage, of_the_digests)
{
	char leaves[PATH_MAX + 16];

	snprintf(leaves, sizeof(leaves), "%s/vda.digest", self->path);
	for (uint64_t at = 0; at < 13 * 16; at += 15) {
		flip(self, "vda.digest", at);
		expect_found(self, "a bit", RP_UNKNOWN_STATUS, RP_NO_OFFSET);
		flip(self, "vda.digest", at);
	}
	cut(self, "vda.digest", 13 * 16 - 1);
	expect_found(self, "short", RP_UNKNOWN_STATUS, RP_NO_OFFSET);
	cut(self, "vda.digest", 14 * 16);
	expect_found(self, "long", RP_UNKNOWN_STATUS, RP_NO_OFFSET);
	cut(self, "vda.digest", 0);
	expect_found(self, "empty", RP_UNKNOWN_STATUS, RP_NO_OFFSET);
	ASSERT_OK(unlink(leaves));
	expect_found(self, "missing", RP_NOT_AVAILABLE, RP_NO_OFFSET);
	ASSERT_OK(mkfifo(leaves, 0600));
	expect_found(self, "a pipe", RP_UNKNOWN_STATUS, RP_NO_OFFSET);
	again(self);
	make_link(self, "vda.digest");
	expect_found(self, "a link", RP_FAILED, RP_NO_OFFSET);
}

/* What was not digested cannot be compared, and the report says so. */
TEST_F(damage, without_digests)
{
	struct rp_error err;
	json_t *report;
	char *text;

	remove_tree(self->path);
	export_with(self, RP_DIGEST_NEVER);
	flip(self, "vda.raw", 0);
	ASSERT_EQ(rp_verify(self->path, NULL, &text, &err), RP_OK, "%s", err.message);
	report = take_json(text);
	EXPECT_STREQ(json_text(disk_of(report, "vda"), "Compared"), "size");
	EXPECT_EQ(json_number(disk_of(report, "vda"), "Chunks"), 0);
	json_decref(report);
	cut(self, "vda.raw", SIZE - 1);
	expect_found(self, "short", RP_FAILED, RP_NO_OFFSET);
}

/* ------------------------------------------------------------------ config files */

TEST_F(damage, of_a_config_file)
{
	const char *config = fmt("%s/config/web1.xml", self->path);
	struct rp_error err;

	flip(self, "config/web1.xml", 3);
	EXPECT_EQ(rp_verify(self->path, NULL, NULL, &err), RP_FAILED, "%s", err.message);
	EXPECT_STREQ(err.step, "digest");
	EXPECT_NE(strstr(err.message, config), NULL, "%s", err.message);
	flip(self, "config/web1.xml", 3);
	EXPECT_EQ(rp_verify(self->path, NULL, NULL, &err), RP_OK, "%s", err.message);
	cut(self, "config/web1.xml", 0);
	EXPECT_EQ(rp_verify(self->path, NULL, NULL, &err), RP_FAILED, "%s", err.message);
	ASSERT_OK(unlink(config));
	EXPECT_EQ(rp_verify(self->path, NULL, NULL, &err), RP_NOT_AVAILABLE, "%s",
		  err.message);
	EXPECT_NE(strstr(err.message, config), NULL, "%s", err.message);
	/* The disk is not harmed. */
	EXPECT_EQ(rp_restore(self->path, "vda", fmt("%s/restored", test_dir()), NULL,
			     NULL, &err),
		  RP_OK, "%s", err.message);
}

TEST_MAIN
