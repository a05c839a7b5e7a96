/* SPDX-License-Identifier: MIT */
/*
 * change_extents.c - change evidence: the extents of both files, by FIEMAP
 *
 * Trusted on XFS and Btrfs only, where a block that is shared is never written in place,
 * and between clones on one file system.
 */
#include "change_source.h"

static bool fits(struct change_pair *p)
{
	if (p->no_base || p->base.fd < 0 || p->copied || p->doubt ||
	    !io_fs_same(&p->base_fs, &p->target_fs) || p->target_fs.type == IO_FS_OTHER ||
	    p->base_fs.realtime || p->target_fs.realtime)
		return false;
	change_because(p, "same %s file system, extent maps", p->target_fs.name);
	return true;
}

static uint32_t compare(struct change_pair *p, struct ranges *ranges,
			struct rp_error *err)
{
	return change_compare_maps(p, io_map_open_fiemap, "extent maps", ranges, err);
}

const struct change_source change_extents = {
	.name = "extents",
	.fits = fits,
	.compare = compare,
};
