/* SPDX-License-Identifier: MIT */
/*
 * data.c - disk contents for tests
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "data.h"
#include "harness.h"

#define STEP (256 * 1024)

static uint64_t mix(uint64_t x)
{
	x = (x ^ (x >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	x = (x ^ (x >> 27)) * UINT64_C(0x94d049bb133111eb);
	return x ^ (x >> 31);
}

uint64_t data_random(uint64_t *state)
{
	*state += UINT64_C(0x9e3779b97f4a7c15);
	return mix(*state);
}

/* Word n of a disk is the n-th number of the seed's sequence. */
void data_bytes(uint64_t seed, uint64_t start, void *buf, size_t len)
{
	unsigned char *bytes = buf;
	uint64_t word, at;
	size_t i, n;

	for (i = 0; i < len; i += n) {
		at = (start + i) % 8;
		n = len - i < 8 - at ? len - i : 8 - at;
		word = mix(seed + ((start + i) / 8 + 1) * UINT64_C(0x9e3779b97f4a7c15));
		memcpy(bytes + i, (unsigned char *)&word + at, n);
	}
}

static void write_all(int fd, const void *buf, size_t len, uint64_t start)
{
	ASSERT_EQ(pwrite(fd, buf, len, (off_t)start), len, "at %llu: %s",
		  (unsigned long long)start, strerror(errno));
}

void data_write(int fd, uint64_t seed, uint64_t start, uint64_t len)
{
	char *buf = malloc(STEP);
	uint64_t n;

	ASSERT_NE(buf, NULL);
	for (; len; start += n, len -= n) {
		n = len < STEP ? len : STEP;
		data_bytes(seed, start, buf, n);
		write_all(fd, buf, n, start);
	}
	free(buf);
}

int data_create(const char *path, uint64_t size)
{
	int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

	ASSERT_GE(fd, 0, "%s: %s", path, strerror(errno));
	ASSERT_EQ(ftruncate(fd, (off_t)size), 0, "%s: %s", path, strerror(errno));
	return fd;
}

void data_create_random(const char *path, uint64_t size, uint64_t seed, unsigned runs)
{
	static const char zeros[65536];
	uint64_t state = seed, start, len;
	int fd = data_create(path, size);

	while (size && runs--) {
		start = data_random(&state) % size;
		len = 1 + data_random(&state) % (size / 8 + 1);
		len = len < (1 << 20) ? len : 1 << 20;
		if (data_random(&state) % 2) {
			start &= ~UINT64_C(4095);
			len = (len + 4095) & ~UINT64_C(4095);
		}
		len = len < size - start ? len : size - start;
		if (data_random(&state) % 4)
			data_write(fd, seed, start, len);
		else
			write_all(fd, zeros, len < sizeof(zeros) ? len : sizeof(zeros),
				  start);
	}
	ASSERT_EQ(fsync(fd), 0);
	close(fd);
}

/* The next data at or after @pos, or @size. */
static uint64_t next(int fd, uint64_t pos, uint64_t size, int whence)
{
	off_t at = lseek(fd, (off_t)pos, whence);

	ASSERT_TRUE(at >= 0 || errno == ENXIO, "lseek: %s", strerror(errno));
	return at < 0 || (uint64_t)at > size ? size : (uint64_t)at;
}

/* Opens both and tells their common size, or false. */
static bool open_both(const char *a, const char *b, int fds[2], uint64_t *ret_size)
{
	struct stat sa, sb;

	fds[0] = open(a, O_RDONLY | O_CLOEXEC);
	fds[1] = open(b, O_RDONLY | O_CLOEXEC);
	ASSERT_GE(fds[0], 0, "%s: %s", a, strerror(errno));
	ASSERT_GE(fds[1], 0, "%s: %s", b, strerror(errno));
	ASSERT_EQ(fstat(fds[0], &sa), 0);
	ASSERT_EQ(fstat(fds[1], &sb), 0);
	*ret_size = (uint64_t)sa.st_size;
	if (sa.st_size == sb.st_size)
		return true;
	test_log("%s has %lld bytes, %s has %lld", a, (long long)sa.st_size, b,
		 (long long)sb.st_size);
	return false;
}

static void close_both(const int fds[2])
{
	close(fds[0]);
	close(fds[1]);
}

/* The length of the common beginning of [pos, pos+len) in both. */
static size_t same_bytes(const int fds[2], uint64_t pos, size_t len)
{
	char *a = malloc(2 * STEP), *b = a + STEP;
	size_t i = 0;

	ASSERT_NE(a, NULL);
	ASSERT_EQ(pread(fds[0], a, len, (off_t)pos), len, "%s", strerror(errno));
	ASSERT_EQ(pread(fds[1], b, len, (off_t)pos), len, "%s", strerror(errno));
	if (memcmp(a, b, len) == 0)
		i = len;
	while (i < len && a[i] == b[i])
		i++;
	free(a);
	return i;
}

bool data_same(const char *a, const char *b)
{
	uint64_t pos = 0, size, in_a, in_b;
	size_t len, same;
	int fds[2];
	bool ok = open_both(a, b, fds, &size);

	while (ok) {
		in_a = next(fds[0], pos, size, SEEK_DATA);
		in_b = next(fds[1], pos, size, SEEK_DATA);
		pos = in_a < in_b ? in_a : in_b;
		if (pos == size)
			break;
		len = size - pos < STEP ? size - pos : STEP;
		same = same_bytes(fds, pos, len);
		pos += same;
		ok = same == len;
		if (!ok)
			test_log("%s and %s differ at %llu", a, b,
				 (unsigned long long)pos);
	}
	close_both(fds);
	return ok;
}

bool data_same_holes(const char *a, const char *b)
{
	int fds[2], whence = SEEK_DATA;
	uint64_t pos = 0, size, in_a, in_b;
	bool ok = open_both(a, b, fds, &size);

	ASSERT_EQ(fsync(fds[0]), 0);
	ASSERT_EQ(fsync(fds[1]), 0);
	while (ok && pos < size) {
		in_a = next(fds[0], pos, size, whence);
		in_b = next(fds[1], pos, size, whence);
		ok = in_a == in_b;
		if (!ok)
			test_log("after %llu, %s: %s at %llu, %s at %llu",
				 (unsigned long long)pos,
				 whence == SEEK_DATA ? "next data" : "next hole", a,
				 (unsigned long long)in_a, b, (unsigned long long)in_b);
		pos = in_a;
		whence = whence == SEEK_DATA ? SEEK_HOLE : SEEK_DATA;
	}
	close_both(fds);
	return ok;
}

uint64_t data_allocated(const char *path)
{
	struct stat st;

	ASSERT_EQ(stat(path, &st), 0, "%s: %s", path, strerror(errno));
	return (uint64_t)st.st_blocks * 512;
}

void data_flip(const char *path, uint64_t at)
{
	int fd = open(path, O_RDWR | O_CLOEXEC);
	char byte;

	ASSERT_GE(fd, 0, "%s", path);
	ASSERT_EQ(pread(fd, &byte, 1, (off_t)at), 1);
	byte ^= 1;
	ASSERT_EQ(pwrite(fd, &byte, 1, (off_t)at), 1);
	close(fd);
}
