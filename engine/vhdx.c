/* SPDX-License-Identifier: MIT */
/*
 * vhdx.c - a VHDX image read back: what is written here and nothing else
 *
 * Offsets are checked against the file before they are used, so the worst a hostile
 * image can do is to be refused or to show bytes of itself.
 */
#include "vhdx.h"

#include <endian.h>

#include "io/small_file.h"

#define BAT_BLOCK 8192 /* entries looked at together */
#define NONE	  UINT64_MAX
#define MAX_ITEMS 64

struct vhdx {
	struct image_file image;
	struct vhdx_layout layout;
	uint64_t bat_at;
	uint64_t metadata_at, metadata_size;
	uint64_t bat_block; /* first entry in bat[] */
	uint64_t bat[BAT_BLOCK];
};

/* The file is frozen: what ends early is damaged. */
static int read_at(const struct vhdx *v, void *buf, size_t len, uint64_t at)
{
	int r = io_pread_all(v->image.layer.file.fd, buf, len, at);

	return r == -ENODATA ? -EBADMSG : r;
}

static int load_bat(struct vhdx *v, uint64_t entry)
{
	uint64_t block = round_down(entry, BAT_BLOCK);
	size_t count = (size_t)min_u64(BAT_BLOCK, v->layout.bat_entries - block);
	int r;

	if (block == v->bat_block)
		return 0;
	v->bat_block = NONE;
	r = read_at(v, v->bat, count * sizeof(v->bat[0]),
		    v->bat_at + block * sizeof(v->bat[0]));
	if (r == 0)
		v->bat_block = block;
	return r;
}

static int decode(const struct vhdx *v, uint64_t entry, struct layer_range *ret)
{
	uint64_t at = entry & VHDX_BLOCK_OFFSET, size = v->image.layer.file.size;

	*ret = (struct layer_range){.at = at};
	switch (entry & VHDX_BLOCK_STATE) {
	case VHDX_NOT_PRESENT:
		ret->state = v->image.based ? LAYER_BELOW : LAYER_ZERO;
		return entry ? -EOPNOTSUPP : 0;
	case VHDX_PRESENT:
		ret->state = LAYER_DATA;
		if (entry != (at | VHDX_PRESENT) || at < VHDX_BAT_AT || at >= size ||
		    size - at < v->layout.block_size)
			return -EBADMSG;
		return 0;
	default:
		return -EOPNOTSUPP;
	}
}

static int vhdx_map(struct image_file *image, uint64_t pos, struct layer_range *ret)
{
	struct vhdx *v = container_of(image, struct vhdx, image);
	uint64_t bs = v->layout.block_size, ratio = v->layout.ratio;
	uint64_t block = pos / bs, count = 1, index = vhdx_bat_index(ratio, block);
	struct layer_range next;
	int r = load_bat(v, index);

	if (r == 0)
		r = decode(v, le64toh(v->bat[index - v->bat_block]), ret);
	if (r < 0)
		return r;
	for (; (block + count) * bs < image->layer.size; count++) {
		index = vhdx_bat_index(ratio, block + count);
		/* A damaged one is told of when it is asked for. */
		if (index - v->bat_block >= BAT_BLOCK ||
		    decode(v, le64toh(v->bat[index - v->bat_block]), &next) < 0 ||
		    next.state != ret->state ||
		    (ret->state == LAYER_DATA && next.at != ret->at + count * bs))
			break;
	}
	ret->start = block * bs;
	ret->end = min_u64(ret->start + count * bs, image->layer.size);
	return 0;
}

/* Of the two headers the newer one that is whole. */
static int read_headers(struct vhdx *v)
{
	_cleanup_free_ char *buf = malloc(VHDX_HEADER_SIZE);
	struct vhdx_header h, best = {};
	uint32_t checksum;
	int r;

	if (!buf)
		return -ENOMEM;
	for (unsigned i = 0; i < 2; i++) {
		r = read_at(v, buf, VHDX_HEADER_SIZE, VHDX_HEADER_AT + i * 64 * KIB);
		if (r < 0)
			return r;
		memcpy(&h, buf, sizeof(h));
		checksum = le32toh(h.checksum);
		h.checksum = 0;
		memcpy(buf, &h, sizeof(h));
		if (le32toh(h.signature) == VHDX_HEADER &&
		    checksum == vhdx_crc32c(buf, VHDX_HEADER_SIZE) &&
		    (!best.signature || le64toh(h.sequence) > le64toh(best.sequence)))
			best = h;
	}
	if (!best.signature)
		return -EBADMSG;
	/* With a log to be replayed it was open for writing somewhere. */
	if (le16toh(best.version) != 1 || !vhdx_same(best.log_id, (struct vhdx_guid){}))
		return -EOPNOTSUPP;
	memcpy(v->image.content_id, best.content_id.byte, IMAGE_ID_SIZE);
	return 0;
}

static int take_region(struct vhdx *v, const struct vhdx_region *region)
{
	uint64_t at = le64toh(region->at), size = le32toh(region->size);
	uint64_t file_size = v->image.layer.file.size;

	if (at % VHDX_ALIGN || size % VHDX_ALIGN || at < VHDX_ALIGN || at >= file_size ||
	    size > file_size - at || !size)
		return -EBADMSG;
	if (vhdx_same(region->id, VHDX_REGION_BAT)) {
		v->bat_at = at;
		v->layout.bat_size = size;
	} else if (vhdx_same(region->id, VHDX_REGION_METADATA)) {
		v->metadata_at = at;
		v->metadata_size = size;
	} else {
		return -EOPNOTSUPP;
	}
	return 0;
}

/* One copy of the table: -EBADMSG if it is not whole. */
static int read_region_table(struct vhdx *v, char *buf, uint64_t at)
{
	struct vhdx_region region[2];
	struct vhdx_regions head;
	uint32_t checksum;
	int r = read_at(v, buf, VHDX_TABLE_SIZE, at);

	if (r < 0)
		return r;
	memcpy(&head, buf, sizeof(head));
	checksum = le32toh(head.checksum);
	head.checksum = 0;
	memcpy(buf, &head, sizeof(head));
	if (le32toh(head.signature) != VHDX_REGIONS ||
	    checksum != vhdx_crc32c(buf, VHDX_TABLE_SIZE))
		return -EBADMSG;
	if (le32toh(head.count) != ARRAY_SIZE(region))
		return -EOPNOTSUPP;
	memcpy(region, buf + sizeof(head), sizeof(region));
	r = take_region(v, &region[0]);
	if (r == 0)
		r = take_region(v, &region[1]);
	return r == 0 && (!v->bat_at || !v->metadata_at) ? -EBADMSG : r;
}

static int read_regions(struct vhdx *v)
{
	_cleanup_free_ char *buf = malloc(VHDX_TABLE_SIZE);
	int r;

	if (!buf)
		return -ENOMEM;
	r = read_region_table(v, buf, VHDX_REGIONS_AT);
	if (r == -EBADMSG)
		r = read_region_table(v, buf, VHDX_REGIONS_AT + VHDX_TABLE_SIZE);
	return r;
}

/* What the items say; each at most once. */
struct items {
	struct vhdx_parameters parameters;
	uint64_t size;
	uint32_t sector, physical;
	struct vhdx_guid disk;
	bool has_parent;
};

static int read_item(const struct vhdx *v, const struct vhdx_item *item,
		     struct items *ret)
{
	const struct {
		struct vhdx_guid id;
		void *to;
		size_t size;
	} known[] = {
		{VHDX_ITEM_PARAMETERS, &ret->parameters, sizeof(ret->parameters)},
		{VHDX_ITEM_SIZE, &ret->size, sizeof(ret->size)},
		{VHDX_ITEM_SECTOR, &ret->sector, sizeof(ret->sector)},
		{VHDX_ITEM_PHYSICAL, &ret->physical, sizeof(ret->physical)},
		{VHDX_ITEM_DISK, &ret->disk, sizeof(ret->disk)},
	};
	uint64_t at = le32toh(item->at), size = le32toh(item->size);

	if (at < VHDX_TABLE_SIZE || at > v->metadata_size || size > v->metadata_size - at)
		return -EBADMSG;
	for (size_t i = 0; i < ARRAY_SIZE(known); i++) {
		if (!vhdx_same(item->id, known[i].id))
			continue;
		if (size != known[i].size)
			return -EBADMSG;
		return read_at(v, known[i].to, size, v->metadata_at + at);
	}
	if (!vhdx_same(item->id, VHDX_ITEM_PARENT))
		return -EOPNOTSUPP;
	ret->has_parent = true; /* which one, the manifest says */
	return 0;
}

static int read_items(struct vhdx *v, struct items *ret)
{
	struct vhdx_item item[MAX_ITEMS];
	struct vhdx_metadata head;
	size_t count;
	int r = read_at(v, &head, sizeof(head), v->metadata_at);

	if (r < 0)
		return r;
	count = le16toh(head.count);
	if (le64toh(head.signature) != VHDX_METADATA)
		return -EBADMSG;
	if (count > MAX_ITEMS)
		return -EOPNOTSUPP;
	r = read_at(v, item, count * sizeof(item[0]), v->metadata_at + sizeof(head));
	for (size_t i = 0; r == 0 && i < count; i++)
		r = read_item(v, &item[i], ret);
	return r;
}

static int read_metadata(struct vhdx *v)
{
	struct items items = {};
	struct image_file *im = &v->image;
	uint64_t room = v->layout.bat_size;
	uint32_t flags;
	int r = read_items(v, &items);

	if (r < 0)
		return r;
	flags = le32toh(items.parameters.flags);
	v->layout.block_size = im->grain = le32toh(items.parameters.block_size);
	v->layout.size = im->layer.size = le64toh(items.size);
	v->layout.has_parent = im->based = items.has_parent;
	memcpy(im->disk_id, items.disk.byte, IMAGE_ID_SIZE);
	if (le32toh(items.sector) != VHDX_SECTOR || flags & ~VHDX_HAS_PARENT)
		return -EOPNOTSUPP;
	if (items.has_parent != !!flags || im->layer.size % VHDX_SECTOR ||
	    im->layer.size > VHDX_MAX_SIZE || im->grain & (im->grain - 1) ||
	    im->grain < VHDX_MIN_BLOCK || im->grain > VHDX_MAX_BLOCK)
		return -EBADMSG;
	r = vhdx_layout(&v->layout);
	if (r < 0)
		return r;
	return v->layout.bat_size > room ? -EBADMSG : 0;
}

static void vhdx_free(struct image_file *image)
{
	free(container_of(image, struct vhdx, image));
}

static int read_tables(struct vhdx *v)
{
	uint64_t identifier;
	int r = read_at(v, &identifier, sizeof(identifier), 0);

	if (r == 0 && le64toh(identifier) != VHDX_IDENTIFIER)
		r = -EBADMSG;
	if (r == 0)
		r = read_headers(v);
	if (r == 0)
		r = read_regions(v);
	return r < 0 ? r : read_metadata(v);
}

static int vhdx_open(const struct io_file *file, struct image_file **ret)
{
	struct vhdx *v = calloc(1, sizeof(*v));
	int r;

	if (!v)
		return -ENOMEM;
	v->image.layer.file = *file;
	v->bat_block = NONE;
	r = read_tables(v);
	if (r < 0)
		vhdx_free(&v->image);
	else
		*ret = &v->image;
	return r;
}

#define MANY_BLOCKS (UINT64_C(1) << 20) /* a table of 8 MiB */

/* Small blocks share and copy less that has not changed. */
static uint64_t vhdx_choose(uint64_t size)
{
	uint64_t block = VHDX_MIN_BLOCK;

	while (block < VHDX_MAX_BLOCK && size / block > MANY_BLOCKS)
		block *= 2;
	return block;
}

const struct format format_vhdx = {
	.name = "vhdx",
	.suffix = "vhdx",
	.min_grain = VHDX_MIN_BLOCK,
	.max_grain = VHDX_MAX_BLOCK,
	.choose = vhdx_choose,
	.write = vhdx_write,
	.open = vhdx_open,
	.map = vhdx_map,
	.free = vhdx_free,
};
