/* SPDX-License-Identifier: MIT */
/*
 * output.h - where a restored disk goes: a new file, that has its name when it is whole,
 * or a block device
 *
 * A file is written as .NAME.partial beside it, locked while that runs, so that one left
 * by a dead process can be told from one in work.
 */
#ifndef ENGINE_OUTPUT_H
#define ENGINE_OUTPUT_H

#include <limits.h>
#include <sys/stat.h>

#include "stream.h"

struct output {
	const char *path, *name;
	char *real; /* path, if what was given is a link */
	bool exists;
	struct stat old; /* if it exists */
	char *acl;	 /* that of the old one, if it has one */
	size_t acl_size;
	char partial[NAME_MAX + 1];
	int dirfd;
	int fd; /* of the partial file, which is ours; -1 = there is none */
	bool device, replace;
};

#define OUTPUT_NONE                   \
	{                             \
		.dirfd = -1, .fd = -1 \
	}

/*
 * Whether a disk may be restored to @path, which outlives @o; with @replace an existing
 * file is replaced, if it is a regular one, and nobody's: now, and when it is published.
 * Nothing is made.
 *
 * Errors: RP_INVALID_PARAMETER, RP_INVALID_STATE (exists, or lies in an export or a
 * store), RP_IN_USE (locked), RP_ACCESS_DENIED, RP_FAILED (whether it is cannot be told).
 */
uint32_t output_check(struct output *o, const char *path, bool replace,
		      struct rp_error *err);

/* Opens it as @s->dst; a file is made as @twin_fd is (NOCOW), and has the size. */
uint32_t output_open(struct output *o, struct stream *s, int twin_fd,
		     struct rp_error *err);

/* The data is on stable storage; now the name. If that fails it has none, unless it took
 * that of another file: the error says so. */
uint32_t output_publish(struct output *o, const struct stream *s, struct rp_error *err);

/* What was not published is removed. Unopened is fine. */
void output_close(struct output *o);

#endif
