/* SPDX-License-Identifier: MIT */
/*
 * place.h - where the bytes of a disk go, when their offsets in the file are others
 *
 * The file of an image format has its tables; whoever writes them knows the places.
 */
#ifndef ENGINE_PLACE_H
#define ENGINE_PLACE_H

#include <stdint.h>

#include "source.h"

struct place {
	/* Byte @pos of the disk goes to byte *ret_at of the file, and those that follow,
	 * up to *ret_end of the disk, behind it. 0 or -errno; -EBADMSG where there is no
	 * place. */
	int (*at)(struct place *place, uint64_t pos, uint64_t *ret_at, uint64_t *ret_end);
	/* All from byte @pos of the disk on goes behind byte *ret_at of the file, nothing
	 * of what is before it does. 0 or -errno. */
	int (*behind)(struct place *place, uint64_t pos, uint64_t *ret_at);
	/* What was put there, to be read again; lives as long as its places. */
	struct source *written;
};

#endif
