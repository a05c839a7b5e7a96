/* SPDX-License-Identifier: MIT */
/*
 * points.c - by age, numbering and listing
 */
#include "points.h"

#include <stdio.h>
#include <string.h>

#include "doc.h"
#include "io/tree.h"

/* Oldest first; damaged ones, whose age nobody knows, before all. */
static int by_age(const void *a, const void *b)
{
	const struct point *p = a, *q = b;

	if (!p->created != !q->created)
		return p->created ? 1 : -1;
	return point_compare_age(p, q);
}

void points_free(struct point *points, size_t count)
{
	for (size_t i = 0; i < count; i++)
		point_close(&points[i]);
	free(points);
}

/* @whole: with their documents. */
static int load(const struct system *system, bool whole, struct point **ret,
		size_t *ret_count)
{
	struct point *points;
	char **names;
	size_t count, n = 0;
	int r = io_dir_names(system->points_fd, &names, &count);

	if (r < 0)
		return r;
	points = calloc(count + 1, sizeof(*points));
	for (size_t i = 0; points && r == 0 && i < count; i++) {
		struct point point;

		if (!id_valid(names[i]))
			continue;
		r = point_load(system, names[i], &point);
		/* There may be many: folders are not wanted, nor as a rule documents. */
		if (point.fd >= 0)
			close(take_fd(&point.fd));
		if (!whole)
			json_decref(take_ptr(point.doc));
		if (is_shortage(r))
			break;
		if (r != -ENOENT)
			points[n++] = point; /* damaged, unreadable, newer ones, too */
		r = 0;			     /* one must not hide the others */
	}
	io_names_free(names, count);
	if (!points)
		return -ENOMEM;
	if (r < 0) {
		points_free(points, n);
		return r;
	}
	qsort(points, n, sizeof(*points), by_age);
	*ret = points;
	*ret_count = n;
	return 0;
}

int points_load(const struct system *system, struct point **ret, size_t *ret_count)
{
	return load(system, false, ret, ret_count);
}

/* One that cannot be read, perhaps for now only, may have had any of the numbers that
 * follow. And of what is imported the exports go on being numbered. */
int points_next_sequence(const struct system *system, uint64_t *ret)
{
	uint64_t most = 0, unread = 0;
	struct point *points;
	size_t count;
	int r = points_load(system, &points, &count);

	if (r < 0)
		return r;
	for (size_t i = 0; i < count; i++) {
		most = max_u64(most, points[i].numbered);
		unread += !points[i].created;
	}
	*ret = most + unread + 1;
	points_free(points, count);
	return 0;
}

int points_sequence_at(const struct system *system, const char *time, uint64_t number,
		       uint64_t *ret)
{
	uint64_t older = 0, newer = UINT64_MAX;
	struct point *points;
	size_t count;
	int r = points_load(system, &points, &count);

	if (r < 0)
		return r;
	for (size_t i = 0; i < count; i++)
		if (points[i].created && strcmp(points[i].created, time) <= 0)
			older = points[i].sequence;
		else if (points[i].created)
			newer = min_u64(newer, points[i].sequence);
	*ret = max_u64(older, min_u64(number, newer));
	points_free(points, count);
	return 0;
}

static json_t *describe(const struct point *point)
{
	char name[NAME_SIZE + ID_SIZE];
	struct rp_error err;

	if (point->doc)
		return json_incref(point->doc);
	snprintf(name, sizeof(name), "%s@%s", point->system, point->id);
	point_load_fail(point->error, name, &err);
	return json_pack("{s:s, s:s, s:s, s:s}", "InstanceID", point->id,
			 "VirtualSystemIdentifier", point->system, "Status",
			 system_status(&err), "StatusReason", err.message);
}

static uint32_t list_system(struct rp_store *store, const char *name, json_t *list,
			    struct rp_error *err)
{
	struct system system;
	struct point *points;
	size_t count;
	uint32_t rc;
	int r;

	rc = system_open(store, name, SYSTEM_POINTS, NULL, &system, err);
	if (rc)
		return rc;
	r = load(&system, true, &points, &count);
	system_close(&system);
	if (r < 0)
		return rp_fail_os(err, r, "read", "system %s", name);
	for (size_t i = 0; r == 0 && i < count; i++)
		r = json_array_append_new(list, describe(&points[i]));
	points_free(points, count);
	return r < 0 ? rp_fail_os(err, -ENOMEM, "read", "system %s", name) : RP_OK;
}

static uint32_t list_all(struct rp_store *store, json_t *list, struct rp_error *err)
{
	char **names;
	size_t count;
	uint32_t rc = RP_OK;
	int r = io_dir_names(store->systems_fd, &names, &count);

	if (r < 0)
		return rp_fail_os(err, r, "read", "store %s", store->path);
	for (size_t i = 0; rc == RP_OK && i < count; i++) {
		struct rp_error why;

		if (!name_valid(names[i]))
			continue; /* not ours */
		rc = list_system(store, names[i], list, &why);
		/* Removed meanwhile, damaged, newer, another user's: it must not hide
		 * others. */
		if (!rp_is_shortage(rc, &why))
			rc = RP_OK;
		else if (err)
			*err = why;
	}
	io_names_free(names, count);
	return rc;
}

uint32_t rp_list_reference_points(struct rp_store *store, const char *system,
				  char **ret_json, struct rp_error *reterr)
{
	_cleanup_doc_ json_t *list = json_array();
	uint32_t rc;
	int r;

	rp_error_clear(reterr);
	if (!store || !ret_json)
		return rp_fail(reterr, RP_INVALID_PARAMETER, "check",
			       "an argument is NULL");
	rc = system ? list_system(store, system, list, reterr)
		    : list_all(store, list, reterr);
	if (rc)
		return rc;
	r = doc_give(list, ret_json);
	return r < 0 ? rp_fail_os(reterr, r, "read", "store %s", store->path) : RP_OK;
}
