/* SPDX-License-Identifier: MIT */
/*
 * digest.c - leaves, nodes and root
 */
#include "digest.h"

#include <stdio.h>
#include <string.h>
#include <xxhash.h>
#if defined(__x86_64__) && __has_include(<xxh_x86dispatch.h>)
#include <xxh_x86dispatch.h> /* the widest vectors this processor has */
#endif

#include "io/extent.h"
#include "io/small_file.h"
#include "watch.h"

#define NODE   MIB  /* of the file of leaves */
#define LEAVES 64   /* that are looked at at once */
#define BATCH  4096 /* leaves that are copied at once */

static const uint8_t zero_leaf[DIGEST_SIZE];

uint64_t digest_chunk_count(uint64_t disk_size)
{
	return disk_size / DIGEST_CHUNK + (disk_size % DIGEST_CHUNK != 0);
}

uint64_t digest_file_size(uint64_t disk_size)
{
	return digest_chunk_count(disk_size) * DIGEST_SIZE;
}

static void hash(const void *data, size_t len, uint8_t ret[DIGEST_SIZE])
{
	XXH128_canonical_t canonical;

	XXH128_canonicalFromHash(&canonical, XXH3_128bits(data, len));
	memcpy(ret, canonical.digest, DIGEST_SIZE);
}

void digest_leaf(const void *chunk, size_t len, uint8_t ret[DIGEST_SIZE])
{
	if (is_zero(chunk, len))
		memset(ret, 0, DIGEST_SIZE);
	else
		hash(chunk, len, ret);
}

static bool is_zero_leaf(const uint8_t *leaf)
{
	return memcmp(leaf, zero_leaf, DIGEST_SIZE) == 0;
}

/* Each run of leaves that are not 0 by one write: the others stay holes. */
int digest_put(const struct digest *d, uint64_t index, const uint8_t *leaves,
	       size_t count)
{
	size_t first = 0, last;
	int r = 0;

	for (; r == 0 && first < count; first = last + 1) {
		for (last = first; last < count; last++)
			if (is_zero_leaf(leaves + last * DIGEST_SIZE))
				break;
		if (first < last)
			r = io_pwrite_all(d->fd, leaves + first * DIGEST_SIZE,
					  (last - first) * DIGEST_SIZE,
					  (index + first) * DIGEST_SIZE);
	}
	return r;
}

int digest_get(const struct digest *d, uint64_t index, uint8_t *ret, size_t count)
{
	return io_pread_all(d->fd, ret, count * DIGEST_SIZE, index * DIGEST_SIZE);
}

/* Leaves [first, end), through @buf. */
static int copy_run(const struct digest *from, const struct digest *to, uint64_t first,
		    uint64_t end, uint8_t *buf, struct watch *w)
{
	int r = 0;

	for (; r == 0 && first < end; first += BATCH) {
		size_t count = (size_t)min_u64(BATCH, end - first);

		r = digest_get(from, first, buf, count);
		if (r == 0)
			r = digest_put(to, first, buf, count);
		if (r == 0)
			r = watch_tick(w);
	}
	return r;
}

int digest_copy(const struct digest *from, const struct digest *to, uint64_t first,
		uint64_t end, struct watch *w)
{
	_cleanup_free_ uint8_t *buf = malloc((size_t)BATCH * DIGEST_SIZE);
	uint64_t start, stop;
	int r;

	if (!buf)
		return -ENOMEM;
	while ((r = io_next_data(from->fd, first * DIGEST_SIZE, end * DIGEST_SIZE, &start,
				 &stop)) == 0) {
		first = round_up(stop, DIGEST_SIZE) / DIGEST_SIZE;
		r = copy_run(from, to, start / DIGEST_SIZE, first, buf, w);
		if (r < 0)
			return r;
	}
	return r == -ENXIO ? 0 : r;
}

int digest_next(const struct digest *d, uint64_t index, uint64_t *ret_index)
{
	uint64_t size = digest_file_size(d->size), start, end;
	uint8_t leaves[LEAVES * DIGEST_SIZE];
	int r;

	while ((r = io_next_data(d->fd, index * DIGEST_SIZE, size, &start, &end)) == 0) {
		end = round_up(end, DIGEST_SIZE) / DIGEST_SIZE;
		for (index = start / DIGEST_SIZE; index < end; index += LEAVES) {
			size_t count = (size_t)min_u64(LEAVES, end - index);

			r = digest_get(d, index, leaves, count);
			if (r < 0)
				return r;
			for (size_t i = 0; i < count; i++) {
				if (is_zero_leaf(leaves + i * DIGEST_SIZE))
					continue;
				*ret_index = index + i;
				return 0;
			}
		}
		index = end;
	}
	return r;
}

int digest_next_of_two(const struct digest *a, const struct digest *b, uint64_t index,
		       uint64_t *ret_index)
{
	uint64_t of_a = UINT64_MAX, of_b = UINT64_MAX;
	int r = digest_next(a, index, &of_a);

	if (r == 0 || r == -ENXIO)
		r = digest_next(b, index, &of_b);
	if (r < 0 && r != -ENXIO)
		return r;
	*ret_index = min_u64(of_a, of_b);
	return *ret_index == UINT64_MAX ? -ENXIO : 0;
}

int digest_compare(const struct digest *a, const struct digest *b, uint64_t *ret_index)
{
	uint64_t end = digest_chunk_count(a->size), index = 0;
	uint8_t of_a[LEAVES * DIGEST_SIZE], of_b[LEAVES * DIGEST_SIZE];
	int r;

	while ((r = digest_next_of_two(a, b, index, &index)) == 0) {
		size_t count = (size_t)min_u64(LEAVES, end - index);

		r = digest_get(a, index, of_a, count);
		if (r == 0)
			r = digest_get(b, index, of_b, count);
		if (r < 0)
			return r;
		for (size_t i = 0; i < count; i++) {
			*ret_index = index + i;
			if (memcmp(of_a + i * DIGEST_SIZE, of_b + i * DIGEST_SIZE,
				   DIGEST_SIZE))
				return 0;
		}
		index += count;
	}
	return r;
}

/* Of @count nodes without leaves. */
static void pass_zeros(XXH3_state_t *root, uint64_t count)
{
	static const uint8_t zeros[4096 * DIGEST_SIZE];

	while (count) {
		size_t part = (size_t)min_u64(count, sizeof(zeros) / DIGEST_SIZE);

		XXH3_128bits_update(root, zeros, part * DIGEST_SIZE);
		count -= part;
	}
}

/* The hash of each node, one behind the other, those without leaves as zeros: of the
 * largest disks that is more than fits into memory. */
static int hash_nodes(const struct digest *d, struct watch *w, XXH3_state_t *root,
		      void *leaves)
{
	uint64_t size = digest_file_size(d->size), start, end;
	uint64_t count = size / NODE + (size % NODE != 0), next = 0;
	uint8_t hash_of_it[DIGEST_SIZE];
	int r;

	while ((r = io_next_data(d->fd, next * NODE, size, &start, &end)) == 0) {
		uint64_t node = start / NODE;
		size_t len = (size_t)min_u64(NODE, size - node * NODE);

		r = io_pread_all(d->fd, leaves, len, node * NODE);
		if (r < 0)
			return r;
		digest_leaf(leaves, len, hash_of_it);
		pass_zeros(root, node - next);
		XXH3_128bits_update(root, hash_of_it, DIGEST_SIZE);
		next = node + 1;
		r = watch_tick(w);
		if (r < 0)
			return r;
	}
	if (r == -ENXIO)
		pass_zeros(root, count - next);
	return r == -ENXIO ? 0 : r;
}

int digest_root(const struct digest *d, struct watch *w, uint8_t ret[DIGEST_SIZE])
{
	_cleanup_free_ void *leaves = malloc(NODE);
	XXH3_state_t *root = XXH3_createState();
	XXH128_canonical_t canonical;
	uint8_t size[8];
	int r = leaves && root ? 0 : -ENOMEM;

	for (unsigned i = 0; i < sizeof(size); i++)
		size[i] = (uint8_t)(d->size >> (8 * i));
	if (r == 0) {
		XXH3_128bits_reset(root);
		r = hash_nodes(d, w, root, leaves);
	}
	if (r == 0) {
		XXH3_128bits_update(root, size, sizeof(size));
		XXH128_canonicalFromHash(&canonical, XXH3_128bits_digest(root));
		memcpy(ret, canonical.digest, DIGEST_SIZE);
	}
	XXH3_freeState(root);
	return r;
}

void digest_text(const uint8_t digest[DIGEST_SIZE], char ret[DIGEST_TEXT_SIZE])
{
	for (unsigned i = 0; i < DIGEST_SIZE; i++)
		snprintf(ret + 2 * i, 3, "%02x", digest[i]);
}
