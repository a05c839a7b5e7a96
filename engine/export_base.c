/* SPDX-License-Identifier: MIT */
/*
 * export_base.c - walking the older points of a system, the newest first
 */
#include "export_base.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "exported.h"
#include "points.h"
#include "watch.h"

#define TOLD "@exported"

bool export_base_is_told(const char *ref)
{
	const char *at = strchr(ref, '@');

	return at && !strcmp(at, TOLD);
}

static uint32_t check_system(const char *ref, const struct point *of,
			     struct rp_error *err)
{
	size_t len = strlen(ref) - strlen(TOLD);

	if (!len || (len == strlen(of->system) && !memcmp(ref, of->system, len)))
		return RP_OK;
	return rp_fail(err, RP_INVALID_STATE, "check",
		       "base %s: is of another system than %s@%s", ref, of->system,
		       of->id);
}

/* *ret: whether @directory has an export of @point that can be read. */
static uint32_t look_at(const char *directory, const struct point *point,
			const struct watch *w, bool *ret, struct rp_error *err)
{
	struct exported exported = EXPORTED_NONE;
	struct rp_error why;
	char *path;
	uint32_t rc;

	if (asprintf(&path, "%s/%s/%s", directory, point->system, point->id) < 0)
		return rp_fail_os(err, -ENOMEM, "open", "exports in %s", directory);
	rp_error_clear(&why);
	rc = exported_open(path, &exported, &why);
	if (rc == RP_OK)
		rc = exported_check_point(&exported, point->system, point->id, &why);
	exported_close(&exported);
	free(path);
	if (rp_is_shortage(rc, &why)) {
		*err = why;
		return rc;
	}
	*ret = rc == RP_OK;
	if (rc && rc != RP_NOT_AVAILABLE)
		watch_warn(w, "passed over as a base: %s", why.message);
	return RP_OK;
}

static uint32_t find(const struct point *points, size_t count, const struct point *of,
		     const char *directory, const struct watch *w,
		     const struct point **ret, struct rp_error *err)
{
	for (size_t i = count; i-- > 0;) {
		bool there = false;
		uint32_t rc = RP_OK;

		if (points[i].created && point_compare_age(&points[i], of) < 0)
			rc = look_at(directory, &points[i], w, &there, err);
		if (rc)
			return rc;
		if (there) {
			*ret = &points[i];
			return RP_OK;
		}
	}
	return rp_fail(err, RP_NOT_AVAILABLE, "find",
		       "%s has no export of an older point of %s that is in the store",
		       directory, of->system);
}

uint32_t export_base_find(struct rp_store *store, const char *ref, const struct point *of,
			  const char *directory, const struct watch *w, char **ret_name,
			  struct rp_error *err)
{
	const struct point *base = NULL;
	struct system system;
	struct point *points;
	size_t count;
	uint32_t rc = check_system(ref, of, err);
	int r;

	if (rc == RP_OK)
		rc = system_open(store, of->system, SYSTEM_POINTS, NULL, &system, err);
	if (rc)
		return rc;
	r = points_load(&system, &points, &count);
	system_close(&system);
	if (r < 0)
		return rp_fail_os(err, r, "read", "system %s", of->system);
	rc = find(points, count, of, directory, w, &base, err);
	if (rc == RP_OK && asprintf(ret_name, "%s@%s", base->system, base->id) < 0)
		rc = rp_fail_os(err, -ENOMEM, "open", "base %s", ref);
	points_free(points, count);
	return rc;
}
