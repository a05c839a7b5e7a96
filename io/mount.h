/* SPDX-License-Identifier: MIT */
/*
 * mount.h - the mount a file is on: what /proc/self/mountinfo says of it
 */
#ifndef IO_MOUNT_H
#define IO_MOUNT_H

#include <stdint.h>

struct io_mount {
	char *type;    /* "xfs" */
	char *source;  /* "/dev/sda1" */
	char *options; /* of the mount and, after ";", of the file system */
	uint64_t id;   /* of the file system; 0 = it has none */
};

/* Strings are "" where /proc does not tell. 0 or -errno; io_mount_free() it. */
int io_mount_of(int fd, struct io_mount *ret);
void io_mount_free(struct io_mount *mount); /* zeros are fine */

#endif
