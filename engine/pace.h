/* SPDX-License-Identifier: MIT */
/*
 * pace.h - when the next chunk may begin: the limits of bytes and of requests a second,
 * and what the I/O pressure leaves, for all streams of one mover together
 */
#ifndef ENGINE_PACE_H
#define ENGINE_PACE_H

#include <stdbool.h>
#include <stdint.h>

#include "throttle.h"
#include "watch.h"

struct pace {
	struct throttle bytes;
	struct throttle requests; /* reads and writes */
	struct watch *watch;	  /* the limits; borrowed */
	bool writes;		  /* what is only read is not in the limit of bytes, but
				     others wait for the device, too */
};

/* Begins now; chunks are of @chunk bytes at most. */
void pace_init(struct pace *p, struct watch *w, uint64_t chunk, bool writes);

/* Whether a chunk may begin now. */
bool pace_ready(struct pace *p);

/* One has begun that moves @bytes with so many requests. */
void pace_take(struct pace *p, uint64_t bytes, unsigned requests);

/* Milliseconds until pace_ready(), at most @most. */
int pace_wait_ms(const struct pace *p, int most);

#endif
