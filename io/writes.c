/* SPDX-License-Identifier: MIT */
/*
 * writes.c - what the kernel counts of a block device (its Documentation/block/stat.rst)
 */
#include "writes.h"

#include <inttypes.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "base.h"
#include "tree.h"

static int folder_of(int device, char ret[64])
{
	struct stat st;

	if (fstat(device, &st) < 0)
		return -errno;
	snprintf(ret, 64, "/sys/dev/block/%u:%u", major(st.st_rdev), minor(st.st_rdev));
	return 0;
}

bool io_writes_are_counted(int device)
{
	/* A partition is as its disk. */
	static const char *const places[] = {"queue/iostats", "../queue/iostats"};
	char folder[64], path[96];
	int counted = 0;

	if (folder_of(device, folder) < 0)
		return false;
	for (size_t i = 0; i < ARRAY_SIZE(places); i++) {
		FILE *file;

		snprintf(path, sizeof(path), "%s/%s", folder, places[i]);
		file = fopen(path, "re");
		if (!file)
			continue;
		if (fscanf(file, "%d", &counted) != 1)
			counted = 0;
		fclose(file);
		break;
	}
	return counted;
}

int io_count_writes(int device, uint64_t *ret)
{
	char folder[64], path[96], text[512];
	uint64_t written, discarded = 0; /* not counted before 4.19 */
	FILE *file;
	int r = io_fsync(device);

	if (r == 0)
		r = folder_of(device, folder);
	if (r < 0)
		return r;
	snprintf(path, sizeof(path), "%s/stat", folder);
	file = fopen(path, "re");
	if (!file)
		return -errno;
	/* Reads, merged, sectors, milliseconds; of writes the same, three of all, and of
	 * discards as of reads. A flush is a write, too, of no sectors. */
	if (!fgets(text, sizeof(text), file) ||
	    sscanf(text,
		   "%*u %*u %*u %*u %*u %*u %" SCNu64 " %*u %*u %*u %*u %*u %*u %" SCNu64,
		   &written, &discarded) < 1)
		r = -EIO;
	else
		*ret = written + discarded;
	fclose(file);
	return r;
}
