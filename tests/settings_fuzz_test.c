/* SPDX-License-Identifier: MIT */
/*
 * settings_fuzz_test.c - ExportSettingData from strangers: no text, however made,
 * crashes or stalls the parser or is half accepted, even where memory runs out
 *
 * The part before #else is a fuzz target, too; after "make check-asan":
 *	clang -g -fsanitize=fuzzer,address,undefined -DFUZZ -D_GNU_SOURCE -Iinclude \
 *		-I. $(pkg-config --cflags libxml-2.0) tests/settings_fuzz_test.c \
 *		build-asan/inside.a $(pkg-config --libs libxml-2.0 jansson)
 */
#include <errno.h>
#include <jansson.h>
#include <libxml/xmlerror.h>
#include <libxml/xmlmemory.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/settings.h"
#include "io/base.h"
#include "tests/harness.h"

/* --------------------------------------------------------- what always holds */

static bool one_printable_line(const char *text)
{
	for (; *text; text++)
		if (*text < ' ' || *text > '~')
			return false;
	return true;
}

static int compare(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Sorts the disks. */
static const char *settings_flaw(struct rp_export_options *s)
{
	if (s->base && !*s->base)
		return "base is empty";
	if (s->io > RP_IO_SYNC || s->clone > RP_CLONE_ALWAYS ||
	    s->digest > RP_DIGEST_NEVER)
		return "an option is out of range";
	if (s->timeout_ms > UINT32_MAX * UINT64_C(1000))
		return "the timeout is out of range";
	if (s->disk_count)
		qsort((char **)s->disks, s->disk_count, sizeof(*s->disks), compare);
	for (size_t i = 0; i < s->disk_count; i++)
		if (!*s->disks[i] || (i && !strcmp(s->disks[i - 1], s->disks[i])))
			return "a disk is empty or there twice";
	return NULL;
}

/* What is wrong with the answer to @text, NULL if nothing; @ret_code is the answer. */
static const char *flaw(const char *text, uint32_t *ret_code)
{
	const char *result;
	struct rp_export_options s;
	struct rp_error err;

	*ret_code = settings_parse(text, &s, &err);
	if (*ret_code == RP_OK) {
		result = settings_flaw(&s);
		settings_free(&s);
		return result;
	}
	if (*ret_code != RP_INVALID_PARAMETER && *ret_code != RP_INVALID_TYPE)
		return "the code is not one of settings";
	if (err.code != *ret_code || strcmp(err.step, "settings"))
		return "the error says something else";
	if (strncmp(err.message, "ExportSettingData", 17) ||
	    !one_printable_line(err.message))
		return "the message is not fit to print";
	return NULL;
}

#ifdef FUZZ
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = strndup((const char *)data, size);
	uint32_t code;

	if (!text || flaw(text, &code))
		abort();
	free(text);
	return 0;
}

#else

/* -------------------------------------------------------------------- texts */

#define INSTANCE_BEGIN \
	"<INSTANCE CLASSNAME=\"Msvm_VirtualSystemReferencePointExportSettingData\""
#define BASE_BEGIN \
	INSTANCE_BEGIN "><PROPERTY NAME=\"BaseReferencePoint\" TYPE=\"string\"><VALUE>"
#define BASE_END "</VALUE></PROPERTY></INSTANCE>"
#define DISKS_BEGIN    \
	INSTANCE_BEGIN \
	"><PROPERTY.ARRAY NAME=\"DisksToExport\" TYPE=\"string\"><VALUE.ARRAY>"
#define DISKS_END "</VALUE.ARRAY></PROPERTY.ARRAY></INSTANCE>"

static const char json_text[] =
	"{\"BaseReferencePoint\": \"web1@1c9f\", \"DisksToExport\": [\"vda\", \"v\\u0064b\"],\n"
	" \"Options\": {\"Io\": \"aio\", \"Clone\": \"never\", \"Digest\": \"always\","
	" \"Timeout\": 36.5e2}}";

static const char xml_text[] =
	"<?xml version=\"1.0\" encoding=\"utf-8\"?>\n" INSTANCE_BEGIN ">\n"
	"<QUALIFIER NAME=\"dynamic\" TYPE=\"boolean\"><VALUE>TRUE</VALUE></QUALIFIER>\n"
	"<PROPERTY NAME=\"__PATH\" CLASSORIGIN=\"___SYSTEM\" TYPE=\"string\"/>\n"
	"<PROPERTY NAME=\"BaseReferencePoint\" MODIFIED=\"TRUE\" TYPE=\"string\">"
	"<VALUE>web1@1c9f</VALUE></PROPERTY><!-- two -->\n"
	"<PROPERTY.ARRAY NAME=\"DisksToExport\" TYPE=\"string\"><VALUE.ARRAY>\n"
	"<VALUE>vd&#x61;</VALUE><VALUE><![CDATA[vdb]]></VALUE>\n"
	"</VALUE.ARRAY></PROPERTY.ARRAY></INSTANCE>";

/* Takes @text, so that what is read behind its end is found. */
static uint32_t answer(char *text)
{
	uint32_t code;
	const char *wrong = flaw(text, &code);

	ASSERT_EQ(wrong, NULL, "%s: %s", wrong, text);
	free(text);
	return code;
}

/* ------------------------------------------------------------------- damage */

TEST(truncated_anywhere)
{
	ASSERT_EQ(answer(strdup(json_text)), RP_OK);
	ASSERT_EQ(answer(strdup(xml_text)), RP_OK);
	for (size_t len = 1; len < strlen(json_text); len++)
		EXPECT_EQ(answer(strndup(json_text, len)), RP_INVALID_PARAMETER, "at %zu",
			  len);
	for (size_t len = 1; len < strlen(xml_text); len++)
		EXPECT_EQ(answer(strndup(xml_text, len)), RP_INVALID_PARAMETER, "at %zu",
			  len);
}

static uint64_t next_random(uint64_t *state)
{
	uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);

	z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
	return z ^ z >> 31;
}

/* Replaces a short piece of @text, which has @size bytes, by one from elsewhere. */
static void damage(char *text, size_t size, uint64_t *state)
{
	static const char *const pieces[] = {
		"\"",
		"{",
		"}",
		"[",
		"]",
		",",
		":",
		"null",
		"true",
		"1e9",
		"-1",
		"\\u0000",
		"\\ud800",
		"<",
		">",
		"/>",
		"</",
		"<VALUE>",
		"</VALUE>",
		"<VALUE/>",
		"&amp;",
		"&x;",
		"&#0;",
		"<![CDATA[",
		"]]>",
		"<!--",
		"-->",
		"<?",
		"?>",
		"<!DOCTYPE x [",
		"<!ENTITY x 'y'>",
		"xmlns=''",
		"xmlns:x='y'",
		"x:",
		" NAME=",
		"string",
		"uint16",
		"\"DisksToExport\"",
		"\"Options\"",
		"Caption",
		"\xff",
		"\xc3\xa9",
		"\xed\xa0\x80",
		"\x01",
		"\n",
		"",
	};
	size_t len = strlen(text), at = next_random(state) % (len + 1);
	size_t cut = min_u64(next_random(state) % 8, len - at);
	const char *piece = pieces[next_random(state) % ARRAY_SIZE(pieces)];
	char byte[2] = {(char)next_random(state)};

	if (next_random(state) % 3 == 0)
		piece = byte;
	if (len - cut + strlen(piece) >= size)
		return;
	memmove(text + at + strlen(piece), text + at + cut, len - at - cut + 1);
	memcpy(text + at, piece, strlen(piece));
}

TEST(damaged_at_random)
{
	uint64_t state = test_seed();
	unsigned answers[3] = {0};

	for (int i = 0; i < 20000; i++) {
		char text[1024];
		uint32_t code;

		strcpy(text, i % 2 ? json_text : xml_text);
		for (uint64_t n = next_random(&state) % 6; n; n--)
			damage(text, sizeof(text), &state);
		code = answer(strdup(text));
		answers[code == RP_OK ? 0 : code == RP_INVALID_TYPE ? 1 : 2]++;
	}
	test_log("accepted %u, wrong type %u, invalid %u", answers[0], answers[1],
		 answers[2]);
	for (size_t i = 0; i < ARRAY_SIZE(answers); i++)
		EXPECT_GT(answers[i], 0);
}

/* --------------------------------------------------------------------- size */

#define LIMIT (1 << 20)

/*
 * @open, then @before, a number and @after again and again, then @close, filled
 * with blanks to @size bytes.
 */
static char *big(size_t size, const char *open, const char *before, const char *after,
		 const char *close)
{
	size_t part = strlen(before) + 6 + strlen(after);
	char *text = malloc(size + 1), *at = text;

	ASSERT_NE(text, NULL);
	at = stpcpy(at, open);
	for (unsigned i = 0; at + part + strlen(close) <= text + size; i++)
		at += sprintf(at, "%s%06u%s", before, i, after);
	at = stpcpy(at, close);
	memset(at, ' ', (size_t)(text + size - at));
	text[size] = '\0';
	return text;
}

TEST(one_mebibyte_is_the_limit)
{
	EXPECT_EQ(answer(big(LIMIT, "{\"DisksToExport\":[\"a\"", ",\"", "\"", "]}")),
		  RP_OK);
	EXPECT_EQ(answer(big(LIMIT + 1, "{\"DisksToExport\":[\"a\"", ",\"", "\"", "]}")),
		  RP_INVALID_PARAMETER);
	EXPECT_EQ(answer(big(LIMIT, DISKS_BEGIN, "<VALUE>", "</VALUE>", DISKS_END)),
		  RP_OK);
	EXPECT_EQ(answer(big(LIMIT + 1, DISKS_BEGIN, "<VALUE>", "</VALUE>", DISKS_END)),
		  RP_INVALID_PARAMETER);
	EXPECT_EQ(answer(big(LIMIT + 1, "", "", "", "")), RP_INVALID_PARAMETER);
	EXPECT_EQ(answer(big(64 * LIMIT, "{}", "", "", "")), RP_INVALID_PARAMETER);
}

TEST(one_disk_of_many_is_named_twice)
{
	EXPECT_EQ(answer(big(LIMIT, "{\"DisksToExport\":[\"000009\"", ",\"", "\"", "]}")),
		  RP_INVALID_PARAMETER);
	EXPECT_EQ(answer(big(LIMIT, DISKS_BEGIN "<VALUE>000009</VALUE>", "<VALUE>",
			     "</VALUE>", DISKS_END)),
		  RP_INVALID_PARAMETER);
}

/* 70 namespaces and 790 attributes are well; 190 and 2990 are not. */
TEST(crowds_in_tags_are_refused)
{
	EXPECT_EQ(answer(big(1500, INSTANCE_BEGIN, " xmlns:a", "='b'", "/>")), RP_OK);
	EXPECT_EQ(answer(big(4000, INSTANCE_BEGIN, " xmlns:a", "='b'", "/>")),
		  RP_INVALID_PARAMETER);
	EXPECT_EQ(answer(big(8000, INSTANCE_BEGIN, " a", "=''", "/>")), RP_OK);
	EXPECT_EQ(answer(big(30000, INSTANCE_BEGIN, " a", "=''", "/>")),
		  RP_INVALID_PARAMETER);
}

/* Each of these has stalled or sunk a parser somewhere; the test's time is limited. */
TEST(built_to_stall)
{
	static const struct {
		const char *open, *before, *after, *close;
		uint32_t code;
	} cases[] = {
		{"{\"x\":", "[", "", "", RP_INVALID_PARAMETER},
		{"{\"x\":", "{\"", "\":", "", RP_INVALID_PARAMETER},
		{"{\"a\":0", ",\"", "\":0", "}", RP_INVALID_TYPE},
		{"{\"a\":", "", "", "}", RP_INVALID_PARAMETER},
		{"{\"a\":\"", "\\n", "", "\"}", RP_INVALID_TYPE},
		{"<", "a", "", "/>", RP_INVALID_PARAMETER},
		{"", "<a>", "", "", RP_INVALID_PARAMETER},
		{"", "<a", "='", "", RP_INVALID_PARAMETER},
		{INSTANCE_BEGIN, " a", "=''", "/>", RP_INVALID_PARAMETER},
		{INSTANCE_BEGIN, " xmlns:a", "='b'", "/>", RP_INVALID_PARAMETER},
		{INSTANCE_BEGIN ">", "<a xmlns:b", "='c'>", "", RP_INVALID_PARAMETER},
		{INSTANCE_BEGIN ">", "<x:a b='", "'/>", "</INSTANCE>",
		 RP_INVALID_PARAMETER},
		{INSTANCE_BEGIN ">", "<!--", "-->", "</INSTANCE>", RP_OK},
		{INSTANCE_BEGIN ">", "<?a", "?>", "</INSTANCE>", RP_OK},
		{BASE_BEGIN, "<!--", "-->a", BASE_END, RP_OK},
		{BASE_BEGIN, "<![CDATA[", "]]>b", BASE_END, RP_OK},
		{BASE_BEGIN, "&amp;", "", BASE_END, RP_OK},
		{BASE_BEGIN, "\n", "", BASE_END, RP_OK},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		EXPECT_EQ(answer(big(LIMIT, cases[i].open, cases[i].before,
				     cases[i].after, cases[i].close)),
			  cases[i].code, "%s%s...", cases[i].open, cases[i].before);
}

/* ------------------------------------------------------------ out of memory */

static unsigned allocations_left = UINT32_MAX;

static bool scarce(void)
{
	if (allocations_left) {
		allocations_left--;
		return false;
	}
	errno = ENOMEM;
	return true;
}

static void *scarce_malloc(size_t size)
{
	return scarce() ? NULL : malloc(size);
}

static void *scarce_realloc(void *p, size_t size)
{
	return scarce() ? NULL : realloc(p, size);
}

static char *scarce_strdup(const char *text)
{
	return scarce() ? NULL : strdup(text);
}

static void keep_quiet(void *context, const char *format, ...)
{
	(void)context, (void)format;
}

/* The first allocation of the parser fails, then the second, ... until none does. */
static void check_without_memory(const char *text)
{
	struct rp_export_options s;
	struct rp_error err;
	unsigned n = 0;

	for (allocations_left = 0; settings_parse(text, &s, &err); allocations_left = ++n)
		ASSERT_EQ(err.code, RP_OUT_OF_MEMORY, "allocation %u: %s", n,
			  err.message);
	EXPECT_STREQ(s.base, "web1@1c9f");
	EXPECT_EQ(s.disk_count, 2);
	settings_free(&s);
	EXPECT_GT(n, 20);
}

TEST(json_without_memory)
{
	json_set_alloc_funcs(scarce_malloc, free);
	check_without_memory(json_text);
}

/* What libxml2 sets up once for the whole program it gets before. */
TEST(xml_without_memory)
{
	ASSERT_OK(xmlMemSetup(free, scarce_malloc, scarce_realloc, scarce_strdup));
	xmlSetGenericErrorFunc(NULL, keep_quiet);
	ASSERT_EQ(answer(strdup(xml_text)), RP_OK);
	check_without_memory(xml_text);
}

TEST_MAIN

#endif
