/* SPDX-License-Identifier: MIT */
/*
 * main.c - the table of commands, and finding the one that was asked for
 */
#include "cli/cli.h"

#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "cli/help.h"
#include "cli/out.h"
#include "cli/suggest.h"
#include "cli/text.h"

static const struct command commands[] = {
	{"init", NULL, "DIR", "make a store in a directory", NULL, 1, 1, cmd_init},
	{"system add", "system",
	 "NAME --disk ID=PATH [--disk ID=PATH ...] [--config PATH ...]",
	 "register a virtual system with its disks", system_disks_options, 1, 1,
	 cmd_system_add},
	{"system change", "system",
	 "NAME --disk ID=PATH [--disk ID=PATH ...] [--config PATH ...]",
	 "replace all disks and config files of a system", system_disks_options, 1, 1,
	 cmd_system_change},
	{"system list", "system", "", "list the virtual systems", NULL, 0, 0,
	 cmd_system_list},
	{"system show", "system", "NAME", "show one virtual system", NULL, 1, 1,
	 cmd_system_show},
	{"system remove", "system", "NAME", "forget a virtual system, not its disks",
	 NULL, 1, 1, cmd_system_remove},
	{"create", NULL, "NAME [--label TEXT] [--allow-copy]",
	 "take a reference point of a virtual system", create_options, 1, 1, cmd_create},
	{"list", NULL, "[NAME]", "list reference points, oldest first", NULL, 0, 1,
	 cmd_list},
	{"show", NULL, "NAME@POINT", "show one reference point", NULL, 1, 1, cmd_show},
	{"destroy", NULL, "NAME@POINT", "delete a reference point and its data", NULL, 1,
	 1, cmd_destroy},
	{"release", NULL, "NAME@POINT", "drop the data of a point, keep it as a base",
	 NULL, 1, 1, cmd_release},
	{"changes", NULL, "NAME@POINT --base [NAME]@POINT [--disk ID] [--prove]",
	 "list what changed between two reference points", changes_options, 1, 1,
	 cmd_changes},
	{"export", NULL, "{NAME@POINT ... | --all} DIRECTORY [OPTIONS]",
	 "export reference points into a directory", export_options, 1, SIZE_MAX,
	 cmd_export},
	{"job list", "job", "", "list the jobs, oldest first", NULL, 0, 0, cmd_job_list},
	{"job show", "job", "JOB", "show one job", NULL, 1, 1, cmd_job_show},
	{"job wait", "job", "JOB [--timeout SECONDS]",
	 "wait for a job and exit as it did", job_wait_options, 1, 1, cmd_job_wait},
	{"job suspend", "job", "JOB", "stop a job until it is resumed", NULL, 1, 1,
	 cmd_job_suspend},
	{"job resume", "job", "JOB", "let a job go on", NULL, 1, 1, cmd_job_resume},
	{"job cancel", "job", "JOB [--discard]", "stop a job cleanly; it can be resumed",
	 job_cancel_options, 1, 1, cmd_job_cancel},
	{"job kill", "job", "JOB", "stop a job at once and keep nothing", NULL, 1, 1,
	 cmd_job_kill},
	{"job limit", "job", "JOB RATE", "let a job move no more bytes a second", NULL, 2,
	 2, cmd_job_limit},
	{"verify", NULL, "EXPORT [--search DIR ...] [--chain]",
	 "compare an export with its manifest and digests", verify_options, 1, 1,
	 cmd_verify},
	{"probe", NULL, "DIR [DIR2]",
	 "find out what works on a mount, or between two, and how fast", NULL, 1, 2,
	 cmd_probe},
	{"merge", NULL, "EXPORT [--search DIR ...] [OPTIONS]",
	 "make a differential export a whole one", merge_options, 1, 1, cmd_merge},
	{"restore", NULL, "EXPORT --disk ID OUTPUT [OPTIONS]",
	 "write one exported disk to a file or device", restore_options, 2, 2,
	 cmd_restore},
	{"import", NULL, "EXPORT", "register a reference point again, without data", NULL,
	 1, 1, cmd_import},
	{NULL, NULL, NULL, NULL, NULL, 0, 0, NULL},
};

/*
 * What a user types for @command behind @group, "" = at the start: a group's name
 * ("system"), or a command's own word. NULL if it is not to be found there.
 */
static const char *word_of(const struct command *command, const char *group)
{
	if (!*group)
		return command->group ? command->group : command->name;
	if (!command->group || strcmp(command->group, group) != 0)
		return NULL;
	return command->name + strlen(group) + 1;
}

static const struct command *find(const char *group, const char *word)
{
	for (const struct command *c = commands; c->name; c++) {
		const char *known = word_of(c, group);

		if (known && strcmp(known, word) == 0)
			return c;
	}
	return NULL;
}

static int unknown_command(const struct cli *cli, const char *word)
{
	struct suggestion similar = {.word = word};
	_cleanup_free_ char *hint = NULL;

	for (const struct command *c = commands; c->name; c++) {
		const char *known = word_of(c, cli->name);

		if (known)
			suggest(&similar, known);
	}
	if (similar.match)
		hint = format_text("; the most similar one is '%s'", similar.match);
	return wrong_usage(cli, "'%s' is not a refpoint%s%s command%s", word,
			   *cli->name ? " " : "", cli->name, hint ? hint : "");
}

/* Global options may stand before and between the words of a command. Returns how
 * many words of argv that took; the next, if there is one, is not a command. */
static int parse_command(struct cli *cli, int argc, char **argv)
{
	int next = 0;

	for (;;) {
		const struct command *c;

		next += arguments_parse(&cli->args, NULL, NULL, argc - next, argv + next);
		if (next == argc || !(c = find(cli->name, argv[next])))
			return next;
		if (!c->group || *cli->name) {
			cli->command = c;
			cli->name = c->name;
			return next;
		}
		cli->name = c->group;
	}
}

static int run_command(const struct cli *cli)
{
	const struct command *command = cli->command;
	const struct arguments *args = &cli->args;

	if (args->operand_count < command->min_operands)
		return wrong_usage(cli, "an operand is missing: %s", command->usage);
	if (args->operand_count > command->max_operands)
		return wrong_usage(cli, "unexpected operand '%s'",
				   args->operands[command->max_operands]);
	return command->run(cli);
}

static void print_version(const struct cli *cli)
{
	json_auto_t *version = json_text(rp_version());

	if (cli->json)
		print_result("Version", version);
	else
		printf("refpoint %s\n", rp_version());
}

static int run(struct cli *cli, int argc, char **argv)
{
	struct arguments *args = &cli->args;
	int next = parse_command(cli, argc, argv);
	const char *word = next < argc ? argv[next] : NULL;

	/* behind an unknown command too: there may be a --json */
	if (word)
		arguments_parse(args, cli->name,
				cli->command ? cli->command->options : NULL, argc - next,
				argv + next);
	cli->json = option_given(args, "json");

	if (word && !cli->command)
		return unknown_command(cli, word);
	if (option_given(args, "help")) {
		if (cli->command)
			help_command(cli->command);
		else
			help_group(commands, cli->name);
		return 0;
	}
	if (option_given(args, "version")) {
		print_version(cli);
		return 0;
	}
	if (args->error)
		return wrong_usage(cli, "%s", args->error);
	if (!cli->command)
		return wrong_usage(cli, "no command given");
	return run_command(cli);
}

/*
 * Started with fd 1 or 2 closed, the next file opened would get that number, and
 * a message would end up in a disk image. The wrong direction keeps it an error to
 * write there.
 */
static void occupy_standard_fds(void)
{
	for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++) {
		if (fcntl(fd, F_GETFD) < 0)
			open("/dev/null", fd == STDIN_FILENO ? O_WRONLY : O_RDONLY);
	}
}

/* Each disk takes some descriptors while it is moved: a machine may have hundreds. */
static void raise_descriptors(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < limit.rlim_max) {
		limit.rlim_cur = limit.rlim_max;
		setrlimit(RLIMIT_NOFILE, &limit);
	}
}

int main(int argc, char **argv)
{
	struct cli cli = {.name = ""};
	int status;

	occupy_standard_fds();
	raise_descriptors();
	signal(SIGPIPE, SIG_IGN); /* a closed pipe is a write error like others */
	signal(SIGXFSZ, SIG_IGN); /* and so is a file that may not grow */
	arguments_init(&cli.args, argc);
	status = run(&cli, argc, argv);
	status = close_output(&cli, status);
	arguments_free(&cli.args);
	return status;
}
