/* SPDX-License-Identifier: MIT */
/*
 * out.h - how a command ends: a result on stdout, or one line on stderr
 *
 * With --json a failure is an object on stdout as well.
 */
#ifndef CLI_OUT_H
#define CLI_OUT_H

#include <jansson.h>

#include "cli/cli.h"

#define EXIT_USAGE 64

/*
 * "refpoint: COMMAND OPERAND: MESSAGE (CODE NAME)"; @operand may be NULL.
 *
 * Return: the exit status, 1 to 11, or 128 + n if signal n cancelled the method.
 */
int fail(const struct cli *cli, const char *operand, const struct rp_error *error);

/* That of a method's return value. */
int exit_status(uint32_t value);

/* The member Error of the object. */
json_t *error_document(const char *operand, const struct rp_error *error);

/* The object alone, where a line for many says enough. */
void print_failure(const char *operand, const struct rp_error *error);

/* What goes wrong on this side of the library. With an @os_error its text is appended,
 * and the code follows from it if @code is 0. Return: the code. */
uint32_t error_here(struct rp_error *ret, uint32_t code, int os_error, const char *text);

/* fail() for that. */
__attribute__((format(printf, 5, 6))) int fail_here(const struct cli *cli,
						    const char *operand, uint32_t code,
						    int os_error, const char *format,
						    ...);

/* "refpoint: COMMAND OPERAND: warning: TEXT" */
void warn(const struct cli *cli, const char *operand, const char *text);

/* "refpoint: COMMAND: MESSAGE. See 'refpoint COMMAND --help'." Return: EXIT_USAGE. */
__attribute__((format(printf, 2, 3))) int wrong_usage(const struct cli *cli,
						      const char *format, ...);

/* A string; what is not UTF-8, as paths may be, becomes question marks. */
json_t *json_text(const char *text);

/* What the library returned, parsed and freed. */
json_t *document(char *text);

/*
 * One line: {"ReturnValue": 0, the members of @body}, or with a @key
 * {"ReturnValue": 0, @key: @body}. A NULL @body = nothing more. Borrows it.
 */
void print_result(const char *key, json_t *body);

/* Adds a member and takes over @value, or all of @more, which stays the caller's. */
void set_member(json_t *object, const char *key, json_t *value);
void add_members(json_t *object, json_t *more);

/* Members of documents; "", 0 and empty where they are missing. */
const char *member_text(const json_t *object, const char *key);
uint64_t member_number(const json_t *object, const char *key);

/* One result of several is complete. */
void flush_output(void);

/* To be called where writing to stdout has just failed: whether it has (@printed < 0).
 * The reason is kept for close_output(). */
bool output_failed(int printed);

/* Flushes and closes stdout; a result that got lost makes @status an error. */
int close_output(const struct cli *cli, int status);

#endif
