/* SPDX-License-Identifier: MIT */
/*
 * export_changes.h - what an export that has a base knows of its disks: what changed
 *
 * A disk without a usable base is exported in full, with a warning, or refused.
 */
#ifndef ENGINE_EXPORT_CHANGES_H
#define ENGINE_EXPORT_CHANGES_H

#include <jansson.h>

#include "chain.h"
#include "change.h"
#include "export_disks.h"
#include "exported.h"
#include "layer_diff.h"

/* Of one disk. */
struct export_change {
	struct change_map *map;
	bool differential; /* its file holds only what changed, and has a list */
	bool merged;	   /* with the base's export, to a whole disk */
	char list[NAME_SIZE + 16];
	/* The source of such a disk. */
	struct layer_diff diff;
	struct layer *layer;
	struct layers layers;
};

struct export_changes {
	struct point base; /* unopened: the export has none */
	bool strict;
	/* Of the base: a disk that cannot be restored from it is exported in full. */
	bool needs_export;
	char *exported_path; /* where the base's export is, if it is beside the new one */
	struct exported exported;    /* that; unopened: there is none */
	struct chain chain;	     /* and what of its own its disks need, so far */
	struct export_change *disks; /* as many as the export has */
	size_t count;
};

#define EXPORT_CHANGES_NONE                                    \
	{                                                      \
		.base = POINT_NONE, .exported = EXPORTED_NONE, \
	}

/* Opens and locks base point @ref, which must be one for @point. */
uint32_t export_changes_begin(struct export_changes *c, struct rp_store *store,
			      const char *ref, const struct point *point, bool strict,
			      struct watch *w, struct rp_error *err);

/* Finds out what has changed on @disks, which are open, and what beside @target there is
 * of the base. RP_INVALID_STATE if one has no usable base and that is not allowed. */
uint32_t export_changes_find(struct export_changes *c, const struct point *point,
			     const struct target *target,
			     const struct export_disks *disks,
			     const struct tuning *tuning, struct watch *w,
			     struct rp_error *err);

/* What the base's export beside the new one has of the disk, borrowed; NULL if nothing.
 */
const json_t *export_changes_exported(const struct export_changes *c, const char *disk);

/* Lets c->chain have all that the disk needs of it. It is one of all disks, opened by the
 * first of them and closed after the last, or to begin again. @check: as chain_rest(). */
uint32_t export_changes_reach(struct export_changes *c, const char *disk, bool check,
			      struct rp_error *err);

/* Whether that is there to restore a disk of @size bytes from; no data is read. */
uint32_t export_changes_check_exported(struct export_changes *c, const char *disk,
				       uint64_t size, struct watch *w,
				       struct rp_error *err);

/* The changes of a disk cannot be exported as such, for @reason: a warning, or if that is
 * not allowed RP_INVALID_STATE. */
uint32_t export_changes_refuse(const struct export_changes *c, const struct stream *s,
			       const char *reason, const struct watch *w,
			       struct rp_error *err);

/* The source of @s, which has a usable base, becomes a layer of what has changed; and
 * back. */
struct layer *export_change_layer(struct export_change *change, struct stream *s);
void export_change_give_back(struct export_change *change, struct stream *s);

/* Lets the streams of @disks move only what has changed; one whose base is not beside the
 * new export, or cannot be restored there, is warned of, or if that is not allowed
 * RP_INVALID_STATE. */
uint32_t export_changes_apply(struct export_changes *c, struct export_disks *disks,
			      struct watch *w, struct rp_error *err);

/* After disk @i is complete and in the manifest: its list, which is synced with what else
 * @target has, and what is said of it. 0 or -errno. */
int export_changes_finish(struct export_changes *c, size_t i, const struct point *point,
			  const struct export_disks *disks, struct target *target,
			  json_t *manifest);

void export_changes_close(struct export_changes *c); /* unopened is fine */

#endif
