/* SPDX-License-Identifier: MIT */
/*
 * chunk.c - the states of a chunk, one function per transition
 */
#include "chunk.h"

#include <string.h>

#include "io/base.h"

#define PARTS  64 /* of a round */
#define LEAVES 64 /* of a digest that are read or written at once */

struct chunk *chunk_new(uint64_t window, void (*changed)(struct chunk *chunk))
{
	struct chunk *c = calloc(1, sizeof(*c) + PARTS * sizeof(c->part[0]));

	if (!c)
		return NULL;
	c->plan = calloc(PLAN_MAX_SEGMENTS(window, 4096), sizeof(*c->plan));
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

static void *buffer_at(const struct chunk *c, uint64_t pos)
{
	return (char *)c->buf + (pos - c->base);
}

/*
 * The leaf of the digest chunk [start, end) of the window. What is in no segment is hole:
 * zeros, whatever the buffer has there. *seg is the first segment not before @start.
 */
static void make_leaf(const struct chunk *c, uint64_t start, uint64_t end, unsigned *seg,
		      uint8_t ret[DIGEST_SIZE])
{
	char *bytes = buffer_at(c, c->window + start);
	uint64_t pos = start;

	while (*seg < c->count && c->plan[*seg].start < end) {
		const struct plan_segment *s = &c->plan[*seg];

		if (s->start > pos)
			memset(bytes + (pos - start), 0, s->start - pos);
		pos = min_u64(s->end, end);
		if (s->end > end)
			break;
		++*seg;
	}
	if (pos == start) {
		memset(ret, 0, DIGEST_SIZE);
		return;
	}
	memset(bytes + (pos - start), 0, end - pos);
	digest_leaf(bytes, end - start, ret);
}

/* Leaves of the digest chunks that begin at @at of the disk. */
static void keep_leaves(struct chunk *c, uint64_t at, const uint8_t *leaves, size_t count)
{
	struct stream *s = c->stream;
	int r = digest_put(&s->leaves, at / DIGEST_CHUNK, leaves, count);

	if (r < 0)
		fail(c, r, "write digests of",
		     stream_writes(s) ? s->dst_path : s->src_path, at);
}

/* Whether they are as they were when the disk was digested. */
static void check_leaves(struct chunk *c, uint64_t at, const uint8_t *leaves,
			 size_t count)
{
	struct stream *s = c->stream;
	uint8_t want[LEAVES * DIGEST_SIZE];
	int r = digest_get(&s->leaves, at / DIGEST_CHUNK, want, count);

	if (r < 0)
		fail(c, r, "read digests of", s->src_path, at);
	for (size_t i = 0; r == 0 && i < count; i++) {
		size_t k = i * DIGEST_SIZE;

		if (memcmp(leaves + k, want + k, DIGEST_SIZE))
			fail(c, -EILSEQ, "digest", s->src_path, at + i * DIGEST_CHUNK);
	}
}

/* The window holds whole digest chunks; those that have no data are left out. */
static void digest_window(struct chunk *c)
{
	uint64_t end = min_u64(round_up(c->plan[c->count - 1].end, DIGEST_CHUNK), c->len);
	uint64_t at = round_down(c->plan[0].start, DIGEST_CHUNK);
	unsigned seg = 0;

	while (at < end && !c->error) {
		uint8_t leaves[LEAVES * DIGEST_SIZE];
		uint64_t first = at;
		size_t count = 0;

		for (; at < end && count < LEAVES; at += DIGEST_CHUNK, count++)
			make_leaf(c, at, min_u64(at + DIGEST_CHUNK, end), &seg,
				  leaves + count * DIGEST_SIZE);
		if (c->stream->digest == STREAM_DIGEST_CHECK)
			check_leaves(c, c->window + first, leaves, count);
		else
			keep_leaves(c, c->window + first, leaves, count);
	}
}

static void end(struct chunk *c)
{
	c->state = c->error ? CHUNK_FAILED : CHUNK_DONE;
}

static void part_done(struct io_req *req);

/* Bytes [pos, pos + len) of the disk, which lie or go at @at of @file. */
static void add_part(struct chunk *c, enum io_op op, uint64_t len, struct io_file *file,
		     uint64_t at, const char *path)
{
	struct chunk_part *last = c->parts ? &c->part[c->parts - 1] : NULL;

	if (last && last->req.file == file && last->req.start + last->req.len == at &&
	    last->pos + last->req.len == c->pos) {
		last->req.len += len;
		return;
	}
	c->part[c->parts++] = (struct chunk_part){
		.chunk = c,
		.pos = c->pos,
		.path = path,
		.req =
			{
				.op = op,
				.file = file,
				.start = at,
				.len = len,
				.buf = buffer_at(c, c->pos),
				.done = part_done,
			},
	};
}

static void next_segment(struct chunk *c)
{
	if (++c->seg == c->count)
		return;
	c->pos = c->window + c->plan[c->seg].start;
}

/* The next part of the segment that ends at @end: a hole, or the bytes of one range. */
static void read_range(struct chunk *c, uint64_t end)
{
	struct source_range range;
	uint64_t hole = end;
	int r = stream_next(c->stream, c->pos, &range);

	if (r < 0 && r != -ENXIO) {
		fail(c, r, "map", c->stream->src_path, c->pos);
		return;
	}
	if (r == 0)
		hole = min_u64(range.start, end);
	if (hole > c->pos)
		memset(buffer_at(c, c->pos), 0, hole - c->pos);
	c->pos = hole;
	if (hole == end)
		return;
	end = min_u64(range.end, end);
	add_part(c, IO_READ, end - c->pos, range.file, range.at, range.path);
	c->pos = end;
}

static void fill_reads(struct chunk *c)
{
	struct stream *s = c->stream;

	if (!s->from && c->seg < c->count) {
		add_part(c, IO_READ, c->window + c->plan[c->count - 1].end - c->pos,
			 &s->src, c->pos, s->src_path);
		c->seg = c->count;
	}
	while (!c->error && c->parts < PARTS && c->seg < c->count) {
		uint64_t end = c->window + c->plan[c->seg].end;

		if (c->pos < end)
			read_range(c, end);
		else
			next_segment(c);
	}
}

static void fill_writes(struct chunk *c)
{
	struct stream *s = c->stream;

	while (!c->error && c->parts < PARTS && c->seg < c->count) {
		uint64_t end = c->window + c->plan[c->seg].end, at, placed;
		int r;

		c->pos = max_u64(c->pos, stream_placed_to(s));
		if (c->pos >= end) {
			next_segment(c);
			continue;
		}
		r = stream_place(s, c->pos, &at, &placed);
		if (r < 0) {
			fail(c, r, "place", s->dst_path, c->pos);
			return;
		}
		end = min_u64(end, placed);
		add_part(c, IO_WRITE, end - c->pos, &s->dst, at, s->dst_path);
		c->pos = end;
	}
}

static void start_segments(struct chunk *c)
{
	c->seg = 0;
	c->pos = c->window + (c->count ? c->plan[0].start : 0);
}

static void begin_writing(struct chunk *c)
{
	c->state = CHUNK_WRITING;
	start_segments(c);
}

/* What was read is written while it is digested; but what is to be checked, before. */
static void end_reading(struct chunk *c)
{
	c->undigested = c->stream->digest != STREAM_NO_DIGEST;
	if (c->stream->digest == STREAM_DIGEST_CHECK)
		c->state = CHUNK_CHECKING;
	else
		begin_writing(c);
}

/* A round is over, or there was none: what comes next. */
static void step(struct chunk *c)
{
	c->parts = 0;
	c->queued = 0;
	c->ended = 0;
	if (c->state == CHUNK_READING && !c->error) {
		fill_reads(c);
		if (!c->parts && !c->error)
			end_reading(c);
	}
	if (c->state == CHUNK_WRITING && !c->error && stream_writes(c->stream))
		fill_writes(c);
	if (c->error || (!c->parts && !c->undigested))
		end(c);
}

static void part_done(struct io_req *req)
{
	struct chunk_part *part = container_of(req, struct chunk_part, req);
	struct chunk *c = part->chunk;

	if (req->result < 0)
		fail(c, req->result, req->op == IO_READ ? "read" : "write", part->path,
		     part->pos + req->moved);
	/* After a failure the rest is not even begun. */
	if (++c->ended == (c->error ? c->queued : c->parts))
		step(c);
	c->changed(c);
}

/* Whole digest chunks, or what the disk ends with, around all segments. */
size_t chunk_room(const struct chunk *c)
{
	return round_up(c->plan[c->count - 1].end, DIGEST_CHUNK) -
	       round_down(c->plan[0].start, DIGEST_CHUNK);
}

void chunk_begin(struct chunk *c, struct stream *s, uint64_t window_size)
{
	c->state = CHUNK_PLANNED;
	c->stream = s;
	c->len = min_u64(window_size, stream_size(s) - c->window);
	c->base = c->window + round_down(c->plan[0].start, DIGEST_CHUNK);
	c->error = 0;
	c->bytes = 0;
	for (unsigned i = 0; i < c->count; i++)
		c->bytes += c->plan[i].end - c->plan[i].start;
	c->parts = 0;
	c->queued = 0;
	c->ended = 0;
	c->undigested = false;
	start_segments(c);
}

bool chunk_has_work(const struct chunk *c)
{
	return c->state == CHUNK_PLANNED || (!c->error && c->queued < c->parts);
}

bool chunk_has_digest(const struct chunk *c)
{
	return c->undigested && !c->error;
}

void chunk_digest(struct chunk *c)
{
	digest_window(c);
	c->undigested = false;
	if (c->state == CHUNK_CHECKING && !c->error)
		begin_writing(c);
	if (c->error ? c->ended == c->queued : !c->parts)
		step(c);
	c->changed(c);
}

void chunk_abandon(struct chunk *c)
{
	fail(c, -ECANCELED, "move", c->stream->src_path, c->window);
	if (c->ended == c->queued) {
		end(c);
		c->changed(c);
	}
}

int chunk_queue(struct chunk *c, struct io_queue *q)
{
	int r = 0;

	if (c->state == CHUNK_PLANNED) {
		c->state = CHUNK_READING;
		step(c);
		if (c->state == CHUNK_FAILED || c->state == CHUNK_DONE) {
			c->changed(c);
			return 0;
		}
	}
	while (r == 0 && chunk_has_work(c)) {
		r = io_queue_add(q, &c->part[c->queued].req);
		if (r == 0)
			c->queued++;
	}
	return r;
}
