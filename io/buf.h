/* SPDX-License-Identifier: MIT */
/*
 * buf.h - the buffer pool: one huge-page aligned area cut into equal buffers
 *
 * All memory that bytes move through is here, allocated once. Huge pages halve
 * the time of direct I/O; the area is kept out of forked children because the
 * kernel may be writing into it (open(2), O_DIRECT and fork).
 */
#ifndef IO_BUF_H
#define IO_BUF_H

#include <stddef.h>

struct io_pool;

/* -ENOMEM if @bytes, a multiple of 2 MiB, cannot be had. */
int io_pool_open(struct io_pool **ret, size_t bytes);
void io_pool_close(struct io_pool *pool); /* NULL is fine; all buffers returned */

/* Cuts the area into buffers of @size bytes, a multiple of 4096; none is out yet.
 * Returns how many there are. */
unsigned io_pool_cut(struct io_pool *pool, size_t size);

void *io_pool_get(struct io_pool *pool); /* NULL when all are out */
void io_pool_put(struct io_pool *pool, void *buf);

/* The whole area, for a backend that registers it with the kernel. */
void *io_pool_area(const struct io_pool *pool, size_t *ret_size);

#endif
