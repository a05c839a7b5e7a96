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

static void listed_close(struct layer *layer)
{
	struct layer_diff *d = container_of(layer, struct layer_diff, layer);

	change_list_close(d->list);
	d->list = NULL;
}

void layer_diff_listed(struct layer_diff *d, struct change_list *list)
{
	d->list = list;
	d->layer.size = change_list_head(list)->size;
	d->layer.at = listed_at;
	d->layer.close = listed_close;
}
