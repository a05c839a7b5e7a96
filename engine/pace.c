/* SPDX-License-Identifier: MIT */
/*
 * pace.c - two buckets, and what fills them
 */
#include "pace.h"

#include "io/base.h"
#include "io/clock.h"

/* Of bytes; 0 = no limit. */
static uint64_t rate(const struct pace *p)
{
	const struct watch *w = p->watch;
	uint64_t limit = p->writes ? w->bandwidth : 0, pressed = 0;

	if (w->pressure)
		pressed = pressure_rate(w->pressure);
	if (!limit || !pressed)
		return limit ?: pressed;
	return min_u64(limit, pressed);
}

void pace_init(struct pace *p, struct watch *w, uint64_t chunk, bool writes)
{
	uint64_t now = io_now_ns();

	*p = (struct pace){.watch = w, .writes = writes};
	if (w->pressure)
		pressure_begin(w->pressure, writes);
	throttle_init(&p->bytes, chunk, now);
	throttle_init(&p->requests, 0, now);
}

bool pace_ready(struct pace *p)
{
	struct watch *w = p->watch;
	uint64_t now = io_now_ns();
	bool bytes; /* both buckets are filled, whatever the first one says */

	if (w->pressure)
		pressure_look(w->pressure, now);
	bytes = throttle_ready(&p->bytes, rate(p), now);
	return throttle_ready(&p->requests, w->iops, now) && bytes;
}

void pace_take(struct pace *p, uint64_t bytes, unsigned requests)
{
	throttle_take(&p->bytes, bytes);
	throttle_take(&p->requests, requests);
	if (p->watch->pressure)
		p->watch->pressure->moved += bytes;
}

int pace_wait_ms(const struct pace *p, int most)
{
	int bytes = throttle_wait_ms(&p->bytes, rate(p), most);
	int requests = throttle_wait_ms(&p->requests, p->watch->iops, most);

	return bytes > requests ? bytes : requests;
}
