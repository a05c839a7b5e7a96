/* SPDX-License-Identifier: MIT */
/*
 * bare.c - the least that could be done: yardsticks for whole commands
 *
 *	bare clone SOURCE TARGET      one FICLONE, no fsync
 *	bare copy SOURCE TARGET LIST  copies the ranges "OFFSET LENGTH ..." of each line
 *	                              of LIST, with O_DIRECT in pieces of 4 MiB; fdatasync
 *
 * Prints the seconds it took.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "bench.h"

#define PIECE ((size_t)4 << 20)
#define ALIGN UINT64_C(4096)

static void copy_range(int src, int dst, char *buf, uint64_t start, uint64_t len)
{
	uint64_t end = (start + len + ALIGN - 1) & ~(ALIGN - 1);

	for (start &= ~(ALIGN - 1); start < end;) {
		size_t part = end - start < PIECE ? end - start : PIECE;
		ssize_t n = pread(src, buf, part, (off_t)start);

		if (n <= 0 || pwrite(dst, buf, (size_t)n, (off_t)start) != n)
			die("copy");
		start += (uint64_t)n;
	}
}

static void copy_ranges(int src, int dst, const char *list)
{
	char *buf = mmap(NULL, PIECE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
			 -1, 0);
	FILE *f = fopen(list, "r");
	unsigned long long start, len;
	struct stat st;

	if (buf == MAP_FAILED || !f || fstat(src, &st) < 0 ||
	    ftruncate(dst, st.st_size) < 0)
		die(list);
	while (fscanf(f, "%llu %llu%*[^\n]", &start, &len) == 2)
		copy_range(src, dst, buf, start, len);
	fclose(f);
	if (fdatasync(dst) < 0)
		die("fdatasync");
}

int main(int argc, char **argv)
{
	bool clone = argc == 4 && !strcmp(argv[1], "clone");
	int src, dst;
	double begin;

	if (argc == 2 && !strcmp(argv[1], "--version"))
		return 0; /* only to be loaded */
	if (!clone && (argc != 5 || strcmp(argv[1], "copy"))) {
		fprintf(stderr, "usage: bare clone SOURCE TARGET\n"
				"       bare copy SOURCE TARGET LIST\n");
		return 64;
	}
	src = open(argv[2], O_RDONLY | (clone ? 0 : O_DIRECT));
	dst = open(argv[3], O_WRONLY | O_CREAT | O_TRUNC | (clone ? 0 : O_DIRECT), 0600);
	if (src < 0 || dst < 0)
		die("open");
	begin = now_seconds();
	if (!clone)
		copy_ranges(src, dst, argv[4]);
	else if (ioctl(dst, FICLONE, src) < 0)
		die("FICLONE");
	printf("%.6f\n", now_seconds() - begin);
	return 0;
}
