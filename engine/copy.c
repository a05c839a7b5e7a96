/* SPDX-License-Identifier: MIT */
/*
 * copy.c - the rungs of the ladder, in order
 */
#include "copy.h"

#include <sys/vfs.h>

#include "doc.h"
#include "gear.h"
#include "io/base.h"
#include "io/fs.h"
#include "io/reason.h"
#include "io/tree.h"
#include "move.h"
#include "probe.h"
#include "share.h"

/* Data that no rung has placed yet; only what is to be written counts. */
static uint64_t left_bytes(const struct stream *s)
{
	return stream_writes(s) ? s->data_bytes - s->cloned_bytes - s->server_bytes : 0;
}

/* And is not there from an export that this one goes on with. */
static uint64_t unwritten_bytes(const struct stream *s)
{
	return left_bytes(s) - (stream_writes(s) ? s->kept_bytes : 0);
}

static uint32_t measure(struct stream *streams, size_t count, struct watch *w,
			struct rp_error *err)
{
	watch_phase(w, "planning");
	for (size_t i = 0; i < count; i++) {
		int r = 0;

		if (!streams[i].measured &&
		    (stream_writes(&streams[i]) ||
		     streams[i].digest != STREAM_NO_DIGEST)) /* else it is not read */
			r = stream_measure(&streams[i], w);
		streams[i].measured = false;
		if (r < 0 && !watch_is_stop(r))
			return stream_fail(&streams[i], r, "map", streams[i].src_path,
					   RP_NO_OFFSET, err);
		w->progress.bytes_done += streams[i].kept_bytes;
		if (r == 0)
			r = watch_tick(w);
		if (r < 0)
			return watch_fail(w, r, err);
	}
	return RP_OK;
}

static uint32_t zero_hole(struct stream *s, uint64_t start, uint64_t end, struct watch *w,
			  struct rp_error *err)
{
	while (start < end) {
		uint64_t len = min_u64(end - start, 64 * MIB);
		int r = io_file_zero(&s->dst, start, len);

		if (r < 0)
			return stream_fail(s, r, "zero", s->dst_path, start, err);
		start += len;
		r = watch_tick(w);
		if (r < 0)
			return watch_fail(w, r, err);
	}
	return RP_OK;
}

/* A device keeps what it has; where the disk has holes it must read as zeros. */
static uint32_t zero_holes(struct stream *s, struct watch *w, struct rp_error *err)
{
	uint64_t pos = 0, start, end;
	uint32_t rc = RP_OK;
	int r;

	while ((r = stream_next_data(s, pos, &start, &end)) == 0) {
		rc = zero_hole(s, pos, start, w, err);
		if (rc)
			return rc;
		pos = end;
	}
	if (r != -ENXIO)
		return stream_fail(s, r, "map", s->src_path, pos, err);
	return zero_hole(s, pos, stream_size(s), w, err);
}

/* All destinations of a set are on one file system, or are devices. */
static uint32_t check_space(const struct stream *streams, size_t count,
			    struct rp_error *err)
{
	const struct stream *first = NULL;
	uint64_t need = 0, have;
	struct statfs fs;

	for (size_t i = 0; i < count; i++) {
		if (!stream_writes(&streams[i]) || streams[i].dst.device)
			continue;
		if (!first && left_bytes(&streams[i]))
			first = &streams[i];
		need += unwritten_bytes(&streams[i]);
	}
	if (!first || fstatfs(first->dst.fd, &fs) < 0)
		return RP_OK; /* the writes will tell */
	if (first->dst.fs == BTRFS_SUPER_MAGIC || first->dst.fs == ZFS_SUPER_MAGIC)
		return RP_OK; /* what is compressed may need less */
	have = (uint64_t)(geteuid() == 0 ? fs.f_bfree : fs.f_bavail) *
	       (uint64_t)(fs.f_frsize ?: fs.f_bsize);
	if (need <= have)
		return RP_OK;
	rp_fail_disk(
		err, first->disk, RP_NO_OFFSET, RP_FAILED, "check space",
		"check space for %s: needs %s MiB, %s MiB are free: No space left on device",
		first->dst_path, decimal_of(need, MIB).text, decimal_of(have, MIB).text);
	if (err)
		err->os_error = ENOSPC;
	return RP_FAILED;
}

uint32_t copy_check_room(struct stream *s, struct watch *w, struct rp_error *err)
{
	bool refused = s->dst.device || share_is_refused(s);
	uint32_t rc;

	if (s->clone == RP_CLONE_ALWAYS)
		return refused ? share_clone(s, w, err) : RP_OK;
	if (s->dst.device || !refused)
		return RP_OK;
	rc = measure(s, 1, w, err);
	s->measured = rc == RP_OK;
	return rc == RP_OK ? check_space(s, 1, err) : rc;
}

/* Whether bytes have to pass through us: to be written, or to be digested. */
static bool must_move(const struct stream *s)
{
	return left_bytes(s) || s->digest == STREAM_DIGEST_READ ||
	       (s->digest == STREAM_DIGEST_CHECK && !stream_writes(s));
}

static uint32_t share(struct stream *s, struct watch *w, struct rp_error *err)
{
	uint32_t rc;

	if (!stream_writes(s))
		return RP_OK;
	if (s->kept_to) {
		stream_because(s, "resumed: %s MiB were there already",
			       decimal_of(s->kept_bytes, MIB).text);
		return RP_OK;
	}
	rc = share_clone(s, w, err);
	if (rc == RP_OK)
		rc = share_server_copy(s, w, err);
	if (rc == RP_OK && s->dst.device)
		rc = zero_holes(s, w, err);
	if (s->digest == STREAM_DIGEST_READ) /* once more, to be read */
		w->progress.bytes_total += s->cloned_bytes + s->server_bytes;
	/* Not all bytes pass any more: there will be no digest for free. */
	if (s->digest != STREAM_DIGEST_READ && s->shared_to && s->data_bytes)
		s->digest = STREAM_NO_DIGEST;
	return rc;
}

static uint32_t make_leaves(struct stream *s, struct rp_error *err)
{
	int r = stream_make_leaves(s);

	return r < 0 ? stream_fail(s, r, "create digests of", s->dst_path, RP_NO_OFFSET,
				   err)
		     : RP_OK;
}

static uint32_t sync_all(struct stream *streams, size_t count, struct watch *w,
			 struct rp_error *err)
{
	watch_phase(w, "syncing");
	for (size_t i = 0; i < count; i++) {
		struct stream *s = &streams[i];
		int r = watch_tick(w);

		if (r < 0)
			return watch_fail(w, r, err);
		if (!stream_writes(s) || s->sync_later)
			continue;
		r = io_fsync(s->dst.fd);
		if (r < 0)
			return stream_fail(s, r, "sync", s->dst_path, RP_NO_OFFSET, err);
	}
	return RP_OK;
}

/* Why the bytes were moved this way. */
static void explain(struct stream *s, const struct tuning *t)
{
	if (s->backend && t->reason[0])
		io_reason_add(s->backend_reason, sizeof(s->backend_reason), "%s",
			      t->reason);
}

static uint32_t move(struct stream *streams, size_t count, const struct tuning *t,
		     struct watch *w, struct rp_error *err)
{
	struct io_queue *q;
	struct io_pool *pool;
	uint64_t bytes = 0;
	uint32_t rc;

	for (size_t i = 0; i < count; i++)
		if (add_overflows(bytes, stream_size(&streams[i]), &bytes))
			bytes = UINT64_MAX;
	rc = gear_take(t, bytes, &pool, &q, err);
	if (rc)
		return rc;
	rc = move_streams(streams, count, q, pool, t->depth, w, err);
	for (size_t i = 0; i < count; i++)
		explain(&streams[i], t);
	gear_give(t, pool, q);
	return rc;
}

/* Not before it is known how much there is to move. */
static uint32_t tune_and_move(struct stream *streams, size_t count,
			      const struct tuning *tuning, struct watch *w,
			      struct rp_error *err)
{
	struct tuning t = *tuning;
	uint64_t bytes = 0;
	int r;

	for (size_t i = 0; i < count; i++)
		bytes += unwritten_bytes(&streams[i]);
	r = probe_tune(&t, bytes, w);
	if (stream_writes(&streams[0]) && streams[0].dst.buffered)
		tuning_for_page_cache(&t);
	return r < 0 ? watch_fail(w, r, err) : move(streams, count, &t, w, err);
}

uint32_t copy_streams(struct stream *streams, size_t count, const struct tuning *tuning,
		      struct watch *w, struct rp_error *err)
{
	bool moves = false;
	uint32_t rc;

	rc = measure(streams, count, w, err);
	for (size_t i = 0; rc == RP_OK && i < count; i++) {
		rc = share(&streams[i], w, err);
		if (rc == RP_OK)
			rc = make_leaves(&streams[i], err);
		moves |= must_move(&streams[i]);
	}
	if (rc == RP_OK)
		rc = check_space(streams, count, err);
	if (rc == RP_OK)
		rc = moves ? tune_and_move(streams, count, tuning, w, err)
			   : sync_all(streams, count, w, err);
	if (rc)
		return rc;
	for (size_t i = 0; i < count; i++) {
		struct stream *s = &streams[i];

		s->copied_bytes = left_bytes(s);
		s->digested = s->digest != STREAM_NO_DIGEST;
		if (!s->data_bytes)
			stream_because(s, "there is no data to move");
	}
	return RP_OK;
}
