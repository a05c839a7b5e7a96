/* SPDX-License-Identifier: MIT */
/*
 * export_disks.h - the disks of one export: which, and their files at both ends
 */
#ifndef ENGINE_EXPORT_DISKS_H
#define ENGINE_EXPORT_DISKS_H

#include "journal.h"
#include "point.h"
#include "stream.h"
#include "target.h"

/* File names of one disk in the export. */
struct export_disk {
	char file[NAME_SIZE + 8];
	char leaves[NAME_SIZE + 8];
	char *src_path; /* for people */
	char *dst_path;
};

struct export_disks {
	struct stream *streams;
	struct export_disk *disks;
	size_t count;
};

/* Whether disk @id is one that @options name. */
bool export_disks_wanted(const struct rp_export_options *options, const char *id);

/* Whether @point has the disks that @options name, and their data. */
uint32_t export_disks_check(const struct point *point,
			    const struct rp_export_options *options,
			    struct rp_error *err);

/*
 * Opens each disk in the point and its files in the partial folder: new ones, except of
 * disks that have a mark in @journal, whose streams then begin there. New ones of images
 * are empty yet.
 */
uint32_t export_disks_open(struct rp_store *store, const struct point *point,
			   const struct target *target,
			   const struct rp_export_options *options,
			   struct journal *journal, struct export_disks *ret,
			   struct rp_error *err);

/* After disk @i is complete: keeps its leaves if they are too, else removes them; what is
 * to be synced is added to the target's. 0 or -errno. */
int export_disks_finish(struct export_disks *d, size_t i, struct target *target);

void export_disks_close(struct export_disks *d); /* zeros are fine */

#endif
