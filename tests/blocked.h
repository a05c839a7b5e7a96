/* SPDX-License-Identifier: MIT */
/*
 * blocked.h - a system call that is refused, as in a container
 */
#ifndef TESTS_BLOCKED_H
#define TESTS_BLOCKED_H

/* From here on @number fails with @error for this process. */
void block_syscall(unsigned number, unsigned error);

#endif
