/* SPDX-License-Identifier: MIT */
/*
 * writes.c - what the kernel counts of a block device (its Documentation/block/stat.rst)
 */
#include "writes.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "base.h"
#include "tree.h"

int io_count_writes(int device, uint64_t *ret)
{
	char path[64], text[512];
	struct stat st;
	FILE *file;
	int r = io_fsync(device);

	if (r < 0)
		return r;
	if (fstat(device, &st) < 0)
		return -errno;
	snprintf(path, sizeof(path), "/sys/dev/block/%u:%u/stat", major(st.st_rdev),
		 minor(st.st_rdev));
	file = fopen(path, "re");
	if (!file)
		return -errno;
	/* Reads, merged, sectors, milliseconds; of writes the same. A flush is a write,
	 * too, of no sectors. */
	if (!fgets(text, sizeof(text), file) ||
	    sscanf(text, "%*u %*u %*u %*u %*u %*u %" SCNu64, ret) != 1)
		r = -EIO;
	fclose(file);
	return r;
}
