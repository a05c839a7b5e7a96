/* SPDX-License-Identifier: MIT */
/*
 * crowd.h - the same small thing done for many, by a few threads at once
 *
 * For what waits more than it works: a thousand documents that lie on a cold disk.
 */
#ifndef ENGINE_CROWD_H
#define ENGINE_CROWD_H

#include <stddef.h>

/* Calls @one for each of @count, in any order, from any thread, also the caller's, and
 * returns when all have returned. */
void crowd(size_t count, void (*one)(void *context, size_t index), void *context);

#endif
