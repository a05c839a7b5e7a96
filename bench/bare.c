/* SPDX-License-Identifier: MIT */
/*
 * bare.c - the least that could be done: yardsticks for whole commands
 *
 *	bare clone SOURCE TARGET      one FICLONE, no fsync
 *	bare copy SOURCE TARGET LIST  copies the ranges "OFFSET LENGTH ..." of each line
 *	                              of LIST, with O_DIRECT in pieces of 4 MiB; fdatasync
 *	bare set FOLDER TARGET        the layout of exports, each file of FOLDER the disk
 *	                              of one, and nothing else; one syncfs for all
 *
 * The first two print the seconds it took.
 */
#include <dirent.h>
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

/* A folder, in that one that gets its name by a rename, and in that a clone of the disk
 * beside a manifest's worth of text. */
static void clone_into(int src, int target, const char *name)
{
	int folder, partial, dst, text;
	char manifest[1024] = "";

	if (src < 0 || mkdirat(target, name, 0700) < 0 ||
	    (folder = openat(target, name, O_DIRECTORY)) < 0 ||
	    mkdirat(folder, ".partial", 0700) < 0 ||
	    (partial = openat(folder, ".partial", O_DIRECTORY)) < 0 ||
	    (dst = openat(partial, "disk", O_WRONLY | O_CREAT, 0600)) < 0 ||
	    ioctl(dst, FICLONE, src) < 0 ||
	    (text = openat(partial, "text", O_WRONLY | O_CREAT, 0600)) < 0 ||
	    write(text, manifest, sizeof(manifest)) != sizeof(manifest) ||
	    renameat(folder, ".partial", folder, "whole") < 0)
		die(name);
	close(text);
	close(dst);
	close(partial);
	close(folder);
}

static void clone_set(const char *from, const char *to)
{
	int target = open(to, O_DIRECTORY);
	DIR *dir = opendir(from);
	struct dirent *entry;

	if (!dir || target < 0)
		die("open");
	while ((errno = 0, entry = readdir(dir))) {
		int src;

		if (entry->d_name[0] == '.')
			continue;
		src = openat(dirfd(dir), entry->d_name, O_RDONLY);
		clone_into(src, target, entry->d_name);
		close(src);
	}
	if (errno || syncfs(target) < 0)
		die(to);
	closedir(dir);
	close(target);
}

int main(int argc, char **argv)
{
	bool clone = argc == 4 && !strcmp(argv[1], "clone");
	int src, dst;
	double begin;

	if (argc == 2 && !strcmp(argv[1], "--version"))
		return 0; /* only to be loaded */
	if (argc == 4 && !strcmp(argv[1], "set")) {
		clone_set(argv[2], argv[3]);
		return 0;
	}
	if (!clone && (argc != 5 || strcmp(argv[1], "copy"))) {
		fprintf(stderr, "usage: bare clone SOURCE TARGET\n"
				"       bare copy SOURCE TARGET LIST\n"
				"       bare set FOLDER TARGET\n");
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
