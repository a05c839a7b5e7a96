/* SPDX-License-Identifier: MIT */
/*
 * clock.c - CLOCK_MONOTONIC
 */
#include "clock.h"

#include <time.h>

#define SECOND UINT64_C(1000000000)

uint64_t io_now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * SECOND + (uint64_t)now.tv_nsec;
}

int io_wait_until(pthread_cond_t *changed, pthread_mutex_t *lock, uint64_t until_ns)
{
	const struct timespec until = {.tv_sec = (time_t)(until_ns / SECOND),
				       .tv_nsec = (long)(until_ns % SECOND)};

	return pthread_cond_clockwait(changed, lock, CLOCK_MONOTONIC, &until);
}
