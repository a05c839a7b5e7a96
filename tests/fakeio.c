/* SPDX-License-Identifier: MIT */
/*
 * fakeio.c - a backend that does what a script says and remembers what it was asked
 */
#include "fakeio.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "io/base.h"

/* A piece not completed yet, and what the script has in mind for it. */
struct fakeio_pending {
	struct io_req *req;
	size_t piece; /* index of its record */
	struct fakeio_rule rule;
};

struct fakeio *fakeio_of(struct io_queue *q)
{
	assert(q->backend == &fakeio_backend);
	return q->state;
}

void fakeio_rule(struct fakeio *fake, struct fakeio_rule rule)
{
	assert(fake->rule_count < ARRAY_SIZE(fake->rules));
	fake->rule_fits[fake->rule_count] = 0;
	fake->rules[fake->rule_count++] = rule;
}

void fakeio_forget(struct fakeio *fake)
{
	assert(!fake->pending_count);
	fake->rule_count = 0;
	fake->count = 0;
}

void fakeio_release(struct fakeio *fake)
{
	for (unsigned i = 0; i < fake->rule_count; i++)
		fake->rules[i].held = false;
	for (unsigned i = 0; i < fake->pending_count; i++)
		fake->pending[i].rule.held = false;
}

void fakeio_release_only(struct fakeio *fake, unsigned ops)
{
	for (unsigned i = 0; i < fake->pending_count; i++)
		if (ops & 1u << fake->pending[i].req->op)
			fake->pending[i].rule.held = false;
}

static uint64_t random_u64(struct fakeio *fake)
{
	uint64_t x = fake->seed += UINT64_C(0x9e3779b97f4a7c15); /* splitmix64 */

	x = (x ^ x >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	x = (x ^ x >> 27) * UINT64_C(0x94d049bb133111eb);
	return x ^ x >> 31;
}

static int once(int *error)
{
	int r = *error;

	*error = 0;
	return r;
}

static int fakeio_open(struct io_queue *q)
{
	struct fakeio *fake = calloc(1, sizeof(*fake));

	if (!fake)
		return -ENOMEM;
	fake->pending = calloc(q->depth, sizeof(*fake->pending));
	if (!fake->pending) {
		free(fake);
		return -ENOMEM;
	}
	q->state = fake;
	return 0;
}

static void fakeio_close(struct io_queue *q)
{
	struct fakeio *fake = q->state;

	if (!fake)
		return;
	assert(!fake->pending_count);
	free(fake->pieces);
	free(fake->pending);
	free(fake);
}

static bool fits(const struct fakeio_rule *rule, const struct fakeio_piece *p)
{
	if (rule->ops && !(rule->ops & 1u << p->op))
		return false;
	if (rule->file && rule->file != p->file)
		return false;
	return !rule->to || (p->start < rule->to && p->start + p->len > rule->from);
}

/* Every rule that fits counts the piece, also when an earlier one decides on it. */
static struct fakeio_rule decide(struct fakeio *fake, const struct fakeio_piece *p)
{
	struct fakeio_rule decision = {0};
	bool decided = false;

	for (unsigned i = 0; i < fake->rule_count; i++) {
		const struct fakeio_rule *rule = &fake->rules[i];

		if (!fits(rule, p))
			continue;
		fake->rule_fits[i]++;
		if (decided || (rule->nth && rule->nth != fake->rule_fits[i]))
			continue;
		decision = *rule;
		decided = true;
	}
	return decision;
}

static int record(struct fakeio *fake, const struct io_req *req)
{
	struct fakeio_piece *grown = reallocarray(fake->pieces, fake->count + 1,
						  sizeof(*fake->pieces));
	struct io_piece p;

	if (!grown)
		return -ENOMEM;
	fake->pieces = grown;
	io_req_piece(req, &p);
	fake->pieces[fake->count++] = (struct fakeio_piece){
		.op = req->op,
		.file = req->file,
		.tail = io_file_is_direct(req->file) && p.fd == req->file->fd,
		.start = p.start,
		.len = p.len,
	};
	return 0;
}

static int fakeio_queue(struct io_queue *q, struct io_req *req)
{
	struct fakeio *fake = q->state;
	int r = once(&fake->queue_error);

	if (!r)
		r = record(fake, req);
	if (r < 0)
		return r;
	assert(fake->pending_count < q->depth);
	fake->pending[fake->pending_count++] = (struct fakeio_pending){
		.req = req,
		.piece = fake->count - 1,
		.rule = decide(fake, &fake->pieces[fake->count - 1]),
	};
	return 0;
}

static int fakeio_kick(struct io_queue *q)
{
	struct fakeio *fake = q->state;
	int r = once(&fake->kick_error);

	if (!r)
		fake->kicked = fake->pending_count;
	return r;
}

static ssize_t move_some(const struct io_req *req, size_t at_most)
{
	struct io_piece p;
	ssize_t r;

	if (req->op == IO_SYNC)
		return io_piece_move(req);
	io_req_piece(req, &p);
	if (at_most)
		p.len = min_u64(p.len, at_most);
	r = req->op == IO_READ ? pread(p.fd, p.buf, p.len, (off_t)p.start)
			       : pwrite(p.fd, p.buf, p.len, (off_t)p.start);
	return r < 0 ? -errno : r;
}

static ssize_t perform(struct fakeio *fake, const struct fakeio_pending *pending)
{
	const struct fakeio_rule *rule = &pending->rule;

	if (rule->error || rule->nothing)
		return rule->error;
	if (!rule->at_most && fake->short_random)
		return move_some(pending->req, 1 + random_u64(fake) % fake->short_random);
	return move_some(pending->req, rule->at_most);
}

static void complete(struct io_queue *q, struct fakeio *fake, unsigned i)
{
	struct fakeio_pending ended = fake->pending[i];
	struct fakeio_piece *piece = &fake->pieces[ended.piece];

	fake->pending_count--;
	fake->kicked--;
	memmove(&fake->pending[i], &fake->pending[i + 1],
		(fake->pending_count - i) * sizeof(ended));
	piece->result = perform(fake, &ended);
	piece->done = true;
	io_piece_done(q, ended.req, piece->result); /* may add to the record */
}

/* Which of the kicked ones is next, or -1. */
static int pick(struct fakeio *fake)
{
	unsigned ready[fake->kicked + 1], count = 0;

	for (unsigned i = 0; i < fake->kicked; i++) {
		if (!fake->pending[i].rule.held)
			ready[count++] = i;
	}
	if (!count)
		return -1;
	switch (fake->order) {
	case FAKEIO_LIFO:
		return (int)ready[count - 1];
	case FAKEIO_RANDOM:
		return (int)ready[random_u64(fake) % count];
	case FAKEIO_FIFO:
		break;
	}
	return (int)ready[0];
}

static int fakeio_reap(struct io_queue *q, unsigned min, int timeout_ms)
{
	struct fakeio *fake = q->state;
	unsigned count = 0;
	int r, i;

	r = fakeio_kick(q);
	if (!r)
		r = once(&fake->reap_error);
	if (r < 0)
		return r;
	while ((!fake->batch || count < fake->batch) && (i = pick(fake)) >= 0) {
		complete(q, fake, (unsigned)i);
		count++;
	}
	if (count || !min)
		return 0;
	if (timeout_ms < 0) {
		fprintf(stderr, "fakeio: waiting for ever, all that is left is held\n");
		abort();
	}
	nanosleep(&(struct timespec){.tv_sec = timeout_ms / 1000,
				     .tv_nsec = timeout_ms % 1000 * 1000000L},
		  NULL);
	return -ETIME;
}

const struct io_backend fakeio_backend = {
	.name = "fake",
	.block = MIB,
	.open = fakeio_open,
	.queue = fakeio_queue,
	.kick = fakeio_kick,
	.reap = fakeio_reap,
	.close = fakeio_close,
};
