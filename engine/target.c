/* SPDX-License-Identifier: MIT */
/*
 * target.c - birth, publication and removal of export folders
 */
#include "target.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "io/base.h"
#include "io/tree.h"
#include "store.h"

/* How long two exports may fight over the folder of one system. */
#define FOLDER_WAIT_MS 30000

static void target_name(struct target *t, const char *id)
{
	snprintf(t->name, sizeof(t->name), "%s", id);
	snprintf(t->partial, sizeof(t->partial), ".%s.partial", id);
}

/*
 * Others remove a folder that they are done with between our mkdir and our open. Not
 * for ever: a link that leads nowhere, or a parent that is gone, looks the same.
 */
static int make_folder(int dirfd, const char *name, bool *ret_made)
{
	int fd = -ENOENT;

	for (int tries = 0; fd == -ENOENT && tries < 100; tries++)
		fd = io_dir_make(dirfd, name, ret_made);
	return fd;
}

/*
 * Makes or opens DIRECTORY/SYSTEM and locks it. Another export may remove it as
 * empty between our open and our lock; then it is made again.
 */
static int lock_system_folder(struct target *t, int *ret_lock)
{
	bool made = false;
	int r;

	for (;;) {
		_cleanup_close_ int fd = make_folder(t->directory_fd, t->system, &made);
		_cleanup_close_ int lock = -1;

		if (fd < 0)
			return fd;
		/* Its own description: the lock ends with it, system_fd stays. */
		lock = io_dir_open(fd, ".");
		if (lock == -ENOENT)
			continue;
		if (lock < 0)
			return lock;
		r = io_lock(lock, true, FOLDER_WAIT_MS);
		if (r < 0)
			return r;
		if (!io_dir_is_at(t->directory_fd, t->system, fd))
			continue;
		r = made ? io_fsync(t->directory_fd) : 0;
		if (r < 0)
			return r;
		t->system_fd = take_fd(&fd);
		*ret_lock = take_fd(&lock);
		return 0;
	}
}

static uint32_t check_unpublished(const struct target *t, struct rp_error *err)
{
	struct stat st;

	if (fstatat(t->system_fd, t->name, &st, AT_SYMLINK_NOFOLLOW) == 0)
		return rp_fail(err, RP_INVALID_STATE, "export",
			       "export %s: exists already", t->path);
	if (errno != ENOENT)
		return rp_fail_os(err, -errno, "open", "%s", t->path);
	return RP_OK;
}

/*
 * Makes and locks the partial folder; the caller holds the system folder. A dead
 * export's is removed first. -EWOULDBLOCK: a running export's, @ret_busy is its fd.
 */
static int bear_partial(struct target *t, int *ret_busy)
{
	bool made = false;
	int r;

	for (;;) {
		_cleanup_close_ int fd = make_folder(t->system_fd, t->partial, &made);

		if (fd < 0)
			return fd;
		r = io_lock(fd, true, 0);
		if (r == -EWOULDBLOCK)
			*ret_busy = take_fd(&fd);
		if (r == 0 && made)
			t->fd = take_fd(&fd);
		if (r < 0 || made)
			return r;
		if (io_dir_is_at(t->system_fd, t->partial, fd)) {
			r = io_tree_remove(t->system_fd, t->partial);
			if (r < 0)
				return r;
		}
	}
}

static void target_close(struct target *t)
{
	int *fds[] = {&t->fd, &t->system_fd, &t->directory_fd};

	for (size_t i = 0; i < ARRAY_SIZE(fds); i++) {
		if (*fds[i] >= 0)
			close(*fds[i]);
		*fds[i] = -1;
	}
	free(t->path);
	t->path = NULL;
}

/* One try; RP_OK with t->fd still -1 means: try again, who was there has ended. */
static uint32_t target_try(struct target *t, uint64_t busy_ms, struct rp_error *err)
{
	_cleanup_close_ int lock = -1, busy = -1;
	uint32_t rc;
	int r;

	r = lock_system_folder(t, &lock);
	if (r < 0)
		return rp_fail_os(err, r, "mkdir", "folder of %s", t->path);
	rc = check_unpublished(t, err);
	if (rc)
		return rc;
	r = bear_partial(t, &busy);
	if (r == -EWOULDBLOCK) {
		/* Others must be able to work in the folder while we wait. */
		close(take_fd(&lock));
		close(take_fd(&t->system_fd));
		return store_lock(busy, true, busy_ms, t->path, err);
	}
	return r < 0 ? rp_fail_os(err, r, "mkdir", "%s", t->path) : RP_OK;
}

static uint32_t target_make(struct target *t, const char *directory, uint64_t busy_ms,
			    struct rp_error *err)
{
	uint32_t rc = RP_OK;

	t->directory_fd = io_dir_open(AT_FDCWD, directory);
	if (t->directory_fd < 0)
		return rp_fail_os(err, t->directory_fd, "open", "export directory %s",
				  directory);
	if (asprintf(&t->path, "%s/%s/%s", directory, t->system, t->name) < 0) {
		t->path = NULL;
		return rp_fail_os(err, -ENOMEM, "open", "export directory %s", directory);
	}
	while (rc == RP_OK && t->fd < 0)
		rc = target_try(t, busy_ms, err);
	return rc;
}

uint32_t target_open(const char *directory, const char *system, const char *id,
		     uint64_t busy_ms, struct target *ret, struct rp_error *err)
{
	struct target t = {
		.system = system, .directory_fd = -1, .system_fd = -1, .fd = -1};
	uint32_t rc;

	target_name(&t, id);
	rc = target_make(&t, directory, busy_ms, err);
	if (rc) {
		target_discard(&t);
		return rc;
	}
	*ret = t;
	return RP_OK;
}

uint32_t target_publish(struct target *t, struct rp_error *err)
{
	int r = io_fsync(t->fd);

	if (r == 0)
		r = io_rename_new(t->system_fd, t->partial, t->system_fd, t->name);
	if (r < 0)
		return rp_fail_os(err, r, "publish", "%s", t->path);
	r = io_fsync(t->system_fd);
	if (r < 0) { /* not known to be durable: it must not count as published */
		renameat(t->system_fd, t->name, t->system_fd, t->partial);
		return rp_fail_os(err, r, "publish", "%s", t->path);
	}
	target_close(t);
	return RP_OK;
}

/* DIRECTORY/SYSTEM, if nothing is left in it. */
static void remove_empty(const struct target *t)
{
	_cleanup_close_ int lock = io_dir_open(t->system_fd, ".");

	if (lock >= 0 && io_lock(lock, true, 0) == 0)
		unlinkat(t->directory_fd, t->system, AT_REMOVEDIR);
}

void target_discard(struct target *t)
{
	if (t->fd >= 0)
		io_tree_remove(t->system_fd, t->partial);
	if (t->system_fd >= 0)
		remove_empty(t);
	target_close(t);
}

void target_discard_dead(const char *directory, const char *system, const char *id)
{
	struct target t = {
		.system = system, .directory_fd = -1, .system_fd = -1, .fd = -1};

	target_name(&t, id);
	t.directory_fd = io_dir_open(AT_FDCWD, directory);
	if (t.directory_fd >= 0)
		t.system_fd = io_dir_open(t.directory_fd, system);
	if (t.system_fd >= 0)
		t.fd = io_dir_open(t.system_fd, t.partial);
	/* Locked means that another export is at it by now. */
	if (t.fd >= 0 && io_lock(t.fd, true, 0) == 0 &&
	    io_dir_is_at(t.system_fd, t.partial, t.fd))
		io_tree_remove(t.system_fd, t.partial);
	if (t.system_fd >= 0)
		remove_empty(&t);
	target_close(&t);
}
