/* SPDX-License-Identifier: MIT */
/*
 * unsynced.c - one fsync each, or all together
 */
#include "unsynced.h"

#include <fcntl.h>
#include <string.h>

#include "base.h"
#include "tree.h"

/* Not only WAIT_BEFORE, which there may be no support for alone (gVisor). */
#define WAIT \
	(SYNC_FILE_RANGE_WAIT_BEFORE | SYNC_FILE_RANGE_WRITE | SYNC_FILE_RANGE_WAIT_AFTER)

static void add(struct io_unsynced *u, size_t at, struct io_unsynced_file file)
{
	struct io_unsynced_file *more = reallocarray(u->files, u->count + 1,
						     sizeof(*more));

	if (more) {
		memmove(more + at + 1, more + at, (u->count - at) * sizeof(*more));
		more[at] = file;
		u->files = more;
		u->count++;
		u->paged += !file.folder;
	} else {
		u->failed = true;
		if (file.ours)
			close(file.fd);
	}
	if (u->ferry)
		u->ticket = io_ferry_ticket(u->ferry);
}

void io_unsynced_add(struct io_unsynced *u, int fd, const char *name)
{
	add(u, u->count, (struct io_unsynced_file){.fd = fd, .name = name});
}

void io_unsynced_add_first(struct io_unsynced *u, int fd, const char *name)
{
	add(u, 0, (struct io_unsynced_file){.fd = fd, .name = name});
}

void io_unsynced_take(struct io_unsynced *u, int fd, const char *name)
{
	add(u, u->count, (struct io_unsynced_file){.fd = fd, .ours = true, .name = name});
}

void io_unsynced_add_folder(struct io_unsynced *u, int fd, const char *name)
{
	add(u, u->count,
	    (struct io_unsynced_file){.fd = fd, .folder = true, .name = name});
}

void io_unsynced_take_folder(struct io_unsynced *u, int fd, const char *name)
{
	add(u, u->count,
	    (struct io_unsynced_file){
		    .fd = fd, .ours = true, .folder = true, .name = name});
}

static int write_all_pages(const struct io_unsynced *u, unsigned flags,
			   const char **ret_name)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < u->count; i++) {
		if (u->files[i].folder)
			continue;
		*ret_name = u->files[i].name;
		r = io_write_pages(u->files[i].fd, 0, 0, flags);
	}
	return r;
}

/*
 * All pages are on their way before the first ones are waited for, and all have arrived
 * before the first fsync: what that commits is the metadata of all, and the others find
 * nothing to do.
 */
static int sync_each(const struct io_unsynced *u, const char **ret_name)
{
	int r = 0;

	if (u->paged > 1)
		r = write_all_pages(u, SYNC_FILE_RANGE_WRITE, ret_name);
	if (r == 0 && u->paged > 1)
		r = write_all_pages(u, WAIT, ret_name);
	for (size_t i = 0; r == 0 && i < u->count; i++) {
		*ret_name = u->files[i].name;
		r = io_fsync(u->files[i].fd);
	}
	return r;
}

int io_unsynced_settle(struct io_unsynced *u, const char **ret_name)
{
	int r = 0;

	*ret_name = "";
	if (u->failed)
		r = -ENOMEM;
	else if (u->count && (!u->ferry || io_ferry_cross(u->ferry, u->ticket) < 0))
		r = sync_each(u, ret_name);
	io_unsynced_forget(u);
	return r;
}

void io_unsynced_forget(struct io_unsynced *u)
{
	for (size_t i = 0; i < u->count; i++)
		if (u->files[i].ours)
			close(u->files[i].fd);
	free(u->files);
	*u = (struct io_unsynced){.ferry = u->ferry};
}
