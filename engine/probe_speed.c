/* SPDX-License-Identifier: MIT */
/*
 * probe_speed.c - how fast each backend moves bytes between two folders, and which one to
 * choose
 */
#include "probe_speed.h"

#include <string.h>

#include "io/base.h"
#include "io/clock.h"
#include "io/io.h"
#include "io/small_file.h"
#include "io/tree.h"
#include "move.h"
#include "tuning.h"

#define SIZE	  (64 * MIB)
#define STEP	  (4 * MIB) /* a slow device syncs no more in 200 ms */
#define ADVANTAGE 1.15	    /* less than this is noise */
#define TRIES	  2	    /* fewer are, too: the first has cold memory and new blocks */

/* Nothing of a round is begun when so much time has passed. */
static const uint64_t rounds_ns[] = {UINT64_MAX, 6000 * IO_MS, 700 * IO_MS};

#define AIO  3 /* of the candidates */
#define SYNC 4

/* In the order of tuning_init(): the first that works is the default. */
static const struct candidate {
	const char *backend;
	uint64_t block;
} candidates[] = {
	{"uring", 2 * MIB},	    {"uring", MIB},
	{"uring", 4 * MIB},	    [AIO] = {"aio", MIB},
	[SYNC] = {"sync", 4 * MIB},
};

#define COUNT ARRAY_SIZE(candidates)

struct timing {
	int64_t best_ns; /* 0 = it does not work */
	unsigned tries;
	unsigned depth; /* blocks that were under way */
	bool buffered;	/* what was written */
};

int probe_tick(struct watch *w)
{
	int r = watch_tick(w);

	return r == 0 && w->to_rest ? -ECANCELED : r;
}

/* Incompressible, for file systems that would not write it otherwise. */
static int fill(struct io_file *file, struct watch *w)
{
	uint64_t state = 88172645463325252u, block[8192];
	int r = io_file_set_size(file, SIZE);

	for (uint64_t at = 0; r == 0 && at < SIZE; at += sizeof(block)) {
		for (size_t i = 0; i < ARRAY_SIZE(block); i++) {
			state ^= state << 13;
			state ^= state >> 7;
			state ^= state << 17;
			block[i] = state;
		}
		r = io_pwrite_all(file->fd, block, sizeof(block), at);
		if (r == 0 && (at + sizeof(block)) % STEP == 0)
			r = io_fsync(file->fd);
		if (r == 0)
			r = probe_tick(w);
	}
	return r;
}

/* Of a copy, for those that wait for all of them. */
static int attend(void *measuring, struct watch *w)
{
	(void)w;
	return probe_tick(measuring);
}

/* One copy to a new file: nanoseconds, or -errno. */
static int64_t time_copy(struct io_file *src, int dst_dirfd, struct io_queue *q,
			 struct io_pool *pool, struct watch *measuring, struct timing *t)
{
	struct stream s = {
		.disk = "probe",
		.src_path = "source",
		.dst_path = "target",
		.src = *src,
		.data_bytes = SIZE,
	};
	struct rp_error err;
	uint64_t begin;
	struct watch w;
	uint32_t rc = RP_OK;
	int r = io_file_create_unnamed(dst_dirfd, &s.dst);

	if (r < 0)
		return r;
	r = io_file_set_size(&s.dst, SIZE);
	watch_init(&w, NULL, 0); /* its bytes are none of the operation's */
	w.attend = attend;
	w.attendant = measuring;
	rp_error_clear(&err);
	begin = io_now_ns();
	if (r == 0)
		rc = move_streams(&s, 1, q, pool, 0, &w, &err);
	t->depth = s.depth;
	t->buffered = s.dst.buffered;
	io_file_close(&s.dst);
	if (r == 0 && rc)
		r = err.os_error ? -err.os_error : -EIO;
	return r < 0 ? r : (int64_t)(io_now_ns() - begin);
}

/* With the candidate's backend; -errno if it does not work here. */
static int64_t try_candidate(const struct candidate *c, struct io_file *src,
			     int dst_dirfd, struct watch *w, struct timing *t)
{
	const char *const names[] = {c->backend, NULL};
	struct io_pool *pool;
	struct io_queue *q;
	int64_t ns;
	int r = io_pool_open(&pool, TUNING_MEMORY);

	if (r < 0)
		return r;
	r = io_queue_open(&q, names, 64, pool);
	if (r < 0) {
		io_pool_close(pool);
		return r;
	}
	io_queue_set_block(q, c->block);
	ns = time_copy(src, dst_dirfd, q, pool, w, t);
	io_queue_close(q);
	io_pool_close(pool);
	return ns;
}

static int time_candidate(size_t i, struct io_file *src, int dst_dirfd, struct watch *w,
			  struct timing *t)
{
	int64_t ns = try_candidate(&candidates[i], src, dst_dirfd, w, t);

	if (ns < 0)
		return (int)ns;
	if (!t->best_ns || ns < t->best_ns)
		t->best_ns = ns;
	t->tries++;
	return 0;
}

/* 0, -errno if nothing works, or what a tick says. */
static int measure(struct io_file *src, int dst_dirfd, struct watch *w,
		   struct timing times[COUNT])
{
	uint64_t begin = io_now_ns();
	int error = 0;
	bool any = false;

	for (unsigned round = 0; round < ARRAY_SIZE(rounds_ns); round++) {
		for (size_t i = 0; i < COUNT; i++) {
			int r;

			if ((round && !times[i].best_ns) ||
			    io_now_ns() - begin > rounds_ns[round])
				continue;
			r = time_candidate(i, src, dst_dirfd, w, &times[i]);
			if (watch_is_stop(r))
				return r;
			error = error ?: r;
			any |= r == 0;
		}
	}
	return any ? 0 : error;
}

static bool is_faster(const struct timing *t, const struct timing *than)
{
	return t->tries >= TRIES && than->tries >= TRIES &&
	       (double)than->best_ns > (double)t->best_ns * ADVANTAGE;
}

/* What would be taken without a measurement. */
static size_t find_usual(const struct timing times[COUNT])
{
	size_t i = 0;

	while (!times[i].best_ns)
		i++;
	if (i == AIO && times[AIO].buffered && times[SYNC].best_ns)
		return SYNC; /* tuning_for_page_cache() */
	return i;
}

static size_t choose(const struct timing times[COUNT])
{
	size_t usual = find_usual(times), fastest = usual;

	for (size_t i = 0; i < COUNT; i++)
		if (is_faster(&times[i], &times[usual]) &&
		    (fastest == usual || times[i].best_ns < times[fastest].best_ns))
			fastest = i;
	return fastest;
}

/* Bytes a second. */
static uint64_t speed_of(const struct timing *t)
{
	return (uint64_t)((double)SIZE / (double)t->best_ns * 1e9);
}

static json_t *describe_choice(const struct timing times[COUNT])
{
	size_t i = choose(times);

	return json_pack("{s:s, s:I, s:i, s:o}", "Backend", candidates[i].backend,
			 "BlockSize", (json_int_t)candidates[i].block, "QueueDepth",
			 (int)times[i].depth, "Reason",
			 json_sprintf("%s in blocks of %llu MiB moved %llu MiB/s here%s",
				      candidates[i].backend,
				      (unsigned long long)(candidates[i].block / MIB),
				      (unsigned long long)(speed_of(&times[i]) / MIB),
				      times[i].tries < TRIES
					      ? "; the default, for that is too slow "
						"to measure each twice"
					      : ""));
}

static json_t *describe_speeds(const struct timing times[COUNT])
{
	json_t *speeds = json_array();

	for (size_t i = 0; speeds && i < COUNT; i++)
		if (times[i].best_ns)
			json_array_append_new(
				speeds,
				json_pack("{s:s, s:I, s:i, s:I}", "Backend",
					  candidates[i].backend, "BlockSize",
					  (json_int_t)candidates[i].block, "QueueDepth",
					  (int)times[i].depth, "BytesPerSecond",
					  (json_int_t)speed_of(&times[i])));
	return speeds;
}

static json_t *describe_uring(void)
{
	static const char *const names[] = {"uring", NULL};
	struct io_pool *pool = NULL;
	struct io_queue *q = NULL;
	const char *why = NULL;
	json_t *doc;
	int r = io_pool_open(&pool, 2 * MIB);

	if (r == 0)
		r = io_queue_open(&q, names, 1, pool);
	why = r < 0 ? strerrordesc_np(-r) : io_queue_reason(q);
	doc = json_pack("{s:b, s:s, s:b, s:b}", "Allowed", r == 0, "Reason", why,
			"DeferTaskrun", r == 0 && !strstr(why, "without DEFER_TASKRUN"),
			"RegisteredBuffers", r == 0 && !strstr(why, "not registered"));
	io_queue_close(q);
	io_pool_close(pool);
	return doc;
}

int probe_speed(json_t *doc, int src_dirfd, int dst_dirfd, struct watch *w)
{
	struct timing times[COUNT] = {0};
	struct io_file src = IO_FILE_NONE;
	int r = io_file_create_unnamed(src_dirfd, &src);

	if (r == 0)
		r = fill(&src, w);
	if (r == 0)
		r = measure(&src, dst_dirfd, w, times);
	io_file_close(&src);
	if (watch_is_stop(r))
		return r;
	return json_object_update_new(
		       doc,
		       json_pack("{s:o, s:o, s:o*, s:s?}", "IoUring", describe_uring(),
				 "Speeds", describe_speeds(times), "Choice",
				 r == 0 ? describe_choice(times) : NULL, "SpeedReason",
				 r < 0 ? strerrordesc_np(-r) : NULL)) < 0
		       ? -ENOMEM
		       : 0;
}
