/* SPDX-License-Identifier: MIT */
/*
 * qcow2.h - qcow2 version 3 on disk, as much of it as is written here
 *
 *	header │ refcounts │ L1 │ L2 ... │ bitmap "changed" │ data, in disk order
 *
 * All numbers are big-endian, all tables whole clusters, every cluster is used once.
 * Reference: docs/interop/qcow2.txt of QEMU.
 */
#ifndef ENGINE_QCOW2_H
#define ENGINE_QCOW2_H

#include <stdint.h>

#include "format.h"

#define QCOW2_MAGIC	     UINT32_C(0x514649fb)
#define QCOW2_VERSION	     3
#define QCOW2_REFCOUNT_ORDER 4			 /* 16 bits */
#define QCOW2_COPIED	     (UINT64_C(1) << 63) /* used once */
#define QCOW2_COMPRESSED     (UINT64_C(1) << 62)
#define QCOW2_ZERO	     UINT64_C(1)
#define QCOW2_OFFSET	     UINT64_C(0x00fffffffffffe00)
#define QCOW2_DATA_FILE	     UINT64_C(4) /* incompatible: the data is in another file */
#define QCOW2_BITMAPS	     UINT64_C(1) /* autoclear: the bitmaps are right */
#define QCOW2_MAX_NAME	     1023
#define QCOW2_MAX_L1	     (UINT64_C(32) << 20) /* bytes; what QEMU takes */
#define QCOW2_MAX_REFCOUNTS  (UINT64_C(8) << 20)  /* bytes of the refcount table */

#define QCOW2_EXT_END	 UINT32_C(0)
#define QCOW2_EXT_BASE	 UINT32_C(0xe2792aca) /* the format of the backing file */
#define QCOW2_EXT_BITMAP UINT32_C(0x23852875)

struct qcow2_header {
	uint32_t magic, version;
	uint64_t base_at;
	uint32_t base_size;
	uint32_t cluster_bits;
	uint64_t size;
	uint32_t encryption;
	uint32_t l1_entries;
	uint64_t l1_at;
	uint64_t refcounts_at;
	uint32_t refcount_clusters;
	uint32_t snapshots;
	uint64_t snapshots_at;
	uint64_t incompatible, compatible, autoclear;
	uint32_t refcount_order;
	uint32_t header_size;
};

struct qcow2_extension {
	uint32_t type, size;
};

struct qcow2_bitmaps { /* the extension */
	uint32_t count, reserved;
	uint64_t directory_size, directory_at;
};

struct qcow2_bitmap { /* an entry of the directory; the name follows */
	uint64_t table_at;
	uint32_t table_entries;
	uint32_t flags;
	uint8_t type, granularity_bits;
	uint16_t name_size;
	uint32_t extra_size;
};

/* Where everything is; offsets and lengths in clusters. */
struct qcow2_layout {
	/* What it follows from. */
	uint64_t size; /* of the image: a multiple of 512 */
	unsigned cluster_bits;
	uint64_t l2_count;
	uint64_t data_count;
	bool has_bitmap;
	uint64_t bitmap_count; /* clusters of it that have a bit set */

	uint64_t l1_entries;
	uint64_t bitmap_entries; /* of its table */
	unsigned granularity_bits;

	uint64_t reftable_at, reftable_count;
	uint64_t refblocks_at, refblocks_count;
	uint64_t l1_at, l2_at;
	uint64_t directory_at, bitmap_table_at, bitmap_at;
	uint64_t data_at, end;
};

/* The cluster bits of an L2 table: log2 of its entries. */
static inline unsigned qcow2_l2_bits(unsigned cluster_bits)
{
	return cluster_bits - 3;
}

/* Of the bitmap of a disk: the bytes a bit stands for. */
unsigned qcow2_granularity_bits(uint64_t size);

/* Fills in the rest of @l. 0, or -EOPNOTSUPP: more than the format or QEMU can take. */
int qcow2_layout(struct qcow2_layout *l);

int qcow2_write(struct io_file *file, const struct image *image); /* a format's write */

#endif
