/* SPDX-License-Identifier: MIT */
/*
 * leaves.h - the digest tree of a disk, kept as a file in a folder and a few words in
 * the document beside it
 */
#ifndef ENGINE_LEAVES_H
#define ENGINE_LEAVES_H

#include <jansson.h>

#include "digest.h"
#include "error.h"
#include "io/file.h"
#include "stream.h"
#include "tuning.h"
#include "watch.h"

/* A new file of leaves, all 0, for a disk of @size bytes; @name NULL = one without a
 * name. 0 or -errno. */
int leaves_create(int dirfd, const char *name, uint64_t size, struct digest *ret);

/* Reads all of @file, by @tuning, and puts its leaves. Not synced. */
uint32_t leaves_make(const char *disk, const char *path, const struct io_file *file,
		     const struct digest *leaves, const struct tuning *tuning,
		     struct watch *w, struct rp_error *err);

/* What a document says of them: {Algorithm, ChunkSize, Root, File}. */
int leaves_describe(const struct digest *leaves, const char *file, struct watch *w,
		    json_t **ret);

/*
 * Opens what @digest, of a document, describes. They prove nothing unless they are those
 * the root was made of: -EBADMSG if they are not, or the description is none;
 * -EOPNOTSUPP if it is of another kind; or what a tick of @w says.
 */
int leaves_open(int dirfd, const json_t *digest, uint64_t size, struct watch *w,
		struct digest *ret);

/* What is read is compared chunk by chunk; a chunk that should have data and is a hole is
 * not read at all, and is found here. */
uint32_t leaves_check_holes(struct stream *s, struct watch *w, struct rp_error *err);

#endif
