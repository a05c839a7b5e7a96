/* SPDX-License-Identifier: MIT */
/*
 * settings.c - ExportSettingData: which form it has, and the rules of both
 */
#include <stdlib.h>
#include <string.h>

#include "engine/error.h"
#include "engine/settings.h"
#include "io/base.h"

/* Far above any real list of disks; keeps a wrong file from becoming work. */
#define TEXT_MAX MIB

static uint32_t no_memory(struct rp_error *err)
{
	return rp_fail(err, RP_OUT_OF_MEMORY, "settings", "ExportSettingData: no memory");
}

uint32_t settings_set_base(struct settings *s, const char *base, struct rp_error *err)
{
	if (!*base)
		return RP_OK;
	s->base = strdup(base);
	return s->base ? RP_OK : no_memory(err);
}

/* The array has room for the next power of two, so it is full at each of them. */
static bool grow(struct settings *s)
{
	size_t room = s->disk_count ? 2 * s->disk_count : 1;
	char **disks;

	if (s->disk_count & (s->disk_count - 1))
		return true;
	disks = realloc(s->disks, room * sizeof(*disks));
	if (!disks)
		return false;
	s->disks = disks;
	return true;
}

uint32_t settings_add_disk(struct settings *s, const char *id, struct rp_error *err)
{
	char *copy;

	if (!*id)
		return rp_fail(err, RP_INVALID_PARAMETER, "settings",
			       "ExportSettingData: entry %zu of DisksToExport is empty",
			       s->disk_count + 1);
	if (!grow(s))
		return no_memory(err);
	copy = strdup(id);
	if (!copy)
		return no_memory(err);
	s->disks[s->disk_count++] = copy;
	return RP_OK;
}

static int compare(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Sorted first: a megabyte holds enough IDs to make comparing all pairs a stall. */
static uint32_t check_disks(const struct settings *s, struct rp_error *err)
{
	_cleanup_free_ char **sorted = NULL;

	if (s->disk_count < 2)
		return RP_OK;
	sorted = malloc(s->disk_count * sizeof(*sorted));
	if (!sorted)
		return no_memory(err);
	memcpy(sorted, s->disks, s->disk_count * sizeof(*sorted));
	qsort(sorted, s->disk_count, sizeof(*sorted), compare);
	for (size_t i = 1; i < s->disk_count; i++)
		if (!strcmp(sorted[i - 1], sorted[i]))
			return rp_fail(
				err, RP_INVALID_PARAMETER, "settings",
				"ExportSettingData: DisksToExport names \"%.127s\" twice",
				sorted[i]);
	return RP_OK;
}

static const char *skip_mark(const char *text)
{
	return strncmp(text, "\xef\xbb\xbf", 3) ? text : text + 3;
}

static uint32_t parse_form(struct settings *s, const char *text, struct rp_error *err)
{
	size_t len = strlen(text);
	uint32_t code;

	if (len > TEXT_MAX)
		return rp_fail(err, RP_INVALID_PARAMETER, "settings",
			       "ExportSettingData: the text is longer than 1 MiB");
	switch (text[strspn(text, " \t\r\n")]) {
	case '\0':
		return RP_OK;
	case '{':
		return settings_from_json(s, text, len, err);
	case '<':
		return settings_from_xml(s, text, len, err);
	default: /* JSON as well, but of another type; or none, as is the name of a file
		  */
		code = settings_from_json(s, text, len, err);
		if (code != RP_INVALID_PARAMETER)
			return code;
		return rp_fail(
			err, code, "settings",
			"ExportSettingData: begins with neither { (JSON) nor < (CIM-XML)");
	}
}

/* The sentence quotes the text; a terminal or a log must not have to obey it. */
static void make_printable(struct rp_error *err)
{
	if (!err)
		return;
	for (char *c = err->message; *c; c++)
		if (*c < ' ' || *c > '~')
			*c = '?';
}

uint32_t settings_parse(const char *text, struct settings *ret, struct rp_error *err)
{
	_cleanup_(settings_free) struct settings s = {0};
	uint32_t code;

	code = parse_form(&s, text ? skip_mark(text) : "", err);
	if (!code)
		code = check_disks(&s, err);
	if (code) {
		make_printable(err);
		return code;
	}
	*ret = s;
	s = (struct settings){0};
	return RP_OK;
}

void settings_options(const struct settings *s, struct rp_export_options *ret)
{
	ret->disks = (const char *const *)s->disks;
	ret->disk_count = s->disk_count;
	ret->io = s->io;
	ret->clone = s->clone;
	ret->digest = s->digest;
	ret->timeout_ms = s->timeout_ms;
	ret->block_size = s->block_size;
	ret->queue_depth = s->queue_depth;
	ret->memory = s->memory;
	ret->bandwidth = s->bandwidth;
	ret->iops = s->iops;
	ret->max_pressure = s->max_pressure;
	ret->pressure_of = s->pressure_of;
	ret->priority = s->priority;
	ret->ionice = s->ionice;
	ret->base = s->base;
	ret->strict = s->strict;
	ret->restart = s->restart;
	ret->format = s->format;
	ret->cluster_size = s->cluster_size;
	ret->merge = s->merge;
}

void settings_free(struct settings *s)
{
	for (size_t i = 0; i < s->disk_count; i++)
		free(s->disks[i]);
	free(s->disks);
	free(s->base);
	free(s->pressure_of);
	*s = (struct settings){0};
}
