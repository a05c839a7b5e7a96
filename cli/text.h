/* SPDX-License-Identifier: MIT */
/*
 * text.h - strings on the heap, sizes for people, paths for the library
 *
 * Without memory for a line of text there is nothing left to do: these end the
 * program then, with the exit status of RP_OUT_OF_MEMORY.
 */
#ifndef CLI_TEXT_H
#define CLI_TEXT_H

#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>

#include <refpoint.h>

#define _cleanup_(f)   __attribute__((cleanup(f)))
#define _cleanup_free_ _cleanup_(cleanup_free)

void cleanup_free(void *p);

/* @p, or the end of the program if it is NULL. */
void *must(void *p);

__attribute__((format(printf, 1, 2))) char *format_text(const char *format, ...);
__attribute__((format(printf, 1, 0))) char *format_text_va(const char *format,
							   va_list ap);

/* @text with its control characters, and what is no UTF-8, spelled out: it stays one
 * line, and cannot speak to the terminal. NULL counts as empty. */
char *printable(const char *text);

/* Against the current directory, which may be gone. An empty path stays empty: that is
 * the library's to refuse. */
uint32_t absolute_path(const char *path, char **ret, struct rp_error *reterr);

struct text {
	char s[32];
};

struct text size_text(uint64_t bytes); /* "512", "1.5K", "10.0G" */
struct text number_text(uint64_t number);

/* "0", "512", "1.5K", "64M", "1g": in bytes or powers of 1024 of them. */
bool parse_size(const char *text, uint64_t *ret);

/* Seconds, with a fraction: more than 0, at most 136 years. */
bool parse_seconds(const char *text, uint64_t *ret_ms);

#endif
