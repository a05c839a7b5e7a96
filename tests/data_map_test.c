/* SPDX-License-Identifier: MIT */
/*
 * data_map_test.c - what is remembered of a file is where it has data, in whatever order
 * it is asked for, however many ranges there are; looking can be stopped, and what was
 * cut off meanwhile is not taken for a hole
 */
#include <fcntl.h>
#include <unistd.h>

#include "data.h"
#include "engine/data_map.h"
#include "harness.h"
#include "io/extent.h"
#include "stage.h"

#define SIZE   (64 * MIB + 777)
#define ASKED  2000
#define PIECES 4000

/* Data in whole blocks, so that nothing has to grow. */
static void make(const char *path, uint64_t seed)
{
	int fd = data_create(path, SIZE);

	for (unsigned i = 0; i < PIECES; i++) {
		uint64_t start = data_random(&seed) % SIZE / 4096 * 4096;

		data_write(fd, seed, start,
			   min_u64(4096 * (1 + data_random(&seed) % 3), SIZE - start));
	}
	ASSERT_OK(fsync(fd));
	close(fd);
}

static void expect_known(struct data_map *map, uint64_t pos)
{
	struct source_range range = {0};
	uint64_t start = 0, end = 0;
	int want = io_next_data(map->file->fd, pos, SIZE, &start, &end);

	ASSERT_EQ(map->source.next(&map->source, pos, &range), want, "at %lu", pos);
	EXPECT_EQ(range.start, start, "at %lu", pos);
	EXPECT_EQ(range.end, end, "at %lu", pos);
	EXPECT_EQ(range.at, start, "at %lu", pos);
	if (want == 0)
		EXPECT_EQ(range.file, map->file);
}

TEST(is_what_the_file_says)
{
	const char *path = fmt("%s/file", test_dir());
	uint64_t seed = test_seed(), pos = 0;
	struct data_map map = {0};
	struct source_range range;
	struct io_file file;
	struct watch w;

	make(path, seed);
	watch_init(&w, NULL, 0);
	ASSERT_OK(io_file_open_read(AT_FDCWD, path, &file));
	ASSERT_OK(data_map_make(&map, &file, path, -1, &w));
	EXPECT_EQ(map.source.size, SIZE);
	for (unsigned i = 0; i < ASKED; i++)
		expect_known(&map, data_random(&seed) % (SIZE + 4096));
	while (map.source.next(&map.source, pos, &range) == 0) {
		expect_known(&map, pos);
		pos = range.end;
	}
	EXPECT_GT(map.ranges.count, PIECES / 4);
	data_map_free(&map);
	io_file_close(&file);
}

static int stop(void *context, const struct rp_progress *p)
{
	(void)context;
	(void)p;
	return 1;
}

TEST(looking_can_be_stopped)
{
	const struct rp_watch user = {.size = sizeof(user), .progress = stop};
	const char *path = fmt("%s/file", test_dir());
	struct data_map map = {0};
	struct io_file file;
	struct watch w;

	make(path, test_seed());
	watch_init(&w, &user, 0);
	ASSERT_OK(io_file_open_read(AT_FDCWD, path, &file));
	EXPECT_EQ(data_map_make(&map, &file, path, -1, &w), -ECANCELED);
	data_map_free(&map);
	io_file_close(&file);
}

/* Else the image of a disk would have zeros there, and its digests too. */
TEST(what_is_cut_off_is_no_hole)
{
	const char *path = fmt("%s/file", test_dir());
	struct data_map map = {0};
	struct io_file file;
	struct watch w;

	make(path, test_seed());
	watch_init(&w, NULL, 0);
	ASSERT_OK(io_file_open_read(AT_FDCWD, path, &file));
	ASSERT_OK(truncate(path, SIZE / 2));
	EXPECT_EQ(data_map_make(&map, &file, path, -1, &w), -ENODATA);
	data_map_free(&map);
	io_file_close(&file);
}

TEST_MAIN
