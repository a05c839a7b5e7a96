/* SPDX-License-Identifier: MIT */
/*
 * store.c - opening and sweeping a store
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
#include "io/lock.h"
#include "io/tree.h"
#include "job_sweep.h"
#include "options.h"

/* How long one that did not answer is not asked again: a hundred dead jobs may have the
 * same target. */
#define SILENT_NS 10000000000u

uint32_t store_check_path(const char *path, const char *what, struct rp_error *err)
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

	for (size_t i = 0; i < ARRAY_SIZE(open); i++) {
		int fd = io_dir_open(store->fd, open[i].name);

		/* It came later than the first stores, and holds only living processes.
		 */
		if (fd == -ENOENT && open[i].fd == &store->queue_fd)
			fd = io_dir_make(store->fd, open[i].name, NULL);
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
	text = doc_dump(given, JSON_ENCODE_ANY | JSON_ENSURE_ASCII | JSON_COMPACT);
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

	store->job_limit = STORE_JOB_LIMIT;
	store->keep_seconds = STORE_KEEP_SECONDS;
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
int store_dup(const struct rp_store *store, struct rp_store **ret)
{
	struct rp_store *copy = store_new(store->path);
	const char *folder;
	int r;

	if (!copy)
		return -ENOMEM;
	copy->wait_ms = store->wait_ms;
	copy->busy_ms = store->busy_ms;
	copy->job_limit = store->job_limit;
	copy->keep_seconds = store->keep_seconds;
	r = copy->fd = io_dir_open(store->fd, ".");
	if (r >= 0)
		r = open_folders(copy, &folder);
	if (r < 0) {
		rp_store_close(copy);
		return r;
	}
	*ret = copy;
	return 0;
}

/* For one there is no need to read what may be thousands. */
static int find_whole(int dirfd, const char *id, json_t *found)
{
	if (faccessat(dirfd, id, F_OK, AT_SYMLINK_NOFOLLOW) < 0 && !is_damage(-errno))
		return errno == ENOENT ? 0 : -errno; /* else whoever opens it will tell */
	return json_object_set_new(found, id, json_true()) < 0 ? -ENOMEM : 0;
}

int store_find_ids(int dirfd, const char *prefix, json_t *found)
{
	char **names;
	size_t count;
	int r;

	if (id_valid(prefix))
		return find_whole(dirfd, prefix, found);
	r = io_dir_names(dirfd, &names, &count);
	if (r < 0)
		return r;
	for (size_t i = 0; r == 0 && i < count; i++)
		if (id_valid(names[i]) && !strncmp(names[i], prefix, strlen(prefix)) &&
		    json_object_set_new(found, names[i], json_true()) < 0)
			r = -ENOMEM;
	io_names_free(names, count);
	return r;
}

/* Removes one entry of pending/ if nobody works on it. */
static void sweep_pending(struct rp_store *store, const char *name)
{
	_cleanup_unlock_ int fd = io_dir_open(store->pending_fd, name);

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
	rc = store_check_path(directory, "open", reterr);
	if (rc)
		return rc;
	if (!ret)
		return rp_fail(reterr, RP_INVALID_PARAMETER, "open",
			       "open store %s: ret is NULL", directory);
	rc = options_check(options, sizeof(*options), "options", reterr);
	if (rc)
		return rc;
	store = store_new(directory);
	if (!store)
		return rp_fail_os(reterr, -ENOMEM, "open", "store %s", directory);
	store->busy_ms = options ? options->lock_timeout_ms : 0;
	store->wait_ms = store->busy_ms ? store->busy_ms : STORE_WAIT_MS;
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
		return -ETIME;
	r = io_answers(path);
	if (r == -ETIME && !store->silent)
		store->silent = json_object();
	if (r == -ETIME)
		json_object_set_new(store->silent, path,
				    json_integer((json_int_t)io_now_ns()));
	return r;
}

/* Many exports go to one folder. */
int store_ground_of(struct rp_store *store, int fd, enum ground *ret)
{
	struct stat st;
	int r;

	*ret = GROUND_FREE;
	if (fstat(fd, &st) < 0)
		return -errno;
	if (st.st_dev == store->outside.st_dev && st.st_ino == store->outside.st_ino)
		return 0;
	r = ground_of(fd, NULL, ret);
	if (r == 0 && *ret == GROUND_FREE)
		store->outside = st;
	return r;
}
