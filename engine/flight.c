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

/* Before the first trial, and twice as long after each that was in vain. */
#define REST_NS	     (1000 * IO_MS)
#define REST_MOST_NS (60 * REST_NS)

/* Not with all of it at once: in step all would be read, then all written. */
void flight_init(struct flight *f, uint64_t block, uint64_t enough, uint64_t limit,
		 uint64_t now)
{
	enough = min_u64(enough, limit);
	*f = (struct flight){
		.most = min_u64(max_u64(enough / 3 * 2, 2 * block), enough),
		.enough = enough,
		.limit = limit,
		.next_ns = now + REST_NS,
		.rest_ns = REST_NS,
	};
}

static void begin_round(struct flight *f, enum flight_round round, uint64_t most)
{
	f->round = round;
	f->most = most;
	f->begin_ns = 0;
	f->bytes = 0;
}

/* More and less by turns: what has helped may help no longer, or was a chance. */
static uint64_t pick_other(struct flight *f, uint64_t share)
{
	uint64_t more = min_u64(2 * f->most, min_u64(f->limit, share));
	uint64_t less = max_u64(f->most / 2, f->enough);

	f->less = !f->less;
	return f->less && less < f->most ? less : max_u64(more, f->most);
}

/* More only if it helps, less unless it harms. */
static bool is_better(const struct flight *f, double usual_rate)
{
	return f->other > f->usual ? f->other_rate >= usual_rate * HELPS
				   : usual_rate < f->other_rate * HELPS;
}

static void give_up(struct flight *f, uint64_t now)
{
	f->rest_ns = min_u64(2 * f->rest_ns, REST_MOST_NS);
	f->next_ns = now + f->rest_ns;
	begin_round(f, FLIGHT_USUAL, f->usual);
}

static void end_usual(struct flight *f, double rate, uint64_t share, uint64_t now)
{
	f->usual = f->other = f->most;
	f->usual_rate = rate;
	if (now >= f->next_ns)
		f->other = pick_other(f, share);
	begin_round(f, f->other == f->usual ? FLIGHT_USUAL : FLIGHT_TRIAL, f->other);
}

static void end_round(struct flight *f, uint64_t share, uint64_t now)
{
	double rate = (double)f->bytes / (double)(now - f->begin_ns);

	if (f->round == FLIGHT_USUAL) {
		end_usual(f, rate, share, now);
	} else if (f->round == FLIGHT_TRIAL) {
		f->other_rate = rate;
		if (is_better(f, f->usual_rate))
			begin_round(f, FLIGHT_CHECK, f->usual);
		else
			give_up(f, now);
	} else if (is_better(f, rate)) {
		f->rest_ns = REST_NS;
		begin_round(f, FLIGHT_USUAL, f->other);
	} else {
		give_up(f, now);
	}
}

void flight_landed(struct flight *f, uint64_t bytes, uint64_t share, uint64_t now)
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
		end_round(f, share, now);
	}
}

void flight_interrupted(struct flight *f)
{
	if (f->most >= f->enough)
		begin_round(f, FLIGHT_USUAL, flight_usual(f));
}

uint64_t flight_usual(const struct flight *f)
{
	return f->round == FLIGHT_USUAL ? max_u64(f->most, f->enough) : f->usual;
}
