/* SPDX-License-Identifier: MIT */
/*
 * job_work.c - a job while it is worked on: its turn, its progress, what is asked of it
 */
#include "job.h"

#include "doc.h"
#include "io/bell.h"
#include "io/clock.h"
#include "job_queue.h"
#include "job_record.h"
#include "slip.h"

#define TELL_NS	   100000000u
#define LOOK_NS	   1000000000u
#define LOOK_MS	   1000
#define REST_MS	   30000 /* who has no descriptor cannot ring a bell */
#define SIGNALS_MS 100	 /* a caller that wants to be asked whether to go on */

static unsigned percent_of(const struct rp_progress *p)
{
	double part = p->bytes_total ? (double)p->bytes_done / (double)p->bytes_total : 0;

	return part >= 1 ? 99 : (unsigned)(100 * part); /* 100 is Completed */
}

static json_t *progress_doc(struct job *job, const struct rp_progress *p)
{
	if (percent_of(p) > job->percent)
		job->percent = percent_of(p);
	return json_pack("{s:s, s:i, s:I, s:I, s:I}", "Phase", p->phase,
			 "PercentComplete", (int)job->percent, "BytesTotal",
			 (json_int_t)p->bytes_total, "BytesDone",
			 (json_int_t)p->bytes_done, "BytesPerSecond",
			 (json_int_t)p->bytes_per_second);
}

/* Of one that nobody waits a turn for the slips are made when it takes longer: most small
 * ones never have them. */
static void tell(struct job *job, const struct watch *w)
{
	_cleanup_doc_ json_t *doc = progress_doc(job, &w->progress);

	if (job->progress < 0)
		job->progress = slip_open(job->fd, JOB_PROGRESS);
	if (!job->reachable)
		job->reachable = job_make_requests(job) == 0;
	if (doc && job->unsaved)
		job_record_copy_state(job->doc, doc);
	if (doc && job->progress >= 0)
		slip_write(job->progress, doc);
	job->told_ns = io_now_ns();
	job->told_phase = w->progress.phase;
}

/* Of one that nothing was told of yet the record itself has it. */
void job_tell_last(struct job *job, const struct watch *w)
{
	_cleanup_doc_ json_t *doc = NULL;

	if (!job->doc)
		return;
	if (job->told_phase) {
		tell(job, w);
		return;
	}
	doc = progress_doc(job, &w->progress);
	if (doc)
		json_object_update(job->doc, doc);
}

int job_read_asked(int fd, const json_t *doc, struct job_asked *ret)
{
	const json_t *settings = json_object_get(doc, "Settings");
	_cleanup_doc_ json_t *slip = NULL;
	uint64_t request = 0;
	int r = slip_read(fd, JOB_REQUESTS, &slip);

	*ret = (struct job_asked){0};
	doc_u64(json_object_get(settings, "Options"), "BandwidthLimit", &ret->bandwidth);
	doc_u64(slip, "BandwidthLimit", &ret->bandwidth);
	doc_u64(slip, "Serial", &ret->serial);
	doc_u64(slip, "Request", &request);
	ret->request = (uint32_t)request;
	return r;
}

/* The request that is new, 0 if there is none. */
static uint32_t next_request(struct job *job, struct watch *w)
{
	struct job_asked asked;
	bool is_new;
	int r;

	/* Without a bell, where there are no FIFOs, nobody says when to look. */
	if (job->bell >= 0 && io_bell_rung(job->bell)) {
		job->rung = true;
		job->looked_ns = 0; /* it may be for that */
	}
	job->rung |= job->bell < 0;
	if (!job->rung)
		return 0;
	r = job_read_asked(job->fd, job->doc, &asked);
	/* It is not rung again if there was no descriptor for it; for a torn one it is.
	 */
	job->rung = r < 0 && r != -ENOENT && r != -EBADMSG;
	if (r < 0)
		return 0;
	w->bandwidth = asked.bandwidth;
	is_new = asked.serial && asked.serial != job->serial;
	job->serial = asked.serial;
	return is_new ? asked.request : 0;
}

/* Whether @request is to stop. */
static bool is_stop(struct job *job, uint32_t request)
{
	job->terminate |= (request & ~(uint32_t)RP_JOB_DISCARD) == RP_JOB_TERMINATE;
	job->discard |= (request & RP_JOB_DISCARD) != 0;
	job->kill |= request == RP_JOB_KILL;
	return job->terminate || job->kill;
}

void job_hear_last(struct job *job)
{
	struct job_asked asked;

	if (!job->doc)
		return;
	job_read_asked(job->fd, job->doc, &asked);
	job->kill |= asked.request == RP_JOB_KILL;
	job->discard |= (asked.request & RP_JOB_DISCARD) != 0;
}

/* Looks after the record, once in a while: what was damaged is written again. */
static void keep_record(struct job *job)
{
	_cleanup_doc_ json_t *doc = NULL;
	uint64_t now = io_now_ns();

	if (job->written || now - job->looked_ns < LOOK_NS)
		return;
	job->looked_ns = now;
	if (job->unsaved || job_record_load(job->fd, &doc) < 0)
		job_save_state(job);
}

/* How long to sleep: until the time limit, or until the caller is to be asked. */
static int sleep_ms(const struct watch *w)
{
	uint64_t left = watch_left_ms(w, INT32_MAX);

	if (w->user && w->user->progress)
		left = min_u64(left, SIGNALS_MS);
	return (int)min_u64(left, INT32_MAX);
}

/* How long to sleep while it is suspended: until there is something else to do. */
static int suspended_ms(const struct job *job, const struct watch *w)
{
	if (w->user && w->user->progress)
		return SIGNALS_MS;
	return job->unsaved || job->rung || job->bell < 0 ? LOOK_MS : REST_MS;
}

/* Until it is to go on: 0, or -ECANCELED. Its time limit stands still meanwhile. */
static int suspend(struct job *job, struct watch *w)
{
	uint64_t began = io_now_ns();
	uint32_t request = 0;
	int r = 0;

	job_queue_leave(job);
	job_set_state(job, RP_JOB_SUSPENDED);
	while (r == 0 && request != RP_JOB_START) {
		job->rung |= !io_bell_wait(job->bell, NULL, 0, suspended_ms(job, w));
		request = next_request(job, w);
		keep_record(job);
		if (is_stop(job, request) || watch_ask(w) < 0)
			r = -ECANCELED;
	}
	if (w->deadline_ns)
		w->deadline_ns += io_now_ns() - began;
	return r;
}

/* As job_queue_turn(), of one that may have been suspended meanwhile. Where there is no
 * descriptor to look with, or another has the queue for longer than this store's locks
 * are waited for, it is not its turn yet. */
static int look_for_turn(struct job *job, int ret_watched[IO_BELL_WATCHED],
			 size_t *ret_count)
{
	int r = job->entry[0] ? 0 : job_queue_enter(job);

	*ret_count = 0;
	if (r == 0)
		r = job_queue_turn(job, ret_watched, ret_count);
	return is_shortage(r) || r == -ETIME ? 0 : r;
}

/* Waits until it may work: 0, -ECANCELED, -ETIME or -errno. */
static int wait_turn(struct job *job, struct watch *w)
{
	int watched[IO_BELL_WATCHED], r = 0, turn = 0;
	size_t count;

	if (!job->queued)
		return 0;
	while (r == 0 && (turn = look_for_turn(job, watched, &count)) == 0) {
		job->rung |= !io_bell_wait(
			job->bell, watched, count,
			(int)min_u64(count ? REST_MS : LOOK_MS, sleep_ms(w)));
		for (size_t i = 0; i < count; i++)
			close(watched[i]);
		w->attended_ns = 0; /* now, whenever it was last */
		r = watch_tick(w);
	}
	return r ? r : turn < 0 ? turn : 0;
}

/* It has its turn. What it leaves is judged by its record, so it does not begin before
 * that says Running; in a store that is full it waits. 0, or -errno as wait_turn(). */
static int start_work(struct job *job, struct watch *w)
{
	int stop = 0, r = job_set_state(job, RP_JOB_RUNNING);

	while (stop == 0 && (r == -ENOSPC || r == -EDQUOT)) {
		io_bell_wait(job->bell, NULL, 0, (int)min_u64(LOOK_MS, sleep_ms(w)));
		w->attended_ns = 0;
		stop = watch_tick(w);
		if (stop == 0)
			r = job_set_state(job, RP_JOB_RUNNING);
	}
	return stop ? stop : r;
}

/* Is suspended; who was working has to wait for its turn again. 0, or as wait_turn(). */
static int rest(struct job *job, struct watch *w)
{
	enum rp_job_state before = job_record_state(job->doc);
	int r = suspend(job, w);

	if (r < 0)
		return r;
	/* One that waited goes on waiting. */
	job_set_state(job, before == RP_JOB_NEW ? RP_JOB_NEW : RP_JOB_STARTING);
	if (before != RP_JOB_RUNNING)
		return 0;
	r = wait_turn(job, w);
	return r ? r : start_work(job, w);
}

/* A tick: 0, or as wait_turn(). */
static int attend(void *context, struct watch *w)
{
	struct job *job = context;
	uint64_t now = io_now_ns(), rests;
	uint32_t request = next_request(job, w);
	bool stop, late;
	int r;

	if (now - job->told_ns >= TELL_NS ||
	    (job->told_phase && job->told_phase != w->progress.phase))
		tell(job, w);
	keep_record(job);
	stop = is_stop(job, request);
	late = watch_is_late(w);
	if (stop || late) /* the device may not let go of it for long */
		job_queue_leave(job);
	if (stop)
		return -ECANCELED;
	if (request == RP_JOB_SUSPEND || request == RP_JOB_START)
		w->to_rest = request == RP_JOB_SUSPEND;
	if (late || !w->to_rest || w->holds)
		return 0;
	w->to_rest = false;
	rests = watch_rest(w);
	r = rest(job, w);
	watch_go_on(w, rests);
	return r;
}

int job_start(struct job *job, struct watch *w)
{
	int r;

	if (!job->queued)
		return 0;
	watch_phase(w, "waiting");
	tell(job, w); /* later there may be no room for the slip */
	r = wait_turn(job, w);
	return r ? r : start_work(job, w);
}

void job_step_back(struct job *job)
{
	if (!job->queued)
		return;
	job_queue_leave(job);
	job_set_state(job, RP_JOB_STARTING);
}

void job_attend(struct job *job, struct watch *w)
{
	struct job_asked asked;
	uint64_t percent = 0;
	json_t *last;

	w->attend = attend;
	w->attendant = job;
	json_object_set(job->doc, "Warnings", w->warnings); /* those that come, too */
	job->looked_ns = io_now_ns();
	if (!job->queued) { /* nobody has seen it yet, and many are done very soon */
		job->told_ns = io_now_ns();
		return;
	}
	doc_u64(job->doc, "PercentComplete", &percent); /* of before it was resumed */
	if (slip_read(job->fd, JOB_PROGRESS, &last) == 0) {
		doc_u64(last, "PercentComplete", &percent);
		json_decref(last);
	}
	job->percent = (unsigned)min_u64(percent, 99);
	job_read_asked(job->fd, job->doc, &asked);
	w->bandwidth = asked.bandwidth;
}
