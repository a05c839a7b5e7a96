/* SPDX-License-Identifier: MIT */
/*
 * blocked.h - what is refused in a container: a system call, a capability
 */
#ifndef TESTS_BLOCKED_H
#define TESTS_BLOCKED_H

#include <stdbool.h>

/* From here on @number fails with @error for this process. */
void block_syscall(unsigned number, unsigned error);

/* Whether this thread has this one of the capabilities it may have. */
void let_have(unsigned capability, bool on);

#endif
