/* SPDX-License-Identifier: MIT */
/*
 * cmd_job.c - refpoint job list / show / wait / suspend / resume / cancel / kill / limit
 */
#include "cli/cmd_store.h"

#include "cli/detach.h"
#include "cli/disks.h"
#include "cli/out.h"
#include "cli/progress.h"
#include "cli/table.h"
#include "cli/text.h"

/* How long a transition is waited for: far above what one takes. */
#define REQUEST_MS 30000

const struct option_def job_wait_options[] = {
	{"timeout", "SECONDS", "give up waiting after this time", false},
	{NULL, NULL, NULL, false},
};

const struct option_def job_cancel_options[] = {
	{"discard", NULL, "keep nothing for a later resume", false},
	{NULL, NULL, NULL, false},
};

static void cleanup_job(struct rp_job **job)
{
	rp_job_close(*job);
}

/* The job that was asked for: 0, or an error line and the exit status. */
static int open_job(const struct cli *cli, struct rp_job **ret)
{
	_cleanup_(cleanup_store) struct rp_store *store = NULL;
	const char *operand = cli->args.operands[0];
	struct rp_error error;
	int status = open_store(cli, operand, &store);

	if (status)
		return status;
	return rp_job_open(store, operand, ret, &error) ? fail(cli, operand, &error) : 0;
}

/* -------------------------------------------------------------------- list and show */

static void print_jobs(const json_t *jobs)
{
	struct table table = {
		{"JOB", "STATE", ">DONE", "PHASE", ">RATE", "REFERENCE POINT",
		 "DIRECTORY", NULL},
		NULL,
		0,
	};
	const json_t *job;
	size_t i;

	json_array_foreach(jobs, i, job) {
		_cleanup_free_ char *point = format_text(
			"%s@%.8s", member_text(job, "VirtualSystemIdentifier"),
			member_text(job, "ReferencePointId"));
		_cleanup_free_ char *done = format_text(
			"%u%%", (unsigned)member_number(job, "PercentComplete"));
		_cleanup_free_ char *rate = format_text(
			"%s/s", size_text(member_number(job, "BytesPerSecond")).s);

		table_row(&table, member_text(job, "InstanceID"),
			  member_text(job, "JobStatus"), done, member_text(job, "Phase"),
			  rate, point, member_text(job, "ExportDirectory"));
	}
	table_print(&table, "");
}

int cmd_job_list(const struct cli *cli)
{
	_cleanup_(cleanup_store) struct rp_store *store = NULL;
	json_auto_t *jobs = NULL;
	struct rp_error error;
	char *text;
	int status = open_store(cli, NULL, &store);

	if (status)
		return status;
	if (rp_job_list(store, &text, &error))
		return fail(cli, NULL, &error);
	jobs = document(text);
	if (cli->json)
		print_result("Jobs", jobs);
	else
		print_jobs(jobs);
	return 0;
}

static void print_job(const json_t *job)
{
	const json_t *warning;
	size_t i;
	_cleanup_free_ char *state = format_text(
		"%s%s", member_text(job, "JobStatus"),
		json_is_true(json_object_get(job, "Resumable")) ? ", can be resumed"
								: "");
	_cleanup_free_ char *done = format_text(
		"%u%% (%s of %s), %s", (unsigned)member_number(job, "PercentComplete"),
		size_text(member_number(job, "BytesDone")).s,
		size_text(member_number(job, "BytesTotal")).s, member_text(job, "Phase"));
	_cleanup_free_ char *elapsed = format_text(
		"%.1f s", json_number_value(json_object_get(job, "ElapsedTime")));

	print_field("Job", member_text(job, "InstanceID"));
	print_field("State", state);
	print_field("Done", done);
	print_field("Reference point", member_text(job, "ReferencePointId"));
	print_field("Virtual system", member_text(job, "VirtualSystemIdentifier"));
	print_field("Export", member_text(job, "ExportPath"));
	print_field("Submitted", member_text(job, "TimeSubmitted"));
	print_field("Elapsed", elapsed);
	print_field("Owner", member_text(job, "Owner"));
	print_field("Process", number_text(member_number(job, "ProcessId")).s);
	print_field("Priority", number_text(member_number(job, "Priority")).s);
	if (member_number(job, "BandwidthLimit")) {
		_cleanup_free_ char *limit = format_text(
			"%s/s", size_text(member_number(job, "BandwidthLimit")).s);

		print_field("Limit", limit);
	}
	if (*member_text(job, "ErrorDescription"))
		print_field("Error", member_text(job, "ErrorDescription"));
	json_array_foreach(json_object_get(job, "Warnings"), i, warning)
		print_field("Warning", json_string_value(warning));
	if (json_array_size(json_object_get(job, "Disks")))
		putchar('\n');
	print_disks(job, "");
}

int cmd_job_show(const struct cli *cli)
{
	return print_document(cli, rp_job_show, NULL, print_job);
}

/* ------------------------------------------------------------------------------ wait */

int cmd_job_wait(const struct cli *cli)
{
	_cleanup_(cleanup_job) struct rp_job *job = NULL;
	const char *timeout = option_value(&cli->args, "timeout");
	const char *operand = cli->args.operands[0];
	struct progress progress;
	struct rp_error error;
	uint64_t timeout_ms = 0;
	uint32_t value;
	int status;

	if (timeout && !parse_seconds(timeout, &timeout_ms))
		return wrong_usage(cli,
				   "option '--timeout' takes seconds, above 0, not '%s'",
				   timeout);
	status = open_job(cli, &job);
	if (status)
		return status;
	progress_begin(&progress, cli, operand, 1);
	value = rp_job_wait(job, &progress.watch, timeout_ms, &error);
	progress_end(&progress);
	if (value)
		return fail(cli, operand, &error);
	if (cli->json) {
		json_auto_t *body = json_pack("{s:s}", "Job", rp_job_id(job));

		print_result(NULL, body);
	}
	return 0;
}

/* -------------------------------------------------------------------------- requests */

/* The model's answers are not those of the methods: the error has what belongs to one. */
static int answered(const struct cli *cli, uint32_t answer, const char *id,
		    const struct rp_error *error)
{
	if (answer != RP_JOB_DONE && answer != RP_JOB_TRANSITION)
		return fail(cli, cli->args.operands[0], error);
	if (cli->json) {
		json_auto_t *body = json_pack("{s:I, s:s}", "ReturnValue",
					      (json_int_t)answer, "Job", id);

		print_result(NULL, body);
	}
	return 0;
}

static int request(const struct cli *cli, uint32_t requested)
{
	_cleanup_(cleanup_job) struct rp_job *job = NULL;
	struct rp_error error;
	int status = open_job(cli, &job);

	if (status)
		return status;
	return answered(cli,
			rp_job_request_state_change(job, requested, REQUEST_MS, &error),
			rp_job_id(job), &error);
}

int cmd_job_suspend(const struct cli *cli)
{
	return request(cli, RP_JOB_SUSPEND);
}

int cmd_job_cancel(const struct cli *cli)
{
	return request(cli, option_given(&cli->args, "discard")
				    ? RP_JOB_TERMINATE | (uint32_t)RP_JOB_DISCARD
				    : (uint32_t)RP_JOB_TERMINATE);
}

int cmd_job_kill(const struct cli *cli)
{
	return request(cli, RP_JOB_KILL);
}

/* In the process that is to do the work. */
static uint32_t start_again(void *context, struct rp_job **ret, struct rp_error *error)
{
	const struct cli *cli = context;
	struct rp_store *store;
	uint32_t value;

	value = open_store_quietly(cli, &store, error);
	if (value)
		return value;
	value = rp_job_open(store, cli->args.operands[0], ret, error);
	rp_store_close(store);
	return value ? value : rp_job_request_state_change(*ret, RP_JOB_START, 0, error);
}

/* A job that is suspended goes on in its own process, one that has ended in a new one. */
int cmd_job_resume(const struct cli *cli)
{
	_cleanup_(cleanup_job) struct rp_job *job = NULL;
	enum rp_job_state state;
	struct started started;
	struct rp_error error;
	int status = open_job(cli, &job);

	if (status)
		return status;
	if (rp_job_state(job, &state, NULL, &error))
		return fail(cli, cli->args.operands[0], &error);
	if (state < RP_JOB_COMPLETED)
		return answered(cli,
				rp_job_request_state_change(job, RP_JOB_START, 0, &error),
				rp_job_id(job), &error);
	detach_job(start_again, (void *)cli, &started);
	return answered(cli, started.value, rp_job_id(job), &started.error);
}

int cmd_job_limit(const struct cli *cli)
{
	_cleanup_(cleanup_job) struct rp_job *job = NULL;
	struct rp_error error;
	uint64_t rate;
	int status;

	if (!parse_size(cli->args.operands[1], &rate))
		return wrong_usage(cli,
				   "a rate is a number of bytes, or one with K, M, G or "
				   "T, not '%s'",
				   cli->args.operands[1]);
	status = open_job(cli, &job);
	if (status)
		return status;
	if (rp_job_set_bandwidth(job, rate, &error))
		return fail(cli, cli->args.operands[0], &error);
	return answered(cli, RP_JOB_DONE, rp_job_id(job), &error);
}
