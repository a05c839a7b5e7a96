/* SPDX-License-Identifier: MIT */
/*
 * format.c - what all image formats have in common
 */
#include "format.h"

#include <string.h>

#include "io/base.h"
#include "io/extent.h"

static const struct format *const formats[] = {
	[RP_FORMAT_RAW] = NULL,
	[RP_FORMAT_QCOW2] = &format_qcow2,
	[RP_FORMAT_VHDX] = &format_vhdx,
};

const struct format *format_find(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(formats); i++)
		if (formats[i] && !strcmp(formats[i]->name, name))
			return formats[i];
	return NULL;
}

const struct format *format_of(enum rp_format format)
{
	return formats[format];
}

int format_grain(const struct format *format, uint64_t wanted, uint64_t size,
		 uint64_t *ret)
{
	if (!wanted)
		wanted = format->choose(size);
	if (wanted & (wanted - 1) || wanted < format->min_grain ||
	    wanted > format->max_grain)
		return -EINVAL;
	*ret = wanted;
	return 0;
}

/* The run that holds @pos; that of the last time, as neighbours are asked for in turn. */
static int find(struct image_file *im, uint64_t pos, struct layer_range *ret)
{
	int r;

	if (pos >= im->layer.size)
		return -EBADMSG;
	if (pos < im->last.start || pos >= im->last.end) {
		r = im->format->map(im, pos, &im->last);
		if (r < 0) {
			im->last = (struct layer_range){};
			return r;
		}
	}
	*ret = im->last;
	ret->at += pos - ret->start;
	ret->start = pos;
	return 0;
}

/* Grains are placed whole: what of them is a hole in the file is zeros. */
static int image_at(struct layer *layer, uint64_t pos, struct layer_range *ret)
{
	struct image_file *im = container_of(layer, struct image_file, layer);
	struct layer_range range;
	uint64_t start, end;
	int r = find(im, pos, &range);

	if (r < 0)
		return r;
	if (range.state == LAYER_DATA) {
		uint64_t stop = range.at + (range.end - range.start);

		r = io_next_data(layer->file.tail_fd, range.at, stop, &start, &end);
		if (r < 0 && r != -ENXIO)
			return r;
		if (r < 0 || start > range.at) {
			range.state = LAYER_ZERO;
			end = r < 0 ? stop : start;
		}
		range.end = range.start + (min_u64(end, stop) - range.at);
	}
	*ret = range;
	return 0;
}

static int image_place(struct place *place, uint64_t pos, uint64_t *ret_at,
		       uint64_t *ret_end)
{
	struct image_file *im = container_of(place, struct image_file, place);
	struct layer_range range;
	int r = find(im, pos, &range);

	if (r < 0)
		return r;
	if (range.state != LAYER_DATA)
		return -EBADMSG;
	*ret_at = range.at;
	*ret_end = range.end;
	return 0;
}

int format_open(const struct format *format, const struct io_file *file,
		struct image_file **ret)
{
	int r = format->open(file, ret);

	if (r < 0)
		return r;
	(*ret)->format = format;
	(*ret)->layer.at = image_at;
	(*ret)->place.at = image_place;
	return 0;
}

void image_close(struct image_file *image)
{
	if (image)
		image->format->free(image);
}

static int image_source_next(struct source *source, uint64_t pos,
			     struct source_range *ret)
{
	struct image_source *s = container_of(source, struct image_source, source);
	struct layer_range place;
	int r;

	while (pos < source->size) {
		r = find(s->image, pos, &place);
		if (r < 0)
			return r;
		if (place.state == LAYER_DATA) {
			r = s->disk->next(s->disk, pos, ret);
			if (r < 0)
				return r;
			if (ret->start < place.end) {
				ret->end = min_u64(ret->end, place.end);
				return 0;
			}
		}
		pos = place.end;
	}
	return -ENXIO;
}

void image_source_init(struct image_source *s, struct source *disk,
		       struct image_file *image)
{
	*s = (struct image_source){
		.source = {.size = disk->size, .next = image_source_next},
		.disk = disk,
		.image = image,
	};
}
