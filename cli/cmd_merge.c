/* SPDX-License-Identifier: MIT */
/*
 * cmd_merge.c - refpoint merge
 */
#include "cli/cli.h"

#include "cli/out.h"
#include "cli/reading.h"
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

static uint32_t merge(const struct reading *r, const char *path, char **ret_report,
		      struct rp_error *reterr)
{
	return rp_merge(path, &r->options, ret_report, reterr);
}

int cmd_merge(const struct cli *cli)
{
	struct reading reading = {
		.cli = cli,
		.options = {.io = option_choice(&cli->args, "io"),
			    .clone = option_choice(&cli->args, "clone")},
		.call = merge,
		.print = print_merged,
	};
	int status = read_export(&reading);

	json_decref(reading.report);
	return status;
}
