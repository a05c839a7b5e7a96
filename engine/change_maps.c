/* SPDX-License-Identifier: MIT */
/*
 * change_maps.c - the maps of both files, compared while the file system may move blocks
 *
 * Both are read at once, side by side, so an address seen in one may have been left by
 * the other and used again in between (H5, H6). That is found by reading both again: an
 * extent that was in the same place before and after was there when the other one was
 * read, too. (One that went away and came back to the very same place is not found.) A
 * running hash stands for a map, so that none is kept.
 */
#include <string.h>
#include <xxhash.h>

#include "change_source.h"
#include "diff.h"
#include "io/base.h"

#define TRIES	   3
#define TICK_COUNT 4096 /* extents */

struct map_reader {
	struct io_map *map;
	XXH3_state_t *hash;
	struct watch *w;
	uint64_t count;
};

static void reader_close(struct map_reader *m)
{
	io_map_close(m->map);
	XXH3_freeState(m->hash);
	*m = (struct map_reader){0};
}

static int reader_open(struct map_reader *m, struct change_pair *p, change_open_map *open,
		       const struct io_file *file)
{
	int r;

	*m = (struct map_reader){.w = p->w, .hash = XXH3_createState()};
	if (!m->hash || XXH3_128bits_reset(m->hash) == XXH_ERROR)
		r = -ENOMEM;
	else
		r = open(&m->map, file->tail_fd, file->size);
	if (r < 0)
		reader_close(m);
	return r;
}

static int reader_next(void *reader, struct io_extent *ret)
{
	struct map_reader *m = reader;
	int r = io_map_next(m->map, ret);

	if (r == 0) {
		uint64_t words[] = {ret->start, ret->end,    ret->kind,
				    ret->at,	ret->packed, ret->packing};

		if (ret->kind != IO_EXTENT_DATA)
			words[3] = words[4] = words[5] = 0;
		XXH3_128bits_update(m->hash, words, sizeof(words));
	}
	if (r == 0 && ++m->count % TICK_COUNT == 0)
		r = watch_tick(m->w);
	return r;
}

/* What is left of the map too; whether it is as it was. */
static int reader_hash(struct map_reader *m, XXH128_hash_t *ret)
{
	struct io_extent e;
	int r;

	while ((r = reader_next(m, &e)) == 0)
		;
	*ret = XXH3_128bits_digest(m->hash);
	return r == -ENXIO ? 0 : r;
}

/* -ESTALE if the map of @file is not what it was. */
static int read_again(struct change_pair *p, change_open_map *open,
		      const struct io_file *file, XXH128_hash_t before)
{
	struct map_reader m;
	XXH128_hash_t now;
	int r = reader_open(&m, p, open, file);

	if (r < 0)
		return r;
	r = reader_hash(&m, &now);
	reader_close(&m);
	return r == 0 && !XXH128_isEqual(before, now) ? -ESTALE : r;
}

static int add_differences(struct change_pair *p, struct map_reader *base,
			   struct map_reader *target, struct ranges *ranges)
{
	static const enum change_kind kinds[] = {
		[DIFF_DATA] = CHANGE_DATA,
		[DIFF_ZERO] = CHANGE_ZERO,
		[DIFF_UNSURE] = CHANGE_UNSURE,
	};
	struct diff_range range;
	struct diff diff;
	int r;

	diff_init(&diff, reader_next, base, target, p->base_size, p->target.size,
		  max_u64(p->base.block, p->target.block));
	while ((r = diff_next(&diff, &range)) == 0) {
		if (range.verdict == DIFF_SAME)
			continue;
		r = ranges_add(ranges, range.start, range.end, kinds[range.verdict]);
		if (r < 0)
			return r;
	}
	return r == -ENXIO ? ranges_end(ranges) : r;
}

static int try_maps(struct change_pair *p, change_open_map *open, struct ranges *ranges)
{
	struct map_reader base = {0}, target = {0};
	XXH128_hash_t base_was, target_was;
	int r = reader_open(&base, p, open, &p->base);

	if (r == 0)
		r = reader_open(&target, p, open, &p->target);
	if (r == 0)
		r = add_differences(p, &base, &target, ranges);
	if (r == 0) /* what lies behind the other's end */
		r = reader_hash(&base, &base_was);
	if (r == 0)
		r = reader_hash(&target, &target_was);
	reader_close(&base);
	reader_close(&target);
	if (r == 0)
		r = read_again(p, open, &p->base, base_was);
	return r == 0 ? read_again(p, open, &p->target, target_was) : r;
}

/* What is no statement about the maps. */
static bool is_fatal(int error)
{
	return error == -ENOMEM || error == -ETIME || error == -ECANCELED ||
	       error == -ENOSPC || error == -EDQUOT;
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
