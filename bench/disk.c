/* SPDX-License-Identifier: MIT */
/*
 * disk.c - disks to copy: dense, sparse, fragmented; and guests that change them
 *
 *	disk dense FILE SIZE              random data
 *	disk sparse FILE SIZE DATA COUNT  DATA bytes of it in COUNT equal, even pieces
 *	disk fragmented FILE COUNT        dense, in COUNT 8 KiB pieces out of order
 *	disk change FILE BYTES PIECE      overwrites about BYTES of it, in aligned pieces
 *	disk files FOLDER COUNT SIZE      COUNT dense files
 *
 * Written with O_DIRECT, so that a file lies on the device as it was written. Sizes
 * take K, M, G; pieces are multiples of 4 KiB.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "bench.h"

#define BLOCK ((size_t)1 << 20)
#define PIECE ((size_t)8192)

static uint64_t seed = 88172645463325252u;
static char *block; /* BLOCK bytes, fit for direct I/O */

static int open_disk(const char *path, int flags)
{
	int fd = open(path, O_WRONLY | O_DIRECT | flags, 0600);

	if (fd < 0)
		die(path);
	return fd;
}

static void close_disk(int fd, const char *path)
{
	if (fsync(fd) < 0 || close(fd) < 0)
		die(path);
}

static void write_data(int fd, uint64_t start, uint64_t len)
{
	while (len) {
		size_t part = len < BLOCK ? len : BLOCK;

		fill_random(block, part, &seed);
		if (pwrite(fd, block, part, (off_t)start) != (ssize_t)part)
			die("write");
		start += part;
		len -= part;
	}
}

static void make_dense(const char *path, uint64_t size)
{
	int fd = open_disk(path, O_CREAT | O_TRUNC);

	/* In one piece, where the file system can. */
	if (fallocate(fd, 0, 0, (off_t)size) < 0 && errno != EOPNOTSUPP)
		die("fallocate");
	write_data(fd, 0, size);
	close_disk(fd, path);
}

static void make_sparse(const char *path, uint64_t size, uint64_t data, uint64_t count)
{
	int fd = open_disk(path, O_CREAT | O_TRUNC);

	if (ftruncate(fd, (off_t)size) < 0)
		die("ftruncate");
	for (uint64_t i = 0; i < count; i++)
		write_data(fd, i * (size / count), data / count);
	close_disk(fd, path);
}

/* The pieces of a disk that a guest filled in no order: one extent each. */
static void make_fragmented(const char *path, uint64_t count)
{
	int fd = open_disk(path, O_CREAT | O_TRUNC);
	uint32_t *order = calloc(count, sizeof(*order));

	if (!order || ftruncate(fd, (off_t)(count * PIECE)) < 0)
		die("ftruncate");
	for (uint64_t i = 0; i < count; i++)
		order[i] = (uint32_t)i;
	for (uint64_t i = count; i-- > 1;) {
		uint64_t other = next_random(&seed) % (i + 1);
		uint32_t taken = order[i];

		order[i] = order[other];
		order[other] = taken;
	}
	for (uint64_t i = 0; i < count; i++)
		write_data(fd, order[i] * PIECE, PIECE);
	free(order);
	close_disk(fd, path);
}

static void change(const char *path, uint64_t bytes, uint64_t piece)
{
	int fd = open_disk(path, 0);
	struct stat st;
	uint64_t count;

	if (fstat(fd, &st) < 0)
		die(path);
	count = (uint64_t)st.st_size / piece;
	for (uint64_t done = 0; done < bytes; done += piece)
		write_data(fd, next_random(&seed) % count * piece, piece);
	close_disk(fd, path);
}

static void make_files(const char *folder, uint64_t count, uint64_t size)
{
	for (uint64_t i = 0; i < count; i++) {
		char path[4096];

		snprintf(path, sizeof(path), "%s/%04llu", folder, (unsigned long long)i);
		make_dense(path, size);
	}
}

int main(int argc, char **argv)
{
	block = mmap(NULL, BLOCK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1,
		     0);
	if (block == MAP_FAILED)
		die("mmap");
	if (argc == 4 && !strcmp(argv[1], "dense"))
		make_dense(argv[2], parse_size(argv[3]));
	else if (argc == 6 && !strcmp(argv[1], "sparse"))
		make_sparse(argv[2], parse_size(argv[3]), parse_size(argv[4]),
			    parse_size(argv[5]));
	else if (argc == 4 && !strcmp(argv[1], "fragmented"))
		make_fragmented(argv[2], parse_size(argv[3]));
	else if (argc == 5 && !strcmp(argv[1], "change"))
		change(argv[2], parse_size(argv[3]), parse_size(argv[4]));
	else if (argc == 5 && !strcmp(argv[1], "files"))
		make_files(argv[2], parse_size(argv[3]), parse_size(argv[4]));
	else {
		fprintf(stderr, "usage: disk dense|sparse|fragmented|change|files ...\n");
		return 64;
	}
	return 0;
}
