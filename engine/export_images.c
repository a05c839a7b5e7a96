/* SPDX-License-Identifier: MIT */
/*
 * export_images.c - laying out the images of an export
 */
#include "export_images.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "doc.h"
#include "exported_image.h"
#include "io/small_file.h"
#include "resume.h"

uint32_t export_images_check(const struct rp_export_options *o, struct rp_error *err)
{
	const struct format *format = format_of(o->format);
	uint64_t grain;

	if (!format && o->cluster_size)
		return rp_fail(err, RP_INVALID_PARAMETER, "check",
			       "cluster size: a raw disk has no clusters");
	if (!format || format_grain(format, o->cluster_size, 0, &grain) == 0)
		return RP_OK;
	return rp_fail(err, RP_INVALID_PARAMETER, "check",
		       "cluster size %" PRIu64 ": must be a power of two from %" PRIu64
		       " to %" PRIu64 " for %s",
		       o->cluster_size, format->min_grain, format->max_grain,
		       format->name);
}

#define SECTOR UINT64_C(512)

/* By what they are known; a VHD of fixed size has it in the last sector alone. */
static const struct image_mark {
	const char *name;
	const char *bytes;
	size_t len;
	size_t at; /* in the first sector, or else the last */
	bool last;
} marks[] = {
	{"qcow2", "QFI\xfb\0\0\0\2", 8, 0, false},
	{"qcow2", "QFI\xfb\0\0\0\3", 8, 0, false},
	{"VHDX", "vhdxfile", 8, 0, false},
	{"VMDK", "KDMV", 4, 0, false},
	{"VMDK", "# Disk DescriptorFile", 21, 0, false},
	{"VDI", "\x7f\x10\xda\xbe", 4, 64, false},
	{"QED", "QED\0", 4, 0, false},
	{"VHD", "conectix", 8, 0, false},
	{"VHD", "conectix", 8, 0, true},
};

/* What image the disk is itself, if it is one: its tables would be taken for the disk's
 * data. NULL if none. */
static int find_image(const struct stream *s, const char **ret)
{
	uint8_t first[SECTOR] = {0}, last[SECTOR] = {0};
	uint64_t size = s->src.size;
	int r = io_pread_all(s->src.fd, first, min_u64(size, SECTOR), 0);

	*ret = NULL;
	if (r == 0 && size >= SECTOR)
		r = io_pread_all(s->src.fd, last, SECTOR, size - SECTOR);
	for (size_t i = 0; r == 0 && !*ret && i < ARRAY_SIZE(marks); i++) {
		const struct image_mark *m = &marks[i];

		if (!memcmp((m->last ? last : first) + m->at, m->bytes, m->len))
			*ret = m->name;
	}
	return r;
}

static uint32_t check_source(const struct stream *s, const struct format *format,
			     struct rp_error *err)
{
	const char *image;
	int r = find_image(s, &image);

	if (r < 0)
		return stream_fail(s, r, "read", s->src_path, 0, err);
	if (!image)
		return RP_OK;
	return rp_fail_disk(
		err, s->disk, RP_NO_OFFSET, RP_NOT_SUPPORTED, "check",
		"check %s: is a %s image itself and cannot become %s; export it as it "
		"is, with format raw",
		s->src_path, image, format->name);
}

static uint32_t no_room(const struct stream *s, const struct format *format,
			struct rp_error *err)
{
	return rp_fail_disk(err, s->disk, RP_NO_OFFSET, RP_NOT_SUPPORTED, "lay out",
			    "lay out %s: %s cannot hold a disk of %" PRIu64 " bytes",
			    s->dst_path, format->name, s->src.size);
}

static int next_change(void *changes, uint64_t pos, uint64_t *ret_start,
		       uint64_t *ret_end)
{
	struct change change;
	int r = ranges_next(changes, pos, &change);

	if (r < 0)
		return r;
	*ret_start = max_u64(change.start, pos);
	*ret_end = change.end;
	return 0;
}

/* QEMU finds the data of a raw base and of a qcow2 one, Hyper-V that of a VHDX. */
static bool is_base_format(const struct format *format, const json_t *disk)
{
	const char *name;

	doc_string(disk, "Format", &name);
	if (!strcmp(name, format->name))
		return true;
	return format == &format_qcow2 && !strcmp(name, "raw") &&
	       !exported_is_differential(disk);
}

static uint32_t open_base(struct export_changes *changes, struct export_image *x,
			  const json_t *disk, struct watch *w, const char **ret_why,
			  struct rp_error *err)
{
	const char *id, *file;
	uint64_t size = 0;
	uint32_t rc;

	doc_string(disk, "DiskId", &id);
	doc_u64(disk, "VirtualSize", &size);
	doc_string(disk, "File", &file);
	doc_string(disk, "Format", &x->base_format);
	snprintf(x->base_path, sizeof(x->base_path), "../%s/%s",
		 strrchr(changes->exported_path, '/') + 1, file);
	rc = exported_open_file(&changes->exported, disk, file, &x->base_file, err);
	if (rc == RP_OK && exported_is_image(disk))
		rc = exported_image_open(disk, &x->base_file, file, &x->base, err);
	if (rc == RP_OK)
		rc = export_changes_check_exported(changes, id, size, w, err);
	if (rc == RP_OK || rp_is_shortage(rc, err) || watch_has_stopped(w))
		return rc;
	rp_error_clear(err);
	*ret_why = "the image of it in the same directory, or what that needs, cannot be "
		   "read";
	return RP_OK;
}

/* *ret_why: why the disk cannot be based on what the directory has of its base. */
static uint32_t find_base(const struct export_images *images, struct export_image *x,
			  const char *id, struct export_changes *changes,
			  const struct change_map *map, struct watch *w,
			  const char **ret_why, struct rp_error *err)
{
	const json_t *disk = export_changes_exported(changes, id);
	uint64_t size = 0;

	if (disk)
		doc_u64(disk, "VirtualSize", &size);
	if (!disk)
		*ret_why = "it was not exported to the same directory";
	else if (!is_base_format(images->format, disk))
		*ret_why = "it was exported in a format that no image can be based on";
	else if (size != map->base_size)
		*ret_why = "the export of it is of another size";
	else if (images->format == &format_vhdx &&
		 round_up(map->base_size, 512) != round_up(map->size, 512))
		*ret_why = "the disk has another size now, and a VHDX has that of its "
			   "parent";
	else
		return open_base(changes, x, disk, w, ret_why, err);
	return RP_OK;
}

/* Whether the image will be differential: *ret. */
static uint32_t choose_kind(const struct export_images *images, struct export_image *x,
			    const struct stream *s, struct export_changes *changes,
			    struct export_change *change, struct watch *w, bool *ret,
			    struct rp_error *err)
{
	const char *why = NULL;
	uint32_t rc;

	*ret = false;
	if (!change || change->map->whole)
		return RP_OK;
	rc = find_base(images, x, s->disk, changes, change->map, w, &why, err);
	if (rc)
		return rc;
	*ret = !why;
	return why ? export_changes_refuse(changes, s, why, w, err) : RP_OK;
}

static uint32_t write_tables(struct export_images *images, struct export_image *x,
			     struct stream *s, const struct change_map *map,
			     uint64_t cluster_size, struct rp_error *err)
{
	const struct format *format = images->format;
	struct image image = {.name = x->name, .source = &x->disk.source};
	char plan[DIGEST_TEXT_SIZE];
	int r;

	if (map) {
		x->changes.ranges = &map->ranges;
		image.next_change = next_change;
		image.changes = &x->changes;
		image.base_path = x->base_path;
		image.base_format = x->base_format;
		image.base = x->base;
	}
	r = format_grain(format, cluster_size, s->src.size, &image.grain);
	if (r == 0)
		r = image_plan(&image, plan);
	if (r == 0)
		r = resume_bind_plan(s, plan);
	if (r == 0)
		r = format->write(&s->dst, &image);
	if (r == -EOPNOTSUPP)
		return no_room(s, format, err);
	if (r == 0)
		r = format_open(format, &s->dst, &x->file);
	if (r == 0)
		r = journal_set_file_size(s->journal, s->slot, s->dst.size);
	if (r == 0)
		x->file->layer.path = s->dst_path;
	return r < 0 ? stream_fail(s, r, "lay out", s->dst_path, RP_NO_OFFSET, err)
		     : RP_OK;
}

/* Where the disk has data, for the layout and for the stream. */
static uint32_t look(struct export_image *x, struct stream *s,
		     const struct target *target, struct watch *w, struct rp_error *err)
{
	int r = data_map_make(&x->disk, &s->src, s->src_path, target->fd, w);

	s->data = &x->disk.source;
	if (watch_is_stop(r))
		return watch_fail(w, r, err);
	return r < 0 ? stream_fail(s, r, "map", s->src_path, RP_NO_OFFSET, err) : RP_OK;
}

/* Only the tables are made from it. */
static void close_base(struct export_image *x)
{
	image_close(take_ptr(x->base));
	io_file_close(&x->base_file);
}

static uint32_t lay_out(struct export_images *images, struct stream *s,
			struct export_changes *changes, struct export_change *change,
			const struct rp_export_options *o, const struct target *target,
			struct watch *w, struct rp_error *err)
{
	struct export_image *x = &images->disks[images->count++];
	bool differential = false;
	uint32_t rc;

	x->base_file = (struct io_file)IO_FILE_NONE;
	snprintf(x->name, sizeof(x->name), "%s of %s@%s", s->disk, target->system,
		 target->name);
	rc = check_source(s, images->format, err);
	if (rc == RP_OK)
		rc = look(x, s, target, w, err);
	if (rc == RP_OK && change && o->merge) {
		change->merged = !change->map->whole;
		stream_because(s, "a whole image, of what the point has");
	} else if (rc == RP_OK) {
		rc = choose_kind(images, x, s, changes, change, w, &differential, err);
	}
	if (rc == RP_OK)
		rc = write_tables(images, x, s, differential ? change->map : NULL,
				  o->cluster_size, err);
	close_base(x);
	if (rc)
		return rc;
	s->place = &x->file->place;
	if (differential) {
		change->differential = true;
		image_source_init(&x->changed, &x->disk.source, x->file);
		s->from = &x->changed.source;
	}
	return RP_OK;
}

uint32_t export_images_lay_out(struct export_images *images,
			       const struct rp_export_options *o,
			       struct export_changes *changes,
			       const struct target *target, struct export_disks *d,
			       struct watch *w, struct rp_error *err)
{
	uint32_t rc;

	images->format = format_of(o->format);
	if (!images->format)
		return RP_OK;
	watch_phase(w, "planning");
	images->disks = calloc(d->count + 1, sizeof(*images->disks));
	rc = images->disks ? RP_OK : rp_fail_os(err, -ENOMEM, "open", "disks");
	for (size_t i = 0; rc == RP_OK && i < d->count; i++) {
		struct export_change *change = i < changes->count ? &changes->disks[i]
								  : NULL;
		int r = watch_tick(w);

		rc = r < 0 ? watch_fail(w, r, err)
			   : lay_out(images, &d->streams[i], changes, change, o, target,
				     w, err);
	}
	chain_close(&changes->chain);
	return rc;
}

json_t *export_images_describe(const struct export_images *images, size_t i)
{
	const struct image_file *file = images->disks[i].file;

	return json_pack("{s:s, s:I, s:I}", "Format", images->format->name, "ClusterSize",
			 (json_int_t)file->grain, "FileSize",
			 (json_int_t)file->layer.file.size);
}

void export_images_close(struct export_images *images)
{
	for (size_t i = 0; i < images->count; i++) {
		image_close(images->disks[i].file);
		data_map_free(&images->disks[i].disk);
	}
	free(images->disks);
	*images = (struct export_images){0};
}
