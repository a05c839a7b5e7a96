/* SPDX-License-Identifier: MIT */
/*
 * merged.c - clone and patch, or copy
 */
#include "merged.h"

#include <string.h>

#include "copy.h"
#include "io/clone.h"
#include "io/extent.h"
#include "leaves.h"
#include "touched.h"

#define GRAIN 4096 /* of changes: what is written is no larger */

static struct layer *image_of(const struct merged *m)
{
	return m->layer[m->count - 1];
}

static uint32_t read_leaves(const struct stream *s, struct source *source,
			    const char *path, enum stream_digest digest,
			    const struct digest *leaves, const struct tuning *tuning,
			    struct watch *w, struct rp_error *err)
{
	struct stream r = {
		.disk = s->disk,
		.src_path = path,
		.src = IO_FILE_NONE,
		.dst = IO_FILE_NONE,
		.from = source,
		.digest = digest,
		.leaves = *leaves,
	};
	uint32_t rc = RP_OK;

	if (digest == STREAM_DIGEST_CHECK) /* where there is no data, nothing is read */
		rc = leaves_check_holes(&r, w, err);
	return rc == RP_OK ? copy_streams(&r, 1, tuning, w, err) : rc;
}

/* Compares what will be read of the image with its leaves. */
static uint32_t check_touched(const struct merged *m, const struct stream *s,
			      const struct tuning *tuning, struct watch *w,
			      struct rp_error *err)
{
	struct layer *image = image_of(m);
	struct touched touched;
	struct digest some;
	uint32_t rc;
	int r;

	touched_init(&touched, m->layer, m->count - 1, image->size, image->size,
		     &image->file, image->path);
	r = leaves_create(m->dirfd, NULL, image->size, &some);
	if (r < 0)
		return stream_fail(s, r, "create", "temporary file", RP_NO_OFFSET, err);
	r = touched_copy(&touched, &m->leaves, &some, w);
	if (watch_is_stop(r))
		rc = watch_fail(w, r, err);
	else if (r < 0)
		rc = stream_fail(s, r, "read digests of", image->path, RP_NO_OFFSET, err);
	else
		rc = read_leaves(s, &touched.source, image->path, STREAM_DIGEST_CHECK,
				 &some, tuning, w, err);
	close(some.fd);
	return rc;
}

static uint32_t check_image(const struct merged *m, const struct stream *s,
			    const struct tuning *tuning, struct watch *w,
			    struct rp_error *err)
{
	struct layers image;

	layers_init(&image, m->layer + m->count - 1, 1);
	return read_leaves(s, &image.source, image_of(m)->path, STREAM_DIGEST_CHECK,
			   &m->leaves, tuning, w, err);
}

/* ------------------------------------------------------------------ clone and patch */

/* Whether @s can begin as a clone of the image; found out by its first block. */
static uint32_t try_clone(const struct merged *m, struct stream *s, bool *ret_works,
			  struct rp_error *err)
{
	struct io_file *image = &image_of(m)->file;
	uint32_t block = s->dst.block;
	int r;

	*ret_works = false;
	if (s->clone == RP_CLONE_NEVER) {
		stream_because(s, "clone was not wanted");
		return RP_OK;
	}
	if (block > GRAIN || s->dst.align > GRAIN) {
		stream_because(s, "blocks of more than %u bytes", GRAIN);
		return RP_OK;
	}
	if (image->size < block || s->dst.size < block)
		return RP_OK;
	r = io_clone_range(image->fd, 0, s->dst.fd, 0, block);
	if (r < 0 && !io_clone_refused(r)) /* H18 */
		return stream_fail(s, r, "clone", s->dst_path, 0, err);
	if (r < 0 && s->clone == RP_CLONE_AUTO) {
		stream_because(s, "FICLONERANGE: %s", strerrordesc_np(-r));
		s->clone = RP_CLONE_NEVER; /* it has been tried */
	}
	*ret_works = r == 0;
	return RP_OK;
}

/* The sizes it had since, one after another: what was cut off does not come back. */
static int resize(const struct merged *m, struct stream *s)
{
	int r = 0;

	for (size_t i = m->count - 1; r == 0 && i-- > 0;)
		if (m->layer[i]->size != s->dst.size)
			r = io_file_set_size(&s->dst, m->layer[i]->size);
	return r;
}

static uint32_t clone_image(const struct merged *m, struct stream *s,
			    const struct tuning *tuning, struct watch *w,
			    struct rp_error *err)
{
	const struct layer *image = image_of(m);
	struct stream c = {
		.disk = s->disk,
		.src_path = image->path,
		.dst_path = s->dst_path,
		.src = image->file,
		.dst = s->dst,
		.clone = s->clone,
		.leaves.fd = -1,
	};
	uint32_t rc;
	int r = io_file_set_size(&c.dst, image->size);

	if (r < 0)
		return stream_fail(s, r, "resize", s->dst_path, RP_NO_OFFSET, err);
	rc = copy_streams(&c, 1, tuning, w, err);
	s->dst = c.dst;
	s->copied_bytes = c.copied_bytes;
	stream_because(s, "the base's image: %s", c.reason);
	if (rc)
		return rc;
	r = resize(m, s);
	return r < 0 ? stream_fail(s, r, "resize", s->dst_path, RP_NO_OFFSET, err)
		     : RP_OK;
}

static uint32_t punch_zeros(struct layers *changes, struct stream *s, struct watch *w,
			    struct rp_error *err)
{
	uint64_t pos = 0;
	int r = 0;

	while (r == 0 && pos < changes->source.size) {
		struct layer_range range;
		uint64_t end;

		r = layers_at(changes, pos, &range);
		if (r < 0)
			return stream_fail(s, r, "map", s->src_path, pos, err);
		end = range.state == LAYER_ZERO ? min_u64(range.end, pos + 64 * MIB)
						: range.end;
		if (range.state == LAYER_ZERO) /* it may have to be written */
			r = io_file_clear(&s->dst, pos, end - pos);
		if (r < 0)
			return stream_fail(s, r, "clear", s->dst_path, pos, err);
		pos = end;
		r = watch_tick(w);
	}
	return r < 0 ? watch_fail(w, r, err) : RP_OK;
}

/* What has changed, over the clone. */
static uint32_t patch(const struct merged *m, struct stream *s,
		      const struct tuning *tuning, struct watch *w, struct rp_error *err)
{
	struct layers changes;
	struct stream p = {
		.disk = s->disk,
		.src_path = s->src_path,
		.dst_path = s->dst_path,
		.src = IO_FILE_NONE,
		.dst = s->dst,
		.clone = s->clone,
		.leaves.fd = -1,
	};
	uint32_t rc;

	layers_init(&changes, m->layer, m->count - 1);
	rc = punch_zeros(&changes, s, w, err);
	if (rc)
		return rc;
	p.from = &changes.source;
	rc = copy_streams(&p, 1, tuning, w, err);
	s->dst = p.dst;
	s->copied_bytes += p.copied_bytes;
	s->server_bytes = p.server_bytes;
	s->backend = p.backend;
	memcpy(s->backend_reason, p.backend_reason, sizeof(s->backend_reason));
	s->block = p.block;
	s->depth = p.depth;
	stream_because(s, "%s: %s", p.data_bytes ? "changes" : "no changes", p.reason);
	return rc;
}

/* The leaves of the image, but for those of chunks that were touched: they are made of
 * the disk itself, if it is at hand, and tell of a write that was lost. */
static uint32_t carry_leaves(const struct merged *m, struct stream *s,
			     const struct tuning *tuning, struct watch *w,
			     struct rp_error *err)
{
	struct io_file *file = m->whole ? &m->layer[0]->file : &s->dst;
	const char *path = m->whole ? s->src_path : s->dst_path;
	struct touched touched;
	uint32_t rc;
	int r;

	touched_init(&touched, m->layer, m->count - 1, image_of(m)->size, s->dst.size,
		     file, path);
	r = touched_carry(&touched, &m->leaves, &s->leaves, w);
	if (watch_is_stop(r))
		return watch_fail(w, r, err);
	if (r < 0)
		return stream_fail(s, r, "write digests of", s->dst_path, RP_NO_OFFSET,
				   err);
	rc = read_leaves(s, &touched.source, path, STREAM_DIGEST_READ, &s->leaves, tuning,
			 w, err);
	s->digested = rc == RP_OK;
	return rc;
}

static uint32_t read_file(const struct stream *s, const struct io_file *file,
			  const char *path, enum stream_digest digest,
			  const struct tuning *tuning, struct watch *w,
			  struct rp_error *err)
{
	struct layer whole = {.file = *file, .path = path};
	struct layer *list[] = {&whole};
	struct layers layers;

	layer_raw(&whole);
	layers_init(&layers, list, 1);
	return read_leaves(s, &layers.source, path, digest, &s->leaves, tuning, w, err);
}

/* Nothing is known of the image: the leaves are those of the disk itself. */
static uint32_t prove(const struct merged *m, struct stream *s,
		      const struct tuning *tuning, struct watch *w, struct rp_error *err)
{
	uint32_t rc = read_file(s, &m->layer[0]->file, s->src_path, STREAM_DIGEST_READ,
				tuning, w, err);

	if (rc == RP_OK)
		rc = read_file(s, &s->dst, s->dst_path, STREAM_DIGEST_CHECK, tuning, w,
			       err);
	s->digested = rc == RP_OK;
	return rc;
}

static uint32_t digest(const struct merged *m, struct stream *s,
		       const struct tuning *tuning, struct watch *w, struct rp_error *err)
{
	if (s->digest == STREAM_NO_DIGEST)
		return RP_OK;
	if (m->leaves.fd >= 0)
		return carry_leaves(m, s, tuning, w, err);
	return s->digest == STREAM_DIGEST_READ ? prove(m, s, tuning, w, err) : RP_OK;
}

/* Counts the data there is now; what was not copied was shared. */
static uint32_t count(struct stream *s, struct watch *w, struct rp_error *err)
{
	uint64_t pos = 0, start;
	int r;

	s->data_bytes = 0;
	while ((r = io_next_data(s->dst.fd, pos, s->dst.size, &start, &pos)) == 0) {
		s->data_bytes += pos - start;
		r = watch_tick(w);
		if (r < 0)
			return watch_fail(w, r, err);
	}
	if (r != -ENXIO)
		return stream_fail(s, r, "map", s->dst_path, pos, err);
	s->copied_bytes = min_u64(s->copied_bytes, s->data_bytes);
	s->server_bytes = min_u64(s->server_bytes, s->data_bytes - s->copied_bytes);
	s->cloned_bytes = s->data_bytes - s->copied_bytes - s->server_bytes;
	return RP_OK;
}

static uint32_t make_clone(const struct merged *m, struct stream *s,
			   const struct tuning *tuning, struct watch *w,
			   struct rp_error *err)
{
	uint32_t rc = RP_OK;

	if (m->leaves.fd >= 0 && s->digest != STREAM_NO_DIGEST)
		rc = check_touched(m, s, tuning, w, err);
	if (rc == RP_OK)
		rc = clone_image(m, s, tuning, w, err);
	if (rc == RP_OK)
		rc = patch(m, s, tuning, w, err);
	if (rc == RP_OK)
		rc = digest(m, s, tuning, w, err);
	return rc == RP_OK ? count(s, w, err) : rc;
}

/* ---------------------------------------------------------------------------- copy */

static uint32_t make_copy(const struct merged *m, struct stream *s,
			  const struct tuning *tuning, struct watch *w,
			  struct rp_error *err)
{
	bool later = m->leaves.fd < 0 && s->digest == STREAM_DIGEST_READ;
	struct layers layers;
	uint32_t rc = RP_OK;

	stream_because(s, "the base's image was copied");
	if (m->leaves.fd < 0)
		s->digest = STREAM_NO_DIGEST; /* of what is not known to be right */
	else if (s->digest == STREAM_DIGEST)
		s->digest = STREAM_DIGEST_READ; /* where some of it is shared, too */
	if (m->leaves.fd >= 0 && s->digest != STREAM_NO_DIGEST)
		rc = check_image(m, s, tuning, w, err);
	layers_init(&layers, m->layer, m->count);
	s->from = &layers.source;
	if (rc == RP_OK)
		rc = copy_streams(s, 1, tuning, w, err);
	s->from = NULL;
	return rc == RP_OK && later ? prove(m, s, tuning, w, err) : rc;
}

uint32_t merged_plan(struct merged *m, struct stream *s, struct watch *w,
		     struct rp_error *err)
{
	struct layers layers;
	uint32_t rc = try_clone(m, s, &m->clones, err);

	if (rc || m->clones)
		return rc;
	layers_init(&layers, m->layer, m->count);
	s->from = &layers.source;
	rc = copy_check_room(s, w, err);
	s->from = NULL;
	return rc;
}

uint32_t merged_make(const struct merged *m, struct stream *s,
		     const struct tuning *tuning, struct watch *w, struct rp_error *err)
{
	uint32_t rc = m->clones ? make_clone(m, s, tuning, w, err)
				: make_copy(m, s, tuning, w, err);

	s->src.size = m->layer[0]->size;
	return rc;
}
