/* SPDX-License-Identifier: MIT */
/*
 * point.c - what a reference names, opening it, locking it
 */
#include "point.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "doc.h"
#include "io/lock.h"
#include "io/tree.h"
#include "job_sweep.h"
#include "points.h"

/* What the rest of the engine relies on without looking again. */
static int check_doc(const json_t *doc, const struct point *point)
{
	json_t *disks, *configs, *item;
	const char *text;
	uint64_t number;
	size_t i;
	int r;

	r = doc_string(doc, "InstanceID", &text);
	if (r < 0 || strcmp(text, point->id))
		return -EBADMSG;
	r = doc_string(doc, "VirtualSystemIdentifier", &text);
	if (r < 0 || strcmp(text, point->system))
		return -EBADMSG;
	if (doc_u64(doc, "Sequence", &number) < 0 ||
	    doc_string(doc, "CreationTime", &text) < 0 ||
	    doc_array(doc, "Disks", &disks) < 0 ||
	    doc_array(doc, "ConfigFiles", &configs) < 0 ||
	    !json_is_boolean(json_object_get(doc, "HasAssociatedData")))
		return -EBADMSG;
	json_array_foreach(disks, i, item)
		if (doc_string(item, "DiskId", &text) < 0 || !name_valid(text) ||
		    doc_string(item, "File", &text) < 0 || strchr(text, '/') ||
		    doc_u64(item, "VirtualSize", &number) < 0)
			return -EBADMSG;
	json_array_foreach(configs, i, item)
		if (!json_is_string(item) || strchr(json_string_value(item), '/'))
			return -EBADMSG;
	return 0;
}

/* Whether there is something in its place, if only a link to nothing. */
static bool has_name(const struct system *system, const struct point *point)
{
	return faccessat(system->points_fd, point->id, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

/* Whether there is another folder in the place of the one that was opened: that of the
 * point after it was released, which happens once. */
static bool was_replaced(const struct system *system, const struct point *point)
{
	return point->fd >= 0 && !io_dir_is_at(system->points_fd, point->id, point->fd) &&
	       faccessat(system->points_fd, point->id, F_OK, 0) == 0;
}

static int take_age(struct point *point)
{
	uint64_t exported = 0;
	const char *created;

	doc_string(point->doc, "CreationTime", &created);
	point->created = strdup(created);
	if (!point->created)
		return -ENOMEM;
	doc_u64(point->doc, "Sequence", &point->sequence);
	doc_u64(point->doc, "ExportedSequence", &exported);
	point->numbered = max_u64(point->sequence, exported);
	return 0;
}

static int load(const struct system *system, const char *id, struct point *point)
{
	int r;

	*point = (struct point)POINT_NONE;
	memcpy(point->system, system->name, sizeof(point->system));
	memcpy(point->id, id, sizeof(point->id));
	point->fd = io_dir_open(system->points_fd, point->id);
	if (point->fd == -ENOTDIR || point->fd == -ELOOP ||
	    (point->fd == -ENOENT && has_name(system, point)))
		return -EBADMSG;
	if (point->fd < 0)
		return point->fd;
	r = doc_load(point->fd, "point.json", &point->doc);
	if (r == -ENOENT && io_dir_is_at(system->points_fd, point->id, point->fd))
		r = -EBADMSG; /* it is there without its metadata */
	if (r == -ELOOP)
		r = -EBADMSG; /* a link, which leads to no record of ours */
	if (r == 0)
		r = check_doc(point->doc, point);
	if (r == 0)
		r = take_age(point);
	if (r < 0) /* what there is of it is not to be worked with */
		json_decref(take_ptr(point->doc));
	return r;
}

int point_load(const struct system *system, const char *id, struct point *point)
{
	int r = load(system, id, point);

	if (r == -ENOENT && was_replaced(system, point)) {
		point_close(point);
		r = load(system, id, point);
	}
	point->error = r;
	return r;
}

void point_close(struct point *point)
{
	io_unlock_close(point->fd);
	json_decref(point->doc);
	free(point->created);
	*point = (struct point)POINT_NONE;
}

json_t *point_disk(const struct point *point, const char *id)
{
	json_t *disk;
	size_t i;

	json_array_foreach(json_object_get(point->doc, "Disks"), i, disk)
		if (!strcmp(json_string_value(json_object_get(disk, "DiskId")), id))
			return disk;
	return NULL;
}

/* Numbers tell, whatever the clock said; an imported point may share one with its
 * neighbour. */
int point_compare_age(const struct point *a, const struct point *b)
{
	int by_time = 0;

	if (a->sequence != b->sequence)
		return a->sequence > b->sequence ? 1 : -1;
	if (a->created && b->created)
		by_time = strcmp(a->created, b->created);
	return by_time ?: strcmp(a->id, b->id);
}

static uint32_t find_by_prefix(const struct system *system, const char *ref,
			       const char *prefix, char ret_id[ID_SIZE],
			       struct rp_error *err)
{
	_cleanup_doc_ json_t *found = json_object();
	int r = found ? store_find_ids(system->points_fd, prefix, found) : -ENOMEM;

	if (r < 0)
		return rp_fail_os(err, r, "read", "system %s", system->name);
	if (json_object_size(found) > 1)
		return rp_fail(err, RP_INVALID_PARAMETER, "find",
			       "reference point %s: ambiguous, %zu points begin so", ref,
			       json_object_size(found));
	if (json_object_size(found) == 0)
		return rp_fail(err, RP_NOT_AVAILABLE, "find",
			       "reference point %s: no such reference point", ref);
	memcpy(ret_id, json_object_iter_key(json_object_iter(found)), ID_SIZE);
	return RP_OK;
}

uint32_t point_load_fail(int error, const char *ref, struct rp_error *err)
{
	if (is_damage(error))
		return rp_fail(err, RP_UNKNOWN_STATUS, "open",
			       "reference point %s: its metadata is damaged (%s)", ref,
			       strerrordesc_np(-error));
	if (error == -EOPNOTSUPP)
		return rp_fail(err, RP_NOT_SUPPORTED, "open",
			       "reference point %s: made by a newer version of refpoint",
			       ref);
	return rp_fail_os(err, error, "open", "reference point %s", ref);
}

/* The age of @point is unknown, and so is which one is @ref. */
static uint32_t ageless(const struct point *point, const char *ref, struct rp_error *err)
{
	char name[NAME_SIZE + ID_SIZE];
	uint32_t rc;

	snprintf(name, sizeof(name), "%s@%s", point->system, point->id);
	rc = point_load_fail(point->error, name, err);
	if (rc != RP_UNKNOWN_STATUS)
		return rc;
	return rp_fail(err, rc, "find",
		       "reference point %s: metadata of %s is damaged; name the point by "
		       "its ID, or destroy the damaged one",
		       ref, name);
}

static uint32_t find_by_age(const struct system *system, const char *ref, uint64_t back,
			    char ret_id[ID_SIZE], struct rp_error *err)
{
	struct point *points;
	size_t count;
	uint32_t rc = RP_OK;
	int r = points_load(system, &points, &count);

	if (r < 0)
		return rp_fail_os(err, r, "read", "system %s", system->name);
	if (back >= count)
		rc = rp_fail(err, RP_NOT_AVAILABLE, "find",
			     "reference point %s: system %s has %zu reference point%s",
			     ref, system->name, count, count == 1 ? "" : "s");
	else if (!points[0].created)
		rc = ageless(&points[0], ref, err);
	else
		memcpy(ret_id, points[count - 1 - back].id, ID_SIZE);
	points_free(points, count);
	return rc;
}

static uint32_t find(const struct system *system, const char *ref,
		     const struct point_ref *what, char ret_id[ID_SIZE],
		     struct rp_error *err)
{
	return what->prefix[0] ? find_by_prefix(system, ref, what->prefix, ret_id, err)
			       : find_by_age(system, ref, what->back, ret_id, err);
}

/* Before its data is read or removed; without a folder there is none. */
static uint32_t lock_point(const struct system *system, const char *ref,
			   enum point_lock lock, uint64_t busy_ms, struct watch *w,
			   struct point *point, struct rp_error *err)
{
	uint32_t rc;

	if (lock == POINT_UNLOCKED || point->fd < 0)
		return RP_OK;
	rc = store_lock(point->fd, lock == POINT_EXCLUSIVE, busy_ms, ref, w, err);
	if (rc == RP_OK && !io_dir_is_at(system->points_fd, point->id, point->fd))
		rc = rp_fail(err, RP_NOT_AVAILABLE, "open",
			     "reference point %s: destroyed meanwhile", ref);
	return rc;
}

/* Opens the folder that was found and locks it. */
static uint32_t open_found(const struct system *system, const char *ref,
			   const struct point_ref *what, const char *id,
			   enum point_lock lock, uint64_t busy_ms, struct watch *w,
			   struct point *point, struct rp_error *err)
{
	int r = point_load(system, id, point);

	/* Damaged metadata must not make a point immortal. */
	if (is_damage(r) && lock == POINT_EXCLUSIVE &&
	    strlen(what->prefix) == ID_SIZE - 1)
		r = 0;
	if (r < 0)
		return point_load_fail(r, ref, err);
	return lock_point(system, ref, lock, busy_ms, w, point, err);
}

uint32_t point_open(struct rp_store *store, const char *ref, enum point_lock lock,
		    uint64_t busy_ms, struct watch *w, struct point *ret,
		    struct rp_error *err)
{
	struct system system = SYSTEM_NONE;
	struct point point = POINT_NONE;
	struct point_ref what;
	char id[ID_SIZE];
	uint32_t rc;

	if (!ref || point_ref_parse(ref, &what) < 0)
		return rp_fail(
			err, RP_INVALID_PARAMETER, "find",
			"reference point '%s': not SYSTEM@POINT (POINT is an ID, at least "
			"4 characters of one, latest or latest~N)",
			ref ?: "");
	rc = system_open(store, what.system, SYSTEM_POINTS, NULL, &system, err);
	if (rc)
		return rc;
	rc = find(&system, ref, &what, id, err);
	if (rc == RP_OK)
		rc = open_found(&system, ref, &what, id, lock, busy_ms, w, &point, err);
	/* While its lock was waited for. */
	if (rc == RP_NOT_AVAILABLE && was_replaced(&system, &point)) {
		point_close(&point);
		rc = open_found(&system, ref, &what, id, lock, busy_ms, w, &point, err);
	}
	system_close(&system);
	if (rc) {
		point_close(&point);
		rp_fail_of(err, what.system, NULL);
		return rc;
	}
	*ret = point;
	return RP_OK;
}

uint32_t point_open_base(struct rp_store *store, const char *ref, const struct point *of,
			 enum point_lock lock, uint64_t busy_ms, struct watch *w,
			 struct point *ret, struct rp_error *err)
{
	_cleanup_free_ char *whole = NULL;

	if (*ref == '@' && asprintf(&whole, "%s%s", of->system, ref) < 0) {
		whole = NULL;
		return rp_fail_os(err, -ENOMEM, "open", "base %s", ref);
	}
	return point_open(store, whole ?: ref, lock, busy_ms, w, ret, err);
}

uint32_t rp_show_reference_point(struct rp_store *store, const char *ref, char **ret_json,
				 struct rp_error *reterr)
{
	struct point point;
	uint32_t rc;
	int r;

	rp_error_clear(reterr);
	if (!store || !ret_json)
		return rp_fail(reterr, RP_INVALID_PARAMETER, "check",
			       "an argument is NULL");
	rc = point_open(store, ref, POINT_UNLOCKED, 0, NULL, &point, reterr);
	if (rc)
		return rc;
	r = doc_give(point.doc, ret_json);
	point_close(&point);
	return r < 0 ? rp_fail_os(reterr, r, "read", "reference point %s", ref) : RP_OK;
}

static uint32_t bury(struct rp_store *store, const struct system *system,
		     const struct point *point, struct rp_error *err)
{
	int r;

	if (point->fd >= 0)
		return store_bury(store, system->points_fd, point->id, err);
	/* It goes at once, and a sweep of graves looks for folders. */
	r = io_tree_remove(system->points_fd, point->id);
	if (r == 0)
		r = io_fsync(system->points_fd);
	return r < 0 ? rp_fail_os(err, r, "remove", "%s", point->id) : RP_OK;
}

static uint32_t destroy(struct rp_store *store, const struct system *system,
			const struct point *point, struct rp_error *err)
{
	uint32_t rc = bury(store, system, point, err);

	/* It is gone, whatever becomes of its data. */
	if (rc == RP_OK ||
	    (faccessat(system->points_fd, point->id, F_OK, AT_SYMLINK_NOFOLLOW) < 0 &&
	     errno == ENOENT))
		job_forget_point(store, point->id);
	return rc;
}

uint32_t rp_destroy_reference_point(struct rp_store *store, const char *ref,
				    struct rp_error *reterr)
{
	struct system system = SYSTEM_NONE;
	struct point point = POINT_NONE;
	uint32_t rc;

	rp_error_clear(reterr);
	if (!store)
		return rp_fail(reterr, RP_INVALID_PARAMETER, "check",
			       "an argument is NULL");
	/* Found first, locked in the order of store.h after. */
	rc = point_open(store, ref, POINT_EXCLUSIVE, store->busy_ms, NULL, &point,
			reterr);
	if (rc == RP_OK)
		rc = system_open(store, point.system, SYSTEM_POINTS, NULL, &system,
				 reterr);
	if (rc == RP_OK)
		rc = destroy(store, &system, &point, reterr);
	if (rc)
		rp_fail_of(reterr, point.system, NULL);
	system_close(&system);
	point_close(&point);
	return rc;
}
