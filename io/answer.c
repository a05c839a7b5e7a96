/* SPDX-License-Identifier: MIT */
/*
 * answer.c - a question in a thread of its own
 */
#include "answer.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <string.h>
#include <sys/stat.h>

#include "base.h"
#include "clock.h"
#include "thread.h"

#define ANSWER_NS (2000 * IO_MS)

/* Of two: who goes last frees it. */
struct question {
	pthread_mutex_t lock;
	pthread_cond_t changed;
	bool answered, given_up;
	char path[];
};

static void end(struct question *q)
{
	pthread_cond_destroy(&q->changed);
	pthread_mutex_destroy(&q->lock);
	free(q);
}

static void *ask(void *arg)
{
	struct question *q = arg;
	struct statx st;
	bool last;

	/* The server, not what is remembered of it. */
	statx(AT_FDCWD, q->path, AT_STATX_FORCE_SYNC, STATX_BASIC_STATS, &st);
	pthread_mutex_lock(&q->lock);
	q->answered = true;
	last = q->given_up;
	pthread_cond_signal(&q->changed);
	pthread_mutex_unlock(&q->lock);
	if (last)
		end(q);
	return NULL;
}

/* Whether it has come in time: then the thread is at its end. */
static bool await(struct question *q)
{
	uint64_t until = io_now_ns() + ANSWER_NS;
	bool answered;
	int r = 0;

	pthread_mutex_lock(&q->lock);
	while (!q->answered && r != ETIMEDOUT)
		r = io_wait_until(&q->changed, &q->lock, until);
	answered = q->answered;
	q->given_up = !answered;
	pthread_mutex_unlock(&q->lock);
	return answered;
}

int io_answers(const char *path)
{
	size_t size = strlen(path) + 1;
	struct question *q = calloc(1, sizeof(*q) + size);
	pthread_t thread;
	int r;

	if (!q)
		return -ENOMEM;
	memcpy(q->path, path, size);
	pthread_mutex_init(&q->lock, NULL);
	pthread_cond_init(&q->changed, NULL);
	r = io_thread_start(&thread, ask, q);
	if (r < 0) {
		end(q);
		return r;
	}
	if (!await(q)) {
		pthread_detach(thread);
		return -ETIME;
	}
	pthread_join(thread, NULL);
	end(q);
	return 0;
}
