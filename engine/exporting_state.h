/* SPDX-License-Identifier: MIT */
/*
 * exporting_state.h - what the files of exporting.h know of one export
 */
#ifndef ENGINE_EXPORTING_STATE_H
#define ENGINE_EXPORTING_STATE_H

#include "export_changes.h"
#include "export_disks.h"
#include "export_images.h"
#include "exporting.h"
#include "gear.h"
#include "job.h"
#include "journal.h"
#include "point.h"
#include "pressure.h"
#include "probe.h"
#include "target.h"
#include "tuning.h"
#include "watch.h"

struct exporting {
	struct rp_store *store;
	struct rp_export_options options; /* its strings are ours */
	char *directory;
	struct point point;
	struct target target;
	struct journal journal;
	bool complete; /* the partial folder lacks only its name */
	bool keep;     /* it, if this fails */
	bool queued;
	struct job job;
	struct tuning tuning;
	struct probe_pair pair;
	struct gear gear; /* unless it is lent one */
	struct pressure pressure;
	struct pressure *before; /* of the export before it, or NULL; borrowed */
	struct io_ferry *ferry;	 /* of the target's file system; borrowed */
	bool yields;		 /* where there is no room, what it has moved goes */
	struct export_disks disks;
	struct export_changes changes;
	struct export_images images;
	json_t *manifest;
	struct watch watch;
};

/* What an interrupted export has left in the partial folder is taken up, or there is a
 * new journal. x->complete says whether the folder lacks only its name. */
uint32_t exporting_take_up(struct exporting *x, struct rp_error *err);

/* Of a record that could not be written, for @rc. A store that is full or read-only must
 * not keep anybody from getting the data out of it: RP_OK with a warning, else @rc. */
uint32_t exporting_without_record(struct exporting *x, uint32_t rc, struct rp_error *err);

#endif
