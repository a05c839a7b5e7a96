/* SPDX-License-Identifier: MIT */
/*
 * change_fixture.h - two files on a real file system, and what changed between them
 */
#ifndef TESTS_CHANGE_FIXTURE_H
#define TESTS_CHANGE_FIXTURE_H

#include "engine/change_source.h"
#include "engine_fixture.h"
#include "harness.h"
#include "loopfs.h"

#define BLOCK 4096

/* On every file system that can share blocks. */
#define CHANGE_FIXTURE                                                           \
	FIXTURE(change)                                                          \
	{                                                                        \
		struct loopfs fs;                                                \
	};                                                                       \
	FIXTURE_VARIANT(change)                                                  \
	{                                                                        \
		const char *type, *mount;                                        \
	};                                                                       \
	FIXTURE_VARIANT_ADD(change, xfs){.type = "xfs"};                         \
	FIXTURE_VARIANT_ADD(change, btrfs){.type = "btrfs"};                     \
	FIXTURE_VARIANT_ADD(change, btrfs_zstd){.type = "btrfs",                 \
						.mount = "compress-force=zstd"}; \
	FIXTURE_SETUP(change)                                                    \
	{                                                                        \
		loopfs_mount(&self->fs, variant->type, 0, NULL, variant->mount); \
	}                                                                        \
	FIXTURE_TEARDOWN(change)                                                 \
	{                                                                        \
		loopfs_umount(&self->fs);                                        \
	}

#define ZSTD	   (variant->mount != NULL)
#define PATH(name) fmt("%s/" name, self->fs.mnt)
#define ON_BTRFS   (strcmp(variant->type, "btrfs") == 0)
#define BTRFS_ONLY()                        \
	do {                                \
		if (!ON_BTRFS)              \
			SKIP("not of XFS"); \
	} while (0)

int new_file(const char *path);

/* @size bytes that do not compress, or do; on the device. */
int filled(const char *path, uint64_t size, bool packs);

void clone_to(int fd, const char *path);
void clone_range(int from, uint64_t at, uint64_t len, int to, uint64_t to_at);
void write_at(int fd, uint64_t seed, uint64_t start, uint64_t len); /* and syncs */
void punch(int fd, uint64_t start, uint64_t len);

struct pair {
	struct change_pair p;
	struct tuning tuning;
	struct watch watch;
	struct ranges ranges;
	struct rp_error err;
	const char *source;
};

void pair_open(struct pair *x, const char *base, const char *target);
void pair_close(struct pair *x);

/* "data 0+4096 zero 8192+4096" */
const char *changes_text(struct ranges *ranges);

/* What changed between two files, by this source (NULL = the best); the sums are kept in
 * @ret_bytes, if given. */
const char *changes(const char *base, const char *target,
		    const struct change_source *source, uint64_t *ret_bytes);

/* The same from every source there is here. */
#define EXPECT_CHANGES(base, target, want)                                             \
	do {                                                                           \
		EXPECT_STREQ(changes(base, target, &change_extents, NULL), want);      \
		if (ON_BTRFS)                                                          \
			EXPECT_STREQ(changes(base, target, &change_tree, NULL), want); \
		EXPECT_STREQ(changes(base, target, &change_content, NULL), want);      \
	} while (0)

#endif
