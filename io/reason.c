/* SPDX-License-Identifier: MIT */
/*
 * reason.c - a text that grows
 */
#include "reason.h"

#include <stdio.h>
#include <string.h>

void io_reason_add_va(char *reason, size_t size, const char *format, va_list args)
{
	size_t used = strlen(reason);

	if (used)
		used += (size_t)snprintf(reason + used, size - used, "; ");
	if (used < size)
		vsnprintf(reason + used, size - used, format, args);
}

void io_reason_add(char *reason, size_t size, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	io_reason_add_va(reason, size, format, args);
	va_end(args);
}
