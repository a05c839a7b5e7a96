/* SPDX-License-Identifier: MIT */
/*
 * system.h - virtual systems: a name, its disks, its config files
 */
#ifndef ENGINE_SYSTEM_H
#define ENGINE_SYSTEM_H

#include <jansson.h>

#include "store.h"

struct system {
	char name[NAME_SIZE];
	int fd;	       /* systems/NAME; holds the lock if one was asked for */
	int points_fd; /* systems/NAME/points */
	json_t *doc;   /* system.json, checked: Disks[] {DiskId, Path}, ConfigFiles[] */
};

#define SYSTEM_NONE                       \
	{                                 \
		.fd = -1, .points_fd = -1 \
	}

enum system_use {
	SYSTEM_POINTS, /* only its points are wanted: doc stays NULL */
	SYSTEM_READ,
	SYSTEM_REMOVE, /* held exclusively until system_close(); doc stays NULL */
	SYSTEM_TAKE,   /* held exclusively, to take a point, or to change it */
};

/* RP_INVALID_PARAMETER if @name, of a @what, cannot be one. */
uint32_t system_check_name(const char *name, const char *what, struct rp_error *err);

/* Opens system @name. What does without its metadata works if that is damaged. @w, asked
 * while its lock is waited for, may be NULL. */
uint32_t system_open(struct rp_store *store, const char *name, enum system_use use,
		     struct watch *w, struct system *ret, struct rp_error *err);
void system_close(struct system *system); /* unopened is fine */

/* The Status by which a system, or a point, is listed that could not be read. */
const char *system_status(const struct rp_error *err);

/* Disk @index of the system: ID and path, borrowed. */
size_t system_disk_count(const struct system *system);
void system_disk(const struct system *system, size_t index, const char **ret_id,
		 const char **ret_path);

#endif
