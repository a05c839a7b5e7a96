/* SPDX-License-Identifier: MIT */
/*
 * buf.c - the buffer pool: runs of units of one mapping
 */
#include "buf.h"

#include <assert.h>
#include <pthread.h>
#include <string.h>
#include <sys/mman.h>

#include "base.h"
#include "clock.h"

/* Who has nothing and wants a buffer. */
struct waiter {
	pthread_cond_t changed; /* it is the first now, or there may be room */
	struct waiter *next;
};

struct io_pool {
	char *area; /* aligned to IO_POOL_PAGE */
	size_t area_size;
	pthread_mutex_t lock; /* of what follows */
	unsigned users;
	struct waiter *first;	  /* the others come after it */
	size_t count, free_count; /* units */
	bool used[];
};

/* mmap aligns to small pages only: map one huge page more and give the rest back. */
static char *map_area(size_t size)
{
	size_t mapped = size + IO_POOL_PAGE;
	size_t head;
	char *p;

	if (mapped < size)
		return NULL;
	p = mmap(NULL, mapped, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1,
		 0);
	if (p == MAP_FAILED)
		return NULL;
	head = round_up((uintptr_t)p, IO_POOL_PAGE) - (uintptr_t)p;
	if (head)
		munmap(p, head);
	munmap(p + head + size, IO_POOL_PAGE - head);
	return p + head;
}

int io_pool_open(struct io_pool **ret, size_t bytes)
{
	struct io_pool *pool;

	assert(bytes && bytes % IO_POOL_PAGE == 0);
	pool = calloc(1, sizeof(*pool) + bytes / IO_POOL_UNIT * sizeof(pool->used[0]));
	if (!pool)
		return -ENOMEM;
	pool->area_size = bytes;
	pool->count = pool->free_count = bytes / IO_POOL_UNIT;
	pool->area = map_area(bytes);
	if (!pool->area) {
		free(pool);
		return -ENOMEM;
	}
	/* Without huge pages it is slower, not wrong. */
	madvise(pool->area, bytes, MADV_HUGEPAGE);
	madvise(pool->area, bytes, MADV_DONTFORK); /* (H26) */
	pthread_mutex_init(&pool->lock, NULL);
	*ret = pool;
	return 0;
}

void io_pool_close(struct io_pool *pool)
{
	if (!pool)
		return;
	assert(pool->free_count == pool->count);
	munmap(pool->area, pool->area_size);
	pthread_mutex_destroy(&pool->lock);
	free(pool);
}

static size_t units(size_t len)
{
	return (len + IO_POOL_UNIT - 1) / IO_POOL_UNIT;
}

/* Whether @want units from the @first on are free; else @ret_next is where to look next.
 */
static bool is_free(const struct io_pool *pool, size_t first, size_t want,
		    size_t *ret_next)
{
	for (size_t i = first + want; i-- > first;) {
		if (pool->used[i]) {
			*ret_next = i + 1;
			return false;
		}
	}
	return true;
}

/* The lowest run that is long enough: what was used last is still in the caches. */
static void *get(struct io_pool *pool, size_t want, bool compact)
{
	const size_t page = IO_POOL_PAGE / IO_POOL_UNIT;
	size_t first = 0, next;

	while (first + want <= pool->count) {
		next = round_up(first, page);
		if (!compact || first % page + want <= page || next == first) {
			if (is_free(pool, first, want, &next)) {
				memset(&pool->used[first], true, want);
				pool->free_count -= want;
				return pool->area + first * IO_POOL_UNIT;
			}
		}
		first = next;
	}
	return NULL;
}

static void *take(struct io_pool *pool, size_t want)
{
	if (!want || want > pool->free_count)
		return NULL;
	return get(pool, want, true) ?: get(pool, want, false);
}

/* What the first one does not take may be enough for the next. */
static void wake_first(struct io_pool *pool)
{
	if (pool->first)
		pthread_cond_signal(&pool->first->changed);
}

static void *wait_in_line(struct io_pool *pool, size_t want, int ms)
{
	struct waiter me = {.next = NULL}, **at = &pool->first;
	uint64_t until = io_now_ns() + (uint64_t)ms * IO_MS;
	void *buf = NULL;
	int r = 0;

	pthread_cond_init(&me.changed, NULL);
	while (*at)
		at = &(*at)->next;
	*at = &me;
	while (!buf && r != ETIMEDOUT) {
		r = io_wait_until(&me.changed, &pool->lock, until);
		if (pool->first == &me)
			buf = take(pool, want);
	}
	for (at = &pool->first; *at != &me;)
		at = &(*at)->next;
	*at = me.next;
	pthread_cond_destroy(&me.changed);
	wake_first(pool);
	return buf;
}

void *io_pool_get(struct io_pool *pool, size_t len, int ms)
{
	size_t want = units(len);
	void *buf;

	pthread_mutex_lock(&pool->lock);
	buf = pool->first ? NULL : take(pool, want);
	if (!buf && want && ms > 0)
		buf = wait_in_line(pool, want, ms);
	pthread_mutex_unlock(&pool->lock);
	return buf;
}

void io_pool_put(struct io_pool *pool, void *buf, size_t len)
{
	size_t first = (size_t)((char *)buf - pool->area) / IO_POOL_UNIT;

	pthread_mutex_lock(&pool->lock);
	for (size_t i = first; i < first + units(len); i++) {
		assert(pool->used[i]);
		pool->used[i] = false;
	}
	pool->free_count += units(len);
	wake_first(pool);
	pthread_mutex_unlock(&pool->lock);
}

void io_pool_join(struct io_pool *pool)
{
	pthread_mutex_lock(&pool->lock);
	pool->users++;
	pthread_mutex_unlock(&pool->lock);
}

void io_pool_leave(struct io_pool *pool)
{
	pthread_mutex_lock(&pool->lock);
	pool->users--;
	pthread_mutex_unlock(&pool->lock);
}

size_t io_pool_share(struct io_pool *pool)
{
	size_t share;

	pthread_mutex_lock(&pool->lock);
	share = pool->area_size / (pool->users ?: 1);
	pthread_mutex_unlock(&pool->lock);
	return share;
}

void *io_pool_area(const struct io_pool *pool, size_t *ret_size)
{
	*ret_size = pool->area_size;
	return pool->area;
}
