/* SPDX-License-Identifier: MIT */
/*
 * tree.h - folders and small files: durable creation, atomic replacement,
 * removal of whole trees
 *
 * Everything is relative to a folder's fd, so that a rename of a parent in the
 * meantime cannot redirect it.
 */
#ifndef IO_TREE_H
#define IO_TREE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base.h"

/* O_DIRECTORY | O_CLOEXEC; fd or -errno. */
int io_dir_open(int dirfd, const char *path);

/* mkdir 0700 if missing, then open; *ret_made, if not NULL, tells whether it is new. */
int io_dir_make(int dirfd, const char *path, bool *ret_made);

/* From folder @at to its parent, for which no right to read it is needed: 1, 0 if it is
 * the root, or -errno, and @at is as it was. */
int io_dir_up(int *at);

/* Whether @fd is still what @name of @dirfd leads to: after a lock was waited for. */
bool io_dir_is_at(int dirfd, const char *name, int fd);

int io_fsync(int fd); /* 0 or -errno */

/* sync_file_range(): 0, or what became of the pages, of which no fsync tells again. 0 too
 * where it cannot, or may not, be called at all: then fsync does it. */
int io_write_pages(int fd, uint64_t start, uint64_t len, unsigned flags);

/* Names of the entries without "." and "..", sorted; free with io_names_free(). */
int io_dir_names(int dirfd, char ***ret_names, size_t *ret_count);
void io_names_free(char **names, size_t count);

/* A new file of no name in the folder, gone when it is closed; where the file system has
 * no such thing, one whose name is gone at once. fd or -errno. */
int io_unnamed_file(int dirfd);

/* Opens a file below @dirfd to read, following no link; any path for AT_FDCWD. Never
 * blocks, whatever lies there. fd or -errno. */
int io_open_read(int dirfd, const char *path);

/* Removes a file or a whole tree, immutable files included; -ENOENT is 0. */
int io_tree_remove(int dirfd, const char *name);

/* Removes all that is in folder @fd, but @but if that is not NULL; what cannot be removed
 * keeps nothing else from it. 0, or why the first one could not. */
int io_tree_empty(int fd, const char *but);

/* Renames without replacing: -EEXIST if the target is there. */
int io_rename_new(int from_dirfd, const char *from, int to_dirfd, const char *to);

/* Exchanges two names, at once: what was one is the other. -EOPNOTSUPP where the file
 * system cannot. */
int io_rename_exchange(int a_dirfd, const char *a, int b_dirfd, const char *b);

/* Whether it can, tried out in folder @dirfd, which is ours: 0, -EOPNOTSUPP or -errno. */
int io_can_exchange(int dirfd);

/* A new file without a name, gone when it is closed, on the file system of @dirfd, or if
 * that cannot be in /var/tmp: never is there a name in the folder, as NFS gives one to
 * what io_unnamed_file() makes (.nfs...). fd or -errno. */
int io_temporary_file(int dirfd);

/* The whole of a small file (at most @max bytes: -EFBIG), NUL added. */
int io_read_file(int dirfd, const char *name, size_t max, char **ret, size_t *ret_len);

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

/* Writes a new file of mode 0600: -EEXIST if it is there. The descriptor, or -errno. */
int io_write_unsynced(int dirfd, const char *name, const void *data, size_t len);

/* Writes a new file of mode 0600 in a folder nobody else knows yet: -EEXIST if it is
 * there. On stable storage when the folder is synced too. */
int io_write_new_file(int dirfd, const char *name, const void *data, size_t len);

/* pread/pwrite of the whole range; -ENODATA at the end of the file. */
int io_pread_all(int fd, void *buf, size_t len, uint64_t start);
int io_pwrite_all(int fd, const void *buf, size_t len, uint64_t start);

/*
 * flock of a folder or file: exclusive or shared, waiting up to @timeout_ms.
 * 0, -EWOULDBLOCK (held, @timeout_ms 0), -ETIME (held all that time), -errno.
 */
int io_lock(int fd, bool exclusive, uint64_t timeout_ms);

/* Takes over @fd, which may be the -errno of its open: that, locked exclusively, or
 * -errno and it is closed. */
int io_locked(int fd, uint64_t timeout_ms);

/*
 * Gives up the lock of @fd, if it has one, and closes it; < 0 is fine. A close alone
 * would leave the lock to a child that was forked meanwhile, which has the same open
 * file. So has a dup() of @fd: this is for the one that is closed last.
 */
void io_unlock_close(int fd);

#define _cleanup_unlock_ _cleanup_(cleanup_unlock)

static inline void cleanup_unlock(const int *fd)
{
	io_unlock_close(*fd);
}

/* Whether anybody else holds a lock of a part of the file, as QEMU does of its images, or
 * flock()'s, for longer than a moment: 1, 0, or -errno if that cannot be told, as on NFS
 * where @fd is not writable. It has no lock of its own. */
int io_is_in_use(int fd);

#endif
