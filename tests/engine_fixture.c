/* SPDX-License-Identifier: MIT */
/*
 * engine_fixture.c - a store on a file system of its own, and disks of all shapes
 */
#include <fcntl.h>
#include <ftw.h>
#include <linux/aio_abi.h>
#include <linux/fiemap.h>
#include <linux/fs.h>
#include <linux/io_uring.h>
#include <linux/loop.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "data.h"
#include "engine_fixture.h"
#include "harness.h"

/* ------------------------------------------------------------------------ shapes */

static void fill_all(int fd, uint64_t size, uint64_t seed)
{
	data_write(fd, seed, 0, size);
}

/* Data at both ends and across 4 GiB, at odd places. */
static void fill_far(int fd, uint64_t size, uint64_t seed)
{
	data_write(fd, seed, 0, 5000);
	data_write(fd, seed, 4 * GIB - 7777, 100000);
	data_write(fd, seed, size - 3 * MIB, 3 * MIB);
}

static void fill_head(int fd, uint64_t size, uint64_t seed)
{
	data_write(fd, seed, 0, size / 3);
}

/* As many segments as a window can have. */
static void fill_comb(int fd, uint64_t size, uint64_t seed)
{
	for (uint64_t at = 4096; at < size; at += 8192)
		data_write(fd, seed, at, min_u64(4096, size - at));
}

/* Compressible. */
static void fill_text(int fd, uint64_t size, uint64_t seed)
{
	char text[32768];

	for (uint64_t at = 0; at < size; at += sizeof(text)) {
		size_t len = (size_t)min_u64(sizeof(text), size - at);

		for (size_t i = 0; i < sizeof(text); i += 64)
			snprintf(text + i, 64, "%-63llu",
				 (unsigned long long)(at ^ seed));
		ASSERT_EQ(pwrite(fd, text, len, (off_t)at), len);
	}
}

/* Space that was reserved and never written reads as a hole. */
static void fill_reserved(int fd, uint64_t size, uint64_t seed)
{
	ASSERT_OK(fallocate(fd, 0, 0, (off_t)size));
	data_write(fd, seed, MIB + 100, 300000);
	data_write(fd, seed, 2 * MIB, 4096);
}

/* Zeros that are data; then a hole where data was. */
static void fill_zeros(int fd, uint64_t size, uint64_t seed)
{
	static const char zeros[65536];

	data_write(fd, seed, 0, size);
	for (uint64_t at = MIB; at < 2 * MIB; at += sizeof(zeros))
		ASSERT_EQ(pwrite(fd, zeros, sizeof(zeros), (off_t)at), sizeof(zeros));
	ASSERT_OK(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 2 * MIB + 999,
			    MIB));
}

const struct shape shapes[SHAPE_COUNT] = {
	{"empty", 0, .runs = 0},
	{"b1", 1, .fill = fill_all},
	{"b511", 511, .fill = fill_all},
	{"b4095", 4095, .fill = fill_all},
	{"b4096", 4096, .fill = fill_all},
	{"b4097", 4097, .fill = fill_all},
	{"odd", MIB + 13, .fill = fill_all},
	{"far", 4 * GIB + 5 * MIB + 777, .fill = fill_far},
	{"head", 9 * MIB + 511, .fill = fill_head},
	{"hole", 5 * MIB + 1, .runs = 0},
	{"comb", 3 * MIB + 6000, .fill = fill_comb},
	{"text", 5 * MIB + 100, .fill = fill_text},
	{"reserved", 4 * MIB + 1, .fill = fill_reserved},
	{"zeros", 4 * MIB + 4095, .fill = fill_zeros},
	{"few", 9 * MIB + 4097, .runs = 7},
	{"many", 17 * MIB + 1, .runs = 150},
};

void shape_make(const struct shape *shape, const char *path, uint64_t seed)
{
	int fd;

	if (shape->runs) {
		data_create_random(path, shape->size, seed, shape->runs);
		return;
	}
	fd = data_create(path, shape->size);
	if (shape->fill)
		shape->fill(fd, shape->size, seed);
	close(fd);
}

/* ------------------------------------------------------------------- the fixture */

void engine_open(struct engine *e, const char *type, uint64_t size, const char *mkfs_opts,
		 const char *mount_opts)
{
	static const char *const folders[] = {"disks", "twins", "out"};
	struct rp_error err;

	loopfs_mount(&e->fs, type, size, mkfs_opts, mount_opts);
	for (size_t i = 0; i < ARRAY_SIZE(folders); i++)
		ASSERT_OK(mkdir(fmt("%s/%s", e->fs.mnt, folders[i]), 0755));
	snprintf(e->out, sizeof(e->out), "%s/out", e->fs.mnt);
	ASSERT_EQ(rp_store_init(fmt("%s/store", e->fs.mnt), &err), RP_OK, "%s",
		  err.message);
	ASSERT_EQ(rp_store_open(fmt("%s/store", e->fs.mnt), NULL, &e->store, &err), RP_OK,
		  "%s", err.message);
}

void engine_close(struct engine *e)
{
	rp_store_close(e->store);
	e->store = NULL;
	loopfs_umount(&e->fs);
}

const char *engine_disk(const struct engine *e, const char *id)
{
	return fmt("%s/disks/%s.img", e->fs.mnt, id);
}

const char *engine_twin(const struct engine *e, const char *id)
{
	return fmt("%s/twins/%s.img", e->fs.mnt, id);
}

const char *engine_clone(const struct engine *e, const char *id)
{
	return fmt("%s/store/systems/web1/points/%s/%s.raw", e->fs.mnt,
		   strchr(e->point, '@') + 1, id);
}

void engine_make_disk(const struct engine *e, const char *id, uint64_t size)
{
	const struct shape shape = {id, size, .runs = 40};
	uint64_t seed = test_seed();

	shape_make(&shape, engine_disk(e, id), seed);
	shape_make(&shape, engine_twin(e, id), seed);
}

void engine_add(struct engine *e, const char *const *ids, size_t count)
{
	struct rp_disk *disks = calloc(count, sizeof(*disks));
	struct rp_error err;

	ASSERT_NE(disks, NULL);
	for (size_t i = 0; i < count; i++)
		disks[i] = (struct rp_disk){ids[i], engine_disk(e, ids[i])};
	ASSERT_EQ(rp_system_add(e->store, "web1", disks, count, NULL, 0, &err), RP_OK,
		  "%s", err.message);
	free(disks);
}

json_t *engine_take(struct engine *e, const struct rp_create_options *options)
{
	struct rp_error err;
	char *text;

	ASSERT_EQ(rp_create_reference_point(e->store, "web1", options, &text, &err),
		  RP_OK, "%s", err.message);
	snprintf(e->point, sizeof(e->point), "%s", text);
	rp_free(text);
	ASSERT_EQ(rp_show_reference_point(e->store, e->point, &text, &err), RP_OK, "%s",
		  err.message);
	return take_json(text);
}

json_t *engine_export(const struct engine *e, const char *directory,
		      const struct rp_export_options *options)
{
	struct rp_error err;
	char *text;

	ASSERT_EQ(rp_export(e->store, e->point, directory, options, &text, &err), RP_OK,
		  "%s", err.message);
	return take_json(text);
}

void engine_sync(const struct engine *e)
{
	int fd = open(e->fs.mnt, O_RDONLY | O_CLOEXEC);

	ASSERT_GE(fd, 0);
	ASSERT_OK(syncfs(fd));
	close(fd);
}

void engine_expect_idle(const struct engine *e)
{
	EXPECT_STREQ(listing(fmt("%s/store/pending", e->fs.mnt)), "");
	EXPECT_STREQ(listing(fmt("%s/store/jobs/active", e->fs.mnt)), "");
}

bool backend_works(enum rp_io io)
{
	struct io_uring_params params = {0};
	aio_context_t context = 0;
	long r = 0;

	if (io == RP_IO_URING) {
		r = syscall(SYS_io_uring_setup, 1, &params);
		if (r >= 0)
			close((int)r);
	} else if (io == RP_IO_AIO) {
		r = syscall(SYS_io_setup, 1, &context);
		if (r >= 0)
			syscall(SYS_io_destroy, context);
	}
	if (r < 0)
		test_log("no %s here: %s", io == RP_IO_URING ? "io_uring" : "aio",
			 strerror(errno));
	return r >= 0;
}

json_t *disk_of(const json_t *doc, const char *id)
{
	json_t *disk;
	size_t i;

	json_array_foreach(json_object_get(doc, "Disks"), i, disk)
		if (!strcmp(json_text(disk, "DiskId"), id))
			return disk;
	FAIL("no disk %s", id);
}

static int remove_entry(const char *path, const struct stat *st, int type,
			struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path);
}

void remove_tree(const char *path)
{
	ASSERT_OK(nftw(path, remove_entry, 16, FTW_PHYS | FTW_DEPTH), "%s: %s", path,
		  strerror(errno));
}

int loop_attach(const char *path, char ret_device[32])
{
	struct loop_config config = {.info.lo_flags = LO_FLAGS_AUTOCLEAR};
	int control, file = open(path, O_RDWR | O_CLOEXEC), loop = -1;

	if (geteuid() != 0)
		SKIP("only root can have block devices");
	control = open("/dev/loop-control", O_RDWR | O_CLOEXEC);
	if (control < 0)
		SKIP("no loop devices: %s", strerror(errno));
	ASSERT_GE(file, 0, "%s: %s", path, strerror(errno));
	config.fd = (unsigned)file;
	do {
		close(loop);
		snprintf(ret_device, 32, "/dev/loop%d",
			 ioctl(control, LOOP_CTL_GET_FREE));
		loop = open(ret_device, O_RDWR | O_CLOEXEC);
		ASSERT_GE(loop, 0, "%s: %s", ret_device, strerror(errno));
	} while (ioctl(loop, LOOP_CONFIGURE, &config) < 0 && errno == EBUSY);
	close(file);
	close(control);
	return loop;
}

/* --------------------------------------------------------------- below the bytes */

static int open_synced(const char *path, uint64_t *ret_size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct stat st;

	ASSERT_GE(fd, 0, "%s: %s", path, strerror(errno));
	ASSERT_OK(fsync(fd));
	ASSERT_OK(posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED));
	ASSERT_OK(fstat(fd, &st));
	*ret_size = (uint64_t)st.st_size;
	return fd;
}

/* The first data at or after @pos, grown outward to @grain and joined; false at the end.
 */
static bool next_data(int fd, uint64_t size, uint64_t grain, uint64_t pos,
		      uint64_t *ret_start, uint64_t *ret_end)
{
	off_t start = lseek(fd, (off_t)pos, SEEK_DATA), end;

	if (start < 0)
		ASSERT_EQ(errno, ENXIO);
	if (start < 0 || (uint64_t)start >= size)
		return false;
	*ret_start = max_u64(pos, round_down((uint64_t)start, grain));
	do {
		end = lseek(fd, start, SEEK_HOLE);
		ASSERT_GT(end, start);
		*ret_end = min_u64(size, round_up((uint64_t)end, grain));
		start = lseek(fd, end, SEEK_DATA);
	} while (start >= 0 && round_down((uint64_t)start, grain) <= *ret_end &&
		 *ret_end < size);
	return true;
}

uint64_t data_bytes_of(const char *path)
{
	uint64_t size, start, end = 0, sum = 0;
	int fd = open_synced(path, &size);

	while (next_data(fd, size, 1, end, &start, &end))
		sum += end - start;
	close(fd);
	return sum;
}

bool same_holes_at(const char *original, const char *copy, uint64_t grain)
{
	uint64_t size, copy_size, a[2] = {0, 0}, b[2] = {0, 0};
	int fd = open_synced(original, &size), copy_fd = open_synced(copy, &copy_size);
	bool more = true, same = size == copy_size;

	while (same && more) {
		more = next_data(fd, size, grain, a[1], &a[0], &a[1]);
		same = next_data(copy_fd, size, 1, b[1], &b[0], &b[1]) == more &&
		       a[0] == b[0] && a[1] == b[1];
	}
	if (!same)
		test_log("%s of %llu: data at %llu-%llu, %s of %llu: at %llu-%llu",
			 original, (unsigned long long)size, (unsigned long long)a[0],
			 (unsigned long long)a[1], copy, (unsigned long long)copy_size,
			 (unsigned long long)b[0], (unsigned long long)b[1]);
	close(fd);
	close(copy_fd);
	return same;
}

#define BATCH 256

unsigned count_extents(const char *path, bool synced, unsigned flags, unsigned *ret_with)
{
	struct fiemap *map = malloc(sizeof(*map) + BATCH * sizeof(map->fm_extents[0]));
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	unsigned count = 0;
	uint64_t pos = 0;

	ASSERT_NE(map, NULL);
	ASSERT_GE(fd, 0, "%s: %s", path, strerror(errno));
	*ret_with = 0;
	do {
		*map = (struct fiemap){.fm_start = pos,
				       .fm_length = FIEMAP_MAX_OFFSET - pos,
				       .fm_flags = synced ? FIEMAP_FLAG_SYNC : 0,
				       .fm_extent_count = BATCH};
		ASSERT_OK(ioctl(fd, FS_IOC_FIEMAP, map));
		for (unsigned i = 0; i < map->fm_mapped_extents; i++) {
			const struct fiemap_extent *e = &map->fm_extents[i];

			count++;
			*ret_with += (e->fe_flags & flags) == flags;
			pos = e->fe_logical + e->fe_length;
		}
	} while (map->fm_mapped_extents == BATCH);
	close(fd);
	free(map);
	return count;
}

bool is_shared(const char *path)
{
	unsigned shared, in_line, count;

	/* What lies in the inode is copied with it. */
	count_extents(path, true, FIEMAP_EXTENT_DATA_INLINE, &in_line);
	count = count_extents(path, true, FIEMAP_EXTENT_SHARED, &shared);
	return shared + in_line == count;
}

uint64_t cached_bytes(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	uint64_t pages = 0, count;
	unsigned char *in_core;
	struct stat st;
	void *map;

	ASSERT_GE(fd, 0, "%s: %s", path, strerror(errno));
	ASSERT_OK(fstat(fd, &st));
	count = ((uint64_t)st.st_size + 4095) / 4096;
	in_core = malloc(count);
	map = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_SHARED, fd, 0);
	ASSERT_NE(map, MAP_FAILED, "%s", strerror(errno));
	ASSERT_OK(mincore(map, (size_t)st.st_size, in_core));
	for (uint64_t i = 0; i < count; i++)
		pages += in_core[i] & 1;
	munmap(map, (size_t)st.st_size);
	free(in_core);
	close(fd);
	return pages * 4096;
}

unsigned inode_flags(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC), flags = 0;

	ASSERT_GE(fd, 0, "%s: %s", path, strerror(errno));
	if (ioctl(fd, FS_IOC_GETFLAGS, &flags) < 0)
		flags = 0;
	close(fd);
	return (unsigned)flags;
}

void set_inode_flag(const char *path, unsigned flag)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC), flags;

	ASSERT_GE(fd, 0, "%s: %s", path, strerror(errno));
	ASSERT_OK(ioctl(fd, FS_IOC_GETFLAGS, &flags));
	flags |= (int)flag;
	ASSERT_OK(ioctl(fd, FS_IOC_SETFLAGS, &flags), "%s: %s", path, strerror(errno));
	close(fd);
}
