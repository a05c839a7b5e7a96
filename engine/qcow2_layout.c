/* SPDX-License-Identifier: MIT */
/*
 * qcow2_layout.c - where the tables and the data of a qcow2 image go
 *
 * Pure. The refcounts count themselves too, so their size is the fixpoint of what they
 * need for everything including them.
 */
#include "io/base.h"
#include "qcow2.h"

#define GRANULARITY_BITS 16
#define MAX_BITMAP	 (64 * MIB) /* bytes; QEMU loads the whole of it */

static uint64_t divide_up(uint64_t a, uint64_t b)
{
	return a / b + (a % b != 0);
}

unsigned qcow2_granularity_bits(uint64_t size)
{
	unsigned bits = GRANULARITY_BITS;

	while (size >> bits >= MAX_BITMAP * 8)
		bits++;
	return bits;
}

static void size_refcounts(struct qcow2_layout *l, uint64_t others)
{
	uint64_t cluster = UINT64_C(1) << l->cluster_bits, blocks, tables;

	l->refblocks_count = l->reftable_count = 0;
	for (;;) {
		uint64_t all = others + l->refblocks_count + l->reftable_count;

		blocks = divide_up(all, cluster / sizeof(uint16_t));
		tables = divide_up(blocks, cluster / sizeof(uint64_t));
		if (blocks == l->refblocks_count && tables == l->reftable_count)
			return;
		l->refblocks_count = blocks;
		l->reftable_count = tables;
	}
}

int qcow2_layout(struct qcow2_layout *l)
{
	uint64_t cluster = UINT64_C(1) << l->cluster_bits;
	uint64_t bits_per_cluster = cluster * 8, clusters = divide_up(l->size, cluster);
	uint64_t l1, directory = l->has_bitmap, table = 0;

	/* A table has an entry at least: else its cluster is nobody's. */
	l->l1_entries = max_u64(
		divide_up(clusters, UINT64_C(1) << qcow2_l2_bits(l->cluster_bits)), 1);
	l1 = divide_up(l->l1_entries * sizeof(uint64_t), cluster);
	if (l->has_bitmap) {
		l->granularity_bits = qcow2_granularity_bits(l->size);
		l->bitmap_entries = divide_up(
			divide_up(l->size, UINT64_C(1) << l->granularity_bits),
			bits_per_cluster);
		table = divide_up(l->bitmap_entries * sizeof(uint64_t), cluster);
	}
	if (l->l1_entries * sizeof(uint64_t) > QCOW2_MAX_L1 ||
	    l->data_count > QCOW2_OFFSET >> l->cluster_bits)
		return -EOPNOTSUPP;

	size_refcounts(l, 1 + l1 + l->l2_count + directory + table + l->bitmap_count +
				  l->data_count);
	l->reftable_at = 1;
	l->refblocks_at = l->reftable_at + l->reftable_count;
	l->l1_at = l->refblocks_at + l->refblocks_count;
	l->l2_at = l->l1_at + l1;
	l->directory_at = l->l2_at + l->l2_count;
	l->bitmap_table_at = l->directory_at + directory;
	l->bitmap_at = l->bitmap_table_at + table;
	l->data_at = l->bitmap_at + l->bitmap_count;
	l->end = l->data_at + l->data_count;
	if (l->reftable_count << l->cluster_bits > QCOW2_MAX_REFCOUNTS ||
	    l->end > QCOW2_OFFSET >> l->cluster_bits)
		return -EOPNOTSUPP;
	return 0;
}
