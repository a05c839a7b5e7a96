/* SPDX-License-Identifier: MIT */
/*
 * map.c - from the records of a file system to extents that can be compared
 */
#include "map.h"

#include "base.h"

/* Whether @b begins where @a ends and is more of the same. */
static bool continues(const struct io_extent *a, const struct io_extent *b)
{
	if (a->end != b->start || a->kind != b->kind)
		return false;
	return a->kind != IO_EXTENT_DATA ||
	       (a->packed == b->packed && a->packing == b->packing &&
		a->at + (a->end - a->start) == b->at);
}

bool io_extent_same(const struct io_extent *a, const struct io_extent *b)
{
	if (a->kind != b->kind || a->kind == IO_EXTENT_TAINT)
		return false;
	return a->kind == IO_EXTENT_ZERO ||
	       (a->packed == b->packed && a->packing == b->packing && a->at == b->at);
}

void io_extent_cut(struct io_extent *e, uint64_t start)
{
	e->at += start - e->start;
	e->start = start;
}

/* Reads one record ahead. It may begin before what was asked for, and end behind the
 * file (H4). */
static int read_ahead(struct io_map *m)
{
	struct io_extent *e = &m->ahead;

	while (e->start >= e->end && !m->ended) {
		int r = m->record(m, e);

		if (r < 0) {
			*e = (struct io_extent){0};
			m->ended = r == -ENXIO;
			if (r != -ENXIO)
				return r;
			break;
		}
		e->end = min_u64(e->end, m->limit);
		if (e->start < m->read_to)
			io_extent_cut(e, min_u64(m->read_to, e->end));
		if (e->start < e->end)
			m->read_to = e->end;
		m->ended = m->read_to == m->limit;
	}
	return 0;
}

/* What there is at @pos, taken from ahead or a gap before it. */
static int piece(struct io_map *m, uint64_t pos, struct io_extent *ret)
{
	int r = read_ahead(m);

	if (r < 0)
		return r;
	if (m->ahead.start < m->ahead.end && m->ahead.start == pos)
		*ret = m->ahead;
	else
		*ret = (struct io_extent){
			.start = pos,
			.end = m->ahead.start < m->ahead.end ? m->ahead.start : m->limit,
			.kind = IO_EXTENT_ZERO,
		};
	return 0;
}

void io_map_limit(struct io_map *m, uint64_t limit)
{
	m->limit = min_u64(limit, m->size);
	m->ended = false;
}

int io_map_next(struct io_map *m, struct io_extent *ret)
{
	struct io_extent whole = {.end = m->pos}, more;

	while (whole.end < m->limit) {
		int r = piece(m, whole.end, &more);

		if (r < 0)
			return r;
		if (whole.end == m->pos)
			whole = more;
		else if (continues(&whole, &more))
			whole.end = more.end;
		else
			break;
		if (more.end == m->ahead.end)
			m->ahead = (struct io_extent){0};
	}
	if (whole.end == m->pos)
		return -ENXIO;
	m->pos = whole.end;
	*ret = whole;
	return 0;
}

int io_map_await(struct io_map *m)
{
	return m->await ? m->await(m) : 0;
}

void io_map_close(struct io_map *m)
{
	if (m)
		m->close(m);
}
