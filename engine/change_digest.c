/* SPDX-License-Identifier: MIT */
/*
 * change_digest.c - change evidence: the digest tree kept of a base without data
 *
 * The target is read once, to make its own leaves; chunks with the same leaf are the
 * same. Sees changes with a grain of 64 KiB.
 */
#include <string.h>

#include "change_source.h"
#include "copy.h"
#include "io/base.h"
#include "io/extent.h"
#include "leaves.h"

static bool fits(struct change_pair *p)
{
	if (p->no_base || p->leaves.fd < 0)
		return false;
	change_because(p, "base released, digest tree kept");
	return true;
}

/* Chunk @index differs: data where the target has data, else zeros. */
static int add_chunk(struct change_pair *p, struct ranges *ranges, uint64_t index)
{
	uint64_t pos = index * DIGEST_CHUNK, start, end;
	uint64_t stop = min_u64(pos + DIGEST_CHUNK, p->target.size);
	int r;

	while ((r = io_next_data(p->target.tail_fd, pos, stop, &start, &end)) == 0) {
		r = ranges_add(ranges, pos, start, CHANGE_ZERO);
		if (r == 0)
			r = ranges_add(ranges, start, end, CHANGE_DATA);
		if (r < 0)
			return r;
		pos = end;
	}
	return r == -ENXIO ? ranges_add(ranges, pos, stop, CHANGE_ZERO) : r;
}

/* Behind the end of the base there were zeros. */
static int leaf_at(const struct digest *d, uint64_t index, uint8_t ret[DIGEST_SIZE])
{
	memset(ret, 0, DIGEST_SIZE);
	return index < digest_chunk_count(d->size) ? digest_get(d, index, ret, 1) : 0;
}

static int add_differences(struct change_pair *p, const struct digest *now,
			   struct ranges *ranges)
{
	uint8_t a[DIGEST_SIZE], b[DIGEST_SIZE];
	uint64_t index = 0;
	int r;

	while ((r = digest_next_of_two(&p->leaves, now, index, &index)) == 0) {
		if (index >= digest_chunk_count(now->size))
			return 0; /* cut off */
		r = leaf_at(&p->leaves, index, a);
		if (r == 0)
			r = leaf_at(now, index, b);
		if (r == 0 && memcmp(a, b, sizeof(a)))
			r = add_chunk(p, ranges, index);
		if (r == 0)
			r = watch_tick(p->w);
		if (r < 0)
			return r;
		index++;
	}
	return r == -ENXIO ? 0 : r;
}

static uint32_t compare(struct change_pair *p, struct ranges *ranges,
			struct rp_error *err)
{
	struct digest now = {.fd = -1};
	uint32_t rc;
	int r;

	r = leaves_create(p->dirfd, NULL, p->target.size, &now);
	if (r < 0)
		return change_fail(p, NULL, r, "digest", RP_NO_OFFSET, err);
	rc = leaves_make(p->disk, p->target_path, &p->target, &now, RP_IO_AUTO, p->w,
			 err);
	if (rc == RP_OK) {
		r = add_differences(p, &now, ranges);
		if (r < 0)
			rc = change_fail(p, NULL, r, "digest", RP_NO_OFFSET, err);
	}
	close(now.fd);
	return rc;
}

const struct change_source change_digest = {
	.name = "digest",
	.fits = fits,
	.compare = compare,
};
