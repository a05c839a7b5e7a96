/* SPDX-License-Identifier: MIT */
/*
 * layer_test.c - disks that lie in several files, and whose bytes go elsewhere than
 * their offsets: what arrives is what the chain says, shared or moved, with its digest
 */
#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "data.h"
#include "engine/copy.h"
#include "engine/layer.h"
#include "harness.h"
#include "io/base.h"
#include "loopfs.h"
#include "stage.h"

#define UNIT	UINT64_C(4096)
#define CLUSTER (64 * KIB)
#define MOST	4
#define SHIFT	(3 * CLUSTER) /* of a layer's data in its file: there are tables before */

/* A layer whose states are a list of units. */
struct listed {
	struct layer layer;
	enum layer_state *unit;
	uint64_t seed;
	char *path;
};

static int listed_at(struct layer *layer, uint64_t pos, struct layer_range *ret)
{
	struct listed *l = container_of(layer, struct listed, layer);
	uint64_t first = pos / UNIT, last = first,
		 units = round_up(layer->size, UNIT) / UNIT;

	while (last < units && l->unit[last] == l->unit[first])
		last++;
	*ret = (struct layer_range){
		.start = round_down(pos, UNIT),
		.end = min_u64(last * UNIT, layer->size),
		.state = l->unit[first],
		.at = round_down(pos, UNIT) + SHIFT,
	};
	return 0;
}

/* Clusters in the order opposite to that of the disk. */
struct turned {
	struct place place;
	uint64_t clusters;
};

static int turned_at(struct place *place, uint64_t pos, uint64_t *ret_at,
		     uint64_t *ret_end)
{
	struct turned *t = container_of(place, struct turned, place);

	*ret_at = (t->clusters - 1 - pos / CLUSTER) * CLUSTER + pos % CLUSTER;
	*ret_end = round_down(pos, CLUSTER) + CLUSTER;
	return 0;
}

struct chain {
	struct listed listed[MOST];
	struct layer *layer[MOST];
	size_t count;
	struct layers layers;
	uint8_t *want; /* the disk */
	uint64_t state;
};

static void make_layer(struct chain *c, struct listed *l, const char *dir, uint64_t size)
{
	uint64_t units = round_up(size, UNIT) / UNIT;
	int fd;

	l->seed = data_random(&c->state);
	l->unit = calloc(units + 1, sizeof(*l->unit));
	ASSERT_NE(l->unit, NULL);
	for (uint64_t i = 0; i < units;) {
		enum layer_state state = data_random(&c->state) % 3;
		uint64_t run = 1 + data_random(&c->state) %
					   (data_random(&c->state) % 4 ? 8 : 600);

		for (; run && i < units; run--)
			l->unit[i++] = state;
	}
	l->path = strdup(fmt("%s/layer%zu", dir, (size_t)(l - c->listed)));
	ASSERT_NE(l->path, NULL);
	fd = data_create(l->path, SHIFT + size);
	for (uint64_t i = 0; i < units; i++)
		if (l->unit[i] == LAYER_DATA)
			data_write(fd, l->seed, SHIFT + i * UNIT,
				   min_u64(UNIT, size - i * UNIT));
	ASSERT_OK(fsync(fd));
	close(fd);
	l->layer = (struct layer){.size = size, .path = l->path, .at = listed_at};
	ASSERT_OK(io_file_open_read(AT_FDCWD, l->path, &l->layer.file));
}

/* From the bottom up, each over what is below it. */
static void lay(struct chain *c, const struct listed *l)
{
	uint64_t size = l->layer.size, top = c->layer[0]->size;

	for (uint64_t pos = 0; pos < top; pos += UNIT) {
		uint64_t len = min_u64(UNIT, top - pos), has = 0;

		if (pos >= size || l->unit[pos / UNIT] != LAYER_BELOW)
			memset(c->want + pos, 0, len);
		if (pos < size && l->unit[pos / UNIT] == LAYER_DATA) {
			has = min_u64(len, size - pos);
			data_bytes(l->seed, SHIFT + pos, c->want + pos, has);
		}
		if (pos < size && pos + len > size) /* nothing of below shows behind it */
			memset(c->want + size, 0, pos + len - size);
	}
}

static void chain_open(struct chain *c, const char *dir, uint64_t seed)
{
	c->state = seed;
	c->count = 1 + data_random(&c->state) % MOST;
	for (size_t i = 0; i < c->count; i++) {
		uint64_t size = 5 * MIB + data_random(&c->state) % (6 * MIB);

		/* Layers below end at units: a boundary within one is the format's. */
		if (i)
			size = round_down(size, UNIT);
		make_layer(c, &c->listed[i], dir, size);
		c->layer[i] = &c->listed[i].layer;
	}
	layers_init(&c->layers, c->layer, c->count);
	c->want = calloc(1, c->layers.source.size);
	ASSERT_NE(c->want, NULL);
	for (size_t i = c->count; i-- > 0;)
		lay(c, &c->listed[i]);
}

static void chain_close(struct chain *c)
{
	for (size_t i = 0; i < c->count; i++) {
		layer_close(&c->listed[i].layer);
		unlink(c->listed[i].path);
		free(c->listed[i].unit);
		free(c->listed[i].path);
	}
	free(c->want);
	*c = (struct chain){0};
}

static void expect_bytes(const struct chain *c, const struct stream *s)
{
	uint8_t *have = malloc(UNIT);
	uint64_t size = stream_size(s);

	for (uint64_t pos = 0; pos < size; pos += UNIT) {
		uint64_t len = min_u64(UNIT, size - pos), at, end;

		ASSERT_OK(stream_place(s, pos, &at, &end));
		ASSERT_EQ(pread(s->dst.fd, have, len, (off_t)at), len);
		ASSERT_EQ(memcmp(have, c->want + pos, len), 0, "at %llu of %llu",
			  (unsigned long long)pos, (unsigned long long)size);
	}
	free(have);
}

static void expect_leaves(const struct chain *c, const struct stream *s)
{
	uint64_t size = stream_size(s);

	ASSERT_TRUE(s->digested);
	for (uint64_t i = 0; i < digest_chunk_count(size); i++) {
		uint8_t want[DIGEST_SIZE], have[DIGEST_SIZE];

		digest_leaf(c->want + i * DIGEST_CHUNK,
			    min_u64(DIGEST_CHUNK, size - i * DIGEST_CHUNK), want);
		ASSERT_OK(digest_get(&s->leaves, i, have, 1));
		EXPECT_EQ(memcmp(want, have, DIGEST_SIZE), 0, "leaf %llu",
			  (unsigned long long)i);
	}
}

FIXTURE(layer)
{
	struct loopfs from, to;
	struct chain chain;
	struct stream s;
	struct turned turned;
};
FIXTURE_VARIANT(layer)
{
	const char *from, *to; /* NULL = the same */
	enum rp_io io;
	bool clones;
};
FIXTURE_VARIANT_ADD(layer, xfs_shared){.from = "xfs", .clones = true};
FIXTURE_VARIANT_ADD(layer, btrfs_shared){.from = "btrfs", .clones = true};
FIXTURE_VARIANT_ADD(layer, ext4_uring){.from = "ext4", .io = RP_IO_URING};
FIXTURE_VARIANT_ADD(layer, xfs_btrfs_aio){.from = "xfs", .to = "btrfs", .io = RP_IO_AIO};
FIXTURE_VARIANT_ADD(layer,
		    btrfs_xfs_sync){.from = "btrfs", .to = "xfs", .io = RP_IO_SYNC};

FIXTURE_SETUP(layer)
{
	self->s.leaves.fd = -1;
	self->s.src = (struct io_file)IO_FILE_NONE;
	self->s.dst = (struct io_file)IO_FILE_NONE;
	loopfs_mount(&self->from, variant->from, 400 * MIB,
		     strcmp(variant->from, "ext4") ? NULL : "-b 4096", NULL);
	if (variant->to)
		loopfs_mount(&self->to, variant->to, 400 * MIB, NULL, NULL);
}

static void stream_begin(struct layer_fixture *self, const char *dir, bool turn,
			 enum stream_digest digest)
{
	struct stream *s = &self->s;
	uint64_t size = self->chain.layers.source.size;
	const char *leaves = fmt("%s/leaves", dir);

	unlink(fmt("%s/out", dir));
	unlink(leaves);
	self->turned = (struct turned){.place.at = turned_at,
				       .clusters = round_up(size, CLUSTER) / CLUSTER};
	*s = (struct stream){
		.disk = "vda",
		.src_path = "chain",
		.dst_path = "out",
		.src = IO_FILE_NONE,
		.from = &self->chain.layers.source,
		.place = turn ? &self->turned.place : NULL,
		.digest = digest,
		.leaves = {.fd = data_create(leaves, digest_file_size(size)),
			   .size = size},
	};
	ASSERT_OK(io_file_create(AT_FDCWD, fmt("%s/out", dir), false, &s->dst));
	ASSERT_OK(
		io_file_set_size(&s->dst, turn ? self->turned.clusters * CLUSTER : size));
}

static void stream_end(struct layer_fixture *self)
{
	io_file_close(&self->s.dst);
	close(self->s.leaves.fd);
	self->s.leaves.fd = -1;
}

FIXTURE_TEARDOWN(layer)
{
	stream_end(self);
	chain_close(&self->chain);
	if (variant->to)
		loopfs_umount(&self->to);
	loopfs_umount(&self->from);
}

TEST_F(layer, chain_arrives)
{
	const char *dir = variant->to ? self->to.mnt : self->from.mnt;
	uint64_t seed = test_seed();

	for (unsigned round = 0; round < 12; round++) {
		bool turn = round % 2;
		struct stream *s = &self->s;
		struct tuning tuning;
		struct rp_error err;
		struct watch w;

		chain_open(&self->chain, self->from.mnt, seed + round);
		stream_begin(self, dir, turn,
			     variant->clones ? STREAM_DIGEST_READ : STREAM_DIGEST);
		watch_init(&w, NULL, 0);
		tuning_init(&tuning, variant->io);
		ASSERT_EQ(copy_streams(s, 1, &tuning, &w, &err), RP_OK, "%u: %s", round,
			  err.message);
		expect_bytes(&self->chain, s);
		expect_leaves(&self->chain, s);
		EXPECT_EQ(s->cloned_bytes + s->copied_bytes, s->data_bytes);
		if (variant->clones) /* all but a tail that is less than a block */
			EXPECT_LT(s->copied_bytes, UNIT, "%s", s->reason);
		else
			EXPECT_EQ(s->cloned_bytes, 0);
		stream_end(self);
		chain_close(&self->chain);
	}
}

/* What a layer may say wrongly ends as an error, not as a loop. */
static int stuck_at(struct layer *layer, uint64_t pos, struct layer_range *ret)
{
	(void)layer;
	*ret = (struct layer_range){.start = pos, .end = pos, .state = LAYER_BELOW};
	return 0;
}

TEST(no_progress_is_damage)
{
	struct layer l = {.size = MIB, .at = stuck_at, .file = IO_FILE_NONE};
	struct layer *list[] = {&l};
	struct layers layers;
	struct source_range range;

	layers_init(&layers, list, 1);
	EXPECT_EQ(layers.source.next(&layers.source, 0, &range), -EBADMSG);
}

/* A raw image is a layer of data and zeros. */
TEST(raw_layer)
{
	const char *path = fmt("%s/raw", test_dir());
	struct layer l = {.file = IO_FILE_NONE, .path = path};
	struct layer *list[] = {&l};
	struct layers layers;
	struct source_range range;
	int fd = data_create(path, 8 * MIB + 5);

	data_write(fd, 1, 2 * MIB, MIB);
	data_write(fd, 1, 8 * MIB, 5);
	ASSERT_OK(fsync(fd));
	close(fd);
	ASSERT_OK(io_file_open_read(AT_FDCWD, path, &l.file));
	layer_raw(&l);
	layers_init(&layers, list, 1);
	ASSERT_EQ(layers.source.size, 8 * MIB + 5);
	ASSERT_OK(layers.source.next(&layers.source, 0, &range));
	EXPECT_EQ(range.start, 2 * MIB);
	EXPECT_EQ(range.end, 3 * MIB);
	EXPECT_EQ(range.at, 2 * MIB);
	EXPECT_EQ(range.file, &l.file);
	ASSERT_OK(layers.source.next(&layers.source, 2 * MIB + 7, &range));
	EXPECT_EQ(range.start, 2 * MIB + 7);
	EXPECT_EQ(range.at, 2 * MIB + 7);
	ASSERT_OK(layers.source.next(&layers.source, 3 * MIB, &range));
	EXPECT_EQ(range.start, 8 * MIB);
	EXPECT_EQ(range.end, 8 * MIB + 5);
	EXPECT_EQ(layers.source.next(&layers.source, 8 * MIB + 5, &range), -ENXIO);
	layer_close(&l);
	layer_close(&l);
}

TEST_MAIN
