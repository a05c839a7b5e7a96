/* SPDX-License-Identifier: MIT */
/*
 * reading.h - commands that read an export, the first operand: --search, progress, result
 */
#ifndef CLI_READING_H
#define CLI_READING_H

#include <jansson.h>

#include "cli/cli.h"

struct reading {
	const struct cli *cli;
	struct rp_read_options options; /* without search and watch */
	/* rp_verify() and the like, on the export's absolute path. */
	uint32_t (*call)(const struct reading *reading, const char *path,
			 char **ret_report, struct rp_error *reterr);
	void (*print)(const json_t *report); /* for people */
	/* After read_export(): */
	json_t *report;	      /* to be given up */
	struct rp_error loss; /* of a salvage; code 0: nothing is lost */
};

/* Calls it and prints the report: the exit status, but for what is lost. */
int read_export(struct reading *reading);

#endif
