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

#define BATCH 1024 /* leaves that are compared at once */

static bool fits(struct change_pair *p)
{
	if (p->no_base || p->leaves.fd < 0)
		return false;
	change_because(p, "base released, digest tree kept");
	return true;
}

/* Chunks [first, end) differ: data where the target has data, else zeros. */
static int add_chunks(struct change_pair *p, struct ranges *ranges, uint64_t first,
		      uint64_t end)
{
	uint64_t pos = first * DIGEST_CHUNK, from, to;
	uint64_t stop = min_u64(end * DIGEST_CHUNK, p->target.size);
	int r;

	while ((r = io_next_data(p->target.fd, pos, stop, &from, &to)) == 0) {
		r = ranges_add(ranges, pos, from, CHANGE_ZERO);
		if (r == 0)
			r = ranges_add(ranges, from, to, CHANGE_DATA);
		if (r < 0)
			return r;
		pos = to;
	}
	return r == -ENXIO ? ranges_add(ranges, pos, stop, CHANGE_ZERO) : r;
}

/* Behind the end of the base there were zeros. */
static int get_leaves(const struct digest *d, uint64_t index, uint8_t *ret, size_t count)
{
	uint64_t end = digest_chunk_count(d->size);
	size_t there = index < end ? (size_t)min_u64(count, end - index) : 0;

	memset(ret + there * DIGEST_SIZE, 0, (count - there) * DIGEST_SIZE);
	return there ? digest_get(d, index, ret, there) : 0;
}

/* The differences of @count chunks from @index on, run by run. */
static int add_batch(struct change_pair *p, const struct digest *now, uint64_t index,
		     size_t count, struct ranges *ranges)
{
	uint8_t a[BATCH * DIGEST_SIZE], b[BATCH * DIGEST_SIZE];
	size_t first = 0, end;
	int r = get_leaves(&p->leaves, index, a, count);

	if (r == 0)
		r = get_leaves(now, index, b, count);
	for (; r == 0 && first < count; first = end + 1) {
		for (end = first; end < count; end++)
			if (!memcmp(a + end * DIGEST_SIZE, b + end * DIGEST_SIZE,
				    DIGEST_SIZE))
				break;
		if (first < end)
			r = add_chunks(p, ranges, index + first, index + end);
	}
	return r;
}

static int add_differences(struct change_pair *p, const struct digest *now,
			   struct ranges *ranges)
{
	uint64_t end = digest_chunk_count(now->size), index = 0;
	int r;

	while ((r = digest_next_of_two(&p->leaves, now, index, &index)) == 0) {
		size_t count;

		if (index >= end)
			return 0; /* cut off */
		count = (size_t)min_u64(BATCH, end - index);
		r = add_batch(p, now, index, count, ranges);
		if (r == 0)
			r = watch_tick(p->w);
		if (r < 0)
			return r;
		index += count;
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
	rc = leaves_make(p->disk, p->target_path, &p->target, &now, p->tuning, p->w, err);
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
