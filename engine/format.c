/* SPDX-License-Identifier: MIT */
/*
 * format.c - what all image formats have in common
 */
#include "format.h"

#include <string.h>
#include <xxhash.h>

#include "grains.h"
#include "io/base.h"

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
	struct layer_range range, has;
	int r = find(im, pos, &range);

	if (r < 0)
		return r;
	if (range.state == LAYER_DATA) {
		uint64_t stop = range.at + (range.end - range.start);

		r = im->raw.at(&im->raw, range.at, &has);
		if (r < 0)
			return r;
		range.state = has.state;
		range.end = range.start + (min_u64(has.end, stop) - range.at);
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

/* What has no place is passed over: the next place is that of what follows. */
static int image_behind(struct place *place, uint64_t pos, uint64_t *ret_at)
{
	struct image_file *im = container_of(place, struct image_file, place);
	struct layer_range range = {.at = im->layer.file.size};
	int r = 0;

	while (pos < im->layer.size) {
		r = find(im, pos, &range);
		if (r < 0)
			return r;
		if (range.state == LAYER_DATA)
			break;
		pos = range.end;
		range.at = im->layer.file.size;
	}
	*ret_at = range.at;
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
	(*ret)->raw.file = *file;
	layer_raw(&(*ret)->raw);
	(*ret)->alone = &(*ret)->layer;
	layers_init(&(*ret)->layers, &(*ret)->alone, 1);
	(*ret)->place = (struct place){
		.at = image_place,
		.behind = image_behind,
		.written = &(*ret)->layers.source,
	};
	return 0;
}

void image_close(struct image_file *image)
{
	if (image)
		image->format->free(image);
}

int image_begin(struct io_file *file, uint64_t data_at, uint64_t end)
{
	bool empty = !file->size;
	int r = io_file_set_size(file, end);

	return r < 0 || empty ? r : io_file_clear(file, 0, data_at);
}

void image_id(const struct image *image, const char *of, uint8_t ret[IMAGE_ID_SIZE])
{
	uint64_t seed = XXH3_64bits(of, strlen(of));
	XXH128_canonical_t id;

	XXH128_canonicalFromHash(
		&id, XXH3_128bits_withSeed(image->name, strlen(image->name), seed));
	memcpy(ret, id.digest, IMAGE_ID_SIZE);
}

static void hash_text(XXH3_state_t *hash, const char *text)
{
	XXH3_128bits_update(hash, text ?: "", strlen(text ?: "") + 1);
}

/* The grains that have a place, and the bits of a bitmap. */
static int hash_ranges(XXH3_state_t *hash, const struct image *image)
{
	uint64_t change[2] = {0, 0};
	struct grain_run run;
	struct grains g;
	int r;

	grains_init(&g, image);
	while ((r = grains_next(&g, &run)) == 0) {
		const uint64_t words[] = {run.start, run.end, run.zero};

		XXH3_128bits_update(hash, words, sizeof(words));
	}
	while (r == -ENXIO && image->next_change && change[1] < image->source->size) {
		r = image->next_change(image->changes, change[1], &change[0], &change[1]);
		if (r < 0)
			break;
		XXH3_128bits_update(hash, change, sizeof(change));
		r = -ENXIO;
	}
	return r == -ENXIO ? 0 : r;
}

int image_plan(const struct image *image, char ret[DIGEST_TEXT_SIZE])
{
	const uint64_t sizes[] = {image->source->size, image->grain};
	XXH3_state_t *hash = XXH3_createState();
	XXH128_canonical_t canonical;
	int r;

	if (!hash)
		return -ENOMEM;
	XXH3_128bits_reset(hash);
	hash_text(hash, image->name);
	hash_text(hash, image->base_path);
	hash_text(hash, image->base_format);
	if (image->base)
		XXH3_128bits_update(hash, image->base->content_id, IMAGE_ID_SIZE);
	XXH3_128bits_update(hash, sizes, sizeof(sizes));
	r = hash_ranges(hash, image);
	XXH128_canonicalFromHash(&canonical, XXH3_128bits_digest(hash));
	digest_text(canonical.digest, ret);
	XXH3_freeState(hash);
	return r;
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
