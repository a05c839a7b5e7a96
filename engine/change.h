/* SPDX-License-Identifier: MIT */
/*
 * change.h - the change map of one disk: what differs between two of its points
 *
 *	change_open() ──> cursors: ranges_next() ... ──> change_close()
 *
 * The evidence is chosen per disk, the best there is, and named with its reason:
 *
 *	digest	 the base's data was released: its digest tree, a grain of 64 KiB
 *	tree	 Btrfs, as root: the extents of both files, compressed ones too
 *	extents	 the maps of both files (FIEMAP)
 *	content	 the bytes of both files
 *	all	 none: the base knows nothing of this disk
 *
 * Whatever it is, no byte that differs is missing, and what is called zero reads as
 * zeros in the target. Too much may be said: the same bytes written again, blocks that
 * were moved.
 */
#ifndef ENGINE_CHANGE_H
#define ENGINE_CHANGE_H

#include "point.h"
#include "ranges.h"
#include "tuning.h"
#include "watch.h"

/* All may be read, none written to. */
struct change_map {
	uint64_t size;	    /* of the disk in the target point */
	uint64_t base_size; /* in the base; what lies between the two was or is cut off */
	/*
	 * There is no base for this disk (a new disk; its data was released and no digest
	 * tree kept; the base's file is gone): the map lists all data, and all holes as
	 * zeros. An export then is full, with the reason as warning, or refused.
	 */
	bool whole;
	const char *source;		 /* "extents", ...: static text */
	char reason[512];		 /* why this one */
	uint64_t count;			 /* ranges */
	uint64_t data_bytes, zero_bytes; /* of them */
	/*
	 * For any number of cursors. They are in order, do not overlap, begin and end at
	 * multiples of 4096 (the last may end at the disk's size), and two that touch are
	 * of different kinds, CHANGE_DATA or CHANGE_ZERO. None is behind the disk's size.
	 */
	struct ranges ranges;
};

/*
 * 32775 (RP_INVALID_STATE) unless @base is an older point of @target's system, and
 * @target has its data. Whether the base still has its own is told per disk.
 */
uint32_t change_check(const struct point *target, const struct point *base,
		      struct rp_error *err);

/*
 * The changes of @disk, which @target has, since @base. Both points are locked
 * (POINT_SHARED) and change_check()ed; they are borrowed for the call, the map needs
 * them no more. Reads the maps (or bytes) now; this may take as long as to read the
 * disk, by @tuning. @prove: also compares the bytes of everything called unchanged, or
 * zero. What is too large for memory is kept in files without a name in folder @dirfd.
 *
 * Errors: RP_FAILED (a read; --prove found a difference: err->offset), RP_INVALID_STATE
 * (--prove: the base's data was released), RP_UNKNOWN_STATUS (the target's file is not
 * what point.json says), RP_TIMEOUT, RP_OUT_OF_MEMORY...; @err names the disk.
 */
uint32_t change_open(const struct point *target, const struct point *base,
		     const char *disk, bool prove, int dirfd, const struct tuning *tuning,
		     struct watch *w, struct change_map **ret, struct rp_error *err);

void change_close(struct change_map *map); /* NULL is fine */

#endif
