/* SPDX-License-Identifier: MIT */
/*
 * worker.h - the thread that does a job
 */
#ifndef ENGINE_WORKER_H
#define ENGINE_WORKER_H

#include "exporting.h"

/* Both begin a job and start a thread for it, with a store handle of its own, or give the
 * error of what could be checked at once. */
uint32_t worker_export(struct rp_store *store, const char *point, const char *directory,
		       const struct rp_export_options *options, struct rp_job **ret,
		       struct rp_error *err);
uint32_t worker_resume(struct rp_store *store, const char *id, struct rp_error *err);

#endif
