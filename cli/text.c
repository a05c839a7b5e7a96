/* SPDX-License-Identifier: MIT */
/*
 * text.c - strings on the heap, sizes for people, paths for the library
 */
#include "cli/text.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/out.h"

void cleanup_free(void *p)
{
	free(*(void **)p);
}

void *must(void *p)
{
	if (p)
		return p;
	fprintf(stderr, "refpoint: no memory for the command line itself (%u %s)\n",
		RP_OUT_OF_MEMORY, rp_return_name(RP_OUT_OF_MEMORY));
	exit(RP_OUT_OF_MEMORY - RP_FAILED + 1);
}

char *format_text_va(const char *format, va_list ap)
{
	char *text;

	return must(vasprintf(&text, format, ap) < 0 ? NULL : text);
}

char *format_text(const char *format, ...)
{
	va_list ap;
	char *text;

	va_start(ap, format);
	text = format_text_va(format, ap);
	va_end(ap);
	return text;
}

/* Bytes of the character that @text begins with; 0 = that is no UTF-8. */
static size_t character_length(const char *text)
{
	size_t most = strnlen(text, 4);

	for (size_t length = 1; length <= most; length++) {
		json_t *character = json_stringn(text, length);

		json_decref(character);
		if (character)
			return length;
	}
	return 0;
}

/* U+0080 to U+009f command a terminal, too. */
static bool is_control(const char *text)
{
	unsigned char c = text[0], next = text[1];

	return c < ' ' || c == 0x7f || (c == 0xc2 && next < 0xa0);
}

char *printable(const char *text)
{
	char *clean = must(malloc(4 * strlen(text ? text : "") + 1));
	char *to = clean;

	while (text && *text) {
		size_t length = character_length(text);
		bool shown = length && !is_control(text);

		for (length = length ?: 1; length; length--, text++)
			to += sprintf(to, shown ? "%c" : "\\x%02x", (unsigned char)*text);
	}
	*to = '\0';
	return clean;
}

uint32_t absolute_path(const char *path, char **ret, struct rp_error *reterr)
{
	_cleanup_free_ char *cwd = NULL;

	if (path[0] == '\0' || path[0] == '/') {
		*ret = must(strdup(path));
		return RP_OK;
	}
	cwd = getcwd(NULL, 0);
	if (!cwd)
		return error_here(reterr, 0, errno, "find the current directory");
	while (strncmp(path, "./", 2) == 0)
		path += 1 + strspn(path + 1, "/");
	if (!*path || strcmp(path, ".") == 0)
		*ret = must(strdup(cwd));
	else
		*ret = format_text("%s/%s", strcmp(cwd, "/") == 0 ? "" : cwd, path);
	return RP_OK;
}

struct text size_text(uint64_t bytes)
{
	static const char units[] = "KMGTPE";
	double size = bytes;
	struct text text;
	size_t unit = 0;

	if (bytes < 1024) {
		snprintf(text.s, sizeof(text.s), "%" PRIu64, bytes);
		return text;
	}
	/* 1023.95 and more would be printed as 1024.0 */
	for (size /= 1024; size >= 1023.95; size /= 1024)
		unit++;
	snprintf(text.s, sizeof(text.s), "%.1f%c", size, units[unit]);
	return text;
}

struct text number_text(uint64_t number)
{
	struct text text;

	snprintf(text.s, sizeof(text.s), "%" PRIu64, number);
	return text;
}

/* strtod() alone would take signs, blanks, exponents, "nan" and "inf". */
static bool parse_number(const char *text, double *ret, const char **ret_rest)
{
	size_t length = strspn(text, "0123456789.");
	char *end;

	*ret = strtod(text, &end);
	*ret_rest = end;
	return length && end == text + length;
}

bool parse_size(const char *text, uint64_t *ret)
{
	static const char units[] = "KMGT";
	const char *rest, *unit;
	double size;

	if (!parse_number(text, &size, &rest))
		return false;
	unit = *rest ? strchr(units, toupper((unsigned char)*rest)) : NULL;
	if (*rest && (!unit || rest[1]))
		return false;
	for (; unit && unit >= units; unit--)
		size *= 1024;
	if (!(size < 9e18) || (size > 0 && size < 1))
		return false;
	*ret = (uint64_t)size;
	return true;
}

bool parse_seconds(const char *text, uint64_t *ret_ms)
{
	const char *rest;
	double seconds;

	if (!parse_number(text, &seconds, &rest) || *rest ||
	    !(seconds > 0 && seconds <= UINT32_MAX))
		return false;
	*ret_ms = (uint64_t)(seconds * 1000 + 0.5);
	if (!*ret_ms)
		*ret_ms = 1;
	return true;
}
