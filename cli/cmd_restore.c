/* SPDX-License-Identifier: MIT */
/*
 * cmd_restore.c - refpoint restore
 */
#include "cli/cli.h"

#include <stdio.h>

#include "cli/out.h"
#include "cli/progress.h"
#include "cli/search.h"
#include "cli/table.h"
#include "cli/text.h"

const struct option_def restore_options[] = {
	{"disk", "ID", "the disk to restore", false},
	{"search", "DIR", "look for bases of the export here too (repeatable)", false},
	{"salvage", NULL, "of a damaged export, restore what can be", false},
	{"force", NULL, "replace OUTPUT if it is an existing file", false},
	{"io", "auto|uring|aio|sync", "how bytes are moved", true},
	{"clone", "auto|never|always", "whether blocks are shared", true},
	{NULL, NULL, NULL, false},
};

static void print_restored(const json_t *report)
{
	struct table table = {
		{"DISK", ">SIZE", ">CLONED", ">COPIED", ">ZERO", "METHOD", "OUTPUT",
		 NULL},
		NULL,
		0,
	};

	table_row(&table, member_text(report, "DiskId"),
		  size_text(member_number(report, "VirtualSize")).s,
		  size_text(member_number(report, "ClonedBytes")).s,
		  size_text(member_number(report, "CopiedBytes")).s,
		  size_text(member_number(report, "ZeroBytes")).s,
		  member_text(report, "Method"), member_text(report, "Output"));
	table_print(&table, "");
}

/* The exit status says that not everything is there: 1, as for Failed. */
static int tell_lost(const char *operand, const json_t *report)
{
	uint64_t lost = member_number(report, "LostBytes");
	const json_t *range;
	size_t i;

	if (!lost)
		return 0;
	json_array_foreach(json_object_get(report, "Lost"), i, range)
		fprintf(stderr, "refpoint: restore %s: lost %s bytes at %s\n", operand,
			number_text(member_number(range, "Length")).s,
			number_text(member_number(range, "Offset")).s);
	fprintf(stderr,
		"refpoint: restore %s: %s bytes in %s ranges are lost, zeros stand for "
		"them\n",
		operand, number_text(lost).s,
		number_text(member_number(report, "LostCount")).s);
	return 1;
}

int cmd_restore(const struct cli *cli)
{
	const char *disk = option_value(&cli->args, "disk");
	const char *operand = cli->args.operands[0];
	_cleanup_free_ char *path = absolute_path(operand);
	_cleanup_free_ char *output = absolute_path(cli->args.operands[1]);
	struct rp_read_options options = {
		.size = sizeof(options),
		.io = option_choice(&cli->args, "io"),
		.clone = option_choice(&cli->args, "clone"),
		.replace = option_given(&cli->args, "force"),
		.salvage = option_given(&cli->args, "salvage"),
	};
	_cleanup_(search_cleanup) struct search search = {0};
	json_auto_t *report = NULL;
	struct progress progress;
	struct rp_error error;
	size_t disk_count;
	uint32_t value;
	char *text;

	free(option_values(&cli->args, "disk", &disk_count));
	if (disk_count != 1)
		return wrong_usage(cli, "option '--disk' must be given once");
	take_search(&cli->args, &search);
	options.search = search.paths;
	options.search_count = search.count;
	progress_begin(&progress, cli, operand, 1, 1);
	options.watch = &progress.watch;
	value = rp_restore(path, disk, output, &options, &text, &error);
	progress_end(&progress);
	if (value)
		return fail(cli, operand, &error);
	report = document(text);
	if (cli->json)
		print_result(NULL, report);
	else
		print_restored(report);
	return options.salvage ? tell_lost(operand, report) : 0;
}
