/* SPDX-License-Identifier: MIT */
/*
 * export_images.h - the disks of an export as images of a format: tables written, places
 * known
 */
#ifndef ENGINE_EXPORT_IMAGES_H
#define ENGINE_EXPORT_IMAGES_H

#include <jansson.h>

#include "data_map.h"
#include "export_changes.h"
#include "export_disks.h"
#include "format.h"

/* Of one disk. */
struct export_image {
	char name[2 * NAME_SIZE + ID_SIZE];
	struct data_map disk;	 /* of the point; the file is the stream's */
	struct image_file *file; /* what it becomes */
	/* If that is differential: */
	struct ranges_cursor changes;
	struct image_source changed; /* of the disk, the clusters that are in it */
	char base_path[2 * NAME_SIZE + ID_SIZE];
	const char *base_format;
	struct io_file base_file;
	struct image_file *base; /* NULL: it is raw */
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
 * Writes the tables of every image, again if a part of the data is there, and lets the
 * streams of @disks, which are open, put the data into its place. If @changes has a base,
 * images are based on that point's export in the same directory; a disk that has none
 * there is exported in full, with a warning, or refused. RP_NOT_SUPPORTED: the format has
 * no room for such a disk, or it is an image itself.
 */
uint32_t export_images_lay_out(struct export_images *images,
			       const struct rp_export_options *options,
			       struct export_changes *changes,
			       const struct target *target, struct export_disks *disks,
			       struct watch *w, struct rp_error *err);

/* What the manifest says of the image of disk @i; NULL = no memory. */
json_t *export_images_describe(const struct export_images *images, size_t i);

void export_images_close(struct export_images *images); /* zeros are fine */

#endif
