/* SPDX-License-Identifier: MIT */
/*
 * change_maps.c - the maps of both files, compared while the file system may move blocks
 *
 * An address seen in one map may have been left by that file and used again by the other
 * before its map was read (H5, H6). So the base's map is read before the target's and
 * once more after it: what was in the same place both times was there in between, too.
 * (One that went away and came back to the very same place is not found.) This is done
 * window by window, so that nothing is kept but a window of the base's.
 *
 * On Btrfs a map may be torn, too: an extent is out of the tree before the one that takes
 * its place is in it, and reads as a hole meanwhile: for long, if who does it is not
 * given the processor. So there the target's map is read once more as well, a running
 * hash stands for it; and the extents of both files are waited for before that. XFS puts
 * one extent in another's place in one transaction, with the lock held that a map is read
 * under.
 */
#include <string.h>
#include <xxhash.h>

#include "change_source.h"
#include "diff.h"
#include "io/base.h"

#define TRIES	   3
#define WINDOW	   2048 /* extents */
#define TICK_COUNT 4096 /* extents */

/* Extents of the base, up to @end. */
struct window {
	struct io_extent extents[WINDOW];
	size_t count, given;
	uint64_t end;
};

struct maps {
	struct io_map *base, *target, *base_again;
	struct io_map *target_again; /* NULL: no need */
	struct window window;
	uint64_t hash; /* of the target's extents in it */
	struct watch *w;
	uint64_t count; /* of the target's extents that were read */
};

static int maps_open(struct maps **ret, struct change_pair *p, change_open_map *open)
{
	struct maps *m = calloc(1, sizeof(*m));
	int r;

	*ret = m;
	if (!m)
		return -ENOMEM;
	m->w = p->w;
	r = open(&m->base, p->base.fd, p->base.size);
	if (r == 0)
		r = open(&m->target, p->target.fd, p->target.size);
	if (r == 0)
		r = open(&m->base_again, p->base.fd, p->base.size);
	if (r == 0 && p->target_fs.type == IO_FS_BTRFS)
		r = open(&m->target_again, p->target.fd, p->target.size);
	return r;
}

static void maps_close(struct maps *m)
{
	if (!m)
		return;
	io_map_close(m->base);
	io_map_close(m->target);
	io_map_close(m->base_again);
	io_map_close(m->target_again);
	free(m);
}

/* Behind the base's end there is one window more, and nothing in it. */
static int next_window(struct maps *m)
{
	struct window *w = &m->window;
	int r = 0;

	m->hash = 0;
	w->given = 0;
	for (w->count = 0; w->count < WINDOW; w->count++) {
		r = io_map_next(m->base, &w->extents[w->count]);
		if (r < 0)
			break;
		w->end = w->extents[w->count].end;
	}
	if (r == -ENXIO)
		w->end = UINT64_MAX;
	io_map_limit(m->target, w->end);
	io_map_limit(m->base_again, w->end);
	if (m->target_again)
		io_map_limit(m->target_again, w->end);
	return r == -ENXIO ? 0 : r;
}

static int base_next(void *maps, struct io_extent *ret)
{
	struct window *w = &((struct maps *)maps)->window;

	if (w->given == w->count)
		return -ENXIO;
	*ret = w->extents[w->given++];
	return 0;
}

static uint64_t add_to_hash(uint64_t hash, const struct io_extent *e)
{
	bool data = e->kind == IO_EXTENT_DATA;
	const uint64_t words[] = {e->start,
				  e->end,
				  e->kind,
				  data ? e->at : 0,
				  data ? e->packed : 0,
				  data ? e->packing : 0};

	return XXH3_64bits_withSeed(words, sizeof(words), hash);
}

/* @hash goes on with the extent. */
static int hashed_next(struct maps *m, struct io_map *map, struct io_extent *ret,
		       uint64_t *hash)
{
	int r = io_map_next(map, ret);

	if (r < 0)
		return r;
	*hash = add_to_hash(*hash, ret);
	return ++m->count % TICK_COUNT ? 0 : watch_tick(m->w);
}

static int target_next(void *maps, struct io_extent *ret)
{
	struct maps *m = maps;

	return hashed_next(m, m->target, ret, &m->hash);
}

static bool is_still(const struct io_extent *before, const struct io_extent *now)
{
	return before->start == now->start && before->end == now->end &&
	       before->kind == now->kind &&
	       (before->kind == IO_EXTENT_TAINT || io_extent_same(before, now));
}

static int await_both(struct maps *m)
{
	int r = io_map_await(m->base);

	return r == 0 ? io_map_await(m->target) : r;
}

/* -ESTALE if the base's map is not what it was. */
static int read_base_again(struct maps *m)
{
	const struct window *w = &m->window;
	struct io_extent now;
	int r = 0;

	for (size_t i = 0; r == 0 && i < w->count; i++) {
		r = io_map_next(m->base_again, &now);
		if (r == -ENXIO || (r == 0 && !is_still(&w->extents[i], &now)))
			r = -ESTALE;
	}
	return r;
}

/* The same of the target's. */
static int read_target_again(struct maps *m)
{
	struct io_extent now = {0};
	uint64_t hash = 0;
	int r = m->target_again ? 0 : -ENXIO;

	while (r == 0)
		r = hashed_next(m, m->target_again, &now, &hash);
	if (r == -ENXIO)
		r = m->target_again && hash != m->hash ? -ESTALE : 0;
	return r;
}

/* Up to the window's end. */
static int add_differences(struct diff *diff, const struct window *w,
			   struct ranges *ranges)
{
	static const enum change_kind kinds[] = {
		[DIFF_DATA] = CHANGE_DATA,
		[DIFF_ZERO] = CHANGE_ZERO,
		[DIFF_UNSURE] = CHANGE_UNSURE,
	};
	struct diff_range range;

	while (diff->pos < min_u64(w->end, diff->size)) {
		int r = diff_next(diff, &range);

		if (r == 0 && range.verdict != DIFF_SAME)
			r = ranges_add(ranges, range.start, range.end,
				       kinds[range.verdict]);
		if (r < 0)
			return r;
	}
	return 0;
}

static int try_maps(struct change_pair *p, change_open_map *open, struct ranges *ranges)
{
	struct diff diff;
	struct maps *m;
	int r = maps_open(&m, p, open);

	diff_init(&diff, m, base_next, target_next, p->base_size, p->target.size,
		  max_u64(p->base.block, p->target.block));
	while (r == 0 && diff.pos < diff.size) {
		r = next_window(m);
		if (r == 0)
			r = add_differences(&diff, &m->window, ranges);
		if (r == 0)
			r = await_both(m);
		if (r == 0)
			r = read_base_again(m);
		if (r == 0)
			r = read_target_again(m);
		if (r == 0)
			r = watch_tick(p->w);
	}
	maps_close(m);
	if (r == 0 && (io_file_was_cut(&p->base) || io_file_was_cut(&p->target)))
		r = -ENODATA; /* what is missing is no hole */
	return r == 0 ? ranges_end(ranges) : r;
}

/* What is no statement about the maps. */
static bool is_fatal(int error)
{
	return error == -ENOMEM || error == -ETIME || error == -ECANCELED ||
	       error == -ENOSPC || error == -EDQUOT || error == -ENODATA;
}

uint32_t change_compare_maps(struct change_pair *p, change_open_map *open,
			     const char *what, struct ranges *ranges,
			     struct rp_error *err)
{
	struct ranges found = {0};
	uint32_t rc = RP_OK;
	int r = -ESTALE;

	watch_phase(p->w, "mapping");
	for (unsigned i = 0; r < 0 && !is_fatal(r) && i < TRIES; i++) {
		ranges_free(&found);
		r = ranges_begin(&found, p->target.size, p->dirfd);
		if (r == 0)
			r = try_maps(p, open, &found);
	}
	if (r < 0 && is_fatal(r)) {
		rc = change_fail(p, NULL, r, "map", RP_NO_OFFSET, err);
	} else if (r < 0) {
		p->doubt = true;
		if (r == -ESTALE)
			change_because(p, "%s changed while they were read, %d times",
				       what, TRIES);
		else
			change_because(p, "%s: %s", what, strerrordesc_np(-r));
	} else {
		rc = change_resolve(p, &found, ranges, err);
	}
	ranges_free(&found);
	return rc;
}
