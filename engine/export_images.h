/* SPDX-License-Identifier: MIT */
/*
 * export_images.h - the disks of an export as images of a format: tables written, places
 * known
 */
#ifndef ENGINE_EXPORT_IMAGES_H
#define ENGINE_EXPORT_IMAGES_H

#include <jansson.h>

#include "export_disks.h"
#include "format.h"

/* Of one disk. */
struct export_image {
	struct layer raw; /* the disk of the point; the file is the stream's */
	struct layer *layer;
	struct layers layers;
	struct image_file *file; /* what it becomes */
};

struct export_images {
	const struct format *format; /* NULL: raw, there is nothing to do */
	struct export_image *disks;  /* as many as the export has */
	size_t count;
};

/* Before anything is made: whether there are such clusters in the format. */
uint32_t export_images_check(const struct rp_export_options *options,
			     struct rp_error *err);

/*
 * Writes the tables of every image and lets the streams of @disks, which are open, put
 * the data into its place. RP_NOT_SUPPORTED: the format has no room for such a disk, or
 * it is an image itself.
 */
uint32_t export_images_lay_out(struct export_images *images,
			       const struct rp_export_options *options,
			       struct export_disks *disks, struct watch *w,
			       struct rp_error *err);

/* What the manifest says of the image of disk @i; NULL = no memory. */
json_t *export_images_describe(const struct export_images *images, size_t i);

void export_images_close(struct export_images *images); /* zeros are fine */

#endif
