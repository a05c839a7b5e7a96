/* SPDX-License-Identifier: MIT */
/*
 * layer_diff.c - changed ranges as a layer
 */
#include "layer_diff.h"

#include <errno.h>

#include "io/base.h"

/* @found is what a search for @pos gave, with @r: the range that holds it or the next. */
static int below_or(const struct layer *layer, uint64_t pos, int r,
		    const struct layer_range *found, struct layer_range *ret)
{
	if (r < 0 && r != -ENXIO)
		return r;
	if (r == 0 && found->start <= pos)
		*ret = *found;
	else
		*ret = (struct layer_range){
			.start = pos,
			.end = r == 0 ? found->start : layer->size,
			.state = LAYER_BELOW,
		};
	return 0;
}

static int listed_at(struct layer *layer, uint64_t pos, struct layer_range *ret)
{
	struct layer_diff *d = container_of(layer, struct layer_diff, layer);
	struct layer_range found = {0};
	int r = change_list_next(d->list, pos, &found);

	return below_or(layer, pos, r, &found, ret);
}

void layer_diff_listed(struct layer_diff *d, struct change_list *list)
{
	d->list = list;
	d->layer.size = change_list_head(list)->size;
	d->layer.at = listed_at;
	d->layer.close = NULL;
}

static int mapped_at(struct layer *layer, uint64_t pos, struct layer_range *ret)
{
	struct layer_diff *d = container_of(layer, struct layer_diff, layer);
	struct change change = {0};
	struct layer_range found;
	int r = ranges_next(ranges_closest(d->cursors, pos), pos, &change);

	found = (struct layer_range){
		.start = change.start,
		.end = change.end,
		.state = change.kind == CHANGE_ZERO ? LAYER_ZERO : LAYER_DATA,
		.at = change.start,
	};
	return below_or(layer, pos, r, &found, ret);
}

void layer_diff_mapped(struct layer_diff *d, const struct change_map *map)
{
	for (size_t i = 0; i < RANGES_CURSORS; i++)
		d->cursors[i] = (struct ranges_cursor){.ranges = &map->ranges};
	d->layer.size = map->size;
	d->layer.at = mapped_at;
	d->layer.close = NULL;
}
