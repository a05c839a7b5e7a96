/* SPDX-License-Identifier: MIT */
/*
 * import.c - a point is registered again from its export, as a point without data
 *
 * Its system must be registered: where its disks are is in no export. Digest trees come
 * along where the export has those of whole disks, so that the point can be a base.
 */
#include <stdio.h>
#include <string.h>

#include "config.h"
#include "doc.h"
#include "exported.h"
#include "io/lock.h"
#include "io/tree.h"
#include "leaves.h"
#include "points.h"
#include "released.h"

struct importing {
	struct rp_store *store;
	struct exported export;
	const char *id; /* the point's; the manifest's */
	char *name;	/* SYSTEM@ID */
	struct system system;
	char pending[ID_SIZE];
	int fd;
	json_t *doc;
};

/* 0 and no digest, but *@ret_why, where the export has none of the whole disk (of a
 * differential one it is that of the file), or lost it. */
static int import_leaves(struct importing *x, const json_t *from, json_t **ret,
			 const char **ret_why)
{
	const json_t *digest = json_object_get(from, "Digest");
	struct digest old, leaves = {.fd = -1};
	char name[RELEASED_NAME_SIZE];
	const char *id;
	uint64_t size;
	int r;

	doc_string(from, "DiskId", &id);
	doc_u64(from, "VirtualSize", &size);
	if (exported_is_differential(from))
		*ret_why = "the export is differential: destroy the point, merge it and "
			   "import it again";
	else if (!json_is_object(digest))
		*ret_why = "the export has no digests";
	if (*ret_why)
		return 0;
	r = leaves_open(x->export.fd, digest, size, NULL, &old);
	if (r == -ENOENT || r == -ELOOP || r == -EBADMSG || r == -EOPNOTSUPP) {
		*ret_why = "the digests in the export are missing or damaged";
		return 0;
	}
	if (r < 0)
		return r;
	released_leaves_name(id, name);
	r = leaves_create(x->fd, name, size, &leaves);
	if (r == 0)
		r = digest_copy(&old, &leaves, 0, digest_chunk_count(size), NULL);
	if (r == 0)
		r = io_fsync(leaves.fd);
	if (r == 0)
		r = leaves_describe(&leaves, name, NULL, ret);
	close(old.fd);
	if (leaves.fd >= 0)
		close(leaves.fd);
	return r;
}

static int import_disk(struct importing *x, const json_t *from)
{
	json_t *disk, *digest = NULL;
	const char *id, *why = NULL;
	char tracking[ID_SIZE];
	uint64_t size;
	int r;

	doc_string(from, "DiskId", &id);
	r = import_leaves(x, from, &digest, &why);
	if (r == 0 && why &&
	    json_array_append_new(json_object_get(x->doc, "Warnings"),
				  json_sprintf("disk %s cannot be a base: %s", id, why)) <
		    0)
		r = -ENOMEM;
	if (r < 0)
		return r;
	doc_u64(from, "VirtualSize", &size);
	id_new(tracking);
	disk = json_pack("{s:s, s:o, s:I, s:n, s:n, s:s, s:s+, s:b, s:b}", "DiskId", id,
			 "File", json_sprintf("%s.raw", id), "VirtualSize",
			 (json_int_t)size, "Extents", "CloneMilliseconds", "Method",
			 "import", "MethodReason", "imported from ", x->export.path,
			 "ReadOnly", true, "Immutable", false);
	if (!disk || released_disk(disk, digest) < 0 ||
	    json_array_append_new(json_object_get(x->doc, "Disks"), disk) < 0 ||
	    json_array_append_new(json_object_get(x->doc, "VirtualDiskIdentifiers"),
				  json_string(id)) < 0 ||
	    json_array_append_new(
		    json_object_get(x->doc, "ResilientChangeTrackingIdentifiers"),
		    json_string(tracking)) < 0)
		return -ENOMEM;
	return 0;
}

/* What a point's document says beside its disks. */
static int describe(struct importing *x)
{
	static const char *const same[] = {"ReferencePointType", "ConsistencyLevel",
					   "Consistency", "CreationTime"};
	json_t *config, *configs;
	char now[DOC_TIME_SIZE];
	const char *time;
	uint64_t exported = 0, sequence; /* those of older versions have none */
	size_t i;
	int r;

	doc_string(x->export.manifest, "CreationTime", &time);
	doc_u64(x->export.manifest, "Sequence", &exported);
	r = points_sequence_at(&x->system, time, exported, &sequence);
	if (r < 0)
		return r;
	doc_time(now);
	x->doc = doc_new();
	if (!x->doc ||
	    json_object_update_new(
		    x->doc,
		    json_pack(
			    "{s:s, s:s, s:I, s:I, s:n, s:b, s:s, s:[], s:[], s:[], s:[], "
			    "s:[]}",
			    "InstanceID", x->id, "VirtualSystemIdentifier",
			    x->export.system, "Sequence", (json_int_t)sequence,
			    "ExportedSequence", (json_int_t)exported, "Label",
			    "HasAssociatedData", false, "ImportTime", now, "Disks",
			    "VirtualDiskIdentifiers",
			    "ResilientChangeTrackingIdentifiers", "ConfigFiles",
			    "Warnings")) < 0)
		return -ENOMEM;
	for (i = 0; i < ARRAY_SIZE(same); i++)
		json_object_set(x->doc, same[i],
				json_object_get(x->export.manifest, same[i]));
	configs = json_object_get(x->doc, "ConfigFiles");
	json_array_foreach(json_object_get(x->export.manifest, "ConfigFiles"), i, config)
		if (json_array_append_new(configs, json_string(json_string_value(config) +
							       strlen("config/"))) < 0)
			return -ENOMEM;
	return 0;
}

static uint32_t fill(struct importing *x, struct rp_error *err)
{
	json_t *disk;
	uint32_t rc;
	size_t i;
	int r = describe(x);

	json_array_foreach(exported_disks(&x->export), i, disk)
		if (r == 0)
			r = import_disk(x, disk);
	if (r < 0)
		return rp_fail_os(err, r, "import", "%s", x->export.path);
	rc = config_copy_all(x->export.fd,
			     json_object_get(x->export.manifest, "ConfigFiles"), x->fd,
			     err);
	if (rc)
		return rc;
	r = doc_save(x->fd, "point.json", x->doc); /* syncs the folder too */
	return r < 0 ? rp_fail_os(err, r, "write", "point.json") : RP_OK;
}

static uint32_t open_system(struct importing *x, struct rp_error *err)
{
	uint32_t rc = system_open(x->store, x->export.system, SYSTEM_TAKE, NULL,
				  &x->system, err);

	if (rc == RP_NOT_AVAILABLE)
		return rp_fail(
			err, rc, "import",
			"import %s: its system %s is not registered here, and where "
			"its disks are is in no export: add it first",
			x->export.path, x->export.system);
	return rc;
}

static uint32_t publish(struct importing *x, struct rp_error *err)
{
	const char *but = "";
	int r = -ENOMEM;

	if (asprintf(&x->name, "%s@%s", x->export.system, x->id) < 0)
		x->name = NULL;
	else
		r = store_publish(x->store, x->pending, x->system.points_fd, x->id, &but);
	if (r == -EEXIST)
		return rp_fail(err, RP_INVALID_STATE, "import",
			       "import %s: reference point %s@%s exists", x->export.path,
			       x->export.system, x->id);
	return r < 0 ? rp_fail_os(err, r, "import", "%s as %s@%s%s", x->export.path,
				  x->export.system, x->id, but)
		     : RP_OK;
}

static uint32_t import(struct importing *x, struct rp_error *err)
{
	uint32_t rc;

	doc_string(x->export.manifest, "ReferencePointId", &x->id);
	rc = exported_check_beside(&x->export, err);
	if (rc == RP_OK)
		rc = open_system(x, err);
	if (rc == RP_OK)
		rc = store_birth(x->store, x->store->pending_fd, x->pending, &x->fd, err);
	if (rc)
		return rc;
	rc = fill(x, err);
	/* What was not there has gone with the old one; it is not lost. */
	if (rc == RP_OK && exported_was_merged(&x->export))
		rc = rp_fail(err, RP_NOT_AVAILABLE, "import",
			     "import %s: it was merged meanwhile", x->export.path);
	if (rc == RP_OK)
		rc = publish(x, err);
	if (rc)
		io_tree_remove(x->store->pending_fd, x->pending);
	return rc;
}

static uint32_t import_export(struct rp_store *store, const char *path, char **ret_point,
			      bool *ret_again, struct rp_error *err)
{
	struct importing x = {
		.store = store, .export = EXPORTED_NONE, .system = SYSTEM_NONE, .fd = -1};
	uint32_t rc = exported_open(path, &x.export, err);

	*ret_again = false;
	if (rc)
		return rc;
	rc = import(&x, err);
	if (rc)
		rp_fail_of(err, x.export.system, NULL);
	else
		*ret_point = take_ptr(x.name);
	*ret_again = rc == RP_NOT_AVAILABLE && exported_was_merged(&x.export);
	io_unlock_close(x.fd);
	free(x.name);
	json_decref(x.doc);
	system_close(&x.system);
	exported_close(&x.export);
	return rc;
}

uint32_t rp_import(struct rp_store *store, const char *export_path, char **ret_point,
		   struct rp_error *reterr)
{
	uint32_t rc;
	bool again;

	rp_error_clear(reterr);
	if (!store || !ret_point)
		return rp_fail(reterr, RP_INVALID_PARAMETER, "check",
			       "an argument is NULL");
	do {
		rp_error_clear(reterr);
		rc = import_export(store, export_path, ret_point, &again, reterr);
	} while (again);
	return rc;
}
