/* SPDX-License-Identifier: MIT */
/*
 * cmd_merge.c - refpoint merge
 */
#include "cli/cli.h"

#include "cli/out.h"
#include "cli/progress.h"
#include "cli/search.h"
#include "cli/table.h"
#include "cli/text.h"

const struct option_def merge_options[] = {
	{"search", "DIR", "look for bases of the export here too (repeatable)", false},
	{"io", "auto|uring|aio|sync", "how bytes are moved", true},
	{"clone", "auto|never|always", "whether blocks are shared", true},
	{NULL, NULL, NULL, false},
};

static void print_merged(const json_t *report)
{
	struct table table = {
		{"DISK", ">SIZE", ">CLONED", ">COPIED", ">ZERO", "METHOD", "REASON",
		 NULL},
		NULL,
		0,
	};
	const json_t *disk;
	size_t i;

	json_array_foreach(json_object_get(report, "Disks"), i, disk)
		table_row(&table, member_text(disk, "DiskId"),
			  size_text(member_number(disk, "VirtualSize")).s,
			  size_text(member_number(disk, "ClonedBytes")).s,
			  size_text(member_number(disk, "CopiedBytes")).s,
			  size_text(member_number(disk, "ZeroBytes")).s,
			  member_text(disk, "Method"), member_text(disk, "MethodReason"));
	table_print(&table, "");
}

int cmd_merge(const struct cli *cli)
{
	const char *operand = cli->args.operands[0];
	_cleanup_free_ char *path = absolute_path(operand);
	_cleanup_(search_cleanup) struct search search = {0};
	struct rp_read_options options = {
		.size = sizeof(options),
		.io = option_choice(&cli->args, "io"),
		.clone = option_choice(&cli->args, "clone"),
	};
	json_auto_t *report = NULL;
	struct progress progress;
	struct rp_error error;
	uint32_t value;
	char *text;

	take_search(&cli->args, &search);
	options.search = search.paths;
	options.search_count = search.count;
	progress_begin(&progress, cli, operand, 1, 1);
	options.watch = &progress.watch;
	value = rp_merge(path, &options, &text, &error);
	progress_end(&progress);
	if (value)
		return fail(cli, operand, &error);
	report = document(text);
	if (cli->json)
		print_result(NULL, report);
	else
		print_merged(report);
	return 0;
}
