/* SPDX-License-Identifier: MIT */
/*
 * chunk.c - the states of a chunk, one function per transition
 */
#include "chunk.h"

#include <string.h>

#include "io/base.h"

struct chunk *chunk_new(uint64_t window, void (*changed)(struct chunk *chunk))
{
	size_t most = PLAN_MAX_SEGMENTS(window, 4096);
	struct chunk *c = calloc(1, sizeof(*c) + most * sizeof(c->segment[0]));

	if (!c)
		return NULL;
	c->plan = calloc(most, sizeof(*c->plan));
	if (!c->plan) {
		free(c);
		return NULL;
	}
	c->changed = changed;
	return c;
}

void chunk_free(struct chunk *c)
{
	if (c)
		free(c->plan);
	free(c);
}

static void fail(struct chunk *c, int error, const char *step, const char *path,
		 uint64_t offset)
{
	if (!c->error) {
		c->error = error;
		c->step = step;
		c->path = path;
		c->offset = offset;
	}
}

/* Part of the chunk before @from is on the destination already. */
static void clip_writes(struct chunk *c, uint64_t from)
{
	unsigned kept = 0;

	for (unsigned i = 0; i < c->count; i++) {
		struct plan_segment seg = c->plan[i];

		if (c->window + seg.end <= from)
			continue;
		if (c->window + seg.start < from)
			seg.start = (uint32_t)(from - c->window);
		c->plan[kept++] = seg;
	}
	c->count = kept;
}

/* Whether the leaves of the window's chunks are as they were when it was digested. */
static int check_leaf(const struct stream *s, uint64_t index, const uint8_t *leaf)
{
	uint8_t want[DIGEST_SIZE];
	int r = digest_get(&s->leaves, index, want);

	if (r < 0)
		return r;
	return memcmp(leaf, want, DIGEST_SIZE) ? -EILSEQ : 0;
}

/*
 * Digests the parts of the window that have data. The window holds whole digest
 * chunks; what lies before and after the bytes read is hole: zeros.
 */
static void digest_window(struct chunk *c)
{
	struct stream *s = c->stream;
	uint64_t start = c->read.start - c->window, end = start + c->read.len;
	uint64_t first = round_down(start, DIGEST_CHUNK);
	uint64_t last = min_u64(round_up(end, DIGEST_CHUNK), c->len);

	memset((char *)c->buf + first, 0, start - first);
	memset((char *)c->buf + end, 0, last - end);
	for (uint64_t at = first; at < last; at += DIGEST_CHUNK) {
		uint64_t index = (c->window + at) / DIGEST_CHUNK;
		uint8_t leaf[DIGEST_SIZE];
		int r;

		digest_leaf((char *)c->buf + at, min_u64(DIGEST_CHUNK, last - at), leaf);
		if (s->digest == STREAM_DIGEST_CHECK) {
			r = check_leaf(s, index, leaf);
			if (r < 0)
				fail(c, r, r == -EILSEQ ? "digest" : "read digests of",
				     s->src_path, c->window + at);
		} else {
			r = digest_put(&s->leaves, index, leaf);
			if (r < 0)
				fail(c, r, "write digests of",
				     stream_writes(s) ? s->dst_path : s->src_path,
				     c->window + at);
		}
	}
}

static void end(struct chunk *c)
{
	c->state = c->error ? CHUNK_FAILED : CHUNK_DONE;
}

static void write_done(struct io_req *req)
{
	struct chunk *c = container_of(req, struct chunk_segment, req)->chunk;

	if (req->result < 0)
		fail(c, req->result, "write", c->stream->dst_path,
		     req->start + req->moved);
	/* After a failure the rest is not even begun. */
	if (++c->ended == (c->error ? c->queued : c->count))
		end(c);
	c->changed(c);
}

static void prepare_writes(struct chunk *c)
{
	for (unsigned i = 0; i < c->count; i++) {
		const struct plan_segment *seg = &c->plan[i];

		c->segment[i] = (struct chunk_segment){
			.chunk = c,
			.req =
				{
					.op = IO_WRITE,
					.file = &c->stream->dst,
					.start = c->window + seg->start,
					.len = seg->end - seg->start,
					.buf = (char *)c->buf + seg->start,
					.done = write_done,
				},
		};
	}
	c->queued = 0;
	c->ended = 0;
}

static void read_done(struct io_req *req)
{
	struct chunk *c = container_of(req, struct chunk, read);
	struct stream *s = c->stream;

	if (req->result < 0)
		fail(c, req->result, "read", s->src_path, req->start + req->moved);
	else if (s->digest != STREAM_NO_DIGEST)
		digest_window(c);
	if (stream_writes(s))
		clip_writes(c, stream_placed_to(s));
	if (c->error || !stream_writes(s) || c->count == 0) {
		end(c);
	} else {
		c->state = CHUNK_WRITING;
		prepare_writes(c);
	}
	c->changed(c);
}

void chunk_begin(struct chunk *c, struct stream *s, uint64_t window_size)
{
	uint64_t start = c->window + c->plan[0].start;

	c->state = CHUNK_PLANNED;
	c->stream = s;
	c->len = min_u64(window_size, s->src.size - c->window);
	c->error = 0;
	c->bytes = 0;
	for (unsigned i = 0; i < c->count; i++)
		c->bytes += c->plan[i].end - c->plan[i].start;
	c->read = (struct io_req){
		.op = IO_READ,
		.file = &s->src,
		.start = start,
		.len = c->window + c->plan[c->count - 1].end - start,
		.buf = (char *)c->buf + c->plan[0].start,
		.done = read_done,
	};
}

bool chunk_has_work(const struct chunk *c)
{
	return c->state == CHUNK_PLANNED ||
	       (c->state == CHUNK_WRITING && !c->error && c->queued < c->count);
}

void chunk_abandon(struct chunk *c)
{
	fail(c, -ECANCELED, "move", c->stream->src_path, c->window);
	if (c->state == CHUNK_PLANNED || c->ended == c->queued) {
		end(c);
		c->changed(c);
	}
}

int chunk_queue(struct chunk *c, struct io_queue *q)
{
	int r = 0;

	if (c->state == CHUNK_PLANNED) {
		r = io_queue_add(q, &c->read);
		if (r == 0)
			c->state = CHUNK_READING;
	}
	while (r == 0 && c->state == CHUNK_WRITING && !c->error && c->queued < c->count) {
		r = io_queue_add(q, &c->segment[c->queued].req);
		if (r == 0)
			c->queued++;
	}
	return r;
}
