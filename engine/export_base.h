/* SPDX-License-Identifier: MIT */
/*
 * export_base.h - the base that is told by what a directory has exports of
 */
#ifndef ENGINE_EXPORT_BASE_H
#define ENGINE_EXPORT_BASE_H

#include "point.h"

/* Whether @ref is "[SYSTEM]@exported", which a directory makes a point of. */
bool export_base_is_told(const char *ref);

/*
 * The newest point that is older than @of and that @directory has an export of: its name.
 * RP_NOT_AVAILABLE, step "find", if there is none; an export that cannot be read is
 * passed over with a warning. Free the name.
 */
uint32_t export_base_find(struct rp_store *store, const char *ref, const struct point *of,
			  const char *directory, const struct watch *w, char **ret_name,
			  struct rp_error *err);

#endif
