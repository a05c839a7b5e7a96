/* SPDX-License-Identifier: MIT */
/*
 * cmd_export.c - refpoint export: one point, or many at once
 *
 * A point that fails does not keep the others from being exported; the exit
 * status is the first failure's, or that of the signal that stopped them.
 */
#include "cli/cmd_store.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/detach.h"
#include "cli/disks.h"
#include "cli/out.h"
#include "cli/progress.h"
#include "cli/table.h"
#include "cli/text.h"

#define SETTINGS_MAX ((size_t)1 << 20)

const struct option_def export_options[] = {
	{"all", NULL, "export the latest point of every virtual system", false},
	{"disk", "ID", "only this disk (repeatable)", false},
	{"base", "[NAME]@POINT", "only what changed since that point, or @exported",
	 false},
	{"merge", NULL, "with --base: make a whole export from that of the base", false},
	{"strict", NULL, "fail rather than export a disk in full for want of a base",
	 false},
	{"format", "raw|qcow2|vhdx", "format of the disk images", true},
	{"cluster-size", "SIZE", "of a qcow2's clusters or a VHDX's blocks", false},
	{"settings", "TEXT|@FILE", "ExportSettingData, JSON or CIM-XML", false},
	{"io", "auto|uring|aio|sync", "how bytes are moved", true},
	{"clone", "auto|never|always", "whether blocks are shared", true},
	{"digest", "auto|always|never", "which disks get a digest tree", true},
	{"timeout", "SECONDS", "give up after this time", false},
	{"block-size", "SIZE", "bytes moved by one request", false},
	{"queue-depth", "NUMBER", "blocks on their way at once", false},
	{"memory", "SIZE", "limit of all buffers together", false},
	{"bwlimit", "RATE", "move no more bytes a second", false},
	{"iops-limit", "NUMBER", "move with no more reads and writes a second", false},
	{"max-pressure", "PERCENT[:CGROUP]", "go slower while others wait for I/O",
	 false},
	{"ionice", "none|low|idle", "I/O priority", true},
	{"priority", "1-99", "with --async: the lowest has its turn first [50]", false},
	{"restart", NULL, "start over where an export was interrupted", false},
	{"async", NULL, "start a job for each point, and print its ID", false},
	{NULL, NULL, NULL, false},
};

/* One command's work. */
struct exporting {
	const struct cli *cli;
	struct rp_store *store;
	char *directory;
	char *settings; /* of options */
	struct rp_export_options options;
	const char **disks; /* of options */
	char **points;
	size_t point_count;
};

static void export_cleanup(struct exporting *e)
{
	for (size_t i = 0; i < e->point_count; i++)
		free(e->points[i]);
	free(e->points);
	free(e->disks);
	free(e->settings);
	free(e->directory);
	rp_store_close(e->store);
}

/* 0 or errno; at most SETTINGS_MAX + 1 bytes, so that too many can be told. */
static int read_settings(const char *path, char *buffer, size_t *ret_length)
{
	FILE *file = fopen(path, "re");
	int os_error;

	if (!file)
		return errno;
	errno = 0;
	*ret_length = fread(buffer, 1, SETTINGS_MAX + 1, file);
	os_error = ferror(file) ? errno : 0;
	fclose(file);
	return os_error;
}

/* TEXT itself, or what is in FILE for "@FILE". */
static int take_settings(struct exporting *e, const char *text)
{
	size_t length = 0;
	int os_error;

	if (*text != '@') {
		e->settings = must(strdup(text));
		return 0;
	}
	e->settings = must(malloc(SETTINGS_MAX + 2));
	os_error = read_settings(text + 1, e->settings, &length);
	if (os_error)
		return fail_here(e->cli, NULL, 0, os_error, "read settings %s", text + 1);
	if (length > SETTINGS_MAX || memchr(e->settings, '\0', length))
		return fail_here(e->cli, NULL, RP_INVALID_PARAMETER, 0,
				 "read settings %s: not a text of at most 1 MiB",
				 text + 1);
	e->settings[length] = '\0';
	return 0;
}

static bool is_setting(const char *option)
{
	return strcmp(option, "all") != 0 && strcmp(option, "settings") != 0 &&
	       strcmp(option, "async") != 0;
}

/* What --settings replaces may not stand beside it. */
static int check_settings_alone(const struct cli *cli)
{
	for (const struct option_def *o = export_options; o->name; o++) {
		if (is_setting(o->name) && option_given(&cli->args, o->name))
			return wrong_usage(cli,
					   "'--settings' and '--%s' exclude each other",
					   o->name);
	}
	return 0;
}

/* A size that was given with option @name; 0 or EXIT_USAGE. */
static int take_size(const struct exporting *e, const char *name, uint64_t *ret)
{
	const char *text = option_value(&e->cli->args, name);

	if (!text || (parse_size(text, ret) && *ret))
		return 0;
	return wrong_usage(e->cli, "option '--%s' takes a size such as 64M, not '%s'",
			   name, text);
}

/* A whole number from @min to @max at the beginning of @text; NULL if there is none, else
 * what follows it. */
static const char *parse_number(const char *text, uint32_t min, uint32_t max,
				uint32_t *ret)
{
	size_t digits = strspn(text, "0123456789");
	uint64_t number = digits && digits <= 10 ? strtoull(text, NULL, 10) : UINT64_MAX;

	if (number < min || number > max)
		return NULL;
	*ret = (uint32_t)number;
	return text + digits;
}

/* A number that was given with option @name, which takes @kind; 0 or EXIT_USAGE. */
static int take_number(const struct exporting *e, const char *name, const char *kind,
		       uint32_t min, uint32_t max, uint32_t *ret)
{
	const char *text = option_value(&e->cli->args, name);
	const char *rest = text ? parse_number(text, min, max, ret) : "";

	if (rest && !*rest)
		return 0;
	return wrong_usage(e->cli, "option '--%s' takes %s, not '%s'", name, kind, text);
}

static int take_tuning(struct exporting *e)
{
	int status = take_size(e, "block-size", &e->options.block_size);

	if (!status)
		status = take_size(e, "memory", &e->options.memory);
	if (!status)
		status = take_size(e, "cluster-size", &e->options.cluster_size);
	if (!status)
		status = take_number(e, "queue-depth", "a number above 0", 1, UINT32_MAX,
				     &e->options.queue_depth);
	return status;
}

static int take_limits(struct exporting *e)
{
	const char *pressure = option_value(&e->cli->args, "max-pressure"), *rest;
	int status = take_number(e, "iops-limit", "a number", 0, UINT32_MAX,
				 &e->options.iops);

	if (status || !pressure)
		return status;
	rest = parse_number(pressure, 1, 99, &e->options.max_pressure);
	if (!rest || (*rest && (rest[0] != ':' || rest[1] != '/')))
		return wrong_usage(e->cli,
				   "option '--max-pressure' takes 1 to 99, and :/PATH of "
				   "a cgroup if wanted, not '%s'",
				   pressure);
	e->options.pressure_of = *rest ? rest + 1 : NULL;
	return 0;
}

static int take_options(struct exporting *e)
{
	const struct arguments *args = &e->cli->args;
	const char *settings = option_value(args, "settings");
	const char *timeout = option_value(args, "timeout");
	const char *rate = option_value(args, "bwlimit");
	int status;

	e->options.size = sizeof(e->options);
	if (settings) {
		status = check_settings_alone(e->cli);
		if (!status)
			status = take_settings(e, settings);
		e->options.settings = e->settings;
		return status;
	}
	if (timeout && !parse_seconds(timeout, &e->options.timeout_ms))
		return wrong_usage(e->cli,
				   "option '--timeout' takes seconds, above 0, not '%s'",
				   timeout);
	if (rate && !parse_size(rate, &e->options.bandwidth))
		return wrong_usage(e->cli,
				   "option '--bwlimit' takes a number of bytes, or one "
				   "with K, M, G or T, not '%s'",
				   rate);
	status = take_number(e, "priority", "a number from 1 to 99", 1, 99,
			     &e->options.priority);
	if (status)
		return status;
	if (option_given(args, "priority") && !option_given(args, "async"))
		return wrong_usage(e->cli, "option '--priority' needs '--async'");
	if (option_given(args, "merge") && !option_given(args, "base"))
		return wrong_usage(e->cli, "option '--merge' needs '--base'");
	e->options.ionice = option_choice(args, "ionice");
	e->options.restart = option_given(args, "restart");
	e->options.format = option_choice(args, "format");
	e->disks = option_values(args, "disk", &e->options.disk_count);
	e->options.disks = e->options.disk_count ? e->disks : NULL;
	e->options.base = option_value(args, "base");
	e->options.merge = option_given(args, "merge");
	e->options.strict = option_given(args, "strict");
	e->options.io = option_choice(args, "io");
	e->options.clone = option_choice(args, "clone");
	e->options.digest = option_choice(args, "digest");
	status = take_limits(e);
	return status ? status : take_tuning(e);
}

static int check_operands(const struct cli *cli)
{
	bool all = option_given(&cli->args, "all");

	if (all && cli->args.operand_count > 1)
		return wrong_usage(cli,
				   "'--all' takes a directory and no reference point");
	if (!all && cli->args.operand_count < 2)
		return wrong_usage(cli, "a reference point and a directory are needed");
	return 0;
}

/* The latest of every system that has any; a damaged one is left to fail and say so. */
static int take_all_points(struct exporting *e)
{
	json_auto_t *systems = NULL;
	struct rp_error error;
	const json_t *system;
	char *text;
	size_t i;

	if (rp_system_list(e->store, &text, &error))
		return fail(e->cli, NULL, &error);
	systems = document(text);
	e->points = must(calloc(json_array_size(systems) + 1, sizeof(e->points[0])));
	json_array_foreach(systems, i, system) {
		const json_t *points = json_object_get(system, "ReferencePoints");

		if (points && json_array_size(points) == 0)
			continue;
		if (asprintf(&e->points[e->point_count], "%s@latest",
			     member_text(system, "VirtualSystemIdentifier")) < 0)
			must(NULL);
		e->point_count++;
	}
	return 0;
}

static int take_points(struct exporting *e)
{
	const struct arguments *args = &e->cli->args;

	if (option_given(args, "all"))
		return take_all_points(e);
	e->points = must(calloc(args->operand_count, sizeof(e->points[0])));
	for (size_t i = 0; i + 1 < args->operand_count; i++)
		e->points[e->point_count++] = must(strdup(args->operands[i]));
	return 0;
}

static void print_report(const json_t *report)
{
	print_line(member_text(report, "ExportPath"));
	print_disks(report, "  ");
	flush_output(); /* the next point may take hours */
}

static int export_one(const struct exporting *e)
{
	struct rp_export_options options = e->options;
	const char *point = e->points[0];
	json_auto_t *report = NULL;
	struct progress progress;
	struct rp_error error;
	uint32_t value;
	char *text;

	progress_begin(&progress, e->cli, point, 1);
	options.watch = &progress.watch;
	value = rp_export(e->store, point, e->directory, &options, &text, &error);
	progress_end(&progress);
	if (value)
		return fail(e->cli, point, &error);
	report = document(text);
	if (e->cli->json)
		print_result(NULL, report);
	else
		print_report(report);
	return 0;
}

/* In the process that is to do the work. */
struct starting {
	const struct exporting *e;
	const char *point;
};

static uint32_t start_export(void *context, struct rp_job **ret, struct rp_error *error)
{
	const struct starting *s = context;
	struct rp_store *store;
	uint32_t value = open_store_quietly(s->e->cli, &store, error);

	if (value)
		return value;
	value = rp_export_start(store, s->point, s->e->directory, &s->e->options, ret,
				error);
	rp_store_close(store);
	return value;
}

/* *@ret_there: there is none, as the point is exported there already. */
static int start_one(const struct exporting *e, size_t index, bool *ret_there)
{
	struct starting starting = {e, e->points[index]};
	struct started started;

	detach_job(start_export, &starting, &started);
	*ret_there = started.error.os_error == EEXIST;
	if (started.value != RP_JOB_STARTED)
		return fail(e->cli, e->points[index], &started.error);
	if (e->cli->json) {
		json_auto_t *body = json_pack("{s:i, s:s}", "ReturnValue", RP_JOB_STARTED,
					      "Job", started.id);

		print_result(NULL, body);
	} else {
		print_line(started.id);
	}
	return 0;
}

static int start_all(const struct exporting *e)
{
	int first = 0, first_there = 0; /* as of a set: the one, or else the other */

	catch_stop_signals(); /* a job that has begun is told of */
	for (size_t i = 0; i < e->point_count; i++) {
		int status, *counted;
		bool there;

		if (stop_signal()) /* between two points: no method is there to say so */
			return fail_here(e->cli, e->points[i], RP_FAILED, ECANCELED,
					 "export");
		status = start_one(e, i, &there);
		counted = there ? &first_there : &first;
		if (!*counted)
			*counted = status;
	}
	return first ? first : first_there;
}

/* A set while it is exported. */
struct exporting_set {
	const struct exporting *e;
	struct progress progress;
	bool told;   /* one has failed, and said so */
	int stopped; /* the exit status of one that was, which said so; 0 = none */
};

static void export_done(void *context, size_t index, uint32_t value, const char *report,
			const struct rp_error *error)
{
	struct exporting_set *s = context;
	const struct cli *cli = s->e->cli;
	json_auto_t *parsed = NULL;
	bool stopped;
	int status;

	progress_end(&s->progress);
	if (s->progress.index < s->progress.count)
		s->progress.index++;
	if (!value) {
		parsed = document(must(strdup(report)));
		if (cli->json)
			print_result(NULL, parsed);
		else
			print_report(parsed);
		return;
	}
	stopped = stop_signal() && error->os_error == ECANCELED;
	if (stopped && s->stopped) { /* one line says it; but each has its result */
		if (cli->json)
			print_failure(s->e->points[index], error);
		return;
	}
	s->told = true;
	status = fail(cli, s->e->points[index], error);
	if (stopped)
		s->stopped = status;
}

static int export_set(const struct exporting *e)
{
	struct rp_export_options options = e->options;
	struct exporting_set set = {.e = e};
	struct rp_error error;
	uint32_t value;

	progress_begin(&set.progress, e->cli, e->directory, e->point_count);
	options.watch = &set.progress.watch;
	value = rp_export_set(e->store, (const char *const *)e->points, e->point_count,
			      e->directory, &options, export_done, &set, &error);
	progress_end(&set.progress);
	if (value && !set.told) /* none was begun */
		return fail(e->cli, NULL, &error);
	return set.stopped ? set.stopped : exit_status(value);
}

/* What was asked for is checked all the same. */
static int export_none(const struct exporting *e)
{
	struct rp_error error;

	if (rp_export_set(e->store, NULL, 0, e->directory, &e->options, NULL, NULL,
			  &error))
		return fail(e->cli, NULL, &error);
	fprintf(stderr, "refpoint: export: the store has no reference points\n");
	if (e->cli->json)
		print_result(NULL, NULL);
	return 0;
}

int cmd_export(const struct cli *cli)
{
	_cleanup_(export_cleanup) struct exporting e = {.cli = cli};
	const char *directory;
	struct rp_error error;
	int status;

	status = check_operands(cli);
	if (!status)
		status = take_options(&e);
	if (!status)
		status = open_store(cli, NULL, &e.store);
	if (!status)
		status = take_points(&e);
	if (status)
		return status;
	directory = cli->args.operands[cli->args.operand_count - 1];
	if (absolute_path(directory, &e.directory, &error))
		return fail(cli, directory, &error);
	if (!e.point_count)
		return export_none(&e);
	if (option_given(&cli->args, "async"))
		return start_all(&e);
	return e.point_count == 1 ? export_one(&e) : export_set(&e);
}
