/* SPDX-License-Identifier: MIT */
/*
 * export_changes.c - the base of an export, and differential disks
 */
#include "export_changes.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "chain_disk.h"
#include "doc.h"
#include "manifest.h"

uint32_t export_changes_begin(struct export_changes *c, struct rp_store *store,
			      const char *ref, const struct point *point, bool strict,
			      struct watch *w, struct rp_error *err)
{
	uint32_t rc;

	c->strict = strict;
	rc = point_open_base(store, ref, point, POINT_SHARED,
			     watch_left_ms(w, store->busy_ms), w, &c->base, err);
	if (rc == RP_OK)
		rc = change_check(point, &c->base, err);
	if (rc)
		export_changes_close(c);
	return rc;
}

uint32_t export_changes_refuse(const struct export_changes *c, const struct stream *s,
			       const char *reason, const struct watch *w,
			       struct rp_error *err)
{
	if (c->strict)
		return rp_fail_disk(err, s->disk, RP_NO_OFFSET, RP_INVALID_STATE, "check",
				    "no usable base: %s", reason);
	watch_warn(w, "disk %s: exported in full, there is no usable base: %s", s->disk,
		   reason);
	return RP_OK;
}

/* The base's export beside @target, if there is one: one that cannot be read is none,
 * unless that is a shortage. */
static uint32_t open_exported(struct export_changes *c, const struct target *target,
			      struct rp_error *err)
{
	const char *slash = strrchr(target->path, '/');
	struct rp_error why;
	uint32_t rc;

	if (asprintf(&c->exported_path, "%.*s/%s", (int)(slash - target->path),
		     target->path, c->base.id) < 0) {
		c->exported_path = NULL;
		return rp_fail_os(err, -ENOMEM, "open", "export of the base");
	}
	rc = exported_open(c->exported_path, &c->exported, &why);
	if (rp_is_shortage(rc, &why)) {
		*err = why;
		return rc;
	}
	if (rc == RP_OK &&
	    exported_check_point(&c->exported, c->base.system, c->base.id, &why))
		exported_close(&c->exported);
	return RP_OK;
}

const json_t *export_changes_exported(const struct export_changes *c, const char *disk)
{
	return c->exported.fd < 0 ? NULL : exported_disk(&c->exported, disk);
}

uint32_t export_changes_reach(struct export_changes *c, const char *disk, bool check,
			      struct rp_error *err)
{
	uint32_t rc = RP_OK;

	if (!c->chain.count) {
		rc = chain_open_alone(c->exported_path, &c->chain, err);
		if (rc)
			chain_close(&c->chain);
		else if (check)
			chain_rest(&c->chain);
	}
	return rc ?: chain_reach(&c->chain, disk, err);
}

static uint32_t try_chain(struct export_changes *c, const char *disk, uint64_t size,
			  struct watch *w, struct rp_error *err)
{
	uint64_t has = 0;
	uint32_t rc = export_changes_reach(c, disk, true, err);

	if (rc == RP_OK)
		rc = chain_disk_check(&c->chain, disk, w, &has, err);
	if (rc == RP_OK && has != size)
		rc = rp_fail(err, RP_UNKNOWN_STATUS, "check",
			     "export %s: has %" PRIu64
			     " bytes of it, the base had %" PRIu64,
			     c->exported_path, has, size);
	return rc;
}

uint32_t export_changes_check_exported(struct export_changes *c, const char *disk,
				       uint64_t size, struct watch *w,
				       struct rp_error *err)
{
	uint32_t rc;
	bool again;

	do {
		rp_error_clear(err);
		rc = try_chain(c, disk, size, w, err);
		again = chain_was_merged(&c->chain, rc);
		if (again)
			chain_close(&c->chain);
	} while (again);
	return rc;
}

uint32_t export_changes_find(struct export_changes *c, const struct point *point,
			     const struct target *target,
			     const struct export_disks *disks,
			     const struct tuning *tuning, struct watch *w,
			     struct rp_error *err)
{
	uint32_t rc;

	c->disks = calloc(disks->count + 1, sizeof(*c->disks));
	if (!c->disks)
		return rp_fail_os(err, -ENOMEM, "open", "disks");
	rc = open_exported(c, target, err);
	for (size_t i = 0; rc == RP_OK && i < disks->count; i++) {
		struct export_change *change = &c->disks[c->count++];
		const struct stream *s = &disks->streams[i];

		change->diff.layer.file = (struct io_file)IO_FILE_NONE;
		/* Not in the store: a full one keeps nobody from getting out of it. */
		rc = change_open(point, &c->base, s->disk, false, target->fd, tuning, w,
				 &change->map, err);
		if (rc == RP_OK && change->map->whole)
			rc = export_changes_refuse(c, s, change->map->reason, w, err);
	}
	return rc;
}

struct layer *export_change_layer(struct export_change *change, struct stream *s)
{
	change->diff.layer.file = s->src;
	change->diff.layer.path = s->src_path;
	s->src = (struct io_file)IO_FILE_NONE;
	layer_diff_mapped(&change->diff, change->map);
	change->layer = &change->diff.layer;
	return change->layer;
}

void export_change_give_back(struct export_change *change, struct stream *s)
{
	if (!change->layer)
		return;
	s->src = change->diff.layer.file;
	change->diff.layer.file = (struct io_file)IO_FILE_NONE;
	change->layer = NULL;
}

/* What is exported could not be restored by what is there: strictly it is not exported,
 * and where that was asked to be there, in full: !*ret_usable. */
static uint32_t check_base(struct export_changes *c, const struct stream *s,
			   uint64_t base_size, struct watch *w, bool *ret_usable,
			   struct rp_error *err)
{
	const struct point *base = &c->base;
	struct rp_error why;
	uint32_t rc = RP_OK;

	*ret_usable = true;
	rp_error_clear(&why);
	if (!export_changes_exported(c, s->disk)) {
		snprintf(why.message, sizeof(why.message), "it is not at %s",
			 c->exported_path);
	} else {
		rc = export_changes_check_exported(c, s->disk, base_size, w, &why);
		if (rc == RP_OK)
			return RP_OK;
	}
	if (rp_is_shortage(rc, &why) || (rc && watch_has_stopped(w))) {
		*err = why;
		return rc;
	}
	if (c->needs_export) {
		*ret_usable = false;
		return export_changes_refuse(c, s, why.message, w, err);
	}
	if (c->strict)
		return rp_fail_disk(
			err, s->disk, RP_NO_OFFSET, RP_INVALID_STATE, "check",
			"to restore it the export of %s@%s is needed, too, and %s",
			base->system, base->id, why.message);
	watch_warn(
		w,
		"disk %s: only what has changed since %s@%s is exported; to restore it "
		"the export of that is needed, too, and %s",
		s->disk, base->system, base->id, why.message);
	return RP_OK;
}

uint32_t export_changes_apply(struct export_changes *c, struct export_disks *disks,
			      struct watch *w, struct rp_error *err)
{
	for (size_t i = 0; i < c->count; i++) {
		struct export_change *change = &c->disks[i];
		struct stream *s = &disks->streams[i];
		bool usable;
		uint32_t rc;

		if (change->map->whole)
			continue;
		rc = check_base(c, s, change->map->base_size, w, &usable, err);
		if (rc)
			return rc;
		if (!usable)
			continue;
		change->differential = true;
		export_change_layer(change, s);
		layers_init(&change->layers, &change->layer, 1);
		s->from = &change->layers.source;
	}
	chain_close(&c->chain);
	return RP_OK;
}

static int write_list(const struct change_map *map, int dirfd, const char *name,
		      const struct change_list_head *head,
		      char ret_digest[DIGEST_TEXT_SIZE], int *ret_fd)
{
	struct ranges_cursor cursor = {.ranges = &map->ranges};
	struct change_list_writer *w;
	struct change change = {0};
	int r = change_list_create(dirfd, name, head, &w);

	if (r < 0)
		return r;
	while ((r = ranges_next(&cursor, change.end, &change)) == 0) {
		r = change_list_add(w, change.start, change.end,
				    change.kind == CHANGE_ZERO);
		if (r < 0)
			break;
	}
	if (r == -ENXIO)
		return change_list_finish(w, ret_digest, ret_fd);
	change_list_abandon(w);
	return r;
}

/* *ret: what the manifest says of the list; null if the disk is whole. */
static int make_list(struct export_change *change, const struct export_changes *c,
		     const char *disk, const struct point *point, struct target *target,
		     json_t **ret)
{
	const struct change_map *map = change->map;
	struct change_list_head head = {
		.size = map->size, .base_size = map->base_size, .count = map->count};
	char digest[DIGEST_TEXT_SIZE];
	int fd, r;

	if (!change->differential) {
		*ret = json_null();
		return 0;
	}
	snprintf(change->list, sizeof(change->list), "%s.changes", disk);
	snprintf(head.disk, sizeof(head.disk), "%s", disk);
	memcpy(head.point, point->id, sizeof(head.point));
	memcpy(head.base, c->base.id, sizeof(head.base));
	r = write_list(map, target->fd, change->list, &head, digest, &fd);
	if (r < 0)
		return r;
	io_unsynced_take(&target->unsynced, fd, change->list);
	*ret = json_pack("{s:s, s:s, s:I}", "File", change->list, "Digest", digest,
			 "Count", (json_int_t)map->count);
	return *ret ? 0 : -ENOMEM;
}

int export_changes_finish(struct export_changes *c, size_t i, const struct point *point,
			  const struct export_disks *disks, struct target *target,
			  json_t *manifest)
{
	struct export_change *change = &c->disks[i];
	const struct change_map *map = change->map;
	json_t *list, *said;
	int r;

	r = make_list(change, c, disks->streams[i].disk, point, target, &list);
	if (r < 0)
		return r;
	said = json_pack("{s:o, s:I, s:s, s:s}", "Changes", list, "ChangedBytes",
			 (json_int_t)(map->data_bytes + map->zero_bytes), "ChangeSource",
			 map->source, "ChangeSourceReason", map->reason);
	if (change->merged && manifest_set_base(manifest, "merged", c->base.id) < 0) {
		json_decref(said);
		return -ENOMEM;
	}
	if (!change->differential)
		return manifest_add_to_disk(manifest, said);
	/* What is in no range is neither data nor zeros of this disk. */
	if (json_object_set_new(said, "ZeroBytes",
				json_integer((json_int_t)map->zero_bytes)) < 0 ||
	    manifest_set_base(manifest, "differential", c->base.id) < 0) {
		json_decref(said);
		return -ENOMEM;
	}
	return manifest_add_to_disk(manifest, said);
}

void export_changes_close(struct export_changes *c)
{
	for (size_t i = 0; i < c->count; i++) {
		layer_close(&c->disks[i].diff.layer);
		change_close(c->disks[i].map);
	}
	free(c->disks);
	chain_close(&c->chain);
	exported_close(&c->exported);
	free(c->exported_path);
	point_close(&c->base);
	*c = (struct export_changes)EXPORT_CHANGES_NONE;
}
