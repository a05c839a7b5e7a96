/* SPDX-License-Identifier: MIT */
/*
 * cli.h - one run of the program: what was asked, and the commands that answer
 *
 * A command returns the exit status: 0, or what fail() or wrong_usage() gave it.
 */
#ifndef CLI_CLI_H
#define CLI_CLI_H

#include <stdbool.h>
#include <stddef.h>

#include <refpoint.h>

#include "cli/options.h"

struct cli;

struct command {
	const char *name;  /* "create", "system add" */
	const char *group; /* "system", or NULL if the name is one word */
	const char *usage; /* its operands and options, as in the manual */
	const char *help;
	const struct option_def *options; /* NULL = only the global ones */
	size_t min_operands;
	size_t max_operands;
	int (*run)(const struct cli *cli);
};

struct cli {
	const char *name; /* of the command as far as it is known: "", "system" */
	const struct command *command;
	bool json;
	struct arguments args;
};

int cmd_init(const struct cli *cli);
int cmd_system_add(const struct cli *cli);
int cmd_system_change(const struct cli *cli);
int cmd_system_list(const struct cli *cli);
int cmd_system_show(const struct cli *cli);
int cmd_system_remove(const struct cli *cli);
int cmd_create(const struct cli *cli);
int cmd_list(const struct cli *cli);
int cmd_show(const struct cli *cli);
int cmd_destroy(const struct cli *cli);
int cmd_release(const struct cli *cli);
int cmd_changes(const struct cli *cli);
int cmd_export(const struct cli *cli);
int cmd_job_list(const struct cli *cli);
int cmd_job_show(const struct cli *cli);
int cmd_job_wait(const struct cli *cli);
int cmd_job_suspend(const struct cli *cli);
int cmd_job_resume(const struct cli *cli);
int cmd_job_cancel(const struct cli *cli);
int cmd_job_kill(const struct cli *cli);
int cmd_job_limit(const struct cli *cli);
int cmd_probe(const struct cli *cli);
int cmd_verify(const struct cli *cli);
int cmd_merge(const struct cli *cli);
int cmd_restore(const struct cli *cli);
int cmd_import(const struct cli *cli);

/* The options of those commands that have any, each beside its command. */
extern const struct option_def system_disks_options[];
extern const struct option_def create_options[];
extern const struct option_def changes_options[];
extern const struct option_def export_options[];
extern const struct option_def job_wait_options[];
extern const struct option_def job_cancel_options[];
extern const struct option_def restore_options[];
extern const struct option_def verify_options[];
extern const struct option_def merge_options[];

#endif
