/* SPDX-License-Identifier: MIT */
/*
 * options.c - argv into options and operands
 *
 * getopt_long() does the splitting; what it only calls "?" is worked out here,
 * so that a message can name the option and the one that may have been meant.
 */
#include "cli/options.h"

#include <assert.h>
#include <getopt.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/suggest.h"
#include "cli/text.h"

#define MAX_DEFS  32
#define FIRST_VAL 256 /* getopt's value of the first option: above any letter */

/* Every option one call knows; a getopt value is an index into it. */
struct known {
	const struct option_def *defs[MAX_DEFS];
	struct option longs[MAX_DEFS + 1];
	size_t count;
};

enum {
	GLOBAL_STORE,
	GLOBAL_JSON,
	GLOBAL_HELP,
	GLOBAL_VERSION,
	GLOBAL_END
};

const struct option_def global_options[] = {
	[GLOBAL_STORE] = {"store", "DIR",
			  "the store [$REFPOINT_STORE, else /var/lib/refpoint]", false},
	[GLOBAL_JSON] = {"json", NULL, "print JSON, one object per line", false},
	[GLOBAL_HELP] = {"help", NULL, "print this help", false},
	[GLOBAL_VERSION] = {"version", NULL, "print the version", false},
	[GLOBAL_END] = {NULL, NULL, NULL, false},
};

void arguments_init(struct arguments *args, int argc)
{
	*args = (struct arguments){
		.operands = must(calloc(argc + 1, sizeof(args->operands[0]))),
	};
}

void arguments_free(struct arguments *args)
{
	free(args->options);
	free(args->operands);
	free(args->error);
}

__attribute__((format(printf, 2, 3))) static void set_error(struct arguments *args,
							    const char *format, ...)
{
	va_list ap;

	if (args->error)
		return;
	va_start(ap, format);
	args->error = format_text_va(format, ap);
	va_end(ap);
}

static void know(struct known *known, const struct option_def *def)
{
	assert(known->count < MAX_DEFS);
	known->defs[known->count] = def;
	known->longs[known->count] = (struct option){
		.name = def->name,
		.has_arg = def->value ? required_argument : no_argument,
		.val = FIRST_VAL + (int)known->count,
	};
	known->count++;
}

static void know_all(struct known *known, const struct option_def *defs)
{
	while (defs && defs->name)
		know(known, defs++);
}

/* Which word of "a|b|c" @value is; -1 if none. */
static int choice_index(const char *words, const char *value)
{
	size_t len = strlen(value);

	for (int index = 0;; index++) {
		size_t word_len = strcspn(words, "|");

		if (word_len == len && memcmp(words, value, len) == 0)
			return index;
		if (!words[word_len])
			return -1;
		words += word_len + 1;
	}
}

static void add_option(struct arguments *args, const struct option_def *def,
		       const char *value)
{
	/* argv may hold more of them than words: -hhh */
	args->options = must(reallocarray(args->options, args->option_count + 1,
					  sizeof(args->options[0])));
	args->options[args->option_count++] = (struct option_value){def, value};
	if (def->choice && choice_index(def->value, value) < 0)
		set_error(args, "option '--%s' takes %s, not '%s'", def->name, def->value,
			  value);
}

/* getopt's "?" for a long name: it fits several options, or none. */
static void unknown_long(struct arguments *args, const struct known *known,
			 const char *word)
{
	_cleanup_free_ char *name = format_text("%.*s", (int)strcspn(word + 2, "="),
						word + 2);
	struct suggestion similar = {.word = name};
	const char *fit[2] = {NULL, NULL};
	size_t fits = 0;

	for (size_t i = 0; i < known->count; i++) {
		const char *candidate = known->defs[i]->name;

		if (strncmp(candidate, name, strlen(name)) == 0 && fits++ < 2)
			fit[fits - 1] = candidate;
		if (known->defs[i]->help)
			suggest(&similar, candidate);
	}
	if (fits > 1)
		set_error(args, "option '--%s' is ambiguous: it may be '--%s' or '--%s'",
			  name, fit[0], fit[1]);
	else if (similar.match)
		set_error(args, "unknown option '--%s' (did you mean '--%s'?)", name,
			  similar.match);
	else
		set_error(args, "unknown option '--%s'", name);
}

static void unknown_option(struct arguments *args, const struct known *known,
			   const char *word)
{
	if (optopt >= FIRST_VAL)
		set_error(args, "option '--%s' takes no value",
			  known->defs[optopt - FIRST_VAL]->name);
	else if (optopt)
		set_error(args, "unknown option '-%c'", optopt);
	else
		unknown_long(args, known, word);
}

int arguments_parse(struct arguments *args, const char *command,
		    const struct option_def *defs, int argc, char **argv)
{
	/* '+' ends at the first operand, '-' hands operands out in their order,
	 * whatever POSIXLY_CORRECT says; ':' tells a missing value apart. */
	const char *letters = command ? "-:h" : "+:h";
	struct known known = {0};
	int c;

	know_all(&known, global_options);
	know_all(&known, defs);

	optind = 0; /* start over: this is another argv */
	opterr = 0;
	while ((c = getopt_long(argc, argv, letters, known.longs, NULL)) != -1) {
		if (c >= FIRST_VAL)
			add_option(args, known.defs[c - FIRST_VAL], optarg);
		else if (c == 1)
			args->operands[args->operand_count++] = optarg;
		else if (c == 'h')
			add_option(args, &global_options[GLOBAL_HELP], NULL);
		else if (c == ':')
			set_error(args, "option '--%s' needs a value",
				  known.defs[optopt - FIRST_VAL]->name);
		else
			unknown_option(args, &known, argv[optind - 1]);
	}
	if (!command)
		return optind;
	while (optind < argc)
		args->operands[args->operand_count++] = argv[optind++];
	return argc;
}

size_t option_count(const struct arguments *args, const char *name)
{
	size_t count = 0;

	for (size_t i = 0; i < args->option_count; i++)
		count += strcmp(args->options[i].def->name, name) == 0;
	return count;
}

bool option_given(const struct arguments *args, const char *name)
{
	return option_count(args, name) > 0;
}

static const struct option_value *last_option(const struct arguments *args,
					      const char *name)
{
	for (size_t i = args->option_count; i-- > 0;) {
		if (strcmp(args->options[i].def->name, name) == 0)
			return &args->options[i];
	}
	return NULL;
}

const char *option_value(const struct arguments *args, const char *name)
{
	const struct option_value *option = last_option(args, name);

	return option ? option->value : NULL;
}

const char **option_values(const struct arguments *args, const char *name,
			   size_t *ret_count)
{
	const char **values = must(calloc(args->option_count + 1, sizeof(values[0])));
	size_t count = 0;

	for (size_t i = 0; i < args->option_count; i++) {
		if (strcmp(args->options[i].def->name, name) == 0)
			values[count++] = args->options[i].value;
	}
	*ret_count = count;
	return values;
}

unsigned option_choice(const struct arguments *args, const char *name)
{
	const struct option_value *option = last_option(args, name);
	int index = option ? choice_index(option->def->value, option->value) : 0;

	assert(index >= 0);
	return index;
}
