/* SPDX-License-Identifier: MIT */
/*
 * psi.c - how long tasks have waited for I/O: pressure stall information
 */
#include "psi.h"

#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "base.h"

int io_psi_open(const char *cgroup)
{
	char path[PATH_MAX];
	int fd;

	if (!cgroup)
		strcpy(path, "/proc/pressure/io");
	else if (snprintf(path, sizeof(path), "%s/io.pressure", cgroup) >=
		 (int)sizeof(path))
		return -ENAMETOOLONG;
	fd = open(path, O_RDONLY | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

/* "some avg10=0.00 avg60=0.00 avg300=0.00 total=0" */
int io_psi_read(int fd, uint64_t *ret_us)
{
	char text[256];
	ssize_t len = pread(fd, text, sizeof(text) - 1, 0);
	unsigned long long total;

	if (len < 0)
		return -errno;
	text[len] = '\0';
	if (sscanf(text, "some %*s %*s %*s total=%llu", &total) != 1)
		return -EBADMSG;
	*ret_us = total;
	return 0;
}
