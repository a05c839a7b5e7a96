/* SPDX-License-Identifier: MIT */
/*
 * dirty.h - what the page cache still has to write
 */
#ifndef IO_DIRTY_H
#define IO_DIRTY_H

#include <stdint.h>

/* To wherever, whosever it is; UINT64_MAX if nobody says. */
uint64_t io_dirty_bytes(void);

#endif
