/* SPDX-License-Identifier: MIT */
/*
 * export_disks.c - opening and closing the disks of one export
 */
#include "export_disks.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "doc.h"
#include "format.h"

/* What is open()ed for one disk after another. */
struct opening {
	struct rp_store *store;
	const struct point *point;
	const struct target *target;
	const struct rp_export_options *options;
	struct journal *journal;
	struct export_disks *d;
};

bool export_disks_wanted(const struct rp_export_options *o, const char *id)
{
	for (size_t i = 0; i < o->disk_count; i++)
		if (!strcmp(o->disks[i], id))
			return true;
	return o->disk_count == 0;
}

uint32_t export_disks_check(const struct point *point, const struct rp_export_options *o,
			    struct rp_error *err)
{
	for (size_t i = 0; i < o->disk_count; i++) {
		if (!o->disks[i] || !point_disk(point, o->disks[i]))
			return rp_fail(err, RP_INVALID_PARAMETER, "check",
				       "disk '%s': not in the reference point",
				       o->disks[i] ?: "");
		for (size_t k = 0; k < i; k++)
			if (!strcmp(o->disks[i], o->disks[k]))
				return rp_fail(err, RP_INVALID_PARAMETER, "check",
					       "disk %s: given twice", o->disks[i]);
	}
	if (!json_is_true(json_object_get(point->doc, "HasAssociatedData")))
		return rp_fail(err, RP_INVALID_STATE, "check",
			       "reference point %s@%s: its data was released",
			       point->system, point->id);
	return RP_OK;
}

static const enum stream_digest digest_modes[] = {
	[RP_DIGEST_AUTO] = STREAM_DIGEST,
	[RP_DIGEST_ALWAYS] = STREAM_DIGEST_READ,
	[RP_DIGEST_NEVER] = STREAM_NO_DIGEST,
};

/* What is shared needs none; those of what was kept are made anew when it is proven. */
static int prepare_leaves(const struct opening *x, size_t i, bool now)
{
	struct stream *s = &x->d->streams[i];

	s->digest = digest_modes[x->options->digest];
	s->leaves.size = s->src.size;
	s->leaves_name = x->d->disks[i].leaves;
	s->leaves_dir = x->target->fd;
	return now ? stream_make_leaves(s) : 0;
}

static int make_files(const struct opening *x, size_t i)
{
	struct stream *s = &x->d->streams[i];
	int r = io_file_create(x->target->fd, x->d->disks[i].file, s->src.fd, &s->dst);

	if (r == 0 && x->options->format == RP_FORMAT_RAW)
		r = io_file_set_size(&s->dst, s->src.size);
	return r < 0 ? r : prepare_leaves(x, i, x->options->merge);
}

/* Of a disk that an interrupted export has moved a part of. */
static int open_files(const struct opening *x, size_t i)
{
	struct stream *s = &x->d->streams[i];
	int r = io_file_open_write(x->target->fd, x->d->disks[i].file, &s->dst);

	if (r == 0 && x->options->format == RP_FORMAT_RAW)
		r = io_file_set_size(&s->dst, s->src.size);
	if (r == 0)
		r = prepare_leaves(x, i, true);
	return r == -ENOENT ? -ESTALE : r;
}

static int find_mark(const struct opening *x, size_t i)
{
	struct stream *s = &x->d->streams[i];

	s->journal = x->journal;
	s->slot = journal_disk(x->journal, s->disk, x->d->disks[i].file, s->src.size);
	if (s->slot < 0)
		return s->slot;
	s->kept_to = journal_mark(x->journal, s->slot);
	return 0;
}

static uint32_t open_disk(const struct opening *x, size_t i, const json_t *disk,
			  struct rp_error *err)
{
	struct stream *s = &x->d->streams[i];
	struct export_disk *d = &x->d->disks[i];
	const struct format *format = format_of(x->options->format);
	const char *file;
	uint64_t size;
	int r;

	doc_string(disk, "DiskId", &s->disk);
	doc_string(disk, "File", &file);
	doc_u64(disk, "VirtualSize", &size);
	snprintf(d->file, sizeof(d->file), "%s.%s", s->disk,
		 format ? format->suffix : "raw");
	snprintf(d->leaves, sizeof(d->leaves), "%s.digest", s->disk);
	if (asprintf(&d->src_path, "%s/systems/%s/points/%s/%s", x->store->path,
		     x->point->system, x->point->id, file) < 0)
		d->src_path = NULL;
	if (asprintf(&d->dst_path, "%s/%s", x->target->path, d->file) < 0)
		d->dst_path = NULL;
	if (!d->src_path || !d->dst_path)
		return stream_fail(s, -ENOMEM, "open", file, RP_NO_OFFSET, err);
	s->src_path = d->src_path;
	s->dst_path = d->dst_path;
	s->clone = x->options->clone;
	s->sync_later = !x->options->merge;
	r = io_file_open_read(x->point->fd, file, &s->src);
	if (r < 0)
		return stream_fail(s, r, "open", s->src_path, RP_NO_OFFSET, err);
	if (s->src.size != size)
		return rp_fail_disk(
			err, s->disk, RP_NO_OFFSET, RP_UNKNOWN_STATUS, "check",
			"check %s: its size is not what the reference point says",
			s->src_path);
	r = find_mark(x, i);
	if (r == 0)
		r = s->kept_to ? open_files(x, i) : make_files(x, i);
	if (r == -ESTALE)
		return rp_fail(err, RP_INVALID_STATE, "resume",
			       "resume %s: disk %s: its file is missing or has another "
			       "size; --restart starts over",
			       x->target->path, s->disk);
	return r < 0 ? stream_fail(s, r, "create", s->dst_path, RP_NO_OFFSET, err)
		     : RP_OK;
}

uint32_t export_disks_open(struct rp_store *store, const struct point *point,
			   const struct target *target,
			   const struct rp_export_options *options,
			   struct journal *journal, struct export_disks *ret,
			   struct rp_error *err)
{
	const struct opening x = {store, point, target, options, journal, ret};
	json_t *disks = json_object_get(point->doc, "Disks"), *disk;
	uint32_t rc = RP_OK;
	size_t k;

	*ret = (struct export_disks){0};
	ret->streams = calloc(json_array_size(disks) + 1, sizeof(*ret->streams));
	ret->disks = calloc(json_array_size(disks) + 1, sizeof(*ret->disks));
	if (!ret->streams || !ret->disks)
		return rp_fail_os(err, -ENOMEM, "open", "disks");
	json_array_foreach(disks, k, disk) {
		struct stream *s = &ret->streams[ret->count];

		if (rc || !export_disks_wanted(options, json_string_value(json_object_get(
								disk, "DiskId"))))
			continue;
		s->src = (struct io_file)IO_FILE_NONE;
		s->dst = (struct io_file)IO_FILE_NONE;
		s->leaves.fd = -1;
		rc = open_disk(&x, ret->count++, disk, err);
	}
	return rc;
}

int export_disks_finish(struct export_disks *d, size_t i, struct target *target)
{
	struct stream *s = &d->streams[i];

	/* Once more if it was synced: an error may have come to light since. */
	if (stream_writes(s) && s->sync_later)
		io_unsynced_add_first(&target->unsynced, s->dst.fd, d->disks[i].file);
	if (s->digested)
		io_unsynced_add(&target->unsynced, s->leaves.fd, d->disks[i].leaves);
	else if (s->leaves.fd >= 0 && unlinkat(target->fd, d->disks[i].leaves, 0) < 0)
		return -errno;
	return 0;
}

void export_disks_close(struct export_disks *d)
{
	for (size_t i = 0; i < d->count; i++) {
		io_file_close(&d->streams[i].src);
		io_file_close(&d->streams[i].dst);
		if (d->streams[i].leaves.fd >= 0)
			close(d->streams[i].leaves.fd);
		free(d->disks[i].src_path);
		free(d->disks[i].dst_path);
	}
	free(d->streams);
	free(d->disks);
	*d = (struct export_disks){0};
}
