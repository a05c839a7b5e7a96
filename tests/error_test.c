/* SPDX-License-Identifier: MIT */
/*
 * error_test.c - whatever is in a path or a name, the sentence of an error is one line of
 * UTF-8 that commands no terminal
 */
#include <stdio.h>
#include <string.h>

#include "engine/doc.h"
#include "engine/error.h"
#include "harness.h"

static void expect_line(const char *name, const char *want)
{
	struct rp_error err;

	EXPECT_EQ(rp_fail(&err, RP_FAILED, "open", "%s: not there", name), RP_FAILED);
	EXPECT_STREQ(err.message, want);
	EXPECT_EQ(err.offset, RP_NO_OFFSET);
}

TEST(is_one_line)
{
	expect_line("a", "a: not there");
	expect_line("a\nb\x1b[1m\x7f", "a?b?[1m?: not there");
	expect_line("\u00e4\u20ac\U0001f4be", "\u00e4\u20ac\U0001f4be: not there");
	expect_line("\u00a0", "\u00a0: not there");
	expect_line("\xc2\x9b"
		    "1m\xc2\x85",
		    "??1m??: not there");
	expect_line("\u00e4\xff", "???: not there");
}

/* Characters of three bytes each, behind @from of one. */
static void fill(char *path, size_t size, size_t from)
{
	memset(path, 'x', from);
	for (size_t i = from; i + 4 < size; i += 3)
		memcpy(path + i, "\u20ac", 4);
}

/* However long a path is, and where it is cut. */
TEST(is_text_where_it_was_cut)
{
	char path[2048];

	for (size_t from = 0; from < 4; from++) {
		struct rp_error err;

		fill(path, sizeof(path), from);
		rp_fail(&err, RP_FAILED, "open", "%s", path);
		EXPECT_TRUE(doc_is_text(err.message), "%s", err.message);
		rp_fail_os(&err, -ENOENT, "open", "%s", path);
		EXPECT_TRUE(doc_is_text(err.message), "%s", err.message);
		EXPECT_NE(strstr(err.message, "No such file"), NULL);
		rp_fail_of(&err, "web1", "vda");
		EXPECT_TRUE(doc_is_text(err.message), "%s", err.message);
	}
}

/* What is left of it ends as it did, with the reason. */
TEST(a_long_one_loses_its_middle)
{
	char path[4000];

	for (size_t from = 0; from < 3; from++) {
		struct rp_error err;

		fill(path, sizeof(path), from);
		rp_fail(&err, RP_FAILED, "open", "open %s: exists already", path);
		EXPECT_GT(strlen(err.message), sizeof(err.message) - 8);
		EXPECT_EQ(strchr(err.message, '?'), NULL, "%s", err.message);
		EXPECT_EQ(strncmp(err.message, "open ", 5), 0, "%s", err.message);
		EXPECT_NE(strstr(err.message, "\u20ac: exists already"), NULL, "%s",
			  err.message);
		rp_fail_of(&err, "web1", "vda");
		EXPECT_EQ(strncmp(err.message, "vda: open ", 10), 0, "%s", err.message);
		EXPECT_EQ(strchr(err.message, '?'), NULL, "%s", err.message);
		EXPECT_NE(strstr(err.message, "\u20ac: exists already"), NULL, "%s",
			  err.message);
	}
}

/* Whether there is somebody to tell it or not. */
TEST(of_a_disk_has_its_name_and_where)
{
	struct rp_error err;

	EXPECT_EQ(
		rp_fail_disk(&err, "vda", 4096, RP_IN_USE, "copy", "copy %s: busy", "a"),
		RP_IN_USE);
	EXPECT_STREQ(err.message, "vda: copy a: busy");
	EXPECT_STREQ(err.step, "copy");
	EXPECT_STREQ(err.disk, "vda");
	EXPECT_EQ(err.code, RP_IN_USE);
	EXPECT_EQ(err.offset, 4096);
	EXPECT_EQ(rp_fail_disk(NULL, "vda", 0, RP_IN_USE, "copy", "copy %s: busy", "a"),
		  RP_IN_USE);
}

/* Only our own limits do. */
TEST(a_device_that_gives_up_is_no_limit_that_passed)
{
	EXPECT_EQ(rp_return_of(-ETIME), RP_TIMEOUT);
	EXPECT_EQ(rp_return_of(-ETIMEDOUT), RP_FAILED);
}

TEST_MAIN
