/* SPDX-License-Identifier: MIT */
/*
 * buf.c - the buffer pool: a stack of free buffers over one mapping
 */
#include "buf.h"

#include <assert.h>
#include <sys/mman.h>

#include "base.h"

#define HUGE_PAGE (2 * MIB)
#define MIN_BUF	  ((size_t)4096)

struct io_pool {
	char *area; /* aligned to HUGE_PAGE */
	size_t area_size;
	unsigned count;
	unsigned free_count;
	void *free[]; /* a stack: the buffer last used is the one still in the caches */
};

/* mmap aligns to small pages only: map one huge page more and give the rest back. */
static char *map_area(size_t size)
{
	size_t mapped = size + HUGE_PAGE;
	size_t head;
	char *p;

	if (mapped < size)
		return NULL;
	p = mmap(NULL, mapped, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1,
		 0);
	if (p == MAP_FAILED)
		return NULL;
	head = round_up((uintptr_t)p, HUGE_PAGE) - (uintptr_t)p;
	if (head)
		munmap(p, head);
	munmap(p + head + size, HUGE_PAGE - head);
	return p + head;
}

int io_pool_open(struct io_pool **ret, size_t bytes)
{
	struct io_pool *pool;

	assert(bytes && bytes % HUGE_PAGE == 0);
	pool = calloc(1, sizeof(*pool) + bytes / MIN_BUF * sizeof(pool->free[0]));
	if (!pool)
		return -ENOMEM;
	pool->area_size = bytes;
	pool->area = map_area(bytes);
	if (!pool->area) {
		free(pool);
		return -ENOMEM;
	}
	/* Without huge pages it is slower, not wrong. */
	madvise(pool->area, bytes, MADV_HUGEPAGE);
	madvise(pool->area, bytes, MADV_DONTFORK); /* (H26) */
	*ret = pool;
	return 0;
}

unsigned io_pool_cut(struct io_pool *pool, size_t size)
{
	assert(pool->free_count == pool->count && size && size % MIN_BUF == 0);
	pool->count = (unsigned)(pool->area_size / size);
	for (pool->free_count = 0; pool->free_count < pool->count; pool->free_count++)
		pool->free[pool->free_count] =
			pool->area + (pool->count - 1 - pool->free_count) * size;
	return pool->count;
}

void io_pool_close(struct io_pool *pool)
{
	if (!pool)
		return;
	assert(pool->free_count == pool->count);
	munmap(pool->area, pool->area_size);
	free(pool);
}

void *io_pool_get(struct io_pool *pool)
{
	return pool->free_count ? pool->free[--pool->free_count] : NULL;
}

void io_pool_put(struct io_pool *pool, void *buf)
{
	assert(pool->free_count < pool->count);
	pool->free[pool->free_count++] = buf;
}

void *io_pool_area(const struct io_pool *pool, size_t *ret_size)
{
	*ret_size = pool->area_size;
	return pool->area;
}
