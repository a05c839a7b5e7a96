/* SPDX-License-Identifier: MIT */
/*
 * change_report.c - what changed between two points, told to the caller
 */
#include <string.h>

#include "change.h"
#include "doc.h"
#include "options.h"

struct reporting {
	const struct rp_changes_options *options;
	struct point target, base;
	struct change_map **maps; /* of the disks wanted, in the point's order */
	const char **disks;
	size_t count;
	struct watch watch;
};

static uint32_t make_maps(struct reporting *x, struct rp_error *err)
{
	json_t *disks = json_object_get(x->target.doc, "Disks"), *disk;
	const char *only = x->options->disk, *id;
	uint32_t rc;
	struct tuning tuning;
	size_t i;

	tuning_init(&tuning, RP_IO_AUTO);
	if (only && !point_disk(&x->target, only))
		return rp_fail(err, RP_INVALID_PARAMETER, "check",
			       "disk '%s': not in the reference point", only);
	x->maps = calloc(json_array_size(disks) + 1, sizeof(*x->maps));
	x->disks = calloc(json_array_size(disks) + 1, sizeof(*x->disks));
	if (!x->maps || !x->disks)
		return rp_fail_os(err, -ENOMEM, "list", "changes");
	json_array_foreach(disks, i, disk) {
		doc_string(disk, "DiskId", &id);
		if (only && strcmp(id, only))
			continue;
		rc = change_open(&x->target, &x->base, id, x->options->prove,
				 x->target.fd, &tuning, &x->watch, &x->maps[x->count],
				 err);
		if (rc)
			return rc;
		x->disks[x->count] = id;
		if (x->maps[x->count]->whole)
			watch_warn(&x->watch, "%s: all of it counts as changed: %s", id,
				   x->maps[x->count]->reason);
		x->count++;
	}
	return RP_OK;
}

/* Hands each range to the caller, or adds it to the arrays of @report. */
static int tell_ranges(struct reporting *x, size_t i, json_t *report)
{
	struct ranges_cursor cursor = {.ranges = &x->maps[i]->ranges};
	json_t *offsets = json_object_get(report, "ChangedByteOffsets");
	json_t *lengths = json_object_get(report, "ChangedByteLengths");
	json_t *zeros = json_object_get(report, "ChangedByteZero");
	struct change c;
	int r = 0;

	for (uint64_t pos = 0; r == 0; pos = c.end) {
		struct rp_change told = {.disk = x->disks[i]};

		r = ranges_next(&cursor, pos, &c);
		if (r < 0)
			break;
		told.offset = c.start;
		told.length = c.end - c.start;
		told.zero = c.kind == CHANGE_ZERO;
		if (x->options->change)
			r = x->options->change(x->options->context, &told) ? -ECANCELED
									   : 0;
		else if (json_array_append_new(
				 offsets, json_integer((json_int_t)told.offset)) < 0 ||
			 json_array_append_new(
				 lengths, json_integer((json_int_t)told.length)) < 0 ||
			 json_array_append_new(zeros, json_boolean(told.zero)) < 0)
			r = -ENOMEM;
	}
	return r == -ENXIO ? 0 : r;
}

static json_t *describe_disk(const struct reporting *x, size_t i)
{
	const struct change_map *map = x->maps[i];
	json_t *report = json_pack(
		"{s:s, s:s, s:s, s:b, s:b, s:I, s:I, s:I, s:I, s:I}", "DiskId",
		x->disks[i], "Source", map->source, "SourceReason", map->reason,
		"HasBase", !map->whole, "Proved", x->options->prove && !map->whole,
		"VirtualSize", (json_int_t)map->size, "BaseVirtualSize",
		(json_int_t)map->base_size, "ChangedRanges", (json_int_t)map->count,
		"DataBytes", (json_int_t)map->data_bytes, "ZeroBytes",
		(json_int_t)map->zero_bytes);

	if (report && !x->options->change &&
	    json_object_update_new(
		    report, json_pack("{s:[], s:[], s:[]}", "ChangedByteOffsets",
				      "ChangedByteLengths", "ChangedByteZero")) < 0) {
		json_decref(report);
		report = NULL;
	}
	return report;
}

static uint32_t tell(struct reporting *x, char **ret_report, struct rp_error *err)
{
	_cleanup_doc_ json_t *doc = json_pack(
		"{s:s, s:s, s:s, s:[]}", "VirtualSystemIdentifier", x->target.system,
		"ReferencePointId", x->target.id, "BaseReferencePointId", x->base.id,
		"Disks");
	json_t *disks = json_object_get(doc, "Disks");
	int r;

	for (size_t i = 0; i < x->count; i++) {
		json_t *disk = describe_disk(x, i);

		r = json_array_append_new(disks, disk) < 0 ? -ENOMEM : 0;
		if (r == 0)
			r = tell_ranges(x, i, disk);
		if (r == -ECANCELED)
			return watch_fail(&x->watch, r, err);
		if (r < 0)
			return rp_fail_os(err, r, "list", "the changes of %s",
					  x->disks[i]);
	}
	if (!ret_report)
		return RP_OK;
	r = doc_give(doc, ret_report);
	return r < 0 ? rp_fail_os(err, r, "list", "changes") : RP_OK;
}

static void reporting_close(struct reporting *x)
{
	for (size_t i = 0; i < x->count; i++)
		change_close(x->maps[i]);
	free(x->maps);
	free(x->disks);
	point_close(&x->target);
	point_close(&x->base);
}

uint32_t rp_changes(struct rp_store *store, const char *point, const char *base,
		    const struct rp_changes_options *options, char **ret_report,
		    struct rp_error *reterr)
{
	static const struct rp_changes_options defaults = {.size = sizeof(defaults)};
	struct reporting x = {.options = options ?: &defaults,
			      .target = POINT_NONE,
			      .base = POINT_NONE};
	uint32_t rc;

	rp_error_clear(reterr);
	if (!store || !base)
		return rp_fail(reterr, RP_INVALID_PARAMETER, "check",
			       "an argument is NULL");
	rc = options_check_watched(x.options, reterr);
	if (rc)
		return rc;
	watch_init(&x.watch, x.options->watch, 0);
	rc = point_open(store, point, POINT_SHARED, store->busy_ms, &x.watch, &x.target,
			reterr);
	if (rc == RP_OK)
		rc = point_open_base(store, base, &x.target, POINT_SHARED, store->busy_ms,
				     &x.watch, &x.base, reterr);
	if (rc == RP_OK)
		rc = change_check(&x.target, &x.base, reterr);
	if (rc == RP_OK)
		rc = make_maps(&x, reterr);
	if (rc == RP_OK)
		rc = tell(&x, ret_report, reterr);
	if (rc)
		rp_fail_of(reterr, x.target.system, NULL);
	reporting_close(&x);
	return rc;
}
