/* SPDX-License-Identifier: MIT */
/*
 * taken.h - one disk on its way into a reference point
 *
 *	open ──> prepare ──> clone ──> check ──────────> confirm ──> protect
 *	                       └─ refused: copied by the engine ─┘
 */
#ifndef ENGINE_TAKEN_H
#define ENGINE_TAKEN_H

#include <jansson.h>
#include <sys/stat.h>

#include "name.h"
#include "stream.h"

struct taken {
	const char *id, *path; /* borrowed from the system */
	char file[NAME_SIZE + 8];
	struct stream stream;
	int exclusive_fd;   /* of a block device, so that nobody mounts it; else -1 */
	struct stat before; /* of the source, to see that it did not change */
	uint64_t writes;    /* to a block device, before; UINT64_MAX: not known */
	bool counted;	    /* what is written to it: no more of it is nothing new */
	uint64_t extents;
	bool extents_known;
	uint64_t last_data; /* where the source had its last byte of data; UINT64_MAX:
			       none */
	bool cloned;
	double clone_ms;
	bool immutable;
	int refusal; /* why it could not be cloned: -errno */
};

/* Opens source and destination, the latter new in folder @dirfd. @d has id and path,
 * and else TAKEN_NONE. */
#define TAKEN_NONE                                                                       \
	{                                                                                \
		.stream = {.src = IO_FILE_NONE, .dst = IO_FILE_NONE}, .exclusive_fd = -1 \
	}
uint32_t taken_open(struct taken *d, int dirfd, struct rp_error *err);
void taken_close(struct taken *d);

/* What would make the clone long is done now: dirty pages out, extents counted. */
uint32_t taken_prepare(struct taken *d, struct rp_error *err);

/* If the disk is a qcow2 image that has data of its in other files: which; else NULL. */
const char *taken_needs(const struct taken *d);

/* How long a running guest's writes will wait, in milliseconds; 0 if unknown. */
uint64_t taken_stall_ms(const struct taken *d);

/* FICLONE. Where it is refused: RP_OK and not cloned, but as large, if @allow_copy; else
 * RP_NOT_SUPPORTED. */
uint32_t taken_clone(struct taken *d, bool allow_copy, struct rp_error *err);

/* After cloning: durable, and as complete as can be known of a running guest's (H18). */
uint32_t taken_check(struct taken *d, struct rp_error *err);

/* Whether it was written to while it was copied. If that has @failed, that is the
 * reason only if the disk was cut. */
bool taken_disturbed(const struct taken *d, bool failed);

/* Whether the disk's path still leads to what was taken: RP_IN_USE if not. */
uint32_t taken_confirm(const struct taken *d, struct rp_error *err);

/* Nobody should write to it by mistake: read-only, immutable where allowed. */
uint32_t taken_protect(struct taken *d, struct rp_error *err);

/* Its part of point.json; NULL = no memory. */
json_t *taken_describe(const struct taken *d);

#endif
