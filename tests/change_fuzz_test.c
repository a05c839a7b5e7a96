/* SPDX-License-Identifier: MIT */
/*
 * change_fuzz_test.c - whatever is done to a disk between two points, and to the points
 * themselves by dedupe, defragmentation and balance, no byte that differs is missing from
 * the change map, and what it calls zero is zeros
 *
 * PAIRS=N is how many pairs of points each file system is tried with.
 */
#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "data.h"
#include "engine/change_source.h"
#include "harness.h"
#include "io/base.h"
#include "loopfs.h"
#include "stage.h"

#define MOST	(3 * MIB) /* the disk's size, at most */
#define CLONES	4	  /* kept at a time */
#define BLOCK	4096
#define PAIRS	40
#define NIGHTLY 1700 /* seconds a long run may take */

/* One frozen clone, and what it held when it was made. */
struct frozen {
	char path[PATH_MAX + 16];
	char *bytes;
	uint64_t size;
	bool there;
};

struct score {
	uint64_t pairs, doubts, reported, differing;
};

FIXTURE(change)
{
	struct loopfs fs;
	char disk[PATH_MAX + 16], other[PATH_MAX + 16];
	int fd, direct_fd, other_fd;
	uint64_t seed, writer_seed;
	struct frozen clones[CLONES];
	struct score extents, tree, content, resized;
	pthread_t mover, writer;
	atomic_bool stop;
	const struct change_variant *variant;
};

FIXTURE_VARIANT(change)
{
	const char *type, *mkfs, *mount;
	uint64_t mib, leave_mib; /* of the file system, and what is left free of it */
	bool nocow;
	uint64_t sector;
};

FIXTURE_VARIANT_ADD(change,
		    xfs){.type = "xfs", .mib = 300, .leave_mib = 120, .sector = 512};
FIXTURE_VARIANT_ADD(change, xfs_1k_rmapbt){.type = "xfs",
					   .mkfs = "-b size=1024 -m rmapbt=1",
					   .mib = 300,
					   .leave_mib = 120,
					   .sector = 512};
FIXTURE_VARIANT_ADD(change,
		    btrfs){.type = "btrfs", .mib = 700, .leave_mib = 350, .sector = 4096};
FIXTURE_VARIANT_ADD(change, btrfs_nocow){
	.type = "btrfs", .mib = 700, .leave_mib = 350, .nocow = true, .sector = 4096};
FIXTURE_VARIANT_ADD(change, btrfs_zstd){.type = "btrfs",
					.mount = "compress-force=zstd",
					.mib = 700,
					.leave_mib = 350,
					.sector = 4096};

/* --------------------------------------------------------------- what is done */

static uint64_t below(uint64_t *seed, uint64_t n)
{
	return n ? data_random(seed) % n : 0;
}

static uint64_t size_of(int fd)
{
	struct stat st;

	ASSERT_EQ(fstat(fd, &st), 0);
	return (uint64_t)st.st_size;
}

/* A range within the disk, at odd places or in whole units. */
static uint64_t place(struct change_fixture *self, uint64_t unit, uint64_t most,
		      uint64_t *ret_len)
{
	uint64_t start = round_down(below(&self->seed, MOST - most), unit);

	*ret_len = max_u64(round_down(below(&self->seed, most), unit), unit);
	return start;
}

/* Some of it compresses, some of it does not, some of it was there before. */
static void make_bytes(struct change_fixture *self, char *buf, uint64_t len)
{
	uint64_t kind = below(&self->seed, 4);

	data_bytes(below(&self->seed, kind == 3 ? 3 : UINT32_MAX), 0, buf, len);
	for (uint64_t i = 0; kind < 2 && i < len; i++)
		if (i % 64 > 3)
			buf[i] = (char)('a' + kind);
}

static void pwrite_some(int fd, const void *buf, uint64_t len, uint64_t start)
{
	ssize_t n = pwrite(fd, buf, len, (off_t)start);

	if (n < 0)
		FAIL("write: %s", strerror(errno));
	ASSERT_EQ(n, len);
}

static void op_write(struct change_fixture *self)
{
	static char buf[128 * KIB];
	uint64_t len, start = place(self, 1, sizeof(buf), &len);

	make_bytes(self, buf, len);
	pwrite_some(self->fd, buf, len, start);
}

static void op_write_block(struct change_fixture *self)
{
	char buf[BLOCK];
	uint64_t len, start = place(self, BLOCK, BLOCK, &len);

	make_bytes(self, buf, BLOCK);
	pwrite_some(self->fd, buf, BLOCK, start);
}

static void op_write_direct(struct change_fixture *self)
{
	static char buf[64 * KIB] __attribute__((aligned(4096)));
	uint64_t len, start = place(self, self->variant->sector, sizeof(buf), &len);

	make_bytes(self, buf, len);
	pwrite_some(self->direct_fd, buf, len, start);
}

static void op_write_mapped(struct change_fixture *self)
{
	uint64_t size = size_of(self->fd), len, start = place(self, 1, 32 * KIB, &len);
	char *map;

	if (start + len > size)
		return;
	map = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, self->fd, 0);
	ASSERT_NE(map, MAP_FAILED);
	make_bytes(self, map + start, len);
	munmap(map, size);
}

static void op_write_zeros(struct change_fixture *self)
{
	static const char zeros[64 * KIB];
	uint64_t len, start = place(self, BLOCK, sizeof(zeros), &len);

	pwrite_some(self->fd, zeros, len, start);
}

static void op_write_same(struct change_fixture *self)
{
	static char buf[64 * KIB];
	uint64_t len, start = place(self, 1, sizeof(buf), &len);
	ssize_t n = pread(self->fd, buf, len, (off_t)start);

	if (n > 0)
		pwrite_some(self->fd, buf, (uint64_t)n, start);
}

static void op_append(struct change_fixture *self)
{
	char buf[5000];
	uint64_t size = size_of(self->fd), len = 1 + below(&self->seed, sizeof(buf) - 1);

	if (size + len > MOST)
		return;
	make_bytes(self, buf, len);
	pwrite_some(self->fd, buf, len, size);
}

/* What a file system cannot do it need not. */
static void reserve(struct change_fixture *self, int mode, uint64_t unit)
{
	uint64_t len, start = place(self, unit, 256 * KIB, &len);
	int r = fallocate(self->fd, mode, (off_t)start, (off_t)len);

	if (r < 0 && errno != EOPNOTSUPP && errno != EINVAL && errno != ENOSPC)
		FAIL("fallocate %x: %s", mode, strerror(errno));
}

static void op_punch(struct change_fixture *self)
{
	reserve(self, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 1);
}

static void op_zero_range(struct change_fixture *self)
{
	reserve(self, FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE, 1);
}

static void op_reserve(struct change_fixture *self)
{
	reserve(self, below(&self->seed, 2) ? FALLOC_FL_KEEP_SIZE : 0, 1);
}

static void op_collapse(struct change_fixture *self)
{
	if (size_of(self->fd) > MOST / 2)
		reserve(self, FALLOC_FL_COLLAPSE_RANGE, BLOCK);
}

static void op_insert(struct change_fixture *self)
{
	if (size_of(self->fd) < MOST - 256 * KIB)
		reserve(self, FALLOC_FL_INSERT_RANGE, BLOCK);
}

static void op_unshare(struct change_fixture *self)
{
	reserve(self, FALLOC_FL_UNSHARE_RANGE | FALLOC_FL_KEEP_SIZE, BLOCK);
}

static void op_truncate(struct change_fixture *self)
{
	uint64_t size = MOST / 2 + below(&self->seed, MOST / 2);

	if (below(&self->seed, 2))
		size = round_down(size, 1024);
	ASSERT_EQ(ftruncate(self->fd, (off_t)size), 0);
}

static void reflink(struct change_fixture *self, int from)
{
	uint64_t len, start = place(self, BLOCK, 128 * KIB, &len);
	struct file_clone_range range = {
		.src_fd = from,
		.src_offset = start,
		.src_length = len,
		.dest_offset = round_down(below(&self->seed, MOST - len), BLOCK),
	};

	if (start + len > size_of(from))
		return;
	if (ioctl(self->fd, FICLONERANGE, &range) < 0 && errno != EINVAL)
		FAIL("FICLONERANGE: %s", strerror(errno));
}

static void op_reflink_self(struct change_fixture *self)
{
	reflink(self, self->fd);
}

static void op_reflink_other(struct change_fixture *self)
{
	reflink(self, self->other_fd);
}

/* From the disk into a clone that is kept: its blocks move, its bytes do not change. */
static void dedupe_into(struct change_fixture *self, int into)
{
	uint64_t len, start = place(self, BLOCK, 128 * KIB, &len);
	union {
		struct file_dedupe_range range;
		char room[sizeof(struct file_dedupe_range) +
			  sizeof(struct file_dedupe_range_info)];
	} d = {.range = {.src_offset = start, .src_length = len, .dest_count = 1}};

	d.range.info[0] = (struct file_dedupe_range_info){
		.dest_fd = into,
		.dest_offset = below(&self->seed, 3)
				       ? start
				       : round_down(below(&self->seed, MOST), BLOCK),
	};
	ioctl(self->fd, FIDEDUPERANGE, &d); /* only if they are the same */
}

static void op_dedupe(struct change_fixture *self)
{
	struct frozen *clone = &self->clones[below(&self->seed, CLONES)];
	int fd;

	if (!clone->there)
		return;
	fd = open(clone->path, O_RDWR | O_CLOEXEC);
	ASSERT_GE(fd, 0);
	dedupe_into(self, fd);
	close(fd);
}

static void op_dedupe_self(struct change_fixture *self)
{
	dedupe_into(self, self->fd);
}

static void (*const ops[])(struct change_fixture *self) = {
	op_write,	 op_write,	   op_write_block, op_write_block,
	op_write_direct, op_write_mapped,  op_write_zeros, op_write_same,
	op_append,	 op_punch,	   op_zero_range,  op_reserve,
	op_collapse,	 op_insert,	   op_unshare,	   op_truncate,
	op_reflink_self, op_reflink_other, op_dedupe,	   op_dedupe_self,
};

/* A guest that goes on while its disk is cloned. */
static void *go_on_writing(void *fixture)
{
	struct change_fixture *self = fixture;
	uint64_t seed = self->writer_seed;
	char block[BLOCK];

	while (!self->stop) {
		data_bytes(seed, 0, block, BLOCK);
		pwrite_some(self->fd, block, BLOCK, below(&seed, MOST / BLOCK) * BLOCK);
		usleep(below(&seed, 2000));
	}
	return NULL;
}

/* ------------------------------------------------------- what moves blocks about */

static void run_quietly(const char *command)
{
	int status = system(command);

	(void)status; /* a file may be gone or busy: it had its try */
}

static void *move_blocks(void *fixture)
{
	struct change_fixture *self = fixture;
	bool xfs = strcmp(self->variant->type, "xfs") == 0;
	uint64_t turn = 0;

	while (!self->stop) {
		const char *file = turn % 2 ? self->disk
					    : self->clones[turn / 2 % CLONES].path;

		turn++;
		if (xfs)
			run_quietly(fmt("PATH=$PATH:/usr/sbin; xfs_fsr '%s' >/dev/null "
					"2>&1",
					file));
		else if (turn % 8 == 0)
			run_quietly(
				fmt("btrfs balance start -dlimit=1 '%s' >/dev/null 2>&1",
				    self->fs.mnt));
		else
			run_quietly(fmt("btrfs filesystem defragment -f '%s' >/dev/null "
					"2>&1",
					file));
		usleep(20000);
	}
	return NULL;
}

/* ----------------------------------------------------------------- what is said */

static bool all_zero(const char *bytes, uint64_t len)
{
	return len == 0 || (bytes[0] == 0 && !memcmp(bytes, bytes + 1, len - 1));
}

/* Byte @i of a disk; behind its end there are zeros. */
static bool same_block(const struct frozen *a, const struct frozen *b, uint64_t pos,
		       uint64_t len)
{
	static const char zeros[BLOCK];
	uint64_t in_a = pos < a->size ? min_u64(len, a->size - pos) : 0;

	return !memcmp(a->bytes + pos, b->bytes + pos, in_a) &&
	       !memcmp(zeros, b->bytes + pos + in_a, len - in_a);
}

static void check_ranges(const struct ranges *ranges, const struct frozen *base,
			 const struct frozen *target, const char *name,
			 struct score *score)
{
	struct ranges_cursor cursor = {.ranges = ranges};
	uint64_t pos, end = 0;
	struct change c = {0};

	for (pos = 0; pos < target->size; pos += BLOCK) {
		uint64_t len = min_u64(BLOCK, target->size - pos);
		bool differs = !same_block(base, target, pos, len);
		int r = ranges_next(&cursor, pos, &c);
		bool listed = r == 0 && c.start <= pos;

		ASSERT_TRUE(r == 0 || r == -ENXIO);
		if (differs && !listed)
			FAIL("%s: the block at %llu of %s differs from %s and is not listed",
			     name, (unsigned long long)pos, target->path, base->path);
		if (listed && c.kind == CHANGE_ZERO &&
		    !all_zero(target->bytes + pos, len))
			FAIL("%s: the block at %llu of %s is called zero and is not",
			     name, (unsigned long long)pos, target->path);
		if (listed)
			ASSERT_LT(c.kind, CHANGE_UNSURE);
		score->differing += differs ? len : 0;
		score->reported += listed ? len : 0;
	}
	/* In order, in whole blocks, nothing behind the end. */
	cursor = (struct ranges_cursor){.ranges = ranges};
	for (pos = 0; ranges_next(&cursor, pos, &c) == 0; pos = end = c.end) {
		ASSERT_GE(c.start, end);
		ASSERT_EQ(c.start % BLOCK, 0);
		ASSERT_TRUE(c.end % BLOCK == 0 || c.end == target->size);
	}
	ASSERT_LE(end, target->size);
	score->pairs++;
}

static void check_source(const struct change_source *source, struct change_pair *p,
			 const struct frozen *base, const struct frozen *target,
			 struct score *score)
{
	struct ranges ranges;
	struct rp_error err;

	p->doubt = false;
	p->reason[0] = 0;
	ASSERT_OK(ranges_begin(&ranges, p->target.size, p->dirfd));
	ASSERT_EQ(source->compare(p, &ranges, &err), RP_OK, "%s", err.message);
	ASSERT_OK(ranges_end(&ranges));
	if (p->doubt)
		score->doubts++; /* said so; then contents are compared */
	else
		check_ranges(&ranges, base, target, source->name, score);
	ranges_free(&ranges);
}

static void check_pair(struct change_fixture *self, const struct frozen *base,
		       const struct frozen *target)
{
	struct tuning tuning;
	struct watch watch;
	struct change_pair p = {
		.disk = "vda",
		.leaves = {.fd = -1},
		.dirfd = AT_FDCWD,
		.tuning = &tuning,
		.w = &watch,
		.base_size = base->size,
	};

	tuning_init(&tuning, RP_IO_AUTO);
	watch_init(&watch, NULL, 0);
	ASSERT_OK(io_file_open_read(AT_FDCWD, base->path, &p.base));
	ASSERT_OK(io_file_open_read(AT_FDCWD, target->path, &p.target));
	ASSERT_EQ(p.target.size, target->size);
	check_source(&change_extents, &p, base, target, &self->extents);
	if (!strcmp(self->variant->type, "btrfs"))
		check_source(&change_tree, &p, base, target, &self->tree);
	if (self->extents.pairs % 8 == 0)
		check_source(&change_content, &p, base, target,
			     target->size == base->size ? &self->content
							: &self->resized);
	io_file_close(&p.base);
	io_file_close(&p.target);
}

/* ------------------------------------------------------------------------- the test */

static void freeze(struct change_fixture *self, struct frozen *clone)
{
	int fd, flags = FS_NOCOW_FL;

	unlink(clone->path);
	fd = open(clone->path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	ASSERT_GE(fd, 0, "%s", strerror(errno));
	if (self->variant->nocow)
		ASSERT_EQ(ioctl(fd, FS_IOC_SETFLAGS, &flags), 0);
	if (fsync(self->fd) < 0 || ioctl(fd, FICLONE, self->fd) < 0)
		FAIL("clone: %s", strerror(errno));
	clone->size = size_of(fd);
	ASSERT_EQ(pread(fd, clone->bytes, clone->size, 0), clone->size);
	clone->there = true;
	close(fd);
}

static int make_file(const struct change_fixture *self, const char *path)
{
	int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	int flags = FS_NOCOW_FL;

	ASSERT_GE(fd, 0);
	if (self->variant->nocow)
		ASSERT_EQ(ioctl(fd, FS_IOC_SETFLAGS, &flags), 0);
	data_write(fd, 1, 0, MOST);
	return fd;
}

/* So that freed blocks are soon used again. */
static void fill(const struct change_fixture *self)
{
	struct statvfs vfs;
	uint64_t avail;
	int fd;

	ASSERT_EQ(statvfs(self->fs.mnt, &vfs), 0);
	avail = (uint64_t)vfs.f_bavail * vfs.f_frsize;
	fd = open(fmt("%s/filler", self->fs.mnt), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	ASSERT_GE(fd, 0);
	if (avail > self->variant->leave_mib * MIB)
		ASSERT_EQ(fallocate(fd, 0, 0,
				    (off_t)(avail - self->variant->leave_mib * MIB)),
			  0);
	close(fd);
}

FIXTURE_SETUP(change)
{
	self->fd = self->direct_fd = self->other_fd = -1;
	self->variant = variant;
	loopfs_mount(&self->fs, variant->type, variant->mib * MIB, variant->mkfs,
		     variant->mount);
	snprintf(self->disk, sizeof(self->disk), "%s/disk", self->fs.mnt);
	snprintf(self->other, sizeof(self->other), "%s/other", self->fs.mnt);
	self->fd = make_file(self, self->disk);
	self->other_fd = make_file(self, self->other);
	self->direct_fd = open(self->disk, O_RDWR | O_DIRECT | O_CLOEXEC);
	ASSERT_GE(self->direct_fd, 0);
	for (unsigned i = 0; i < CLONES; i++) {
		snprintf(self->clones[i].path, sizeof(self->clones[i].path), "%s/clone%u",
			 self->fs.mnt, i);
		self->clones[i].bytes = malloc(2 * MOST); /* it may grow meanwhile */
		ASSERT_NE(self->clones[i].bytes, NULL);
	}
	fill(self);
}

FIXTURE_TEARDOWN(change)
{
	for (unsigned i = 0; i < CLONES; i++)
		free(self->clones[i].bytes);
	close(self->fd);
	close(self->direct_fd);
	close(self->other_fd);
	loopfs_umount(&self->fs);
}

static void tell(const char *name, const struct score *s)
{
	if (s->pairs + s->doubts)
		test_log("%s: %llu pairs, reported/differing %.3f, moved meanwhile %llu",
			 name, (unsigned long long)s->pairs,
			 (double)s->reported / (double)max_u64(s->differing, 1),
			 (unsigned long long)s->doubts);
}

TEST_F_TIMEOUT(change, misses_nothing, NIGHTLY)
{
	const char *wanted = getenv("PAIRS");
	uint64_t pairs = wanted ? strtoull(wanted, NULL, 10) : PAIRS;

	self->seed = test_seed();
	self->writer_seed = self->seed + 1;
	freeze(self, &self->clones[0]);
	ASSERT_EQ(pthread_create(&self->mover, NULL, move_blocks, self), 0);
	ASSERT_EQ(pthread_create(&self->writer, NULL, go_on_writing, self), 0);
	for (uint64_t i = 1; i <= pairs; i++) {
		struct frozen *clone = &self->clones[i % CLONES];
		const struct frozen *base =
			&self->clones[(i + 1 + below(&self->seed, CLONES - 1)) % CLONES];

		for (uint64_t n = 1 + below(&self->seed, 8); n; n--)
			ops[below(&self->seed, ARRAY_SIZE(ops))](self);
		freeze(self, clone);
		check_pair(self, base->there ? base : &self->clones[(i - 1) % CLONES],
			   clone);
	}
	self->stop = true;
	pthread_join(self->mover, NULL);
	pthread_join(self->writer, NULL);
	tell("extents", &self->extents);
	tell("tree", &self->tree);
	tell("content", &self->content);
	tell("content of resized disks", &self->resized);
	/* Exact, but for zeros that were written behind the end of the base, and the
	 * block that a disk was cut in. */
	EXPECT_EQ(self->content.reported, self->content.differing);
	EXPECT_GT(self->extents.pairs, pairs / 2);
}

/* ------------------------------------------- a base whose blocks move all the time */

#define PIECES 4096 /* of one block each: a map of several batches */

struct moving {
	struct change_fixture *self;
	int base, twin; /* the same bytes in other blocks */
	uint64_t seed;
};

/* The base's blocks become the twin's, and the twin gets others: those the base had are
 * free for the disk. */
static void *move_base(void *moving)
{
	struct moving *m = moving;
	char buf[16 * BLOCK];

	while (!m->self->stop) {
		uint64_t at = below(&m->seed, PIECES - 16) * BLOCK;
		union {
			struct file_dedupe_range range;
			char room[sizeof(struct file_dedupe_range) +
				  sizeof(struct file_dedupe_range_info)];
		} d = {.range = {.src_offset = at,
				 .src_length = sizeof(buf),
				 .dest_count = 1}};

		d.range.info[0] = (struct file_dedupe_range_info){
			.dest_fd = m->base, .dest_offset = (int64_t)at};
		ioctl(m->twin, FIDEDUPERANGE, &d);
		ASSERT_EQ(pread(m->twin, buf, sizeof(buf), (off_t)at), sizeof(buf));
		pwrite_some(m->twin, buf, sizeof(buf), at);
		usleep(below(&m->seed, 2) ? below(&m->seed, 2000)
					  : below(&m->seed, 200000));
	}
	return NULL;
}

/* In pieces: written in no order. */
static void scatter(struct change_fixture *self)
{
	char block[BLOCK];

	ASSERT_EQ(ftruncate(self->fd, 0), 0);
	for (uint64_t i = 0; i < PIECES; i++) {
		data_bytes(i, 0, block, BLOCK);
		pwrite_some(self->fd, block, BLOCK, (i * 1741 % PIECES) * BLOCK);
		if (i % 64 == 0)
			ASSERT_EQ(fdatasync(self->fd), 0);
	}
}

static void write_some_blocks(struct change_fixture *self)
{
	char block[BLOCK];

	for (unsigned n = 0; n < 20; n++) {
		data_bytes(self->seed, 0, block, BLOCK);
		pwrite_some(self->fd, block, BLOCK, below(&self->seed, PIECES) * BLOCK);
	}
}

TEST_F_TIMEOUT(change, misses_nothing_while_the_base_moves, NIGHTLY)
{
	const char *wanted = getenv("PAIRS");
	uint64_t pairs = wanted ? strtoull(wanted, NULL, 10) : PAIRS / 6;
	struct frozen *base = &self->clones[0], *target = &self->clones[1];
	struct moving m = {.self = self};

	self->seed = test_seed();
	m.seed = self->seed + 1;
	for (unsigned i = 0; i < 2; i++) {
		free(self->clones[i].bytes);
		self->clones[i].bytes = malloc((PIECES + 1) * BLOCK);
		ASSERT_NE(self->clones[i].bytes, NULL);
	}
	scatter(self);
	freeze(self, base);
	m.base = open(base->path, O_RDWR | O_CLOEXEC);
	ASSERT_GE(m.base, 0);
	m.twin = make_file(self, fmt("%s/twin", self->fs.mnt));
	pwrite_some(m.twin, base->bytes, base->size, 0);
	ASSERT_EQ(fsync(m.twin), 0);
	ASSERT_EQ(pthread_create(&self->mover, NULL, move_base, &m), 0);
	for (uint64_t i = 0; i < pairs; i++) {
		write_some_blocks(self);
		freeze(self, target);
		check_pair(self, base, target);
	}
	self->stop = true;
	pthread_join(self->mover, NULL);
	close(m.base);
	close(m.twin);
	tell("extents", &self->extents);
	tell("tree", &self->tree);
	EXPECT_EQ(self->content.reported, self->content.differing);
	EXPECT_GT(self->extents.pairs + self->extents.doubts, 0);
}

TEST_MAIN
