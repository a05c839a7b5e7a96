/* SPDX-License-Identifier: MIT */
/*
 * dirty.c - asking /proc/meminfo
 */
#include "dirty.h"

#include <fcntl.h>
#include <string.h>

#include "base.h"

uint64_t io_dirty_bytes(void)
{
	_cleanup_close_ int fd = open("/proc/meminfo", O_RDONLY | O_CLOEXEC);
	char text[2048];
	ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
	const char *line;

	text[n > 0 ? n : 0] = '\0';
	line = strstr(text, "\nDirty:");
	return line ? strtoull(line + strlen("\nDirty:"), NULL, 10) * KIB : UINT64_MAX;
}
