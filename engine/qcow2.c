/* SPDX-License-Identifier: MIT */
/*
 * qcow2.c - a qcow2 image read back: what is written here and nothing else
 *
 * Offsets are checked against the file before they are used, so the worst a hostile
 * image can do is to be refused or to show bytes of itself.
 */
#include "qcow2.h"

#include <endian.h>

#include "io/base.h"
#include "io/small_file.h"

#define L1_BLOCK 512 /* entries looked at together */
#define NONE	 UINT64_MAX
#define HEADER	 4096 /* with extensions and the name of the base */

struct qcow2 {
	struct image_file image;
	unsigned cluster_bits;
	uint64_t l1_at, l1_entries;
	uint64_t l1_block; /* first entry in l1[] */
	uint64_t l1[L1_BLOCK];
	uint64_t l2_at; /* of the table in l2[] */
	uint64_t *l2;
};

/* The file is frozen: what ends early is damaged. */
static int read_at(const struct qcow2 *q, void *buf, size_t len, uint64_t at)
{
	int r = io_pread_all(q->image.layer.file.fd, buf, len, at);

	return r == -ENODATA ? -EBADMSG : r;
}

/* Whether a table or cluster can be at @at: whole, and not over the header. */
static bool is_cluster(const struct qcow2 *q, uint64_t at)
{
	uint64_t cluster = UINT64_C(1) << q->cluster_bits,
		 size = q->image.layer.file.size;

	return at % cluster == 0 && at >= cluster && at < size && size - at >= cluster;
}

static int load_l1(struct qcow2 *q, uint64_t table)
{
	uint64_t block = round_down(table, L1_BLOCK);
	size_t count = (size_t)min_u64(L1_BLOCK, q->l1_entries - block);
	int r;

	if (block == q->l1_block)
		return 0;
	q->l1_block = NONE;
	r = read_at(q, q->l1, count * sizeof(q->l1[0]),
		    q->l1_at + block * sizeof(q->l1[0]));
	if (r == 0)
		q->l1_block = block;
	return r;
}

static int load_l2(struct qcow2 *q, uint64_t entry)
{
	uint64_t at = entry & QCOW2_OFFSET;
	int r;

	if (entry & ~(QCOW2_OFFSET | QCOW2_COPIED) || !is_cluster(q, at))
		return -EBADMSG;
	if (!(entry & QCOW2_COPIED))
		return -EOPNOTSUPP; /* shared with a snapshot */
	if (at == q->l2_at)
		return 0;
	q->l2_at = NONE;
	r = read_at(q, q->l2, (size_t)1 << q->cluster_bits, at);
	if (r == 0)
		q->l2_at = at;
	return r;
}

static enum layer_state unallocated(const struct qcow2 *q)
{
	return q->image.based ? LAYER_BELOW : LAYER_ZERO;
}

static int decode(const struct qcow2 *q, uint64_t entry, struct layer_range *ret)
{
	*ret = (struct layer_range){.at = entry & QCOW2_OFFSET};
	if (entry == 0 || entry == QCOW2_ZERO) {
		ret->state = entry ? LAYER_ZERO : unallocated(q);
		return 0;
	}
	if (entry & QCOW2_COMPRESSED || entry & QCOW2_ZERO || !(entry & QCOW2_COPIED))
		return -EOPNOTSUPP;
	if (entry & ~(QCOW2_OFFSET | QCOW2_COPIED) || !is_cluster(q, ret->at))
		return -EBADMSG;
	ret->state = LAYER_DATA;
	return 0;
}

/* Tables that are not there, one after another. */
static void map_tables(const struct qcow2 *q, uint64_t table, struct layer_range *ret)
{
	unsigned bits = q->cluster_bits + qcow2_l2_bits(q->cluster_bits);
	uint64_t end = min_u64(q->l1_block + L1_BLOCK, q->l1_entries), next = table;

	while (next < end && q->l1[next - q->l1_block] == 0)
		next++;
	*ret = (struct layer_range){
		.start = table << bits,
		.end = next == q->l1_entries ? q->image.layer.size : next << bits,
		.state = unallocated(q),
	};
}

/* Clusters of a kind, one after another in the file too. */
static int map_clusters(const struct qcow2 *q, uint64_t cluster, struct layer_range *ret)
{
	uint64_t per_table = UINT64_C(1) << qcow2_l2_bits(q->cluster_bits);
	uint64_t count = 1, first = cluster % per_table;
	struct layer_range next;
	int r = decode(q, be64toh(q->l2[first]), ret);

	if (r < 0)
		return r;
	for (; first + count < per_table; count++) {
		/* A damaged one is told of when it is asked for. */
		if (decode(q, be64toh(q->l2[first + count]), &next) < 0 ||
		    next.state != ret->state ||
		    (ret->state == LAYER_DATA &&
		     next.at != ret->at + (count << q->cluster_bits)))
			break;
	}
	ret->start = cluster << q->cluster_bits;
	ret->end = min_u64(ret->start + (count << q->cluster_bits), q->image.layer.size);
	return 0;
}

static int qcow2_map(struct image_file *image, uint64_t pos, struct layer_range *ret)
{
	struct qcow2 *q = container_of(image, struct qcow2, image);
	uint64_t cluster = pos >> q->cluster_bits;
	uint64_t table = cluster >> qcow2_l2_bits(q->cluster_bits), entry;
	int r = load_l1(q, table);

	if (r < 0)
		return r;
	entry = be64toh(q->l1[table - q->l1_block]);
	if (!entry) {
		map_tables(q, table, ret);
		return 0;
	}
	r = load_l2(q, entry);
	return r < 0 ? r : map_clusters(q, cluster, ret);
}

/* They end before the backing file's name. Those we do not write, and a longer header,
 * say nothing of where the data is (what does is an incompatible feature, too): QEMU puts
 * its own header into an image that it opens to write to it. */
static int check_extensions(const struct qcow2 *q, uint64_t at, uint64_t end)
{
	struct qcow2_extension ext;
	int r;

	for (;;) {
		if (at + sizeof(ext) > end)
			return -EBADMSG;
		r = read_at(q, &ext, sizeof(ext), at);
		if (r < 0)
			return r;
		if (be32toh(ext.type) == QCOW2_EXT_END)
			return 0;
		at += sizeof(ext) + round_up((uint64_t)be32toh(ext.size), 8);
	}
}

static int check_features(const struct qcow2_header *h)
{
	uint32_t bits = be32toh(h->cluster_bits);

	if (be32toh(h->magic) != QCOW2_MAGIC)
		return -EBADMSG;
	if (be32toh(h->version) != QCOW2_VERSION || h->incompatible || h->encryption ||
	    h->snapshots || be32toh(h->refcount_order) != QCOW2_REFCOUNT_ORDER ||
	    be32toh(h->header_size) < sizeof(*h) || be32toh(h->header_size) % 8 ||
	    bits < 16 || bits > 21)
		return -EOPNOTSUPP;
	return 0;
}

static int read_header(struct qcow2 *q)
{
	struct image_file *im = &q->image;
	struct qcow2_header h;
	uint64_t cluster, tables, base_end;
	int r = read_at(q, &h, sizeof(h), 0);

	if (r == 0)
		r = check_features(&h);
	if (r < 0)
		return r;
	q->cluster_bits = be32toh(h.cluster_bits);
	q->l1_at = be64toh(h.l1_at);
	q->l1_entries = be32toh(h.l1_entries);
	im->grain = cluster = UINT64_C(1) << q->cluster_bits;
	im->layer.size = be64toh(h.size);
	im->based = h.base_at != 0;
	if (im->layer.size > INT64_MAX || im->layer.size % 512)
		return -EBADMSG;
	tables = round_up(im->layer.size, cluster << qcow2_l2_bits(q->cluster_bits)) >>
		 (q->cluster_bits + qcow2_l2_bits(q->cluster_bits));
	if (q->l1_entries != max_u64(tables, 1) || !is_cluster(q, q->l1_at) ||
	    tables * sizeof(uint64_t) > im->layer.file.size - q->l1_at)
		return -EBADMSG;
	if (!im->based)
		return check_extensions(q, be32toh(h.header_size), HEADER);
	if (be32toh(h.base_size) > QCOW2_MAX_NAME ||
	    add_overflows(be64toh(h.base_at), be32toh(h.base_size), &base_end) ||
	    base_end > HEADER)
		return -EBADMSG;
	return check_extensions(q, be32toh(h.header_size), be64toh(h.base_at));
}

static void qcow2_free(struct image_file *image)
{
	struct qcow2 *q = container_of(image, struct qcow2, image);

	free(q->l2);
	free(q);
}

static int qcow2_open(const struct io_file *file, struct image_file **ret)
{
	struct qcow2 *q = calloc(1, sizeof(*q));
	int r;

	if (!q)
		return -ENOMEM;
	q->image.layer.file = *file;
	q->l1_block = q->l2_at = NONE;
	r = read_header(q);
	if (r == 0) {
		q->l2 = malloc((size_t)1 << q->cluster_bits);
		r = q->l2 ? 0 : -ENOMEM;
	}
	if (r < 0)
		qcow2_free(&q->image);
	else
		*ret = &q->image;
	return r;
}

static uint64_t qcow2_choose(uint64_t size)
{
	(void)size;
	return 64 * KIB;
}

const struct format format_qcow2 = {
	.name = "qcow2",
	.suffix = "qcow2",
	.min_grain = 64 * KIB,
	.max_grain = 2 * MIB,
	.choose = qcow2_choose,
	.write = qcow2_write,
	.open = qcow2_open,
	.map = qcow2_map,
	.free = qcow2_free,
};
