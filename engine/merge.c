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

#include "chain_disk.h"
#include "config.h"
#include "copy.h"
#include "doc.h"
#include "exported_image.h"
#include "io/lock.h"
#include "io/tree.h"
#include "leaves.h"
#include "manifest.h"
#include "merged.h"

#define MAX_TRIES 100

/* As long as others may look whether a folder's owner is dead. */
#define GLANCE_MS 1000

struct merge {
	const struct rp_read_options *options;
	struct chain chain;
	struct tuning tuning;
	struct watch watch;
	char name[NAME_MAX + 1], partial[NAME_MAX + 1];
	int parent; /* the folder it lies in */
	int fd;	    /* the new one; locked */
	bool made;
	json_t *manifest;
};

static const struct exported *tip(const struct merge *m)
{
	return &m->chain.parts[0];
}

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

/* ---------------------------------------------------------------------------- disks */

struct merge_disk {
	struct chain_disk disk;
	struct digest leaves; /* of the image at the bottom */
	struct stream s;
	char file[NAME_SIZE + 8], digest[NAME_SIZE + 8];
};

static uint32_t make_files(const struct merge *m, struct merge_disk *d,
			   struct rp_error *err)
{
	uint64_t size = d->disk.layers.source.size;
	struct stream *s = &d->s;
	int r;

	snprintf(d->file, sizeof(d->file), "%s.raw", d->disk.id);
	snprintf(d->digest, sizeof(d->digest), "%s.digest", d->disk.id);
	*s = (struct stream){
		.disk = d->disk.id,
		.src_path = d->disk.path[0],
		.dst_path = d->file,
		.src = IO_FILE_NONE,
		.dst = IO_FILE_NONE,
		.clone = m->options->clone,
		.digest = STREAM_DIGEST,
		.leaves.fd = -1,
	};
	r = io_file_create(m->fd, d->file, d->disk.layer[d->disk.count - 1]->file.fd,
			   &s->dst);
	if (r == 0)
		r = io_file_set_size(&s->dst, size);
	if (r == 0)
		r = leaves_create(m->fd, d->digest, size, &s->leaves);
	return r < 0 ? stream_fail(s, r, "create", d->file, RP_NO_OFFSET, err) : RP_OK;
}

/* It is complete: what is said of it, and its leaves if they are too. */
static uint32_t add_disk(struct merge *m, struct merge_disk *d, struct rp_error *err)
{
	struct stream *s = &d->s;
	int r = 0;

	if (s->digested)
		r = io_fsync(s->leaves.fd);
	else if (unlinkat(m->fd, d->digest, 0) < 0)
		r = -errno;
	if (r == 0)
		r = manifest_add_disk(m->manifest, s, d->file,
				      s->digested ? d->digest : NULL, &m->watch);
	if (watch_is_stop(r))
		return watch_fail(&m->watch, r, err);
	if (r == 0)
		r = manifest_add_to_disk(m->manifest, json_pack("{s:n}", "Changes"));
	return r < 0 ? stream_fail(s, r, "write", d->file, RP_NO_OFFSET, err) : RP_OK;
}

static uint32_t merge_open(struct merge *m, struct merge_disk *d, struct rp_error *err)
{
	struct merged merged = {.dirfd = m->fd};
	uint32_t rc = chain_disk_open_leaves(&m->chain, &d->disk, &m->watch, &d->leaves,
					     err);

	if (rc == RP_OK)
		rc = make_files(m, d, err);
	if (rc)
		return rc;
	merged.layer = d->disk.layer;
	merged.count = d->disk.count;
	merged.leaves = d->leaves;
	rc = merged_plan(&merged, &d->s, &m->watch, err);
	if (rc == RP_OK)
		rc = chain_check(&m->chain, 0, d->disk.count, d->disk.id, &m->tuning,
				 &m->watch, err);
	if (rc == RP_OK)
		rc = merged_make(&merged, &d->s, &m->tuning, &m->watch, err);
	return rc == RP_OK ? add_disk(m, d, err) : rc;
}

static uint32_t merge_disk(struct merge *m, const char *id, struct rp_error *err)
{
	struct merge_disk d = {
		.leaves.fd = -1,
		.s = {.src = IO_FILE_NONE, .dst = IO_FILE_NONE, .leaves.fd = -1},
	};
	uint32_t rc = chain_disk_open(&m->chain, id, &m->watch, &d.disk, err);

	if (rc == RP_OK)
		rc = merge_open(m, &d, err);
	io_file_close(&d.s.dst);
	if (d.s.leaves.fd >= 0)
		close(d.s.leaves.fd);
	if (d.leaves.fd >= 0)
		close(d.leaves.fd);
	chain_disk_close(&d.disk);
	if (rc)
		rp_fail_of(err, NULL, id);
	return rc;
}

/* The leaves of a disk that stays as it is: if they are damaged, so is the copy. */
static uint32_t keep_leaves(struct merge *m, const json_t *disk, struct rp_error *err)
{
	const json_t *digest = json_object_get(disk, "Digest");
	struct digest from, to = {.fd = -1};
	const char *file;
	uint64_t size;
	int r;

	if (!json_is_object(digest))
		return RP_OK;
	doc_string(digest, "File", &file);
	doc_u64(disk, "VirtualSize", &size);
	r = leaves_open(tip(m)->fd, digest, size, &m->watch, &from);
	if (watch_is_stop(r))
		return watch_fail(&m->watch, r, err);
	if (r == -EBADMSG)
		return rp_fail(err, RP_UNKNOWN_STATUS, "merge", "digests %s: damaged",
			       file);
	if (r < 0)
		return rp_fail_os(err, r, "open", "digests %s", file);
	r = leaves_create(m->fd, file, size, &to);
	if (r == 0)
		r = digest_copy(&from, &to, 0, digest_chunk_count(size), &m->watch);
	if (r == 0)
		r = io_fsync(to.fd);
	close(from.fd);
	if (to.fd >= 0)
		close(to.fd);
	if (watch_is_stop(r))
		return watch_fail(&m->watch, r, err);
	return r < 0 ? rp_fail_os(err, r, "write", "digests %s", file) : RP_OK;
}

/* A whole disk comes along as it is, in whatever format, if it is what its digest says.
 */
static uint32_t keep_disk(struct merge *m, json_t *disk, struct rp_error *err)
{
	struct stream s = {.src = IO_FILE_NONE, .dst = IO_FILE_NONE, .leaves.fd = -1};
	uint32_t rc;
	int r;

	doc_string(disk, "DiskId", &s.disk);
	doc_string(disk, "File", &s.src_path);
	s.dst_path = s.src_path;
	s.clone = m->options->clone;
	rc = exported_open_file(tip(m), disk, s.src_path, &s.src, err);
	if (rc)
		return rc;
	r = io_file_create(m->fd, s.src_path, s.src.fd, &s.dst);
	if (r == 0)
		r = io_file_set_size(&s.dst, s.src.size);
	rc = r < 0 ? stream_fail(&s, r, "create", s.dst_path, RP_NO_OFFSET, err)
		   : copy_check_room(&s, &m->watch, err);
	if (rc == RP_OK)
		rc = chain_check(&m->chain, 0, 1, s.disk, &m->tuning, &m->watch, err);
	if (rc == RP_OK)
		rc = copy_streams(&s, 1, &m->tuning, &m->watch, err);
	io_file_close(&s.src);
	io_file_close(&s.dst);
	if (rc == RP_OK)
		rc = keep_leaves(m, disk, err);
	if (rc == RP_OK &&
	    json_array_append(json_object_get(m->manifest, "Disks"), disk) < 0)
		rc = rp_fail_os(err, -ENOMEM, "write", "manifest");
	return rc;
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
			rc = keep_disk(m, disk, err);
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
