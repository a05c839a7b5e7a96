/* SPDX-License-Identifier: MIT */
/*
 * layer_diff.h - the layer that a differential disk is: its changed ranges
 *
 * What is in none of them is left to the layers below.
 */
#ifndef ENGINE_LAYER_DIFF_H
#define ENGINE_LAYER_DIFF_H

#include "change.h"
#include "change_list.h"
#include "layer.h"

struct layer_diff {
	struct layer layer;
	struct change_list *list;		      /* borrowed */
	struct ranges_cursor cursors[RANGES_CURSORS]; /* instead: of a map, borrowed */
};

/* A differential raw image with its list: layer.file and layer.path are set. */
void layer_diff_listed(struct layer_diff *d, struct change_list *list);

/* What has changed in a point's disk: layer.file is the whole disk. */
void layer_diff_mapped(struct layer_diff *d, const struct change_map *map);

#endif
