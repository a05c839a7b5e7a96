/* SPDX-License-Identifier: MIT */
/*
 * clock.h - the time that nobody sets: for how long something takes, and until when to
 * wait
 */
#ifndef IO_CLOCK_H
#define IO_CLOCK_H

#include <pthread.h>
#include <stdint.h>

#define IO_MS UINT64_C(1000000) /* in nanoseconds */

/* Nanoseconds of CLOCK_MONOTONIC. */
uint64_t io_now_ns(void);

/* As pthread_cond_timedwait(), until io_now_ns() is @until_ns. @changed needs no clock of
 * its own. */
int io_wait_until(pthread_cond_t *changed, pthread_mutex_t *lock, uint64_t until_ns);

#endif
