/* SPDX-License-Identifier: MIT */
/*
 * job_heirs.h - who has gone on from what jobs that ended have kept
 *
 * What a job has kept at its target is that of the next one to the same place, as soon as
 * that works there. The records are read once for all jobs that are asked about, and
 * again only if a job has begun, ended or been taken up since.
 */
#ifndef ENGINE_JOB_HEIRS_H
#define ENGINE_JOB_HEIRS_H

#include <jansson.h>
#include <stdbool.h>
#include <time.h>

#include "store.h"

struct job_heirs {
	struct rp_store *store;	 /* borrowed */
	json_t *ended;		 /* {point: [record]}: those that have kept something */
	json_t *active;		 /* {point: [job]}: what they come to is looked at anew */
	struct timespec changed; /* jobs/active/, when it was read */
	bool settled;		 /* another change shows in that */
	uint64_t took_ns;	 /* to read them, the last time */
};

#define JOB_HEIRS(of_store) ((struct job_heirs){.store = of_store})

void job_heirs_close(struct job_heirs *h);

/* Whether another has gone on, or may have, from what the job of @doc has kept: 0 or 1,
 * or -errno if the records cannot be read for now. */
int job_heirs_have(struct job_heirs *h, const json_t *doc);

#endif
