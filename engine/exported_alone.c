/* SPDX-License-Identifier: MIT */
/*
 * exported_alone.c - whether there is anything in an export's folder that is no part of
 * it
 */
#include <string.h>

#include "exported.h"
#include "io/tree.h"
#include "journal.h"

/* Of a disk, its digests, its changes. */
static bool has_file(const json_t *object, const char *name)
{
	const char *file = json_string_value(json_object_get(object, "File"));

	return file && !strcmp(file, name);
}

static bool is_part(const struct exported *e, const char *name)
{
	json_t *disk;
	size_t i;

	/* A power cut may have brought the journal back. */
	if (!strcmp(name, "export.json") || !strcmp(name, "config") ||
	    !strcmp(name, JOURNAL_FILE))
		return true;
	json_array_foreach(exported_disks(e), i, disk)
		if (has_file(disk, name) ||
		    has_file(json_object_get(disk, "Digest"), name) ||
		    has_file(json_object_get(disk, "Changes"), name))
			return true;
	return false;
}

static bool is_config(const struct exported *e, const char *name)
{
	json_t *config;
	size_t i;

	json_array_foreach(json_object_get(e->manifest, "ConfigFiles"), i, config)
		if (!strcmp(json_string_value(config) + strlen("config/"), name))
			return true;
	return false;
}

static bool has_configs(const struct exported *e)
{
	return json_array_size(json_object_get(e->manifest, "ConfigFiles")) > 0;
}

/* In the folder itself, or in one below it: @below is "" or "config/". */
static uint32_t check_names(const struct exported *e, int fd, const char *below,
			    bool (*is_ours)(const struct exported *e, const char *name),
			    struct rp_error *err)
{
	uint32_t rc = RP_OK;
	char **names;
	size_t count;
	int r = io_dir_names(fd, &names, &count);

	if (r < 0)
		return rp_fail_os(err, r, "read", "%s/%s", e->path, below);
	for (size_t i = 0; rc == RP_OK && i < count; i++)
		if (!is_ours(e, names[i]))
			rc = rp_fail(err, RP_INVALID_STATE, "check",
				     "export %s: %s%s is no part of it, and would be "
				     "removed with it; move it away",
				     e->path, below, names[i]);
	io_names_free(names, count);
	return rc;
}

uint32_t exported_check_alone(const struct exported *e, struct rp_error *err)
{
	_cleanup_close_ int config = io_dir_open(e->fd, "config");
	uint32_t rc;

	/* What keeps files only, by their names, has lost an empty folder. */
	if (config < 0 && (config != -ENOENT || has_configs(e)))
		return rp_fail_os(err, config, "open", "%s/config", e->path);
	rc = check_names(e, e->fd, "", is_part, err);
	if (rc == RP_OK && config >= 0)
		rc = check_names(e, config, "config/", is_config, err);
	return rc;
}
