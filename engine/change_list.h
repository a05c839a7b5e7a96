/* SPDX-License-Identifier: MIT */
/*
 * change_list.h - DISK.changes: which ranges of a differential disk hold what has changed
 *
 * Text that anybody can read, and that can be searched without being loaded:
 *
 *	refpoint-changes 1 disk vda size 12288 base-size 8192 point ID base ID ranges 2
 *	    0  4096 data
 *	 8192  4096 zero
 *	xxh3-128 6c78e0e3bd51d358d01e758642b85fb8
 *
 * One range a line, offset and length in bytes, in order, none over another, at
 * multiples of 4096 (the last may end with the disk). Numbers are padded to as many
 * digits as the size has, so that all lines are equally long. The last line is the hash
 * of all before it.
 */
#ifndef ENGINE_CHANGE_LIST_H
#define ENGINE_CHANGE_LIST_H

#include "digest.h"
#include "layer.h"
#include "name.h"

#define CHANGE_LIST_GRAIN 4096

struct change_list_head {
	char disk[NAME_SIZE];
	char point[ID_SIZE], base[ID_SIZE];
	uint64_t size, base_size; /* of the disk in the two */
	uint64_t count;		  /* ranges */
};

struct change_list_writer;

/* A new file, to which head->count ranges are added. 0 or -errno. */
int change_list_create(int dirfd, const char *name, const struct change_list_head *head,
		       struct change_list_writer **ret);
int change_list_add(struct change_list_writer *w, uint64_t start, uint64_t end,
		    bool zero);
/* Completes the file: 0 or -errno. The writer is gone in any case; what it wrote on is
 * *@ret_fd, which the caller syncs and closes. */
int change_list_finish(struct change_list_writer *w, char ret_digest[DIGEST_TEXT_SIZE],
		       int *ret_fd);
void change_list_abandon(struct change_list_writer *w); /* NULL is fine */

struct change_list;

/*
 * Opens and checks all of it. The file may come from anybody: -EBADMSG where it is not
 * what is said above, -EOPNOTSUPP if of a newer version; or what a tick of @w says.
 * @ret_digest is its last line's.
 */
int change_list_open(int dirfd, const char *name, struct watch *w,
		     struct change_list **ret, char ret_digest[DIGEST_TEXT_SIZE]);
void change_list_close(struct change_list *list); /* NULL is fine */

const struct change_list_head *change_list_head(const struct change_list *list);

/* The first range that ends behind @pos, whole, its state LAYER_DATA or LAYER_ZERO. 0,
 * -ENXIO if there is none, or -errno. */
int change_list_next(struct change_list *list, uint64_t pos, struct layer_range *ret);

#endif
