/* SPDX-License-Identifier: MIT */
/*
 * data_map.h - where a frozen file has data, looked up once and remembered
 *
 * To ask the file system takes microseconds a range. Who lays a disk out in a file asks
 * for all of them again and again.
 */
#ifndef ENGINE_DATA_MAP_H
#define ENGINE_DATA_MAP_H

#include "ranges.h"
#include "source.h"
#include "watch.h"

struct data_map {
	struct source source; /* the file, as a disk */
	struct io_file *file; /* borrowed, as its path is */
	const char *path;
	struct ranges ranges;
	struct ranges_cursor cursors[RANGES_CURSORS];
};

/* 0, -errno (-ENODATA if the file is shorter than it was), or what a tick says. @dirfd is
 * borrowed: where a long map is kept. */
int data_map_make(struct data_map *m, struct io_file *file, const char *path, int dirfd,
		  struct watch *w);

void data_map_free(struct data_map *m); /* zeros are fine */

#endif
