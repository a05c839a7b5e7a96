/* SPDX-License-Identifier: MIT */
/*
 * system_add.c - what a virtual system consists of: checked, and registered or changed
 */
#include <string.h>
#include <sys/stat.h>

#include "config.h"
#include "doc.h"
#include "io/lock.h"
#include "io/tree.h"
#include "system.h"

static uint32_t check_file(const char *path, const char *what, bool device_too,
			   struct rp_error *err)
{
	struct stat st;

	if (!path || path[0] != '/')
		return rp_fail(err, RP_INVALID_PARAMETER, "check",
			       "%s '%s': not an absolute path", what, path ?: "");
	if (stat(path, &st) < 0)
		return rp_fail_os(err, -errno, "open", "%s %s", what, path);
	if (!S_ISREG(st.st_mode) && !(device_too && S_ISBLK(st.st_mode)))
		return rp_fail(err, RP_INVALID_PARAMETER, "check",
			       "%s %s: not a regular file%s", what, path,
			       device_too ? " or block device" : "");
	return RP_OK;
}

/* By whatever path. */
static bool is_same_file(const char *a, const char *b)
{
	struct stat x, y;

	if (stat(a, &x) < 0 || stat(b, &y) < 0)
		return false;
	if (S_ISBLK(x.st_mode) && S_ISBLK(y.st_mode))
		return x.st_rdev == y.st_rdev;
	return x.st_dev == y.st_dev && x.st_ino == y.st_ino;
}

static uint32_t add_disk(json_t *disks, const struct rp_disk *disk, struct rp_error *err)
{
	const char *path;
	size_t i;
	json_t *other;
	uint32_t rc;

	rc = system_check_name(disk->id, "disk ID", err);
	if (rc == RP_OK)
		rc = check_file(disk->path, "disk", true, err);
	if (rc)
		return rc;
	json_array_foreach(disks, i, other) {
		if (!strcmp(json_string_value(json_object_get(other, "DiskId")),
			    disk->id))
			return rp_fail(err, RP_INVALID_PARAMETER, "check",
				       "disk ID %s: given twice", disk->id);
		path = json_string_value(json_object_get(other, "Path"));
		if (!strcmp(path, disk->path))
			return rp_fail(err, RP_INVALID_PARAMETER, "check",
				       "disk %s: given twice", disk->path);
		if (is_same_file(path, disk->path))
			return rp_fail(err, RP_INVALID_PARAMETER, "check",
				       "disk %s: the same file as %s", disk->path, path);
	}
	if (json_array_append_new(disks, json_pack("{s:s, s:s}", "DiskId", disk->id,
						   "Path", disk->path)) < 0)
		return rp_fail(err, RP_INVALID_PARAMETER, "check", "disk %s: not UTF-8",
			       disk->path);
	return RP_OK;
}

static const char *base_name(const char *path)
{
	return strrchr(path, '/') + 1; /* of an absolute path */
}

static uint32_t add_config(json_t *configs, const char *path, struct rp_error *err)
{
	size_t i;
	json_t *other;
	struct stat st;
	uint32_t rc = check_file(path, "config file", false, err);

	if (rc)
		return rc;
	if (stat(path, &st) == 0 && (uint64_t)st.st_size > CONFIG_MAX)
		return rp_fail(err, RP_INVALID_PARAMETER, "check",
			       "config file %s: larger than %llu MiB", path,
			       (unsigned long long)(CONFIG_MAX / MIB));
	json_array_foreach(configs, i, other)
		if (!strcmp(base_name(json_string_value(other)), base_name(path)))
			return rp_fail(err, RP_INVALID_PARAMETER, "check",
				       "config file %s: another one is called %s too",
				       path, base_name(path));
	if (json_array_append_new(configs, json_string(path)) < 0)
		return rp_fail(err, RP_INVALID_PARAMETER, "check",
			       "config file %s: not UTF-8", path);
	return RP_OK;
}

static uint32_t make_doc(const char *name, const struct rp_disk *disks, size_t disk_count,
			 const char *const *configs, size_t config_count, json_t **ret,
			 struct rp_error *err)
{
	_cleanup_doc_ json_t *doc = doc_new();
	json_t *disk_list = json_array(), *config_list = json_array();
	char now[DOC_TIME_SIZE];
	uint32_t rc = RP_OK;

	doc_time(now);
	if (!doc || json_object_set_new(doc, "Disks", disk_list) < 0 ||
	    json_object_set_new(doc, "ConfigFiles", config_list) < 0 ||
	    json_object_set_new(doc, "VirtualSystemIdentifier", json_string(name)) < 0 ||
	    json_object_set_new(doc, "CreationTime", json_string(now)) < 0)
		return rp_fail_os(err, -ENOMEM, "add", "system %s", name);
	for (size_t i = 0; rc == RP_OK && i < disk_count; i++)
		rc = add_disk(disk_list, &disks[i], err);
	for (size_t i = 0; rc == RP_OK && i < config_count; i++)
		rc = add_config(config_list, configs[i], err);
	if (rc == RP_OK)
		*ret = take_ptr(doc);
	return rc;
}

static uint32_t add(struct rp_store *store, const char *name, json_t *doc,
		    struct rp_error *err)
{
	_cleanup_unlock_ int fd = -1;
	const char *but = "";
	char id[ID_SIZE];
	uint32_t rc;
	int r;

	rc = store_birth(store, store->pending_fd, id, &fd, err);
	if (rc)
		return rc;
	r = mkdirat(fd, "points", 0700) < 0 ? -errno : doc_save(fd, "system.json", doc);
	if (r == 0)
		r = store_publish(store, id, store->systems_fd, name, &but);
	if (r == 0)
		return RP_OK;
	io_tree_remove(store->pending_fd, id);
	if (r == -EEXIST)
		return rp_fail(err, RP_INVALID_STATE, "add",
			       "add system %s: exists already; its disks and config "
			       "files can be changed",
			       name);
	return rp_fail_os(err, r, "add", "system %s%s", name, but);
}

/* All of it at once, but for when the system was added. */
static uint32_t change(struct rp_store *store, const char *name, json_t *doc,
		       struct rp_error *err)
{
	struct system system;
	uint32_t rc = system_open(store, name, SYSTEM_TAKE, NULL, &system, err);
	json_t *added;
	int r = 0;

	if (rc)
		return rc;
	added = json_object_get(system.doc, "CreationTime");
	if (added && json_object_set(doc, "CreationTime", added) < 0)
		r = -ENOMEM;
	if (r == 0)
		r = doc_save(system.fd, "system.json", doc);
	system_close(&system);
	return r < 0 ? rp_fail_os(err, r, "change", "system %s", name) : RP_OK;
}

typedef uint32_t take_doc(struct rp_store *store, const char *name, json_t *doc,
			  struct rp_error *err);

static uint32_t check_and_take(struct rp_store *store, const char *name,
			       const struct rp_disk *disks, size_t disk_count,
			       const char *const *configs, size_t config_count,
			       take_doc *take, struct rp_error *err)
{
	_cleanup_doc_ json_t *doc = NULL;
	uint32_t rc;

	rp_error_clear(err);
	if (!store || !disks || disk_count == 0 || (config_count && !configs))
		return rp_fail(err, RP_INVALID_PARAMETER, "check",
			       "system '%s': no disk given", name ?: "");
	rc = system_check_name(name, "system name", err);
	if (rc == RP_OK)
		rc = make_doc(name, disks, disk_count, configs, config_count, &doc, err);
	if (rc == RP_OK)
		rc = take(store, name, doc, err);
	if (rc)
		rp_fail_of(err, name, NULL);
	return rc;
}

uint32_t rp_system_add(struct rp_store *store, const char *name,
		       const struct rp_disk *disks, size_t disk_count,
		       const char *const *configs, size_t config_count,
		       struct rp_error *reterr)
{
	return check_and_take(store, name, disks, disk_count, configs, config_count, add,
			      reterr);
}

uint32_t rp_system_change(struct rp_store *store, const char *name,
			  const struct rp_disk *disks, size_t disk_count,
			  const char *const *configs, size_t config_count,
			  struct rp_error *reterr)
{
	return check_and_take(store, name, disks, disk_count, configs, config_count,
			      change, reterr);
}
