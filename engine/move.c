/* SPDX-License-Identifier: MIT */
/*
 * move.c - fill, kick, reap
 */
#include "move.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "checkpoint.h"
#include "flight.h"
#include "io/base.h"
#include "lane.h"
#include "pace.h"

#define REAP_LIMIT_MS 50 /* so that a cancellation is seen */

/* Full windows are bounded by the memory; so many small ones keep a device as busy. */
#define CHUNKS 128

/* Three blocks are enough, but for small ones. */
#define LEAST (6 * MIB)

struct mover {
	struct io_queue *q;
	struct io_pool *pool;
	struct chunk **chunks;
	unsigned chunk_count;
	struct chunk *idle;    /* chunks without work */
	struct chunk *waiting; /* planned; begins when there is a buffer for it */
	struct lane *lanes;
	size_t lane_count, turn;
	uint64_t window;
	unsigned depth; /* full windows to hold; 0 = what is seen to help */
	size_t held;	/* of the pool, which others may use too */
	struct flight flight;
	struct checkpoint checkpoint;
	struct pace pace;
	bool throttled; /* chunks wait for it */
	struct watch *w;
	uint32_t rc; /* the first failure */
	struct rp_error *err;
	const struct stream *differs; /* if that is a digest's: whose, and where */
	uint64_t differs_at;
};

static void fail(struct mover *m, const struct stream *s, int error, const char *step,
		 const char *path, uint64_t offset)
{
	bool differs = error == -EILSEQ && !strcmp(step, "digest");

	/* Chunks come back in any order; of those that differ the first one is told. */
	if (m->rc && !(differs && m->differs == s && offset < m->differs_at))
		return;
	if (differs) {
		m->differs = s;
		m->differs_at = offset;
		m->rc = rp_fail_disk(
			m->err, s->disk, offset, RP_FAILED, "digest",
			"digest %s at %llu: chunk %llu differs from its digest", path,
			(unsigned long long)offset,
			(unsigned long long)(offset / DIGEST_CHUNK));
	} else {
		m->rc = stream_fail(s, error, step, path, offset, m->err);
	}
}

/* Blocks may be larger than the data in them. */
static void count_bytes(struct watch *w, uint64_t bytes)
{
	struct rp_progress *p = &w->progress;

	p->bytes_done = min_u64(p->bytes_done + bytes, p->bytes_total);
}

static void chunk_changed(struct chunk *c)
{
	struct lane *lane = c->owner;
	struct mover *m = lane->mover;

	if (c->error) /* known before the last of its requests is back */
		fail(m, c->stream, c->error, c->step, c->path, c->offset);
	if (c->state != CHUNK_DONE && c->state != CHUNK_FAILED)
		return;
	lane->in_flight--;
	if (c->state == CHUNK_DONE)
		count_bytes(m->w, c->bytes);
	else
		lane_lose(lane, c->window);
	io_pool_put(m->pool, c->buf, c->room);
	m->held -= c->room;
	flight_landed(&m->flight, c->bytes, io_pool_share(m->pool), watch_now(m->w));
	c->buf = NULL;
	c->next = m->idle;
	m->idle = c;
}

/* The lane whose turn it is of those that have a window to plan; NULL if none has. It is
 * its turn until it has planned one: the throttle may say no, again and again. */
static struct lane *next_lane(struct mover *m)
{
	for (size_t i = 0; i < m->lane_count; i++) {
		struct lane *lane = &m->lanes[(m->turn + i) % m->lane_count];

		if (!lane->planned)
			return lane;
	}
	return NULL;
}

/* False if the queue is full. */
static bool queue_chunk(struct mover *m, struct chunk *c)
{
	int r = chunk_queue(c, m->q);

	if (r < 0 && r != -EAGAIN)
		fail(m, c->stream, r, "queue",
		     c->state == CHUNK_PLANNED ? c->stream->src_path
					       : c->stream->dst_path,
		     c->window);
	return r != -EAGAIN;
}

/* How much of the pool may be held for now; who has nothing may hold one buffer. */
static uint64_t most(const struct mover *m)
{
	return min_u64(m->flight.most, io_pool_share(m->pool));
}

/* Begins the chunk that was planned last, once there is a buffer for it. */
static void begin_waiting(struct mover *m, int wait_ms)
{
	struct chunk *c = m->waiting;
	struct lane *lane = c->owner;

	c->room = chunk_room(c);
	if (m->held && m->held + c->room > most(m))
		return;
	c->buf = io_pool_get(m->pool, c->room, wait_ms);
	if (!c->buf)
		return;
	m->held += c->room;
	m->waiting = NULL;
	chunk_begin(c, lane->s, m->window);
	pace_take(&m->pace, c->bytes, 1 + (stream_writes(lane->s) ? c->count : 0));
	queue_chunk(m, c);
}

static void drop_waiting(struct mover *m)
{
	struct chunk *c = m->waiting;
	struct lane *lane = c->owner;

	m->waiting = NULL;
	lane->in_flight--;
	lane_lose(lane, c->window);
	c->next = m->idle;
	m->idle = c;
}

static unsigned most_chunks(const struct mover *m)
{
	return m->depth > CHUNKS ? m->depth : CHUNKS;
}

/* Whether there is a chunk without work; one is made if not, up to the most there may be.
 */
static bool find_idle(struct mover *m)
{
	if (!m->idle && m->chunk_count < most_chunks(m)) {
		m->idle = chunk_new(m->window, chunk_changed);
		if (m->idle)
			m->chunks[m->chunk_count++] = m->idle;
	}
	return m->idle;
}

/* Plans one window of @lane, whose turn it was, into an idle chunk; it may turn out to
 * have none. */
static void plan_chunk(struct mover *m, struct lane *lane)
{
	struct chunk *c = m->idle;
	int r;

	m->turn = (size_t)(lane - m->lanes) + 1;
	r = plan_next(&lane->plan, &c->window, c->plan, &c->count);
	if (r == -ENXIO) {
		lane->planned = true;
		return;
	}
	if (r < 0) {
		fail(m, lane->s, r, "map", lane->s->src_path, lane->plan.pos);
		return;
	}
	r = lane_reserve(lane, c);
	if (r < 0) {
		lane_lose(lane, c->window);
		fail(m, lane->s, r, "allocate", lane->s->dst_path,
		     c->window + c->plan[0].start);
		return;
	}
	m->idle = c->next;
	c->owner = lane;
	lane->in_flight++;
	m->waiting = c;
	begin_waiting(m, 0);
}

static void sync_done(struct io_req *req)
{
	struct lane *lane = container_of(req, struct lane, sync);

	if (req->result < 0)
		fail(lane->mover, lane->s, req->result, "sync", lane->s->dst_path,
		     RP_NO_OFFSET);
	lane->syncing = false;
	lane->synced = true;
}

static bool is_last(const struct mover *m, const struct lane *lane)
{
	for (size_t i = 0; i < m->lane_count; i++)
		if (&m->lanes[i] != lane &&
		    (!m->lanes[i].planned || m->lanes[i].in_flight))
			return false;
	return true;
}

/* A destination is synced as soon as its last write is in, or else by who wrote more. */
static void sync_lane(struct mover *m, struct lane *lane)
{
	int r;

	if (!lane_wants_sync(lane))
		return;
	if (!stream_writes(lane->s) || lane_may_wait(lane, is_last(m, lane))) {
		lane->synced = true;
		return;
	}
	lane->sync = (struct io_req){
		.op = IO_SYNC, .file = &lane->s->dst, .done = sync_done};
	r = io_queue_add(m->q, &lane->sync);
	lane->syncing = r == 0;
	if (r < 0 && r != -EAGAIN) /* full: next time */
		fail(m, lane->s, r, "queue", lane->s->dst_path, RP_NO_OFFSET);
}

/* Everything of the stream before it has been delivered. */
static uint64_t delivered_to(const struct mover *m, const struct lane *lane)
{
	uint64_t pos = lane_passed(lane);

	if (m->waiting && m->waiting->owner == lane)
		pos = min_u64(pos, m->waiting->window);
	for (unsigned i = 0; lane->in_flight && i < m->chunk_count; i++) {
		const struct chunk *c = m->chunks[i];

		if (c->buf && c->owner == lane)
			pos = min_u64(pos, c->window);
	}
	return pos;
}

static void mark_all(struct mover *m)
{
	for (size_t i = 0; i < m->checkpoint.count; i++)
		checkpoint_mark(&m->checkpoint, i, delivered_to(m, &m->lanes[i]));
}

static void heed_checkpoint(struct mover *m)
{
	const struct checkpoint *c = &m->checkpoint;

	if (c->error)
		fail(m, c->failed, c->error, c->step, c->failed->dst_path, RP_NO_OFFSET);
}

/* Who is held back has rests, and so time for a checkpoint. */
static bool checkpoint_pays(const struct mover *m, uint64_t now)
{
	const struct watch *w = m->w;

	return w->bandwidth || w->iops || w->pressure ||
	       watch_work_left_ns(w, now) >= checkpoint_worth_ns(&m->checkpoint);
}

static void step_checkpoint(struct mover *m)
{
	struct checkpoint *c = &m->checkpoint;
	uint64_t now = watch_now(m->w);

	if (m->rc) /* there will be a last one */
		return;
	if (checkpoint_due(c, now) && checkpoint_pays(m, now)) {
		checkpoint_begin(c, now);
		mark_all(m);
	}
	checkpoint_step(c, m->q);
	heed_checkpoint(m);
}

/* Queues what chunks have to do, and plans while there are idle ones. */
static void mover_fill(struct mover *m)
{
	struct lane *lane;

	for (unsigned i = 0; i < m->chunk_count; i++) {
		struct chunk *c = m->chunks[i];

		if (!c->buf || !(chunk_has_work(c) || chunk_has_digest(c)))
			continue;
		if (m->differs && chunk_has_digest(c))
			chunk_digest(c); /* it may differ before that one */
		else if (m->rc)
			chunk_abandon(c);
		else if (chunk_has_work(c) && !queue_chunk(m, c))
			break;
	}
	if (m->waiting && m->rc)
		drop_waiting(m);
	else if (m->waiting && !m->w->to_rest)
		begin_waiting(m, 0);
	m->throttled = false;
	while (!m->rc && !m->w->to_rest && !m->waiting && !m->throttled &&
	       (lane = next_lane(m)) && find_idle(m)) {
		m->throttled = !pace_ready(&m->pace);
		if (!m->throttled)
			plan_chunk(m, lane);
	}
	if (m->throttled || m->w->to_rest)
		flight_interrupted(&m->flight);
	step_checkpoint(m);
	for (size_t i = 0; !m->rc && i < m->lane_count; i++)
		sync_lane(m, &m->lanes[i]);
}

static bool mover_done(const struct mover *m)
{
	bool idle = io_queue_in_flight(m->q) == 0 && !m->waiting;

	for (unsigned i = 0; i < m->chunk_count; i++)
		idle = idle && !m->chunks[i]->buf;
	if (!idle || m->rc)
		return idle;
	for (size_t i = 0; i < m->lane_count; i++)
		if (!m->lanes[i].synced)
			return false;
	return true;
}

/* Waits for what is in flight, or until the throttle lets the next chunk begin, or others
 * give back what they have of the pool. */
static int wait_for_work(struct mover *m)
{
	int ms = REAP_LIMIT_MS;

	if (m->throttled)
		ms = pace_wait_ms(&m->pace, ms);
	if (io_queue_in_flight(m->q) || !(m->throttled || m->waiting))
		return io_queue_reap(m->q, 1, m->waiting && !m->held ? 1 : ms);
	if (m->waiting)
		begin_waiting(m, ms);
	else
		nanosleep(&(struct timespec){.tv_nsec = ms * 1000000L}, NULL);
	return 0;
}

/* One of those that were read; what came back meanwhile is seen before the next. */
static bool digest_chunk(struct mover *m)
{
	for (unsigned i = 0; i < m->chunk_count; i++) {
		struct chunk *c = m->chunks[i];

		if (c->buf && chunk_has_digest(c)) {
			chunk_digest(c);
			return true;
		}
	}
	return false;
}

static void mover_loop(struct mover *m)
{
	while (!mover_done(m)) {
		int r;

		/* Who rests keeps no buffers from the others of a set. */
		m->w->holds = m->held > 0;
		r = watch_tick(m->w);
		if (r < 0 && !m->rc)
			m->rc = watch_fail(m->w, r, m->err);
		mover_fill(m);
		r = io_queue_kick(m->q);
		if (r == 0 && digest_chunk(m))
			r = io_queue_reap(m->q, 0, 0);
		else if (r == 0)
			r = wait_for_work(m);
		if (r < 0 && !m->rc)
			m->rc = rp_fail_os(m->err, r, "reap", "%s queue",
					   io_queue_backend(m->q));
	}
	m->w->holds = false;
}

static uint64_t window_size(const struct mover *m, size_t memory,
			    const struct stream *first)
{
	uint64_t window = io_queue_block(m->q);

	while (window > memory) /* what the backend likes may not fit */
		window /= 2;
	while (stream_writes(first) && m->w->bandwidth &&
	       window > max_u64(m->w->bandwidth / 32, DIGEST_CHUNK))
		window /= 2; /* the smaller the steps, the smoother */
	return window;
}

/* The page cache is written to by as many threads as there are writes. */
static uint64_t enough(const struct mover *m, const struct stream *first)
{
	if (m->depth || (stream_writes(first) && first->dst.buffered))
		return UINT64_MAX;
	return max_u64(LEAST, 3 * io_queue_block(m->q));
}

static int mover_open(struct mover *m, struct stream *streams, size_t count)
{
	size_t memory;

	io_pool_area(m->pool, &memory);
	m->window = window_size(m, memory, &streams[0]);
	pace_init(&m->pace, m->w, m->window, stream_writes(&streams[0]));
	memory = round_down(memory, m->window);
	if (m->depth) /* so much was asked for */
		memory = min_u64(memory, m->depth * m->window);
	flight_init(&m->flight, m->window, enough(m, &streams[0]), memory,
		    watch_now(m->w));
	m->lanes = calloc(count, sizeof(*m->lanes));
	m->chunks = calloc(most_chunks(m), sizeof(*m->chunks));
	if (!m->lanes || !m->chunks || !find_idle(m))
		return -ENOMEM;
	m->lane_count = count;
	for (size_t i = 0; i < count; i++)
		lane_open(&m->lanes[i], m, &streams[i], m->window);
	return checkpoint_open(&m->checkpoint, streams, count, m->w);
}

/* Which backend moves the bytes, why, and how each side is opened. */
static void explain(struct mover *m)
{
	for (size_t i = 0; i < m->lane_count; i++) {
		struct stream *s = m->lanes[i].s;

		s->backend = io_queue_backend(m->q);
		s->block = m->window;
		s->depth = (unsigned)(flight_usual(&m->flight) / m->window);
		snprintf(s->backend_reason, sizeof(s->backend_reason), "%s",
			 io_queue_reason(m->q));
		if (!s->from && s->src.buffered)
			stream_because(s, "source buffered: %s", s->src.buffered);
		if (stream_writes(s) && s->dst.buffered)
			stream_because(s, "destination buffered: %s", s->dst.buffered);
	}
}

static void mover_close(struct mover *m)
{
	checkpoint_close(&m->checkpoint);
	for (unsigned i = 0; m->chunks && i < m->chunk_count; i++)
		chunk_free(m->chunks[i]);
	free(m->chunks);
	free(m->lanes);
}

uint32_t move_streams(struct stream *streams, size_t count, struct io_queue *q,
		      struct io_pool *pool, unsigned depth, struct watch *w,
		      struct rp_error *err)
{
	struct mover m = {.q = q, .pool = pool, .depth = depth, .w = w, .err = err};
	int r = mover_open(&m, streams, count);

	if (r < 0) {
		m.rc = rp_fail_os(err, r, "allocate", "chunks");
	} else {
		watch_phase(w, stream_writes(&streams[0]) ? "copying" : "verifying");
		mover_loop(&m);
		explain(&m);
		checkpoint_end(&m.checkpoint);
		/* Of two syncs of one file at once only one is told what was lost, and it
		 * may have been the last to come back. */
		heed_checkpoint(&m);
		if (m.rc) { /* what is kept for a resume */
			mark_all(&m);
			checkpoint_last(&m.checkpoint);
		}
	}
	mover_close(&m);
	return m.rc;
}
