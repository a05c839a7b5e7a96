/* SPDX-License-Identifier: MIT */
/*
 * progress.h - what is seen of a long method while it runs, and how it is stopped
 *
 * A bar on stderr if that is a terminal, warnings on stderr always. SIGINT or
 * SIGTERM cancels the method; a second one ends the program at once.
 */
#ifndef CLI_PROGRESS_H
#define CLI_PROGRESS_H

#include "cli/cli.h"

struct progress {
	struct rp_watch watch; /* for the library */
	const struct cli *cli;
	const char *operand;
	size_t index, count; /* this is the index-th of count, from 1 */
	uint64_t drawn_ms;   /* time of the last drawing, 0 = never */
	size_t drawn_length;
	bool bar;
};

/* For @count results, one after another. */
void progress_begin(struct progress *p, const struct cli *cli, const char *operand,
		    size_t count);

/* Wipes the bar. To be called before anything else is printed. */
void progress_end(struct progress *p);

/* From now on SIGINT, SIGTERM and SIGHUP are only noted, the first time. */
void catch_stop_signals(void);

/* The signal that asked to stop, 0 = none. */
int stop_signal(void);
void forget_stop_signal(void); /* it was for another process */

#endif
