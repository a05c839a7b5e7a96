/* SPDX-License-Identifier: MIT */
/*
 * place.h - where the bytes of a disk go, when their offsets in the file are others
 *
 * The file of an image format has its tables; whoever writes them knows the places.
 */
#ifndef ENGINE_PLACE_H
#define ENGINE_PLACE_H

#include <stdint.h>

struct place {
	/* Byte @pos of the disk goes to byte *ret_at of the file, and those that follow,
	 * up to *ret_end of the disk, behind it. 0 or -errno; -EBADMSG where there is no
	 * place. */
	int (*at)(struct place *place, uint64_t pos, uint64_t *ret_at, uint64_t *ret_end);
};

#endif
