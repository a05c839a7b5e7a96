/* SPDX-License-Identifier: MIT */
/*
 * options.h - argv into options and operands, the same way for every command
 *
 * Options may stand before, between and after operands; long names may be
 * shortened while they stay unambiguous.
 */
#ifndef CLI_OPTIONS_H
#define CLI_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>

/* Tables of these end with a row whose name is NULL. */
struct option_def {
	const char *name;  /* without the dashes */
	const char *value; /* what help calls its value; NULL = takes none */
	const char *help;
	bool choice; /* the value is one of value's words: "auto|uring|aio|sync" */
};

extern const struct option_def global_options[];

struct option_value {
	const struct option_def *def;
	const char *value;
};

struct arguments {
	struct option_value *options; /* in the order given */
	size_t option_count;
	const char **operands;
	size_t operand_count;
	char *error; /* the first thing wrong, without "refpoint:"; NULL = none */
};

void arguments_init(struct arguments *args, int argc);
void arguments_free(struct arguments *args);

/*
 * Parses argv[1] and on, adding to what is there already. With a NULL @command
 * only the global options are known, and the first operand ends it; otherwise
 * @defs (may be NULL) as well.
 *
 * Goes on after an error, so that a --json behind it still counts.
 *
 * Return: index of the first word not parsed.
 */
int arguments_parse(struct arguments *args, const char *command,
		    const struct option_def *defs, int argc, char **argv);

/* How often it was given. */
size_t option_count(const struct arguments *args, const char *name);

bool option_given(const struct arguments *args, const char *name);

/* The last value given, or NULL. */
const char *option_value(const struct arguments *args, const char *name);

/* All values given; the array is the caller's to free. */
const char **option_values(const struct arguments *args, const char *name,
			   size_t *ret_count);

/* Which of a choice's words was given; 0, the first, if none was. */
unsigned option_choice(const struct arguments *args, const char *name);

#endif
