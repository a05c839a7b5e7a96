/* SPDX-License-Identifier: MIT */
/*
 * image_fixture.h - images of a disk that changes from point to point, and their judges:
 * QEMU's tools, libvhdi, and our own reader
 *
 * The disk at point N is DIR/N/vda.raw, its image DIR/N/vda.qcow2 or vda.vhdx, based on
 * that of point N-1 where it is differential.
 */
#ifndef TESTS_IMAGE_FIXTURE_H
#define TESTS_IMAGE_FIXTURE_H

#include <limits.h>

#include "engine/format.h"

#define IMAGE_MAX_POINTS 10

/* What has changed since the point before, as ranges of sectors marked one by one. */
struct image_changes {
	uint8_t *sector; /* NULL: nothing is told, everything has changed */
	uint64_t count;
};

struct image_disk {
	char dir[PATH_MAX];
	unsigned points;
	struct image_changes changes[IMAGE_MAX_POINTS];
	struct layer *layer[IMAGE_MAX_POINTS];	   /* of each point's image; opened */
	struct image_file *file[IMAGE_MAX_POINTS]; /* NULL: the image is raw */
};

/* A path below the disk's folder; overwritten by the eighth call after it. */
const char *image_path(const struct image_disk *d, unsigned point, const char *suffix);

/* Marks [start, end) as changed at the last point. */
void image_changed(struct image_disk *d, uint64_t start, uint64_t end);

/* A plan_next_data of struct image_changes. */
int image_next_change(void *changes, uint64_t pos, uint64_t *ret_start,
		      uint64_t *ret_end);

/* A new point: its raw file like that of the point before, which must be made for
 * point 0, and nothing changed. Room for changes up to @size. */
void image_add_point(struct image_disk *d, uint64_t size);

/*
 * Lays out the image of @point and fills it. @based: on that of the point before, else
 * full. 0 or what the format says; the image is opened then, in d->file[].
 */
int image_write(struct image_disk *d, unsigned point, const struct format *format,
		uint64_t grain, bool based);

/* The raw file itself as the image of @point. */
void image_is_raw(struct image_disk *d, unsigned point);

/* Each ends the test with a failure if the image of @point, read through its chain, is
 * not the raw file. */
void image_judge_reader(struct image_disk *d, unsigned point);
void image_judge_qemu(struct image_disk *d, unsigned point);
void image_judge_vhdi(struct image_disk *d, unsigned point);

/* The same if its tables, spoilt, are not the same when they are laid out again. */
void image_judge_again(struct image_disk *d, unsigned point);

void image_free(struct image_disk *d);

/* Runs a command line made of @format; its output is shown if it fails: ends the test. */
void image_run(const char *format, ...) __attribute__((format(printf, 1, 2)));

#endif
