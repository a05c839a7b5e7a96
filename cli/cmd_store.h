/* SPDX-License-Identifier: MIT */
/*
 * cmd_store.h - what the commands that work on a store have in common
 */
#ifndef CLI_CMD_STORE_H
#define CLI_CMD_STORE_H

#include <jansson.h>

#include "cli/cli.h"

/* The store that was asked for: 0, or an error line and the exit status. */
int open_store(const struct cli *cli, const char *operand, struct rp_store **ret);

/* The same for a process that has nothing to print on: what rp_store_open() gives. */
uint32_t open_store_quietly(const struct cli *cli, struct rp_store **ret,
			    struct rp_error *reterr);

/* As open_store() where it is only to keep the result: but for that of --store, one that
 * cannot be opened is NULL, with a warning if it is the environment's. */
int open_store_if_any(const struct cli *cli, const char *operand, struct rp_store **ret);

static inline void cleanup_store(struct rp_store **store)
{
	rp_store_close(*store);
}

/* "SYSTEM@UUID" of a point's document; the caller frees it. */
char *point_name(const json_t *point);

/* Methods whose one parameter is the command's first operand, NULL if not given. */
typedef uint32_t read_method(struct rp_store *store, const char *name, char **ret_json,
			     struct rp_error *reterr);
typedef uint32_t plain_method(struct rp_store *store, const char *name,
			      struct rp_error *reterr);

/* A whole command: prints what @method returns, as JSON under @key or with @print. */
int print_document(const struct cli *cli, read_method *method, const char *key,
		   void (*print)(const json_t *document));

/* A whole command: calls @method, which has nothing to print. */
int call_method(const struct cli *cli, plain_method *method);

#endif
