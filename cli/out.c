/* SPDX-License-Identifier: MIT */
/*
 * out.c - how a command ends: a result on stdout, or one line on stderr
 */
#include "cli/out.h"

#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "cli/progress.h"
#include "cli/text.h"

static int lost_output; /* errno of the first failed write */

void flush_output(void)
{
	if (fflush(stdout) && !lost_output)
		lost_output = errno;
}

bool output_failed(int printed)
{
	if (printed < 0 && !lost_output)
		lost_output = errno;
	return printed < 0;
}

json_t *json_text(const char *text)
{
	json_t *string = json_string(text);
	_cleanup_free_ char *ascii = NULL;

	if (string)
		return string;
	ascii = must(strdup(text));
	for (char *c = ascii; *c; c++) {
		if ((unsigned char)*c >= 0x80)
			*c = '?';
	}
	return must(json_string(ascii));
}

void set_member(json_t *object, const char *key, json_t *value)
{
	if (json_object_set_new(object, key, value))
		must(NULL);
}

void add_members(json_t *object, json_t *more)
{
	if (json_object_update(object, more))
		must(NULL);
}

static void print_json(const json_t *object)
{
	_cleanup_free_ char *line = must(json_dumps(object, JSON_REAL_PRECISION(6)));

	output_failed(puts(line));
	flush_output();
}

json_t *error_document(const char *operand, const struct rp_error *error)
{
	json_t *body = json_object();
	uint64_t offset = error->offset;

	set_member(body, "Code", json_integer(error->code));
	set_member(body, "Name", json_string(rp_return_name(error->code)));
	set_member(body, "Step", json_text(error->step));
	set_member(body, "Operand", operand ? json_text(operand) : json_null());
	set_member(body, "System", json_text(error->system));
	set_member(body, "Disk", json_text(error->disk));
	set_member(body, "Offset",
		   offset == RP_NO_OFFSET ? json_null() : json_integer(offset));
	set_member(body, "Errno", json_integer(error->os_error));
	set_member(body, "Message", json_text(error->message));
	return body;
}

static void print_json_error(const char *operand, const struct rp_error *error)
{
	json_auto_t *result = json_object();

	set_member(result, "ReturnValue", json_integer(error->code));
	set_member(result, "Error", error_document(operand, error));
	print_json(result);
}

/* The error as it is told; the signal that it is the work of, or 0. */
static int told_of(const struct rp_error *error, struct rp_error *ret)
{
	int sig = error->os_error == ECANCELED ? stop_signal() : 0;
	const char *kept = strchr(error->message, ';'); /* how to go on */

	*ret = *error;
	if (sig)
		snprintf(ret->message, sizeof(ret->message), "interrupted by SIG%s%s",
			 sigabbrev_np(sig), kept ? kept : "");
	return sig;
}

void print_failure(const char *operand, const struct rp_error *error)
{
	struct rp_error shown;

	told_of(error, &shown);
	print_json_error(operand, &shown);
}

int exit_status(uint32_t value)
{
	return value ? (int)(value - RP_FAILED + 1) : 0;
}

int fail(const struct cli *cli, const char *operand, const struct rp_error *error)
{
	_cleanup_free_ char *what = printable(operand ? operand : "");
	_cleanup_free_ char *why = NULL;
	struct rp_error shown;
	int sig = told_of(error, &shown);

	why = printable(shown.message);
	fprintf(stderr, "refpoint: %s%s%s%s%s (%u %s)\n", cli->name, *what ? " " : "",
		what, *cli->name ? ": " : "", why, shown.code,
		rp_return_name(shown.code));
	if (cli->json)
		print_json_error(operand, &shown);
	return sig ? 128 + sig : exit_status(shown.code);
}

void warn(const struct cli *cli, const char *operand, const char *text)
{
	_cleanup_free_ char *what = printable(operand);
	_cleanup_free_ char *why = printable(text);

	fprintf(stderr, "refpoint: %s %s: warning: %s\n", cli->name, what, why);
}

static uint32_t code_of_errno(int os_error)
{
	switch (os_error) {
	case ENOENT:
	case ENOTDIR:
		return RP_NOT_AVAILABLE;
	case EACCES:
	case EPERM:
		return RP_ACCESS_DENIED;
	case ENOMEM:
		return RP_OUT_OF_MEMORY;
	default:
		return RP_FAILED;
	}
}

uint32_t error_here(struct rp_error *ret, uint32_t code, int os_error, const char *text)
{
	*ret = (struct rp_error){
		.code = code ? code : code_of_errno(os_error),
		.os_error = os_error,
		.offset = RP_NO_OFFSET,
		.step = "command line",
	};
	snprintf(ret->message, sizeof(ret->message), "%s%s%s", text, os_error ? ": " : "",
		 os_error ? strerror(os_error) : "");
	return ret->code;
}

int fail_here(const struct cli *cli, const char *operand, uint32_t code, int os_error,
	      const char *format, ...)
{
	_cleanup_free_ char *text = NULL;
	struct rp_error error;
	va_list ap;

	va_start(ap, format);
	text = format_text_va(format, ap);
	va_end(ap);
	error_here(&error, code, os_error, text);
	return fail(cli, operand, &error);
}

int wrong_usage(const struct cli *cli, const char *format, ...)
{
	struct rp_error error = {
		.code = RP_INVALID_PARAMETER,
		.offset = RP_NO_OFFSET,
		.step = "usage",
	};
	_cleanup_free_ char *text = NULL, *clean = NULL;
	va_list ap;

	va_start(ap, format);
	text = format_text_va(format, ap);
	va_end(ap);
	clean = printable(text);
	fprintf(stderr, "refpoint: %s%s%s. See 'refpoint%s%s --help'.\n", cli->name,
		*cli->name ? ": " : "", clean, *cli->name ? " " : "", cli->name);
	if (cli->json) {
		snprintf(error.message, sizeof(error.message), "%s", text);
		print_json_error(NULL, &error);
	}
	return EXIT_USAGE;
}

json_t *document(char *text)
{
	json_t *json = must(json_loads(text, 0, NULL));

	rp_free(text);
	return json;
}

void print_result(const char *key, json_t *body)
{
	json_auto_t *result = json_object();

	set_member(result, "ReturnValue", json_integer(RP_OK));
	if (key)
		set_member(result, key, json_incref(body));
	else if (body)
		add_members(result, body);
	print_json(result);
}

const char *member_text(const json_t *object, const char *key)
{
	const char *text = json_string_value(json_object_get(object, key));

	return text ? text : "";
}

uint64_t member_number(const json_t *object, const char *key)
{
	return json_integer_value(json_object_get(object, key));
}

int close_output(const struct cli *cli, int status)
{
	struct cli text_only = *cli;
	int failed;

	flush_output();
	if (ferror(stdout) && !lost_output)
		lost_output = EIO; /* a write by stdio itself, its errno is gone */
	if (fclose(stdout) && !lost_output)
		lost_output = errno;
	if (!lost_output)
		return status;
	if (lost_output == EPIPE) /* as in "| head": nobody wants to know */
		return status ? status : exit_status(RP_FAILED);
	text_only.json = false; /* there is no stdout to say it on */
	failed = fail_here(&text_only, NULL, RP_FAILED, lost_output,
			   "write standard output");
	return status ? status : failed;
}
