/* SPDX-License-Identifier: MIT */
/*
 * released.c - what released and imported points have in common
 */
#include "released.h"

#include <errno.h>
#include <stdio.h>

void released_leaves_name(const char *disk, char ret[RELEASED_NAME_SIZE])
{
	snprintf(ret, RELEASED_NAME_SIZE, "%s.digest", disk);
}

int released_disk(json_t *disk, json_t *digest)
{
	if (json_object_set_new(disk, "AllocatedBytes", json_integer(0)) < 0 ||
	    json_object_set_new(disk, "Digest", digest ?: json_null()) < 0)
		return -ENOMEM;
	return 0;
}
