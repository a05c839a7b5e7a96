/* SPDX-License-Identifier: MIT */
/*
 * cmd_changes.c - refpoint changes
 */
#include "cli/cmd_store.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "cli/out.h"
#include "cli/progress.h"
#include "cli/text.h"

const struct option_def changes_options[] = {
	{"base", "[NAME]@POINT", "the older reference point", false},
	{"disk", "ID", "only this disk", false},
	{"prove", NULL, "compare the bytes of what is called unchanged", false},
	{NULL, NULL, NULL, false},
};

/* What is printed while the method tells it. */
struct listing {
	struct progress progress;
	bool named;	  /* several disks: each one's name is a line of its own */
	bool lost;	  /* nobody reads it */
	const char *disk; /* the one whose name was printed */
};

static int print_change(void *context, const struct rp_change *change)
{
	struct listing *l = context;

	if (!l->disk)
		progress_end(&l->progress);
	if (l->named && (!l->disk || strcmp(l->disk, change->disk) != 0))
		l->lost = output_failed(printf("%s:\n", change->disk));
	l->disk = change->disk;
	l->lost |= output_failed(printf("%" PRIu64 " %" PRIu64 " %s\n", change->offset,
					change->length, change->zero ? "zero" : "data"));
	return l->lost || stop_signal();
}

/* Whether the point has more than one disk; what is wrong with it shows later. */
static bool has_disks(struct rp_store *store, const char *point)
{
	json_auto_t *shown = NULL;
	char *text;

	if (rp_show_reference_point(store, point, &text, NULL))
		return false;
	shown = document(text);
	return json_array_size(json_object_get(shown, "Disks")) > 1;
}

int cmd_changes(const struct cli *cli)
{
	_cleanup_(cleanup_store) struct rp_store *store = NULL;
	const char *point = cli->args.operands[0];
	const char *base = option_value(&cli->args, "base");
	struct listing listing = {.named = false};
	struct rp_changes_options options = {
		.size = sizeof(options),
		.disk = option_value(&cli->args, "disk"),
		.prove = option_given(&cli->args, "prove"),
		.watch = &listing.progress.watch,
		.change = cli->json ? NULL : print_change,
		.context = &listing,
	};
	json_auto_t *report = NULL;
	struct rp_error error;
	uint32_t value;
	char *text;
	int status;

	if (!base)
		return wrong_usage(cli, "option '--base' must be given");
	if (option_count(&cli->args, "disk") > 1)
		return wrong_usage(cli, "option '--disk' can be given once");
	status = open_store(cli, point, &store);
	if (status)
		return status;
	listing.named = !options.disk && has_disks(store, point);
	progress_begin(&listing.progress, cli, point, 1);
	value = rp_changes(store, point, base, &options, &text, &error);
	progress_end(&listing.progress);
	if (listing.lost) /* told when stdout is closed */
		return 0;
	if (value)
		return fail(cli, point, &error);
	report = document(text);
	if (cli->json)
		print_result(NULL, report);
	return 0;
}
