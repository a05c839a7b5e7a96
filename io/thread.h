/* SPDX-License-Identifier: MIT */
/*
 * thread.h - threads of the library's own
 */
#ifndef IO_THREAD_H
#define IO_THREAD_H

#include <pthread.h>

/* One that takes no signals: they are for the caller's threads, which have not heard of
 * this one. Join or detach it. 0 or -errno: -ENOMEM where there is no room for one more.
 */
int io_thread_start(pthread_t *ret, void *(*run)(void *arg), void *arg);

#endif
