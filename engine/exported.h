/* SPDX-License-Identifier: MIT */
/*
 * exported.h - an export that is read: to verify, restore or merge it, or as a base
 */
#ifndef ENGINE_EXPORTED_H
#define ENGINE_EXPORTED_H

#include <jansson.h>
#include <sys/types.h>

#include "change_list.h"
#include "stream.h"

struct exported {
	const char *path;   /* borrowed */
	const char *system; /* the manifest's */
	int fd;		    /* of the folder; closed: see exported_rest() */
	dev_t dev;
	ino_t ino;
	json_t *manifest; /* checked: Disks[], ConfigFiles[] */
	json_t *by_id;	  /* the same disks */
};

#define EXPORTED_NONE    \
	{                \
		.fd = -1 \
	}

uint32_t exported_check_options(const struct rp_read_options *options,
				struct rp_error *err);
uint32_t exported_open(const char *path, struct exported *ret, struct rp_error *err);
void exported_close(struct exported *e); /* unopened is fine */

/* Closes the folder of one of which files are read again only later, if at all; and opens
 * it: -ENOENT if another one is there now. */
void exported_rest(struct exported *e);
int exported_wake(const struct exported *e);

/* Whether something in folder @path says that it is an export. */
bool exported_is_there(const char *path);

/* Whether at its path is another one now: it was merged, and the old one is gone, or will
 * be. */
bool exported_was_merged(const struct exported *e);

/* A folder may have any name. RP_UNKNOWN_STATUS if it is not the export of that point. */
uint32_t exported_check_point(const struct exported *e, const char *system,
			      const char *id, struct rp_error *err);

json_t *exported_disks(const struct exported *e);

/* Borrowed; NULL if it does not have this disk. */
json_t *exported_disk(const struct exported *e, const char *id);

/* Whether the file of the disk holds only what has changed since the base. */
bool exported_is_differential(const json_t *disk);

/* ReferencePointId of the base; there is one if a disk is differential. */
const char *exported_base(const struct exported *e);

/* Opens the file of a disk, and checks its size; @path is for people. */
uint32_t exported_open_file(const struct exported *e, const json_t *disk,
			    const char *path, struct io_file *ret, struct rp_error *err);

/* The same, whatever its size: for what can be had of it. */
uint32_t exported_open_some(const struct exported *e, const json_t *disk,
			    const char *path, struct io_file *ret, struct rp_error *err);

/* Opens the list of a differential disk, and checks that it is the one. */
uint32_t exported_open_list(const struct exported *e, const json_t *disk, struct watch *w,
			    struct change_list **ret, struct rp_error *err);

/*
 * Opens one of exported_disks() as the source of @s, which is zeroed but for the
 * destination; its size and its leaves, if it has any, are checked here. Free with
 * exported_close_disk(). @disk outlives @s.
 */
uint32_t exported_open_disk(const struct exported *e, const json_t *disk,
			    struct stream *s, struct watch *w, struct rp_error *err);
void exported_close_disk(struct stream *s);

/* What is beside the disks: the config files are those of the manifest, and that says all
 * that it is to say. */
uint32_t exported_check_beside(const struct exported *e, struct rp_error *err);

/* Before its folder is removed: RP_INVALID_STATE if something lies in it that is no part
 * of the export. */
uint32_t exported_check_alone(const struct exported *e, struct rp_error *err);

#endif
