/* SPDX-License-Identifier: MIT */
/*
 * help.c - what --help prints, made from the tables of commands and options
 */
#include "cli/help.h"

#include <stdio.h>
#include <string.h>

#include "cli/text.h"

static void print_options(const struct option_def *options)
{
	for (; options->name; options++) {
		const char *letter = strcmp(options->name, "help") == 0 ? "-h, " : "    ";
		_cleanup_free_ char *left = format_text(
			"%s--%s %s", letter, options->name,
			options->value ? options->value : "");

		printf("  %-31s %s\n", left, options->help);
	}
}

void help_group(const struct command *commands, const char *group)
{
	size_t len = strlen(group);

	printf("Usage: refpoint [--store DIR] [--json] %s%sCOMMAND ...\n\n", group,
	       len ? " " : "");
	if (!len)
		printf("Reference points of virtual machine disks, and their export.\n\n");
	printf("Commands:\n");
	for (; commands->name; commands++) {
		if (!len || (commands->group && strcmp(commands->group, group) == 0))
			printf("  %-14s %s\n", commands->name, commands->help);
	}
	printf("\nOptions of every command:\n");
	print_options(global_options);
	printf("\n'refpoint COMMAND --help' tells more, 'man refpoint' all.\n");
}

void help_command(const struct command *command)
{
	printf("Usage: refpoint %s%s%s\n\n", command->name, *command->usage ? " " : "",
	       command->usage);
	printf("%c%s.\n", command->help[0] - 'a' + 'A', command->help + 1);
	if (command->options) {
		printf("\nOptions:\n");
		print_options(command->options);
	}
	printf("\nOptions of every command:\n");
	print_options(global_options);
}
