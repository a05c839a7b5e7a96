/* SPDX-License-Identifier: MIT */
/*
 * table.c - results as aligned columns under a header
 *
 * Widths are counted in bytes, so text that may hold more than ASCII belongs in
 * the last column, which needs no width.
 */
#include "cli/table.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/text.h"

static size_t column_count(const struct table *table)
{
	size_t count = 0;

	while (table->headers[count])
		count++;
	return count;
}

static const char *header_text(const char *header)
{
	return *header == '>' ? header + 1 : header;
}

void table_row(struct table *table, ...)
{
	size_t columns = column_count(table);
	va_list ap;

	table->cells = must(
		realloc(table->cells, (table->count + columns) * sizeof(char *)));
	va_start(ap, table);
	for (size_t i = 0; i < columns; i++)
		table->cells[table->count++] = printable(va_arg(ap, const char *));
	va_end(ap);
}

/* @row NULL = the header */
static void print_row(const struct table *table, char *const *row, const int *widths,
		      const char *indent)
{
	size_t columns = column_count(table);

	while (row && columns > 1 && !*row[columns - 1])
		columns--; /* no blanks at the end of a line */
	fputs(indent, stdout);
	for (size_t i = 0; i < columns; i++) {
		const char *header = table->headers[i];
		const char *cell = row ? row[i] : header_text(header);
		bool last = i + 1 == columns;

		if (*header == '>')
			printf("%*s", widths[i], cell);
		else
			printf("%-*s", last ? 0 : widths[i], cell);
		fputs(last ? "\n" : "  ", stdout);
	}
}

void table_print(struct table *table, const char *indent)
{
	size_t columns = column_count(table);
	int widths[TABLE_COLUMNS];

	for (size_t i = 0; i < columns; i++)
		widths[i] = strlen(header_text(table->headers[i]));
	for (size_t i = 0; i < table->count; i++) {
		int length = strlen(table->cells[i]);

		if (length > widths[i % columns])
			widths[i % columns] = length;
	}
	print_row(table, NULL, widths, indent);
	for (size_t i = 0; i < table->count; i += columns)
		print_row(table, table->cells + i, widths, indent);
	for (size_t i = 0; i < table->count; i++)
		free(table->cells[i]);
	free(table->cells);
	table->cells = NULL;
	table->count = 0;
}

void print_line(const char *text)
{
	_cleanup_free_ char *clean = printable(text);

	puts(clean);
}

void print_field(const char *name, const char *value)
{
	_cleanup_free_ char *clean = printable(value);
	_cleanup_free_ char *label = format_text("%s:", name);

	printf("%-18s%s\n", label, clean);
}
