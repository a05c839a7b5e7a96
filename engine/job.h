/* SPDX-License-Identifier: MIT */
/*
 * job.h - the record of one export in the store
 *
 *	job.json	the record: replaced at every change of state
 *	progress	how far it is: a slip, rewritten some 10 times a second; there is
 *			none of one that ended before the first time. Its state too,
 *			while that could not be saved in the record
 *	requests	what is asked of it: a slip, written by others (job_request.c);
 *			made before anybody asks, as later there may be no room for it
 *	bell		rung when there is a request; owned while somebody works on it
 *
 * A job's folder is in jobs/active/ while its export runs or waits, and in jobs/ended/
 * afterwards; locked until the job's point is free. The record names the export's
 * target, so that what an export that died has left there can be found.
 */
#ifndef ENGINE_JOB_H
#define ENGINE_JOB_H

#include <jansson.h>

#include "io/unsynced.h"
#include "job_states.h"
#include "store.h"
#include "watch.h"

#define JOB_BELL     "bell"
#define JOB_PROGRESS "progress"
#define JOB_REQUESTS "requests"

struct job {
	struct rp_store *store;
	char id[ID_SIZE];
	int fd;	      /* its folder; holds the lock */
	int bell;     /* owned */
	int progress; /* a slip; -1 = not opened yet */
	json_t *doc;
	struct io_unsynced unsynced; /* the record, when it is new or the last */
	unsigned priority;
	bool queued;	   /* works only when it is its turn */
	char entry[96];	   /* in jobs/queue/, "" = not in it */
	int place;	   /* that entry; owned */
	bool rung;	   /* and the request was not read yet */
	uint64_t serial;   /* of the request that was seen last */
	unsigned percent;  /* told already: never goes back */
	uint64_t start_ns; /* when it got its StartTime; 0 = not here */
	uint64_t told_ns;
	const char *told_phase;
	bool reachable;		       /* JOB_REQUESTS is there */
	bool unsaved;		       /* the record, but its state may be told */
	uint64_t looked_ns;	       /* at the record */
	bool terminate, discard, kill; /* were requested */
	bool written;		       /* the last record, but for its name */
	bool kept; /* something is at its target, or may be: it is for a resume */
};

#define JOB_NONE                                                  \
	{                                                         \
		.fd = -1, .bell = -1, .progress = -1, .place = -1 \
	}

/* What is to be done. */
struct job_order {
	const char *system, *id, *base; /* base: its ID, or NULL */
	bool base_exported;		/* it has to be, in the directory */
	const char *directory;
	const struct rp_export_options *options;
	bool queued;
};

/* Begins a job: New if it is queued, else Running, with a record that has to be
 * settled. */
uint32_t job_begin(struct rp_store *store, const struct job_order *order, struct job *ret,
		   struct rp_error *err);

/* Returns when the record is on stable storage. If it does not get there it is removed,
 * and @job is none any more. */
uint32_t job_settle(struct job *job, struct rp_error *err);

/* Takes up again a job that has ended and is resumable: Starting. RP_INVALID_STATE if it
 * is not. */
uint32_t job_resume(struct rp_store *store, const char *id, struct job *ret,
		    struct rp_error *err);

/* Waits for its turn; after that it is Running. 0, or as watch_tick() says. */
int job_start(struct job *job, struct watch *w);

/* It is to wait for something else, and others may work meanwhile: it is Starting, until
 * job_start() has its turn again. */
void job_step_back(struct job *job);

/* Writes down @w's progress, for the last time. Fine for a job that was never begun. */
void job_tell_last(struct job *job, const struct watch *w);

/* Makes the slip for requests, if there is none yet. 0 or -errno. */
int job_make_requests(struct job *job);

/* What is asked of a job. */
struct job_asked {
	uint32_t request;   /* the last one, of enum rp_job_request; 0 = none */
	uint64_t serial;    /* of that; 0 = none */
	uint64_t bandwidth; /* the limit that holds now */
};

/* Of the job whose folder is @fd and whose record is @doc: the limit is the one it was
 * ordered with until another is asked for. 0, or as slip_read(), as if nothing was. */
int job_read_asked(int fd, const json_t *doc, struct job_asked *ret);

/* Of one that has failed, or was stopped: whether it is to keep nothing, as may have been
 * asked for since. Fine for a job that was never begun. */
void job_hear_last(struct job *job);

/* Makes @w's ticks tell how far the job is, and do what is requested. */
void job_attend(struct job *job, struct watch *w);

/* Saves the record. If that cannot be, as in a full store, its state is told beside the
 * progress, and saved when it can be. 0, or -errno if others can see neither. */
int job_save_state(struct job *job);

/*
 * Its target is on @device, where what it has kept was @found or not: notes that. -ENODEV
 * if what it has kept may be on another, which is not mounted now; as some have another
 * number with every mount, only if nothing was found.
 */
int job_set_device(struct job *job, dev_t device, bool found);

/* A new state, saved. */
int job_set_state(struct job *job, enum rp_job_state state);

/* Brings the record of one that will have succeeded to stable storage, but for its name:
 * that is given by job_end(), which waits for nothing any more. */
void job_write_end(struct job *job, const json_t *manifest);

/*
 * Ends it with return value @rc (and @err if it failed); @manifest, if there is one,
 * tells what was exported. What is done is done: a record that cannot be written changes
 * nothing. Fine for a job that was never begun.
 */
void job_end(struct job *job, uint32_t rc, const json_t *manifest,
	     const struct rp_error *err);

/* Unlocks the folder of one that has ended: until then who waits for its end does, so
 * that he finds free what it was in the way of. Fine for a job that was never begun. */
void job_release(struct job *job);

/* For job_sweep.c, of jobs that are not worked on: */

/* Locks and loads job @id, which has ended and can be resumed; else RP_INVALID_STATE. */
uint32_t job_open_resumable(struct rp_store *store, const char *id, struct job *ret,
			    struct rp_error *err);

int job_save(const struct job *job); /* 0 or -errno */

/*
 * Saves the last state and moves the folder to jobs/ended/; what is left of @job is the
 * lock, for job_release(). A state that cannot be saved is told beside the progress and
 * leaves it to a later sweep, and so does a move that a power cut undoes: of what was
 * published it says the same. Who has a ferry syncs the folders when all is done.
 */
void job_retire(struct job *job);

#endif
