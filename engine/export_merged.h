/* SPDX-License-Identifier: MIT */
/*
 * export_merged.h - the disks of an export that is merged with that of its base
 *
 * If the directory holds an export of the base, its images and what has changed make
 * whole ones. It stays as it is.
 */
#ifndef ENGINE_EXPORT_MERGED_H
#define ENGINE_EXPORT_MERGED_H

#include "export_changes.h"
#include "tuning.h"

/* Instead of copy_streams(). A disk that cannot be merged is exported in full, with a
 * warning, or refused. */
uint32_t export_merged(struct export_changes *changes, struct export_disks *disks,
		       const struct target *target, const struct tuning *tuning,
		       struct watch *w, struct rp_error *err);

#endif
