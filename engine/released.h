/* SPDX-License-Identifier: MIT */
/*
 * released.h - what a point without data keeps of its disks: what its document says, and
 * their digest trees
 */
#ifndef ENGINE_RELEASED_H
#define ENGINE_RELEASED_H

#include <jansson.h>

#include "name.h"

#define RELEASED_NAME_SIZE (NAME_SIZE + 8)

/* The file of a disk's leaves. */
void released_leaves_name(const char *disk, char ret[RELEASED_NAME_SIZE]);

/* A disk of point.json holds no data; @digest (NULL = none; taken over) is what it did.
 */
int released_disk(json_t *disk, json_t *digest);

#endif
