/* SPDX-License-Identifier: MIT */
/*
 * qcow2_write.c - the tables of a new qcow2 image
 */
#include <endian.h>
#include <string.h>

#include "entries.h"
#include "grains.h"
#include "io/base.h"
#include "io/small_file.h"
#include "qcow2.h"

#define BITMAP_NAME "changed"
#define BITMAP_TYPE 1 /* dirty tracking */

static unsigned log2_of(uint64_t power)
{
	return (unsigned)__builtin_ctzll(power);
}

/* The next change in bits of the bitmap, [start, end); each bit once. */
static int next_bits(const struct image *im, const struct qcow2_layout *l, uint64_t pos,
		     uint64_t *ret_start, uint64_t *ret_end)
{
	uint64_t from = pos << l->granularity_bits, start, end;
	int r;

	if (from >= im->source->size)
		return -ENXIO;
	r = im->next_change(im->changes, from, &start, &end);
	if (r < 0)
		return r;
	start = max_u64(start, from);
	end = min_u64(end, im->source->size);
	if (start >= im->source->size)
		return -ENXIO;
	*ret_start = start >> l->granularity_bits;
	*ret_end = ((end - 1) >> l->granularity_bits) + 1;
	return 0;
}

/* First pass: how many tables and clusters there will be. */
static int count(const struct image *im, struct qcow2_layout *l)
{
	unsigned l2_bits = qcow2_l2_bits(l->cluster_bits);
	uint64_t counted = 0, first, end, pos = 0; /* tables before it are */
	uint64_t per_cluster = UINT64_C(8) << l->cluster_bits;
	struct grain_run run;
	struct grains g;
	int r;

	grains_init(&g, im);
	while ((r = grains_next(&g, &run)) == 0) {
		first = max_u64(run.start >> l2_bits, counted);
		end = ((run.end - 1) >> l2_bits) + 1;
		l->l2_count += end > first ? end - first : 0;
		counted = max_u64(counted, end);
		l->data_count += run.zero ? 0 : run.end - run.start;
	}
	if (r != -ENXIO || !l->has_bitmap)
		return r == -ENXIO ? 0 : r;
	l->granularity_bits = qcow2_granularity_bits(l->size);
	counted = 0;
	while ((r = next_bits(im, l, pos, &first, &end)) == 0) {
		pos = end;
		first = max_u64(first / per_cluster, counted);
		end = (end - 1) / per_cluster + 1;
		l->bitmap_count += end > first ? end - first : 0;
		counted = max_u64(counted, end);
	}
	return r == -ENXIO ? 0 : r;
}

/* Every cluster of the file is used once. */
static int write_refcounts(struct io_file *file, const struct qcow2_layout *l)
{
	uint64_t once = UINT64_C(0x0001000100010001), words = l->end / 4;
	_cleanup_(entries_close) struct entries e = {};
	int r;

	r = entries_open(&e, file, l->reftable_at << l->cluster_bits);
	for (uint64_t i = 0; r == 0 && i < l->refblocks_count; i++)
		r = entries_put(&e, i, htobe64((l->refblocks_at + i) << l->cluster_bits));
	if (r == 0)
		r = entries_flush(&e);
	entries_close(&e);
	if (r == 0)
		r = entries_open(&e, file, l->refblocks_at << l->cluster_bits);
	for (uint64_t i = 0; r == 0 && i < words; i++)
		r = entries_put(&e, i, htobe64(once));
	if (r == 0 && l->end % 4)
		r = entries_put(&e, words, htobe64(once << (4 - l->end % 4) * 16));
	return r < 0 ? r : entries_flush(&e);
}

/* Second pass: where the clusters are. */
static int write_map(struct io_file *file, const struct image *im,
		     const struct qcow2_layout *l)
{
	unsigned l2_bits = qcow2_l2_bits(l->cluster_bits);
	uint64_t data = l->data_at, tables = 0, table = UINT64_MAX;
	_cleanup_(entries_close) struct entries l1 = {}, l2 = {};
	struct grain_run run;
	struct grains g;
	int r;

	r = entries_open(&l1, file, l->l1_at << l->cluster_bits);
	if (r == 0)
		r = entries_open(&l2, file, l->l2_at << l->cluster_bits);
	grains_init(&g, im);
	while (r == 0 && (r = grains_next(&g, &run)) == 0) {
		for (uint64_t i = run.start; r == 0 && i < run.end; i++) {
			if (i >> l2_bits != table) {
				uint64_t at = (l->l2_at + tables++) << l->cluster_bits;

				table = i >> l2_bits;
				if (tables > l->l2_count)
					return -ESTALE;
				r = entries_put(&l1, table, htobe64(at | QCOW2_COPIED));
			}
			if (r == 0)
				r = entries_put(
					&l2,
					((tables - 1) << l2_bits) +
						(i & ((1u << l2_bits) - 1)),
					htobe64(run.zero
							? QCOW2_ZERO
							: QCOW2_COPIED |
								  data++ << l->cluster_bits));
		}
	}
	if (r != -ENXIO)
		return r;
	/* The two passes have seen the same, or the source is not frozen. */
	if (tables != l->l2_count || data != l->end)
		return -ESTALE;
	r = entries_flush(&l1);
	return r < 0 ? r : entries_flush(&l2);
}

struct bits {
	struct entries table, words;
	uint64_t word, value; /* not written yet */
	uint64_t clusters, cluster;
};

static int put_word(struct bits *b, const struct qcow2_layout *l)
{
	uint64_t per_cluster = (UINT64_C(1) << l->cluster_bits) / sizeof(uint64_t);
	uint64_t cluster = b->word / per_cluster;
	int r = 0;

	if (!b->value)
		return 0;
	if (cluster != b->cluster) {
		uint64_t at = (l->bitmap_at + b->clusters++) << l->cluster_bits;

		if (b->clusters > l->bitmap_count)
			return -ESTALE;
		b->cluster = cluster;
		r = entries_put(&b->table, cluster, htobe64(at));
	}
	if (r == 0)
		r = entries_put(&b->words,
				(b->clusters - 1) * per_cluster + b->word % per_cluster,
				htole64(b->value));
	b->value = 0;
	return r;
}

static int set_bits(struct bits *b, const struct qcow2_layout *l, uint64_t start,
		    uint64_t end)
{
	int r = 0;

	while (r == 0 && start < end) {
		uint64_t word = start / 64, stop = min_u64(end, (word + 1) * 64);
		uint64_t below = stop % 64 ? (UINT64_C(1) << stop % 64) - 1 : UINT64_MAX;

		if (word != b->word)
			r = put_word(b, l);
		b->word = word;
		b->value |= below & (UINT64_MAX << start % 64);
		start = stop;
	}
	return r;
}

static int write_bits(struct io_file *file, const struct image *im,
		      const struct qcow2_layout *l)
{
	struct bits b = {.cluster = UINT64_MAX};
	uint64_t pos = 0, start, end;
	int r;

	r = entries_open(&b.table, file, l->bitmap_table_at << l->cluster_bits);
	if (r == 0)
		r = entries_open(&b.words, file, l->bitmap_at << l->cluster_bits);
	while (r == 0 && (r = next_bits(im, l, pos, &start, &end)) == 0) {
		r = set_bits(&b, l, start, end);
		pos = end;
	}
	if (r == -ENXIO)
		r = put_word(&b, l);
	if (r == 0)
		r = entries_flush(&b.table);
	if (r == 0)
		r = entries_flush(&b.words);
	entries_close(&b.table);
	entries_close(&b.words);
	return r;
}

static int write_bitmap(struct io_file *file, const struct image *im,
			const struct qcow2_layout *l)
{
	struct {
		struct qcow2_bitmap bitmap;
		char name[8];
	} directory = {
		.bitmap =
			{
				.table_at = htobe64(l->bitmap_table_at
						    << l->cluster_bits),
				.table_entries = htobe32((uint32_t)l->bitmap_entries),
				.type = BITMAP_TYPE,
				.granularity_bits = (uint8_t)l->granularity_bits,
				.name_size = htobe16(sizeof(BITMAP_NAME) - 1),
			},
		.name = BITMAP_NAME,
	};
	int r;

	r = io_pwrite_all(file->fd, &directory, sizeof(directory),
			  l->directory_at << l->cluster_bits);
	return r < 0 ? r : write_bits(file, im, l);
}

static size_t put_extension(char *to, uint32_t type, const void *data, size_t size)
{
	struct qcow2_extension ext = {htobe32(type), htobe32((uint32_t)size)};

	memcpy(to, &ext, sizeof(ext));
	if (size)
		memcpy(to + sizeof(ext), data, size);
	return sizeof(ext) + round_up(size, 8);
}

static int write_header(struct io_file *file, const struct image *im,
			const struct qcow2_layout *l)
{
	struct qcow2_header h = {
		.magic = htobe32(QCOW2_MAGIC),
		.version = htobe32(QCOW2_VERSION),
		.cluster_bits = htobe32(l->cluster_bits),
		.size = htobe64(l->size),
		.l1_entries = htobe32((uint32_t)l->l1_entries),
		.l1_at = htobe64(l->l1_at << l->cluster_bits),
		.refcounts_at = htobe64(l->reftable_at << l->cluster_bits),
		.refcount_clusters = htobe32((uint32_t)l->reftable_count),
		.autoclear = htobe64(l->has_bitmap ? QCOW2_BITMAPS : 0),
		.refcount_order = htobe32(QCOW2_REFCOUNT_ORDER),
		.header_size = htobe32(sizeof(h)),
	};
	struct qcow2_bitmaps bitmaps = {
		.count = htobe32(1),
		.directory_size = htobe64(sizeof(struct qcow2_bitmap) + 8),
		.directory_at = htobe64(l->directory_at << l->cluster_bits),
	};
	char buf[4096] = "";
	size_t at = sizeof(h);

	if (im->base_path) {
		size_t size = strlen(im->base_path);

		if (size > QCOW2_MAX_NAME)
			return -ENAMETOOLONG;
		at += put_extension(buf + at, QCOW2_EXT_BASE, im->base_format,
				    strlen(im->base_format));
		if (l->has_bitmap)
			at += put_extension(buf + at, QCOW2_EXT_BITMAP, &bitmaps,
					    sizeof(bitmaps));
		at += put_extension(buf + at, QCOW2_EXT_END, NULL, 0);
		memcpy(buf + at, im->base_path, size);
		h.base_at = htobe64(at);
		h.base_size = htobe32((uint32_t)size);
	}
	memcpy(buf, &h, sizeof(h));
	return io_pwrite_all(file->fd, buf, sizeof(buf), 0);
}

int qcow2_write(struct io_file *file, const struct image *im)
{
	struct qcow2_layout l = {
		.size = round_up(im->source->size, 512),
		.cluster_bits = log2_of(im->grain),
		.has_bitmap = im->next_change && im->source->size,
	};
	int r;

	if (im->source->size > INT64_MAX - 512)
		return -EOPNOTSUPP;
	r = count(im, &l);
	if (r == 0)
		r = qcow2_layout(&l);
	if (r == 0)
		r = image_begin(file, l.data_at << l.cluster_bits,
				l.end << l.cluster_bits);
	if (r == 0)
		r = write_refcounts(file, &l);
	if (r == 0)
		r = write_map(file, im, &l);
	if (r == 0 && l.has_bitmap)
		r = write_bitmap(file, im, &l);
	return r < 0 ? r : write_header(file, im, &l);
}
