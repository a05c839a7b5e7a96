/* SPDX-License-Identifier: MIT */
/*
 * format_corpus_test.c - images from strangers without a fuzzer: seeds made by our own
 * writers, each read as it is and a thousand times spoilt
 *
 * "make fuzz" begins with the seeds, which are written to the folder $CORPUS.
 */
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>

#include "data.h"
#include "format_fuzz.h"
#include "harness.h"
#include "image_fixture.h"
#include "io/base.h"
#include "io/small_file.h"
#include "io/tree.h"

#define ROOM   (256 * KIB)
#define ROUNDS 1000

static void spoil(uint8_t *data, size_t *size, uint64_t *seed)
{
	static const uint8_t bytes[] = {0, 1, 2, 6, 7, 0x7f, 0x80, 0xff};

	for (unsigned n = 1 + data_random(seed) % 4; n > 0; n--) {
		size_t at = data_random(seed) % *size;

		switch (data_random(seed) % 5) {
		case 0:
			data[at] ^= (uint8_t)(1u << data_random(seed) % 8);
			break;
		case 1:
			data[at] = bytes[data_random(seed) % sizeof(bytes)];
			break;
		case 2:
			memset(data + at, 0xff, min_u64(8, *size - at));
			break;
		case 3:
			memmove(data + at, data + data_random(seed) % (at + 1),
				min_u64(8, *size - at));
			break;
		default:
			*size = max_u64(at, 1);
		}
	}
}

static void replay(const char *path, uint8_t flags, uint64_t *seed, const char *name)
{
	_cleanup_free_ uint8_t *data = malloc(ROOM), *spoilt = malloc(ROOM);
	const char *corpus = getenv("CORPUS");
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	size_t size;

	ASSERT_TRUE(data && spoilt && fd >= 0);
	size = fuzz_pack(fd, flags, data, ROOM);
	close(fd);
	ASSERT_GT(size, 0u, "%s", path);
	if (corpus) {
		int dir = io_dir_open(AT_FDCWD, corpus);

		ASSERT_GE(dir, 0, "%s", corpus);
		ASSERT_OK(io_write_new_file(dir, name, data, size));
		close(dir);
	}
	LLVMFuzzerTestOneInput(data, size);
	for (unsigned i = 0; i < ROUNDS; i++) {
		size_t len = size;

		memcpy(spoilt, data, size);
		spoil(spoilt, &len, seed);
		LLVMFuzzerTestOneInput(spoilt, len);
	}
}

/* A full image and one that is based on it, small enough to be spoilt quickly. */
static void replay_format(const struct format *format, uint8_t flags)
{
	struct image_disk d = {};
	uint64_t seed = test_seed();
	char name[32];
	int fd;

	snprintf(d.dir, sizeof(d.dir), "%s", test_dir());
	image_add_point(&d, 4 * MIB);
	fd = data_create(image_path(&d, 0, "raw"), 4 * MIB);
	ASSERT_OK(io_pwrite_all(fd, "one", 3, 0));
	ASSERT_OK(io_pwrite_all(fd, "two", 3, 3 * MIB));
	close(fd);
	ASSERT_OK(image_write(&d, 0, format, format->min_grain, false));
	image_add_point(&d, 4 * MIB);
	image_changed(&d, 0, 1);
	image_changed(&d, 2 * MIB, 2 * MIB + 1);
	ASSERT_OK(image_write(&d, 1, format, format->min_grain, true));
	for (unsigned i = 0; i < 2; i++) {
		snprintf(name, sizeof(name), "%s-%u", format->name, i);
		replay(image_path(&d, i, format->suffix), flags, &seed, name);
	}
	image_free(&d);
}

TEST(spoilt_qcow2)
{
	replay_format(&format_qcow2, 0);
}

TEST(spoilt_vhdx)
{
	replay_format(&format_vhdx, FUZZ_VHDX | FUZZ_SUMS);
}

TEST_MAIN
