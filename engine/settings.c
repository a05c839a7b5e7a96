/* SPDX-License-Identifier: MIT */
/*
 * settings.c - ExportSettingData: which form it has, and the rules of both
 */
#include "settings.h"

#include <stdlib.h>
#include <string.h>

#include "error.h"
#include "io/base.h"

/* Far above any real list of disks; keeps a wrong file from becoming work. */
#define TEXT_MAX MIB

static uint32_t no_memory(struct rp_error *err)
{
	return rp_fail(err, RP_OUT_OF_MEMORY, "settings", "ExportSettingData: no memory");
}

uint32_t settings_set_base(struct rp_export_options *s, const char *base,
			   struct rp_error *err)
{
	if (!*base)
		return RP_OK;
	s->base = strdup(base);
	return s->base ? RP_OK : no_memory(err);
}

/* The array has room for the next power of two, so it is full at each of them. */
static bool grow(struct rp_export_options *s)
{
	size_t room = s->disk_count ? 2 * s->disk_count : 1;
	const char **disks;

	if (s->disk_count & (s->disk_count - 1))
		return true;
	disks = realloc((char **)s->disks, room * sizeof(*disks));
	if (!disks)
		return false;
	s->disks = disks;
	return true;
}

static bool add_disk(struct rp_export_options *s, const char *id)
{
	char *copy = grow(s) ? strdup(id) : NULL;

	if (copy)
		((const char **)s->disks)[s->disk_count++] = copy;
	return copy != NULL;
}

uint32_t settings_add_disk(struct rp_export_options *s, const char *id,
			   struct rp_error *err)
{
	if (!*id)
		return rp_fail(err, RP_INVALID_PARAMETER, "settings",
			       "ExportSettingData: entry %zu of DisksToExport is empty",
			       s->disk_count + 1);
	return add_disk(s, id) ? RP_OK : no_memory(err);
}

static int compare(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Sorted first: a megabyte holds enough IDs to make comparing all pairs a stall. */
static uint32_t check_disks(const struct rp_export_options *s, struct rp_error *err)
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

static uint32_t parse_form(struct rp_export_options *s, const char *text,
			   struct rp_error *err)
{
	size_t len = strlen(text);
	uint32_t rc;

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
		rc = settings_from_json(s, text, len, err);
		if (rc != RP_INVALID_PARAMETER)
			return rc;
		return rp_fail(
			err, rc, "settings",
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

uint32_t settings_parse(const char *text, struct rp_export_options *ret,
			struct rp_error *err)
{
	_cleanup_(settings_free) struct rp_export_options s = {.size = sizeof(s)};
	uint32_t rc;

	rc = parse_form(&s, text ? skip_mark(text) : "", err);
	if (!rc)
		rc = check_disks(&s, err);
	if (rc) {
		make_printable(err);
		return rc;
	}
	*ret = s;
	s = (struct rp_export_options){0};
	return RP_OK;
}

int settings_copy(const struct rp_export_options *options, struct rp_export_options *ret)
{
	_cleanup_(settings_free) struct rp_export_options s = *options;
	const char *base = s.base, *pressure_of = s.pressure_of;

	s.settings = NULL;
	s.disks = NULL;
	s.disk_count = 0;
	s.base = base ? strdup(base) : NULL;
	s.pressure_of = pressure_of ? strdup(pressure_of) : NULL;
	if (!s.base != !base || !s.pressure_of != !pressure_of)
		return -ENOMEM;
	for (size_t i = 0; i < options->disk_count; i++)
		if (!add_disk(&s, options->disks[i] ?: ""))
			return -ENOMEM;
	*ret = s;
	s = (struct rp_export_options){0};
	return 0;
}

void settings_free(struct rp_export_options *s)
{
	for (size_t i = 0; i < s->disk_count; i++)
		free((char *)s->disks[i]);
	free((char **)s->disks);
	free((char *)s->base);
	free((char *)s->pressure_of);
	*s = (struct rp_export_options){0};
}
