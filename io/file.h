/* SPDX-License-Identifier: MIT */
/*
 * file.h - one side of a copy: an open disk file or block device
 *
 * Opened for direct I/O where the file system allows it. A range whose end is
 * not aligned has a direct body and a buffered tail; the tail exists only at the
 * end of a file. Where direct I/O is refused, or is known to be buffered by the
 * file system behind our back (Btrfs data checksums, H24), the file is buffered
 * and the page cache is emptied behind the front of the copy.
 */
#ifndef IO_FILE_H
#define IO_FILE_H

#include <stdbool.h>
#include <stdint.h>
#include <time.h>

struct io_file {
	int fd;	       /* the file, through the page cache */
	int direct_fd; /* the same with O_DIRECT; -1 = none, .buffered tells why */
	bool device;   /* a block device */
	bool writable;
	uint32_t align; /* body: offsets and lengths; power of two, >= 4096 if direct */
	uint32_t block; /* file system block: the grain of its holes and clones; of a
			   device its logical sector, but >= 4096 */
	uint32_t fs;	/* magic of its file system (fs.h); 0 of a device */
	uint64_t size;	/* bytes, when opened; set by io_file_set_size() */
	const char *buffered; /* why not direct; NULL if direct; static text */
	bool may_cache;	      /* direct, but what is read may stay in the page cache */
	int error; /* the first of write-back or a sync; every later sync fails too */
	uint64_t behind;	 /* page cache emptied up to here */
	uint64_t front;		 /* write-back started up to here */
	struct timespec touched; /* the tick of the last io_file_touch() */
};

#define IO_FILE_NONE                      \
	{                                 \
		.fd = -1, .direct_fd = -1 \
	}

/*
 * Opens @path under @dirfd. The file must be a regular file or block device:
 * -ENOTBLK otherwise; in a folder, that is not AT_FDCWD, it must not be a link: -ELOOP.
 * @ret is filled on success only; io_file_close() it.
 */
int io_file_open_read(int dirfd, const char *path, struct io_file *ret);

/*
 * Creates a new regular file, mode 0600, -EEXIST if there is one. On Btrfs files share
 * blocks only if both have data copy-on-write or neither (H19), so the file is made
 * like @twin_fd if that is on Btrfs too. Else (and for -1) it takes after its folder.
 */
int io_file_create(int dirfd, const char *path, int twin_fd, struct io_file *ret);

/* The same without a name: gone when it is closed. */
int io_file_create_unnamed(int dirfd, struct io_file *ret);

/* Opens a regular file to go on writing it; not a link: -ELOOP, nor anything else:
 * -EINVAL. */
int io_file_open_write(int dirfd, const char *path, struct io_file *ret);

/* A block device to write to, exclusively: -EBUSY if it is mounted. */
int io_file_open_device(const char *path, struct io_file *ret);

void io_file_close(struct io_file *file); /* unopened is fine */

static inline bool io_file_is_direct(const struct io_file *file)
{
	return file->direct_fd >= 0;
}

/* Of the offsets, lengths and buffers of direct I/O to it: what the kernel says, else its
 * block, but a page at least. 0 if there can be none. */
uint32_t io_file_direct_align(const struct io_file *file);

int io_file_set_size(struct io_file *file, uint64_t size); /* ftruncate */

/* Whether it is shorter than when it was opened: what was cut off reads as a hole. */
bool io_file_was_cut(const struct io_file *file);

/* Reserves [start, start+len), so that writes need no allocation and lack of
 * space shows before them. -EOPNOTSUPP where the file system cannot. */
int io_file_allocate(struct io_file *file, uint64_t start, uint64_t len);

/* Makes it read as zeros: a hole, where the file system has such a thing. */
int io_file_clear(struct io_file *file, uint64_t start, uint64_t len);

/* Makes [start, start+len) of a block device read as zeros, by the device if it can. */
int io_file_zero(struct io_file *file, uint64_t start, uint64_t len);

/*
 * Before a write that must not wait: changes the file's times now if it would have to,
 * which is at most once a tick of the kernel's clock. Where it does not work the write
 * does it, and waits. Elsewhere than on XFS it would be for nothing, and on FUSE and
 * network file systems a request that is waited for.
 */
void io_file_touch(struct io_file *file);

/*
 * Called by the io layer after bytes up to @end went through the page cache. 0, or the
 * first error of write-back: waiting for it takes the error, and no later fsync of the
 * same descriptor tells it again.
 */
int io_file_advance(struct io_file *file, uint64_t end);

/* Called by the io layer after a sync: what is left of the file in the page cache goes.
 * 0, or that first error. */
int io_file_drop_cache(struct io_file *file);

/* Bytes the file system stores for the file; a device's size. */
int io_file_allocated(const struct io_file *file, uint64_t *ret_bytes);

#endif
