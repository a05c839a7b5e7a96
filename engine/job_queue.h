/* SPDX-License-Identifier: MIT */
/*
 * job_queue.h - the order in which started jobs get to work, a limited number at once
 *
 *	jobs/queue/r.PP.TIME.UUID	works
 *	jobs/queue/w.PP.TIME.UUID	waits; PP: its priority, TIME: its start
 *
 * Each entry is a FIFO that its job owns as it does its bell (io/bell.h), so whose owner
 * is gone does not count, whatever has killed it. The folder is locked, briefly, to look
 * and to change. Nobody asks again and again: the first that waits watches all that work,
 * each of the others the one before it, and who leaves rings the first, and the one
 * behind it, by their jobs' bells. (No links to these: where paths are all that is known
 * of files, a link is another FIFO.) Who has no descriptor to ring with wakes nobody, so
 * nobody sleeps for longer than half a minute.
 */
#ifndef ENGINE_JOB_QUEUE_H
#define ENGINE_JOB_QUEUE_H

#include "io/bell.h"
#include "job.h"

/* Goes to the end of those with its priority. 0 or -errno. */
int job_queue_enter(struct job *job);

/*
 * Whether it is @job's turn now, and if it is not, what to wait for: up to
 * IO_BELL_WATCHED descriptors, which the caller closes; without any it has to look again
 * soon. 1, 0 or -errno.
 */
int job_queue_turn(struct job *job, int ret_watched[IO_BELL_WATCHED], size_t *ret_count);

/* Lets the next one work; fine if it is not in the queue. */
void job_queue_leave(struct job *job);

#endif
