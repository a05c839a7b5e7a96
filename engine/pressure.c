/* SPDX-License-Identifier: MIT */
/*
 * pressure.c - a rate that gives way to others: its rises and falls
 */
#include "pressure.h"

#include <unistd.h>

#include "io/base.h"
#include "io/psi.h"

#define LOOK_NS	 250000000u
#define FALL	 0.67
#define RISE	 0.05
#define PACE_MIN 0.01	    /* an export ends some day */
#define FAST_MIN (16 * MIB) /* a second, before anything was seen */

int pressure_open(struct pressure *p, unsigned limit, const char *cgroup)
{
	struct pressure opened = {.limit = limit,
				  .pace = 1,
				  .fastest = {(double)FAST_MIN, (double)FAST_MIN}};
	int r;

	opened.fd = io_psi_open(cgroup);
	if (opened.fd < 0)
		return opened.fd;
	r = io_psi_read(opened.fd, &opened.waited_us);
	if (r < 0)
		close(opened.fd);
	else
		*p = opened;
	return r;
}

void pressure_close(struct pressure *p)
{
	if (p->limit)
		close(p->fd);
	p->limit = 0;
}

void pressure_seen(struct pressure *p, uint64_t waited_us, uint64_t bytes, uint64_t ns)
{
	double rate = (double)bytes * 1e9 / (double)ns;

	if (rate > p->fastest[p->writes])
		p->fastest[p->writes] = rate;
	if ((double)waited_us * 1000 * 100 > (double)ns * p->limit)
		p->pace = p->pace * FALL > PACE_MIN ? p->pace * FALL : PACE_MIN;
	else
		p->pace = p->pace + RISE < 1 ? p->pace + RISE : 1;
}

void pressure_begin(struct pressure *p, bool writes)
{
	if (p->writes != writes)
		p->moved = 0;
	p->writes = writes;
}

void pressure_follow(struct pressure *p, const struct pressure *before)
{
	int fd = p->fd;

	*p = *before;
	p->fd = fd;
}

void pressure_look(struct pressure *p, uint64_t now_ns)
{
	uint64_t waited = p->waited_us;

	if (now_ns - p->looked_ns < LOOK_NS)
		return;
	io_psi_read(p->fd, &waited); /* a cgroup that is gone has nobody who waits */
	if (p->looked_ns)
		pressure_seen(p, waited - p->waited_us, p->moved, now_ns - p->looked_ns);
	p->looked_ns = now_ns;
	p->waited_us = waited;
	p->moved = 0;
}

uint64_t pressure_rate(const struct pressure *p)
{
	return p->pace < 1 ? (uint64_t)(p->fastest[p->writes] * p->pace) : 0;
}
