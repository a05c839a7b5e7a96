/* SPDX-License-Identifier: MIT */
/*
 * pressure.h - a rate that gives way to others: less when they wait for I/O too long,
 * more when they do not
 *
 * Every quarter of a second the time that tasks have waited since is looked at. Over the
 * limit the rate falls by a third, below it rises by a twentieth of the fastest that was
 * seen, until it is no limit any more. Pure but for the reading.
 */
#ifndef ENGINE_PRESSURE_H
#define ENGINE_PRESSURE_H

#include <stdbool.h>
#include <stdint.h>

struct pressure {
	int fd;		   /* of io/psi.h */
	unsigned limit;	   /* per cent of the time */
	double pace;	   /* part of the fastest; 1 = no limit */
	double fastest[2]; /* bytes a second: of what was only read; of what was moved */
	bool writes;	   /* which of them it is now */
	uint64_t looked_ns, waited_us;
	uint64_t moved; /* bytes since it was looked at; or read */
};

/* @cgroup may be NULL. 0 or -errno. */
int pressure_open(struct pressure *p, unsigned limit, const char *cgroup);
void pressure_close(struct pressure *p); /* one that was not opened has the limit 0 */

/* Goes on where @before was, which was of the same tasks. */
void pressure_follow(struct pressure *p, const struct pressure *before);

/* What is done from now on moves bytes, or only reads: what one of them was seen to reach
 * says nothing of the other. */
void pressure_begin(struct pressure *p, bool writes);

/* Looks, if it is time to, at what was moved since and at who has waited. */
void pressure_look(struct pressure *p, uint64_t now_ns);

/* What was seen: @waited_us of the last @ns, in which @bytes were moved. */
void pressure_seen(struct pressure *p, uint64_t waited_us, uint64_t bytes, uint64_t ns);

/* Bytes a second; 0 = no limit. */
uint64_t pressure_rate(const struct pressure *p);

#endif
