/* SPDX-License-Identifier: MIT */
/*
 * store.c - making, opening and sweeping a store
 */
#include "store.h"

#include <fcntl.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "doc.h"
#include "io/answer.h"
#include "io/clock.h"
#include "io/tree.h"
#include "job_sweep.h"

#define LOCK_WAIT_MS 30000

/* A sweep that looks whether something is dead holds its lock for no longer. */
#define GLANCE_MS 50
#define TICK_MS	  100 /* who waits for a lock is asked whether to go on */

static const char *const folders[] = {"systems",     "pending",	   "jobs",
				      "jobs/active", "jobs/ended", "jobs/queue"};

/* How long one that did not answer is not asked again: a hundred dead jobs may have the
 * same target. */
#define SILENT_NS 10000000000u

#define JOB_LIMIT    4
#define KEEP_SECONDS (7 * 24 * 60 * 60)

static uint32_t check_path(const char *path, const char *what, struct rp_error *err)
{
	if (!path || path[0] != '/')
		return rp_fail(err, RP_INVALID_PARAMETER, what,
			       "%s %s: not an absolute path", what,
			       path && path[0] ? path : "''");
	if (!doc_is_text(path))
		return rp_fail(err, RP_INVALID_PARAMETER, what, "%s %s: not UTF-8", what,
			       path);
	return RP_OK;
}

static int make_folders(int fd)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(folders); i++)
		if (mkdirat(fd, folders[i], 0700) < 0 && errno != EEXIST)
			r = -errno;
	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(folders); i++) {
		_cleanup_close_ int sub = io_dir_open(fd, folders[i]);

		r = sub < 0 ? sub : io_fsync(sub);
	}
	return r;
}

/* store.json comes last: without it the folder is no store. */
static int fill_store(int fd)
{
	_cleanup_doc_ json_t *doc = doc_new();
	char now[DOC_TIME_SIZE];
	int r;

	doc_time(now);
	if (!doc || json_object_set_new(doc, "CreationTime", json_string(now)) < 0 ||
	    json_object_set_new(doc, "JobLimit", json_integer(JOB_LIMIT)) < 0 ||
	    json_object_set_new(doc, "TimeBeforeRemoval", json_integer(KEEP_SECONDS)) < 0)
		return -ENOMEM;
	r = make_folders(fd);
	return r < 0 ? r : doc_save(fd, "store.json", doc);
}

/* What is in another store is swept with it, and nobody writes into an export. */
static uint32_t check_ground(int fd, const char *directory, struct rp_error *err)
{
	_cleanup_close_ int parent = io_dir_open(fd, "..");
	enum ground ground;
	int r = parent < 0 ? parent : ground_of(parent, &ground);

	if (r < 0)
		return rp_fail_os(err, r, "init", "%s", directory);
	if (ground == GROUND_FREE)
		return RP_OK;
	return rp_fail(err, RP_INVALID_STATE, "init", "init %s: lies in %s", directory,
		       ground == GROUND_STORE ? "a store" : "an export");
}

/* Empty, or what an init that was killed has left. */
static uint32_t check_empty(int fd, const char *directory, struct rp_error *err)
{
	char **names;
	size_t count;
	bool known = true;
	int r = io_dir_names(fd, &names, &count);

	if (r < 0)
		return rp_fail_os(err, r, "read", "%s", directory);
	for (size_t i = 0; i < count; i++)
		known &= !strcmp(names[i], "jobs") || !strcmp(names[i], "systems") ||
			 !strcmp(names[i], "pending") ||
			 !strcmp(names[i], ".store.json.new");
	io_names_free(names, count);
	if (faccessat(fd, "store.json", F_OK, 0) == 0)
		return rp_fail(err, RP_INVALID_STATE, "init",
			       "init %s: is a store already", directory);
	if (!known)
		return rp_fail(err, RP_INVALID_STATE, "init", "init %s: is not empty",
			       directory);
	return RP_OK;
}

uint32_t rp_store_init(const char *directory, struct rp_error *reterr)
{
	_cleanup_close_ int fd = -1, parent = -1;
	bool made = false;
	uint32_t rc;
	int r;

	rp_error_clear(reterr);
	rc = check_path(directory, "init", reterr);
	if (rc)
		return rc;
	fd = io_dir_make(AT_FDCWD, directory, &made);
	if (fd < 0)
		return rp_fail_os(reterr, fd, "init", "%s", directory);
	rc = check_ground(fd, directory, reterr);
	if (rc) {
		if (made)
			unlinkat(AT_FDCWD, directory, AT_REMOVEDIR);
		return rc;
	}
	rc = store_lock(fd, true, LOCK_WAIT_MS, directory, NULL, reterr);
	if (rc == RP_OK)
		rc = check_empty(fd, directory, reterr);
	if (rc)
		return rc;
	r = fchmod(fd, 0700) < 0 ? -errno : fill_store(fd);
	if (r == 0) { /* an init that was killed may have made it, and not synced it */
		parent = io_dir_open(fd, "..");
		r = parent < 0 ? parent : io_fsync(parent);
	}
	if (r < 0 && made)
		io_tree_remove(AT_FDCWD, directory);
	return r < 0 ? rp_fail_os(reterr, r, "init", "%s", directory) : RP_OK;
}

/* @ret_name: of the one that could not be opened. */
static int open_folders(struct rp_store *store, const char **ret_name)
{
	struct {
		int *fd;
		const char *name;
	} open[] = {
		{&store->systems_fd, "systems"},    {&store->pending_fd, "pending"},
		{&store->active_fd, "jobs/active"}, {&store->ended_fd, "jobs/ended"},
		{&store->queue_fd, "jobs/queue"},
	};
	bool made;

	for (size_t i = 0; i < ARRAY_SIZE(open); i++) {
		int fd = io_dir_open(store->fd, open[i].name);

		/* It came later than the first stores, and holds only living processes.
		 */
		if (fd == -ENOENT && open[i].fd == &store->queue_fd)
			fd = io_dir_make(store->fd, open[i].name, &made);
		*ret_name = open[i].name;
		if (fd < 0) /* an existing store without its folders is damaged */
			return fd == -ENOENT ? -EBADMSG : fd;
		*open[i].fd = fd;
	}
	return 0;
}

/* What the owner may edit: member @key, unless there is none. */
static uint32_t read_setting(const struct rp_store *store, const json_t *doc,
			     const char *key, uint64_t least, uint64_t most,
			     uint64_t *value, struct rp_error *err)
{
	json_t *given = json_object_get(doc, key);
	_cleanup_free_ char *text = NULL;
	char range[64] = "of 1 or more";

	if (!given ||
	    (doc_u64(doc, key, value) == 0 && *value >= least && *value <= most))
		return RP_OK;
	text = json_dumps(given, JSON_ENCODE_ANY | JSON_ENSURE_ASCII | JSON_COMPACT);
	if (most < UINT64_MAX)
		snprintf(range, sizeof(range), "from %llu to %llu",
			 (unsigned long long)least, (unsigned long long)most);
	return rp_fail(err, RP_UNKNOWN_STATUS, "open",
		       "open store %s: %s in store.json is %.64s, not a whole number %s",
		       store->path, key, text ?: "wrong", range);
}

static uint32_t read_settings(struct rp_store *store, const json_t *doc,
			      struct rp_error *err)
{
	uint32_t rc;

	store->job_limit = JOB_LIMIT;
	store->keep_seconds = KEEP_SECONDS;
	rc = read_setting(store, doc, "JobLimit", 1, UINT64_MAX, &store->job_limit, err);
	return rc ? rc
		  : read_setting(store, doc, "TimeBeforeRemoval", 0, UINT32_MAX,
				 &store->keep_seconds, err);
}

static uint32_t open_store(struct rp_store *store, const char *directory,
			   struct rp_error *err)
{
	_cleanup_doc_ json_t *doc = NULL;
	const char *folder;
	uint32_t rc;
	int r;

	store->fd = io_dir_open(AT_FDCWD, directory);
	if (store->fd < 0)
		return rp_fail_os(err, store->fd, "open", "store %s", directory);
	r = doc_load(store->fd, "store.json", &doc);
	if (r == -ENOENT)
		return rp_fail(err, RP_NOT_AVAILABLE, "open",
			       "open store %s: not a store (no store.json)", directory);
	if (r == -EOPNOTSUPP)
		return rp_fail(err, RP_NOT_SUPPORTED, "open",
			       "open store %s: made by a newer version of refpoint",
			       directory);
	if (r == -EBADMSG)
		return rp_fail(err, RP_UNKNOWN_STATUS, "open",
			       "open store %s: store.json is damaged", directory);
	if (r < 0)
		return rp_fail_os(err, r, "open", "store %s", directory);
	rc = read_settings(store, doc, err);
	if (rc)
		return rc;
	r = open_folders(store, &folder);
	if (r == -EBADMSG)
		return rp_fail(err, RP_UNKNOWN_STATUS, "open",
			       "open store %s: its folder %s is missing", directory,
			       folder);
	return r < 0 ? rp_fail_os(err, r, "open", "store %s: folder %s", directory,
				  folder)
		     : RP_OK;
}

static struct rp_store *store_new(const char *directory)
{
	struct rp_store *store = calloc(1, sizeof(*store));

	if (store)
		store->path = strdup(directory);
	if (!store || !store->path) {
		free(store);
		return NULL;
	}
	store->fd = store->systems_fd = store->pending_fd = -1;
	store->active_fd = store->ended_fd = store->queue_fd = -1;
	return store;
}

const char *store_owner(struct rp_store *store)
{
	struct passwd entry, *found = NULL;
	char text[1024];

	if (store->owner[0])
		return store->owner;
	if (getpwuid_r(geteuid(), &entry, text, sizeof(text), &found) == 0 && found)
		snprintf(store->owner, sizeof(store->owner), "%s", found->pw_name);
	if (!store->owner[0] || !doc_is_text(store->owner)) /* which may be cut */
		snprintf(store->owner, sizeof(store->owner), "%u", (unsigned)geteuid());
	return store->owner;
}

struct rp_store *store_share(struct rp_store *store)
{
	struct rp_store *copy = malloc(sizeof(*copy));

	if (!copy)
		return NULL;
	store_owner(store); /* found out once for all */
	*copy = *store;
	copy->silent = NULL;
	copy->borrowed = true;
	copy->forgot = time(NULL);
	copy->path = strdup(store->path);
	if (!copy->path) {
		free(copy);
		return NULL;
	}
	return copy;
}

/* The folders as they are open, wherever their path leads by now. */
struct rp_store *store_dup(const struct rp_store *store)
{
	struct rp_store *copy = store_new(store->path);
	const char *folder;
	int r;

	if (!copy)
		return NULL;
	copy->wait_ms = store->wait_ms;
	copy->busy_ms = store->busy_ms;
	copy->job_limit = store->job_limit;
	copy->keep_seconds = store->keep_seconds;
	r = copy->fd = io_dir_open(store->fd, ".");
	if (r >= 0)
		r = open_folders(copy, &folder);
	if (r >= 0)
		return copy;
	rp_store_close(copy);
	errno = -r;
	return NULL;
}

/* Removes one entry of pending/ if nobody works on it. */
static void sweep_pending(struct rp_store *store, const char *name)
{
	_cleanup_close_ int fd = io_dir_open(store->pending_fd, name);

	/* Kept locked while it is removed, so that only one does. */
	if (fd >= 0 && io_lock(fd, true, 0) == 0)
		io_tree_remove(store->pending_fd, name);
}

/* Calls @sweep for each entry of @dirfd. */
static uint32_t sweep_folder(struct rp_store *store, int dirfd,
			     void (*sweep)(struct rp_store *store, const char *name),
			     struct rp_error *err)
{
	char **names;
	size_t count;
	int r = io_dir_names(dirfd, &names, &count);

	if (r < 0)
		return rp_fail_os(err, r, "read", "store %s", store->path);
	for (size_t i = 0; i < count; i++)
		sweep(store, names[i]);
	io_names_free(names, count);
	return RP_OK;
}

/* Removes what dead operations left behind. */
static uint32_t store_sweep(struct rp_store *store, struct rp_error *err)
{
	uint32_t rc;

	/* Who may only read the store has nothing to sweep. */
	if (faccessat(store->pending_fd, ".", W_OK, AT_EACCESS) < 0)
		return RP_OK;
	rc = sweep_folder(store, store->active_fd, job_sweep, err);
	return rc ? rc : sweep_folder(store, store->pending_fd, sweep_pending, err);
}

uint32_t rp_store_open(const char *directory, const struct rp_store_options *options,
		       struct rp_store **ret, struct rp_error *reterr)
{
	struct rp_store *store;
	uint32_t rc;

	rp_error_clear(reterr);
	rc = check_path(directory, "open", reterr);
	if (rc)
		return rc;
	if (!ret || (options && options->size < sizeof(*options)))
		return rp_fail(reterr, RP_INVALID_PARAMETER, "open", "open store %s: %s",
			       directory,
			       ret ? "options.size is not set" : "ret is NULL");
	store = store_new(directory);
	if (!store)
		return rp_fail_os(reterr, -ENOMEM, "open", "store %s", directory);
	store->busy_ms = options ? options->lock_timeout_ms : 0;
	store->wait_ms = store->busy_ms ? store->busy_ms : LOCK_WAIT_MS;
	rc = open_store(store, directory, reterr);
	if (rc == RP_OK)
		rc = store_sweep(store, reterr);
	if (rc) {
		rp_store_close(store);
		return rc;
	}
	*ret = store;
	return RP_OK;
}

void rp_store_close(struct rp_store *store)
{
	if (!store)
		return;
	int fds[] = {store->fd,	       store->systems_fd, store->pending_fd,
		     store->active_fd, store->ended_fd,	  store->queue_fd};

	for (size_t i = 0; i < ARRAY_SIZE(fds) && !store->borrowed; i++)
		if (fds[i] >= 0)
			close(fds[i]);
	json_decref(store->silent);
	free(store->path);
	free(store);
}

int store_answers(struct rp_store *store, const char *path)
{
	uint64_t now = io_now_ns(), then;
	int r;

	if (doc_u64(store->silent, path, &then) == 0 && now - then < SILENT_NS)
		return -ETIMEDOUT;
	r = io_answers(path);
	if (r == -ETIMEDOUT && !store->silent)
		store->silent = json_object();
	if (r == -ETIMEDOUT)
		json_object_set_new(store->silent, path,
				    json_integer((json_int_t)io_now_ns()));
	return r;
}

uint32_t store_lock(int fd, bool exclusive, uint64_t wait_ms, const char *what,
		    struct watch *w, struct rp_error *err)
{
	uint64_t end = watch_deadline(wait_ms ?: GLANCE_MS), now = io_now_ns();
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
			       "lock %s: still in use by another operation after %.1f s",
			       what, (double)wait_ms / 1000);
	return r < 0 ? rp_fail_os(err, r, "lock", "%s", what) : RP_OK;
}

/* -EAGAIN: a sweep took it for dead between its birth and its lock. */
static int bear(int parent_fd, const char *id, int *ret_fd)
{
	_cleanup_close_ int fd = -1;
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

uint32_t store_bury(struct rp_store *store, int dirfd, const char *name,
		    struct rp_error *err)
{
	char grave[ID_SIZE];
	int r;

	id_new(grave);
	if (renameat(dirfd, name, store->pending_fd, grave) < 0)
		return rp_fail_os(err, -errno, "remove", "%s", name);
	r = io_fsync(dirfd);
	if (r == 0)
		r = io_tree_remove(store->pending_fd, grave);
	return r < 0 ? rp_fail_os(err, r, "remove", "%s", name) : RP_OK;
}

/* Many exports go to one folder. */
int store_ground_of(struct rp_store *store, int fd, enum ground *ret)
{
	struct stat st;
	int r;

	*ret = GROUND_FREE;
	if (fstat(fd, &st) < 0)
		return -errno;
	if (st.st_dev == store->outside_device && st.st_ino == store->outside)
		return 0;
	r = ground_of(fd, ret);
	if (r < 0 || *ret != GROUND_FREE)
		return r;
	store->outside_device = st.st_dev;
	store->outside = st.st_ino;
	return 0;
}
