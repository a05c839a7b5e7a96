/* SPDX-License-Identifier: MIT */
/*
 * cmd_point.c - refpoint create | list | show | destroy | release | import
 */
#include "cli/cmd_store.h"

#include <stdio.h>

#include "cli/out.h"
#include "cli/progress.h"
#include "cli/table.h"
#include "cli/text.h"

const struct option_def create_options[] = {
	{"label", "TEXT", "a note kept with the point", false},
	{"allow-copy", NULL, "copy where it cannot clone; only for stopped machines",
	 false},
	{NULL, NULL, NULL, false},
};

/* The new point's document; NULL should it be gone again already. */
static json_t *point_made(struct rp_store *store, const char *point)
{
	char *text;

	return rp_show_reference_point(store, point, &text, NULL) == RP_OK
		       ? document(text)
		       : NULL;
}

static void print_point_made(const struct cli *cli, struct rp_store *store,
			     const char *point)
{
	json_auto_t *result = json_object(), *made = NULL;

	if (!cli->json) {
		puts(point);
		return;
	}
	set_member(result, "ReferencePoint", json_text(point));
	made = point_made(store, point);
	if (made)
		add_members(result, made);
	print_result(NULL, result);
}

int cmd_create(const struct cli *cli)
{
	_cleanup_(cleanup_store) struct rp_store *store = NULL;
	const char *system = cli->args.operands[0];
	struct rp_create_options options = {
		.size = sizeof(options),
		.label = option_value(&cli->args, "label"),
		.allow_copy = option_given(&cli->args, "allow-copy"),
	};
	struct progress progress;
	struct rp_error error;
	char *point;
	uint32_t value;
	int status;

	status = open_store(cli, system, &store);
	if (status)
		return status;
	progress_begin(&progress, cli, system, 1);
	options.watch = &progress.watch;
	value = rp_create_reference_point(store, system, &options, &point, &error);
	progress_end(&progress);
	if (value)
		return fail(cli, system, &error);
	print_point_made(cli, store, point);
	rp_free(point);
	return 0;
}

static uint64_t sum_of_disks(const json_t *point, const char *key)
{
	const json_t *disk;
	uint64_t sum = 0;
	size_t i;

	json_array_foreach(json_object_get(point, "Disks"), i, disk)
		sum += member_number(disk, key);
	return sum;
}

static void list_point(struct table *table, const json_t *point)
{
	_cleanup_free_ char *name = point_name(point);
	_cleanup_free_ char *damage = NULL;

	if (json_object_get(point, "Status")) {
		damage = format_text("(%s: %s)", member_text(point, "Status"),
				     member_text(point, "StatusReason"));
		table_row(table, name, "-", "-", "-", "-", damage);
		return;
	}
	table_row(table, name, member_text(point, "CreationTime"),
		  number_text(json_array_size(json_object_get(point, "Disks"))).s,
		  size_text(sum_of_disks(point, "VirtualSize")).s,
		  size_text(sum_of_disks(point, "AllocatedBytes")).s,
		  member_text(point, "Label"));
}

static void print_points(const json_t *points)
{
	struct table table = {
		{"REFERENCE POINT", "CREATED", ">DISKS", ">SIZE", ">DATA", "LABEL", NULL},
		NULL,
		0,
	};
	const json_t *point;
	size_t i;

	json_array_foreach(points, i, point)
		list_point(&table, point);
	table_print(&table, "");
}

int cmd_list(const struct cli *cli)
{
	return print_document(cli, rp_list_reference_points, "ReferencePoints",
			      print_points);
}

/* Neither is known of every disk: nobody waits for a copy, a device has no extents. */
static struct text stall_text(const json_t *disk)
{
	const json_t *ms = json_object_get(disk, "CloneMilliseconds");
	struct text text = {"-"};

	if (json_is_number(ms))
		snprintf(text.s, sizeof(text.s), "%.1fms", json_number_value(ms));
	return text;
}

static struct text extents_text(const json_t *disk)
{
	const json_t *extents = json_object_get(disk, "Extents");

	return json_is_integer(extents) ? number_text(json_integer_value(extents))
					: (struct text){"-"};
}

static void print_point_disks(const json_t *point)
{
	struct table table = {
		{"DISK", ">SIZE", ">DATA", ">EXTENTS", ">STALL", "METHOD", "SOURCE",
		 NULL},
		NULL,
		0,
	};
	const json_t *disk;
	size_t i;

	json_array_foreach(json_object_get(point, "Disks"), i, disk)
		table_row(&table, member_text(disk, "DiskId"),
			  size_text(member_number(disk, "VirtualSize")).s,
			  size_text(member_number(disk, "AllocatedBytes")).s,
			  extents_text(disk).s, stall_text(disk).s,
			  member_text(disk, "Method"), member_text(disk, "SourcePath"));
	table_print(&table, "");
}

/* Of a point without data: whether digests tell what has changed since. */
static const char *data_text(const json_t *point)
{
	const json_t *disks = json_object_get(point, "Disks"), *disk;
	size_t count = 0, i;

	if (json_is_true(json_object_get(point, "HasAssociatedData")))
		return "held";
	json_array_foreach(disks, i, disk)
		count += json_is_object(json_object_get(disk, "Digest"));
	if (count && count < json_array_size(disks))
		return "released, can be a base of some disks";
	return count ? "released, can be a base" : "released, cannot be a base";
}

static void print_point(const json_t *point)
{
	_cleanup_free_ char *name = point_name(point);
	const json_t *item;
	size_t i;

	print_field("Reference point", name);
	if (*member_text(point, "Label"))
		print_field("Label", member_text(point, "Label"));
	print_field("Created", member_text(point, "CreationTime"));
	print_field("Sequence", number_text(member_number(point, "Sequence")).s);
	print_field("Consistency", member_text(point, "Consistency"));
	print_field("Data", data_text(point));
	json_array_foreach(json_object_get(point, "ConfigFiles"), i, item)
		print_field("Config file", json_string_value(item));
	json_array_foreach(json_object_get(point, "Warnings"), i, item)
		print_field("Warning", json_string_value(item));
	json_array_foreach(json_object_get(point, "Disks"), i, item) {
		_cleanup_free_ char *reason = format_text(
			"%s: %s", member_text(item, "DiskId"),
			member_text(item, "MethodReason"));

		print_field("Method", reason);
	}
	putchar('\n');
	print_point_disks(point);
}

int cmd_show(const struct cli *cli)
{
	return print_document(cli, rp_show_reference_point, NULL, print_point);
}

int cmd_destroy(const struct cli *cli)
{
	return call_method(cli, rp_destroy_reference_point);
}

int cmd_release(const struct cli *cli)
{
	_cleanup_(cleanup_store) struct rp_store *store = NULL;
	const char *point = cli->args.operands[0];
	struct rp_read_options options = {.size = sizeof(options)};
	struct progress progress;
	struct rp_error error;
	uint32_t value;
	int status;

	status = open_store(cli, point, &store);
	if (status)
		return status;
	progress_begin(&progress, cli, point, 1);
	options.watch = &progress.watch;
	value = rp_release(store, point, &options, &error);
	progress_end(&progress);
	if (value)
		return fail(cli, point, &error);
	if (cli->json)
		print_result(NULL, NULL);
	return 0;
}

/* What an import has to say stands in the point: nobody watches it. */
static void warn_of_import(const struct cli *cli, struct rp_store *store,
			   const char *point)
{
	json_auto_t *made = point_made(store, point);
	const json_t *text;
	size_t i;

	json_array_foreach(json_object_get(made, "Warnings"), i, text)
		warn(cli, cli->args.operands[0], json_string_value(text));
}

int cmd_import(const struct cli *cli)
{
	_cleanup_(cleanup_store) struct rp_store *store = NULL;
	const char *operand = cli->args.operands[0];
	_cleanup_free_ char *path = NULL;
	struct rp_error error;
	char *point;
	int status;

	status = open_store(cli, operand, &store);
	if (status)
		return status;
	if (absolute_path(operand, &path, &error) ||
	    rp_import(store, path, &point, &error))
		return fail(cli, operand, &error);
	warn_of_import(cli, store, point);
	print_point_made(cli, store, point);
	rp_free(point);
	return 0;
}
