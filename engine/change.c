/* SPDX-License-Identifier: MIT */
/*
 * change.c - one disk in two points: what there is of it, and the choice of evidence
 */
#include "change.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "change_source.h"
#include "doc.h"
#include "io/reason.h"
#include "leaves.h"

/* Best first; the last one always fits. */
static const struct change_source *const sources[] = {
	&change_digest, &change_tree, &change_extents, &change_content, &change_all,
};

void change_because(struct change_pair *p, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	io_reason_add_va(p->reason, sizeof(p->reason), format, args);
	va_end(args);
}

uint32_t change_fail(const struct change_pair *p, const struct io_file *file, int error,
		     const char *step, uint64_t offset, struct rp_error *err)
{
	const char *path = file == &p->base ? p->base_path : p->target_path;
	uint32_t rc;

	if (error == -ETIME || error == -ECANCELED) {
		rc = watch_fail(p->w, error, err);
	} else if (!file) {
		rc = rp_fail_os(err, error, step, "the changes of %s", p->disk);
	} else {
		rc = offset == RP_NO_OFFSET
			     ? rp_fail_os(err, error, step, "%s", path)
			     : rp_fail_os(err, error, step, "%s at %llu", path,
					  (unsigned long long)offset);
		if (err)
			err->offset = offset;
	}
	rp_fail_of(err, NULL, p->disk);
	return rc;
}

uint32_t change_compare(struct change_pair *p, struct ranges *ranges,
			const char **ret_source, struct rp_error *err)
{
	for (size_t i = 0; i < ARRAY_SIZE(sources); i++) {
		uint32_t rc;
		int r;

		if (!sources[i]->fits(p))
			continue;
		ranges_free(ranges);
		r = ranges_begin(ranges, p->target.size, p->dirfd);
		if (r < 0)
			return change_fail(p, NULL, r, "keep", RP_NO_OFFSET, err);
		rc = sources[i]->compare(p, ranges, err);
		if (rc == RP_OK && p->doubt && sources[i] != &change_content)
			continue;
		if (rc)
			return rc;
		r = ranges_end(ranges);
		*ret_source = sources[i]->name;
		return r < 0 ? change_fail(p, NULL, r, "keep", RP_NO_OFFSET, err) : RP_OK;
	}
	return RP_FAILED;
}

static uint32_t open_target(struct change_pair *p, const struct point *target,
			    struct rp_error *err)
{
	const json_t *disk = point_disk(target, p->disk);
	const char *file;
	uint64_t size;
	int r;

	doc_string(disk, "File", &file);
	doc_u64(disk, "VirtualSize", &size);
	snprintf(p->target_path, sizeof(p->target_path), "%s@%s/%s", target->system,
		 target->id, file);
	r = io_file_open_read(target->fd, file, &p->target);
	if (r == 0)
		r = io_fs_of(p->target.fd, &p->target_fs);
	if (r < 0)
		return change_fail(p, &p->target, r, "open", RP_NO_OFFSET, err);
	if (p->target.size == size)
		return RP_OK;
	return rp_fail_disk(err, p->disk, RP_NO_OFFSET, RP_UNKNOWN_STATUS, "check",
			    "check %s: its size is not what the reference point says",
			    p->target_path);
}

static bool was_imported(const json_t *disk)
{
	const char *method;

	return doc_string(disk, "Method", &method) == 0 && !strcmp(method, "import");
}

/* The base's data was released; what is left is its digest tree, if one was made. */
static uint32_t open_leaves(struct change_pair *p, const struct point *base,
			    const json_t *disk, struct rp_error *err)
{
	const json_t *digest = json_object_get(disk, "Digest");
	int r;

	if (!json_is_object(digest)) {
		p->no_base = was_imported(disk) ? "base imported without a digest tree"
						: "base released, no digest tree kept";
		return RP_OK;
	}
	r = leaves_open(base->fd, digest, p->base_size, p->w, &p->leaves);
	if (is_shortage(r) || watch_is_stop(r))
		return change_fail(p, NULL, r, "open", RP_NO_OFFSET, err);
	if (r < 0)
		p->no_base = "base released, and its digest tree is damaged";
	return RP_OK;
}

/* A base that is unfit is no error: the disk has no base then. */
static uint32_t open_base(struct change_pair *p, const struct point *base,
			  struct rp_error *err)
{
	const json_t *disk = point_disk(base, p->disk);
	const char *file;
	int r;

	if (!disk) {
		p->no_base = "new disk: the base does not have it";
		return RP_OK;
	}
	doc_string(disk, "File", &file);
	doc_u64(disk, "VirtualSize", &p->base_size);
	snprintf(p->base_path, sizeof(p->base_path), "%s@%s/%s", base->system, base->id,
		 file);
	if (!json_is_true(json_object_get(base->doc, "HasAssociatedData")))
		return open_leaves(p, base, disk, err);
	r = io_file_open_read(base->fd, file, &p->base);
	if (r == -ENOENT)
		p->no_base = "the base's file is missing";
	if (r == 0 && p->base.size != p->base_size) {
		io_file_close(&p->base);
		p->no_base = "the base's file is not what its point says";
	}
	if (r == 0 && !p->no_base)
		r = io_fs_of(p->base.fd, &p->base_fs);
	return r == 0 || p->no_base
		       ? RP_OK
		       : change_fail(p, &p->base, r, "open", RP_NO_OFFSET, err);
}

static bool was_copied(const struct point *point, const char *disk)
{
	const char *method;

	return doc_string(point_disk(point, disk), "Method", &method) == 0 &&
	       strcmp(method, "clone") != 0;
}

static void pair_close(struct change_pair *p)
{
	io_file_close(&p->base);
	io_file_close(&p->target);
	if (p->leaves.fd >= 0)
		close(p->leaves.fd);
}

static uint32_t make_map(struct change_pair *p, bool prove, struct change_map *map,
			 struct rp_error *err)
{
	uint32_t rc = change_compare(p, &map->ranges, &map->source, err);

	if (rc == RP_OK && prove)
		rc = change_prove(p, &map->ranges, err);
	map->size = p->target.size;
	map->base_size = p->base_size;
	map->whole = p->no_base != NULL;
	memcpy(map->reason, p->reason, sizeof(map->reason));
	map->count = map->ranges.count;
	map->data_bytes = map->ranges.bytes[CHANGE_DATA];
	map->zero_bytes = map->ranges.bytes[CHANGE_ZERO];
	return rc;
}

uint32_t change_open(const struct point *target, const struct point *base,
		     const char *disk, bool prove, int dirfd, const struct tuning *tuning,
		     struct watch *w, struct change_map **ret, struct rp_error *err)
{
	struct change_pair p = {
		.disk = disk,
		.base = IO_FILE_NONE,
		.target = IO_FILE_NONE,
		.leaves = {.fd = -1},
		.copied = was_copied(target, disk) || was_copied(base, disk),
		.dirfd = dirfd,
		.tuning = tuning,
		.w = w,
	};
	struct change_map *map = calloc(1, sizeof(*map));
	uint32_t rc;

	if (!map)
		return change_fail(&p, NULL, -ENOMEM, "keep", RP_NO_OFFSET, err);
	rc = open_target(&p, target, err);
	if (rc == RP_OK)
		rc = open_base(&p, base, err);
	if (rc == RP_OK)
		rc = make_map(&p, prove, map, err);
	pair_close(&p);
	if (rc)
		change_close(map);
	else
		*ret = map;
	return rc;
}

void change_close(struct change_map *map)
{
	if (map)
		ranges_free(&map->ranges);
	free(map);
}

uint32_t change_check(const struct point *target, const struct point *base,
		      struct rp_error *err)
{
	const char *what = NULL;

	if (strcmp(target->system, base->system))
		what = "is of another system";
	else if (!strcmp(target->id, base->id))
		what = "is the same reference point";
	else if (point_compare_age(base, target) > 0)
		what = "is newer";
	if (what)
		return rp_fail(err, RP_INVALID_STATE, "check",
			       "base %s@%s of reference point %s@%s: %s", base->system,
			       base->id, target->system, target->id, what);
	if (!json_is_true(json_object_get(target->doc, "HasAssociatedData")))
		return rp_fail(err, RP_INVALID_STATE, "check",
			       "reference point %s@%s: its data was released",
			       target->system, target->id);
	return RP_OK;
}
