/* SPDX-License-Identifier: MIT */
/*
 * unsynced.h - files and folders that were written and belong together, on their way to
 * stable storage
 *
 * They get there by one fsync each, in order, or all together by ferry. Their descriptors
 * stay open until then: the one a file was written on is told if that failed.
 */
#ifndef IO_UNSYNCED_H
#define IO_UNSYNCED_H

#include <stdbool.h>
#include <stddef.h>

#include "ferry.h"

struct io_unsynced_file {
	int fd;
	bool ours;
	bool folder;
	const char *name;
};

/* Zeros are fine. */
struct io_unsynced {
	struct io_ferry *ferry; /* of their file system; NULL = none. Borrowed */
	struct io_unsynced_file *files;
	size_t count;
	size_t paged; /* of them that have pages to be written: no folders */
	uint64_t ticket;
	bool failed; /* there was no memory for one: nothing gets there */
};

/* @fd was just written, and stays open until they are settled; @name too. */
void io_unsynced_add(struct io_unsynced *u, int fd, const char *name);

/* The same, before those that were added already: if none can be synced it is the one
 * that is named. */
void io_unsynced_add_first(struct io_unsynced *u, int fd, const char *name);

/* As io_unsynced_add(), of one that is to be closed then. */
void io_unsynced_take(struct io_unsynced *u, int fd, const char *name);

/* As io_unsynced_add() and io_unsynced_take(), of a folder: pages of its own, if it has
 * any, are left to its sync. */
void io_unsynced_add_folder(struct io_unsynced *u, int fd, const char *name);
void io_unsynced_take_folder(struct io_unsynced *u, int fd, const char *name);

/* Returns when all of them are on stable storage, and forgets them: 0, or -errno and in
 * *ret_name whose it is. */
int io_unsynced_settle(struct io_unsynced *u, const char **ret_name);

void io_unsynced_forget(struct io_unsynced *u);

#endif
