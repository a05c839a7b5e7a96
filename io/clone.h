/* SPDX-License-Identifier: MIT */
/*
 * clone.h - sharing blocks, and copies made by a server: thin wrappers of
 * FICLONE, FICLONERANGE and copy_file_range, and the flags that go with them
 */
#ifndef IO_CLONE_H
#define IO_CLONE_H

#include <stdbool.h>
#include <stdint.h>

int io_clone_file(int src, int dst); /* the whole file, one instant of it */

/* Offsets are multiples of the file system's block, and so is @len unless it ends where
 * @src does and nothing of @dst is behind it. */
int io_clone_range(int src, uint64_t start, int dst, uint64_t to, uint64_t len);

/*
 * Whether @error says that cloning is impossible here, rather than that it failed
 * this time. Only before any byte was cloned may it be answered by copying (H18).
 */
bool io_clone_refused(int error);

/* Whether copy_file_range between files on the two is a copy made by a server: both are
 * NFS, CIFS, Ceph or FUSE, and the same kind, by their numbers of <linux/magic.h>. */
bool io_server_copies(uint32_t src_fs, uint32_t dst_fs);

/*
 * One copy_file_range, of 64 MiB at most (H14). Returns bytes copied, 0 when the
 * file system claims the end of the file (check it: H13), or -errno.
 */
int64_t io_server_copy(int src, int dst, uint64_t start, uint64_t len);

/* FS_NOCOW_FL; false where the file system has no such flag. */
bool io_is_nocow(int fd);

/* FS_IMMUTABLE_FL: 0, or -errno where not allowed. */
int io_set_immutable(int fd, bool on);

#endif
