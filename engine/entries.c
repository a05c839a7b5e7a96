/* SPDX-License-Identifier: MIT */
/*
 * entries.c - a table of 64-bit entries on its way into a file
 */
#include "entries.h"

#include <string.h>

#include "io/base.h"
#include "io/small_file.h"

#define WINDOW	 (MIB / sizeof(uint64_t))
#define PER_PAGE (4096 / sizeof(uint64_t))

int entries_open(struct entries *e, struct io_file *file, uint64_t at)
{
	*e = (struct entries){.file = file, .at = at};
	e->buf = calloc(WINDOW, sizeof(*e->buf)); /* untouched, it costs nothing */
	return e->buf ? 0 : -ENOMEM;
}

void entries_close(struct entries *e)
{
	free(e->buf);
	e->buf = NULL;
}

int entries_flush(struct entries *e)
{
	size_t from = round_down(e->used_from, PER_PAGE);
	size_t to = round_up(e->used_to, PER_PAGE);
	int r;

	if (e->used_from == e->used_to)
		return 0;
	r = io_pwrite_all(e->file->fd, e->buf + from, (to - from) * sizeof(*e->buf),
			  e->at + (e->window + from) * sizeof(*e->buf));
	memset(e->buf + from, 0, (to - from) * sizeof(*e->buf));
	e->used_from = e->used_to = 0;
	return r;
}

int entries_put(struct entries *e, uint64_t index, uint64_t entry)
{
	int r = 0;

	if (index - e->window >= WINDOW) { /* also one before it, which nobody gives */
		r = entries_flush(e);
		e->window = round_down(index, WINDOW);
	}
	index -= e->window;
	e->buf[index] = entry;
	if (e->used_from == e->used_to)
		e->used_from = index;
	e->used_to = index + 1;
	return r;
}
