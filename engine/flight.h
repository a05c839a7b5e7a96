/* SPDX-License-Identifier: MIT */
/*
 * flight.h - how much is to be under way at once: what keeps the devices busy, no more
 *
 * Three blocks keep a local disk busy: one is read, one is digested, one is written. More
 * of them only push each other out of the caches, and memory that was never used costs
 * milliseconds a page. Where answers take long, as over a network, it takes all there
 * are. Which of the two it is shows by trying: for a while twice as much is under way,
 * and if that moves more than before it and after it, it stays so; until half of it does
 * not move less.
 */
#ifndef ENGINE_FLIGHT_H
#define ENGINE_FLIGHT_H

#include <stdbool.h>
#include <stdint.h>

enum flight_round {
	FLIGHT_USUAL, /* is what a trial is compared with */
	FLIGHT_TRIAL,
	FLIGHT_CHECK, /* as much as before: was it the trial that made the difference? */
};

struct flight {
	uint64_t most;	 /* bytes that may be under way now */
	uint64_t enough; /* what it grows to without a trial */
	uint64_t limit;	 /* never more than these */
	/* The round, which begins when what was under way before it has come back. */
	enum flight_round round;
	uint64_t begin_ns; /* 0 = not yet */
	uint64_t bytes;	   /* that came back */
	/* The trial: bytes under way, and bytes a nanosecond. */
	uint64_t usual, other;
	double usual_rate, other_rate;
	bool less;		   /* it is one of less, if that can be */
	uint64_t next_ns, rest_ns; /* the next one; how long after this one */
};

/* Begins with two of @block, grows to @enough at once, and to more, at most @limit, where
 * it is seen to help. Each @now is of watch_now(): rests are part of no round. */
void flight_init(struct flight *f, uint64_t block, uint64_t enough, uint64_t limit,
		 uint64_t now);

/* So many bytes that were under way have come back; not more than @share may be. */
void flight_landed(struct flight *f, uint64_t bytes, uint64_t share, uint64_t now);

/* It was not the devices that were waited for: the round says nothing. */
void flight_interrupted(struct flight *f);

/* What is under way when none is tried. */
uint64_t flight_usual(const struct flight *f);

#endif
