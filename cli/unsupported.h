/* SPDX-License-Identifier: MIT */
/*
 * unsupported.h - options and values this version knows but cannot do
 */
#ifndef CLI_UNSUPPORTED_H
#define CLI_UNSUPPORTED_H

#include <stdbool.h>

#include "cli/options.h"

/* The @index-th option only this table knows for @command; NULL at the end. */
const struct option_def *unsupported_option(const char *command, size_t index);

/* Whether @option, given with @value, is one of them. */
bool unsupported_use(const char *command, const char *option, const char *value);

#endif
