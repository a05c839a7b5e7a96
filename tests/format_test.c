/* SPDX-License-Identifier: MIT */
/*
 * format_test.c - where image formats put things, what they have no room for, and that
 * what is foreign or damaged is refused as such
 */
#include <endian.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <sys/resource.h>

#include "data.h"
#include "engine/grains.h"
#include "engine/qcow2.h"
#include "engine/vhdx.h"
#include "harness.h"
#include "io/tree.h"

#define TIB (UINT64_C(1) << 40)

/* A sanitizer's own memory is not bounded. */
#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SANITIZED 1
#endif
#endif
#if !defined(SANITIZED) && (defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__))
#define SANITIZED 1
#endif
#ifndef SANITIZED
#define SANITIZED 0
#endif

/* Data in each @step bytes the first @len; no file. */
struct pattern {
	struct source source;
	uint64_t step, len;
};

static int next_of_pattern(struct source *source, uint64_t pos, struct source_range *ret)
{
	struct pattern *p = container_of(source, struct pattern, source);
	uint64_t start = p->step ? pos / p->step * p->step : 0;

	if (p->step && pos - start >= p->len)
		pos = start += p->step;
	if (!p->step || pos >= source->size)
		return -ENXIO;
	*ret = (struct source_range){.start = pos,
				     .end = min_u64(start + p->len, source->size)};
	return 0;
}

static struct pattern pattern(uint64_t size, uint64_t step, uint64_t len)
{
	return (struct pattern){
		{.size = size, .next = next_of_pattern}, .step = step, .len = len};
}

/* The changes of a disk are those of another pattern. */
static int next_change(void *changes, uint64_t pos, uint64_t *ret_start,
		       uint64_t *ret_end)
{
	struct pattern *p = changes;
	struct source_range range;
	int r = p->source.next(&p->source, pos, &range);

	if (r == 0) {
		*ret_start = range.start;
		*ret_end = range.end;
	}
	return r;
}

/* -------------------------------------------------------------------- grains */

static void expect_run(struct grains *g, uint64_t start, uint64_t end, bool zero)
{
	struct grain_run run;

	ASSERT_OK(grains_next(g, &run));
	EXPECT_EQ(run.start, start);
	EXPECT_EQ(run.end, end);
	EXPECT_EQ(run.zero, zero);
}

static void expect_no_run(struct grains *g)
{
	struct grain_run run;

	EXPECT_EQ(grains_next(g, &run), -ENXIO);
	EXPECT_EQ(grains_next(g, &run), -ENXIO, "again");
}

TEST(a_grain_has_data_if_a_byte_of_it_is)
{
	struct pattern p = pattern(5 * MIB + 1, 2 * MIB, 1);
	struct image im = {.name = "vda", .source = &p.source, .grain = 64 * KIB};
	struct grains g;

	grains_init(&g, &im);
	expect_run(&g, 0, 1, false);
	expect_run(&g, 32, 33, false);
	expect_run(&g, 64, 65, false);
	expect_no_run(&g);
}

TEST(two_ranges_in_a_grain_are_one)
{
	struct pattern p = pattern(128 * KIB, 8 * KIB, 4 * KIB);
	struct image im = {.name = "vda", .source = &p.source, .grain = 64 * KIB};
	struct grains g;

	grains_init(&g, &im);
	expect_run(&g, 0, 1, false);
	expect_run(&g, 1, 2, false);
	expect_no_run(&g);
}

TEST(changed_grains_have_data_or_became_zeros)
{
	struct pattern p = pattern(4 * MIB, 2 * MIB, MIB),
		       c = pattern(8 * MIB, 3 * MIB, 2 * MIB);
	struct image im = {.name = "vda",
			   .source = &p.source,
			   .grain = MIB,
			   .next_change = next_change,
			   .changes = &c};
	struct grains g;

	grains_init(&g, &im); /* changed: 0, 1, 3; data: 0, 2 */
	expect_run(&g, 0, 1, false);
	expect_run(&g, 1, 2, true);
	expect_run(&g, 3, 4, true);
	expect_no_run(&g);
}

TEST(an_empty_disk_has_no_grain)
{
	struct pattern p = pattern(0, MIB, MIB);
	struct image im = {.name = "vda", .source = &p.source, .grain = MIB};
	struct grains g;

	grains_init(&g, &im);
	expect_no_run(&g);
}

/* ------------------------------------------------------------------- layouts */

TEST(qcow2_of_10_gib_with_2_of_data)
{
	struct qcow2_layout l = {.size = 10 * GIB,
				 .cluster_bits = 16,
				 .l2_count = 20,
				 .data_count = 32768};

	ASSERT_OK(qcow2_layout(&l));
	EXPECT_EQ(l.l1_entries, 20u);
	EXPECT_EQ(l.reftable_at, 1u);
	EXPECT_EQ(l.reftable_count, 1u);
	EXPECT_EQ(l.refblocks_at, 2u);
	EXPECT_EQ(l.refblocks_count, 2u);
	EXPECT_EQ(l.l1_at, 4u);
	EXPECT_EQ(l.l2_at, 5u);
	EXPECT_EQ(l.data_at, 25u);
	EXPECT_EQ(l.end, 25u + 32768);
}

TEST(refcounts_count_themselves)
{
	/* 32768 clusters for each block of refcounts: one more, and there are two. */
	struct qcow2_layout fits = {.size = GIB, .cluster_bits = 16, .data_count = 32764};
	struct qcow2_layout more = {.size = GIB, .cluster_bits = 16, .data_count = 32765};

	ASSERT_OK(qcow2_layout(&fits));
	EXPECT_EQ(fits.refblocks_count, 1u);
	EXPECT_EQ(fits.end, 32768u);
	ASSERT_OK(qcow2_layout(&more));
	EXPECT_EQ(more.refblocks_count, 2u);
	EXPECT_EQ(more.end, 32770u);
}

TEST(qcow2_of_every_size_counts_itself_exactly)
{
	uint64_t seed = test_seed();

	for (unsigned i = 0; i < 20000; i++) {
		unsigned bits = 16 + data_random(&seed) % 6;
		struct qcow2_layout l = {
			.size = data_random(&seed) >> data_random(&seed) % 40 >> 20,
			.cluster_bits = bits,
			.data_count = data_random(&seed) >> 30 >> data_random(&seed) % 34,
		};
		uint64_t per_block = UINT64_C(1) << (bits - 1), per_table = UINT64_C(1)
									    << (bits - 3);

		if (qcow2_layout(&l) < 0)
			continue;
		ASSERT_GE(l.refblocks_count * per_block, l.end);
		ASSERT_GE(l.reftable_count * per_table, l.refblocks_count);
		/* None that is not needed, but for those that they need themselves. */
		ASSERT_LT((l.refblocks_count - 1) * per_block, l.end);
		ASSERT_LT((l.reftable_count - 1) * per_table, l.refblocks_count);
	}
}

TEST(qcow2_that_qemu_would_refuse)
{
	struct qcow2_layout l1 = {.size = UINT64_C(4) << 60, .cluster_bits = 16};
	struct qcow2_layout large = {.size = UINT64_C(2) << 60, .cluster_bits = 21};
	struct qcow2_layout refcounts = {
		.size = 8 * TIB, .cluster_bits = 16, .data_count = UINT64_C(1) << 37};
	struct qcow2_layout offsets = {
		.size = 8 * TIB, .cluster_bits = 16, .data_count = UINT64_MAX >> 1};

	EXPECT_EQ(qcow2_layout(&l1), -EOPNOTSUPP);
	EXPECT_OK(qcow2_layout(&large));
	EXPECT_EQ(qcow2_layout(&refcounts), -EOPNOTSUPP);
	EXPECT_EQ(qcow2_layout(&offsets), -EOPNOTSUPP);
}

TEST(the_bitmap_of_a_disk_has_64_mib_at_most)
{
	EXPECT_EQ(qcow2_granularity_bits(0), 16u);
	EXPECT_EQ(qcow2_granularity_bits(32 * TIB - 1), 16u);
	EXPECT_EQ(qcow2_granularity_bits(64 * TIB), 18u);
}

TEST(vhdx_tables_have_room_for_bitmaps_of_sectors)
{
	struct vhdx_layout one = {.size = 512, .block_size = MIB, .payload_count = 1};
	struct vhdx_layout chunk = {.size = 4 * GIB, .block_size = MIB};
	struct vhdx_layout more = {.size = 4 * GIB + 512, .block_size = MIB};
	struct vhdx_layout parent = {
		.size = 4 * GIB + 512, .block_size = MIB, .has_parent = true};
	struct vhdx_layout most = {.size = 64 * TIB, .block_size = 64 * MIB};
	struct vhdx_layout over = {.size = 64 * TIB + 512, .block_size = 64 * MIB};

	ASSERT_OK(vhdx_layout(&one));
	EXPECT_EQ(one.bat_entries, 1u);
	EXPECT_EQ(one.payload_at, 4 * MIB);
	EXPECT_EQ(one.end, 5 * MIB);
	ASSERT_OK(vhdx_layout(&chunk));
	EXPECT_EQ(chunk.ratio, 4096u);
	EXPECT_EQ(chunk.bat_entries, 4096u);
	ASSERT_OK(vhdx_layout(&more));
	EXPECT_EQ(more.bat_entries, 4098u);
	ASSERT_OK(vhdx_layout(&parent));
	EXPECT_EQ(parent.bat_entries, 8194u);
	EXPECT_EQ(parent.payload_at, 6 * MIB);
	ASSERT_OK(vhdx_layout(&most));
	EXPECT_EQ(most.bat_size, 9 * MIB);
	EXPECT_EQ(vhdx_layout(&over), -EOPNOTSUPP);
}

TEST(crc32c_is_castagnolis)
{
	EXPECT_EQ(vhdx_crc32c("123456789", 9), 0xe3069283u);
	EXPECT_EQ(vhdx_crc32c("", 0), 0u);
}

TEST(grains_are_powers_of_two_that_the_format_has)
{
	uint64_t grain;

	ASSERT_OK(format_grain(&format_qcow2, 0, 10 * TIB, &grain));
	EXPECT_EQ(grain, 64 * KIB);
	ASSERT_OK(format_grain(&format_vhdx, 0, 10 * GIB, &grain));
	EXPECT_EQ(grain, MIB);
	ASSERT_OK(format_grain(&format_vhdx, 0, 64 * TIB, &grain));
	EXPECT_EQ(grain, 64 * MIB);
	ASSERT_OK(format_grain(&format_vhdx, 256 * MIB, GIB, &grain));
	EXPECT_EQ(format_grain(&format_vhdx, 512 * MIB, GIB, &grain), -EINVAL);
	EXPECT_EQ(format_grain(&format_qcow2, 32 * KIB, GIB, &grain), -EINVAL);
	EXPECT_EQ(format_grain(&format_qcow2, 96 * KIB, GIB, &grain), -EINVAL);
	EXPECT_EQ(format_grain(&format_qcow2, 4 * MIB, GIB, &grain), -EINVAL);
	EXPECT_EQ(format_find("raw"), NULL);
	EXPECT_EQ(format_find("vhdx"), &format_vhdx);
}

/* --------------------------------------------------------------------- files */

FIXTURE(image)
{
	char path[PATH_MAX];
	struct io_file file;
	struct image_file *image;
};
FIXTURE_VARIANT(image)
{
	const struct format *format;
};
FIXTURE_VARIANT_ADD(image, qcow2){.format = &format_qcow2};
FIXTURE_VARIANT_ADD(image, vhdx){.format = &format_vhdx};
FIXTURE_SETUP(image)
{
	self->file = (struct io_file)IO_FILE_NONE;
	snprintf(self->path, sizeof(self->path), "%s/image", test_dir());
}
FIXTURE_TEARDOWN(image)
{
	image_close(self->image);
	io_file_close(&self->file);
}

static int write_image(struct image_fixture *self, const struct format *format,
		       struct image *im)
{
	image_close(self->image);
	self->image = NULL;
	io_file_close(&self->file);
	unlink(self->path);
	ASSERT_OK(io_file_create(AT_FDCWD, self->path, false, &self->file));
	if (!im->grain)
		ASSERT_OK(format_grain(format, 0, im->source->size, &im->grain));
	return format->write(&self->file, im);
}

static int reopen(struct image_fixture *self, const struct format *format)
{
	image_close(self->image);
	self->image = NULL;
	io_file_close(&self->file);
	ASSERT_OK(io_file_open_read(AT_FDCWD, self->path, &self->file));
	return format_open(format, &self->file, &self->image);
}

/* Data where the pattern has it, to the grain, in order and without overlap. */
static void expect_pattern(struct image_fixture *self, struct pattern *p)
{
	struct image_file *im = self->image;
	struct source_range want = {};
	struct layer_range got;
	uint64_t last = 0;
	int r;

	for (uint64_t pos = 0; pos < im->layer.size; pos = got.end) {
		ASSERT_OK(im->format->map(im, pos, &got));
		ASSERT_EQ(got.start, pos);
		ASSERT_GT(got.end, pos);
		r = p->source.next(&p->source, pos, &want);
		if (got.state == LAYER_DATA) {
			ASSERT_OK(r);
			ASSERT_LT(want.start, pos + im->grain);
			ASSERT_GE(got.at, last);
			last = got.at + (got.end - got.start);
			ASSERT_LE(last, im->layer.file.size);
		} else {
			ASSERT_EQ(got.state, LAYER_ZERO);
			ASSERT_TRUE(r == -ENXIO || want.start >= got.end);
		}
	}
}

static long peak_kib(void)
{
	struct rusage usage;

	getrusage(RUSAGE_SELF, &usage);
	return usage.ru_maxrss;
}

TEST_F(image, of_edge_sizes)
{
	/* A VHDX has a sector. */
	static const uint64_t sizes[] = {0,
					 1,
					 511,
					 512,
					 513,
					 64 * KIB,
					 64 * KIB + 1,
					 MIB - 1,
					 2 * TIB,
					 2 * TIB + 512,
					 64 * TIB - 512,
					 64 * TIB};

	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		struct pattern p = pattern(sizes[i], 700 * GIB, 100 * KIB);
		struct image im = {.name = "vda", .source = &p.source};

		if (!sizes[i] && variant->format == &format_vhdx) {
			EXPECT_EQ(write_image(self, variant->format, &im), -EOPNOTSUPP);
			continue;
		}
		ASSERT_OK(write_image(self, variant->format, &im), "size %llu",
			  (unsigned long long)sizes[i]);
		ASSERT_OK(reopen(self, variant->format));
		EXPECT_EQ(self->image->layer.size, round_up(sizes[i], 512));
		expect_pattern(self, &p);
	}
	if (!SANITIZED)
		EXPECT_LT(peak_kib(), 64 * 1024);
}

TEST_F(image, of_a_full_tebibyte_needs_little_memory)
{
	struct pattern p = pattern(TIB, TIB, TIB);
	struct image im = {.name = "vda", .source = &p.source};

	ASSERT_OK(write_image(self, variant->format, &im));
	ASSERT_OK(reopen(self, variant->format));
	expect_pattern(self, &p);
	if (!SANITIZED)
		EXPECT_LT(peak_kib(), 64 * 1024);
}

TEST_F(image, that_is_too_large)
{
	struct pattern p = pattern(INT64_MAX, 0, 0);
	struct image im = {.name = "vda", .source = &p.source};

	EXPECT_EQ(write_image(self, variant->format, &im), -EOPNOTSUPP);
}

TEST(vhdx_ends_at_64_tib)
{
	struct pattern p = pattern(64 * TIB + 1, 0, 0);
	struct image im = {.name = "vda", .source = &p.source, .grain = 64 * MIB};
	struct image_fixture self = {.file = IO_FILE_NONE};

	snprintf(self.path, sizeof(self.path), "%s/image", test_dir());
	EXPECT_EQ(write_image(&self, &format_vhdx, &im), -EOPNOTSUPP);
	io_file_close(&self.file);
}

/* One that has everything a full image can have. */
static void write_small(struct image_fixture *self, const struct format *format)
{
	struct pattern p = pattern(5 * MIB, 2 * MIB, MIB);
	struct image im = {.name = "vda", .source = &p.source};

	ASSERT_OK(write_image(self, format, &im));
}

/* Opens it and looks at every position: the first refusal. */
static int look_at_all(struct image_fixture *self, const struct format *format)
{
	struct layer_range range;
	int r = reopen(self, format);

	for (uint64_t pos = 0; r == 0 && pos < self->image->layer.size; pos = range.end)
		r = self->image->layer.at(&self->image->layer, pos, &range);
	return r;
}

static void poke(struct image_fixture *self, uint64_t at, const void *data, size_t len)
{
	int fd = open(self->path, O_RDWR | O_CLOEXEC);

	ASSERT_GE(fd, 0);
	ASSERT_OK(io_pwrite_all(fd, data, len, at));
	close(fd);
}

TEST_F(image, cut_anywhere_in_its_tables_is_damaged)
{
	write_small(self, variant->format);
	for (uint64_t size = self->file.size; size > 0; size /= 2) {
		ASSERT_EQ(truncate(self->path, (off_t)(size - 1)), 0);
		ASSERT_EQ(look_at_all(self, variant->format), -EBADMSG, "%llu bytes",
			  (unsigned long long)size - 1);
	}
}

TEST_F(image, of_another_kind_is_damaged)
{
	write_small(self, variant->format);
	poke(self, 0, "KDMV", 4);
	EXPECT_EQ(look_at_all(self, variant->format), -EBADMSG);
}

struct foreign {
	uint64_t at;
	unsigned size; /* bytes, of a big-endian number */
	uint64_t value;
	int error;
};

TEST(qcow2_fields_of_others_and_nonsense)
{
	static const struct foreign fields[] = {
		{4, 4, 2, -EOPNOTSUPP}, /* version */
		{4, 4, 4, -EOPNOTSUPP},
		{8, 8, 4097, -EBADMSG}, /* base beyond the header */
		{8, 8, UINT64_MAX, -EBADMSG},
		{20, 4, 9, -EOPNOTSUPP}, /* cluster bits */
		{20, 4, 63, -EOPNOTSUPP},
		{24, 8, 5 * MIB + 1, -EBADMSG}, /* size */
		{24, 8, UINT64_MAX - 511, -EBADMSG},
		{24, 8, TIB, -EBADMSG},	 /* more than L1 has */
		{32, 4, 1, -EOPNOTSUPP}, /* encryption */
		{36, 4, 0, -EBADMSG},	 /* L1 entries */
		{36, 4, UINT32_MAX, -EBADMSG},
		{40, 8, 0, -EBADMSG}, /* L1 offset */
		{40, 8, 512, -EBADMSG},
		{40, 8, UINT64_C(1) << 63, -EBADMSG},
		{60, 4, 1, -EOPNOTSUPP},   /* snapshots */
		{72, 8, 1, -EOPNOTSUPP},   /* dirty */
		{72, 8, 4, -EOPNOTSUPP},   /* data file */
		{96, 4, 0, -EOPNOTSUPP},   /* refcount order */
		{100, 4, 96, -EOPNOTSUPP}, /* header size */
		{100, 4, 108, -EOPNOTSUPP},
		{100, 4, 0xfffffff8, -EBADMSG},
		{104, 4, 0x6803f857, 0}, /* extension: names of features */
		{108, 4, UINT32_MAX, 0}, /* of the end, its size does not matter */
		{3 * 64 * KIB, 8, UINT64_C(4) << 16, -EOPNOTSUPP}, /* L1: shared */
		{3 * 64 * KIB, 8, UINT64_C(1) << 63 | 512, -EBADMSG},
		{3 * 64 * KIB, 8, UINT64_C(1) << 63 | UINT64_C(1) << 50, -EBADMSG},
		{3 * 64 * KIB, 8, UINT64_C(1) << 63 | UINT64_C(1) << 60, -EBADMSG},
		{4 * 64 * KIB, 8, UINT64_C(1) << 62, -EOPNOTSUPP}, /* compressed */
		{4 * 64 * KIB, 8, UINT64_C(5) << 16, -EOPNOTSUPP}, /* shared */
		{4 * 64 * KIB, 8, UINT64_C(1) << 63 | 5 << 16 | 1, -EOPNOTSUPP},
		{4 * 64 * KIB, 8, UINT64_C(1) << 63, -EBADMSG}, /* the header */
		{4 * 64 * KIB, 8, UINT64_C(1) << 63 | 513 << 9, -EBADMSG},
		{4 * 64 * KIB, 8, UINT64_C(1) << 63 | UINT64_C(1) << 55, -EBADMSG},
		{4 * 64 * KIB, 8, 1, 0}, /* zeros */
	};
	struct image_fixture self = {.file = IO_FILE_NONE};

	snprintf(self.path, sizeof(self.path), "%s/image", test_dir());
	for (size_t i = 0; i < ARRAY_SIZE(fields); i++) {
		const struct foreign *f = &fields[i];
		uint64_t value = htobe64(f->value << (8 - f->size) * 8);

		write_small(&self, &format_qcow2);
		poke(&self, f->at, &value, f->size);
		EXPECT_EQ(look_at_all(&self, &format_qcow2), f->error, "at %llu: %llx",
			  (unsigned long long)f->at, (unsigned long long)f->value);
	}
	image_close(self.image);
	io_file_close(&self.file);
}

/* Makes the checksum of a block right that begins with a signature. */
static void sum_up(struct image_fixture *self, uint64_t at, size_t size)
{
	_cleanup_free_ char *buf = malloc(size);
	uint32_t sum = 0;

	ASSERT_NE(buf, NULL);
	poke(self, at + 4, &sum, sizeof(sum));
	ASSERT_OK(io_pread_all(self->file.tail_fd, buf, size, at));
	sum = htole32(vhdx_crc32c(buf, size));
	poke(self, at + 4, &sum, sizeof(sum));
}

TEST(vhdx_fields_of_others_and_nonsense)
{
	/* All of both headers and tables, with sums that are right. */
	static const struct foreign fields[] = {
		{64 * KIB, 4, 0, -EBADMSG},	    /* signature */
		{64 * KIB + 48, 4, 1, -EOPNOTSUPP}, /* a log */
		{64 * KIB + 66, 2, 2, -EOPNOTSUPP}, /* version */
		{192 * KIB, 4, 0, -EBADMSG},
		{192 * KIB + 8, 4, 0, -EOPNOTSUPP}, /* regions */
		{192 * KIB + 8, 4, 2047, -EOPNOTSUPP},
		{192 * KIB + 16, 4, 1, -EOPNOTSUPP}, /* of another kind */
		{192 * KIB + 32, 8, 0, -EBADMSG},    /* BAT: offset */
		{192 * KIB + 32, 8, MIB + 1, -EBADMSG},
		{192 * KIB + 32, 8, TIB, -EBADMSG},
		{192 * KIB + 32, 8, UINT64_MAX - MIB + 1, -EBADMSG},
		{192 * KIB + 40, 4, 0, -EBADMSG}, /* its size */
		{192 * KIB + 40, 4, 4096, -EBADMSG},
		{192 * KIB + 40, 4, UINT32_MAX - MIB + 1, -EBADMSG},
		{2 * MIB, 4, 0, -EBADMSG},	       /* metadata: signature */
		{2 * MIB + 10, 2, 65535, -EOPNOTSUPP}, /* items */
		{2 * MIB + 10, 2, 0, -EOPNOTSUPP},
		{2 * MIB + 32, 4, 1, -EOPNOTSUPP},   /* of another kind */
		{2 * MIB + 32 + 16, 4, 0, -EBADMSG}, /* parameters: offset, size */
		{2 * MIB + 32 + 16, 4, UINT32_MAX, -EBADMSG},
		{2 * MIB + 32 + 20, 4, UINT32_MAX, -EBADMSG},
		{2 * MIB + 32 + 20, 4, 4, -EBADMSG},
		{2 * MIB + 64 * KIB, 4, 0, -EBADMSG}, /* block size */
		{2 * MIB + 64 * KIB, 4, 3 * MIB, -EBADMSG},
		{2 * MIB + 64 * KIB, 4, 512 * MIB, -EBADMSG},
		{2 * MIB + 64 * KIB + 4, 4, 1, -EOPNOTSUPP}, /* fixed */
		{2 * MIB + 64 * KIB + 4, 4, 2, -EBADMSG},    /* a parent of no name */
		{2 * MIB + 64 * KIB + 8, 8, 513, -EBADMSG},  /* disk size */
		{2 * MIB + 64 * KIB + 8, 8, 65 * TIB, -EBADMSG},
		{2 * MIB + 64 * KIB + 8, 8, 64 * TIB, -EBADMSG},
		{2 * MIB + 64 * KIB + 32, 4, 4096, -EOPNOTSUPP}, /* sector */
		{3 * MIB, 8, 1, -EOPNOTSUPP},			 /* states */
		{3 * MIB, 8, 2, -EOPNOTSUPP},
		{3 * MIB, 8, 3, -EOPNOTSUPP},
		{3 * MIB, 8, 7 | 4 * MIB, -EOPNOTSUPP},
		{3 * MIB, 8, 6, -EBADMSG}, /* places */
		{3 * MIB, 8, 6 | 2 * MIB, -EBADMSG},
		{3 * MIB, 8, 6 | 4 * MIB | 8, -EBADMSG},
		{3 * MIB, 8, 6 | TIB, -EBADMSG},
		{3 * MIB, 8, 6 | (UINT64_MAX - MIB + 1), -EBADMSG},
		{3 * MIB, 8, 0, 0},
	};
	struct image_fixture self = {.file = IO_FILE_NONE};

	snprintf(self.path, sizeof(self.path), "%s/image", test_dir());
	for (size_t i = 0; i < ARRAY_SIZE(fields); i++) {
		const struct foreign *f = &fields[i];
		uint64_t value = htole64(f->value);

		write_small(&self, &format_vhdx);
		poke(&self, f->at, &value, f->size);
		if (f->at < VHDX_LOG_AT) {
			bool header = f->at < VHDX_REGIONS_AT;
			uint64_t at = header ? VHDX_HEADER_AT : VHDX_REGIONS_AT;
			size_t size = header ? VHDX_HEADER_SIZE : VHDX_TABLE_SIZE;

			poke(&self, f->at + 64 * KIB, &value, f->size);
			sum_up(&self, at, size);
			sum_up(&self, at + 64 * KIB, size);
		}
		EXPECT_EQ(look_at_all(&self, &format_vhdx), f->error, "at %llu: %llx",
			  (unsigned long long)f->at, (unsigned long long)f->value);
	}
	image_close(self.image);
	io_file_close(&self.file);
}

TEST(one_vhdx_header_and_region_table_are_enough)
{
	struct image_fixture self = {.file = IO_FILE_NONE};

	snprintf(self.path, sizeof(self.path), "%s/image", test_dir());
	for (unsigned i = 0; i < 2; i++) {
		write_small(&self, &format_vhdx);
		poke(&self, 64 * KIB + i * 64 * KIB + 100, "x", 1);
		poke(&self, 192 * KIB + i * 64 * KIB + 100, "x", 1);
		EXPECT_OK(look_at_all(&self, &format_vhdx));
	}
	poke(&self, 64 * KIB + 100, "x", 1);
	EXPECT_EQ(look_at_all(&self, &format_vhdx), -EBADMSG);
	image_close(self.image);
	io_file_close(&self.file);
}

TEST_MAIN
