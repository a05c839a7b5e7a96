/* SPDX-License-Identifier: MIT */
/*
 * pattern.h - a disk of which only is known where it has data; no file
 */
#ifndef TESTS_PATTERN_H
#define TESTS_PATTERN_H

#include "engine/source.h"

#define TIB (UINT64_C(1) << 40)

/* Data in each @step bytes the first @len. */
struct pattern {
	struct source source;
	uint64_t step, len;
};

struct pattern pattern(uint64_t size, uint64_t step, uint64_t len);

#endif
