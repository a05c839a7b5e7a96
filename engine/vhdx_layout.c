/* SPDX-License-Identifier: MIT */
/*
 * vhdx_layout.c - where the tables and the blocks of a VHDX image go
 *
 * Pure. The allocation table has, after every chunk of blocks, an entry for the bitmap of
 * its sectors. A block of ours is there or it is not, so no bitmap has a bit set. But
 * libvhdi looks for one in a differencing image, and at offset 0 if it has no place: so
 * there they are holes of the file.
 */
#include "vhdx.h"

int vhdx_layout(struct vhdx_layout *l)
{
	uint64_t blocks, chunks;

	if (l->size > VHDX_MAX_SIZE)
		return -EOPNOTSUPP;
	blocks = round_up(l->size, l->block_size) / l->block_size;
	l->ratio = (VHDX_SECTOR << 23) / l->block_size;
	chunks = (blocks + l->ratio - 1) / l->ratio;
	if (l->has_parent)
		l->bat_entries = chunks * (l->ratio + 1);
	else
		l->bat_entries = blocks ? blocks + (blocks - 1) / l->ratio : 0;
	l->bat_size = max_u64(round_up(l->bat_entries * sizeof(uint64_t), VHDX_ALIGN),
			      VHDX_ALIGN);
	if (l->payload_count > blocks)
		return -EINVAL;
	l->bitmap_count = l->has_parent ? chunks : 0;
	l->bitmap_at = VHDX_BAT_AT + l->bat_size;
	l->payload_at = l->bitmap_at + l->bitmap_count * VHDX_ALIGN;
	l->end = l->payload_at + l->payload_count * l->block_size;
	return 0;
}

/* Castagnoli's polynomial, reflected, four bits at a time. */
uint32_t vhdx_crc32c(const void *data, size_t size)
{
	static const uint32_t step[16] = {
		0x00000000, 0x105ec76f, 0x20bd8ede, 0x30e349b1, 0x417b1dbc, 0x5125dad3,
		0x61c69362, 0x7198540d, 0x82f63b78, 0x92a8fc17, 0xa24bb5a6, 0xb21572c9,
		0xc38d26c4, 0xd3d3e1ab, 0xe330a81a, 0xf36e6f75,
	};
	const uint8_t *p = data;
	uint32_t crc = UINT32_MAX;

	for (size_t i = 0; i < size; i++) {
		crc ^= p[i];
		crc = crc >> 4 ^ step[crc & 15];
		crc = crc >> 4 ^ step[crc & 15];
	}
	return ~crc;
}
