/* SPDX-License-Identifier: MIT */
/*
 * exporting.h - one export on its way: from a checked request to a published folder
 */
#ifndef ENGINE_EXPORTING_H
#define ENGINE_EXPORTING_H

#include "store.h"

struct exporting;

/*
 * Checks everything that can be before work begins, locks the point and begins the
 * record of the job. @store outlives @ret; of the rest, copies are kept, except
 * options->watch. @options->settings were read by the caller.
 */
uint32_t exporting_new(struct rp_store *store, const char *point, const char *directory,
		       const struct rp_export_options *options, struct exporting **ret,
		       struct rp_error *err);

/* Exports, and ends the job. @ret_report may be NULL. */
uint32_t exporting_run(struct exporting *x, char **ret_report, struct rp_error *err);

void exporting_free(struct exporting *x); /* NULL is fine */

#endif
