/* SPDX-License-Identifier: MIT */
/*
 * throttle.c - filling and emptying the bucket
 */
#include "throttle.h"

/* What was not used is saved for no longer, or a slow device would be followed by a
 * burst. */
#define SAVED_SECONDS 0.2

void throttle_init(struct throttle *t, uint64_t chunk, uint64_t now_ns)
{
	*t = (struct throttle){.tokens = -(double)chunk / 2, .filled_ns = now_ns};
}

bool throttle_ready(struct throttle *t, uint64_t rate, uint64_t now_ns)
{
	double most = (double)rate * SAVED_SECONDS;

	if (!rate) { /* no limit: nothing is owed either */
		t->tokens = 0;
		t->filled_ns = now_ns;
		return true;
	}
	t->tokens += (double)rate * (double)(now_ns - t->filled_ns) / 1e9;
	t->filled_ns = now_ns;
	if (t->tokens > most)
		t->tokens = most;
	return t->tokens >= 0;
}

void throttle_take(struct throttle *t, uint64_t bytes)
{
	t->tokens -= (double)bytes;
}

int throttle_wait_ms(const struct throttle *t, uint64_t rate, int most)
{
	double ms;

	if (!rate || t->tokens >= 0)
		return 0;
	ms = -t->tokens * 1000 / (double)rate + 1;
	return ms < most ? (int)ms : most;
}
