/* SPDX-License-Identifier: MIT */
/*
 * slip.c - documents rewritten in place
 */
#include "slip.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <xxhash.h>

#include "doc.h"
#include "io/small_file.h"

#define SUM_LEN	 17  /* hexadecimal, and a blank */
#define READ_MAX 200 /* tries, 1 ms apart: a writer may lose its processor half-way */

int slip_open(int dirfd, const char *name)
{
	int fd = openat(dirfd, name, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);

	return fd < 0 ? -errno : fd;
}

static void checksum(const char *text, char ret[SUM_LEN + 1])
{
	snprintf(ret, SUM_LEN + 1, "%016" PRIx64 " ",
		 (uint64_t)XXH3_64bits(text, SLIP_SIZE - SUM_LEN));
}

int slip_write(int fd, const json_t *doc)
{
	_cleanup_free_ char *text = doc_dump(doc, JSON_COMPACT);
	char slip[SLIP_SIZE], sum[SUM_LEN + 1];
	size_t len = text ? strlen(text) : 0;

	if (!text)
		return -ENOMEM;
	if (len + SUM_LEN + 1 > SLIP_SIZE)
		return -EMSGSIZE;
	memset(slip, ' ', sizeof(slip));
	memcpy(slip + SUM_LEN, text, len);
	slip[SLIP_SIZE - 1] = '\n';
	checksum(slip + SUM_LEN, sum);
	memcpy(slip, sum, SUM_LEN);
	return io_pwrite_all(fd, slip, sizeof(slip), 0);
}

/* -EAGAIN: torn. -ENOENT: nothing was ever written. */
static int read_once(int fd, json_t **ret)
{
	char slip[SLIP_SIZE], sum[SUM_LEN + 1];
	struct stat st;
	int r;

	if (fstat(fd, &st) == 0 && st.st_size == 0)
		return -ENOENT;
	r = io_pread_all(fd, slip, sizeof(slip), 0);
	if (r < 0)
		return r == -ENODATA ? -EAGAIN : r;
	checksum(slip + SUM_LEN, sum);
	if (memcmp(slip, sum, SUM_LEN))
		return -EAGAIN;
	*ret = json_loadb(slip + SUM_LEN, sizeof(slip) - SUM_LEN, 0, NULL);
	return *ret ? 0 : -EBADMSG;
}

int slip_read(int dirfd, const char *name, json_t **ret)
{
	_cleanup_close_ int fd = io_open_read(dirfd, name);
	int r = fd < 0 ? fd : read_once(fd, ret);

	for (int tries = 1; r == -EAGAIN && tries < READ_MAX; tries++) {
		nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
		r = read_once(fd, ret);
	}
	return r == -EAGAIN ? -EBADMSG : r;
}
