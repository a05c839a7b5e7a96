/* SPDX-License-Identifier: MIT */
/*
 * format.h - an image format: how a disk is laid out in a file that hypervisors open
 *
 *	write()	tables in front, then a place for every grain (cluster, block) with data,
 *		in the order of the disk; the data is put there by others (place.h)
 *	open()	the tables understood again: a layer to read from, a place to write to
 *
 * A full image has the grains of a disk that hold data; a differential one those that
 * changed, each of them whole, and leaves the others to the image it is based on. Raw is
 * no format: there is nothing to lay out.
 *
 * Memory is bounded by a few MiB whatever the disk: a writer goes over the ranges twice,
 * first counting, and tables are read a block at a time. What is read is not trusted.
 *
 * The same image is laid out the same, to the byte, each time: what an interrupted export
 * has put into its places stays there, while the tables are written again.
 */
#ifndef ENGINE_FORMAT_H
#define ENGINE_FORMAT_H

#include <stdbool.h>
#include <stdint.h>

#include <refpoint.h>

#include "digest.h"
#include "io/file.h"
#include "layer.h"
#include "place.h"
#include "plan.h"
#include "source.h"

#define IMAGE_ID_SIZE 16

struct image_file;

/* What is to be laid out. */
struct image {
	/* Of these contents of this disk, and of no others: what an image is known by is
	 * made of it. */
	const char *name;
	struct source *source; /* the disk, its size and its data; borrowed */
	uint64_t grain;	       /* format_grain() */

	/* Of a differential image; NULL: full. The first changed range at or after a
	 * position, whether it has data now or not. */
	plan_next_data *next_change;
	void *changes;
	const char *base_path;	 /* relative to the folder of the image, with slashes */
	const char *base_format; /* "raw" or a format's name */
	/* The base itself, opened, if it has the same format; else NULL. */
	const struct image_file *base;
};

/* An image whose tables are understood. */
struct image_file {
	struct layer layer;  /* its size is a multiple of 512 */
	struct layer *alone; /* of it, and what it alone has */
	struct layers layers;
	struct place place; /* for the same file while it is filled */
	const struct format *format;
	uint64_t grain;
	bool based;			   /* unallocated: see below, else zeros */
	uint8_t content_id[IMAGE_ID_SIZE]; /* VHDX: of these contents, and of the disk */
	uint8_t disk_id[IMAGE_ID_SIZE];
	struct layer_range last; /* the one that was asked for last */
	struct layer raw;	 /* the same file as it is: where it has holes */
};

struct format {
	const char *name;   /* in options and manifests */
	const char *suffix; /* of file names */
	uint64_t min_grain, max_grain;
	/* The grain for a disk of that many bytes. */
	uint64_t (*choose)(uint64_t size);
	/*
	 * Writes the tables of @image to @file and gives it its size. The file is empty
	 * or has the same image, whose data is left as it is. All but the data is there
	 * then, not yet on stable storage. -EOPNOTSUPP: the format has no room for such a
	 * disk; -ENAMETOOLONG.
	 */
	int (*write)(struct io_file *file, const struct image *image);
	/* -EOPNOTSUPP: something that is not written here; -EBADMSG: damaged. */
	int (*open)(const struct io_file *file, struct image_file **ret);
	/* The run of like grains that holds @pos: as a layer's at(), holes not seen. */
	int (*map)(struct image_file *image, uint64_t pos, struct layer_range *ret);
	void (*free)(struct image_file *image);
};

extern const struct format format_qcow2, format_vhdx;

/* NULL: no such format, or raw. */
const struct format *format_find(const char *name);
const struct format *format_of(enum rp_format format);

/*
 * The grain to use: @wanted or, if that is 0, the format's choice. 0, -EINVAL if @wanted
 * is no power of two or not one that the format has.
 */
int format_grain(const struct format *format, uint64_t wanted, uint64_t size,
		 uint64_t *ret);

/*
 * Understands the tables of @file, which stays the caller's, open as long as the image;
 * or it is closed by layer_close() of the image's layer. image_close() does not close it.
 */
int format_open(const struct format *format, const struct io_file *file,
		struct image_file **ret);

void image_close(struct image_file *image); /* NULL is fine */

/* For formats: the file has its size of @end bytes, and those before @data_at are 0. */
int image_begin(struct io_file *file, uint64_t data_at, uint64_t end);

/* For formats: an ID that follows from the name and from what it is of. */
void image_id(const struct image *image, const char *of, uint8_t ret[IMAGE_ID_SIZE]);

/* A hash of all that the layout follows from. 0 or -errno. */
int image_plan(const struct image *image, char ret[DIGEST_TEXT_SIZE]);

/* The data of a disk that has a place in an image of it: all, or what has changed. */
struct image_source {
	struct source source;
	struct source *disk;
	struct image_file *image;
};

/* Both are borrowed. */
void image_source_init(struct image_source *s, struct source *disk,
		       struct image_file *image);

#endif
