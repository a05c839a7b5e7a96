/* SPDX-License-Identifier: MIT */
/*
 * cmd_store.c - refpoint init, and opening the store for the other commands
 */
#include "cli/cmd_store.h"

#include <stdlib.h>
#include <string.h>

#include "cli/out.h"
#include "cli/text.h"

#define DEFAULT_STORE "/var/lib/refpoint"

/* The store that was asked for; NULL = none was. */
static const char *store_asked(const struct cli *cli)
{
	const char *asked = option_value(&cli->args, "store");

	if (asked)
		return asked;
	asked = getenv("REFPOINT_STORE");
	return asked && *asked ? asked : NULL;
}

uint32_t open_store_quietly(const struct cli *cli, struct rp_store **ret,
			    struct rp_error *reterr)
{
	const char *asked = store_asked(cli);
	_cleanup_free_ char *path = NULL;
	uint32_t value = absolute_path(asked ? asked : DEFAULT_STORE, &path, reterr);

	return value ? value : rp_store_open(path, NULL, ret, reterr);
}

int open_store(const struct cli *cli, const char *operand, struct rp_store **ret)
{
	struct rp_error error;

	if (open_store_quietly(cli, ret, &error) == RP_OK)
		return 0;
	/* Every newcomer's first error; of a current directory that is gone it is none.
	 */
	if (error.code == RP_NOT_AVAILABLE && strcmp(error.step, "open") == 0)
		strncat(error.message,
			" (--store or REFPOINT_STORE names one, 'refpoint init' makes one)",
			sizeof(error.message) - strlen(error.message) - 1);
	return fail(cli, operand, &error);
}

int open_store_if_any(const struct cli *cli, const char *operand, struct rp_store **ret)
{
	_cleanup_free_ char *why = NULL;
	struct rp_error error;

	if (option_given(&cli->args, "store"))
		return open_store(cli, operand, ret);
	if (open_store_quietly(cli, ret, &error) == RP_OK)
		return 0;
	*ret = NULL;
	why = format_text("the result is not kept: %s", error.message);
	if (store_asked(cli))
		warn(cli, operand, why);
	return 0;
}

char *point_name(const json_t *point)
{
	return format_text("%s@%s", member_text(point, "VirtualSystemIdentifier"),
			   member_text(point, "InstanceID"));
}

int print_document(const struct cli *cli, read_method *method, const char *key,
		   void (*print)(const json_t *document))
{
	_cleanup_(cleanup_store) struct rp_store *store = NULL;
	const char *name = cli->args.operands[0];
	json_auto_t *shown = NULL;
	struct rp_error error;
	char *text;
	int status;

	status = open_store(cli, name, &store);
	if (status)
		return status;
	if (method(store, name, &text, &error))
		return fail(cli, name, &error);
	shown = document(text);
	if (cli->json)
		print_result(key, shown);
	else
		print(shown);
	return 0;
}

int call_method(const struct cli *cli, plain_method *method)
{
	_cleanup_(cleanup_store) struct rp_store *store = NULL;
	const char *name = cli->args.operands[0];
	struct rp_error error;
	int status;

	status = open_store(cli, name, &store);
	if (status)
		return status;
	if (method(store, name, &error))
		return fail(cli, name, &error);
	if (cli->json)
		print_result(NULL, NULL);
	return 0;
}

int cmd_init(const struct cli *cli)
{
	const char *directory = cli->args.operands[0];
	_cleanup_free_ char *path = NULL;
	struct rp_error error;

	if (absolute_path(directory, &path, &error) || rp_store_init(path, &error))
		return fail(cli, directory, &error);
	if (cli->json) {
		json_auto_t *store = json_text(path);

		print_result("Store", store);
	}
	return 0;
}
