/* SPDX-License-Identifier: MIT */
/*
 * nice.h - the I/O priority of the calling thread, and of those it starts
 */
#ifndef IO_NICE_H
#define IO_NICE_H

enum io_nice {
	IO_NICE_AS_IS,
	IO_NICE_LOW,  /* best effort, the last level */
	IO_NICE_IDLE, /* when nobody else wants the device */
};

/* What it was, for io_nice_restore(); a kernel that refuses leaves it as it is. */
int io_nice_set(enum io_nice nice);
void io_nice_restore(int before);

#endif
