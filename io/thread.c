/* SPDX-License-Identifier: MIT */
/*
 * thread.c - a thread inherits the signal mask of the one that starts it
 */
#include "thread.h"

#include <errno.h>
#include <signal.h>

int io_thread_start(pthread_t *ret, void *(*run)(void *arg), void *arg)
{
	sigset_t all, before;
	int r;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	r = pthread_create(ret, NULL, run, arg);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return r == EAGAIN ? -ENOMEM : -r;
}
