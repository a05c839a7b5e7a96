/* SPDX-License-Identifier: MIT */
/*
 * links.h - what tests of chains stand on: an export of web1 in full, and two of what has
 * changed since the one before
 */
#ifndef TESTS_LINKS_H
#define TESTS_LINKS_H

#include "stage.h"

#define LINKS	   3
#define LINKS_SIZE (6 * MIB + 4096) /* of the disk */

struct links {
	struct stage stage;
	char points[LINKS][POINT_SIZE];
	char paths[LINKS][PATH_MAX]; /* of the exports */
};

/* In a folder of the test's. Link 1 and 2 have 70000 bytes each, from I MiB and 5 bytes
 * on. */
void links_make(struct links *l);
void links_close(struct links *l);

#endif
