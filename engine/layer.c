/* SPDX-License-Identifier: MIT */
/*
 * layer.c - one file of a chain of exports, and the chain as one disk
 */
#include "layer.h"

#include <errno.h>

#include "io/base.h"
#include "io/extent.h"

/* To find the end of data takes time, the longer it is and the more extents it has. */
static int raw_at(struct layer *l, uint64_t pos, struct layer_range *ret)
{
	uint64_t start, end;
	int r;

	if (pos >= l->last.start && pos < l->last.end) {
		*ret = l->last;
		return 0;
	}
	r = io_next_data(l->file.fd, pos, l->size, &start, &end);
	if (r < 0 && r != -ENXIO)
		return r;
	*ret = (struct layer_range){.start = pos, .end = l->size, .state = LAYER_ZERO};
	if (r == 0 && start > pos)
		ret->end = start;
	else if (r == 0)
		*ret = (struct layer_range){
			.start = pos, .end = end, .state = LAYER_DATA, .at = pos};
	l->last = *ret;
	return 0;
}

void layer_raw(struct layer *l)
{
	l->size = l->file.size;
	l->last = (struct layer_range){0};
	l->at = raw_at;
	l->close = NULL;
}

void layer_close(struct layer *l)
{
	if (l->close)
		l->close(l);
	l->close = NULL;
	io_file_close(&l->file);
}

/*
 * What [pos, *ret_end) is: RANGE of the topmost layer that does not leave it to those
 * below. *ret_range covers just that.
 */
static int look(const struct layers *ls, uint64_t pos, struct layer **ret_layer,
		struct layer_range *ret)
{
	enum layer_state state = LAYER_BELOW;
	uint64_t end = ls->source.size;

	for (size_t i = 0; i < ls->count; i++) {
		struct layer *l = ls->layer[i];
		struct layer_range range;
		int r;

		if (pos >= l->size) {
			state = LAYER_ZERO;
			break;
		}
		r = l->at(l, pos, &range);
		if (r < 0)
			return r;
		if (range.start > pos || range.end <= pos)
			return -EBADMSG; /* no progress */
		end = min_u64(end, range.end);
		if (range.state == LAYER_BELOW)
			continue;
		*ret_layer = l;
		*ret = (struct layer_range){
			.start = pos,
			.end = end,
			.state = range.state,
			.at = range.at + (pos - range.start),
		};
		return 0;
	}
	*ret = (struct layer_range){.start = pos, .end = end, .state = state};
	return 0;
}

int layers_at(const struct layers *ls, uint64_t pos, struct layer_range *ret)
{
	struct layer *layer;

	return look(ls, pos, &layer, ret);
}

static int layers_next(struct source *source, uint64_t pos, struct source_range *ret)
{
	struct layers *ls = container_of(source, struct layers, source);
	struct layer_range range;
	struct layer *layer;

	while (pos < source->size) {
		int r = look(ls, pos, &layer, &range);

		if (r < 0)
			return r;
		if (range.state == LAYER_DATA) {
			*ret = (struct source_range){
				.start = range.start,
				.end = range.end,
				.file = &layer->file,
				.at = range.at,
				.path = layer->path,
			};
			return 0;
		}
		pos = range.end;
	}
	return -ENXIO;
}

void layers_init(struct layers *ls, struct layer *const *layer, size_t count)
{
	*ls = (struct layers){
		.source = {.size = layer[0]->size, .next = layers_next},
		.layer = layer,
		.count = count,
	};
}
