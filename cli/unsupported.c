/* SPDX-License-Identifier: MIT */
/*
 * unsupported.c - the one table of what this version knows but cannot do
 *
 * Doing one of them is deleting its row and adding it to
 * its command's options or to the words of that option.
 */
#include "cli/unsupported.h"

#include <string.h>

static const struct unsupported {
	const char *command;
	struct option_def option;
	const char *only; /* this value of an option the command has */
} unsupported[] = {
	{.command = "export", .option = {.name = "merge"}},
};

#define COUNT (sizeof(unsupported) / sizeof(unsupported[0]))

const struct option_def *unsupported_option(const char *command, size_t index)
{
	for (const struct unsupported *u = unsupported; u < unsupported + COUNT; u++) {
		if (!u->only && strcmp(u->command, command) == 0 && index-- == 0)
			return &u->option;
	}
	return NULL;
}

bool unsupported_use(const char *command, const char *option, const char *value)
{
	for (const struct unsupported *u = unsupported; u < unsupported + COUNT; u++) {
		if (strcmp(u->command, command) == 0 &&
		    strcmp(u->option.name, option) == 0 &&
		    (!u->only || (value && strcmp(u->only, value) == 0)))
			return true;
	}
	return false;
}
