/* SPDX-License-Identifier: MIT */
/*
 * reading.c - one export read, with the folders of --search in which its bases may be
 */
#include "cli/reading.h"

#include <stdio.h>
#include <stdlib.h>

#include "cli/out.h"
#include "cli/progress.h"
#include "cli/text.h"

/* In place, as many as r->options.search_count says: on failure, too. */
static uint32_t take_search(struct reading *r, char ***ret, struct rp_error *reterr)
{
	size_t count, *taken = &r->options.search_count;
	const char **given = option_values(&r->cli->args, "search", &count);

	*ret = (char **)given;
	r->options.search = given;
	for (; *taken < count; ++*taken) {
		uint32_t value = absolute_path(given[*taken], &(*ret)[*taken], reterr);

		if (value)
			return value;
	}
	return RP_OK;
}

static uint32_t call(struct reading *r, const char *path, char **ret_report,
		     struct rp_error *reterr)
{
	struct progress progress;
	uint32_t value;

	r->options.size = sizeof(r->options);
	progress_begin(&progress, r->cli, r->cli->args.operands[0], 1);
	r->options.watch = &progress.watch;
	value = r->call(r, path, ret_report, reterr);
	progress_end(&progress);
	return value;
}

/* Not everything is there, and the exit status will say so. */
static void note_loss(struct reading *r, const char *operand)
{
	_cleanup_free_ char *text = format_text(
		"%s: %s bytes in %s ranges are lost, zeros stand for them",
		member_text(r->report, "DiskId"),
		number_text(member_number(r->report, "LostBytes")).s,
		number_text(member_number(r->report, "LostCount")).s);

	error_here(&r->loss, RP_FAILED, 0, text);
	snprintf(r->loss.step, sizeof(r->loss.step), "%s", r->cli->name);
	snprintf(r->loss.system, sizeof(r->loss.system), "%s",
		 member_text(r->report, "VirtualSystemIdentifier"));
	snprintf(r->loss.disk, sizeof(r->loss.disk), "%s",
		 member_text(r->report, "DiskId"));
	set_member(r->report, "ReturnValue", json_integer(RP_FAILED));
	set_member(r->report, "Error", error_document(operand, &r->loss));
}

int read_export(struct reading *r)
{
	const char *operand = r->cli->args.operands[0];
	_cleanup_free_ char *path = NULL, **search = NULL;
	struct rp_error error;
	uint32_t value = absolute_path(operand, &path, &error);
	char *text;

	if (!value)
		value = take_search(r, &search, &error);
	if (!value)
		value = call(r, path, &text, &error);
	for (size_t i = 0; i < r->options.search_count; i++)
		free(search[i]);
	if (value)
		return fail(r->cli, operand, &error);
	r->report = document(text);
	if (member_number(r->report, "LostBytes"))
		note_loss(r, operand);
	if (r->cli->json)
		print_result(NULL, r->report);
	else
		r->print(r->report);
	return 0;
}
