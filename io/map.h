/* SPDX-License-Identifier: MIT */
/*
 * map.h - the map of a file: what its extents are, streamed in order
 *
 * Only for files that nobody writes (H4), and only to be compared with the map of
 * another file of the same file system that is read at about the same time: blocks
 * move, and addresses are used again (H5, H6). An address is never a place to read
 * from (H9).
 *
 * What a file system says of a file is made comparable here: pieces are joined where
 * they go on, flags that say nothing of the contents (LAST, SHARED, MERGED: H7) are
 * gone, gaps are extents too. Memory does not grow with the number of extents.
 */
#ifndef IO_MAP_H
#define IO_MAP_H

#include <stdbool.h>
#include <stdint.h>

enum io_extent_kind {
	IO_EXTENT_ZERO,	 /* a hole, or reserved and never written: reads as zeros */
	IO_EXTENT_DATA,	 /* the same place is the same data */
	IO_EXTENT_TAINT, /* data whose place says nothing: compressed, inline, unknown...
			  */
};

struct io_extent {
	uint64_t start, end;
	enum io_extent_kind kind;
	uint64_t at; /* DATA: the place of its first byte; the others follow */
	/* DATA: the compressed extent that at is an offset in, and how it is compressed;
	 * 0 = not compressed, at is an address. */
	uint64_t packed;
	uint8_t packing;
};

/* Whether the two, which begin at the same offset, hold the same there: both ZERO, or
 * DATA in the same place. */
bool io_extent_same(const struct io_extent *a, const struct io_extent *b);

/* Moves its beginning to @start, which is within. */
void io_extent_cut(struct io_extent *e, uint64_t start);

struct io_map {
	uint64_t size;		/* what lies behind it is not told */
	uint64_t limit;		/* what lies behind it is not asked for yet */
	uint64_t pos;		/* everything before it was given out */
	uint64_t read_to;	/* everything before it was read */
	bool ended;		/* no more records before the limit */
	struct io_extent ahead; /* the record read last, if not given out; else empty */
	/* The reader: the next record the file system has before the limit (gaps are left
	 * out), in order: 0, -ENXIO, or -errno. One that goes on behind the limit is told
	 * again when that has moved. */
	int (*record)(struct io_map *map, struct io_extent *ret);
	int (*await)(struct io_map *map); /* NULL: its readings are never torn */
	void (*close)(struct io_map *map);
};

/* By FIEMAP: -EOPNOTSUPP where there is none. */
int io_map_open_fiemap(struct io_map **ret, int fd, uint64_t size);

/*
 * By Btrfs' tree of the file, which knows of compressed extents what is where in them.
 * -EPERM without CAP_SYS_ADMIN, -ENOTTY on other file systems.
 */
int io_map_open_tree(struct io_map **ret, int fd, uint64_t size);

void io_map_close(struct io_map *map); /* NULL is fine */

/*
 * Waits until every extent that was out of its place when this was called, for another to
 * be put there, has its place again. A map that is read before and after it and is the
 * same was not torn. 0 or -errno.
 */
int io_map_await(struct io_map *map);

/*
 * The map ends at @limit, until that is moved on: what lies behind it is then read after
 * that call, not before. Without one it ends with the file.
 */
void io_map_limit(struct io_map *map, uint64_t limit);

/* The next extent: together they cover [0, limit) once, in order. 0, -ENXIO at the end,
 * or -errno. */
int io_map_next(struct io_map *map, struct io_extent *ret);

#endif
