/* SPDX-License-Identifier: MIT */
/*
 * flight.c - rounds, and every now and then one that tries more
 */
#include "flight.h"

#include "io/base.h"
#include "io/clock.h"

/* In a round all that is under way comes back so often, and the device has time to do
 * what it does on average. */
#define TIMES	 8
#define ROUND_NS (20 * IO_MS)

#define HELPS 1.15 /* times as fast; rounds differ by a twentieth */

/* Before the first trial; twice as long after each that was in vain. */
#define REST_NS (1000 * IO_MS)

/* Not with all of it at once: in step all would be read, then all written. */
void flight_init(struct flight *f, uint64_t enough, uint64_t limit, uint64_t now)
{
	enough = min_u64(enough, limit);
	*f = (struct flight){
		.most = enough / 3 * 2,
		.enough = enough,
		.limit = limit,
		.next_ns = now + REST_NS,
		.rest_ns = REST_NS,
	};
}

static void give_up(struct flight *f, uint64_t now)
{
	f->most = f->before;
	f->rest_ns *= 2;
	f->next_ns = now + f->rest_ns;
}

static void end_round(struct flight *f, uint64_t now)
{
	double rate = (double)f->bytes / (double)(now - f->begin_ns);

	if (f->before && rate < f->rate * HELPS)
		give_up(f, now);
	else
		f->rate = rate;
	f->before = 0;
	if (now >= f->next_ns && f->most < f->limit) {
		f->before = f->most;
		f->most = min_u64(2 * f->most, f->limit);
	}
	f->begin_ns = 0;
	f->bytes = 0;
}

void flight_landed(struct flight *f, uint64_t bytes, uint64_t now)
{
	if (f->most < f->enough) {
		f->most = min_u64(f->most + bytes, f->enough);
		return;
	}
	f->bytes += bytes;
	if (!f->begin_ns && f->bytes >= f->most) {
		f->begin_ns = now;
		f->bytes = 0;
	} else if (f->begin_ns && f->bytes >= TIMES * f->most &&
		   now - f->begin_ns >= ROUND_NS) {
		end_round(f, now);
	}
}
