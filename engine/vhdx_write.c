/* SPDX-License-Identifier: MIT */
/*
 * vhdx_write.c - the tables of a new VHDX image
 *
 * A block that became zeros in a differencing image is a present one whose place is left
 * a hole: there are readers that take a block of state "zero" from the parent.
 */
#include <endian.h>
#include <limits.h>
#include <stdio.h>

#include "entries.h"
#include "grains.h"
#include "io/small_file.h"
#include "vhdx.h"

#define MAX_ITEMS   6
#define MAX_LOCATOR (16 * KIB)
#define PHYSICAL    4096

/* Version 8 of UUIDs: made by a rule of one's own. The first three fields of a GUID are
 * stored swapped, so the version is in the high half of byte 7. */
static struct vhdx_guid make_id(const struct image *im, const char *of)
{
	struct vhdx_guid id;

	image_id(im, of, id.byte);
	id.byte[7] = (uint8_t)((id.byte[7] & 0x0f) | 0x80);
	id.byte[8] = (uint8_t)((id.byte[8] & 0x3f) | 0x80);
	return id;
}

static void id_text(const uint8_t id[IMAGE_ID_SIZE], char ret[39])
{
	snprintf(ret, 39,
		 "{%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x}",
		 id[3], id[2], id[1], id[0], id[5], id[4], id[7], id[6], id[8], id[9],
		 id[10], id[11], id[12], id[13], id[14], id[15]);
}

static int count(const struct image *im, struct vhdx_layout *l)
{
	struct grain_run run;
	struct grains g;
	int r;

	grains_init(&g, im);
	while ((r = grains_next(&g, &run)) == 0)
		l->payload_count += run.end - run.start;
	return r == -ENXIO ? 0 : r;
}

/* The bitmaps of sectors of the chunks before @chunk, which follow their blocks. */
static int put_bitmaps(struct entries *bat, const struct vhdx_layout *l, uint64_t *done,
		       uint64_t chunk)
{
	int r = 0;

	for (; r == 0 && *done < min_u64(chunk, l->bitmap_count); ++*done)
		r = entries_put(
			bat, *done * (l->ratio + 1) + l->ratio,
			htole64((l->bitmap_at + *done * VHDX_ALIGN) | VHDX_PRESENT));
	return r;
}

static int write_bat(struct io_file *file, const struct image *im,
		     const struct vhdx_layout *l)
{
	_cleanup_(entries_close) struct entries bat = {};
	uint64_t at = l->payload_at, chunk = 0;
	struct grain_run run;
	struct grains g;
	int r = entries_open(&bat, file, VHDX_BAT_AT);

	grains_init(&g, im);
	while (r == 0 && (r = grains_next(&g, &run)) == 0) {
		for (uint64_t b = run.start; r == 0 && b < run.end; b++) {
			r = put_bitmaps(&bat, l, &chunk, b / l->ratio);
			if (r == 0)
				r = entries_put(&bat, vhdx_bat_index(l->ratio, b),
						htole64(at | VHDX_PRESENT));
			at += l->block_size;
		}
		if (at > l->end)
			return -ESTALE; /* the source is not frozen */
	}
	if (r != -ENXIO)
		return r;
	if (at != l->end)
		return -ESTALE;
	r = put_bitmaps(&bat, l, &chunk, l->bitmap_count);
	return r < 0 ? r : entries_flush(&bat);
}

/* ASCII and the names of files are all there is to put in a locator: UTF-8 to UTF-16. */
static int put_utf16(char *to, size_t room, const char *text, size_t *ret_size)
{
	const unsigned char *p = (const unsigned char *)text;
	size_t size = 0;

	while (*p) {
		unsigned more = *p < 0x80 ? 0 : *p < 0xe0 ? 1 : *p < 0xf0 ? 2 : 3;
		uint32_t c = more ? *p & (0x3fu >> more) : *p;
		uint16_t unit[2];

		if (*p >= 0x80 && (*p < 0xc2 || *p > 0xf4))
			return -EILSEQ;
		p++;
		for (; more; more--, p++) {
			if ((*p & 0xc0) != 0x80)
				return -EILSEQ;
			c = c << 6 | (*p & 0x3f);
		}
		if (c >= 0x10000) {
			unit[0] = htole16((uint16_t)(0xd800 + ((c - 0x10000) >> 10)));
			unit[1] = htole16((uint16_t)(0xdc00 + (c & 0x3ff)));
		} else {
			unit[0] = htole16((uint16_t)c);
		}
		if (size + sizeof(unit) > room)
			return -ENAMETOOLONG;
		memcpy(to + size, unit, c >= 0x10000 ? 4 : 2);
		size += c >= 0x10000 ? 4 : 2;
	}
	*ret_size = size;
	return 0;
}

/* Adds one string behind the others; where it is and how long. */
static int put_string(char *locator, size_t *used, const char *text, uint32_t *ret_at,
		      uint16_t *ret_size)
{
	size_t size;
	int r = put_utf16(locator + *used, MAX_LOCATOR - *used, text, &size);

	if (r < 0)
		return r;
	*ret_at = htole32((uint32_t)*used);
	*ret_size = htole16((uint16_t)size);
	*used += size;
	return 0;
}

/* Where the parent is and what it must contain. */
static int make_locator(const struct image *im, char *ret, size_t *ret_size)
{
	char id[39], path[PATH_MAX];
	const char *const pair[][2] = {{"parent_linkage", id}, {"relative_path", path}};
	struct vhdx_locator head = {.type = VHDX_LOCATOR,
				    .count = htole16(ARRAY_SIZE(pair))};
	struct vhdx_locator_entry entry[ARRAY_SIZE(pair)] = {};
	size_t used = sizeof(head) + sizeof(entry);
	int r = 0;

	id_text(im->base->content_id, id);
	if ((size_t)snprintf(path, sizeof(path), "%s%s",
			     im->base_path[0] == '.' ? "" : ".\\",
			     im->base_path) >= sizeof(path))
		return -ENAMETOOLONG;
	for (char *p = path; *p; p++)
		*p = *p == '/' ? '\\' : *p;
	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(pair); i++) {
		r = put_string(ret, &used, pair[i][0], &entry[i].key_at,
			       &entry[i].key_size);
		if (r == 0)
			r = put_string(ret, &used, pair[i][1], &entry[i].value_at,
				       &entry[i].value_size);
	}
	memcpy(ret, &head, sizeof(head));
	memcpy(ret + sizeof(head), entry, sizeof(entry));
	*ret_size = used;
	return r;
}

/* The metadata region while it is made: its table in the first 64 KiB, items behind. */
struct metadata {
	char *buf;
	size_t used;
	struct vhdx_item item[MAX_ITEMS];
	uint16_t count;
};

static void add_item(struct metadata *m, struct vhdx_guid id, uint32_t flags,
		     const void *data, size_t size)
{
	memcpy(m->buf + m->used, data, size);
	m->item[m->count++] = (struct vhdx_item){
		.id = id,
		.at = htole32((uint32_t)m->used),
		.size = htole32((uint32_t)size),
		.flags = htole32(flags),
	};
	m->used += round_up(size, 8);
}

static int write_metadata(struct io_file *file, const struct image *im,
			  const struct vhdx_layout *l)
{
	_cleanup_free_ char *buf = calloc(2, VHDX_TABLE_SIZE);
	_cleanup_free_ char *locator = calloc(1, MAX_LOCATOR);
	struct metadata m = {.buf = buf, .used = VHDX_TABLE_SIZE};
	struct vhdx_parameters parameters = {
		.block_size = htole32((uint32_t)l->block_size),
		.flags = htole32(l->has_parent ? VHDX_HAS_PARENT : 0),
	};
	uint64_t size = htole64(l->size);
	uint32_t sector = htole32(VHDX_SECTOR), physical = htole32(PHYSICAL);
	struct vhdx_guid disk = make_id(im, "disk");
	struct vhdx_metadata head = {.signature = htole64(VHDX_METADATA)};
	size_t locator_size;
	int r;

	if (!buf || !locator)
		return -ENOMEM;
	if (l->has_parent) /* the same disk at another time */
		memcpy(disk.byte, im->base->disk_id, sizeof(disk.byte));
	add_item(&m, VHDX_ITEM_PARAMETERS, VHDX_REQUIRED, &parameters,
		 sizeof(parameters));
	add_item(&m, VHDX_ITEM_SIZE, VHDX_OF_DISK | VHDX_REQUIRED, &size, sizeof(size));
	add_item(&m, VHDX_ITEM_DISK, VHDX_OF_DISK | VHDX_REQUIRED, &disk, sizeof(disk));
	add_item(&m, VHDX_ITEM_SECTOR, VHDX_OF_DISK | VHDX_REQUIRED, &sector,
		 sizeof(sector));
	add_item(&m, VHDX_ITEM_PHYSICAL, VHDX_OF_DISK | VHDX_REQUIRED, &physical,
		 sizeof(physical));
	if (l->has_parent) {
		r = make_locator(im, locator, &locator_size);
		if (r < 0)
			return r;
		add_item(&m, VHDX_ITEM_PARENT, VHDX_REQUIRED, locator, locator_size);
	}
	head.count = htole16(m.count);
	memcpy(buf, &head, sizeof(head));
	memcpy(buf + sizeof(head), m.item, m.count * sizeof(m.item[0]));
	return io_pwrite_all(file->fd, buf, 2 * VHDX_TABLE_SIZE, VHDX_METADATA_AT);
}

static void make_header(char *to, const struct vhdx_header *common, uint64_t sequence)
{
	struct vhdx_header h = *common;

	h.sequence = htole64(sequence);
	memcpy(to, &h, sizeof(h));
	h.checksum = htole32(vhdx_crc32c(to, VHDX_HEADER_SIZE));
	memcpy(to, &h, sizeof(h));
}

static void make_regions(char *to, const struct vhdx_layout *l)
{
	struct vhdx_region region[2] = {
		{
			.id = VHDX_REGION_BAT,
			.at = htole64(VHDX_BAT_AT),
			.size = htole32((uint32_t)l->bat_size),
			.required = htole32(1),
		},
		{
			.id = VHDX_REGION_METADATA,
			.at = htole64(VHDX_METADATA_AT),
			.size = htole32((uint32_t)VHDX_ALIGN),
			.required = htole32(1),
		},
	};
	struct vhdx_regions head = {
		.signature = htole32(VHDX_REGIONS),
		.count = htole32(ARRAY_SIZE(region)),
	};

	memcpy(to, &head, sizeof(head));
	memcpy(to + sizeof(head), region, sizeof(region));
	head.checksum = htole32(vhdx_crc32c(to, VHDX_TABLE_SIZE));
	memcpy(to, &head, sizeof(head));
}

/* The identifier, both headers and both region tables: the first 320 KiB. */
static int write_front(struct io_file *file, const struct image *im,
		       const struct vhdx_layout *l)
{
	size_t size = VHDX_REGIONS_AT + 2 * VHDX_TABLE_SIZE;
	_cleanup_free_ char *buf = calloc(1, size);
	uint64_t identifier = htole64(VHDX_IDENTIFIER);
	static const char creator[] = "r\0e\0f\0p\0o\0i\0n\0t\0";
	struct vhdx_header h = {
		.signature = htole32(VHDX_HEADER),
		.file_id = make_id(im, "file"),
		.content_id = make_id(im, "contents"),
		.version = htole16(1),
		.log_size = htole32((uint32_t)VHDX_ALIGN),
		.log_at = htole64(VHDX_LOG_AT),
	};

	if (!buf)
		return -ENOMEM;
	memcpy(buf, &identifier, sizeof(identifier));
	memcpy(buf + sizeof(identifier), creator, sizeof(creator));
	make_header(buf + VHDX_HEADER_AT, &h, 1);
	make_header(buf + VHDX_HEADER_AT + 64 * KIB, &h, 2);
	make_regions(buf + VHDX_REGIONS_AT, l);
	make_regions(buf + VHDX_REGIONS_AT + VHDX_TABLE_SIZE, l);
	return io_pwrite_all(file->fd, buf, size, 0);
}

int vhdx_write(struct io_file *file, const struct image *im)
{
	struct vhdx_layout l = {
		.size = round_up(im->source->size, VHDX_SECTOR),
		.block_size = im->grain,
		.has_parent = im->next_change,
	};
	int r;

	/* There is a sector at least; a parent of another size was never seen to work. */
	if (!l.size || im->source->size > VHDX_MAX_SIZE ||
	    (l.has_parent &&
	     (!im->base || round_up(im->base->layer.size, VHDX_SECTOR) != l.size)))
		return -EOPNOTSUPP;
	r = count(im, &l);
	if (r == 0)
		r = vhdx_layout(&l);
	if (r == 0)
		r = image_begin(file, l.payload_at, l.end);
	if (r == 0)
		r = write_metadata(file, im, &l);
	if (r == 0)
		r = write_bat(file, im, &l);
	return r < 0 ? r : write_front(file, im, &l);
}
