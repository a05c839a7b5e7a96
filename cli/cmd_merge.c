/* SPDX-License-Identifier: MIT */
/*
 * cmd_merge.c - refpoint merge
 */
#include "cli/cli.h"

#include "cli/disks.h"
#include "cli/reading.h"

const struct option_def merge_options[] = {
	{"search", "DIR", "look for bases of the export here too (repeatable)", false},
	{"io", "auto|uring|aio|sync", "how bytes are moved", true},
	{"clone", "auto|never|always", "whether blocks are shared", true},
	{NULL, NULL, NULL, false},
};

static void print_merged(const json_t *report)
{
	print_disks(report, "");
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
