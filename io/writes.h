/* SPDX-License-Identifier: MIT */
/*
 * writes.h - whether somebody has written to a block device
 */
#ifndef IO_WRITES_H
#define IO_WRITES_H

#include <stdbool.h>
#include <stdint.h>

/* How many sectors of it were written or discarded since it is there, by anybody, what is
 * still in its page cache included: that is written now. 0 or -errno. */
int io_count_writes(int device, uint64_t *ret);

/* Whether the kernel says that it counts them (queue/iostats). Device mapper does, but of
 * some versions says that it does not. */
bool io_writes_are_counted(int device);

#endif
