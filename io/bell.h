/* SPDX-License-Identifier: MIT */
/*
 * bell.h - a FIFO that wakes one process and tells the others when it is gone
 *
 * Whoever owns the bell has it open; the kernel closes it even after SIGKILL. Others
 * ring it, or hold it open and are told by poll(2) (POLLERR) that there is no owner any
 * more: no process IDs, no instances that run out, nothing to be asked again and again.
 */
#ifndef IO_BELL_H
#define IO_BELL_H

#include <stdbool.h>
#include <stddef.h>

/* Makes one, mode 0600; one that is there is fine. 0 or -errno. */
int io_bell_make(int dirfd, const char *name);

/* Becomes the owner; the descriptor, or -errno. */
int io_bell_own(int dirfd, const char *name);

/* To wait for the owner's end: a descriptor, -ENXIO if there is no owner, or -errno. */
int io_bell_watch(int dirfd, const char *name);

/* Wakes the owner, if there is one. */
void io_bell_ring(int dirfd, const char *name);

/* Whether that which is @watched (< 0 = none) was rung, and its owner has not asked yet.
 * To open it for that would be a change of its folder, of which all are told. */
bool io_bell_is_ringing(int watched);

/* By the owner: whether it was rung since it was asked last. */
bool io_bell_rung(int own);

/* At once; who has more looks again when one of these ends. */
#define IO_BELL_WATCHED 64

/* Until @own is rung, one of @watched has lost its owner, or @timeout_ms (-1 = none) is
 * over: true, true, false. A signal may end it early, with true. */
bool io_bell_wait(int own, const int *watched, size_t count, int timeout_ms);

#endif
