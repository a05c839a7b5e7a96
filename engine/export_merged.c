/* SPDX-License-Identifier: MIT */
/*
 * export_merged.c - the base's export, found beside the new one, and its disks
 */
#include "export_merged.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "chain_disk.h"
#include "copy.h"
#include "doc.h"
#include "exported_image.h"
#include "leaves.h"
#include "merged.h"

/* One disk on its way. */
struct merging {
	struct export_changes *changes;
	struct export_change *change;
	struct stream *s;
	enum rp_clone clone; /* as it was asked for, and so was: */
	enum stream_digest digest;
	const struct target *target;
	const struct tuning *tuning;
	struct watch *w;
	struct chain_disk disk; /* of the base's export */
	struct digest leaves;
};

/* Whether the base's export has the disk as the base had it. */
static uint32_t check_base(const struct merging *m, struct rp_error *err)
{
	const struct exported *e = &m->changes->chain.parts[0];
	const json_t *disk = exported_disk(e, m->s->disk);
	uint64_t size, want = m->change->map->base_size;
	uint32_t rc = exported_check_point(e, m->changes->base.system,
					   m->changes->base.id, err);

	if (rc)
		return rc;
	doc_u64(disk, "VirtualSize", &size);
	if (size != want)
		return rp_fail(err, RP_UNKNOWN_STATUS, "merge",
			       "export %s of the base has %" PRIu64
			       " bytes of it, the base had %" PRIu64,
			       e->path, size, want);
	return RP_OK;
}

/* All but the image at the bottom, of which little is read; all if everything is to be,
 * or if its digests end here: no one would see later what is damaged now. */
static size_t count_read(const struct merging *m)
{
	bool all = m->s->digest == STREAM_DIGEST_READ ||
		   m->s->digest == STREAM_NO_DIGEST || m->leaves.fd < 0;

	return all ? m->disk.count : m->disk.count - 1;
}

static uint32_t open_base(struct merging *m, struct rp_error *err)
{
	const struct chain *chain = &m->changes->chain;
	uint32_t rc = export_changes_reach(m->changes, m->s->disk, false, err);

	if (rc == RP_OK)
		rc = check_base(m, err);
	if (rc == RP_OK)
		rc = chain_disk_open(chain, m->s->disk, m->w, &m->disk, err);
	if (rc == RP_OK)
		rc = chain_disk_open_leaves(chain, &m->disk, m->w, &m->leaves, err);
	if (rc == RP_OK)
		rc = chain_check(chain, 0, count_read(m), m->s->disk, m->tuning, m->w,
				 err);
	return rc;
}

static void close_base(struct merging *m)
{
	if (m->leaves.fd >= 0)
		close(m->leaves.fd);
	m->leaves.fd = -1;
	chain_disk_close(&m->disk);
}

static uint32_t merge(struct merging *m, struct rp_error *err)
{
	_cleanup_free_ struct layer **layer = calloc(m->disk.count + 1, sizeof(*layer));
	struct merged merged = {
		.layer = layer,
		.count = m->disk.count + 1,
		.leaves = m->leaves,
		.dirfd = m->target->fd,
		.whole = true,
	};
	uint32_t rc;

	if (!layer)
		return rp_fail_os(err, -ENOMEM, "merge", "%s", m->s->dst_path);
	layer[0] = export_change_layer(m->change, m->s);
	memcpy(layer + 1, m->disk.layer, m->disk.count * sizeof(*layer));
	rc = merged_plan(&merged, m->s, m->w, err);
	if (rc == RP_OK)
		rc = merged_make(&merged, m->s, m->tuning, m->w, err);
	m->change->merged = rc == RP_OK;
	return rc;
}

/* Whether it is for what is wrong with the base's export that merging has ended; as long
 * as that was not @opened, nothing else was touched. */
static bool is_of_base(uint32_t rc, const struct rp_error *err, bool opened)
{
	static const char *const reading[] = {"digest", "map", "read", "read digests of"};
	bool was_read = false;

	for (size_t i = 0; i < ARRAY_SIZE(reading); i++)
		was_read |= !strcmp(err->step, reading[i]);
	switch (rc) {
	case RP_UNKNOWN_STATUS:
	case RP_NOT_AVAILABLE:
		return true;
	case RP_FAILED: /* if it was the disk that was read, that is seen again */
		return !opened || was_read;
	case RP_NOT_SUPPORTED:
		return !opened || !strcmp(err->step, "merge");
	default:
		return false;
	}
}

/* As if nothing had been done, after @err. */
static uint32_t start_over(struct merging *m, struct rp_error *err)
{
	struct stream *s = m->s;
	uint64_t size = m->change->map->size;
	int r;

	watch_warn(m->w, "disk %s: exported in full, not merged: %s", s->disk,
		   err->message);
	rp_error_clear(err);
	export_change_give_back(m->change, s);
	s->reason[0] = '\0';
	s->measured = false;
	s->clone = m->clone;
	s->digest = m->digest;
	s->shared_to = s->cloned_bytes = s->server_bytes = s->copied_bytes = 0;
	r = io_file_set_size(&s->dst, 0);
	if (r == 0)
		r = io_file_set_size(&s->dst, size);
	if (r == 0 && s->leaves.fd >= 0 &&
	    (ftruncate(s->leaves.fd, 0) < 0 ||
	     ftruncate(s->leaves.fd, (off_t)digest_file_size(size)) < 0))
		r = -errno;
	return r < 0 ? stream_fail(s, r, "resize", s->dst_path, RP_NO_OFFSET, err)
		     : RP_OK;
}

/* The point's own disk could not be read: without strict that is seen again. */
static bool is_of_disk(const struct merging *m, const struct rp_error *err)
{
	return !strcmp(err->step, "read") && strstr(err->message, m->s->src_path);
}

static uint32_t merge_disk(struct merging *m, struct rp_error *err)
{
	bool opened, again;
	uint32_t rc;

	if (m->change->map->whole)
		return copy_streams(m->s, 1, m->tuning, m->w, err);
	do {
		rp_error_clear(err);
		rc = open_base(m, err);
		again = chain_was_merged(&m->changes->chain, rc);
		opened = rc == RP_OK;
		if (opened)
			rc = merge(m, err);
		close_base(m);
		if (again)
			chain_close(&m->changes->chain);
	} while (again);
	if (rc == RP_OK || rp_is_shortage(rc, err) || watch_has_stopped(m->w) ||
	    !is_of_base(rc, err, opened))
		return rc;
	if (m->changes->strict) /* as without merging */
		return is_of_disk(m, err) ? rc : (err->code = RP_INVALID_STATE);
	rc = start_over(m, err);
	return rc == RP_OK ? copy_streams(m->s, 1, m->tuning, m->w, err) : rc;
}

uint32_t export_merged(struct export_changes *changes, struct export_disks *disks,
		       const struct target *target, const struct tuning *tuning,
		       struct watch *w, struct rp_error *err)
{
	uint32_t rc = RP_OK;

	for (size_t i = 0; rc == RP_OK && i < disks->count; i++) {
		struct merging m = {
			.changes = changes,
			.change = &changes->disks[i],
			.s = &disks->streams[i],
			.clone = disks->streams[i].clone,
			.digest = disks->streams[i].digest,
			.target = target,
			.tuning = tuning,
			.w = w,
			.leaves.fd = -1,
		};

		m.s->journal = NULL; /* what is patched cannot be proven half-way */
		rc = merge_disk(&m, err);
		if (rc)
			rp_fail_of(err, NULL, m.s->disk);
	}
	chain_close(&changes->chain);
	return rc;
}
