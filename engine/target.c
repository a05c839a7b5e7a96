/* SPDX-License-Identifier: MIT */
/*
 * target.c - birth, publication and removal of export folders
 */
#include "target.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "ground.h"
#include "io/base.h"
#include "io/lock.h"
#include "io/tree.h"
#include "journal.h"
#include "store.h"

/* How long two exports may fight over the folder of one system. */
#define FOLDER_WAIT_MS 30000
#define TICK_MS	       100 /* who waits for it is asked whether to go on */

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
 * Locks DIRECTORY/SYSTEM, which is open as @fd: 0, or -EAGAIN if another has removed it
 * as empty meanwhile. The lock has a description of its own: it ends with @ret_lock.
 */
static int lock_folder(const struct target *t, int fd, uint64_t wait_ms, int *ret_lock)
{
	_cleanup_unlock_ int lock = io_dir_open(fd, ".");
	int r;

	if (lock < 0)
		return lock == -ENOENT ? -EAGAIN : lock;
	r = io_lock(lock, true, wait_ms);
	if (r < 0)
		return r;
	if (!io_dir_is_at(t->directory_fd, t->system, fd))
		return -EAGAIN;
	*ret_lock = take_fd(&lock);
	return 0;
}

/* As lock_folder(); -ETIME, or what a tick gave. The waits are counted and not timed, as
 * the job may be suspended meanwhile. */
static int wait_for_folder(const struct target *t, int fd, struct watch *w, int *ret_lock)
{
	unsigned waits = FOLDER_WAIT_MS / TICK_MS;
	int r;

	do {
		r = lock_folder(t, fd, min_u64(watch_left_ms(w, TICK_MS), TICK_MS),
				ret_lock);
		if (r == -ETIME)
			r = watch_tick(w) ?: r;
	} while (r == -ETIME && !watch_has_stopped(w) && --waits);
	return r;
}

/* Makes or opens DIRECTORY/SYSTEM and locks it. */
static int lock_system_folder(struct target *t, struct watch *w, int *ret_lock)
{
	int r;

	do {
		_cleanup_close_ int fd = make_folder(t->directory_fd, t->system,
						     &t->made);

		if (fd < 0)
			return fd;
		r = wait_for_folder(t, fd, w, ret_lock);
		if (r == 0)
			t->system_fd = take_fd(&fd);
	} while (r == -EAGAIN);
	return r;
}

static uint32_t check_unpublished(const struct target *t, struct rp_error *err)
{
	struct stat st;

	if (fstatat(t->system_fd, t->name, &st, AT_SYMLINK_NOFOLLOW) == 0)
		return rp_fail_os(err, -EEXIST, "export", "%s", t->path);
	if (errno != ENOENT)
		return rp_fail_os(err, -errno, "open", "%s", t->path);
	return RP_OK;
}

/* A folder of ours: no link. */
static int open_partial(const struct target *t)
{
	int fd = openat(t->system_fd, t->partial,
			O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);

	return fd < 0 ? -errno : fd;
}

static bool is_worked_on(struct target *t)
{
	_cleanup_close_ int system_fd = io_dir_open(t->directory_fd, t->system);
	_cleanup_unlock_ int fd = -1;

	t->system_fd = system_fd;
	fd = system_fd < 0 ? system_fd : open_partial(t);
	return fd >= 0 && io_lock(fd, true, 0) == -EWOULDBLOCK;
}

uint32_t target_check(int fd, const char *directory, const char *system, const char *id,
		      bool waits, struct rp_error *err)
{
	struct target t = {.system = system, .directory_fd = fd};
	char name[NAME_SIZE + ID_SIZE];
	struct stat st;

	snprintf(name, sizeof(name), "%s/%s", system, id);
	if (fstatat(fd, name, &st, AT_SYMLINK_NOFOLLOW) == 0)
		return rp_fail_os(err, -EEXIST, "export", "%s/%s", directory, name);
	target_name(&t, id);
	if (!waits && is_worked_on(&t))
		return rp_fail(err, RP_IN_USE, "lock",
			       "%s/%s: in use by another operation", directory, name);
	return RP_OK; /* anything else comes up when it is opened */
}

/*
 * The manifest of a folder without a journal says that all of it is on stable storage,
 * and a mark of the journal that what is before it is: so there is a journal without
 * marks, and then no manifest, before anything else goes, and the journal goes last.
 * Whoever finds what is left, if we are stopped, begins again. One that has its name
 * already is none of ours, and nor is another's that has come in its place.
 */
static int remove_partial(const struct target *t, int fd)
{
	struct stat st;
	int r;

	if (fstatat(t->system_fd, t->partial, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT ? 0 : -errno;
	if (!io_dir_is_at(t->system_fd, t->partial, fd))
		return 0;
	r = journal_revoke(fd);
	if (r == 0 && unlinkat(fd, "export.json", 0) < 0 && errno != ENOENT)
		r = -errno;
	if (r == 0)
		r = io_tree_empty(fd, JOURNAL_FILE);
	return r < 0 ? r : io_tree_remove(t->system_fd, t->partial);
}

/*
 * Makes, or takes over, and locks the partial folder; the caller holds the system folder.
 * -EWOULDBLOCK: it is a running export's, and t->busy.
 */
static int bear_partial(struct target *t, bool restart)
{
	bool made;
	int r;

	do {
		_cleanup_unlock_ int fd = -1;

		made = mkdirat(t->system_fd, t->partial, 0700) == 0;
		if (!made && errno != EEXIST)
			return -errno;
		fd = open_partial(t);
		if (fd == -ENOENT) /* its export has ended just now */
			continue;
		if (fd < 0)
			return fd;
		r = io_lock(fd, true, 0);
		if (r == -EWOULDBLOCK)
			t->busy = take_fd(&fd);
		if (r < 0)
			return r;
		if (!made && !io_dir_is_at(t->system_fd, t->partial, fd))
			continue;
		if (made || !restart) {
			t->found = !made;
			t->fd = take_fd(&fd);
		} else {
			r = remove_partial(t, fd);
		}
		if (r < 0)
			return r;
	} while (t->fd < 0);
	return 0;
}

static void target_close(struct target *t)
{
	int *fds[] = {&t->busy, &t->system_fd, &t->directory_fd};

	io_unsynced_forget(&t->unsynced);
	io_unlock_close(take_fd(&t->fd));
	for (size_t i = 0; i < ARRAY_SIZE(fds); i++) {
		if (*fds[i] >= 0)
			close(*fds[i]);
		*fds[i] = -1;
	}
	free(t->path);
	t->path = NULL;
}

/* What was there before may be anything: a store, or a link into one or an export. */
static uint32_t check_ground(const struct target *t, const struct stat *known,
			     struct rp_error *err)
{
	enum ground ground = GROUND_FREE;
	int r = t->made ? 0 : ground_of(t->system_fd, known, &ground);

	if (r < 0)
		return rp_fail_os(err, r, "open", "folder of %s", t->path);
	if (ground == GROUND_FREE)
		return RP_OK;
	return rp_fail(err, RP_INVALID_PARAMETER, "check", "%s: its folder lies in %s",
		       t->path, ground == GROUND_STORE ? "a store" : "an export");
}

uint32_t target_bear(struct target *t, const struct stat *known, bool restart,
		     struct watch *w, struct rp_error *err)
{
	_cleanup_unlock_ int lock = -1;
	uint32_t rc;
	int r;

	r = lock_system_folder(t, w, &lock);
	if (watch_is_stop(r) && watch_has_stopped(w))
		return watch_fail(w, r, err);
	if (r < 0)
		return rp_fail_os(err, r, "mkdir", "folder of %s", t->path);
	rc = check_ground(t, known, err);
	if (rc == RP_OK)
		rc = check_unpublished(t, err);
	if (rc)
		return rc;
	r = bear_partial(t, restart);
	if (t->busy >= 0) { /* the next try may find another folder */
		close(take_fd(&t->system_fd));
		return RP_OK;
	}
	return r < 0 ? rp_fail_os(err, r, "mkdir", "%.*s%s",
				  (int)(strlen(t->path) - strlen(t->name)), t->path,
				  t->partial)
		     : RP_OK;
}

uint32_t target_wait(struct target *t, struct watch *w, uint64_t wait_ms,
		     struct rp_error *err)
{
	_cleanup_unlock_ int busy = take_fd(&t->busy);

	return store_lock(busy, true, wait_ms, t->path, w, err);
}

uint32_t target_open(const char *directory, const char *system, const char *id,
		     struct target *ret, struct rp_error *err)
{
	_cleanup_close_ int fd = io_dir_open(AT_FDCWD, directory);
	size_t len = strlen(directory);
	char *path;

	if (fd < 0)
		return rp_fail_os(err, fd, "open", "export directory %s", directory);
	while (len > 1 && directory[len - 1] == '/')
		len--;
	if (asprintf(&path, "%.*s/%s/%s", (int)len, directory, system, id) < 0)
		return rp_fail_os(err, -ENOMEM, "open", "export directory %s", directory);
	*ret = (struct target)TARGET_NONE(system);
	target_name(ret, id);
	ret->path = path;
	ret->directory_fd = take_fd(&fd);
	return RP_OK;
}

void target_written(struct target *t)
{
	io_unsynced_add_folder(&t->unsynced, t->fd, "");
}

uint32_t target_settle(struct target *t, const char **ret_name, struct rp_error *err)
{
	int r = io_unsynced_settle(&t->unsynced, ret_name);

	return r < 0 ? rp_fail_os(err, r, "sync", "%s%s%s", t->path,
				  **ret_name ? "/" : "", *ret_name)
		     : RP_OK;
}

uint32_t target_rename(struct target *t, struct rp_error *err)
{
	int r;

	r = io_rename_new(t->system_fd, t->partial, t->system_fd, t->name);
	if (r < 0)
		return rp_fail_os(err, r, "publish", "%s", t->path);
	io_unsynced_add_folder(&t->unsynced, t->fd, "");
	io_unsynced_add_folder(&t->unsynced, t->system_fd, "");
	/* Whoever made the system's folder may not have come to sync it. */
	io_unsynced_add_folder(&t->unsynced, t->directory_fd, "");
	return RP_OK;
}

uint32_t target_publish(struct target *t, struct rp_error *err)
{
	const char *name;
	int r = io_unsynced_settle(&t->unsynced, &name);

	if (r == 0) {
		target_close(t);
		return RP_OK;
	}
	/* Not known to be durable: it must not count as published. */
	if (renameat(t->system_fd, t->name, t->system_fd, t->partial) < 0)
		return rp_fail_os(err, r, "publish", "%s, which has its name by now",
				  t->path);
	return rp_fail_os(err, r, "publish", "%s", t->path);
}

bool target_is_there(const struct target *t)
{
	return io_dir_is_at(t->directory_fd, t->system, t->system_fd) &&
	       io_dir_is_at(t->system_fd, t->partial, t->fd);
}

void target_keep(struct target *t)
{
	target_close(t);
}

/* Nobody remembers who made the folder; ours are private. A setgid bit comes from the
 * folder it was made in. */
static bool looks_ours(int fd)
{
	struct stat st;

	return fstat(fd, &st) == 0 && (st.st_mode & 07777 & ~S_ISGID) == 0700 &&
	       st.st_uid == geteuid();
}

int target_discard(struct target *t)
{
	_cleanup_unlock_ int lock = -1;
	int r = 0;

	/* What is open is not gone when it is removed, on NFS: it gets another name. */
	io_unsynced_forget(&t->unsynced);
	if (t->fd >= 0)
		r = remove_partial(t, t->fd);
	/* If we made it, or who left what we found, and nothing has come into it. */
	if (t->system_fd >= 0 && (t->made || (t->found && looks_ours(t->system_fd))) &&
	    lock_folder(t, t->system_fd, 0, &lock) == 0)
		unlinkat(t->directory_fd, t->system, AT_REMOVEDIR);
	target_close(t);
	return r;
}

/* With the system folder locked, so that nobody bears what we take for dead. */
static int discard_partial(struct target *t, bool (*keep)(int dir))
{
	int r;

	t->fd = open_partial(t);
	if (t->fd == -ENOENT)
		return 0;
	if (t->fd < 0)
		return t->fd;
	r = io_lock(t->fd, true, 0);
	if (r == -EWOULDBLOCK || (r == 0 && keep && keep(t->fd)))
		return TARGET_STAYS;
	if (r == 0)
		r = remove_partial(t, t->fd);
	return r < 0 ? r : TARGET_REMOVED;
}

int target_discard_dead(const char *directory, const char *system, const char *id,
			bool (*keep)(int dir), bool *ret_published)
{
	struct target t = TARGET_NONE(system);
	_cleanup_unlock_ int lock = -1;
	int r;

	target_name(&t, id);
	t.directory_fd = r = io_dir_open(AT_FDCWD, directory);
	if (r >= 0)
		t.system_fd = r = io_dir_open(t.directory_fd, system);
	if (r >= 0)
		r = lock_folder(&t, t.system_fd, FOLDER_WAIT_MS, &lock);
	if (r == 0)
		r = discard_partial(&t, keep);
	*ret_published = t.system_fd >= 0 && faccessat(t.system_fd, id, F_OK, 0) == 0;
	if (r >= 0 && looks_ours(t.system_fd))
		unlinkat(t.directory_fd, t.system, AT_REMOVEDIR);
	/* Without DIRECTORY nothing is known; without SYSTEM there is nothing. */
	if (t.directory_fd >= 0 && (r == -ENOENT || r == -EAGAIN))
		r = 0;
	target_close(&t);
	return r;
}

int target_sync_published(const char *directory, const char *system, const char *id)
{
	_cleanup_close_ int directory_fd = -1, system_fd = -1, fd = -1;
	int r;

	r = directory_fd = io_dir_open(AT_FDCWD, directory);
	if (r >= 0)
		r = system_fd = io_dir_open(directory_fd, system);
	if (r >= 0)
		r = fd = io_dir_open(system_fd, id);
	if (r >= 0)
		r = io_fsync(fd);
	if (r >= 0)
		r = io_fsync(system_fd);
	return r < 0 ? r : io_fsync(directory_fd);
}

bool target_is_published(const char *directory, const char *system, const char *id)
{
	struct target t = TARGET_NONE(system);
	bool published = false;

	target_name(&t, id);
	t.directory_fd = io_dir_open(AT_FDCWD, directory);
	if (t.directory_fd >= 0)
		t.system_fd = io_dir_open(t.directory_fd, system);
	if (t.system_fd >= 0)
		published = faccessat(t.system_fd, t.name, F_OK, 0) == 0 &&
			    faccessat(t.system_fd, t.partial, F_OK, 0) < 0;
	target_close(&t);
	return published;
}
