/* SPDX-License-Identifier: MIT */
/*
 * resume.h - what an interrupted export has left, proven before it is believed
 */
#ifndef ENGINE_RESUME_H
#define ENGINE_RESUME_H

#include "export_disks.h"
#include "journal.h"
#include "tuning.h"
#include "watch.h"

/* What is found in a partial folder. */
enum resume_kind {
	RESUME_NOTHING,	 /* nobody has come far there; it is empty now, but for a journal
			  */
	RESUME_JOURNAL,	 /* a journal of this export: to go on */
	RESUME_COMPLETE, /* a manifest and no journal: it was about to be published */
};

/*
 * Looks, and opens the journal if there is one. RP_INVALID_STATE if what is there is not
 * of this export, or has lost its evidence; it is left as it is.
 */
uint32_t resume_look(const struct target *target, const json_t *identity,
		     struct journal *ret, enum resume_kind *ret_kind,
		     struct rp_error *err);

/* Removes what no mark stands for: all but the journal and the files of @j's disks. */
uint32_t resume_clean(const struct target *target, const struct journal *j,
		      struct rp_error *err);

/* The plan that the disk's file follows is bound to its mark: if it was another then, the
 * disk begins again. 0 or -errno. */
int resume_bind_plan(struct stream *s, const char *plan);

/*
 * Of raw disks that only hold what has changed: what that is may be found out differently
 * each time, if blocks have moved. A disk that is to hold other ranges now begins again.
 */
uint32_t resume_bind(struct export_disks *d, struct rp_error *err);

/*
 * Reads every disk up to its mark, in the point and in the export at once, and compares
 * the digests of both: RP_INVALID_STATE if they differ. What lies behind the marks is
 * cut off. After that the streams begin at their marks, with the leaves before them.
 */
uint32_t resume_prove(struct export_disks *d, const struct target *target,
		      struct journal *j, const struct tuning *tuning, struct watch *w,
		      struct rp_error *err);

#endif
