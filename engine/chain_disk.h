/* SPDX-License-Identifier: MIT */
/*
 * chain_disk.h - one disk of a chain: what its parts have of it, as one source
 */
#ifndef ENGINE_CHAIN_DISK_H
#define ENGINE_CHAIN_DISK_H

#include "chain.h"
#include "change_list.h"
#include "format.h"

/* A layer for each part the disk needs, the topmost first. */
struct chain_disk {
	const char *id;
	struct layer **layer;
	struct image_file **image; /* that is the layer; NULL: it is a raw one */
	struct change_list **list; /* of a differential part; NULL: it is whole */
	uint64_t *base_size;	   /* of what the part was made for */
	char **path;
	size_t count;
	struct layers layers; /* all of them as a source */
};

/* Opens disk @id, which the export has; checks that its parts fit each other, the size of
 * each, that an image leaves to its base just what its list does not name, and that the
 * tables of a whole one are sound. @chain must outlive @ret. */
uint32_t chain_disk_open(const struct chain *chain, const char *id, struct watch *w,
			 struct chain_disk *ret, struct rp_error *err);
/* Only checks that, with the files of one part open at a time. *ret_size is that of the
 * disk. */
uint32_t chain_disk_check(const struct chain *chain, const char *id, struct watch *w,
			  uint64_t *ret_size, struct rp_error *err);

/* As chain_disk_open(), but ends where a base cannot be opened, and believes no image and
 * no size. Of a part whose file cannot be opened the layer is its list, without a file.
 * *ret_cut and @err as of chain_open_some(). */
uint32_t chain_disk_open_some(const struct chain *chain, const char *id, struct watch *w,
			      struct chain_disk *ret, struct rp_error *ret_cut,
			      struct rp_error *err);
/* The leaves of the image at the bottom, which has to be raw (else RP_NOT_SUPPORTED), for
 * a whole disk to go on from. @ret stays as it is where not all parts have digests: what
 * was never compared must not get one that is right. */
uint32_t chain_disk_open_leaves(const struct chain *chain, const struct chain_disk *disk,
				struct watch *w, struct digest *ret,
				struct rp_error *err);

void chain_disk_close(struct chain_disk *disk); /* zeros are fine */

/* Whether every differential disk of the export can be put together, and every image
 * taken apart. */
uint32_t chain_disks_fit(const struct chain *chain, struct watch *w,
			 struct rp_error *err);

#endif
