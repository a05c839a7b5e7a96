/* SPDX-License-Identifier: MIT */
/*
 * intercept.h - functions of libc and jansson that a test defines itself, so that the
 * library's calls come by there
 */
#ifndef TESTS_INTERCEPT_H
#define TESTS_INTERCEPT_H

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <sys/types.h>

#include "io/base.h"

/* The function @name that ours stands before. */
#define REAL(name)                                       \
	({                                               \
		static typeof(&name) real_;              \
                                                         \
		if (!real_)                              \
			real_ = dlsym(RTLD_NEXT, #name); \
		real_;                                   \
	})

/* In an open() whose last named parameter is @flags: the mode, 0 if none was given. */
#define OPEN_MODE(flags)                               \
	({                                             \
		mode_t mode_ = 0;                      \
		va_list args_;                         \
                                                       \
		va_start(args_, flags);                \
		if ((flags) & (O_CREAT | __O_TMPFILE)) \
			mode_ = va_arg(args_, mode_t); \
		va_end(args_);                         \
		mode_;                                 \
	})

/* Defines syscall(): @before, an int (long number, const long arg[6]), is called first.
 * Unless it returns 0 the call fails with that errno. */
#define INTERCEPT_SYSCALL(before)                                                    \
	long syscall(long number, ...)                                               \
	{                                                                            \
		long arg[6];                                                         \
		va_list args;                                                        \
		int refused;                                                         \
                                                                                     \
		va_start(args, number);                                              \
		for (size_t i = 0; i < ARRAY_SIZE(arg); i++)                         \
			arg[i] = va_arg(args, long);                                 \
		va_end(args);                                                        \
		refused = before(number, arg);                                       \
		if (refused) {                                                       \
			errno = refused;                                             \
			return -1;                                                   \
		}                                                                    \
		return REAL(syscall)(number, arg[0], arg[1], arg[2], arg[3], arg[4], \
				     arg[5]);                                        \
	}

#endif
