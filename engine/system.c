/* SPDX-License-Identifier: MIT */
/*
 * system.c - opening, describing and removing virtual systems
 */
#include "system.h"

#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "crowd.h"
#include "doc.h"
#include "io/lock.h"
#include "io/tree.h"

uint32_t system_check_name(const char *name, const char *what, struct rp_error *err)
{
	if (!name || !name_valid(name))
		return rp_fail(
			err, RP_INVALID_PARAMETER, "check",
			"%s '%s': must be 1-127 of A-Z a-z 0-9 . _ + -, not beginning "
			"with . or -",
			what, name ?: "");
	return RP_OK;
}

/* What the rest of the engine relies on without looking again. */
static int check_doc(const json_t *doc, const char *name)
{
	json_t *disks, *configs, *item;
	const char *text;
	size_t i;
	int r;

	r = doc_array(doc, "Disks", &disks);
	if (r == 0)
		r = doc_array(doc, "ConfigFiles", &configs);
	if (r == 0)
		r = doc_string(doc, "VirtualSystemIdentifier", &text);
	if (r < 0 || strcmp(text, name) || json_array_size(disks) == 0)
		return -EBADMSG;
	json_array_foreach(disks, i, item)
		if (doc_string(item, "DiskId", &text) < 0 || !name_valid(text) ||
		    doc_string(item, "Path", &text) < 0 || text[0] != '/')
			return -EBADMSG;
	json_array_foreach(configs, i, item)
		if (!json_is_string(item) || json_string_value(item)[0] != '/')
			return -EBADMSG;
	return 0;
}

static int load_doc(struct rp_store *store, const char *name, struct system *system)
{
	int r = doc_load(system->fd, "system.json", &system->doc);

	if (r == -ENOENT) /* removed between open and now, or damaged */
		return io_dir_is_at(store->systems_fd, name, system->fd) ? -EBADMSG
									 : -ENOENT;
	return r < 0 ? r : check_doc(system->doc, name);
}

static int load(struct rp_store *store, const char *name, enum system_use use,
		struct system *system)
{
	int r = 0;

	snprintf(system->name, sizeof(system->name), "%s", name);
	if (use == SYSTEM_READ || use == SYSTEM_TAKE)
		r = load_doc(store, name, system);
	if (r < 0)
		return r;
	system->points_fd = io_dir_open(system->fd, "points");
	if (system->points_fd == -ENOENT)
		return use == SYSTEM_REMOVE ? 0 : -EBADMSG;
	return system->points_fd < 0 ? system->points_fd : 0;
}

static uint32_t load_failed(int error, const char *name, struct rp_error *err)
{
	if (is_damage(error))
		return rp_fail(err, RP_UNKNOWN_STATUS, "open",
			       "system %s: its metadata is damaged", name);
	if (error == -EOPNOTSUPP)
		return rp_fail(err, RP_NOT_SUPPORTED, "open",
			       "system %s: made by a newer version of refpoint", name);
	return rp_fail_os(err, error, "open", "system %s", name);
}

/* Whether it is one, though it may have lost a part: others have put their own folders
 * there, a file system its lost+found. */
static bool is_system(int fd)
{
	return faccessat(fd, "system.json", F_OK, AT_SYMLINK_NOFOLLOW) == 0 ||
	       faccessat(fd, "points", F_OK, AT_SYMLINK_NOFOLLOW) == 0 || errno != ENOENT;
}

static uint32_t try_open(struct rp_store *store, const char *name, enum system_use use,
			 struct watch *w, struct system *ret, struct rp_error *err)
{
	bool lock = use == SYSTEM_REMOVE || use == SYSTEM_TAKE;
	struct system system = SYSTEM_NONE;
	uint32_t rc;
	int r;

	rc = system_check_name(name, "system name", err);
	if (rc)
		return rc;
	system.fd = io_dir_open(store->systems_fd, name);
	if (system.fd >= 0 && !is_system(system.fd)) {
		close(system.fd);
		system.fd = -ENOENT;
	}
	if (system.fd == -ENOENT)
		return rp_fail(err, RP_NOT_AVAILABLE, "open", "system %s: no such system",
			       name);
	if (system.fd < 0)
		return load_failed(system.fd, name, err);
	rc = lock ? store_lock(system.fd, true, store->wait_ms, name, w, err) : RP_OK;
	if (rc) {
		system_close(&system);
		return rc;
	}
	r = load(store, name, use, &system);
	if (r == 0 && lock && !io_dir_is_at(store->systems_fd, name, system.fd))
		r = -ENOENT;
	if (r < 0) {
		system_close(&system);
		return load_failed(r, name, err);
	}
	*ret = system;
	return RP_OK;
}

uint32_t system_open(struct rp_store *store, const char *name, enum system_use use,
		     struct watch *w, struct system *ret, struct rp_error *err)
{
	uint32_t rc = try_open(store, name, use, w, ret, err);

	if (rc)
		rp_fail_of(err, name, NULL);
	return rc;
}

void system_close(struct system *system)
{
	if (system->points_fd >= 0)
		close(system->points_fd);
	io_unlock_close(system->fd);
	json_decref(system->doc);
	*system = (struct system)SYSTEM_NONE;
}

size_t system_disk_count(const struct system *system)
{
	return json_array_size(json_object_get(system->doc, "Disks"));
}

void system_disk(const struct system *system, size_t index, const char **ret_id,
		 const char **ret_path)
{
	json_t *disk = json_array_get(json_object_get(system->doc, "Disks"), index);

	*ret_id = json_string_value(json_object_get(disk, "DiskId"));
	*ret_path = json_string_value(json_object_get(disk, "Path"));
}

/* The stored document and the IDs of its points. */
static int describe(const struct system *system, json_t **ret)
{
	json_t *points = json_array();
	char **names;
	size_t count;
	int r;

	if (json_object_set_new(system->doc, "ReferencePoints", points) < 0)
		return -ENOMEM;
	r = io_dir_names(system->points_fd, &names, &count);
	if (r < 0)
		return r;
	for (size_t i = 0; r == 0 && i < count; i++)
		if (id_valid(names[i]) &&
		    json_array_append_new(points, json_string(names[i])) < 0)
			r = -ENOMEM; /* one that is not named would not be exported */
	io_names_free(names, count);
	if (r == 0)
		*ret = json_incref(system->doc);
	return r;
}

static uint32_t show(struct rp_store *store, const char *name, json_t **ret,
		     struct rp_error *err)
{
	struct system system;
	uint32_t rc = system_open(store, name, SYSTEM_READ, NULL, &system, err);
	int r;

	if (rc)
		return rc;
	r = describe(&system, ret);
	system_close(&system);
	return r < 0 ? rp_fail_os(err, r, "read", "system %s", name) : RP_OK;
}

const char *system_status(const struct rp_error *err)
{
	return err->code == RP_ACCESS_DENIED ? "not permitted to be read" : "damaged";
}

/* A damaged system is listed as such: one must not hide the others. */
static json_t *show_damaged(const char *name, const struct rp_error *err)
{
	return json_pack("{s:s, s:s, s:s}", "VirtualSystemIdentifier", name, "Status",
			 system_status(err), "StatusReason", err->message);
}

/* All systems, and what is to be said of each; NULL = nothing. */
struct listed {
	struct rp_store *store;
	char **names;
	json_t **docs;
	atomic_int shortage; /* 0 or -errno */
};

static void list_one(void *context, size_t i)
{
	struct listed *l = context;
	struct rp_error err;
	uint32_t rc;

	if (!name_valid(l->names[i]))
		return; /* not ours */
	rc = show(l->store, l->names[i], &l->docs[i], &err);
	if (!rc || rc == RP_NOT_AVAILABLE) /* removed meanwhile */
		return;
	if (!is_shortage(-err.os_error))
		l->docs[i] = show_damaged(l->names[i], &err);
	if (!l->docs[i])
		l->shortage = is_shortage(-err.os_error) ? -err.os_error : -ENOMEM;
}

uint32_t rp_system_list(struct rp_store *store, char **ret_json, struct rp_error *reterr)
{
	_cleanup_doc_ json_t *list = json_array();
	struct listed l = {.store = store};
	size_t count;
	int r;

	rp_error_clear(reterr);
	if (!store || !ret_json)
		return rp_fail(reterr, RP_INVALID_PARAMETER, "check",
			       "an argument is NULL");
	r = io_dir_names(store->systems_fd, &l.names, &count);
	if (r < 0)
		return rp_fail_os(reterr, r, "read", "store %s", store->path);
	l.docs = calloc(count + 1, sizeof(*l.docs));
	if (l.docs)
		crowd(count, list_one, &l);
	for (size_t i = 0; l.docs && i < count; i++)
		if (l.docs[i] && json_array_append_new(list, l.docs[i]) < 0)
			l.shortage = -ENOMEM;
	io_names_free(l.names, count);
	r = l.docs ? l.shortage : -ENOMEM;
	free(l.docs);
	r = r ?: doc_give(list, ret_json);
	return r < 0 ? rp_fail_os(reterr, r, "read", "store %s", store->path) : RP_OK;
}

uint32_t rp_system_show(struct rp_store *store, const char *name, char **ret_json,
			struct rp_error *reterr)
{
	_cleanup_doc_ json_t *doc = NULL;
	uint32_t rc;
	int r;

	rp_error_clear(reterr);
	if (!store || !ret_json)
		return rp_fail(reterr, RP_INVALID_PARAMETER, "check",
			       "an argument is NULL");
	rc = show(store, name, &doc, reterr);
	if (rc)
		return rc;
	r = doc_give(doc, ret_json);
	return r < 0 ? rp_fail_os(reterr, r, "read", "system %s", name) : RP_OK;
}

/* What is there under no point's name is not listed anywhere: it must not go silently. */
static uint32_t check_unused(const struct system *system, struct rp_error *err)
{
	const char *stray = NULL;
	size_t count = 0, points = 0;
	uint32_t rc = RP_OK;
	char **names = NULL;
	int r = 0;

	if (system->points_fd >= 0) /* else it is damaged, and has none */
		r = io_dir_names(system->points_fd, &names, &count);
	if (r < 0)
		return rp_fail_os(err, r, "read", "system %s", system->name);
	for (size_t i = 0; i < count; i++) {
		if (id_valid(names[i]))
			points++;
		else
			stray = stray ?: names[i];
	}
	if (points)
		rc = rp_fail(err, RP_INVALID_STATE, "remove",
			     "remove system %s: it has %zu reference point%s; its disks "
			     "and config files can be changed",
			     system->name, points, points == 1 ? "" : "s");
	else if (stray)
		rc = rp_fail(err, RP_INVALID_STATE, "remove",
			     "remove system %s: systems/%s/points/%s in the store is no "
			     "reference point, and would be removed with it",
			     system->name, system->name, stray);
	io_names_free(names, count);
	return rc;
}

uint32_t rp_system_remove(struct rp_store *store, const char *name,
			  struct rp_error *reterr)
{
	struct system system;
	uint32_t rc;

	rp_error_clear(reterr);
	if (!store)
		return rp_fail(reterr, RP_INVALID_PARAMETER, "check",
			       "an argument is NULL");
	rc = system_open(store, name, SYSTEM_REMOVE, NULL, &system, reterr);
	if (rc)
		return rc;
	rc = check_unused(&system, reterr);
	if (rc == RP_OK)
		rc = store_bury(store, store->systems_fd, name, reterr);
	system_close(&system);
	if (rc)
		rp_fail_of(reterr, name, NULL);
	return rc;
}
