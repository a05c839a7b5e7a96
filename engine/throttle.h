/* SPDX-License-Identifier: MIT */
/*
 * throttle.h - a token bucket: no more than so much a second, of bytes or requests
 *
 * It is taken whole chunks at a time, and may be taken as long as nothing is owed;
 * what is owed is paid off with time. Pure: the caller brings the time.
 */
#ifndef ENGINE_THROTTLE_H
#define ENGINE_THROTTLE_H

#include <stdbool.h>
#include <stdint.h>

struct throttle {
	double tokens; /* bytes; less than 0 = owed */
	uint64_t filled_ns;
};

/* Begins at @now_ns; the first chunk of @chunk bytes comes when half of it is saved, so
 * that on average neither too much nor too little has passed. */
void throttle_init(struct throttle *t, uint64_t chunk, uint64_t now_ns);

/* Whether bytes may be taken now; @rate may have changed, 0 = no limit. */
bool throttle_ready(struct throttle *t, uint64_t rate, uint64_t now_ns);

void throttle_take(struct throttle *t, uint64_t bytes);

/* Milliseconds until throttle_ready(), at most @most. */
int throttle_wait_ms(const struct throttle *t, uint64_t rate, int most);

#endif
