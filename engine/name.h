/* SPDX-License-Identifier: MIT */
/*
 * name.h - names of systems and disks, IDs of points and jobs, SYSTEM@POINT
 */
#ifndef ENGINE_NAME_H
#define ENGINE_NAME_H

#include <stdbool.h>
#include <stdint.h>

#define NAME_SIZE 128 /* with NUL */
#define ID_SIZE	  37  /* a lower-case UUID with NUL */

/* 1-127 of [A-Za-z0-9._+-], not beginning with . or -: safe as a file name. */
bool name_valid(const char *name);

bool id_valid(const char *id);
void id_new(char ret[ID_SIZE]);

/* The text after the @: which point of a system is meant. */
struct point_ref {
	char system[NAME_SIZE];
	char prefix[ID_SIZE]; /* of the ID, at least 4 characters; "" if by age */
	uint64_t back;	      /* by age: 0 = latest, 1 = the one before, ... */
};

/* -EINVAL if @text is not SYSTEM@POINT. */
int point_ref_parse(const char *text, struct point_ref *ret);

#endif
