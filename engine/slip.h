/* SPDX-License-Identifier: MIT */
/*
 * slip.h - a small document that is rewritten in place: cheap to write many times a
 * second, safe to read at any instant
 *
 * A line of checksum and JSON, padded to SLIP_SIZE. It is not made durable, and readers
 * need no lock: one that is torn is known by its checksum, and read again.
 */
#ifndef ENGINE_SLIP_H
#define ENGINE_SLIP_H

#include <jansson.h>

#define SLIP_SIZE 1024

/* Makes or opens it to write; the descriptor or -errno. */
int slip_open(int dirfd, const char *name);

int slip_write(int fd, const json_t *doc); /* 0 or -errno */

/* 0, -ENOENT, -EBADMSG (still torn after a while, or damaged) or -errno. */
int slip_read(int dirfd, const char *name, json_t **ret);

#endif
