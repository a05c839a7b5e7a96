/* SPDX-License-Identifier: MIT */
/*
 * export_images.c - laying out the images of an export
 */
#include "export_images.h"

#include <inttypes.h>
#include <string.h>

#include "io/tree.h"

uint32_t export_images_check(const struct rp_export_options *o, struct rp_error *err)
{
	const struct format *format = format_of(o->format);
	uint64_t grain;

	if (format && o->base)
		return rp_fail(err, RP_NOT_SUPPORTED, "check",
			       "format %s: no differential images yet", format->name);
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

/* Whether the disk is a qcow2 image: its tables would be taken for the disk's data. */
static int is_image(const struct stream *s, bool *ret)
{
	uint8_t head[8] = {0};
	int r = s->src.size < sizeof(head)
			? 0
			: io_pread_all(s->src.tail_fd, head, sizeof(head), 0);

	*ret = !memcmp(head, "QFI\xfb\0\0\0", 7) && (head[7] == 2 || head[7] == 3);
	return r;
}

static uint32_t check_source(const struct stream *s, const struct format *format,
			     struct rp_error *err)
{
	bool image;
	int r = is_image(s, &image);

	if (r < 0)
		return stream_fail(s, r, "read", s->src_path, 0, err);
	if (!image)
		return RP_OK;
	rp_fail(err, RP_NOT_SUPPORTED, "check",
		"check %s: is a qcow2 image itself and cannot become %s; export it as it "
		"is, with format raw",
		s->src_path, format->name);
	rp_fail_of(err, NULL, s->disk);
	return RP_NOT_SUPPORTED;
}

static uint32_t no_room(const struct stream *s, const struct format *format,
			struct rp_error *err)
{
	rp_fail(err, RP_NOT_SUPPORTED, "lay out",
		"lay out %s: a disk of %" PRIu64 " bytes is more than %s can hold",
		s->dst_path, s->src.size, format->name);
	rp_fail_of(err, NULL, s->disk);
	return RP_NOT_SUPPORTED;
}

static uint32_t lay_out(struct export_images *images, struct stream *s,
			uint64_t cluster_size, struct rp_error *err)
{
	struct export_image *x = &images->disks[images->count++];
	const struct format *format = images->format;
	struct image image = {.source = &x->layers.source};
	int r;

	x->raw.file = s->src;
	x->raw.path = s->src_path;
	layer_raw(&x->raw);
	x->layer = &x->raw;
	layers_init(&x->layers, &x->layer, 1);
	r = format_grain(format, cluster_size, s->src.size, &image.grain);
	if (r == 0)
		r = format->write(&s->dst, &image);
	if (r == -EOPNOTSUPP)
		return no_room(s, format, err);
	if (r == 0)
		r = format_open(format, &s->dst, &x->file);
	if (r < 0)
		return stream_fail(s, r, "lay out", s->dst_path, RP_NO_OFFSET, err);
	s->place = &x->file->place;
	return RP_OK;
}

uint32_t export_images_lay_out(struct export_images *images,
			       const struct rp_export_options *o, struct export_disks *d,
			       struct watch *w, struct rp_error *err)
{
	uint32_t rc = RP_OK;

	images->format = format_of(o->format);
	if (!images->format)
		return RP_OK;
	watch_phase(w, "planning");
	images->disks = calloc(d->count + 1, sizeof(*images->disks));
	if (!images->disks)
		return rp_fail_os(err, -ENOMEM, "open", "disks");
	for (size_t i = 0; rc == RP_OK && i < d->count; i++) {
		struct stream *s = &d->streams[i];
		int r = watch_tick(w);

		rc = r < 0 ? watch_fail(w, r, err) : check_source(s, images->format, err);
		if (rc == RP_OK)
			rc = lay_out(images, s, o->cluster_size, err);
	}
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
	for (size_t i = 0; i < images->count; i++)
		image_close(images->disks[i].file);
	free(images->disks);
	*images = (struct export_images){0};
}
