/* SPDX-License-Identifier: MIT */
/*
 * cmd_verify.c - refpoint verify
 */
#include "cli/cli.h"

#include <string.h>

#include "cli/out.h"
#include "cli/progress.h"
#include "cli/search.h"
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
	bool compared = json_is_true(json_object_get(report, "BasesCompared"));
	const json_t *part;
	size_t i;

	json_array_foreach(json_object_get(report, "Chain"), i, part) {
		_cleanup_free_ char *line = NULL;

		if (!i)
			continue;
		line = format_text("based on %s, %s, %s", member_text(part, "ExportPath"),
				   member_text(part, "Kind"),
				   compared ? "compared too"
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

int cmd_verify(const struct cli *cli)
{
	const char *operand = cli->args.operands[0];
	_cleanup_free_ char *path = absolute_path(operand);
	struct rp_read_options options = {
		.size = sizeof(options),
		.chain = option_given(&cli->args, "chain"),
	};
	_cleanup_(search_cleanup) struct search search = {0};
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
	value = rp_verify(path, &options, &text, &error);
	progress_end(&progress);
	if (value)
		return fail(cli, operand, &error);
	report = document(text);
	if (cli->json)
		print_result(NULL, report);
	else
		print_verified(report);
	return 0;
}
