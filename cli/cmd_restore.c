/* SPDX-License-Identifier: MIT */
/*
 * cmd_restore.c - refpoint restore
 */
#include "cli/cli.h"

#include <stdio.h>

#include "cli/out.h"
#include "cli/reading.h"
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
		  size_text(member_number(report, "CopiedBytes") +
			    member_number(report, "ServerCopiedBytes"))
			  .s,
		  size_text(member_number(report, "ZeroBytes")).s,
		  member_text(report, "Method"), member_text(report, "Output"));
	table_print(&table, "");
}

/* The exit status is that of the loss. The JSON, if that was wanted, has all of it. */
static int tell_lost(const struct reading *r)
{
	_cleanup_free_ char *operand = printable(r->cli->args.operands[0]);
	const json_t *ranges = json_object_get(r->report, "Lost");
	struct cli text_only = *r->cli;

	if (!r->loss.code)
		return 0;
	for (size_t i = 0; !r->cli->json && i < json_array_size(ranges); i++) {
		const json_t *range = json_array_get(ranges, i);

		fprintf(stderr, "refpoint: restore %s: lost %s bytes at %s\n", operand,
			number_text(member_number(range, "Length")).s,
			number_text(member_number(range, "Offset")).s);
	}
	text_only.json = false;
	return fail(&text_only, r->cli->args.operands[0], &r->loss);
}

static uint32_t restore(const struct reading *r, const char *path, char **ret_report,
			struct rp_error *reterr)
{
	const struct arguments *args = &r->cli->args;
	_cleanup_free_ char *output = NULL;
	uint32_t value = absolute_path(args->operands[1], &output, reterr);

	return value ? value
		     : rp_restore(path, option_value(args, "disk"), output, &r->options,
				  ret_report, reterr);
}

int cmd_restore(const struct cli *cli)
{
	struct reading reading = {
		.cli = cli,
		.options = {.io = option_choice(&cli->args, "io"),
			    .clone = option_choice(&cli->args, "clone"),
			    .replace = option_given(&cli->args, "force"),
			    .salvage = option_given(&cli->args, "salvage")},
		.call = restore,
		.print = print_restored,
	};
	int status;

	if (option_count(&cli->args, "disk") != 1)
		return wrong_usage(cli, "option '--disk' must be given once");
	status = read_export(&reading);
	if (status == 0)
		status = tell_lost(&reading);
	json_decref(reading.report);
	return status;
}
