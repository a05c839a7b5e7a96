/* SPDX-License-Identifier: MIT */
/*
 * exported_image.h - an image in an export, read as the disk it was made of
 */
#ifndef ENGINE_EXPORTED_IMAGE_H
#define ENGINE_EXPORTED_IMAGE_H

#include <jansson.h>

#include "change_list.h"
#include "format.h"
#include "stream.h"

/* Whether @disk of a manifest is in a format of its own, not raw. */
bool exported_is_image(const json_t *disk);

/*
 * Opens the image @disk, whose file is open and stays the caller's; @path is for people
 * and kept. RP_NOT_SUPPORTED: of an unknown format, or not an image that is written here;
 * RP_UNKNOWN_STATUS: damaged; RP_FAILED: of a disk of another size.
 */
uint32_t exported_image_open(const json_t *disk, const struct io_file *file,
			     const char *path, struct image_file **ret,
			     struct rp_error *err);

/*
 * Whether a differential image leaves to its base all the grains that @list does not
 * touch, and no other: 0, -EBADMSG with the first that is different, or -errno.
 */
int exported_image_fits(struct image_file *image, struct change_list *list,
			uint64_t *ret_offset);

/* Whether the tables of an image tell of the whole disk: 0, or -errno with the first
 * position of which they do not. */
int exported_image_mapped(struct image_file *image, uint64_t *ret_offset);

/* Lets @s, whose src is the file, read the disk in it; what a differential image leaves
 * to its base is zeros. The source is to be closed before src is. */
uint32_t exported_image_stream(const json_t *disk, struct stream *s,
			       struct rp_error *err);

#endif
