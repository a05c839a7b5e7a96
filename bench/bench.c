/* SPDX-License-Identifier: MIT */
/*
 * bench.c - what the benchmarks' programs share: dying, the clock, content
 */
#include "bench.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

void die(const char *what)
{
	fprintf(stderr, "%s: %s: %s\n", program_invocation_short_name, what,
		strerror(errno));
	exit(1);
}

double now_seconds(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

uint64_t parse_size(const char *text)
{
	static const char units[] = "KMG";
	char *end;
	uint64_t size;
	const char *unit;

	errno = 0;
	size = strtoull(text, &end, 10);
	if (errno || end == text)
		die(text);
	if (!*end)
		return size;
	unit = strchr(units, *end);
	if (!unit || end[1]) {
		errno = EINVAL;
		die(text);
	}
	return size << (10 * (unit - units + 1));
}

/* xorshift64* */
uint64_t next_random(uint64_t *state)
{
	*state ^= *state >> 12;
	*state ^= *state << 25;
	*state ^= *state >> 27;
	return *state * UINT64_C(2685821657736338717);
}

void fill_random(void *buf, size_t len, uint64_t *state)
{
	uint64_t *p = buf;

	for (size_t i = 0; i < len / sizeof(*p); i++)
		p[i] = next_random(state);
}
