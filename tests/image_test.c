/* SPDX-License-Identifier: MIT */
/*
 * image_test.c - random disks as qcow2 and VHDX, full and in chains: QEMU, libvhdi and we
 * read from them what is on the disk
 *
 * IMAGES=N judges N images of each format; TEST_SEED=N repeats a run.
 */
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

#include "data.h"
#include "harness.h"
#include "image_fixture.h"
#include "io/base.h"

#define IMAGES	 6
#define MAX_SIZE (24 * MIB)

static unsigned images_wanted(void)
{
	const char *text = getenv("IMAGES");

	return text ? (unsigned)atoi(text) : IMAGES;
}

static uint64_t below(uint64_t *seed, uint64_t n)
{
	return data_random(seed) % n;
}

/* Sizes at bounds more often than elsewhere. */
static uint64_t random_size(uint64_t *seed)
{
	static const uint64_t bound[] = {1,	  511,	       512,	      513,
					 4096,	  64 * KIB,    MIB,	      MIB + 512,
					 2 * MIB, 2 * MIB - 1, 8 * MIB + 1000};

	if (below(seed, 3) == 0)
		return bound[below(seed, ARRAY_SIZE(bound))];
	return 1 + below(seed, MAX_SIZE);
}

/* Whole sectors of one kind for the formats that are not resized. */
static uint64_t resized(uint64_t *seed, uint64_t size, const struct format *format)
{
	if (format == &format_vhdx || below(seed, 3))
		return size;
	return below(seed, 2) ? random_size(seed)
			      : min_u64(size + below(seed, 2 * MIB), MAX_SIZE);
}

static void punch(int fd, uint64_t start, uint64_t len)
{
	EXPECT_EQ(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)start,
			    (off_t)len),
		  0);
}

/* Writes, zeros, holes and new sizes on the way from one point to the next. */
static void change(struct image_disk *d, uint64_t *seed, const struct format *format)
{
	const char *path = image_path(d, d->points - 1, "raw");
	int fd = open(path, O_RDWR | O_CLOEXEC);
	struct stat st;
	uint64_t size, old;

	ASSERT_GE(fd, 0);
	ASSERT_EQ(fstat(fd, &st), 0);
	old = (uint64_t)st.st_size;
	size = resized(seed, old, format);
	if (size != old) {
		ASSERT_EQ(ftruncate(fd, (off_t)size), 0);
		image_changed(d, round_down(min_u64(old, size), 4096),
			      min_u64(old, size) + 1);
		/* What a shrunk disk has lost must not come back when it grows. */
		if (size > old)
			image_changed(d, old, size);
	}
	for (uint64_t n = below(seed, 6); n > 0; n--) {
		uint64_t start = below(seed, size), len = 1 + below(seed, 300 * KIB);

		len = min_u64(len, size - start);
		if (below(seed, 4) == 0) {
			start = round_down(start, MIB);
			len = min_u64(below(seed, 2) ? MIB : 3 * MIB, size - start);
			punch(fd, start, len);
		} else {
			data_write(fd, data_random(seed), start, len);
		}
		image_changed(d, start, start + len);
	}
	ASSERT_EQ(fsync(fd), 0);
	close(fd);
}

static uint64_t random_grain(uint64_t *seed, const struct format *format)
{
	uint64_t most = format == &format_vhdx ? 8 * MIB : format->max_grain, grain;

	grain = format->min_grain << below(seed, 6);
	return grain > most ? format->min_grain : grain;
}

static void judge(struct image_disk *d, unsigned point)
{
	const struct image_file *image = d->file[point];

	image_judge_again(d, point);
	image_judge_reader(d, point);
	/* QEMU does not open a differencing VHDX. */
	if (image->format == &format_qcow2 || !image->based)
		image_judge_qemu(d, point);
	if (image->format == &format_vhdx && image->layer.size)
		image_judge_vhdi(d, point);
}

/* One disk from its first image to the last that is based on it; how many there were. */
static unsigned judge_chain(const char *dir, uint64_t *seed, const struct format *format)
{
	struct image_disk d = {};
	uint64_t size = random_size(seed);
	unsigned depth = 1 + (unsigned)below(seed, 9), judged = 0;

	snprintf(d.dir, sizeof(d.dir), "%s", dir);
	image_run("rm -rf %s", dir);
	ASSERT_EQ(mkdir(dir, 0700), 0);
	image_add_point(&d, MAX_SIZE);
	data_create_random(image_path(&d, 0, "raw"), size, data_random(seed),
			   (unsigned)below(seed, 12));
	for (unsigned i = 0; i < depth; i++) {
		bool based = i > 0 && below(seed, 8);

		if (i > 0) {
			image_add_point(&d, MAX_SIZE);
			change(&d, seed, format);
		}
		if (i == 0 && format == &format_qcow2 && below(seed, 2)) {
			image_is_raw(&d, i);
			continue;
		}
		ASSERT_OK(image_write(&d, i, format, random_grain(seed, format), based));
		judge(&d, i);
		judged++;
	}
	image_free(&d);
	return judged;
}

FIXTURE(images){};
FIXTURE_VARIANT(images)
{
	const struct format *format;
};
FIXTURE_VARIANT_ADD(images, qcow2){.format = &format_qcow2};
FIXTURE_VARIANT_ADD(images, vhdx){.format = &format_vhdx};
FIXTURE_SETUP(images)
{
}
FIXTURE_TEARDOWN(images)
{
}

TEST_F_TIMEOUT(images, are_what_the_disk_was, 3600)
{
	unsigned wanted = images_wanted(), judged = 0;
	uint64_t seed = test_seed();
	char dir[PATH_MAX];

	snprintf(dir, sizeof(dir), "%s/disk", test_dir());
	while (judged < wanted) {
		uint64_t of_chain = seed;

		test_log("chain from seed %llu", (unsigned long long)of_chain);
		judged += judge_chain(dir, &of_chain, variant->format);
		data_random(&seed);
	}
	test_log("%u images", judged);
}

TEST(an_empty_disk_is_one_too)
{
	struct image_disk d = {};

	snprintf(d.dir, sizeof(d.dir), "%s", test_dir());
	image_add_point(&d, 0);
	close(data_create(image_path(&d, 0, "raw"), 0));
	ASSERT_OK(image_write(&d, 0, &format_qcow2, 64 * KIB, false));
	judge(&d, 0);
	image_free(&d);
}

TEST_MAIN
