/* SPDX-License-Identifier: MIT */
/*
 * small_file.h - small files: read and written whole, replaced at once, or without a name
 *
 * Everything is relative to a folder's fd, so that a rename of a parent in the
 * meantime cannot redirect it.
 */
#ifndef IO_SMALL_FILE_H
#define IO_SMALL_FILE_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* pread/pwrite of the whole range; -ENODATA at the end of the file. */
int io_pread_all(int fd, void *buf, size_t len, uint64_t start);
int io_pwrite_all(int fd, const void *buf, size_t len, uint64_t start);

/* Opens a file below @dirfd to read, following no link; any path for AT_FDCWD. Never
 * blocks, whatever lies there. fd or -errno. */
int io_open_read(int dirfd, const char *path);

/* The whole of a small file (at most @max bytes: -EFBIG), NUL added. */
int io_read_file(int dirfd, const char *name, size_t max, char **ret, size_t *ret_len);

/* Writes a new file of mode 0600: -EEXIST if it is there. The descriptor, or -errno. */
int io_write_unsynced(int dirfd, const char *name, const void *data, size_t len);

/* Writes a new file of mode 0600 in a folder nobody else knows yet: -EEXIST if it is
 * there. On stable storage when the folder is synced too. */
int io_write_new_file(int dirfd, const char *name, const void *data, size_t len);

/* Writes a file of mode @mode so that after a crash there is the old one or the
 * new one: temporary name, fsync, rename, fsync of the folder. It stays whose it was,
 * if who writes may give it away. */
int io_replace_file(int dirfd, const char *name, const void *data, size_t len,
		    mode_t mode);

/* The same without the last step: which of the two it is, is not known yet. */
int io_swap_file(int dirfd, const char *name, const void *data, size_t len, mode_t mode);

/* Its two halves. The first returns the descriptor of the file with the temporary name,
 * which is to be synced and closed, or -errno; the second gives it its name, or removes
 * it if it was not @synced (-errno). */
int io_swap_begin(int dirfd, const char *name, const void *data, size_t len, mode_t mode);
int io_swap_end(int dirfd, const char *name, int synced);

/* A new file of no name in the folder, gone when it is closed; where the file system has
 * no such thing, one whose name is gone at once. fd or -errno. */
int io_unnamed_file(int dirfd);

/* A new file without a name, gone when it is closed, on the file system of @dirfd, or if
 * that cannot be in /var/tmp: never is there a name in the folder, as NFS gives one to
 * what io_unnamed_file() makes (.nfs...). fd or -errno. */
int io_temporary_file(int dirfd);

#endif
