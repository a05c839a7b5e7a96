/* SPDX-License-Identifier: MIT */
/*
 * help.h - what --help prints
 */
#ifndef CLI_HELP_H
#define CLI_HELP_H

#include "cli/cli.h"

/* The commands of @group, "" = all; the table ends with a row without a name. */
void help_group(const struct command *commands, const char *group);

void help_command(const struct command *command);

#endif
