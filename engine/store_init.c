/* SPDX-License-Identifier: MIT */
/*
 * store_init.c - making a store
 */
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "doc.h"
#include "io/lock.h"
#include "io/tree.h"
#include "store.h"

static const char *const folders[] = {"systems",     "pending",	   "jobs",
				      "jobs/active", "jobs/ended", "jobs/queue"};

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
	    json_object_set_new(doc, "JobLimit", json_integer(STORE_JOB_LIMIT)) < 0 ||
	    json_object_set_new(doc, "TimeBeforeRemoval",
				json_integer(STORE_KEEP_SECONDS)) < 0)
		return -ENOMEM;
	r = make_folders(fd);
	return r < 0 ? r : doc_save(fd, "store.json", doc);
}

/* What is in another store is swept with it, and nobody writes into an export. */
static uint32_t check_ground(int fd, const char *directory, struct rp_error *err)
{
	_cleanup_close_ int parent = io_dir_open(fd, "..");
	enum ground ground;
	int r = parent < 0 ? parent : ground_of(parent, NULL, &ground);

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
	_cleanup_unlock_ int fd = -1;
	_cleanup_close_ int parent = -1;
	bool made = false;
	uint32_t rc;
	int r;

	rp_error_clear(reterr);
	rc = store_check_path(directory, "init", reterr);
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
	rc = store_lock(fd, true, STORE_WAIT_MS, directory, NULL, reterr);
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
