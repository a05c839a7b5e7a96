/* SPDX-License-Identifier: MIT */
/*
 * psi.h - how long tasks have waited for I/O: pressure stall information
 */
#ifndef IO_PSI_H
#define IO_PSI_H

#include <stdint.h>

/* Opens that of the system or, with @cgroup (the absolute path of its folder), of the
 * tasks of one cgroup. fd or -errno: -ENOENT where the kernel does not keep it. */
int io_psi_open(const char *cgroup);

/* Microseconds during which some task was waiting. 0 or -errno. */
int io_psi_read(int fd, uint64_t *ret_us);

#endif
