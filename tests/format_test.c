/* SPDX-License-Identifier: MIT */
/*
 * format_test.c - images are read as what was written, of any size, in little memory and
 * with few system calls; what is foreign or damaged is refused as such
 */
#include <endian.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <sys/resource.h>

#include "data.h"
#include "engine/qcow2.h"
#include "engine/vhdx.h"
#include "harness.h"
#include "intercept.h"
#include "io/small_file.h"
#include "pattern.h"

static unsigned seeks;
static bool seeks_fail; /* now */

/* The library's calls come by here. */
off_t lseek(int fd, off_t offset, int whence)
{
	seeks++;
	if (!seeks_fail)
		return REAL(lseek)(fd, offset, whence);
	errno = EIO;
	return -1;
}

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

/* ---------------------------------------------------------------- with its data */

#define UNIT  (64 * KIB) /* data or a hole; a block of any file system is less */
#define UNITS 200

/* Of a full disk, with data where @data has it, each in its place. */
static void write_units(struct image_fixture *self, const struct format *format,
			const bool data[UNITS])
{
	struct pattern p = pattern(UNITS * UNIT, UNITS * UNIT, UNITS * UNIT);
	struct image im = {.name = "vda", .source = &p.source};
	uint64_t at, end;
	int fd;

	ASSERT_OK(write_image(self, format, &im));
	ASSERT_OK(reopen(self, format));
	fd = open(self->path, O_RDWR | O_CLOEXEC);
	ASSERT_GE(fd, 0);
	for (uint64_t i = 0; i < UNITS; i++) {
		struct place *place = &self->image->place;

		ASSERT_OK(place->at(place, i * UNIT, &at, &end));
		ASSERT_GE(end, (i + 1) * UNIT);
		if (data[i])
			data_write(fd, 1, at, UNIT);
	}
	ASSERT_OK(fsync(fd));
	close(fd);
	seeks = 0;
}

/* However many pieces are made of it, by the changes in images over it. */
TEST_F(image, whose_data_is_followed_to_its_end_once)
{
	struct layer_range range;
	bool data[UNITS];

	memset(data, true, sizeof(data));
	write_units(self, variant->format, data);
	for (uint64_t pos = 0; pos < UNITS * UNIT; pos += 4096) {
		ASSERT_OK(self->image->layer.at(&self->image->layer, pos, &range));
		ASSERT_EQ(range.state, LAYER_DATA);
		ASSERT_GT(range.end, pos);
	}
	EXPECT_LT(seeks, 10);
}

/* As an image says it that was never asked before. */
static void ask_anew(const struct image_fixture *self, uint64_t pos,
		     struct layer_range *ret)
{
	struct image_file *image;

	ASSERT_OK(format_open(self->image->format, &self->file, &image));
	ASSERT_OK(image->layer.at(&image->layer, pos, ret));
	image_close(image);
}

/* From @pos a little forwards or back, or to anywhere. */
static uint64_t wander(uint64_t *state, uint64_t pos)
{
	uint64_t step = data_random(state) % (2 * UNIT), way = data_random(state) % 16;

	if (way == 0)
		return data_random(state) % (UNITS * UNIT);
	if (way < 7)
		return pos - min_u64(pos, step);
	return min_u64(pos + step, UNITS * UNIT - 1);
}

TEST_F(image, whose_data_is_remembered_as_it_is)
{
	uint64_t state = test_seed(), pos = 0, at, end;
	struct place *place;
	bool data[UNITS];

	for (size_t i = 0; i < UNITS; i++)
		data[i] = data_random(&state) % 3;
	write_units(self, variant->format, data);
	place = &self->image->place;
	for (unsigned i = 0; i < 2000; i++) {
		struct layer_range have, want;

		pos = wander(&state, pos);
		ASSERT_OK(self->image->layer.at(&self->image->layer, pos, &have));
		ask_anew(self, pos, &want);
		ASSERT_OK(place->at(place, pos, &at, &end));
		ASSERT_EQ(have.state, data[pos / UNIT] ? LAYER_DATA : LAYER_ZERO,
			  "at %llu", (unsigned long long)pos);
		ASSERT_EQ(have.state, want.state);
		ASSERT_EQ(have.start, pos);
		ASSERT_EQ(have.end, want.end, "at %llu", (unsigned long long)pos);
		ASSERT_EQ(have.at, at);
	}
}

TEST_F(image, of_whose_data_an_error_is_not_remembered)
{
	struct layer *layer;
	struct layer_range range;
	bool data[UNITS] = {[0] = true, [UNITS / 2] = true};

	write_units(self, variant->format, data);
	layer = &self->image->layer;
	seeks_fail = true;
	EXPECT_EQ(layer->at(layer, 0, &range), -EIO);
	seeks_fail = false;
	ASSERT_OK(layer->at(layer, 0, &range));
	EXPECT_EQ(range.state, LAYER_DATA);
	EXPECT_EQ(range.end, UNIT);
	seeks_fail = true;
	EXPECT_EQ(layer->at(layer, UNITS / 2 * UNIT, &range), -EIO);
	ASSERT_OK(layer->at(layer, UNIT - 1, &range));
	EXPECT_EQ(range.state, LAYER_DATA);
	seeks_fail = false;
	ASSERT_OK(layer->at(layer, UNITS / 2 * UNIT, &range));
	EXPECT_EQ(range.state, LAYER_DATA);
	EXPECT_EQ(range.end, (UNITS / 2 + 1) * UNIT);
	ASSERT_OK(layer->at(layer, UNIT, &range));
	EXPECT_EQ(range.state, LAYER_ZERO);
	EXPECT_EQ(range.end, UNITS / 2 * UNIT);
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
	ASSERT_OK(io_pread_all(self->file.fd, buf, size, at));
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
