/* SPDX-License-Identifier: MIT */
/*
 * exporting.h - one export on its way: from a checked request to a published folder
 */
#ifndef ENGINE_EXPORTING_H
#define ENGINE_EXPORTING_H

#include "gear.h"
#include "io/ferry.h"
#include "store.h"

struct exporting;

/*
 * Checks everything that can be before work begins, locks the point and begins the
 * record of the job. @store outlives @ret; of the rest, copies are kept, except
 * options->watch. @options->settings were read by the caller. If it is @queued, it waits
 * for its turn before it works.
 */
uint32_t exporting_new(struct rp_store *store, const char *point, const char *directory,
		       const struct rp_export_options *options, bool queued,
		       struct exporting **ret, struct rp_error *err);

/* The same of a job that has ended and is resumable, as its record says. */
uint32_t exporting_resume(struct rp_store *store, const char *job, struct exporting **ret,
			  struct rp_error *err);

/* What of a new one can be checked without a point. */
uint32_t exporting_check(struct rp_store *store, const char *directory,
			 const struct rp_export_options *options, struct rp_error *err);

/* The ID of its job. */
const char *exporting_job(const struct exporting *x);

/* What an export shares with others; zeros are fine. Borrowed. */
struct exporting_tools {
	struct gear *gear;	   /* to move bytes with */
	struct io_ferry *ferry;	   /* of the file system of its directory */
	struct pressure *pressure; /* where it gave way to last: goes on from there */
	bool yields; /* keeps nothing where there is no room: it is tried again alone */
	uint64_t limit_ms; /* of the time of all that use them; 0 = none */
};

/* Before it runs. */
void exporting_use(struct exporting *x, const struct exporting_tools *tools);

/* Exports, and ends the job; exporting_free() lets go of its point and then of it.
 * @ret_report may be NULL, @err not. */
uint32_t exporting_run(struct exporting *x, char **ret_report, struct rp_error *err);

/* Instead: nobody can run it. Its job, begun or resumed, ends with @rc and @err, which
 * gets the system. Frees it. */
void exporting_drop(struct exporting *x, uint32_t rc, struct rp_error *err);

void exporting_free(struct exporting *x); /* NULL is fine */

#endif
