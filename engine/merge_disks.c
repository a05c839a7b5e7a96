/* SPDX-License-Identifier: MIT */
/*
 * merge_disks.c - the disks of a merge: each made whole, or kept as it is
 */
#include "merge_state.h"

#include <stdio.h>

#include "chain_disk.h"
#include "copy.h"
#include "doc.h"
#include "io/tree.h"
#include "leaves.h"
#include "manifest.h"
#include "merged.h"

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

uint32_t merge_disk(struct merge *m, const char *id, struct rp_error *err)
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

uint32_t merge_keep_disk(struct merge *m, json_t *disk, struct rp_error *err)
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
