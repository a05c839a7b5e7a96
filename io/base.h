/* SPDX-License-Identifier: MIT */
/*
 * base.h - the few helpers every file needs: scope cleanup, sums that cannot
 * overflow, rounding, container_of.
 */
#ifndef IO_BASE_H
#define IO_BASE_H

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

_Static_assert(sizeof(off_t) == 8, "disks are larger than 2 GiB");

#define KIB (UINT64_C(1) << 10)
#define MIB (UINT64_C(1) << 20)
#define GIB (UINT64_C(1) << 30)

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))

#define container_of(ptr, type, member) ((type *)((char *)(ptr)-offsetof(type, member)))

static inline uint64_t min_u64(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

static inline uint64_t max_u64(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

/* Every byte equals its neighbour and the first is 0. */
static inline bool is_zero(const void *bytes, size_t len)
{
	const char *p = bytes;

	return len == 0 || (p[0] == 0 && memcmp(p, p + 1, len - 1) == 0);
}

/* The process, or the machine, is short of something for now, which says nothing of what
 * was asked for. */
static inline bool is_shortage(int error)
{
	return error == -EMFILE || error == -ENFILE || error == -ENOMEM;
}

/* What was read is not what was written, or cannot be read: ours (EBADMSG), the device's
 * (EIO), or the file system's own check (EUCLEAN, as XFS and ext4 say it). */
static inline bool is_damage(int error)
{
	return error == -EBADMSG || error == -EIO || error == -EUCLEAN;
}

/* @align is a power of two. */
static inline uint64_t round_down(uint64_t x, uint64_t align)
{
	return x & ~(align - 1);
}

/* Saturates instead of wrapping, so a clipped range stays a range. */
static inline uint64_t round_up(uint64_t x, uint64_t align)
{
	return x > UINT64_MAX - (align - 1) ? round_down(UINT64_MAX, align)
					    : round_down(x + align - 1, align);
}

static inline bool add_overflows(uint64_t a, uint64_t b, uint64_t *ret_sum)
{
	return __builtin_add_overflow(a, b, ret_sum);
}

/* Locals that clean up after themselves; hand them on with take_ptr/take_fd. */
#define _cleanup_(f)	__attribute__((cleanup(f)))
#define _cleanup_free_	_cleanup_(cleanup_free)
#define _cleanup_close_ _cleanup_(cleanup_close)

static inline void cleanup_free(void *p)
{
	free(*(void **)p);
}

static inline void cleanup_close(const int *fd)
{
	int saved = errno;

	if (*fd >= 0)
		close(*fd);
	errno = saved;
}

#define take_ptr(p)                         \
	({                                  \
		__typeof__(p) taken_ = (p); \
		(p) = NULL;                 \
		taken_;                     \
	})

static inline int take_fd(int *fd)
{
	int taken = *fd;

	*fd = -1;
	return taken;
}

#endif
