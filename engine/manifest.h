/* SPDX-License-Identifier: MIT */
/*
 * manifest.h - export.json: what an export holds, and the proof that it does
 *
 * Beside it lie one file per disk, for each disk with a digest the file of its
 * leaves (digest.h), and config/.
 */
#ifndef ENGINE_MANIFEST_H
#define ENGINE_MANIFEST_H

#include <jansson.h>

#include "point.h"
#include "stream.h"

/* The manifest of a full export of @point, without disks and config files. NULL =
 * no memory. */
json_t *manifest_new(const struct point *point);

/* Adds a disk that @s brought to @file; @leaves is the name of its digest file, or
 * NULL. 0 or -errno. */
int manifest_add_disk(json_t *manifest, const struct stream *s, const char *file,
		      const char *leaves);

/* Adds config file @name (in config/) with its digest. */
int manifest_add_config(json_t *manifest, const char *name, const char *digest);

/* An export that is read: by verify and restore. */
struct exported {
	const char *path;   /* borrowed */
	const char *system; /* the manifest's */
	int fd;
	json_t *manifest; /* checked: Disks[], ConfigFiles[] */
};

#define EXPORTED_NONE    \
	{                \
		.fd = -1 \
	}

uint32_t exported_check_options(const struct rp_read_options *options,
				struct rp_error *err);
uint32_t exported_open(const char *path, struct exported *ret, struct rp_error *err);
void exported_close(struct exported *e); /* unopened is fine */

json_t *exported_disks(const struct exported *e);

/*
 * Opens one of exported_disks() as the source of @s, which is zeroed but for the
 * destination; its size and its leaves, if it has any, are checked here. Free with
 * exported_close_disk(). @disk outlives @s.
 */
uint32_t exported_open_disk(const struct exported *e, const json_t *disk,
			    struct stream *s, struct rp_error *err);
void exported_close_disk(struct stream *s);

/* Compares the config files with the manifest. */
uint32_t exported_check_configs(const struct exported *e, struct rp_error *err);

#endif
