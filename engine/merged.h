/* SPDX-License-Identifier: MIT */
/*
 * merged.h - one whole disk out of an image and the changes since, at the cost of these
 *
 *	clone the image  >  cut or extend  >  punch what is zeros now  >  put what has
 *	changed over it  >  leaves of the chunks that were touched
 *
 * Where blocks cannot be shared, or are too large for that, everything is copied in one
 * pass instead. The image and the changes are only read.
 */
#ifndef ENGINE_MERGED_H
#define ENGINE_MERGED_H

#include "layer.h"
#include "stream.h"
#include "tuning.h"
#include "watch.h"

struct merged {
	struct layer *const *layer; /* the changes, the latest first; then the image */
	size_t count;
	struct digest leaves; /* of the image; fd -1 = it, or a change, has none */
	int dirfd;	      /* for temporary files */
	bool whole; /* the file of the latest change has all of the disk, not only that */
	bool clones; /* the image; found out by merged_plan() */
};

/* How it is to be made in @s; if all is to be copied, whether there is room for it. */
uint32_t merged_plan(struct merged *m, struct stream *s, struct watch *w,
		     struct rp_error *err);

/*
 * As planned, makes it in s->dst, a new file of the size of the disk; s->digest and
 * s->leaves say whether the leaves are to be made. What is read of the image for new
 * leaves is compared with its old ones before, so that no damage gets a valid digest.
 * Where there are none, STREAM_DIGEST_READ makes leaves of the whole disk, which must be
 * at hand then, and compares what was made with them. When this returns, @s is no source
 * any more but tells what was done.
 */
uint32_t merged_make(const struct merged *m, struct stream *s,
		     const struct tuning *tuning, struct watch *w, struct rp_error *err);

#endif
