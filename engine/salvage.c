/* SPDX-License-Identifier: MIT */
/*
 * salvage.c - looking for what is lost, and a layer that leaves it out
 */
#include "salvage.h"

#include <string.h>

#include "io/small_file.h"
#include "layer_diff.h"
#include "leaves.h"

/* A layer, chunk by chunk of its disk (DIGEST_CHUNK): good or not. */
struct sound {
	struct layer layer;
	struct layer *under;
	struct change_list *list; /* of a differential part; NULL: it is whole */
	struct layer_diff listed; /* what that says */
	uint64_t grain;		  /* of an image; 0: it is raw */
	bool proven;		  /* what is good was compared with its digest */
	uint8_t *bad;		  /* one bit each */
	uint64_t run_start;	  /* chunks that are alike, found last */
	uint64_t run_end;
};

static bool is_bad(const struct sound *s, uint64_t pos)
{
	uint64_t chunk = pos / DIGEST_CHUNK;

	return s->bad[chunk / 8] >> chunk % 8 & 1;
}

/* Where the run of chunks that are as good or bad as that of @pos ends. Layers above cut
 * it into pieces, which must not cost all the rest of it each. */
static uint64_t run_end(struct sound *s, uint64_t pos)
{
	uint64_t next = round_down(pos, DIGEST_CHUNK);
	bool bad;

	if (pos >= s->run_start && pos < s->run_end)
		return s->run_end;
	bad = is_bad(s, pos);
	s->run_start = next;
	while (next < s->layer.size && is_bad(s, next) == bad)
		next += DIGEST_CHUNK;
	s->run_end = next;
	return next;
}

/* What the part is to have at @pos: its data, zeros, or what is below. A list is right,
 * as it has a hash of its own; a whole part is to have all. */
static int look_up(struct sound *s, uint64_t pos, struct layer_range *ret)
{
	int r = 0;

	*ret = (struct layer_range){.end = s->layer.size};
	if (s->list)
		r = s->listed.layer.at(&s->listed.layer, pos, ret);
	ret->start = pos;
	return r;
}

/* Whether what has not changed at @pos is here all the same, in an image of whole grains;
 * cuts *end to where that is so, or is not. */
static int is_kept(const struct sound *s, uint64_t pos, uint64_t *end, bool *ret)
{
	uint64_t grain = round_down(pos, s->grain);
	struct layer_range change;
	int r = change_list_next(s->list, grain, &change);

	if (r < 0 && r != -ENXIO)
		return r;
	*ret = r == 0 && change.start < grain + s->grain;
	if (*ret)
		*end = min_u64(*end, grain + s->grain);
	else if (r == 0)
		*end = min_u64(*end, round_down(change.start, s->grain));
	return 0;
}

/* What a good chunk has at @pos, where @ret is what it is to have. */
static int look_here(const struct sound *s, uint64_t pos, struct layer_range *ret,
		     bool *ret_lost)
{
	struct layer_range has;
	int r = s->under->at(s->under, pos, &has);

	if (r < 0)
		return r;
	ret->end = min_u64(ret->end, has.end);
	if (has.state == LAYER_DATA) {
		ret->state = LAYER_DATA;
		ret->at = has.at + (pos - has.start);
	} else if (ret->state == LAYER_DATA) {
		/* Nothing here, and so it was if a digest says that all is good. */
		*ret_lost = has.state == LAYER_BELOW && !s->proven;
		ret->state = LAYER_ZERO;
	} else if (has.state == LAYER_ZERO && s->proven) {
		ret->state = LAYER_ZERO; /* of a grain that is here as a whole */
	}
	return 0;
}

/*
 * The range that holds @pos, and whether it is lost: the part was to have it, and has it
 * no more. Zeros stand for it. What has not changed is below as well, if it is not here.
 */
static int look(struct sound *s, uint64_t pos, struct layer_range *ret, bool *ret_lost)
{
	int r = look_up(s, pos, ret);
	bool here = r == 0 && ret->state == LAYER_DATA;

	*ret_lost = false;
	if (r == 0 && ret->state == LAYER_BELOW && s->grain)
		r = is_kept(s, pos, &ret->end, &here);
	if (r < 0 || !here)
		return r;
	if (!is_bad(s, pos)) {
		r = look_here(s, pos, ret, ret_lost);
	} else if (ret->state == LAYER_DATA) {
		*ret_lost = true;
		ret->state = LAYER_ZERO;
	}
	ret->end = min_u64(ret->end, run_end(s, pos));
	return r;
}

static int sound_at(struct layer *layer, uint64_t pos, struct layer_range *ret)
{
	bool lost;

	return look(container_of(layer, struct sound, layer), pos, ret, &lost);
}

/* ---------------------------------------------------------------------------- reading */

/* The bytes the layer has of [start, end); others are zeros. *ret_data: there are any. */
static int read_chunk(struct layer *layer, uint64_t start, uint64_t end, char *buf,
		      bool *ret_data)
{
	uint64_t pos = start;

	memset(buf, 0, end - start);
	*ret_data = false;
	while (pos < end) {
		struct layer_range range;
		int r = layer->at(layer, pos, &range);

		if (r == 0 && range.end <= pos)
			r = -EBADMSG;
		if (r < 0)
			return r;
		range.end = min_u64(range.end, end);
		if (range.state == LAYER_DATA) {
			*ret_data = true;
			r = io_pread_all(layer->file.fd, buf + (pos - start),
					 range.end - pos, range.at + (pos - range.start));
		}
		if (r < 0)
			return r;
		pos = range.end;
	}
	return 0;
}

/* Whether a chunk is as it was; one without data costs no reading. */
static bool is_sound(struct layer *layer, const struct digest *leaves, uint64_t start,
		     char *buf)
{
	uint64_t end = min_u64(start + DIGEST_CHUNK, layer->size);
	uint8_t want[DIGEST_SIZE], have[DIGEST_SIZE] = {0};
	bool data;

	if (read_chunk(layer, start, end, buf, &data) < 0)
		return false;
	if (leaves->fd < 0)
		return true;
	if (data)
		digest_leaf(buf, end - start, have);
	return digest_get(leaves, start / DIGEST_CHUNK, want, 1) == 0 &&
	       !memcmp(want, have, DIGEST_SIZE);
}

/* Up to where, from chunk bound @pos on, there is no data, nor was any: no digest is of
 * some. *next is the first leaf at or behind the one it was asked for last. */
static uint64_t pass_hole(struct layer *layer, const struct digest *leaves, uint64_t pos,
			  uint64_t *next)
{
	uint64_t chunk = pos / DIGEST_CHUNK, end;
	struct layer_range range;
	int r;

	if (layer->at(layer, pos, &range) < 0 || range.state == LAYER_DATA)
		return pos;
	if (chunk > *next) {
		r = digest_next(leaves, chunk, next);
		if (r < 0) /* what cannot be read is not passed by */
			*next = r == -ENXIO ? UINT64_MAX : chunk;
	}
	end = range.end;
	if (end < layer->size)
		end = round_down(end, DIGEST_CHUNK);
	end = min_u64(end, layer->size);
	if (*next <= end / DIGEST_CHUNK)
		end = min_u64(end, *next * DIGEST_CHUNK);
	return max_u64(end, pos);
}

static int read_layer(struct sound *s, const struct digest *leaves, struct watch *w)
{
	_cleanup_free_ char *buf = malloc(DIGEST_CHUNK);
	uint64_t next = leaves->fd < 0 ? UINT64_MAX : 0, end;

	if (!buf)
		return -ENOMEM;
	w->progress.bytes_total += s->layer.size;
	for (uint64_t pos = 0; pos < s->layer.size; pos = end) {
		uint64_t chunk = pos / DIGEST_CHUNK;
		int r;

		end = pass_hole(s->under, leaves, pos, &next);
		if (end == pos) {
			end = min_u64(pos + DIGEST_CHUNK, s->layer.size);
			if (!is_sound(s->under, leaves, pos, buf))
				s->bad[chunk / 8] |= (uint8_t)(1 << chunk % 8);
		}
		w->progress.bytes_done += end - pos;
		r = watch_tick(w);
		if (r < 0)
			return r;
	}
	return 0;
}

static void close_sound(struct layer *layer)
{
	struct sound *s = container_of(layer, struct sound, layer);

	free(s->bad);
	free(s);
}

/* Digests that are damaged themselves prove nothing. 0, what there is a shortage of, or
 * what a tick says. */
static int open_leaves(const struct exported *part, const json_t *disk, uint64_t size,
		       const char *path, struct watch *w, struct digest *ret)
{
	const json_t *digest = json_object_get(disk, "Digest");
	int r = 0;

	if (json_is_object(digest))
		r = leaves_open(part->fd, digest, size, w, ret);
	else
		ret->fd = -1;
	if (r == 0)
		return 0;
	ret->fd = -1;
	if (is_shortage(r) || watch_is_stop(r))
		return r;
	watch_warn(w, "%s: its digests are missing or damaged, it cannot be compared",
		   path);
	return 0;
}

/* The next layer of @ret. */
static uint32_t add_layer(const struct chain *c, const struct chain_disk *d,
			  struct watch *w, struct salvage *ret, struct rp_error *err)
{
	size_t i = ret->count;
	struct layer *under = d->layer[i];
	struct sound *s = calloc(1, sizeof(*s));
	struct digest leaves;
	int r = -ENOMEM;

	if (s)
		s->bad = calloc(1, digest_chunk_count(under->size) / 8 + 1);
	if (!s || !s->bad) {
		free(s);
		return rp_fail_os(err, r, "salvage", "%s", d->path[i]);
	}
	/* Its file is that of the layer under it, which closes it. */
	s->layer = *under;
	s->layer.at = sound_at;
	s->layer.close = NULL;
	s->under = under;
	s->list = d->list[i];
	if (s->list)
		layer_diff_listed(&s->listed, s->list);
	s->grain = d->image[i] ? d->image[i]->grain : 0;
	ret->layer[ret->count++] = &s->layer;
	r = open_leaves(&c->parts[i], exported_disk(&c->parts[i], d->id), under->size,
			d->path[i], w, &leaves);
	s->proven = leaves.fd >= 0;
	if (r == 0)
		r = read_layer(s, &leaves, w);
	if (leaves.fd >= 0)
		close(leaves.fd);
	if (watch_is_stop(r))
		return watch_fail(w, r, err);
	return r < 0 ? rp_fail_os(err, r, "salvage", "%s", d->path[i]) : RP_OK;
}

/* ------------------------------------------------------------------------ what is lost
 */

static int lose(struct salvage *s, uint64_t start, uint64_t end)
{
	json_t *last = json_array_get(s->lost, json_array_size(s->lost) - 1);
	bool goes_on = s->lost_count && s->lost_end == start;

	s->lost_bytes += end - start;
	s->lost_count += !goes_on;
	s->lost_end = end;
	if (s->lost_count > SALVAGE_MOST_LISTED)
		return 0;
	if (goes_on) {
		json_t *offset = json_object_get(last, "Offset");

		return json_object_set_new(
			last, "Length",
			json_integer((json_int_t)end - json_integer_value(offset)));
	}
	return json_array_append_new(s->lost,
				     json_pack("{s:I, s:I}", "Offset", (json_int_t)start,
					       "Length", (json_int_t)(end - start)));
}

/* What the topmost part that is to have @pos makes of it. *ret_lost: it was lost there,
 * or with the part that is missing, which has the first @missing bytes. */
static int decide(const struct salvage *s, uint64_t pos, uint64_t missing,
		  uint64_t *ret_end, bool *ret_lost)
{
	*ret_end = s->layers.source.size;
	for (size_t i = 0; i < s->count; i++) {
		struct layer *layer = s->layer[i];
		struct layer_range range;
		int r;

		*ret_lost = false;
		if (pos >= layer->size)
			return 0;
		r = look(container_of(layer, struct sound, layer), pos, &range, ret_lost);
		if (r < 0)
			return r;
		*ret_end = min_u64(*ret_end, range.end);
		if (range.state != LAYER_BELOW)
			return 0;
	}
	*ret_lost = pos < missing;
	if (*ret_lost)
		*ret_end = min_u64(*ret_end, missing);
	return 0;
}

static int list_lost(struct salvage *s, uint64_t missing, struct watch *w)
{
	uint64_t pos = 0, end;
	bool lost;
	int r = 0;

	for (; r == 0 && pos < s->layers.source.size; pos = end) {
		r = decide(s, pos, missing, &end, &lost);
		if (r == 0 && lost)
			r = lose(s, pos, end) < 0 ? -ENOMEM : 0;
		if (r == 0)
			r = watch_tick(w);
	}
	return r;
}

/* How much of the disk there was when the part below the last one was made. */
static uint64_t size_below(const struct chain_disk *d)
{
	return d->list[d->count - 1] ? d->base_size[d->count - 1] : UINT64_MAX;
}

uint32_t salvage_open(const struct chain *c, const struct chain_disk *d, bool cut,
		      struct watch *w, struct salvage *ret, struct rp_error *err)
{
	struct salvage s = {.lost = json_array()};
	uint32_t rc = RP_OK;
	int r;

	watch_phase(w, "verifying");
	s.layer = calloc(d->count, sizeof(*s.layer));
	if (!s.layer || !s.lost)
		rc = rp_fail_os(err, -ENOMEM, "salvage", "%s", d->path[0]);
	while (rc == RP_OK && s.count < d->count)
		rc = add_layer(c, d, w, &s, err);
	if (rc == RP_OK) {
		layers_init(&s.layers, s.layer, s.count);
		r = list_lost(&s, cut ? size_below(d) : 0, w);
		if (watch_is_stop(r))
			rc = watch_fail(w, r, err);
		else if (r < 0)
			rc = rp_fail_os(err, r, "salvage", "%s", d->path[0]);
	}
	if (rc)
		salvage_close(&s);
	else
		*ret = s;
	return rc;
}

void salvage_close(struct salvage *s)
{
	for (size_t i = 0; i < s->count; i++)
		close_sound(s->layer[i]);
	free(s->layer);
	json_decref(s->lost);
	*s = (struct salvage){0};
}
