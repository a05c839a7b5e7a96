/* SPDX-License-Identifier: MIT */
/*
 * release.c - a point gives up its data and keeps what it takes to serve as a base
 *
 *	digest every disk, config files, point.json ──> a new folder in pending/
 *	──> exchanged with the point's, at once ──> the old one, with the data, removed
 *
 * So there is the point with its data or the point without, and what is in pending/ is
 * removed by whoever opens the store next.
 */
#include <fcntl.h>
#include <stdio.h>

#include "config.h"
#include "doc.h"
#include "exported.h"
#include "io/lock.h"
#include "io/tree.h"
#include "job_sweep.h"
#include "leaves.h"
#include "point.h"
#include "released.h"

struct releasing {
	struct rp_store *store;
	const struct rp_read_options *options;
	struct point point; /* locked exclusively */
	struct system system;
	char id[ID_SIZE]; /* of the new folder, in pending/ */
	int fd;
	json_t *doc; /* its point.json */
	bool stuck;  /* the old one is there and could not be put back */
	struct watch watch;
};

static uint32_t digest_disk(struct releasing *x, json_t *disk, struct rp_error *err)
{
	struct io_file file = IO_FILE_NONE;
	struct digest leaves = {.fd = -1};
	char name[RELEASED_NAME_SIZE];
	json_t *digest = NULL;
	struct tuning tuning;
	const char *id, *path;
	uint32_t rc = RP_OK;
	uint64_t size;
	int r;

	tuning_init(&tuning, x->options->io);
	doc_string(disk, "DiskId", &id);
	doc_string(disk, "File", &path);
	doc_u64(disk, "VirtualSize", &size);
	released_leaves_name(id, name);
	r = io_file_open_read(x->point.fd, path, &file);
	if (r == 0 && file.size != size)
		r = -EBADMSG; /* not what the point was taken of */
	if (r == 0)
		r = leaves_create(x->fd, name, size, &leaves);
	if (r == 0)
		rc = leaves_make(id, path, &file, &leaves, &tuning, &x->watch, err);
	if (r == 0 && rc == RP_OK) {
		r = io_fsync(leaves.fd);
		if (r == 0)
			r = leaves_describe(&leaves, name, &x->watch, &digest);
		if (r == 0)
			r = released_disk(disk, digest);
	}
	if (watch_is_stop(r)) {
		rc = watch_fail(&x->watch, r, err);
	} else if (r < 0) {
		rc = rp_fail_os(err, r, "digest", "%s", path);
		rp_fail_of(err, NULL, id);
	}
	if (leaves.fd >= 0)
		close(leaves.fd);
	io_file_close(&file);
	return rc;
}

static uint32_t fill(struct releasing *x, struct rp_error *err)
{
	_cleanup_close_ int from = io_dir_open(x->point.fd, "config");
	json_t *disk;
	uint32_t rc;
	size_t i;
	int r;

	x->doc = json_deep_copy(x->point.doc);
	if (!x->doc || json_object_set_new(x->doc, "HasAssociatedData", json_false()) < 0)
		return rp_fail_os(err, -ENOMEM, "write", "point.json");
	if (from < 0)
		return rp_fail_os(err, from, "open", "config files");
	rc = config_copy_all(from, json_object_get(x->doc, "ConfigFiles"), x->fd, err);
	json_array_foreach(json_object_get(x->doc, "Disks"), i, disk)
		if (rc == RP_OK)
			rc = digest_disk(x, disk, err);
	if (rc)
		return rc;
	r = doc_save(x->fd, "point.json", x->doc); /* syncs the folder too */
	return r < 0 ? rp_fail_os(err, r, "write", "point.json") : RP_OK;
}

/* The old one stays until the new one has its name for good. */
static uint32_t replace(struct releasing *x, struct rp_error *err)
{
	int points = x->system.points_fd, pending = x->store->pending_fd;
	int r = io_rename_exchange(pending, x->id, points, x->point.id);

	if (r == 0) {
		r = io_fsync(points);
		if (r == 0)
			r = io_fsync(pending);
		x->stuck = r < 0 &&
			   io_rename_exchange(points, x->point.id, pending, x->id) < 0;
	}
	if (x->stuck)
		return rp_fail_os(err, r, "release",
				  "reference point %s@%s, whose data lies in pending/%s "
				  "of the store until that is opened next",
				  x->point.system, x->point.id, x->id);
	return r < 0 ? rp_fail_os(err, r, "release", "reference point %s@%s",
				  x->point.system, x->point.id)
		     : RP_OK;
}

static uint32_t release(struct releasing *x, struct rp_error *err)
{
	uint32_t rc;
	int r;

	if (!json_is_true(json_object_get(x->point.doc, "HasAssociatedData")))
		return rp_fail(err, RP_INVALID_STATE, "check",
			       "reference point %s@%s: its data was released already",
			       x->point.system, x->point.id);
	rc = system_open(x->store, x->point.system, SYSTEM_POINTS, NULL, &x->system, err);
	if (rc == RP_OK)
		rc = store_check_removable(x->system.points_fd, x->point.id, err);
	if (rc == RP_OK)
		rc = store_birth(x->store, x->store->pending_fd, x->id, &x->fd, err);
	if (rc)
		return rc;
	r = io_can_exchange(x->fd); /* not found out after hours */
	if (r < 0)
		rc = rp_fail_os(err, r, "release",
				"reference point %s@%s: exchange of folders",
				x->point.system, x->point.id);
	if (rc == RP_OK)
		rc = fill(x, err);
	if (rc == RP_OK)
		rc = replace(x, err);
	if (x->stuck)
		return rc;
	/* What has this name now is not the point: the new folder, or the old one. */
	r = io_tree_remove(x->store->pending_fd, x->id);
	if (rc == RP_OK) /* it is released, whatever becomes of that */
		job_forget_point(x->store, x->point.id);
	return rc == RP_OK && r < 0
		       ? rp_fail_os(err, r, "remove",
				    "data of %s@%s, what is left of which lies in "
				    "pending/%s of the store",
				    x->point.system, x->point.id, x->id)
		       : rc;
}

uint32_t rp_release(struct rp_store *store, const char *point,
		    const struct rp_read_options *options, struct rp_error *reterr)
{
	static const struct rp_read_options defaults = {.size = sizeof(defaults)};
	struct releasing x = {.store = store,
			      .options = options ?: &defaults,
			      .point = POINT_NONE,
			      .system = SYSTEM_NONE,
			      .fd = -1};
	uint32_t rc;

	rp_error_clear(reterr);
	if (!store)
		return rp_fail(reterr, RP_INVALID_PARAMETER, "check",
			       "an argument is NULL");
	rc = exported_check_options(x.options, reterr);
	if (rc)
		return rc;
	watch_init(&x.watch, x.options->watch, 0);
	rc = point_open(store, point, POINT_EXCLUSIVE, store->busy_ms, &x.watch, &x.point,
			reterr);
	if (rc)
		return rc;
	if (!x.point.doc) /* only to be destroyed is a damaged one opened */
		rc = rp_fail(reterr, RP_UNKNOWN_STATUS, "open",
			     "reference point %s: its metadata is damaged", point);
	else
		rc = release(&x, reterr);
	if (rc)
		rp_fail_of(reterr, x.point.system, NULL);
	io_unlock_close(x.fd);
	json_decref(x.doc);
	system_close(&x.system);
	point_close(&x.point);
	return rc;
}
