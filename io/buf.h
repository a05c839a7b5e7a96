/* SPDX-License-Identifier: MIT */
/*
 * buf.h - the buffer pool: buffers of any size out of one huge-page aligned area
 *
 * All memory that bytes move through is here, allocated once. Huge pages halve
 * the time of direct I/O; the area is kept out of forked children because the
 * kernel may be writing into it (open(2), O_DIRECT and fork).
 */
#ifndef IO_BUF_H
#define IO_BUF_H

#include <stddef.h>

struct io_pool;

/* -ENOMEM if @bytes, a multiple of IO_POOL_PAGE, cannot be had. */
int io_pool_open(struct io_pool **ret, size_t bytes);
void io_pool_close(struct io_pool *pool); /* NULL is fine; all buffers returned */

/* What the area is made of. */
#define IO_POOL_PAGE ((size_t)2 << 20)

/* Sizes are rounded up to this, and buffers are aligned to it. */
#define IO_POOL_UNIT ((size_t)65536)

/*
 * In as few pages as there can be; NULL while there is no room. Waits for it up to @ms
 * milliseconds, 0 = not at all, in the order of those who wait: who gives a buffer back
 * and wants one again comes after them. Only who has no buffer may wait: two who had some
 * would wait for each other.
 */
void *io_pool_get(struct io_pool *pool, size_t len, int ms);
void io_pool_put(struct io_pool *pool, void *buf, size_t len); /* as it was got */

/*
 * Several threads may use one pool. One that is about to take buffers joins and, when it
 * has put back all of them, leaves; io_pool_share() is what is one user's for now.
 */
void io_pool_join(struct io_pool *pool);
void io_pool_leave(struct io_pool *pool);
size_t io_pool_share(struct io_pool *pool);

/* The whole area, for a backend that registers it with the kernel. */
void *io_pool_area(const struct io_pool *pool, size_t *ret_size);

#endif
