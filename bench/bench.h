/* SPDX-License-Identifier: MIT */
/*
 * bench.h - what the benchmarks' programs share: dying, the clock, content
 */
#ifndef BENCH_BENCH_H
#define BENCH_BENCH_H

#include <stddef.h>
#include <stdint.h>

/* Prints "PROGRAM: what: errno's reason" and exits with 1. */
__attribute__((noreturn)) void die(const char *what);

double now_seconds(void); /* CLOCK_MONOTONIC */

/* A number with an optional K, M or G (powers of 1024); dies of anything else. */
uint64_t parse_size(const char *text);

/* Incompressible, not repeating, and the same for the same *state. */
void fill_random(void *buf, size_t len, uint64_t *state);
uint64_t next_random(uint64_t *state);

#endif
