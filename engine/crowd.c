/* SPDX-License-Identifier: MIT */
/*
 * crowd.c - a counter, and threads that take from it
 */
#include "crowd.h"

#include <stdatomic.h>

#include "io/base.h"
#include "io/thread.h"

#define THREADS 16
#define EACH	8 /* a thread for fewer is not worth while */

struct crowd {
	size_t count;
	void (*one)(void *context, size_t index);
	void *context;
	atomic_size_t next;
};

static void *work(void *arg)
{
	struct crowd *c = arg;
	size_t i;

	while ((i = atomic_fetch_add(&c->next, 1)) < c->count)
		c->one(c->context, i);
	return NULL;
}

/* Fewer threads only take longer. */
void crowd(size_t count, void (*one)(void *context, size_t index), void *context)
{
	struct crowd c = {.count = count, .one = one, .context = context};
	size_t wanted = min_u64(count / EACH, THREADS), started = 0;
	pthread_t threads[THREADS];

	while (started < wanted && io_thread_start(&threads[started], work, &c) == 0)
		started++;
	work(&c);
	while (started > 0)
		pthread_join(threads[--started], NULL);
}
