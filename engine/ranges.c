/* SPDX-License-Identifier: MIT */
/*
 * ranges.c - blocks, and the code they are kept in
 *
 * A range is two numbers: blocks since the end of the one before, and its length in
 * blocks times 4 plus its kind; each in groups of 7 bits, low ones first.
 */
#include "ranges.h"

#include <unistd.h>

#include "io/base.h"
#include "io/small_file.h"

#define CODE_BYTES   MIB
#define NUMBER_BYTES 10 /* at most */

int ranges_begin(struct ranges *r, uint64_t size, int dirfd)
{
	*r = (struct ranges){.size = size, .dirfd = dirfd, .fd = -1};
	r->code = malloc(CODE_BYTES);
	return r->code ? 0 : -ENOMEM;
}

void ranges_free(struct ranges *r)
{
	if (!r->code)
		return;
	free(take_ptr(r->code));
	if (r->fd >= 0)
		close(take_fd(&r->fd));
}

static int empty_code(struct ranges *r)
{
	int w;

	if (r->fd < 0)
		r->fd = io_temporary_file(r->dirfd);
	if (r->fd < 0)
		return r->fd;
	w = io_pwrite_all(r->fd, r->code, r->code_len, r->in_file);
	if (w < 0)
		return w;
	r->in_file += r->code_len;
	r->code_len = 0;
	return 0;
}

static void put_number(struct ranges *r, uint64_t number)
{
	for (; number >= 0x80; number >>= 7)
		r->code[r->code_len++] = (uint8_t)(number | 0x80);
	r->code[r->code_len++] = (uint8_t)number;
}

/* The range that was open is whole. */
static int put_last(struct ranges *r)
{
	uint64_t end = round_up(r->last.end, RANGES_GRAIN);
	int w = 0;

	if (r->last.start >= r->last.end)
		return 0;
	if (r->code_len + (size_t)2 * NUMBER_BYTES > CODE_BYTES)
		w = empty_code(r);
	if (w < 0)
		return w;
	put_number(r, (r->last.start - r->coded_to) / RANGES_GRAIN);
	put_number(r, (end - r->last.start) / RANGES_GRAIN << 2 | r->last.kind);
	r->coded_to = end;
	r->count++;
	r->bytes[r->last.kind] += r->last.end - r->last.start;
	return 0;
}

/* Whole blocks. Only data was grown, so only data can overlap, and only data. */
static int add_blocks(struct ranges *r, uint64_t start, uint64_t end,
		      enum change_kind kind)
{
	int w;

	start = max_u64(start, r->last.end);
	end = min_u64(end, r->size);
	if (start >= end)
		return 0;
	if (start == r->last.end && kind == r->last.kind && r->last.start < r->last.end) {
		r->last.end = end;
		return 0;
	}
	w = put_last(r);
	r->last = (struct change){start, end, kind};
	return w;
}

static int add_raw(struct ranges *r)
{
	uint64_t start = round_down(r->raw.start, RANGES_GRAIN);
	uint64_t end = round_up(r->raw.end, RANGES_GRAIN);
	uint64_t inner = round_up(r->raw.start, RANGES_GRAIN);
	uint64_t inner_end = r->raw.end == r->size ? r->size
						   : round_down(r->raw.end, RANGES_GRAIN);
	int w;

	if (r->raw.start >= r->raw.end)
		return 0;
	if (r->raw.kind == CHANGE_DATA || inner >= inner_end)
		return add_blocks(r, start, end, CHANGE_DATA);
	w = start < inner ? add_blocks(r, start, inner, CHANGE_DATA) : 0;
	if (w == 0)
		w = add_blocks(r, inner, inner_end, r->raw.kind);
	if (w == 0 && inner_end < r->raw.end)
		w = add_blocks(r, inner_end, end, CHANGE_DATA);
	return w;
}

int ranges_add(struct ranges *r, uint64_t start, uint64_t end, enum change_kind kind)
{
	int w;

	end = min_u64(end, r->size);
	if (start >= end)
		return 0;
	if (start < r->raw.end)
		return -EINVAL; /* out of order: better no map than one that lacks it */
	if (start == r->raw.end && kind == r->raw.kind && r->raw.start < r->raw.end) {
		r->raw.end = end;
		return 0;
	}
	w = add_raw(r);
	r->raw = (struct change){start, end, kind};
	return w;
}

int ranges_end(struct ranges *r)
{
	int w = add_raw(r);

	if (w == 0)
		w = put_last(r);
	r->raw = (struct change){0};
	r->last = (struct change){0};
	return w;
}

static int code_byte(struct ranges_cursor *c, uint8_t *ret)
{
	const struct ranges *r = c->ranges;

	if (c->at >= r->in_file) {
		if (c->at - r->in_file >= r->code_len)
			return -ENXIO;
		*ret = r->code[c->at++ - r->in_file];
		return 0;
	}
	if (!c->window_len || c->at < c->window || c->at - c->window >= c->window_len) {
		size_t len = (size_t)min_u64(sizeof(c->buf), r->in_file - c->at);
		int w = io_pread_all(r->fd, c->buf, len, c->at);

		if (w < 0)
			return w;
		c->window = c->at;
		c->window_len = len;
	}
	*ret = c->buf[c->at++ - c->window];
	return 0;
}

static int get_number(struct ranges_cursor *c, uint64_t *ret)
{
	uint64_t number = 0;
	uint8_t byte;

	for (unsigned shift = 0; shift < 64; shift += 7) {
		int r = code_byte(c, &byte);

		if (r < 0)
			return r;
		number |= (uint64_t)(byte & 0x7f) << shift;
		if (!(byte & 0x80)) {
			*ret = number;
			return 0;
		}
	}
	return -EIO;
}

int ranges_next(struct ranges_cursor *c, uint64_t pos, struct change *ret)
{
	uint64_t gap, len;

	if (pos < c->now.start) { /* from the beginning */
		c->at = 0;
		c->now = (struct change){0};
	}
	while (c->now.end <= pos) {
		int r = get_number(c, &gap);

		if (r == 0)
			r = get_number(c, &len);
		if (r < 0)
			return r;
		c->now.start = round_up(c->now.end, RANGES_GRAIN) + gap * RANGES_GRAIN;
		c->now.end = min_u64(c->now.start + (len >> 2) * RANGES_GRAIN,
				     c->ranges->size);
		c->now.kind = (enum change_kind)(len & 3);
	}
	*ret = c->now;
	return 0;
}

struct ranges_cursor *ranges_closest(struct ranges_cursor cursors[RANGES_CURSORS],
				     uint64_t pos)
{
	struct ranges_cursor *best = &cursors[0];

	for (size_t i = 1; i < RANGES_CURSORS; i++) {
		struct ranges_cursor *c = &cursors[i];
		bool ahead = c->now.start > pos, best_ahead = best->now.start > pos;

		if (ahead ? best_ahead && c->now.start > best->now.start
			  : best_ahead || c->now.start > best->now.start)
			best = c;
	}
	return best;
}
