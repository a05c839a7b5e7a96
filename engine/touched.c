/* SPDX-License-Identifier: MIT */
/*
 * touched.c - chunks that were touched, and the leaves of those that were not
 */
#include "touched.h"

#include <errno.h>

#include "io/base.h"
#include "watch.h"

/* Where @layer has something of its own at or after @pos: 0, -ENXIO, or -errno. */
static int next_of(struct layer *layer, uint64_t pos, uint64_t *ret_start,
		   uint64_t *ret_end)
{
	while (pos < layer->size) {
		struct layer_range range;
		int r = layer->at(layer, pos, &range);

		if (r < 0)
			return r;
		if (range.end <= pos)
			return -EBADMSG;
		if (range.state != LAYER_BELOW) {
			*ret_start = pos;
			*ret_end = range.end;
			return 0;
		}
		pos = range.end;
	}
	return -ENXIO;
}

/* The first touched chunks at or after @pos, which begins one or lies in one. */
static int next_run(const struct touched *t, uint64_t pos, uint64_t *ret_start,
		    uint64_t *ret_end)
{
	uint64_t size = t->source.size, start = UINT64_MAX, end = 0, from, to;

	/* A chunk that ended with the disk once has another leaf as one that goes on. */
	if (t->edge % DIGEST_CHUNK && pos < round_up(t->edge, DIGEST_CHUNK)) {
		start = max_u64(pos, round_down(t->edge, DIGEST_CHUNK));
		end = start + 1;
	}
	for (size_t i = 0; i < t->count; i++) {
		int r = next_of(t->layer[i], pos, &from, &to);

		if (r < 0 && r != -ENXIO)
			return r;
		if (r < 0 || from >= start)
			continue;
		start = from;
		end = to;
	}
	if (start >= size)
		return -ENXIO;
	*ret_start = max_u64(pos, round_down(start, DIGEST_CHUNK));
	*ret_end = min_u64(round_up(end, DIGEST_CHUNK), size);
	return 0;
}

static int touched_next(struct source *source, uint64_t pos, struct source_range *ret)
{
	const struct touched *t = container_of(source, struct touched, source);
	uint64_t start, end;
	int r = next_run(t, pos, &start, &end);

	if (r == 0)
		*ret = (struct source_range){
			.start = start,
			.end = end,
			.file = t->file,
			.at = start,
			.path = t->path,
		};
	return r;
}

void touched_init(struct touched *t, struct layer *const *layer, size_t count,
		  uint64_t below, uint64_t size, struct io_file *file, const char *path)
{
	*t = (struct touched){
		.source = {.size = size, .next = touched_next},
		.layer = layer,
		.count = count,
		.edge = min_u64(below, size),
		.file = file,
		.path = path,
	};
	for (size_t i = 0; i < count; i++)
		t->edge = min_u64(t->edge, layer[i]->size);
}

int touched_copy(struct touched *t, const struct digest *from, const struct digest *to,
		 struct watch *w)
{
	uint64_t pos = 0, start;
	int r;

	while ((r = next_run(t, pos, &start, &pos)) == 0) {
		r = digest_copy(from, to, start / DIGEST_CHUNK,
				digest_chunk_count(min_u64(pos, from->size)), w);
		if (r == 0)
			r = watch_tick(w);
		if (r < 0)
			break;
	}
	return r == -ENXIO ? 0 : r;
}

/* From one touched run to the next; behind the edge nothing is left of what was below. */
int touched_carry(struct touched *t, const struct digest *from, const struct digest *to,
		  struct watch *w)
{
	uint64_t pos = 0, start, end;
	int r = 0;

	while (r == 0 && pos < t->edge) {
		r = next_run(t, pos, &start, &end);
		if (r == -ENXIO)
			start = end = t->edge;
		else if (r < 0)
			return r;
		r = digest_copy(from, to, pos / DIGEST_CHUNK,
				min_u64(start, t->edge) / DIGEST_CHUNK, w);
		if (r == 0)
			r = watch_tick(w);
		pos = end;
	}
	return r;
}
