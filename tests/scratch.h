/* SPDX-License-Identifier: MIT */
/*
 * scratch.h - the folders tests work in: one for the program in $TMPDIR (else /var/tmp),
 * in it one for each test, all removed by the runner, whatever became of the test
 */
#ifndef TESTS_SCRATCH_H
#define TESTS_SCRATCH_H

#include <stdbool.h>
#include <stddef.h>

bool scratch_open(void);	  /* false with errno */
void scratch_begin(size_t index); /* before the test's process is forked */
void scratch_end(void);
void scratch_close(void);

#endif
