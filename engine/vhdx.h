/* SPDX-License-Identifier: MIT */
/*
 * vhdx.h - VHDX on disk, as much of it as is written here
 *
 *	0 identifier │ 64K, 128K headers │ 192K, 256K region tables │ 1M log, empty │
 *	2M metadata │ 3M block allocation table │ bitmaps of sectors: holes │
 *	blocks, in the order of the disk
 *
 * Numbers are little-endian. Reference: [MS-VHDX].
 */
#ifndef ENGINE_VHDX_H
#define ENGINE_VHDX_H

#include <stdint.h>
#include <string.h>

#include "format.h"
#include "io/base.h"

#define VHDX_MAX_SIZE	 (UINT64_C(64) << 40)
#define VHDX_SECTOR	 UINT64_C(512)
#define VHDX_ALIGN	 MIB
#define VHDX_MIN_BLOCK	 MIB
#define VHDX_MAX_BLOCK	 (256 * MIB)
#define VHDX_IDENTIFIER	 UINT64_C(0x656c696678646876) /* "vhdxfile" */
#define VHDX_HEADER	 UINT32_C(0x64616568)	      /* "head" */
#define VHDX_REGIONS	 UINT32_C(0x69676572)	      /* "regi" */
#define VHDX_METADATA	 UINT64_C(0x617461646174656d) /* "metadata" */
#define VHDX_HEADER_SIZE 4096
#define VHDX_TABLE_SIZE	 (64 * KIB) /* of a region table, and of the metadata's */

#define VHDX_HEADER_AT	  (64 * KIB) /* and 64 KiB behind it */
#define VHDX_REGIONS_AT	  (192 * KIB)
#define VHDX_LOG_AT	  MIB
#define VHDX_METADATA_AT  (2 * MIB)
#define VHDX_BAT_AT	  (3 * MIB)
#define VHDX_BLOCK_STATE  UINT64_C(7)
#define VHDX_BLOCK_OFFSET (~(VHDX_ALIGN - 1))
#define VHDX_NOT_PRESENT  UINT64_C(0)
#define VHDX_PRESENT	  UINT64_C(6) /* all of it */
#define VHDX_HAS_PARENT	  UINT32_C(2) /* flag of the parameters */

/* As GUIDs are stored: the first three fields little-endian. */
struct vhdx_guid {
	uint8_t byte[16];
};
#define VHDX_GUID(a, b, c, ...)                                                      \
	((struct vhdx_guid){{(a)&0xff, (a) >> 8 & 0xff, (a) >> 16 & 0xff, (a) >> 24, \
			     (b)&0xff, (b) >> 8, (c)&0xff, (c) >> 8, __VA_ARGS__}})

#define VHDX_REGION_BAT                                                                  \
	VHDX_GUID(0x2dc27766u, 0xf623, 0x4200, 0x9d, 0x64, 0x11, 0x5e, 0x9b, 0xfd, 0x4a, \
		  0x08)
#define VHDX_REGION_METADATA                                                             \
	VHDX_GUID(0x8b7ca206u, 0x4790, 0x4b9a, 0xb8, 0xfe, 0x57, 0x5f, 0x05, 0x0f, 0x88, \
		  0x6e)
#define VHDX_ITEM_PARAMETERS                                                             \
	VHDX_GUID(0xcaa16737u, 0xfa36, 0x4d43, 0xb3, 0xb6, 0x33, 0xf0, 0xaa, 0x44, 0xe7, \
		  0x6b)
#define VHDX_ITEM_SIZE                                                                   \
	VHDX_GUID(0x2fa54224u, 0xcd1b, 0x4876, 0xb2, 0x11, 0x5d, 0xbe, 0xd8, 0x3b, 0xf4, \
		  0xb8)
#define VHDX_ITEM_DISK                                                                   \
	VHDX_GUID(0xbeca12abu, 0xb2e6, 0x4523, 0x93, 0xef, 0xc3, 0x09, 0xe0, 0x00, 0xc7, \
		  0x46)
#define VHDX_ITEM_SECTOR                                                                 \
	VHDX_GUID(0x8141bf1du, 0xa96f, 0x4709, 0xba, 0x47, 0xf2, 0x33, 0xa8, 0xfa, 0xab, \
		  0x5f)
#define VHDX_ITEM_PHYSICAL                                                               \
	VHDX_GUID(0xcda348c7u, 0x445d, 0x4471, 0x9c, 0xc9, 0xe9, 0x88, 0x52, 0x51, 0xc5, \
		  0x56)
#define VHDX_ITEM_PARENT                                                                 \
	VHDX_GUID(0xa8d35f2du, 0xb30b, 0x454d, 0xab, 0xf7, 0xd3, 0xd8, 0x48, 0x34, 0xab, \
		  0x0c)
#define VHDX_LOCATOR                                                                     \
	VHDX_GUID(0xb04aefb7u, 0xd19e, 0x4a81, 0xb7, 0x89, 0x25, 0xb8, 0xe9, 0x44, 0x59, \
		  0x13)

static inline bool vhdx_same(struct vhdx_guid a, struct vhdx_guid b)
{
	return !memcmp(a.byte, b.byte, sizeof(a.byte));
}

struct vhdx_header {
	uint32_t signature, checksum;
	uint64_t sequence;
	struct vhdx_guid file_id, content_id, log_id;
	uint16_t log_version, version;
	uint32_t log_size;
	uint64_t log_at;
};

struct vhdx_regions {
	uint32_t signature, checksum, count, reserved;
};

struct vhdx_region {
	struct vhdx_guid id;
	uint64_t at;
	uint32_t size, required;
};

struct vhdx_metadata {
	uint64_t signature;
	uint16_t reserved, count;
	uint32_t reserved2[5];
};

/* Flags of an item. */
#define VHDX_OF_DISK  UINT32_C(2)
#define VHDX_REQUIRED UINT32_C(4)

struct vhdx_item {
	struct vhdx_guid id;
	uint32_t at, size; /* in the region */
	uint32_t flags, reserved;
};

struct vhdx_parameters {
	uint32_t block_size, flags;
};

struct vhdx_locator {
	struct vhdx_guid type;
	uint16_t reserved, count;
};

struct vhdx_locator_entry {
	uint32_t key_at, value_at; /* from the locator's start */
	uint16_t key_size, value_size;
};

/* Where everything is, in bytes. */
struct vhdx_layout {
	/* What it follows from. */
	uint64_t size; /* of the image: a multiple of 512 */
	uint64_t block_size;
	bool has_parent;
	uint64_t payload_count; /* blocks that have a place */

	uint64_t ratio; /* blocks for each entry of a sector bitmap, among theirs */
	uint64_t bat_entries;
	uint64_t bat_size;		  /* of its region */
	uint64_t bitmap_count, bitmap_at; /* of sectors; blocks of 1 MiB */
	uint64_t payload_at, end;
};

/* Fills in the rest of @l. 0, or -EOPNOTSUPP: more than VHDX can hold. */
int vhdx_layout(struct vhdx_layout *l);

/* The entry of block @block. */
static inline uint64_t vhdx_bat_index(uint64_t ratio, uint64_t block)
{
	return block + block / ratio;
}

uint32_t vhdx_crc32c(const void *data, size_t size);

int vhdx_write(struct io_file *file, const struct image *image); /* a format's write */

#endif
