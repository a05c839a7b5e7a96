/* SPDX-License-Identifier: MIT */
/*
 * change_test.c - the hazards of extent maps, one by one, on real file systems: what is
 * listed as changed between two files, from which evidence, and how much too much
 */
#include <fcntl.h>
#include <linux/fiemap.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/resource.h>

#include "badfs.h"
#include "change_fixture.h"
#include "data.h"
#include "harness.h"
#include "io/extent.h"

CHANGE_FIXTURE

TEST_F(change, nothing_changed)
{
	int fd = filled(PATH("disk"), MIB + 100, ZSTD);

	clone_to(fd, PATH("a"));
	clone_to(fd, PATH("b"));
	EXPECT_CHANGES(PATH("a"), PATH("b"), "");
	close(fd);
}

TEST_F(change, a_block_and_a_byte)
{
	int fd = filled(PATH("disk"), MIB, false);

	clone_to(fd, PATH("a"));
	write_at(fd, 2, 16 * BLOCK, BLOCK);
	write_at(fd, 2, 32 * BLOCK + 77, 1);
	clone_to(fd, PATH("b"));
	EXPECT_CHANGES(PATH("a"), PATH("b"), "data 65536+4096 data 131072+4096");
	close(fd);
}

/* H1: pieces of one compressed extent have the same address and different data. */
TEST_F(change, H1_compressed_extents_alias)
{
	struct fiemap *maps[2];
	int fd, half[2];

	if (!ZSTD)
		SKIP("nothing is compressed here");
	fd = filled(PATH("disk"), 32 * BLOCK, true);
	for (unsigned i = 0; i < 2; i++) {
		half[i] = new_file(fmt("%s/half%u", self->fs.mnt, i));
		clone_range(fd, i * 16 * BLOCK, 16 * BLOCK, half[i], 0);
		maps[i] = calloc(1, sizeof(*maps[i]) + sizeof(maps[i]->fm_extents[0]));
		maps[i]->fm_length = FIEMAP_MAX_OFFSET;
		maps[i]->fm_flags = FIEMAP_FLAG_SYNC;
		maps[i]->fm_extent_count = 1;
		ASSERT_EQ(ioctl(half[i], FS_IOC_FIEMAP, maps[i]), 0);
	}
	/* The trap is there: only the offset in the extent differs, and is not told. */
	EXPECT_TRUE(maps[0]->fm_extents[0].fe_flags & FIEMAP_EXTENT_ENCODED);
	EXPECT_EQ(maps[0]->fm_extents[0].fe_physical, maps[1]->fm_extents[0].fe_physical);
	EXPECT_CHANGES(PATH("half0"), PATH("half1"), "data 0+65536");
	for (unsigned i = 0; i < 2; i++) {
		free(maps[i]);
		close(half[i]);
	}
	close(fd);
}

/* H2: what lies in the inode has the address 0. */
TEST_F(change, H2_inline_data_has_no_address)
{
	unsigned in_line;
	int a, b;

	BTRFS_ONLY();
	a = new_file(PATH("a"));
	b = new_file(PATH("b"));
	ASSERT_EQ(write(a, "some of one", 11), 11);
	ASSERT_EQ(write(b, "some of two", 11), 11);
	fsync(a);
	fsync(b);
	count_extents(PATH("a"), true, FIEMAP_EXTENT_DATA_INLINE, &in_line);
	EXPECT_EQ(in_line, 1);
	EXPECT_CHANGES(PATH("a"), PATH("b"), "data 0+11");
	EXPECT_CHANGES(PATH("a"), PATH("a"), "");
	close(a);
	close(b);
}

/* H3: reserved space reads as zeros wherever it is; and what is not on the device yet
 * has no address. */
TEST_F(change, H3_unwritten_and_not_yet_written)
{
	int fd = new_file(PATH("disk"));

	ASSERT_EQ(ftruncate(fd, MIB), 0);
	ASSERT_EQ(fallocate(fd, 0, 0, 64 * BLOCK), 0);
	clone_to(fd, PATH("a"));
	write_at(fd, 1, 0, 8 * BLOCK);
	clone_to(fd, PATH("b"));
	EXPECT_CHANGES(PATH("a"), PATH("b"), "data 0+32768");
	EXPECT_CHANGES(PATH("b"), PATH("a"), "zero 0+32768");
	/* Dirty pages over shared blocks, of a file that is no clone. */
	data_write(fd, 2, BLOCK, BLOCK);
	EXPECT_STREQ(changes(PATH("b"), PATH("disk"), &change_extents, NULL),
		     "data 4096+4096");
	if (ON_BTRFS) {
		data_write(fd, 3, 3 * BLOCK, BLOCK);
		EXPECT_STREQ(changes(PATH("b"), PATH("disk"), &change_tree, NULL),
			     "data 4096+4096 data 12288+4096");
	}
	close(fd);
}

/* H4: a map comes in pieces. */
TEST_F(change, H4_maps_of_many_batches)
{
	int fd = new_file(PATH("disk"));
	uint64_t bytes;

	ASSERT_EQ(ftruncate(fd, 64 * MIB), 0);
	for (uint64_t i = 0; i < 3000; i++)
		data_write(fd, i, i * 2 * BLOCK, BLOCK);
	fsync(fd);
	clone_to(fd, PATH("a"));
	for (uint64_t i = 0; i < 3000; i += 3)
		data_write(fd, i + 1, i * 2 * BLOCK, BLOCK);
	fsync(fd);
	clone_to(fd, PATH("b"));
	EXPECT_GT(count_extents(PATH("b"), true, 0, &(unsigned){0}), 2 * 512);
	changes(PATH("a"), PATH("b"), &change_extents, &bytes);
	EXPECT_EQ(bytes, 1000 * BLOCK);
	if (ON_BTRFS)
		changes(PATH("a"), PATH("b"), &change_tree, &bytes);
	EXPECT_EQ(bytes, 1000 * BLOCK);
	close(fd);
}

static const char *map_text(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	const char *text = "";
	struct io_map *map;
	struct io_extent e;

	ASSERT_OK(io_map_open_fiemap(&map, fd, 64 * BLOCK));
	while (io_map_next(map, &e) == 0)
		text = fmt("%s %llu-%llu:%u@%llx", text, (unsigned long long)e.start,
			   (unsigned long long)e.end, e.kind, (unsigned long long)e.at);
	io_map_close(map);
	close(fd);
	return text;
}

/* H7: SHARED comes and goes with other files, and how records are cut with it. */
TEST_F(change, H7_shared_is_no_sign)
{
	int fd = filled(PATH("disk"), 64 * BLOCK, false), other = new_file(PATH("other"));
	const char *before;

	clone_range(fd, 16 * BLOCK, 8 * BLOCK, other, 0);
	before = map_text(PATH("disk"));
	close(other);
	unlink(PATH("other"));
	EXPECT_STREQ(map_text(PATH("disk")), before);
	close(fd);
}

/* H8: an address on the realtime device means another block. */
TEST_F(change, H8_realtime_files_are_compared)
{
	int fd = filled(PATH("a"), MIB, false);
	struct pair x;

	pair_open(&x, PATH("a"), PATH("a"));
	x.p.base_fs.realtime = true;
	ASSERT_EQ(change_compare(&x.p, &x.ranges, &x.source, &x.err), RP_OK);
	if (!ON_BTRFS) {
		EXPECT_STREQ(x.source, "content");
		EXPECT_STREQ(x.p.reason, "XFS realtime file: contents compared");
	}
	pair_close(&x);
	close(fd);
}

/* H16: a copy that the kernel made by sharing blocks is the same data. */
TEST_F(change, H16_copies_that_share)
{
	int fd = filled(PATH("a"), MIB, false), copy = new_file(PATH("b"));

	ASSERT_EQ(copy_file_range(fd, &(off_t){0}, copy, &(off_t){0}, MIB, 0), MIB);
	write_at(copy, 2, 4 * BLOCK, BLOCK);
	EXPECT_STREQ(changes(PATH("a"), PATH("b"), &change_content, NULL),
		     "data 16384+4096");
	EXPECT_STREQ(changes(PATH("a"), PATH("b"), NULL, NULL), "data 16384+4096");
	close(copy);
	close(fd);
}

/* H17: the block that the end of a file lies in has changed when the end has. */
TEST_F(change, H17_the_block_at_the_end)
{
	int fd = filled(PATH("disk"), 16 * BLOCK + 100, false);

	clone_to(fd, PATH("a"));
	ASSERT_EQ(ftruncate(fd, 32 * BLOCK), 0);
	clone_to(fd, PATH("grown"));
	ASSERT_EQ(ftruncate(fd, 8 * BLOCK + 10), 0);
	clone_to(fd, PATH("cut"));
	ASSERT_EQ(ftruncate(fd, 32 * BLOCK), 0);
	write_at(fd, 3, 20 * BLOCK, BLOCK);
	clone_to(fd, PATH("again"));
	EXPECT_CHANGES(PATH("a"), PATH("grown"), "data 65536+4096");
	EXPECT_CHANGES(PATH("cut"), PATH("again"), "data 32768+4096 data 81920+4096");
	EXPECT_STREQ(changes(PATH("a"), PATH("cut"), NULL, NULL), "data 32768+10");
	EXPECT_STREQ(changes(PATH("a"), PATH("cut"), &change_content, NULL),
		     "data 32768+10");
	close(fd);
}

/* H18: a clone that lost its end without an error is found. */
TEST_F(change, H18_a_clone_without_its_end)
{
	int fd = filled(PATH("disk"), MIB, false), whole, part = new_file(PATH("part"));

	clone_to(fd, PATH("whole"));
	whole = open(PATH("whole"), O_RDONLY | O_CLOEXEC);
	clone_range(fd, 0, MIB / 2, part, 0);
	ASSERT_EQ(ftruncate(part, MIB), 0);
	EXPECT_OK(io_same_ranges(fd, whole, MIB));
	EXPECT_EQ(io_same_ranges(fd, part, MIB), -EIO);
	EXPECT_CHANGES(PATH("whole"), PATH("part"), "zero 524288+524288");
	close(whole);
	close(part);
	close(fd);
}

/* H19: without copy-on-write blocks are written in place, but never while they are
 * shared. */
TEST_F(change, H19_nocow)
{
	int fd, a, b, flags = FS_NOCOW_FL;

	BTRFS_ONLY();
	fd = new_file(PATH("disk"));
	ASSERT_EQ(ioctl(fd, FS_IOC_SETFLAGS, &flags), 0);
	data_write(fd, 1, 0, MIB);
	fsync(fd);
	a = new_file(PATH("a"));
	b = new_file(PATH("b"));
	ASSERT_EQ(ioctl(a, FS_IOC_SETFLAGS, &flags), 0);
	ASSERT_EQ(ioctl(b, FS_IOC_SETFLAGS, &flags), 0);
	ASSERT_EQ(ioctl(a, FICLONE, fd), 0);
	write_at(fd, 2, 8 * BLOCK, BLOCK);
	write_at(fd, 3, 8 * BLOCK, BLOCK);
	ASSERT_EQ(ioctl(b, FICLONE, fd), 0);
	EXPECT_CHANGES(PATH("a"), PATH("b"), "data 32768+4096");
	close(a);
	close(b);
	close(fd);
}

/* H28: who has the base must learn what reads as zeros now. */
TEST_F(change, H28_holes_made_since)
{
	int fd = filled(PATH("disk"), MIB, false);

	clone_to(fd, PATH("a"));
	punch(fd, 8 * BLOCK, 8 * BLOCK);
	punch(fd, 32 * BLOCK + 10,
	      2 * BLOCK); /* odd: one block, and two that have data */
	ASSERT_EQ(fallocate(fd, FALLOC_FL_ZERO_RANGE, 64 * BLOCK, 4 * BLOCK), 0);
	fsync(fd);
	clone_to(fd, PATH("b"));
	EXPECT_CHANGES(PATH("a"), PATH("b"),
		       "zero 32768+32768 data 131072+4096 zero 135168+4096 "
		       "data 139264+4096 zero 262144+16384");
	close(fd);
}

/* --------------------------------------------------------------------- the rest */

TEST_F(change, the_best_evidence_is_taken)
{
	int fd = filled(PATH("disk"), MIB, false);
	struct pair x;

	clone_to(fd, PATH("a"));
	pair_open(&x, PATH("disk"), PATH("a"));
	ASSERT_EQ(change_compare(&x.p, &x.ranges, &x.source, &x.err), RP_OK);
	EXPECT_STREQ(x.source, ON_BTRFS ? "tree" : "extents");
	EXPECT_STREQ(x.p.reason,
		     ON_BTRFS ? "same Btrfs file system, extents from its trees"
			      : "same XFS file system, extent maps");
	pair_close(&x);

	pair_open(&x, PATH("disk"), PATH("a"));
	x.p.copied = true;
	ASSERT_EQ(change_compare(&x.p, &x.ranges, &x.source, &x.err), RP_OK);
	EXPECT_STREQ(x.source, "content");
	EXPECT_STREQ(x.p.reason, "a point was copied, not cloned: contents compared");
	pair_close(&x);

	pair_open(&x, PATH("disk"), PATH("a"));
	x.p.base_fs.id[0] ^= 1;
	ASSERT_EQ(change_compare(&x.p, &x.ranges, &x.source, &x.err), RP_OK);
	EXPECT_STREQ(x.source, "content");
	EXPECT_STREQ(x.p.reason, "base on another file system: contents compared");
	pair_close(&x);
	close(fd);
}

/* Who is not root reads Btrfs by FIEMAP, and compares where that says nothing. */
TEST_F(change, without_the_rights_of_root)
{
	struct pair x;
	int fd;

	BTRFS_ONLY();
	fd = filled(PATH("disk"), MIB, ZSTD);
	clone_to(fd, PATH("a"));
	write_at(fd, 2, 8 * BLOCK, BLOCK);
	pair_open(&x, PATH("a"), PATH("disk"));
	ASSERT_EQ(seteuid(65534), 0);
	EXPECT_EQ(change_compare(&x.p, &x.ranges, &x.source, &x.err), RP_OK, "%s",
		  x.err.message);
	ASSERT_EQ(seteuid(0), 0);
	EXPECT_STREQ(x.source, "extents");
	EXPECT_STREQ(
		x.p.reason,
		fmt("Btrfs' trees cannot be read: Operation not permitted; same Btrfs "
		    "file system, extent maps%s",
		    ZSTD ? "; contents compared where extents are compressed, inline "
			   "or unknown"
			 : ""));
	EXPECT_STREQ(changes_text(&x.ranges), "data 32768+4096");
	pair_close(&x);
	close(fd);
}

/* Subvolumes have other device numbers, and are one file system nevertheless. */
TEST_F(change, subvolumes_are_one_file_system)
{
	int fd;

	BTRFS_ONLY();
	fd = filled(PATH("disk"), MIB, ZSTD);
	ASSERT_EQ(system(fmt("btrfs subvolume create %s >/dev/null", PATH("sub"))), 0);
	clone_to(fd, PATH("sub/a"));
	write_at(fd, 2, 8 * BLOCK, BLOCK);
	EXPECT_CHANGES(PATH("sub/a"), PATH("disk"), "data 32768+4096");
	EXPECT_STREQ(changes(PATH("sub/a"), PATH("disk"), NULL, NULL), "data 32768+4096");
	close(fd);
}

/* What a map should have said and did not is found by its bytes. */
TEST_F(change, proof_finds_what_is_missing)
{
	int fd = filled(PATH("disk"), 4 * MIB, false);
	struct pair x;

	clone_to(fd, PATH("a"));
	write_at(fd, 2, 2 * MIB + 1000, 1);
	clone_to(fd, PATH("b"));
	pair_open(&x, PATH("a"), PATH("b"));
	ASSERT_OK(ranges_begin(&x.ranges, 4 * MIB, AT_FDCWD));
	ASSERT_OK(ranges_add(&x.ranges, 3 * MIB, 3 * MIB + 1, CHANGE_DATA));
	ASSERT_OK(ranges_end(&x.ranges));
	EXPECT_EQ(change_prove(&x.p, &x.ranges, &x.err), RP_FAILED);
	EXPECT_EQ(x.err.offset, 2 * MIB + 1000);
	EXPECT_STREQ(x.err.disk, "vda");
	EXPECT_STREQ(x.err.message, "vda: prove TARGET at 2098152: it differs from BASE, "
				    "and was called unchanged");
	pair_close(&x);

	/* What is called zero is looked at too. */
	pair_open(&x, PATH("a"), PATH("b"));
	ASSERT_OK(ranges_begin(&x.ranges, 4 * MIB, AT_FDCWD));
	ASSERT_OK(ranges_add(&x.ranges, 2 * MIB, 3 * MIB, CHANGE_ZERO));
	ASSERT_OK(ranges_end(&x.ranges));
	EXPECT_EQ(change_prove(&x.p, &x.ranges, &x.err), RP_FAILED);
	EXPECT_EQ(x.err.offset, 2 * MIB);
	EXPECT_STREQ(x.err.message, "vda: prove TARGET at 2097152: it has data, and was "
				    "called zero");
	pair_close(&x);

	/* Data behind the end of the base was not there. */
	ASSERT_EQ(truncate(PATH("a"), 2 * MIB), 0);
	pair_open(&x, PATH("a"), PATH("b"));
	ASSERT_OK(ranges_begin(&x.ranges, 4 * MIB, AT_FDCWD));
	ASSERT_OK(ranges_add(&x.ranges, 2 * MIB, 3 * MIB, CHANGE_DATA));
	ASSERT_OK(ranges_end(&x.ranges));
	EXPECT_EQ(change_prove(&x.p, &x.ranges, &x.err), RP_FAILED);
	EXPECT_EQ(x.err.offset, 3 * MIB);
	pair_close(&x);
	close(fd);
}

/* A file that cannot be read is no file without changes. */
TEST_F(change, reads_that_fail)
{
	struct badfs bad = {0};
	struct pair x;
	int fd, copy;

	if (ON_BTRFS)
		SKIP("as on XFS");
	if (badfs_skip_reason())
		SKIP("%s", badfs_skip_reason());
	fd = filled(PATH("a"), 4 * MIB, false);
	copy = filled(PATH("b"), 4 * MIB, false);
	badfs_mount(&bad, &self->fs);
	pair_open(&x, fmt("%s/a", bad.mnt), fmt("%s/b", bad.mnt));
	EXPECT_EQ(change_compare(&x.p, &x.ranges, &x.source, &x.err), RP_OK);
	EXPECT_STREQ(x.source, "content");
	EXPECT_STREQ(x.p.reason,
		     "extent maps are trusted on XFS and Btrfs only: contents "
		     "compared");
	EXPECT_STREQ(changes_text(&x.ranges), "");
	bad.orders->read_at = 2 * MIB + 5;
	bad.orders->read_error = EIO;
	EXPECT_EQ(change_compare(&x.p, &x.ranges, &x.source, &x.err), RP_FAILED);
	EXPECT_EQ(x.err.os_error, EIO);
	EXPECT_EQ(x.err.offset, 2 * MIB);
	EXPECT_STREQ(x.err.disk, "vda");
	EXPECT_NE(strstr(x.err.message, "read BASE at 2097152: Input/output error"), NULL,
		  "%s", x.err.message);
	pair_close(&x);
	badfs_umount(&bad);
	close(copy);
	close(fd);
}

/* Random writes of blocks: what is listed is what was written. */
TEST_F(change, amplification)
{
	uint64_t seed = test_seed(), written, bytes, blocks = 16 * MIB / BLOCK;
	int fd = filled(PATH("disk"), 16 * MIB, ZSTD);
	bool *touched = calloc(blocks, 1);

	ASSERT_NE(touched, NULL);
	clone_to(fd, PATH("a"));
	written = 0;
	for (unsigned i = 0; i < 200; i++) {
		uint64_t at = data_random(&seed) % blocks;

		data_write(fd, i + 5, at * BLOCK, BLOCK);
		written += touched[at] ? 0 : BLOCK;
		touched[at] = true;
	}
	free(touched);
	fsync(fd);
	clone_to(fd, PATH("b"));
	changes(PATH("a"), PATH("b"), &change_extents, &bytes);
	EXPECT_LE(bytes, written * 102 / 100);
	EXPECT_GE(bytes, written);
	if (ON_BTRFS) {
		changes(PATH("a"), PATH("b"), &change_tree, &bytes);
		EXPECT_LE(bytes, written * (ZSTD ? 105 : 102) / 100);
		EXPECT_GE(bytes, written);
	}
	close(fd);
}

static uint64_t peak_kib(void)
{
	struct rusage usage;

	getrusage(RUSAGE_SELF, &usage);
	return (uint64_t)usage.ru_maxrss;
}

/* EXTENTS=N: nothing is kept of an extent, so any number of them fits. */
TEST_F_TIMEOUT(change, memory_does_not_grow_with_extents, 1800)
{
	const char *wanted = getenv("EXTENTS");
	uint64_t extents = wanted ? strtoull(wanted, NULL, 10) : 20000, before, bytes;
	int fd, one;

	if (ZSTD || ON_BTRFS)
		SKIP("takes long to make here");
	/* One block, referred to by every second block of the disk. */
	fd = new_file(PATH("disk"));
	one = filled(PATH("one"), 2 * BLOCK, false);
	ASSERT_EQ(ftruncate(fd, (off_t)(extents * 2 * BLOCK)), 0);
	for (uint64_t i = 0; i < extents; i++)
		clone_range(one, 0, BLOCK, fd, i * 2 * BLOCK);
	clone_to(fd, PATH("a"));
	for (uint64_t i = 0; i < extents; i += 2)
		clone_range(one, BLOCK, BLOCK, fd, i * 2 * BLOCK);
	before = peak_kib();
	clone_to(fd, PATH("b"));
	{
		struct pair x;

		pair_open(&x, PATH("a"), PATH("b"));
		ASSERT_EQ(change_compare(&x.p, &x.ranges, &x.source, &x.err), RP_OK);
		EXPECT_STREQ(x.source, "extents");
		EXPECT_EQ(x.ranges.count, extents / 2);
		bytes = x.ranges.bytes[CHANGE_DATA];
		pair_close(&x);
	}
	EXPECT_EQ(bytes, extents / 2 * BLOCK);
	EXPECT_LT(peak_kib() - before, 4096, "KiB more");
	test_log("%llu extents: %llu KiB more memory", (unsigned long long)extents,
		 (unsigned long long)(peak_kib() - before));
	close(one);
	close(fd);
}

TEST_MAIN
