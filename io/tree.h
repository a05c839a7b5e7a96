/* SPDX-License-Identifier: MIT */
/*
 * tree.h - folders: made, listed, removed with all that is below them, renamed, synced
 *
 * Everything is relative to a folder's fd, so that a rename of a parent in the
 * meantime cannot redirect it.
 */
#ifndef IO_TREE_H
#define IO_TREE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>

/* O_DIRECTORY | O_CLOEXEC; fd or -errno. */
int io_dir_open(int dirfd, const char *path);

/* mkdir 0700 if missing, then open; *ret_made, if not NULL, tells whether it is new. */
int io_dir_make(int dirfd, const char *path, bool *ret_made);

/* From folder @at, which @st is of, to its parent, for which no right to read it is
 * needed: 1, 0 if it is the root, or -errno, and both are as they were. */
int io_dir_up(int *at, struct stat *st);

/* Whether @fd is still what @name of @dirfd leads to: after a lock was waited for. */
bool io_dir_is_at(int dirfd, const char *name, int fd);

int io_fsync(int fd); /* 0 or -errno */

/* sync_file_range(): 0, or what became of the pages, of which no fsync tells again. 0 too
 * where it cannot, or may not, be called at all: then fsync does it. */
int io_write_pages(int fd, uint64_t start, uint64_t len, unsigned flags);

/* Names of the entries without "." and "..", sorted; free with io_names_free(). */
int io_dir_names(int dirfd, char ***ret_names, size_t *ret_count);
void io_names_free(char **names, size_t count);

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

#endif
