/* SPDX-License-Identifier: MIT */
/*
 * checkpoint.c - the steps of a checkpoint
 */
#include "checkpoint.h"

#include "io/base.h"
#include "io/thread.h"
#include "io/tree.h"
#include "journal.h"

/* The pause after a checkpoint is so many times what it took, within bounds; and what is
 * left to do takes as long, or it would save less than it costs. */
#define COST	 10
#define FIRST_NS 500000000u
#define GUESS_NS 500000000u /* what it takes: a device may do nothing else meanwhile */
#define PAUSE_NS 100000000u
#define LONG_NS	 60000000000u

int checkpoint_open(struct checkpoint *c, struct stream *streams, size_t count,
		    const struct watch *w)
{
	*c = (struct checkpoint){.watch = w};
	if (!streams[0].journal)
		return 0;
	c->syncs = calloc(count, sizeof(*c->syncs));
	if (!c->syncs)
		return -ENOMEM;
	c->count = count;
	c->next_ns = watch_now(w) + FIRST_NS;
	c->cost_ns = GUESS_NS;
	for (size_t i = 0; i < count; i++)
		c->syncs[i] = (struct checkpoint_sync){.s = &streams[i], .checkpoint = c};
	return 0;
}

void checkpoint_close(struct checkpoint *c)
{
	free(c->syncs);
}

static void fail(struct checkpoint *c, struct stream *s, int error, const char *step)
{
	if (c->error)
		return;
	c->error = error;
	c->step = step;
	c->failed = s;
}

bool checkpoint_due(const struct checkpoint *c, uint64_t now_ns)
{
	return c->count && !c->running && now_ns >= c->next_ns;
}

uint64_t checkpoint_worth_ns(const struct checkpoint *c)
{
	return COST * c->cost_ns;
}

void checkpoint_begin(struct checkpoint *c, uint64_t now_ns)
{
	c->running = true;
	c->began_ns = now_ns;
}

void checkpoint_mark(struct checkpoint *c, size_t stream, uint64_t mark)
{
	struct checkpoint_sync *sync = &c->syncs[stream];
	const struct stream *s = sync->s;

	sync->mark = mark;
	sync->wanted = stream_journalled(s) && mark > journal_mark(s->journal, s->slot);
}

static void synced(struct io_req *req)
{
	struct checkpoint_sync *sync = container_of(req, struct checkpoint_sync, req);

	sync->checkpoint->in_flight--;
	if (req->result < 0)
		fail(sync->checkpoint, sync->s, req->result, "sync");
}

/* The destination is synced. */
static bool advance(struct checkpoint *c, struct checkpoint_sync *sync)
{
	struct stream *s = sync->s;
	int r;

	if (c->error || !stream_journalled(s) ||
	    sync->mark <= journal_mark(s->journal, s->slot))
		return false;
	r = journal_advance(s->journal, s->slot, sync->mark);
	if (r < 0)
		fail(c, s, r, "write journal of");
	return r == 0;
}

/* Whether there is something to note. */
static bool advance_all(struct checkpoint *c)
{
	bool advanced = false;

	for (size_t i = 0; i < c->count; i++)
		advanced |= advance(c, &c->syncs[i]);
	return advanced && !c->error;
}

static void *note(void *arg)
{
	struct checkpoint *c = arg;
	const struct journal *journal = c->syncs[0].s->journal;

	/* The first one makes the names of all files durable too. */
	c->note_error = c->noted ? journal_note(journal) : journal_save(journal);
	atomic_store(&c->ready, true);
	return NULL;
}

static void noted(struct checkpoint *c)
{
	c->noted = true;
	if (c->note_error < 0)
		fail(c, c->syncs[0].s, c->note_error, "write journal of");
}

/* Without a thread of its own the mover waits. */
static void start_note(struct checkpoint *c)
{
	atomic_store(&c->ready, false);
	c->noting = io_thread_start(&c->noter, note, c) == 0;
	if (c->noting)
		return;
	note(c);
	noted(c);
}

void checkpoint_end(struct checkpoint *c)
{
	if (c->noting) {
		pthread_join(c->noter, NULL);
		noted(c);
	}
	c->noting = false;
	c->running = false;
}

/* False if the queue is full. */
static bool queue_sync(struct checkpoint *c, struct checkpoint_sync *sync,
		       struct io_queue *q)
{
	int r;

	if (!sync->wanted)
		return true;
	sync->req = (struct io_req){.op = IO_SYNC, .file = &sync->s->dst, .done = synced};
	r = io_queue_add(q, &sync->req);
	if (r == -EAGAIN)
		return false;
	sync->wanted = false;
	if (r < 0)
		fail(c, sync->s, r, "queue");
	else
		c->in_flight++;
	return true;
}

/* False while some are on their way, or have to be. */
static bool all_synced(struct checkpoint *c, struct io_queue *q)
{
	for (size_t i = 0; i < c->count; i++)
		if (!queue_sync(c, &c->syncs[i], q))
			return false; /* next time */
	return c->in_flight == 0;
}

void checkpoint_step(struct checkpoint *c, struct io_queue *q)
{
	uint64_t now;

	if (!c->running)
		return;
	if (!c->noting) {
		if (!all_synced(c, q))
			return;
		if (advance_all(c))
			start_note(c);
	}
	if (c->noting && !atomic_load(&c->ready))
		return;
	checkpoint_end(c);
	now = watch_now(c->watch);
	c->cost_ns = now - c->began_ns;
	c->next_ns = now + min_u64(LONG_NS, max_u64(PAUSE_NS, COST * c->cost_ns));
}

void checkpoint_last(struct checkpoint *c)
{
	if (c->error) /* a sync tells once what was lost: the next one knows nothing */
		return;
	for (size_t i = 0; i < c->count; i++) {
		struct stream *s = c->syncs[i].s;
		int r = stream_journalled(s) ? io_fsync(s->dst.fd) : 0;

		if (r == 0)
			r = s->dst.error;
		if (r < 0)
			fail(c, s, r, "sync");
	}
	if (c->count && !c->error && advance_all(c)) {
		note(c);
		noted(c);
	}
}
