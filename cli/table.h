/* SPDX-License-Identifier: MIT */
/*
 * table.h - results as aligned columns under a header
 */
#ifndef CLI_TABLE_H
#define CLI_TABLE_H

#include <stddef.h>

#define TABLE_COLUMNS 8

/* Zero it, give it headers; those that begin with '>' are aligned to the right. */
struct table {
	const char *headers[TABLE_COLUMNS + 1]; /* ends with NULL */
	char **cells;
	size_t count;
};

/* One row, as many strings as there are headers. */
void table_row(struct table *table, ...);

/* Prints it, each line behind @indent, and empties it. */
void table_print(struct table *table, const char *indent);

/* One line of text, made printable. */
void print_line(const char *text);

/* "Name:          value" */
void print_field(const char *name, const char *value);

#endif
