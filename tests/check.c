/* SPDX-License-Identifier: MIT */
/*
 * check.c - what EXPECT_ and ASSERT_ compare, and what they say when it fails
 */
#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

#include "harness.h"

void test_log(const char *format, ...)
{
	char line[1024];
	va_list args;
	int len;

	va_start(args, format);
	len = vsnprintf(line, sizeof(line), format, args);
	va_end(args);
	dprintf(STDERR_FILENO, "# %s%s\n", line, len >= (int)sizeof(line) ? "..." : "");
}

/* The extra message begins with a blank, and is just that if the check gave none. */
static void failed(const struct test_where *where, const char *what, const char *format,
		   va_list args)
{
	char more[512];

	vsnprintf(more, sizeof(more), format, args);
	if (strcmp(more, " ") == 0)
		more[0] = '\0';
	test_log("%s:%d: %s%s%s", where->file, where->line, what,
		 *what && *more ? ":" : "", more);
	test_note_failure();
	if (where->fatal)
		test_end_phase();
}

static const char *number(__int128 n, char *buf, size_t size)
{
	bool negative = n < 0;
	unsigned __int128 rest = negative ? -(unsigned __int128)n : (unsigned __int128)n;
	char *p = buf + size;

	*--p = '\0';
	do
		*--p = '0' + (char)(rest % 10);
	while (rest /= 10);
	if (negative)
		*--p = '-';
	return p;
}

static bool holds(enum test_op op, __int128 a, __int128 b)
{
	switch (op) {
	case TEST_EQ:
		return a == b;
	case TEST_NE:
		return a != b;
	case TEST_LT:
		return a < b;
	case TEST_LE:
		return a <= b;
	case TEST_GT:
		return a > b;
	case TEST_GE:
		return a >= b;
	}
	return false;
}

void test_compare(const struct test_where *where, enum test_op op, __int128 a, __int128 b,
		  const char *format, ...)
{
	static const char *const names[] = {"==", "!=", "<", "<=", ">", ">="};
	char what[512], a_buf[48], b_buf[48];
	va_list args;

	if (holds(op, a, b))
		return;
	snprintf(what, sizeof(what), "%s %s %s fails: %s and %s", where->a, names[op],
		 where->b, number(a, a_buf, sizeof(a_buf)),
		 number(b, b_buf, sizeof(b_buf)));
	va_start(args, format);
	failed(where, what, format, args);
	va_end(args);
}

void test_compare_strings(const struct test_where *where, const char *a, const char *b,
			  const char *format, ...)
{
	char what[900];
	va_list args;

	if (a == b || (a && b && strcmp(a, b) == 0))
		return;
	snprintf(what, sizeof(what), "%s and %s differ: '%.350s' and '%.350s'", where->a,
		 where->b, a ? a : "(NULL)", b ? b : "(NULL)");
	va_start(args, format);
	failed(where, what, format, args);
	va_end(args);
}

void test_check_ok(const struct test_where *where, long long rc, const char *format, ...)
{
	char what[512];
	va_list args;

	if (rc == 0)
		return;
	snprintf(what, sizeof(what), "%s returned %lld%s%s%s", where->a, rc,
		 rc < 0 ? " (" : "", rc < 0 ? strerror((int)-rc) : "", rc < 0 ? ")" : "");
	va_start(args, format);
	failed(where, what, format, args);
	va_end(args);
}

void test_fail(const struct test_where *where, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	failed(where, "", format, args);
	va_end(args);
	test_end_phase();
}
