/* SPDX-License-Identifier: MIT */
/*
 * ground.h - what a folder belongs to: what is put into a store is swept, what is put
 * into an export, or in place of a part of it, is taken for it
 */
#ifndef ENGINE_GROUND_H
#define ENGINE_GROUND_H

enum ground {
	GROUND_FREE,
	GROUND_STORE,  /* a store, or what lies in it at any depth */
	GROUND_EXPORT, /* an export, complete or not, or a folder of it */
};

/* Of folder @fd; 0 or -errno. */
int ground_of(int fd, enum ground *ret);

#endif
