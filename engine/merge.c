/* SPDX-License-Identifier: MIT */
/*
 * merge.c - a differential export becomes a whole one, in its place
 *
 *	.NAME.merging/ made beside it ──> filled, synced ──> exchanged with NAME/ by one
 *	rename ──> the old one, which has the other name now, removed
 *
 * So there is a complete export of the name at every instant. What a merge that died has
 * left, new or old, is removed by the next one beside it, of whatever export.
 */
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "config.h"
#include "doc.h"
#include "io/lock.h"
#include "io/tree.h"
#include "merge_state.h"

#define MAX_TRIES 100

/* As long as others may look whether a folder's owner is dead. */
#define GLANCE_MS 1000

/* ------------------------------------------------------------------- the two folders */

/* Whether it is short enough. */
static bool partial_of(const char *name, char ret[NAME_MAX + 1])
{
	return snprintf(ret, NAME_MAX + 1, ".%s.merging", name) <= NAME_MAX;
}

static uint32_t find_place(struct merge *m, const char *path, struct rp_error *err)
{
	_cleanup_free_ char *real = realpath(path, NULL);
	char *slash = real ? strrchr(real, '/') : NULL;

	if (!real)
		return rp_fail_os(err, -errno, "open", "export %s", path);
	if (!slash[1] ||
	    (size_t)snprintf(m->name, sizeof(m->name), "%s", slash + 1) >=
		    sizeof(m->name) ||
	    !partial_of(m->name, m->partial))
		return rp_fail(err, RP_INVALID_PARAMETER, "check",
			       "export %s: not a usable name", path);
	slash[slash == real] = '\0';
	m->parent = io_dir_open(AT_FDCWD, real);
	return m->parent < 0 ? rp_fail_os(err, m->parent, "open", "folder %s", real)
			     : RP_OK;
}

/* Removes what a merge of @name has left, which the caller has locked. -EWOULDBLOCK: it
 * is the old one of a merge that is not through, and has locked the new one. */
static int remove_left(int parent, const char *name, const char *partial)
{
	_cleanup_unlock_ int fd = io_dir_open(parent, name);

	if (fd >= 0 && io_lock(fd, true, 0) == -EWOULDBLOCK)
		return -EWOULDBLOCK;
	return io_tree_remove(parent, partial);
}

static void remove_if_dead(int parent, const char *partial)
{
	char id[ID_SIZE], same[NAME_MAX + 1];
	_cleanup_unlock_ int fd = -1;

	snprintf(id, sizeof(id), "%.*s", ID_SIZE - 1, partial + 1);
	if (!id_valid(id) || !partial_of(id, same) || strcmp(partial, same))
		return;
	fd = io_dir_open(parent, partial);
	if (fd >= 0 && io_lock(fd, true, 0) == 0 && io_dir_is_at(parent, partial, fd))
		remove_left(parent, id, partial);
}

/* Their export may have gone, or nobody merge it ever again. */
static void remove_dead(const struct merge *m)
{
	char **names;
	size_t count;

	if (io_dir_names(m->parent, &names, &count) < 0)
		return;
	for (size_t i = 0; i < count; i++)
		remove_if_dead(m->parent, names[i]);
	io_names_free(names, count);
}

/* 1 if it is ours, 0 if what was there of the name is gone now, or -errno. */
static int bear(struct merge *m)
{
	_cleanup_unlock_ int fd = -1;
	bool made;

	fd = io_locked(io_dir_make(m->parent, m->partial, &made), GLANCE_MS);
	if (fd < 0)
		return fd;
	if (!io_dir_is_at(m->parent, m->partial, fd))
		return 0;
	if (!made)
		return remove_left(m->parent, m->name, m->partial);
	m->fd = take_fd(&fd);
	m->made = true;
	return 1;
}

static uint32_t make_folder(struct merge *m, struct rp_error *err)
{
	int r = -ENOENT;

	/* Somebody else may remove it at any time; but what leads nowhere looks the same.
	 */
	for (unsigned tries = 0; (r == 0 || r == -ENOENT) && tries < MAX_TRIES; tries++)
		r = bear(m);
	if (r == 0)
		r = -ENOENT;
	if (r == -EWOULDBLOCK || r == -ETIME)
		return rp_fail(err, RP_IN_USE, "merge",
			       "merge %s: another merge of it runs", m->chain.paths[0]);
	return r < 0 ? rp_fail_os(err, r, "merge", "%s", m->chain.paths[0]) : RP_OK;
}

/* Everything in the new one is on stable storage but for its folder. */
static uint32_t exchange(struct merge *m, struct rp_error *err)
{
	uint32_t rc = exported_check_alone(tip(m), err); /* it may have been hours */
	int r;

	if (rc)
		return rc;
	r = io_fsync(m->fd);
	if (r == 0 && !io_dir_is_at(m->parent, m->name, tip(m)->fd))
		return rp_fail(err, RP_IN_USE, "publish",
			       "publish %s: it was moved meanwhile", m->chain.paths[0]);
	if (r == 0)
		r = io_rename_exchange(m->parent, m->partial, m->parent, m->name);
	if (r < 0)
		return rp_fail_os(err, r, "publish", "%s", m->chain.paths[0]);
	/* The old one stays until the new one has its name for good. */
	r = io_fsync(m->parent);
	if (r < 0 && io_rename_exchange(m->parent, m->partial, m->parent, m->name) < 0)
		m->made = false; /* nobody knows which is which after a crash */
	return r < 0 ? rp_fail_os(err, r, "publish", "%s", m->chain.paths[0]) : RP_OK;
}

/* --------------------------------------------------------------------------- the rest */

/* That of the export, without its disks. */
static uint32_t begin_manifest(struct merge *m, struct rp_error *err)
{
	char now[DOC_TIME_SIZE];

	doc_time(now);
	m->manifest = json_deep_copy(tip(m)->manifest);
	if (!m->manifest ||
	    json_object_update_new(m->manifest,
				   json_pack("{s:s, s:s, s:[]}", "Kind", "merged",
					     "MergeTime", now, "Disks")) < 0)
		return rp_fail_os(err, -ENOMEM, "write", "manifest");
	return RP_OK;
}

static uint32_t fill(struct merge *m, struct rp_error *err)
{
	uint32_t rc = exported_check_beside(tip(m), err);
	json_t *disk;
	size_t i;
	int r;

	if (rc == RP_OK)
		rc = begin_manifest(m, err);
	if (rc == RP_OK)
		rc = config_copy_all(tip(m)->fd,
				     json_object_get(m->manifest, "ConfigFiles"), m->fd,
				     err);
	json_array_foreach(exported_disks(tip(m)), i, disk) {
		if (rc)
			break;
		if (exported_is_differential(disk))
			rc = merge_disk(
				m, json_string_value(json_object_get(disk, "DiskId")),
				err);
		else
			rc = merge_keep_disk(m, disk, err);
	}
	if (rc)
		return rc;
	r = doc_save(m->fd, "export.json", m->manifest);
	return r < 0 ? rp_fail_os(err, r, "write", "manifest") : RP_OK;
}

static uint32_t merge(struct merge *m, char **ret_report, struct rp_error *err)
{
	char *text = NULL;
	uint32_t rc = make_folder(m, err);
	int r;

	if (rc == RP_OK)
		remove_dead(m);
	/* Even if what another one has left cannot be removed. */
	if (strcmp(json_string_value(json_object_get(tip(m)->manifest, "Kind")),
		   "differential"))
		return rp_fail(err, RP_INVALID_STATE, "merge", "export %s: is whole",
			       m->chain.paths[0]);
	if (rc)
		return rc;
	rc = exported_check_alone(tip(m), err);
	r = rc ? 0 : io_can_exchange(m->fd); /* not found out after hours */
	if (r < 0)
		rc = rp_fail_os(err, r, "merge", "%s: exchange of folders",
				m->chain.paths[0]);
	if (rc == RP_OK)
		rc = fill(m, err);
	if (rc == RP_OK && ret_report) {
		json_object_set_new(m->manifest, "ExportPath",
				    json_string(m->chain.paths[0]));
		text = doc_text(m->manifest);
		if (!text)
			rc = rp_fail_os(err, -ENOMEM, "merge", "%s", m->chain.paths[0]);
	}
	if (rc == RP_OK) {
		watch_phase(&m->watch, "publishing");
		r = watch_tick(&m->watch); /* the last chance to stop it */
		rc = r < 0 ? watch_fail(&m->watch, r, err) : exchange(m, err);
	}
	if (rc)
		free(text);
	else if (ret_report)
		*ret_report = text;
	return rc;
}

/* By now it is the old one, unless something has failed. */
static void remove_other(const struct merge *m)
{
	int r = io_tree_remove(m->parent, m->partial);

	if (r < 0)
		watch_warn(&m->watch, "export %s: %s beside it cannot be removed: %s",
			   m->chain.paths[0], m->partial, strerrordesc_np(-r));
}

static uint32_t merge_export(const char *path, const struct rp_read_options *options,
			     char **ret_report, bool *ret_again, struct rp_error *err)
{
	struct merge m = {.options = options, .parent = -1, .fd = -1};
	uint32_t rc;

	watch_init(&m.watch, options->watch, 0);
	tuning_init(&m.tuning, options->io);
	rc = chain_open(path, NULL, options->search, options->search_count, &m.chain,
			err);
	if (rc == RP_OK)
		rc = find_place(&m, path, err);
	if (rc == RP_OK)
		rc = merge(&m, ret_report, err);
	if (m.made)
		remove_other(&m);
	io_unlock_close(m.fd);
	if (m.parent >= 0)
		close(m.parent);
	json_decref(m.manifest);
	if (rc && m.chain.count)
		rp_fail_of(err, m.chain.parts[0].system, NULL);
	*ret_again = chain_was_merged(&m.chain, rc);
	chain_close(&m.chain);
	return rc;
}

uint32_t rp_merge(const char *export_path, const struct rp_read_options *options,
		  char **ret_report, struct rp_error *reterr)
{
	static const struct rp_read_options defaults = {.size = sizeof(defaults)};
	bool again = false;
	uint32_t rc;

	options = options ?: &defaults;
	do {
		rp_error_clear(reterr);
		rc = exported_check_options(options, reterr);
		if (rc == RP_OK)
			rc = merge_export(export_path, options, ret_report, &again,
					  reterr);
	} while (again);
	return rc;
}
