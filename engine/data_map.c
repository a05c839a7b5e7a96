/* SPDX-License-Identifier: MIT */
/*
 * data_map.c - where a frozen file has data, looked up once and remembered
 */
#include "data_map.h"

#include "io/base.h"
#include "io/extent.h"

#define RANGES_PER_TICK 256

static int data_map_next(struct source *source, uint64_t pos, struct source_range *ret)
{
	struct data_map *m = container_of(source, struct data_map, source);
	struct change data;
	int r = ranges_next(ranges_closest(m->cursors, pos), pos, &data);

	if (r < 0)
		return r;
	data.start = max_u64(data.start, pos);
	*ret = (struct source_range){
		.start = data.start,
		.end = data.end,
		.file = m->file,
		.at = data.start,
		.path = m->path,
	};
	return 0;
}

static int look(struct data_map *m, struct watch *w)
{
	uint64_t pos = 0, start, end;
	unsigned ranges = 0;
	int r;

	while ((r = io_next_data(m->file->fd, pos, m->file->size, &start, &end)) == 0) {
		r = ranges_add(&m->ranges, start, end, CHANGE_DATA);
		pos = end;
		if (r == 0 && ++ranges % RANGES_PER_TICK == 0)
			r = watch_tick(w);
		if (r < 0)
			return r;
	}
	return r == -ENXIO ? ranges_end(&m->ranges) : r;
}

int data_map_make(struct data_map *m, struct io_file *file, const char *path, int dirfd,
		  struct watch *w)
{
	int r;

	*m = (struct data_map){
		.source = {.size = file->size, .next = data_map_next},
		.file = file,
		.path = path,
	};
	r = ranges_begin(&m->ranges, file->size, dirfd);
	for (size_t i = 0; i < RANGES_CURSORS; i++)
		m->cursors[i].ranges = &m->ranges;
	return r < 0 ? r : look(m, w);
}

void data_map_free(struct data_map *m)
{
	ranges_free(&m->ranges);
}
