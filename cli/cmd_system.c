/* SPDX-License-Identifier: MIT */
/*
 * cmd_system.c - refpoint system add | change | list | show | remove
 */
#include "cli/cmd_store.h"

#include <stdlib.h>
#include <string.h>

#include "cli/out.h"
#include "cli/table.h"
#include "cli/text.h"

const struct option_def system_disks_options[] = {
	{"disk", "ID=PATH", "a disk: its ID and its file or device (repeatable)", false},
	{"config", "PATH", "a file kept with every point (repeatable)", false},
	{NULL, NULL, NULL, false},
};

/* What --disk and --config gave, as the library wants it. */
struct new_system {
	struct rp_disk *disks;
	char **configs;
	size_t disk_count, config_count;
};

static void new_system_cleanup(struct new_system *new)
{
	for (size_t i = 0; i < new->disk_count; i++) {
		free((char *)new->disks[i].id);
		free((char *)new->disks[i].path);
	}
	for (size_t i = 0; i < new->config_count; i++)
		free(new->configs[i]);
	free(new->disks);
	free(new->configs);
}

static int take_disks(const struct cli *cli, struct new_system *new)
{
	_cleanup_free_ const char **texts = NULL;
	struct rp_error error;
	size_t count;

	texts = option_values(&cli->args, "disk", &count);
	if (!count)
		return wrong_usage(cli, "option '--disk' is missing");
	new->disks = must(calloc(count, sizeof(new->disks[0])));
	for (size_t i = 0; i < count; i++) {
		const char *equals = strchr(texts[i], '=');
		char *path;

		if (!equals)
			return wrong_usage(cli, "option '--disk' takes ID=PATH, not '%s'",
					   texts[i]);
		if (absolute_path(equals + 1, &path, &error))
			return fail(cli, cli->args.operands[0], &error);
		new->disks[new->disk_count++] = (struct rp_disk){
			.id = must(strndup(texts[i], equals - texts[i])),
			.path = path,
		};
	}
	return 0;
}

static int take_configs(const struct cli *cli, struct new_system *new)
{
	_cleanup_free_ const char **paths = NULL;
	struct rp_error error;
	size_t count;

	paths = option_values(&cli->args, "config", &count);
	new->configs = must(calloc(count + 1, sizeof(new->configs[0])));
	for (; new->config_count < count; new->config_count++)
		if (absolute_path(paths[new->config_count],
				  &new->configs[new->config_count], &error))
			return fail(cli, cli->args.operands[0], &error);
	return 0;
}

typedef uint32_t disks_method(struct rp_store *store, const char *name,
			      const struct rp_disk *disks, size_t disk_count,
			      const char *const *configs, size_t config_count,
			      struct rp_error *reterr);

static int call_with_disks(const struct cli *cli, disks_method *method)
{
	_cleanup_(new_system_cleanup) struct new_system new = {0};
	_cleanup_(cleanup_store) struct rp_store *store = NULL;
	const char *name = cli->args.operands[0];
	struct rp_error error;
	int status;

	status = take_disks(cli, &new);
	if (!status)
		status = take_configs(cli, &new);
	if (!status)
		status = open_store(cli, name, &store);
	if (status)
		return status;
	if (method(store, name, new.disks, new.disk_count,
		   (const char *const *)new.configs, new.config_count, &error))
		return fail(cli, name, &error);
	if (cli->json)
		print_result(NULL, NULL);
	return 0;
}

int cmd_system_add(const struct cli *cli)
{
	return call_with_disks(cli, rp_system_add);
}

int cmd_system_change(const struct cli *cli)
{
	return call_with_disks(cli, rp_system_change);
}

static void print_systems(const json_t *systems)
{
	struct table table = {{"SYSTEM", ">DISKS", ">POINTS", "CREATED", NULL}, NULL, 0};
	const json_t *system;
	size_t i;

	json_array_foreach(systems, i, system) {
		const json_t *disks = json_object_get(system, "Disks");
		const json_t *points = json_object_get(system, "ReferencePoints");

		if (json_object_get(system, "Status")) {
			_cleanup_free_ char *damage = format_text(
				"(%s: %s)", member_text(system, "Status"),
				member_text(system, "StatusReason"));

			table_row(&table, member_text(system, "VirtualSystemIdentifier"),
				  "-", "-", damage);
			continue;
		}
		table_row(&table, member_text(system, "VirtualSystemIdentifier"),
			  number_text(json_array_size(disks)).s,
			  number_text(json_array_size(points)).s,
			  member_text(system, "CreationTime"));
	}
	table_print(&table, "");
}

static uint32_t list_systems(struct rp_store *store, const char *name, char **ret_json,
			     struct rp_error *reterr)
{
	(void)name; /* it takes none */
	return rp_system_list(store, ret_json, reterr);
}

int cmd_system_list(const struct cli *cli)
{
	return print_document(cli, list_systems, "Systems", print_systems);
}

static void print_system(const json_t *system)
{
	struct table disks = {{"DISK", "PATH", NULL}, NULL, 0};
	const char *name = member_text(system, "VirtualSystemIdentifier");
	const json_t *item;
	size_t i;

	print_field("System", name);
	print_field("Created", member_text(system, "CreationTime"));
	json_array_foreach(json_object_get(system, "ConfigFiles"), i, item)
		print_field("Config file", json_string_value(item));
	json_array_foreach(json_object_get(system, "ReferencePoints"), i, item) {
		_cleanup_free_ char *point = format_text("%s@%s", name,
							 json_string_value(item));

		print_field("Reference point", point);
	}
	json_array_foreach(json_object_get(system, "Disks"), i, item)
		table_row(&disks, member_text(item, "DiskId"), member_text(item, "Path"));
	putchar('\n');
	table_print(&disks, "");
}

int cmd_system_show(const struct cli *cli)
{
	return print_document(cli, rp_system_show, NULL, print_system);
}

int cmd_system_remove(const struct cli *cli)
{
	return call_method(cli, rp_system_remove);
}
