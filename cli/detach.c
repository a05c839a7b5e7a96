/* SPDX-License-Identifier: MIT */
/*
 * detach.c - fork, begin, tell the parent, work
 *
 * The fork comes before any thread exists. The parent is told through a pipe whose end
 * the kernel closes if the child dies before it could say anything.
 */
#include "cli/detach.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cli/out.h"
#include "cli/progress.h"

static void fail_start(struct started *s, const char *what)
{
	s->value = s->error.code = RP_FAILED;
	s->error.os_error = errno;
	s->error.offset = RP_NO_OFFSET;
	snprintf(s->error.step, sizeof(s->error.step), "start");
	snprintf(s->error.message, sizeof(s->error.message), "%s: %s", what,
		 strerror(errno));
}

/* Away from the terminal and the shell's descriptors. @to_parent is the one that is kept;
 * returns its new number. */
static int leave_shell(int to_parent)
{
	const int kept = STDERR_FILENO + 1;
	int null = open("/dev/null", O_RDWR);

	setsid();
	for (int fd = STDIN_FILENO; null >= 0 && fd <= STDERR_FILENO; fd++)
		dup2(null, fd);
	if (to_parent != kept)
		dup3(to_parent, kept, O_CLOEXEC);
	closefrom(kept + 1); /* also where close_range() is refused */
	return kept;
}

/* And away from its folder: not before what was named relative to it is open. */
static void leave_folder(void)
{
	if (chdir("/") < 0) /* then it keeps it busy, no more */
		return;
}

/* Of a record that has gone, or is damaged for good, no end will be told. */
static bool has_ended(struct rp_job *job)
{
	enum rp_job_state state;
	uint32_t rc = rp_job_state(job, &state, NULL, NULL);

	if (rc == RP_NOT_AVAILABLE || rc == RP_UNKNOWN_STATUS)
		return true;
	return rc == RP_OK && state >= RP_JOB_COMPLETED;
}

/* Until the job has ended, as its thread ends with this process; asked to stop, it asks
 * the job to, and waits for that. If it cannot ask, the job ends with it: interrupted.
 * It looks, once a second: to be told each of a hundred jobs that are queued would hold
 * one of the 128 instances of inotify that its user may have. */
static void see_through(struct rp_job *job)
{
	bool asked = false;

	while (!has_ended(job)) {
		if (asked || !stop_signal()) {
			sleep(1);
			continue;
		}
		if (rp_job_request_state_change(job, RP_JOB_TERMINATE, 0, NULL) ==
		    RP_JOB_UNSPECIFIED)
			return;
		asked = true;
	}
}

static void work(int to_parent, start_job *start, void *context)
{
	struct started started = {0};
	struct rp_job *job = NULL;

	to_parent = leave_shell(to_parent);
	forget_stop_signal();
	started.value = start(context, &job, &started.error);
	leave_folder();
	if (job)
		snprintf(started.id, sizeof(started.id), "%s", rp_job_id(job));
	catch_stop_signals(); /* from now on its process is known */
	if (write(to_parent, &started, sizeof(started)) < 0)
		started.error.os_error = errno; /* a parent that is gone need not know */
	close(to_parent);
	if (job && started.value == RP_JOB_STARTED)
		see_through(job);
	rp_job_close(job);
	_exit(0);
}

void detach_job(start_job *start, void *context, struct started *ret)
{
	int ends[2];
	ssize_t n;
	pid_t pid;

	*ret = (struct started){0};
	flush_output(); /* or it would be there twice */
	if (pipe2(ends, O_CLOEXEC) < 0) {
		fail_start(ret, "start a process for the job");
		return;
	}
	pid = fork();
	if (pid == 0) {
		close(ends[0]);
		work(ends[1], start, context);
	}
	if (pid < 0)
		fail_start(ret, "start a process for the job");
	close(ends[1]);
	if (pid > 0) {
		do /* less than a pipe's unit: whole, or not at all */
			n = read(ends[0], ret, sizeof(*ret));
		while (n < 0 && errno == EINTR);
		if (n != sizeof(*ret)) {
			errno = ECHILD;
			fail_start(ret, "the job's process has died");
		}
	}
	close(ends[0]);
}
