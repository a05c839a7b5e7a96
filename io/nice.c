/* SPDX-License-Identifier: MIT */
/*
 * nice.c - ioprio_get(2) and ioprio_set(2)
 */
#include "nice.h"

#include <linux/ioprio.h>
#include <sys/syscall.h>
#include <unistd.h>

int io_nice_set(enum io_nice nice)
{
	int before;

	if (nice == IO_NICE_AS_IS)
		return -1;
	before = (int)syscall(SYS_ioprio_get, IOPRIO_WHO_PROCESS, 0);
	syscall(SYS_ioprio_set, IOPRIO_WHO_PROCESS, 0,
		nice == IO_NICE_IDLE ? IOPRIO_PRIO_VALUE(IOPRIO_CLASS_IDLE, 0)
				     : IOPRIO_PRIO_VALUE(IOPRIO_CLASS_BE, 7));
	return before;
}

void io_nice_restore(int before)
{
	if (before >= 0)
		syscall(SYS_ioprio_set, IOPRIO_WHO_PROCESS, 0, before);
}
