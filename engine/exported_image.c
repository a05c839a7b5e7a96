/* SPDX-License-Identifier: MIT */
/*
 * exported_image.c - an image in an export, read as the disk it was made of
 */
#include "exported_image.h"

#include <inttypes.h>
#include <string.h>

#include "doc.h"

bool exported_is_image(const json_t *disk)
{
	const char *format;

	return doc_string(disk, "Format", &format) < 0 || strcmp(format, "raw") != 0;
}

/* Why it cannot be opened, in words. */
static uint32_t not_opened(const char *path, const char *format, int error,
			   struct rp_error *err)
{
	switch (error) {
	case -EBADMSG:
		return rp_fail(err, RP_UNKNOWN_STATUS, "open",
			       "open %s: damaged, or no image of format %s", path,
			       format);
	case -EOPNOTSUPP:
		return rp_fail(err, RP_NOT_SUPPORTED, "open",
			       "open %s: has what is not written here into an image of "
			       "format %s",
			       path, format);
	default:
		return rp_fail_os(err, error, "read", "%s", path);
	}
}

/* A sector may have more than the disk. */
static uint32_t check_size(const char *path, const struct image_file *image,
			   uint64_t size, struct rp_error *err)
{
	if (image->layer.size == round_up(size, 512))
		return RP_OK;
	return rp_fail(err, RP_FAILED, "check",
		       "check size of %s: of a disk of %" PRIu64
		       " bytes, the manifest says %" PRIu64,
		       path, image->layer.size, size);
}

uint32_t exported_image_open(const json_t *disk, const struct io_file *file,
			     const char *path, struct image_file **ret,
			     struct rp_error *err)
{
	const struct format *format;
	struct image_file *image = NULL;
	const char *id, *name;
	uint64_t size;
	uint32_t rc;
	int r;

	doc_string(disk, "DiskId", &id);
	doc_string(disk, "Format", &name);
	doc_u64(disk, "VirtualSize", &size);
	format = format_find(name);
	if (format) {
		r = format_open(format, file, &image);
		rc = r < 0 ? not_opened(path, name, r, err)
			   : check_size(path, image, size, err);
	} else {
		rc = rp_fail(err, RP_NOT_SUPPORTED, "open",
			     "open %s: of format %s, which is not known", path, name);
	}
	if (rc) {
		image_close(image);
		rp_fail_of(err, NULL, id);
		return rc;
	}
	image->layer.size = image->layers.source.size = size;
	image->layer.path = path;
	*ret = image;
	return RP_OK;
}

/* The first grains at or after @pos that the list touches; behind the disk if none. */
static int next_touched(const struct image_file *image, struct change_list *list,
			uint64_t pos, uint64_t *ret_start, uint64_t *ret_end)
{
	struct layer_range change;
	int r = change_list_next(list, pos, &change);

	*ret_start = *ret_end = image->layer.size;
	if (r < 0)
		return r == -ENXIO ? 0 : r;
	*ret_start = round_down(max_u64(change.start, pos), image->grain);
	*ret_end = round_up(change.end, image->grain);
	return 0;
}

int exported_image_fits(struct image_file *image, struct change_list *list,
			uint64_t *ret_offset)
{
	uint64_t pos = 0, start = 0, end = 0;
	struct layer_range has = {0};

	while (pos < image->layer.size) {
		/* To map a run takes time, the longer it is. */
		int r = pos < has.end ? 0 : image->format->map(image, pos, &has);

		*ret_offset = pos;
		if (r == 0)
			r = next_touched(image, list, pos, &start, &end);
		if (r < 0)
			return r == -EOPNOTSUPP ? -EBADMSG : r;
		if (has.end <= pos || (has.state != LAYER_BELOW && start > pos))
			return -EBADMSG;
		if (has.state == LAYER_BELOW && start < has.end) {
			*ret_offset = start;
			return -EBADMSG;
		}
		pos = has.state == LAYER_BELOW ? has.end : min_u64(has.end, end);
	}
	return 0;
}

int exported_image_mapped(struct image_file *image, uint64_t *ret_offset)
{
	struct layer_range has = {0};
	int r = 0;

	while (r == 0 && has.end < image->layer.size) {
		*ret_offset = has.end;
		r = image->format->map(image, has.end, &has);
	}
	return r;
}

static void close_stream(struct source *source)
{
	image_close(container_of(source, struct image_file, layers.source));
}

uint32_t exported_image_stream(const json_t *disk, struct stream *s, struct rp_error *err)
{
	struct image_file *image;
	uint32_t rc = exported_image_open(disk, &s->src, s->src_path, &image, err);

	if (rc)
		return rc;
	image->layers.source.close = close_stream;
	s->from = &image->layers.source;
	return RP_OK;
}
