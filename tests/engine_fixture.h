/* SPDX-License-Identifier: MIT */
/*
 * engine_fixture.h - what tests of the engine stand on when one disk is not enough: a
 * store on a file system of its own, with the disks of its system "web1" beside it, and
 * what can be asked of a file below its bytes
 */
#ifndef TESTS_ENGINE_FIXTURE_H
#define TESTS_ENGINE_FIXTURE_H

#include "loopfs.h"
#include "stage.h"

/* A disk of a certain shape: every one is another way to get a copy wrong. */
struct shape {
	const char *id;
	uint64_t size;
	void (*fill)(int fd, uint64_t size, uint64_t seed);
	unsigned runs; /* at random, if there is no fill; 0 = one hole */
};

#define SHAPE_COUNT 16
extern const struct shape shapes[SHAPE_COUNT];

/* A new file of this shape, the same for the same seed. */
void shape_make(const struct shape *shape, const char *path, uint64_t seed);

/*
 *	MOUNT/disks/ID.img	the sources; twins/ID.img: what they held
 *	MOUNT/store, MOUNT/out	where points are taken, and exported to
 */
struct engine {
	struct loopfs fs;
	struct rp_store *store;
	char out[PATH_MAX + 8];
	char point[POINT_SIZE]; /* the last one taken */
};

/* Mounts as loopfs_mount() does, with a new store. */
void engine_open(struct engine *e, const char *type, uint64_t size, const char *mkfs_opts,
		 const char *mount_opts);
void engine_close(struct engine *e); /* zeros are fine */

const char *engine_disk(const struct engine *e, const char *id); /* these are fmt()'s */
const char *engine_twin(const struct engine *e, const char *id);

/* The file of the last point that holds disk @id. */
const char *engine_clone(const struct engine *e, const char *id);

/* A new disk with data and holes at random, and its twin. */
void engine_make_disk(const struct engine *e, const char *id, uint64_t size);

/* Registers the system with these disks, which exist. */
void engine_add(struct engine *e, const char *const *ids, size_t count);

/* Takes a point, which must work; returns its document, to be given up. */
json_t *engine_take(struct engine *e, const struct rp_create_options *options);

/* Exports the last point, which must work; returns the report, to be given up. */
json_t *engine_export(const struct engine *e, const char *directory,
		      const struct rp_export_options *options);

/* What was written to the file system is on its device. */
void engine_sync(const struct engine *e);

/* Nothing is being made or removed, and nothing was left behind. */
void engine_expect_idle(const struct engine *e);

/* Whether the kernel lets us have it, which the log says if not. */
bool backend_works(enum rp_io io);

/* The disk @id of a point's document, a manifest or a report; borrowed. */
json_t *disk_of(const json_t *doc, const char *id);

void remove_tree(const char *path);

/* Makes a block device of file @path, or skips the test; it goes when the last fd of it
 * is closed, of which the first is returned. */
int loop_attach(const char *path, char ret_device[32]);

/* --------------------------------------------------------------- below the bytes */

/* Data bytes of the file; the rest is holes. What was only reserved counts as a hole
 * here and below, even if somebody has read its zeros. */
uint64_t data_bytes_of(const char *path);

/* Whether @copy has its data where @original has, grown outward to @grain (1 = exactly
 * there); says where not. */
bool same_holes_at(const char *original, const char *copy, uint64_t grain);

/* Extents of the file, and how many of them have all of @flags (FIEMAP_EXTENT_...). With
 * @synced dirty pages are written first. */
unsigned count_extents(const char *path, bool synced, unsigned flags, unsigned *ret_with);

/* Whether others have all its blocks too. */
bool is_shared(const char *path);

/* Bytes of the file in the page cache. */
uint64_t cached_bytes(const char *path);

/* Its FS_..._FL flags; 0 where there are none. */
unsigned inode_flags(const char *path);
void set_inode_flag(const char *path, unsigned flag);

#endif
