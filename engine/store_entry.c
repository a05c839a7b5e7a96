/* SPDX-License-Identifier: MIT */
/*
 * store_entry.c - one entry of a store: its lock, its birth, its name, its end
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "doc.h"
#include "io/base.h"
#include "io/clock.h"
#include "io/clone.h"
#include "io/lock.h"
#include "io/tree.h"
#include "store.h"

#define TICK_MS 100 /* who waits for a lock is asked whether to go on */

uint32_t store_lock(int fd, bool exclusive, uint64_t wait_ms, const char *what,
		    struct watch *w, struct rp_error *err)
{
	uint64_t end = watch_deadline(wait_ms ?: STORE_GLANCE_MS), now = io_now_ns();
	int r, stop = 0;

	do {
		uint64_t left = (end - now) / 1000000 + 1;

		r = io_lock(fd, exclusive, w ? min_u64(left, TICK_MS) : left);
		now = io_now_ns();
		if (r == -ETIME && w && now < end) {
			stop = watch_tick(w); /* it may be suspended meanwhile */
			end += io_now_ns() - now;
			now = io_now_ns();
		}
	} while (r == -ETIME && !stop && now < end);
	if (stop)
		return watch_fail(w, stop, err);
	if (r == -ETIME && !wait_ms)
		return rp_fail(err, RP_IN_USE, "lock",
			       "lock %s: in use by another operation", what);
	if (r == -ETIME)
		return rp_fail(err, RP_TIMEOUT, "lock",
			       "lock %s: still in use by another operation after %s s",
			       what, decimal_of(wait_ms, 1000).text);
	return r < 0 ? rp_fail_os(err, r, "lock", "%s", what) : RP_OK;
}

/* -EAGAIN: a sweep took it for dead between its birth and its lock. */
static int bear(int parent_fd, const char *id, int *ret_fd)
{
	_cleanup_unlock_ int fd = -1;
	int r;

	if (mkdirat(parent_fd, id, 0700) < 0)
		return -errno;
	fd = io_dir_open(parent_fd, id);
	if (fd < 0)
		return fd == -ENOENT ? -EAGAIN : fd;
	r = io_lock(fd, true, 0);
	if (r == -EWOULDBLOCK || (r == 0 && !io_dir_is_at(parent_fd, id, fd)))
		return -EAGAIN;
	if (r < 0)
		return r;
	*ret_fd = take_fd(&fd);
	return 0;
}

uint32_t store_birth(struct rp_store *store, int parent_fd, char ret_id[ID_SIZE],
		     int *ret_fd, struct rp_error *err)
{
	char id[ID_SIZE];
	int r;

	do {
		id_new(id);
		r = bear(parent_fd, id, ret_fd);
	} while (r == -EAGAIN);
	if (r < 0)
		return rp_fail_os(err, r, "mkdir", "%s in store %s", id, store->path);
	memcpy(ret_id, id, sizeof(id));
	return RP_OK;
}

int store_publish(struct rp_store *store, const char *id, int dirfd, const char *name,
		  const char **ret_but)
{
	int r = io_rename_new(store->pending_fd, id, dirfd, name);

	*ret_but = "";
	if (r < 0)
		return r;
	r = io_fsync(dirfd);
	/* Not known to be durable: it must not count. */
	if (r < 0 && renameat(dirfd, name, store->pending_fd, id) < 0)
		*ret_but = ", which has its name by now";
	return r;
}

/* Tried out: that we are root does not tell. */
static int can_make_mutable(int dirfd, const char *name)
{
	_cleanup_close_ int fd = -1;
	struct statx st;
	int r;

	if (statx(dirfd, name, AT_SYMLINK_NOFOLLOW, 0, &st) < 0)
		return -errno;
	if (!(st.stx_attributes & STATX_ATTR_IMMUTABLE))
		return 0;
	fd = openat(dirfd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	if (fd < 0)
		return -errno;
	r = io_set_immutable(fd, false);
	if (r == 0)
		io_set_immutable(fd, true); /* until it goes; if it can */
	return r;
}

/* -EPERM is of what is immutable. What is damaged must not be immortal. */
uint32_t store_check_removable(int dirfd, const char *name, struct rp_error *err)
{
	_cleanup_close_ int fd = io_dir_open(dirfd, name);
	char **names = NULL;
	size_t count = 0;
	int r = fd < 0 ? fd : io_dir_names(fd, &names, &count);

	for (size_t i = 0; r == 0 && i < count; i++) {
		r = can_make_mutable(fd, names[i]);
		if (r != -EPERM && !is_shortage(r))
			r = 0;
	}
	io_names_free(names, count);
	if (r != -EPERM && !is_shortage(r))
		return RP_OK;
	return rp_fail_os(err, r, "remove", "%s%s", name,
			  r == -EPERM ? ": immutable files" : "");
}

uint32_t store_bury(struct rp_store *store, int dirfd, const char *name,
		    struct rp_error *err)
{
	uint32_t rc = store_check_removable(dirfd, name, err);
	char grave[ID_SIZE];
	int r;

	if (rc)
		return rc;
	id_new(grave);
	if (renameat(dirfd, name, store->pending_fd, grave) < 0)
		return rp_fail_os(err, -errno, "remove", "%s", name);
	r = io_fsync(dirfd);
	/* Not known to be durable: it must not count. */
	if (r < 0 && renameat(store->pending_fd, grave, dirfd, name) == 0)
		return rp_fail_os(err, r, "remove", "%s", name);
	if (r == 0)
		r = io_tree_remove(store->pending_fd, grave);
	return r < 0 ? rp_fail_os(err, r, "remove",
				  "%s, what is left of which lies in pending/%s of the "
				  "store",
				  name, grave)
		     : RP_OK;
}
