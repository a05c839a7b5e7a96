/* SPDX-License-Identifier: MIT */
/*
 * cmd_verify.c - refpoint verify
 */
#include "cli/cli.h"

#include <string.h>

#include "cli/out.h"
#include "cli/reading.h"
#include "cli/table.h"
#include "cli/text.h"

const struct option_def verify_options[] = {
	{"search", "DIR", "look for bases of the export here too (repeatable)", false},
	{"chain", NULL, "read the data of the bases as well", false},
	{NULL, NULL, NULL, false},
};

/* What the export is based on. */
static void print_bases(const json_t *report)
{
	const json_t *part;
	size_t i;

	json_array_foreach(json_object_get(report, "Chain"), i, part) {
		const char *compared = member_text(part, "Compared");
		_cleanup_free_ char *line = NULL;

		if (!i)
			continue;
		line = format_text("based on %s, %s, %s", member_text(part, "ExportPath"),
				   member_text(part, "Kind"),
				   strcmp(compared, "digest") == 0 ? "compared too"
				   : strcmp(compared, "size") == 0
					   ? "only the size: exported without a digest"
					   : "its data not read: see --chain");
		print_line(line);
	}
}

static void print_verified(const json_t *report)
{
	struct table table = {{"DISK", "STATUS", ">SIZE", "COMPARED", NULL}, NULL, 0};
	const json_t *disk;
	size_t i;

	json_array_foreach(json_object_get(report, "Disks"), i, disk) {
		const char *compared = member_text(disk, "Compared");
		_cleanup_free_ char *what = NULL;

		if (strcmp(compared, "digest") == 0)
			what = format_text("every byte: %s chunks against their digests",
					   number_text(member_number(disk, "Chunks")).s);
		else
			what = format_text(
				"only the %s: it was exported without a digest",
				compared);
		table_row(&table, member_text(disk, "DiskId"), "ok",
			  size_text(member_number(disk, "VirtualSize")).s, what);
	}
	table_print(&table, "");
	print_bases(report);
}

static uint32_t verify(const struct reading *r, const char *path, char **ret_report,
		       struct rp_error *reterr)
{
	return rp_verify(path, &r->options, ret_report, reterr);
}

int cmd_verify(const struct cli *cli)
{
	struct reading reading = {
		.cli = cli,
		.options = {.chain = option_given(&cli->args, "chain")},
		.call = verify,
		.print = print_verified,
	};
	int status = read_export(&reading);

	json_decref(reading.report);
	return status;
}
