/* SPDX-License-Identifier: MIT */
/*
 * name_test.c - what may be a name, an ID, and SYSTEM@POINT
 */
#include "engine/name.h"

#include <stdio.h>

#include "harness.h"
#include "io/base.h"

#define UUID "0123abcd-4567-89ef-0123-456789abcdef"

/* @len times @c; good until the next call. */
static const char *repeat(char c, size_t len)
{
	static char text[4096];

	ASSERT_LT(len, sizeof(text));
	memset(text, c, len);
	text[len] = '\0';
	return text;
}

static bool may_be_in_a_name(int c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
	       (c >= '0' && c <= '9') || c == '.' || c == '_' || c == '+' || c == '-';
}

/* ------------------------------------------------------------------------- names */

TEST(names_that_are_fine)
{
	static const char *const fine[] = {"a",	      "0",	"_",	       "+",
					   "vda",     "web1",	"Web-1.2_3+4", "a.raw",
					   "a..b",    "latest", "a-",	       "a.",
					   "CON",     "json",	"store",       "points",
					   "config+", "_._-_",	"export.json", "0.0.0.0"};

	for (size_t i = 0; i < ARRAY_SIZE(fine); i++)
		EXPECT_TRUE(name_valid(fine[i]), "\"%s\"", fine[i]);
}

TEST(names_that_are_not)
{
	static const char *const bad[] = {
		"",	"-",	"-a",	 "--help", ".",	       "..",	".hidden",
		"../x", "a/b",	"/",	 "/etc",   "a b",      " a",	"a ",
		"a\n",	"a\tb", "a\\b",	 "a:b",	   "a@b",      "@",	"a~1",
		"a*",	"a?",	"$HOME", "`id`",   "a;b",      "a,b",	"a%s",
		"a#b",	"a\"b", "a'b",	 "a|b",	   "a&b",      "a<b",	"a>b",
		"a=b",	"(a)",	"{a}",	 "[a]",	   "a\x1b[0m", "a\x7f", "\xc3\xa4",
		"\xff", "a\x80"};

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		EXPECT_FALSE(name_valid(bad[i]), "\"%s\"", bad[i]);
}

TEST(every_byte_in_a_name_is_allowed_or_not)
{
	for (int c = 1; c < 256; c++) {
		const char first[] = {(char)c, 'a', '\0'}, later[] = {'a', (char)c, '\0'};

		EXPECT_EQ(name_valid(first), may_be_in_a_name(c) && c != '.' && c != '-',
			  "first byte %d", c);
		EXPECT_EQ(name_valid(later), may_be_in_a_name(c), "later byte %d", c);
	}
}

TEST(names_have_up_to_127_bytes)
{
	EXPECT_TRUE(name_valid(repeat('x', 126)));
	EXPECT_TRUE(name_valid(repeat('x', 127)));
	EXPECT_FALSE(name_valid(repeat('x', 128)));
	EXPECT_FALSE(name_valid(repeat('x', 200)));
	EXPECT_FALSE(name_valid(repeat('x', 4095)));
}

/* --------------------------------------------------------------------------- IDs */

TEST(ids_are_lower_case_uuids)
{
	static const char *const bad[] = {
		"",
		"0123abcd",
		"0123ABCD-4567-89ef-0123-456789abcdef", /* another name of the same */
		"0123abcd-4567-89ef-0123-456789abcdeF",
		"0123abcd-4567-89ef-0123-456789abcde",	 /* one less */
		"0123abcd-4567-89ef-0123-456789abcdef0", /* one more */
		"0123abcd-4567-89ef-0123-456789abcdeg",
		"0123abcd-4567-89ef-0123_456789abcdef",
		"0123abcd04567-89ef-0123-456789abcdef", /* a bar is missing */
		"0123abc-d4567-89ef-0123-456789abcdef", /* or at the wrong place */
		"0123abcd-4567-89ef-0123-45678-abcdef", /* or one too many */
		"------------------------------------",
		"{123abcd-4567-89ef-0123-456789abcde}",
		" 123abcd-4567-89ef-0123-456789abcdef",
		"0123abcd-4567-89ef-0123-456789abcde\n",
		"../../..-4567-89ef-0123-456789abcdef",
	};

	EXPECT_TRUE(id_valid(UUID));
	EXPECT_TRUE(id_valid("00000000-0000-0000-0000-000000000000"));
	EXPECT_TRUE(id_valid("ffffffff-ffff-ffff-ffff-ffffffffffff"));
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		EXPECT_FALSE(id_valid(bad[i]), "\"%s\"", bad[i]);
	EXPECT_FALSE(id_valid(repeat('a', 36)));
	EXPECT_FALSE(id_valid(repeat('a', 4000)));
}

TEST(new_ids_are_valid_and_none_is_twice)
{
	char ids[200][ID_SIZE];

	for (size_t i = 0; i < ARRAY_SIZE(ids); i++) {
		memset(ids[i], 'x', ID_SIZE);
		id_new(ids[i]);
		ASSERT_EQ(ids[i][ID_SIZE - 1], '\0');
		ASSERT_TRUE(id_valid(ids[i]), "%s", ids[i]);
		for (size_t j = 0; j < i; j++)
			ASSERT_NE(strcmp(ids[i], ids[j]), 0, "%s", ids[i]);
	}
}

/* -------------------------------------------------------------------- references */

static void expect_ref(const char *text, const char *system, const char *prefix,
		       uint64_t back)
{
	struct point_ref ref;

	memset(&ref, 0xaa, sizeof(ref));
	ASSERT_OK(point_ref_parse(text, &ref), "%s", text);
	EXPECT_STREQ(ref.system, system, "%s", text);
	EXPECT_STREQ(ref.prefix, prefix, "%s", text);
	EXPECT_EQ(ref.back, back, "%s", text);
}

/* Refused, and what @ret held is as it was. */
static void expect_no_ref(const char *text)
{
	struct point_ref ref, before;

	memset(&ref, 0x5a, sizeof(ref));
	before = ref;
	EXPECT_EQ(point_ref_parse(text, &ref), -EINVAL, "\"%s\"", text);
	EXPECT_EQ(memcmp(&ref, &before, sizeof(ref)), 0, "\"%s\"", text);
}

TEST(a_point_by_its_id_or_the_beginning_of_it)
{
	char text[64];

	for (int len = 4; len <= 36; len++) {
		char prefix[ID_SIZE];

		snprintf(prefix, sizeof(prefix), "%.*s", len, UUID);
		snprintf(text, sizeof(text), "web1@%s", prefix);
		expect_ref(text, "web1", prefix, 0);
	}
	expect_ref("W.e-b_1+@cafe", "W.e-b_1+", "cafe", 0);
	expect_ref("cafe@cafe", "cafe", "cafe", 0);
}

TEST(a_point_by_its_age)
{
	expect_ref("web1@latest", "web1", "", 0);
	expect_ref("web1@latest~0", "web1", "", 0);
	expect_ref("web1@latest~1", "web1", "", 1);
	expect_ref("web1@latest~007", "web1", "", 7);
	expect_ref("web1@latest~4294967296", "web1", "", UINT64_C(1) << 32);
	expect_ref("web1@latest~18446744073709551615", "web1", "", UINT64_MAX);
	expect_ref("latest@latest", "latest", "", 0);
}

TEST(the_longest_system_name)
{
	char text[8192];

	snprintf(text, sizeof(text), "%s@latest", repeat('x', 127));
	expect_ref(text, repeat('x', 127), "", 0);
	snprintf(text, sizeof(text), "%s@latest", repeat('x', 128));
	expect_no_ref(text);
}

TEST(hostile_ages)
{
	static const char *const bad[] = {
		"a@latest~",
		"a@latest~-1",
		"a@latest~+1",
		"a@latest~ 1",
		"a@latest~1 ",
		"a@latest~1~1",
		"a@latest~~1",
		"a@latest1",
		"a@latest~1x",
		"a@latest~0x1",
		"a@latest~1e3",
		"a@latest~1.0",
		"a@latest ",
		"a@ latest",
		"a@Latest",
		"a@LATEST",
		"a@late",
		"a@latest-1",
		"a@latest^",
		"a@latest~\xd9\xa1",
		"a@latest~1\n",
		"a@latest@",
		"a@latest/..",
		"a@~1",
		"a@latest~18446744073709551616",
		"a@latest~99999999999999999999999999999999999999",
	};

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		expect_no_ref(bad[i]);
}

TEST(hostile_references)
{
	static const char *const bad[] = {
		"",
		"@",
		"a",
		"a@",
		"@a",
		"@latest",
		"@" UUID,
		"a@abc",
		"a@ABCD",
		"a@abcG",
		"a@abcg",
		"a@@latest",
		"a@b@latest",
		"a@b@cafe",
		"a@cafe@",
		"../x@latest",
		"..@latest",
		".@latest",
		"/@latest",
		"a/b@latest",
		"-a@latest",
		"a@../x",
		"a@....",
		"a@/etc/passwd",
		"a@cafe/..",
		"a@cafe ",
		" a@cafe",
		"a @cafe",
		"a@cafe\n",
		"a\n@cafe",
		"a@0123ABCD-4567-89EF-0123-456789ABCDEF",
		"a@" UUID "0",
		"a@" UUID "\n",
		"a@" UUID "/point.json",
		"a%40cafe",
		"a:cafe",
		"a@%s%n",
		"a@*",
		"a@cafe*",
		UUID,
	};

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		expect_no_ref(bad[i]);
}

TEST(long_references)
{
	char text[8192];

	expect_no_ref(repeat('a', 200));
	expect_no_ref(repeat('@', 200));
	expect_no_ref(repeat('@', 4095));
	snprintf(text, sizeof(text), "%s@latest", repeat('a', 200));
	expect_no_ref(text);
	snprintf(text, sizeof(text), "a@%s", repeat('a', 200));
	expect_no_ref(text);
	snprintf(text, sizeof(text), "a@latest~%s", repeat('1', 200));
	expect_no_ref(text);
	snprintf(text, sizeof(text), "a@latest~%s1", repeat('0', 200));
	expect_ref(text, "a", "", 1);
	snprintf(text, sizeof(text), "%s@%s", repeat('a', 4000), UUID);
	expect_no_ref(text);
}

TEST_MAIN
