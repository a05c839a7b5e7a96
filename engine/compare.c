/* SPDX-License-Identifier: MIT */
/*
 * compare.c - windows of two files through one queue, judged in order
 */
#include "compare.h"

#include <string.h>
#include <time.h>

#include "gear.h"
#include "io/base.h"
#include "io/io.h"
#include "pace.h"

#define WINDOW	MIB
#define WINDOWS 8	     /* in flight, at most */
#define ROOM	(2 * WINDOW) /* of one: both sides. The least a pool has */
#define BLOCK	4096
#define TICK_MS 100 /* so that a cancellation is seen */

struct window;

struct side {
	struct io_req req;
	struct window *window;
};

struct window {
	char *buf;
	struct side side[2];
	uint64_t base;	     /* where the buffers begin */
	uint64_t start, end; /* what is to be compared of them */
	unsigned waiting;    /* requests not delivered */
};

struct compare {
	struct io_file *file[2];
	const struct tuning *tuning;
	struct io_pool *pool;
	struct io_queue *q;
	struct watch *w;
	struct pace pace; /* nothing is moved */
	compare_found *found;
	void *context;
	struct window windows[WINDOWS]; /* a ring */
	unsigned first, count;
	uint64_t align;
	const struct io_file *failed;
	uint64_t failed_at;
};

uint32_t compare_open(struct compare **ret, struct io_file *a, struct io_file *b,
		      const struct tuning *t, struct watch *w, compare_found *found,
		      void *context, struct rp_error *err)
{
	struct compare *c = calloc(1, sizeof(*c));
	uint32_t rc;

	if (!c)
		return rp_fail_os(err, -ENOMEM, "allocate", "buffers");
	*c = (struct compare){
		.file = {a, b}, .tuning = t, .w = w, .found = found, .context = context};
	pace_init(&c->pace, w, ROOM, false);
	c->align = max_u64(BLOCK, max_u64(a->align, b->align));
	rc = gear_take(t, min_u64(WINDOWS * ROOM, 2 * max_u64(a->size, b->size)),
		       &c->pool, &c->q, err);
	if (rc)
		compare_close(c);
	else
		*ret = c;
	return rc;
}

static struct window *window_at(struct compare *c, unsigned i)
{
	return &c->windows[(c->first + i) % WINDOWS];
}

static int reap(struct compare *c)
{
	int r = io_queue_reap(c->q, 1, TICK_MS);

	return r < 0 && r != -EINTR ? r : watch_tick(c->w);
}

static void end_first(struct compare *c)
{
	io_pool_put(c->pool, window_at(c, 0)->buf, ROOM);
	c->first = (c->first + 1) % WINDOWS;
	c->count--;
	c->w->holds = c->count > 0;
}

void compare_close(struct compare *c)
{
	if (!c)
		return;
	while (c->q && io_queue_in_flight(c->q)) /* H27: into our buffers */
		io_queue_reap(c->q, 1, -1);
	while (c->count)
		end_first(c);
	if (c->pool)
		gear_give(c->tuning, c->pool, c->q);
	free(c);
}

static void delivered(struct io_req *req)
{
	container_of(req, struct side, req)->window->waiting--;
}

/* Tells the runs of blocks that differ. */
static int tell(struct compare *c, const struct window *win)
{
	const char *a = win->side[0].req.buf, *b = win->side[1].req.buf;
	uint64_t pos = win->start, run = pos;
	bool differs = false, zero = false;
	int r = 0;

	while (r == 0 && pos < win->end) {
		size_t at = (size_t)(pos - win->base);
		uint64_t end = min_u64(round_down(pos, BLOCK) + BLOCK, win->end);
		size_t len = (size_t)(end - pos);
		bool now = memcmp(a + at, b + at, len) != 0;
		bool now_zero = now && is_zero(b + at, len);

		if (now != differs || now_zero != zero) {
			if (differs)
				r = c->found(c->context, run, pos, zero);
			run = pos;
			differs = now;
			zero = now_zero;
		}
		pos = end;
	}
	if (r == 0 && differs)
		r = c->found(c->context, run, pos, zero);
	return r;
}

static int judge(struct compare *c, const struct window *win)
{
	const char *a = win->side[0].req.buf, *b = win->side[1].req.buf;
	size_t at = (size_t)(win->start - win->base);
	size_t len = (size_t)(win->end - win->start);

	for (unsigned i = 0; i < 2; i++) {
		if (win->side[i].req.result < 0) {
			c->failed = c->file[i];
			c->failed_at = win->base;
			return win->side[i].req.result;
		}
	}
	c->w->progress.bytes_done += len;
	return memcmp(a + at, b + at, len) ? tell(c, win) : 0;
}

/* Waits for the first window and judges it. */
static int finish_first(struct compare *c)
{
	struct window *win = window_at(c, 0);
	int r = 0;

	while (r == 0 && win->waiting)
		r = reap(c);
	if (r == 0)
		r = judge(c, win);
	if (r < 0)
		return r;
	end_first(c);
	return 0;
}

/* Who is to rest lets go of all buffers first, and others may want theirs. */
static bool may_begin(const struct compare *c)
{
	if (c->count == WINDOWS || c->w->to_rest)
		return false;
	return !c->count || (c->count + 1) * ROOM <= io_pool_share(c->pool);
}

/* A window with buffers, behind those that are under way; the first of these has to end
 * if there are none. */
static int begin_window(struct compare *c, struct window **ret)
{
	struct window *win = window_at(c, c->count);
	int r = 0;

	while (r == 0) {
		if (may_begin(c)) {
			win->buf = io_pool_get(c->pool, ROOM, c->count ? 0 : TICK_MS);
			if (win->buf)
				break;
		}
		r = c->count ? finish_first(c) : watch_tick(c->w);
	}
	if (r < 0)
		return r;
	c->count++;
	c->w->holds = true;
	*ret = win;
	return 0;
}

static int read_side(struct compare *c, struct window *win, unsigned i)
{
	struct io_req *req = &win->side[i].req;
	uint64_t end = min_u64(round_up(win->end, c->align), c->file[i]->size);
	int r;

	req->op = IO_READ;
	req->file = c->file[i];
	req->buf = win->buf + i * WINDOW;
	req->start = win->base;
	req->len = min_u64(end - win->base, WINDOW);
	req->result = 0;
	req->done = delivered;
	win->side[i].window = win;
	while ((r = io_queue_add(c->q, req)) == -EAGAIN) {
		r = reap(c);
		if (r < 0)
			return r;
	}
	if (r == 0)
		win->waiting++;
	return r;
}

/* Until the requests of the next window may begin. */
static int hold_back(struct compare *c)
{
	int r = 0;

	while (r == 0 && !pace_ready(&c->pace)) {
		long ms = pace_wait_ms(&c->pace, TICK_MS);

		nanosleep(&(struct timespec){.tv_nsec = ms * 1000000}, NULL);
		r = watch_tick(c->w);
	}
	return r;
}

int compare_add(struct compare *c, uint64_t start, uint64_t end)
{
	while (start < end) {
		struct window *win;
		int r = hold_back(c);

		if (r == 0)
			r = begin_window(c, &win);
		if (r)
			return r;
		win->base = round_down(start, c->align);
		win->start = start;
		win->end = min_u64(end, round_down(start, WINDOW) + WINDOW);
		win->waiting = 0;
		pace_take(&c->pace, 2 * (win->end - win->start), 2);
		r = read_side(c, win, 0);
		if (r == 0)
			r = read_side(c, win, 1);
		if (r == 0)
			r = io_queue_kick(c->q);
		if (r < 0)
			return r;
		start = win->end;
		c->w->progress.bytes_total += win->end - win->start;
	}
	return 0;
}

int compare_finish(struct compare *c)
{
	int r = 0;

	while (r == 0 && c->count)
		r = finish_first(c);
	return r;
}

const struct io_file *compare_failed(const struct compare *c, uint64_t *ret_offset)
{
	*ret_offset = c->failed_at;
	return c->failed;
}
