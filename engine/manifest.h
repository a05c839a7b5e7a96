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

/* The manifest of a full export of @point by @job ("" = one without a record), without
 * disks and config files. NULL = no memory. */
json_t *manifest_new(const struct point *point, const char *job);

/* Adds a disk that @s brought to @file; @leaves is the name of its digest file, or
 * NULL. 0 or -errno. */
int manifest_add_disk(json_t *manifest, const struct stream *s, const char *file,
		      const char *leaves, struct watch *w);

/* Says more of the disk that was added last; takes over @members, which may be NULL: no
 * memory. 0 or -errno. */
int manifest_add_to_disk(json_t *manifest, json_t *members);

/* The export is of this kind, and has a base. */
int manifest_set_base(json_t *manifest, const char *kind, const char *base_id);

/* Adds config file @name (in config/) with its digest. */
int manifest_add_config(json_t *manifest, const char *name, const char *digest);

#endif
