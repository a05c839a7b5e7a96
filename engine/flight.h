/* SPDX-License-Identifier: MIT */
/*
 * flight.h - how much is to be under way at once: what keeps the devices busy, no more
 *
 * Three blocks keep a disk of this machine busy: one is read, one is digested, one is
 * written. More of them only push each other out of the caches, and memory that was never
 * used costs milliseconds a page. Where answers take long, as over a network, it takes
 * all there are. Which of the two it is shows by trying: for a while twice as much is
 * under way, and stays so if that moves more.
 */
#ifndef ENGINE_FLIGHT_H
#define ENGINE_FLIGHT_H

#include <stdint.h>

struct flight {
	uint64_t most;	 /* bytes that may be under way now */
	uint64_t enough; /* what it grows to without a trial */
	uint64_t limit;	 /* never more than these */
	/* The round, which begins when what was under way before it has come back. */
	uint64_t begin_ns; /* 0 = not yet */
	uint64_t bytes;	   /* that came back */
	/* A trial is compared with what was before. */
	uint64_t before; /* what may be under way without it; 0 = this is none */
	double rate;	 /* what that has moved: bytes a nanosecond */
	uint64_t next_ns, rest_ns;
};

/* Grows to @enough at once, and to more, at most @limit, where it is seen to help. */
void flight_init(struct flight *f, uint64_t enough, uint64_t limit, uint64_t now);

/* So many bytes that were under way have come back. */
void flight_landed(struct flight *f, uint64_t bytes, uint64_t now);

#endif
