/* SPDX-License-Identifier: MIT */
/*
 * gear.c - what one thread moves bytes with: a queue and a share of a pool, kept from one
 * move to the next
 */
#include "gear.h"

#include <string.h>

#include "io/base.h"
#include "io/thread.h"

#define QUEUE_DEPTH 128 /* a buffer may be many small writes */

static int open_queue(const struct tuning *t, struct io_pool *pool, struct io_queue **ret)
{
	return io_queue_open(ret, t->backends, (unsigned)max_u64(QUEUE_DEPTH, t->depth),
			     pool);
}

static int take_kept(struct gear *gear, const struct tuning *t, struct io_queue **ret)
{
	int r;

	if (gear->q && gear->backends != t->backends &&
	    strcmp(io_queue_backend(gear->q), t->backends[0])) {
		io_queue_close(gear->q);
		gear->q = NULL;
	}
	if (!gear->q) {
		r = open_queue(t, gear->pool, &gear->q);
		if (r < 0)
			return r;
		gear->backends = t->backends;
	}
	*ret = gear->q;
	return 0;
}

static void wait_for_closer(struct gear *gear)
{
	if (gear->closing)
		pthread_join(gear->closer, NULL);
	gear->closing = false;
}

/* The one that was asked for does not work here, or not now; "auto" always has one. */
static uint32_t no_backend(int error, const char *name, struct rp_error *err)
{
	uint32_t rc = rp_fail_os(err, error, "open", "I/O backend %s", name);

	if (error == -EPERM) /* seccomp or kernel.io_uring_disabled: nobody's files */
		rc = RP_NOT_SUPPORTED;
	else if (error == -EAGAIN) /* fs.aio-max-nr: nothing that is locked */
		rc = RP_FAILED;
	if (err)
		err->code = rc;
	return rc;
}

uint32_t gear_take(const struct tuning *tuning, uint64_t bytes, struct io_pool **ret_pool,
		   struct io_queue **ret_q, struct rp_error *err)
{
	struct gear *gear = tuning->gear;
	struct io_pool *pool = NULL;
	struct io_queue *q = NULL;
	struct tuning t = *tuning;
	size_t kept = 0;
	int r;

	if (gear && gear->pool)
		io_pool_area(gear->pool, &kept);
	if (t.memory <= kept) {
		pool = gear->pool;
		io_pool_join(pool);
		r = take_kept(gear, &t, &q);
	} else {
		if (gear) /* the limit of memory is one of all pools */
			wait_for_closer(gear);
		tuning_shrink(&t, bytes);
		r = io_pool_open(&pool, t.memory);
		if (r < 0)
			return rp_fail_os(err, r, "allocate", "buffers");
		r = open_queue(&t, pool, &q);
	}
	if (r < 0) {
		gear_give(tuning, pool, NULL);
		return no_backend(r, t.backends[0], err);
	}
	io_queue_set_block(q, t.block);
	*ret_pool = pool;
	*ret_q = q;
	return RP_OK;
}

static void *close_old(void *arg)
{
	struct gear *gear = arg;

	io_queue_close(gear->old_q);
	io_pool_close(gear->old_pool);
	return NULL;
}

void gear_give(const struct tuning *t, struct io_pool *pool, struct io_queue *q)
{
	struct gear *gear = t->gear;

	if (gear && gear->pool == pool) {
		io_pool_leave(pool);
		return;
	}
	if (!gear) {
		io_queue_close(q);
		io_pool_close(pool);
		return;
	}
	gear->old_q = q; /* the one before was waited for by gear_take() */
	gear->old_pool = pool;
	gear->closing = io_thread_start(&gear->closer, close_old, gear) == 0;
	if (!gear->closing)
		close_old(gear);
}

void gear_close(struct gear *gear)
{
	wait_for_closer(gear);
	io_queue_close(gear->q);
	gear->q = NULL;
}
