/* SPDX-License-Identifier: MIT */
/*
 * create.c - taking a reference point
 *
 *	open all disks ──> fsync, count extents ──> FICLONE each ──> copy the rest
 *	(if allowed) ──> protect ──> point.json ──> one rename
 *
 * The guest's writers wait while a disk is cloned, so everything that can be done
 * before is done before, and the clones follow each other directly.
 */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "config.h"
#include "copy.h"
#include "doc.h"
#include "io/lock.h"
#include "io/tree.h"
#include "options.h"
#include "points.h"
#include "taken.h"

#define STALL_WARN_MS 500

struct taking {
	struct rp_store *store;
	const struct rp_create_options *options;
	struct system system;
	char id[ID_SIZE];
	char *name; /* SYSTEM@ID */
	int fd;	    /* pending/UUID; locked */
	struct taken *disks;
	size_t disk_count;
	json_t *warnings, *configs;
	char instant[DOC_TIME_SIZE]; /* of the first clone, or when copying began */
	struct watch watch;
};

/* Now, and in the point. */
static void warn(struct taking *t, const char *text)
{
	watch_warn(&t->watch, "%s", text);
	json_array_append_new(t->warnings, json_string(text));
}

static void warn_of_stall(struct taking *t, const struct taken *d)
{
	uint64_t ms = taken_stall_ms(d);
	char text[256];

	if (ms < STALL_WARN_MS)
		return;
	snprintf(text, sizeof(text),
		 "%s: %llu extents: a running guest's writes will wait for about %s s; "
		 "defragment the image, or set an extent size hint",
		 d->id, (unsigned long long)d->extents, decimal_of(ms, 1000).text);
	warn(t, text);
}

static void warn_of_needs(struct taking *t, const struct taken *d)
{
	const char *needs = taken_needs(d);
	char text[256];

	if (!needs)
		return;
	snprintf(text, sizeof(text),
		 "%s: is a qcow2 image with %s, which is not taken with it", d->id,
		 needs);
	warn(t, text);
}

static void warn_of_blindness(struct taking *t, const struct taken *d)
{
	char text[256];

	if (!d->stream.src.device || d->counted)
		return;
	snprintf(
		text, sizeof(text),
		"%s: it may not be noticed if somebody writes to it meanwhile: the kernel "
		"does not say that it counts that (queue/iostats)",
		d->id);
	warn(t, text);
}

/* The disks that could not be cloned, together through the engine. */
static uint32_t copy_disks(struct taking *t, struct rp_error *err)
{
	_cleanup_free_ struct stream *streams = calloc(t->disk_count, sizeof(*streams));
	struct tuning tuning;
	size_t n = 0;
	uint32_t rc;

	if (!streams)
		return rp_fail_os(err, -ENOMEM, "copy", "disks");
	for (size_t i = 0; i < t->disk_count; i++)
		if (!t->disks[i].cloned)
			streams[n++] = t->disks[i].stream;
	if (n == 0)
		return RP_OK;
	tuning_init(&tuning, t->options->io);
	rc = copy_streams(streams, n, &tuning, &t->watch, err);
	for (size_t i = 0, k = 0; i < t->disk_count; i++) {
		struct taken *d = &t->disks[i];

		if (d->cloned)
			continue;
		d->stream = streams[k++];
		if (!taken_disturbed(d, rc != RP_OK))
			continue;
		rc = rp_fail_disk(
			err, d->id, RP_NO_OFFSET, RP_IN_USE, "copy",
			"copy %s: it was written to meanwhile; a copy is only for "
			"stopped machines",
			d->path);
		break;
	}
	return rc;
}

static uint32_t capture_configs(struct taking *t, struct rp_error *err)
{
	const json_t *paths = json_object_get(t->system.doc, "ConfigFiles");
	json_t *path;
	size_t i;

	json_array_foreach(paths, i, path)
		json_array_append_new(
			t->configs,
			json_string(strrchr(json_string_value(path), '/') + 1));
	return config_copy_all(AT_FDCWD, paths, t->fd, err);
}

/* Everything before the first clone can be called off. */
static uint32_t prepare_disks(struct taking *t, struct rp_error *err)
{
	uint32_t rc = RP_OK;

	for (size_t i = 0; rc == RP_OK && i < t->disk_count; i++)
		rc = taken_open(&t->disks[i], t->fd, err);
	for (size_t i = 0; rc == RP_OK && i < t->disk_count; i++) {
		int r = watch_tick(&t->watch);

		rc = r < 0 ? watch_fail(&t->watch, r, err)
			   : taken_prepare(&t->disks[i], err);
		if (rc)
			break;
		warn_of_blindness(t, &t->disks[i]);
		warn_of_needs(t, &t->disks[i]);
		warn_of_stall(t, &t->disks[i]);
	}
	return rc;
}

static uint32_t take_disks(struct taking *t, struct rp_error *err)
{
	uint32_t rc = prepare_disks(t, err);
	size_t i;
	int r;

	if (rc)
		return rc;
	watch_phase(&t->watch, "cloning");
	r = watch_tick(&t->watch);
	if (r < 0)
		return watch_fail(&t->watch, r, err);
	doc_time(t->instant);
	for (i = 0; rc == RP_OK && i < t->disk_count; i++)
		rc = taken_clone(&t->disks[i], t->options->allow_copy, err);
	for (i = 0; rc == RP_OK && i < t->disk_count; i++)
		if (t->disks[i].cloned)
			rc = taken_check(&t->disks[i], err);
	if (rc == RP_OK)
		rc = copy_disks(t, err);
	for (i = 0; rc == RP_OK && i < t->disk_count; i++)
		rc = taken_confirm(&t->disks[i], err);
	for (i = 0; rc == RP_OK && i < t->disk_count; i++)
		rc = taken_protect(&t->disks[i], err);
	return rc;
}

static const char *consistency(const struct taking *t)
{
	for (size_t i = 0; i < t->disk_count; i++)
		if (!t->disks[i].cloned)
			return "consistent only if the machine was stopped";
	return t->disk_count == 1 ? "crash consistent" : "crash consistent per disk";
}

static int describe(const struct taking *t, json_t **ret)
{
	_cleanup_doc_ json_t *doc = doc_new();
	json_t *disks = json_array(), *ids = json_array(), *tracking = json_array();
	char tracking_id[ID_SIZE];
	uint64_t sequence;
	int r = points_next_sequence(&t->system, &sequence);

	for (size_t i = 0; r == 0 && i < t->disk_count; i++) {
		id_new(tracking_id);
		if (json_array_append_new(disks, taken_describe(&t->disks[i])) < 0 ||
		    json_array_append_new(ids, json_string(t->disks[i].id)) < 0 ||
		    json_array_append_new(tracking, json_string(tracking_id)) < 0)
			r = -ENOMEM;
	}
	if (!doc || json_object_set_new(doc, "Disks", disks) < 0 ||
	    json_object_set_new(doc, "VirtualDiskIdentifiers", ids) < 0 ||
	    json_object_set_new(doc, "ResilientChangeTrackingIdentifiers", tracking) <
		    0 ||
	    json_object_set(doc, "ConfigFiles", t->configs) < 0 ||
	    json_object_set(doc, "Warnings", t->warnings) < 0)
		return -ENOMEM;
	if (r == 0 &&
	    json_object_update_new(
		    doc, json_pack("{s:s, s:s, s:i, s:i, s:s, s:s, s:I, s:s?, s:b}",
				   "InstanceID", t->id, "VirtualSystemIdentifier",
				   t->system.name, "ReferencePointType", POINT_TYPE,
				   "ConsistencyLevel", 2, "Consistency", consistency(t),
				   "CreationTime", t->instant, "Sequence",
				   (json_int_t)sequence, "Label", t->options->label,
				   "HasAssociatedData", true)) < 0)
		r = -ENOMEM;
	if (r == 0)
		*ret = take_ptr(doc);
	return r;
}

/* From pending/ to where it is found; everything in it is on stable storage. */
static uint32_t publish(struct taking *t, struct rp_error *err)
{
	_cleanup_doc_ json_t *doc = NULL;
	const char *but = "";
	int r = describe(t, &doc);

	if (r == 0 && asprintf(&t->name, "%s@%s", t->system.name, t->id) < 0) {
		t->name = NULL;
		r = -ENOMEM;
	}
	if (r == 0)
		r = doc_save(t->fd, "point.json", doc); /* syncs the folder too */
	if (r == 0)
		r = store_publish(t->store, t->id, t->system.points_fd, t->id, &but);
	return r < 0 ? rp_fail_os(err, r, "publish", "reference point %s@%s%s",
				  t->system.name, t->id, but)
		     : RP_OK;
}

static uint32_t take(struct taking *t, struct rp_error *err)
{
	uint32_t rc;

	t->disk_count = system_disk_count(&t->system);
	t->disks = calloc(t->disk_count, sizeof(*t->disks));
	t->warnings = json_array();
	t->configs = json_array();
	if (!t->disks || !t->warnings || !t->configs)
		return rp_fail_os(err, -ENOMEM, "create", "reference point of %s",
				  t->system.name);
	for (size_t i = 0; i < t->disk_count; i++) {
		t->disks[i] = (struct taken)TAKEN_NONE;
		system_disk(&t->system, i, &t->disks[i].id, &t->disks[i].path);
	}
	rc = store_birth(t->store, t->store->pending_fd, t->id, &t->fd, err);
	if (rc)
		return rc;
	rc = capture_configs(t, err);
	if (rc == RP_OK)
		rc = take_disks(t, err);
	if (rc == RP_OK)
		rc = publish(t, err);
	if (rc)
		io_tree_remove(t->store->pending_fd, t->id);
	return rc;
}

static void taking_close(struct taking *t)
{
	for (size_t i = 0; t->disks && i < t->disk_count; i++)
		taken_close(&t->disks[i]);
	free(t->disks);
	free(t->name);
	json_decref(t->warnings);
	json_decref(t->configs);
	io_unlock_close(t->fd);
	system_close(&t->system);
}

static uint32_t check_options(const struct rp_create_options *options,
			      struct rp_error *err)
{
	uint32_t rc = options_check_watched(options, err);

	if (rc)
		return rc;
	if ((unsigned)options->io > RP_IO_SYNC)
		return rp_fail(err, RP_INVALID_PARAMETER, "check",
			       "options: io is not a value of its type");
	if (options->label && strlen(options->label) > 255)
		return rp_fail(err, RP_INVALID_PARAMETER, "check",
			       "label: longer than 255 bytes");
	if (options->label && !doc_is_text(options->label))
		return rp_fail(err, RP_INVALID_PARAMETER, "check", "label: not UTF-8");
	return RP_OK;
}

uint32_t rp_create_reference_point(struct rp_store *store, const char *system,
				   const struct rp_create_options *options,
				   char **ret_point, struct rp_error *reterr)
{
	static const struct rp_create_options defaults = {.size = sizeof(defaults)};
	struct taking t = {.store = store, .system = SYSTEM_NONE, .fd = -1};
	uint32_t rc;

	rp_error_clear(reterr);
	if (!store || !ret_point)
		return rp_fail(reterr, RP_INVALID_PARAMETER, "check",
			       "an argument is NULL");
	t.options = options ?: &defaults;
	rc = check_options(t.options, reterr);
	if (rc)
		return rc;
	watch_init(&t.watch, t.options->watch, 0);
	rc = system_open(store, system, SYSTEM_TAKE, &t.watch, &t.system, reterr);
	if (rc == RP_OK)
		rc = take(&t, reterr);
	if (rc == RP_OK)
		*ret_point = take_ptr(t.name);
	else
		rp_fail_of(reterr, system, NULL);
	taking_close(&t);
	return rc;
}
