/* SPDX-License-Identifier: MIT */
/*
 * digest_test.c - leaves, nodes and roots
 *
 * Known answers were made by another program (xxhsum -H2 over what digest.h says):
 * they hold the format of what exports keep.
 */
#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

#include "data.h"
#include "engine/digest.h"
#include "engine/watch.h"
#include "harness.h"
#include "stage.h"

static const uint8_t zero_leaf[DIGEST_SIZE];

FIXTURE(digest)
{
	struct digest d;
	uint8_t *chunk; /* one, of the pattern */
};

FIXTURE_VARIANT(digest)
{
	uint64_t size;	  /* of the disk */
	const char *root; /* with the pattern in chunks 0, 65535, 65536 and the last */
};

FIXTURE_VARIANT_ADD(digest, of_no_bytes){
	.size = 0,
	.root = "2c0a8a99dc147d5445c3b49d035665b2",
};
FIXTURE_VARIANT_ADD(digest, of_one_byte){
	.size = 1,
	.root = "95b8b6cc5ea1c5f51dc4fa5272e0e99d",
};
FIXTURE_VARIANT_ADD(digest, of_one_chunk){
	.size = DIGEST_CHUNK,
	.root = "32900a218f83bee346eb53278bce007b",
};
FIXTURE_VARIANT_ADD(digest, of_a_short_chunk_more){
	.size = 2 * DIGEST_CHUNK + 100,
	.root = "91431844858fd19a9eb676219a292fa8",
};
FIXTURE_VARIANT_ADD(digest, of_one_node){
	.size = 65536 * DIGEST_CHUNK,
	.root = "923db4d2707d57892cab86bdfc6d448c",
};
FIXTURE_VARIANT_ADD(digest, of_two_nodes){
	.size = 71680 * DIGEST_CHUNK + 5,
	.root = "e26adaa20dd06b3406e058c336c0b15f",
};

/* A file of leaves for a disk of @size bytes, all holes. */
static struct digest open_leaves(const char *name, uint64_t size)
{
	struct digest d = {.size = size};
	char path[4096];

	snprintf(path, sizeof(path), "%s/%s", test_dir(), name);
	d.fd = data_create(path, digest_file_size(size));
	return d;
}

static void fill_pattern(uint8_t *bytes, size_t len)
{
	for (size_t i = 0; i < len; i++)
		bytes[i] = (uint8_t)(i * 7 ^ i >> 8 ^ i >> 16);
}

FIXTURE_SETUP(digest)
{
	self->d = open_leaves("leaves", variant->size);
	self->chunk = malloc(DIGEST_CHUNK);
	ASSERT_NE(self->chunk, NULL);
	fill_pattern(self->chunk, DIGEST_CHUNK);
}

FIXTURE_TEARDOWN(digest)
{
	close(self->d.fd);
	free(self->chunk);
}

static void expect_text(const uint8_t digest[DIGEST_SIZE], const char *expected)
{
	char text[DIGEST_TEXT_SIZE];

	digest_text(digest, text);
	EXPECT_STREQ(text, expected);
}

static void expect_leaf(const void *chunk, size_t len, const char *expected)
{
	uint8_t leaf[DIGEST_SIZE];

	digest_leaf(chunk, len, leaf);
	expect_text(leaf, expected);
}

static void expect_root(const struct digest *d, const char *expected)
{
	uint8_t root[DIGEST_SIZE];

	ASSERT_OK(digest_root(d, NULL, root));
	expect_text(root, expected);
}

/* Puts the leaf of the first @len bytes of the pattern. */
static void put_pattern(struct digest_fixture *self, uint64_t index, size_t len)
{
	uint8_t leaf[DIGEST_SIZE];

	digest_leaf(self->chunk, len, leaf);
	ASSERT_OK(digest_put(&self->d, index, leaf, 1));
}

/* -------------------------------------------------------------- the simple way */

static void simple_hash(const void *bytes, size_t len, uint8_t ret[DIGEST_SIZE])
{
	XXH128_hash_t hash = XXH3_128bits(bytes, len);

	for (unsigned i = 0; i < 8; i++) {
		ret[i] = (uint8_t)(hash.high64 >> (56 - 8 * i));
		ret[8 + i] = (uint8_t)(hash.low64 >> (56 - 8 * i));
	}
}

static bool all_zero(const uint8_t *bytes, size_t len)
{
	while (len && !bytes[len - 1])
		len--;
	return len == 0;
}

static void simple_leaf(const uint8_t *bytes, size_t len, uint8_t ret[DIGEST_SIZE])
{
	if (all_zero(bytes, len))
		memset(ret, 0, DIGEST_SIZE);
	else
		simple_hash(bytes, len, ret);
}

/* The root from all leaves in memory; no notion of holes. */
static void simple_root(const struct digest *d, uint8_t ret[DIGEST_SIZE])
{
	size_t len = digest_file_size(d->size), count = 0;
	_cleanup_free_ uint8_t *leaves = malloc(len + 1);
	_cleanup_free_ uint8_t *nodes = malloc(len / 65536 + DIGEST_SIZE + 8);

	ASSERT_TRUE(leaves && nodes);
	ASSERT_EQ(pread(d->fd, leaves, len, 0), len);
	for (size_t at = 0; at < len; at += 65536 * 16) {
		size_t part = len - at < 65536 * 16 ? len - at : 65536 * 16;

		simple_leaf(leaves + at, part, nodes + 16 * count++);
	}
	for (unsigned i = 0; i < 8; i++)
		nodes[16 * count + i] = (uint8_t)(d->size >> (8 * i));
	simple_hash(nodes, 16 * count + 8, ret);
}

static void expect_simple_root(const struct digest *d)
{
	uint8_t root[DIGEST_SIZE], simple[DIGEST_SIZE];
	char text[DIGEST_TEXT_SIZE];

	simple_root(d, simple);
	digest_text(simple, text);
	ASSERT_OK(digest_root(d, NULL, root));
	expect_text(root, text);
}

/* ----------------------------------------------------------------- known answers */

TEST(the_text_is_all_digits_first_byte_first)
{
	static const uint8_t digest[DIGEST_SIZE] = {
		0, 0x01, 0x10, 0x0f, 0xff, 0x80, 0x7f, 0xa5, 0, 0, 0, 0, 0, 0, 0, 0xfe};

	expect_text(zero_leaf, "00000000000000000000000000000000");
	expect_text(digest, "0001100fff807fa500000000000000fe");
}

TEST(leaves_are_as_they_always_were)
{
	_cleanup_free_ uint8_t *chunk = malloc(DIGEST_CHUNK);

	ASSERT_NE(chunk, NULL);
	fill_pattern(chunk, DIGEST_CHUNK);
	expect_leaf(chunk, DIGEST_CHUNK, "c0a8a654c900732716b3ef9d754faf7d");
	expect_leaf(chunk, 100, "858be3b5082c7eb73dc31a0ba04530cd");
	expect_leaf(chunk, 5, "f72d100531dfb71357c3cf21d8799995");
	expect_leaf("\1", 1, "51025a4491835505e12ef9d2eb86ceeb");
	memset(chunk, 0, 4096);
	chunk[4095] = 1;
	expect_leaf(chunk, 4096, "cf10dcb9be08dc28ae1b0b159552488e");
}

TEST_F(digest, roots_are_as_they_always_were)
{
	uint64_t count = digest_chunk_count(variant->size);
	const uint64_t at[] = {0, 65535, 65536, count - 1};

	for (size_t i = 0; i < ARRAY_SIZE(at); i++) {
		if (at[i] < count)
			put_pattern(self, at[i],
				    min_u64(DIGEST_CHUNK,
					    variant->size - at[i] * DIGEST_CHUNK));
	}
	expect_root(&self->d, variant->root);
}

/* The size of the second needs 7 bytes; it has 1048577 nodes. */
TEST(the_roots_of_zeros_are_as_they_always_were)
{
	struct digest small = open_leaves("small", 3 * DIGEST_CHUNK);
	struct digest large = open_leaves("large", (UINT64_C(1) << 52) + 1);

	expect_root(&small, "3db3f388cd22aab5f0769c17773c5ae7");
	expect_root(&large, "89bc3e957b83519447fc35d0be9805d5");
	close(small.fd);
	close(large.fd);
}

/* ------------------------------------------------------------------------ leaves */

TEST(only_zeros_have_the_leaf_zero)
{
	static const size_t lens[] = {
		1, 2, 7, 8, 9, 4095, 4096, 4097, DIGEST_CHUNK - 1, DIGEST_CHUNK};
	_cleanup_free_ uint8_t *chunk = calloc(1, DIGEST_CHUNK);
	uint8_t leaf[DIGEST_SIZE];

	ASSERT_NE(chunk, NULL);
	for (size_t i = 0; i < ARRAY_SIZE(lens); i++) {
		const size_t at[] = {0, lens[i] / 2, lens[i] - 1};

		digest_leaf(chunk, lens[i], leaf);
		EXPECT_EQ(memcmp(leaf, zero_leaf, DIGEST_SIZE), 0, "%zu zeros", lens[i]);
		for (size_t j = 0; j < ARRAY_SIZE(at); j++) {
			chunk[at[j]] = 0x40;
			digest_leaf(chunk, lens[i], leaf);
			EXPECT_NE(memcmp(leaf, zero_leaf, DIGEST_SIZE), 0,
				  "%zu bytes, not 0 at %zu", lens[i], at[j]);
			chunk[at[j]] = 0;
		}
		/* Equal neighbours alone are not zeros. */
		memset(chunk, 0xff, lens[i]);
		digest_leaf(chunk, lens[i], leaf);
		EXPECT_NE(memcmp(leaf, zero_leaf, DIGEST_SIZE), 0, "%zu ones", lens[i]);
		memset(chunk, 0, lens[i]);
	}
}

TEST(leaves_are_those_of_the_simple_way)
{
	uint64_t state = test_seed();
	_cleanup_free_ uint8_t *chunk = malloc(DIGEST_CHUNK);
	uint8_t leaf[DIGEST_SIZE], simple[DIGEST_SIZE];

	ASSERT_NE(chunk, NULL);
	data_bytes(state, 0, chunk, DIGEST_CHUNK);
	for (unsigned i = 0; i < 200; i++) {
		size_t len = 1 + data_random(&state) % (i % 2 ? 700 : DIGEST_CHUNK);

		digest_leaf(chunk, len, leaf);
		simple_leaf(chunk, len, simple);
		ASSERT_EQ(memcmp(leaf, simple, DIGEST_SIZE), 0, "%zu bytes", len);
	}
}

TEST(sizes_are_those_of_whole_chunks)
{
	EXPECT_EQ(digest_chunk_count(0), 0);
	EXPECT_EQ(digest_chunk_count(1), 1);
	EXPECT_EQ(digest_chunk_count(DIGEST_CHUNK), 1);
	EXPECT_EQ(digest_chunk_count(DIGEST_CHUNK + 1), 2);
	EXPECT_EQ(digest_chunk_count(INT64_MAX), UINT64_C(1) << 47);
	EXPECT_EQ(digest_file_size(0), 0);
	EXPECT_EQ(digest_file_size(1), 16);
	EXPECT_EQ(digest_file_size(71680 * DIGEST_CHUNK + 5), 71681 * 16);
	EXPECT_EQ(digest_file_size(INT64_MAX), UINT64_C(1) << 51);
}

TEST_F(digest, leaves_lie_where_the_format_says)
{
	uint64_t count = digest_chunk_count(variant->size);
	uint8_t leaf[DIGEST_SIZE], got[DIGEST_SIZE];

	digest_leaf(self->chunk, 100, leaf);
	for (uint64_t i = 0; i < count; i += count / 2 + 1) {
		ASSERT_OK(digest_put(&self->d, i, leaf, 1));
		ASSERT_EQ(pread(self->d.fd, got, DIGEST_SIZE, (off_t)(i * 16)), 16);
		expect_text(got, "858be3b5082c7eb73dc31a0ba04530cd");
		memset(got, 0xaa, sizeof(got));
		ASSERT_OK(digest_get(&self->d, i, got, 1));
		EXPECT_EQ(memcmp(got, leaf, DIGEST_SIZE), 0);
	}
	EXPECT_EQ(digest_get(&self->d, count, got, 1), -ENODATA, "there are no more");
}

TEST(zero_leaves_take_no_space)
{
	struct digest d = open_leaves("zeros", 65536 * DIGEST_CHUNK);
	struct stat st;

	for (uint64_t i = 0; i < 65536; i += 100)
		ASSERT_OK(digest_put(&d, i, zero_leaf, 1));
	ASSERT_EQ(fsync(d.fd), 0);
	ASSERT_EQ(fstat(d.fd, &st), 0);
	EXPECT_EQ(st.st_blocks, 0);
	EXPECT_EQ(st.st_size, 65536 * 16);
	close(d.fd);
}

TEST(a_file_that_cannot_be_written_or_read_is_an_error)
{
	struct digest d = open_leaves("leaves", 4 * DIGEST_CHUNK);
	uint8_t leaf[DIGEST_SIZE] = {1};
	uint64_t index;

	close(d.fd);
	d.fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	ASSERT_GE(d.fd, 0);
	EXPECT_EQ(digest_put(&d, 0, leaf, 1), -EBADF);
	close(d.fd);
	d.fd = -1;
	EXPECT_EQ(digest_get(&d, 0, leaf, 1), -EBADF);
	EXPECT_EQ(digest_next(&d, 0, &index), -EBADF);
	EXPECT_EQ(digest_root(&d, NULL, leaf), -EBADF);
}

/* ------------------------------------------------------------------------- roots */

TEST_F(digest, the_root_is_that_of_the_simple_way)
{
	uint64_t state = test_seed(), count = digest_chunk_count(variant->size);
	uint8_t leaf[DIGEST_SIZE];

	expect_simple_root(&self->d); /* all holes */
	for (unsigned i = 0; i < 5 && count; i++) {
		data_bytes(data_random(&state), 0, leaf, DIGEST_SIZE);
		ASSERT_OK(digest_put(&self->d, data_random(&state) % count, leaf, 1));
		expect_simple_root(&self->d);
	}
	for (uint64_t i = 0; i < count; i++) {
		data_bytes(state + i, 0, leaf, DIGEST_SIZE);
		ASSERT_OK(digest_put(&self->d, i, leaf, 1));
	}
	expect_simple_root(&self->d);
}

TEST_F(digest, the_root_depends_on_every_bit_of_leaves_and_size)
{
	uint64_t count = digest_chunk_count(variant->size);
	const uint64_t at[] = {0, count / 2, count - 1};
	uint8_t leaf[DIGEST_SIZE] = {0}, root[DIGEST_SIZE], other[DIGEST_SIZE];

	ASSERT_OK(digest_root(&self->d, NULL, root));
	self->d.size++;
	ASSERT_EQ(ftruncate(self->d.fd, (off_t)digest_file_size(self->d.size)), 0);
	ASSERT_OK(digest_root(&self->d, NULL, other));
	EXPECT_NE(memcmp(root, other, DIGEST_SIZE), 0, "a byte more, all zeros");
	memcpy(root, other, DIGEST_SIZE);
	for (size_t i = 0; i < ARRAY_SIZE(at) && count; i++) {
		leaf[i] = 1;
		ASSERT_OK(digest_put(&self->d, at[i], leaf, 1));
		ASSERT_OK(digest_root(&self->d, NULL, other));
		EXPECT_NE(memcmp(root, other, DIGEST_SIZE), 0, "leaf %zu", i);
		memcpy(root, other, DIGEST_SIZE);
	}
}

TEST_F(digest, zeros_that_are_data_have_the_root_of_holes)
{
	uint64_t size = digest_file_size(variant->size);
	uint8_t holes[DIGEST_SIZE], zeros[DIGEST_SIZE];

	ASSERT_OK(digest_root(&self->d, NULL, holes));
	for (uint64_t at = 0; at < size; at += DIGEST_SIZE)
		ASSERT_EQ(pwrite(self->d.fd, zero_leaf, DIGEST_SIZE, (off_t)at),
			  DIGEST_SIZE);
	ASSERT_EQ(fsync(self->d.fd), 0);
	ASSERT_OK(digest_root(&self->d, NULL, zeros));
	EXPECT_EQ(memcmp(holes, zeros, DIGEST_SIZE), 0);
}

/* An exbibyte has four gibibytes of nodes. */
TEST(the_root_of_the_largest_disks_takes_no_memory)
{
	struct digest d = {.fd = memfd_create("leaves", MFD_CLOEXEC),
			   .size = UINT64_C(1) << 60};
	uint8_t leaf[DIGEST_SIZE] = {1}, root[DIGEST_SIZE];
	struct rusage before, after;

	ASSERT_GE(d.fd, 0);
	ASSERT_OK(ftruncate(d.fd, (off_t)digest_file_size(d.size)));
	ASSERT_OK(digest_put(&d, digest_chunk_count(d.size) - 1, leaf, 1));
	ASSERT_OK(getrusage(RUSAGE_SELF, &before));
	ASSERT_OK(digest_root(&d, NULL, root));
	ASSERT_OK(getrusage(RUSAGE_SELF, &after));
	EXPECT_LT(after.ru_maxrss - before.ru_maxrss, 65536, "KiB");
	close(d.fd);
}

TEST(a_file_that_is_too_short_is_an_error)
{
	static const uint64_t counts[] = {1, 2, 65536, 65537};
	uint8_t leaf[DIGEST_SIZE] = {1};

	for (size_t i = 0; i < ARRAY_SIZE(counts); i++) {
		char name[32];
		struct digest d;

		snprintf(name, sizeof(name), "leaves%zu", i);
		d = open_leaves(name, counts[i] * DIGEST_CHUNK);
		ASSERT_OK(digest_put(&d, counts[i] - 1, leaf, 1));
		ASSERT_EQ(ftruncate(d.fd, (off_t)(counts[i] * DIGEST_SIZE - 1)), 0);
		EXPECT_EQ(digest_root(&d, NULL, leaf), -ENODATA, "%zu", i);
		close(d.fd);
	}
}

/* ------------------------------------------------------------------ digest_next() */

/* All that digest_next() finds, against a list; from every place and in between. */
static void expect_found(const struct digest *d, const uint64_t *expected, size_t count)
{
	uint64_t index = 0;
	size_t i = 0;
	int r;

	while ((r = digest_next(d, index, &index)) == 0) {
		ASSERT_LT(i, count, "one more: %llu", (unsigned long long)index);
		EXPECT_EQ(index, expected[i]);
		i++;
		index++;
	}
	EXPECT_EQ(r, -ENXIO);
	EXPECT_EQ(i, count);
}

static void put_leaf(const struct digest *d, uint64_t index)
{
	uint8_t leaf[DIGEST_SIZE] = {[DIGEST_SIZE - 1] = 1};

	ASSERT_OK(digest_put(d, index, leaf, 1));
}

TEST_F(digest, next_finds_what_is_not_zero)
{
	uint64_t index = 42, count = digest_chunk_count(variant->size);

	expect_found(&self->d, NULL, 0);
	if (count) {
		put_leaf(&self->d, count - 1);
		expect_found(&self->d, &(uint64_t){count - 1}, 1);
		EXPECT_EQ(digest_next(&self->d, count, &index), -ENXIO, "behind it");
	}
	EXPECT_EQ(index, 42, "untouched on failure");
	if (count >= 70000) {
		const uint64_t found[] = {0, 1, 300, 65535, 65536, 69999, count - 1};

		for (size_t i = 0; i < ARRAY_SIZE(found); i++)
			put_leaf(&self->d, found[i]);
		expect_found(&self->d, found, ARRAY_SIZE(found));
		ASSERT_OK(digest_next(&self->d, 2, &index));
		EXPECT_EQ(index, 300);
	}
}

TEST(next_is_right_at_random)
{
	uint64_t state = test_seed(), expected[2000];
	struct digest d = open_leaves("leaves", 20000 * DIGEST_CHUNK + 1);

	for (unsigned round = 0; round < 20; round++) {
		size_t count = 0;

		ASSERT_EQ(ftruncate(d.fd, 0), 0);
		ASSERT_EQ(ftruncate(d.fd, 20001 * 16), 0);
		for (uint64_t i = data_random(&state) % 50; i <= 20000;) {
			put_leaf(&d, i);
			expected[count++] = i;
			ASSERT_LT(count, ARRAY_SIZE(expected));
			i += 1 + data_random(&state) % (round % 2 ? 3000 : 100);
			if (data_random(&state) % 3 == 0) /* in a row */
				i = expected[count - 1] + 1;
		}
		expect_found(&d, expected, count);
	}
	close(d.fd);
}

/* Into one that has nothing there; all else stays, and holes stay holes. */
TEST(leaves_are_copied_at_random)
{
	const uint64_t size = 20000 * DIGEST_CHUNK + 1;
	struct digest from = open_leaves("from", size), to = open_leaves("to", size);
	uint64_t state = test_seed();

	for (uint64_t i = 0; i <= 20000; i += 1 + data_random(&state) % 30)
		put_leaf(&from, i);
	ASSERT_OK(fallocate(from.fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 40960,
			    98304));
	for (unsigned round = 0; round < 20; round++) {
		uint64_t first = round ? data_random(&state) % 20000 : 0;
		uint64_t end = round ? first + data_random(&state) % (20002 - first)
				     : 20001;

		ASSERT_EQ(ftruncate(to.fd, 0), 0);
		ASSERT_EQ(ftruncate(to.fd, 20001 * 16), 0);
		ASSERT_OK(digest_copy(&from, &to, first, end, NULL));
		for (uint64_t i = 0; i <= 20000; i++) {
			uint8_t want[DIGEST_SIZE] = {0}, have[DIGEST_SIZE];

			if (i >= first && i < end)
				ASSERT_OK(digest_get(&from, i, want, 1));
			ASSERT_OK(digest_get(&to, i, have, 1));
			ASSERT_EQ(memcmp(have, want, DIGEST_SIZE), 0, "%llu of %llu-%llu",
				  (unsigned long long)i, (unsigned long long)first,
				  (unsigned long long)end);
		}
		if (!round)
			EXPECT_TRUE(data_same_holes(fmt("%s/from", test_dir()),
						    fmt("%s/to", test_dir())));
	}
	close(from.fd);
	EXPECT_EQ(digest_copy(&from, &to, 0, 1, NULL), -EBADF);
	close(to.fd);
}

TEST(who_watches_may_stop_it)
{
	const struct rp_watch user = cancel_in("planning"); /* as all begin */
	const uint64_t count = 3 * 65536, size = count * DIGEST_CHUNK;
	struct digest from = open_leaves("from", size), to = open_leaves("to", size);
	uint8_t root[DIGEST_SIZE];
	struct watch w;

	put_leaf(&from, 0);
	put_leaf(&from, count - 1);
	watch_init(&w, &user, 0);
	EXPECT_EQ(digest_root(&from, &w, root), -ECANCELED);
	EXPECT_EQ(digest_copy(&from, &to, 0, count, &w), -ECANCELED);
	watch_init(&w, NULL, 1);
	usleep(2000);
	EXPECT_EQ(digest_root(&from, &w, root), -ETIME);
	EXPECT_EQ(digest_copy(&from, &to, 0, count, &w), -ETIME);
	close(from.fd);
	close(to.fd);
}

TEST(the_first_that_differs_is_found)
{
	static const uint64_t places[] = {0, 5, 63, 64, 300, 65535, 65536, 70000};
	const uint64_t size = 70000 * DIGEST_CHUNK + 1;
	struct digest a = open_leaves("a", size), b = open_leaves("b", size);
	uint64_t index = 42;

	EXPECT_EQ(digest_compare(&a, &b, &index), -ENXIO, "all are zero");
	for (size_t i = ARRAY_SIZE(places); i-- > 0;) {
		put_leaf(&b, places[i]);
		ASSERT_OK(digest_compare(&a, &b, &index));
		EXPECT_EQ(index, places[i], "only the second has it");
		ASSERT_OK(digest_compare(&b, &a, &index));
		EXPECT_EQ(index, places[i], "only the first has it");
		if (i % 2) /* the next one is before one that differs */
			put_leaf(&a, places[i]);
	}
	for (size_t i = 0; i < ARRAY_SIZE(places); i++)
		put_leaf(&a, places[i]);
	EXPECT_EQ(digest_compare(&a, &b, &index), -ENXIO, "they are the same");
	/* The last bit of the last one. */
	ASSERT_OK(
		digest_put(&a, 70000, (uint8_t[DIGEST_SIZE]){[DIGEST_SIZE - 1] = 3}, 1));
	ASSERT_OK(digest_compare(&a, &b, &index));
	EXPECT_EQ(index, 70000);
	close(a.fd);
	EXPECT_LT(digest_compare(&a, &b, &index), 0);
	close(b.fd);
}

TEST_MAIN
