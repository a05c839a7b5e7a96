/* SPDX-License-Identifier: MIT */
/*
 * ground.h - what a folder belongs to: what is put into a store is swept, what is put
 * into an export, or in place of a part of it, is taken for it
 */
#ifndef ENGINE_GROUND_H
#define ENGINE_GROUND_H

#include <sys/stat.h>

enum ground {
	GROUND_FREE,
	GROUND_STORE,  /* a store, or what lies in it at any depth */
	GROUND_EXPORT, /* an export, complete or not, or a folder of it */
};

/* Of folder @fd; 0 or -errno. @known, if it is not NULL, is of a folder that was found
 * free: there the way up ends. */
int ground_of(int fd, const struct stat *known, enum ground *ret);

#endif
