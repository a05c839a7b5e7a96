/* SPDX-License-Identifier: MIT */
/*
 * reading.c - one export read, with the folders of --search in which its bases may be
 */
#include "cli/reading.h"

#include <stdlib.h>

#include "cli/out.h"
#include "cli/progress.h"
#include "cli/text.h"

static char **take_search(const struct arguments *args, size_t *ret_count)
{
	const char **given = option_values(args, "search", ret_count);
	char **paths = (char **)given;

	for (size_t i = 0; i < *ret_count; i++)
		paths[i] = absolute_path(given[i]);
	return paths;
}

int read_export(struct reading *r)
{
	const char *operand = r->cli->args.operands[0];
	_cleanup_free_ char *path = absolute_path(operand);
	char **search = take_search(&r->cli->args, &r->options.search_count);
	struct progress progress;
	struct rp_error error;
	uint32_t value;
	char *text;

	r->options.size = sizeof(r->options);
	r->options.search = (const char *const *)search;
	progress_begin(&progress, r->cli, operand, 1, 1);
	r->options.watch = &progress.watch;
	value = r->call(r, path, &text, &error);
	progress_end(&progress);
	for (size_t i = 0; i < r->options.search_count; i++)
		free(search[i]);
	free(search);
	if (value)
		return fail(r->cli, operand, &error);
	r->report = document(text);
	if (member_number(r->report, "LostBytes")) /* as the exit status will be */
		set_member(r->report, "ReturnValue", json_integer(RP_FAILED));
	if (r->cli->json)
		print_result(NULL, r->report);
	else
		r->print(r->report);
	return 0;
}
