/* SPDX-License-Identifier: MIT */
/*
 * reason.h - why something is done as it is: what speaks for it, parted by "; "
 */
#ifndef IO_REASON_H
#define IO_REASON_H

#include <stdarg.h>
#include <stddef.h>

/* Adds to @reason, which has room for @size bytes; cut where that ends. */
void io_reason_add(char *reason, size_t size, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
void io_reason_add_va(char *reason, size_t size, const char *format, va_list args)
	__attribute__((format(printf, 3, 0)));

#endif
