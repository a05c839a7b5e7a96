/* SPDX-License-Identifier: MIT */
/*
 * share.h - the rungs that move no bytes through us: clone, and copy by a server
 */
#ifndef ENGINE_SHARE_H
#define ENGINE_SHARE_H

#include "io/fs.h"
#include "stream.h"
#include "watch.h"

/*
 * Clones the source in pieces, so that others get at it between them: the source
 * is frozen, and no single instant of it is needed. What cannot be cloned is left
 * to the next rung, with the reason; RP_NOT_SUPPORTED if that is not allowed.
 */
uint32_t share_clone(struct stream *s, struct watch *w, struct rp_error *err);

/* copy_file_range where a server does it; what it does not do is left. */
uint32_t share_server_copy(struct stream *s, struct watch *w, struct rp_error *err);

/* Whether it is known that of @s, whose destination is a file, nothing will be shared nor
 * copied by a server: the first piece is tried. */
bool share_is_refused(struct stream *s);

/* Whether the file system @fs, of @fd, is one of which is known that it shares blocks. */
bool share_is_known(int fd, const struct io_fs *fs);

/* H18: whether a clone has all that was cloned, the source being frozen. 0 or -errno. */
int share_check(int src, int dst, uint64_t size);

#endif
