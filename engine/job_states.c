/* SPDX-License-Identifier: MIT */
/*
 * job_states.c - the table of states and requests
 *
 *	New ──> Running ──> Completed │ Exception
 *	 │ ^       │ ^
 *	 v │       v └─ Starting <─┐
 *	Suspended <────────────────┴── Suspended
 *
 *	Running ──> Starting ──> Running, around a wait for the same export
 *	any of these ──> (Shutting Down) ──> Terminated │ Killed
 *	Terminated, Killed, Exception ──> Starting, if resumable
 */
#include "job_states.h"

#include "io/base.h"

/* As in the public header; the last row is of those that have failed, if
 * resumable: a Killed one is that if what it has kept could not be reached. */
#define RESUMABLE (RP_JOB_EXCEPTION + 1)

static const uint16_t table[RESUMABLE + 1][RP_JOB_KILL + 1] = {
	/*			  Start Suspend Terminate Kill */
	[RP_JOB_NEW] = {0, 0, 4097, 4096, 4096, 4096},
	[RP_JOB_STARTING] = {0, 0, 4097, 4096, 4096, 4096},
	[RP_JOB_RUNNING] = {0, 0, 4097, 4096, 4096, 4096},
	[RP_JOB_SUSPENDED] = {0, 0, 4096, 4097, 4096, 4096},
	[RP_JOB_SHUTTING_DOWN] = {0, 0, 4099, 4099, 4099, 4096},
	[RP_JOB_COMPLETED] = {0, 0, 4097, 4097, 4097, 4097},
	[RP_JOB_TERMINATED] = {0, 0, 4097, 4097, 4097, 4097},
	[RP_JOB_KILLED] = {0, 0, 4097, 4097, 4097, 4097},
	[RP_JOB_EXCEPTION] = {0, 0, 4097, 4097, 4097, 4097},
	[RESUMABLE] = {0, 0, 4096, 4097, 4097, 0},
};

static const char *const names[] = {
	[RP_JOB_NEW] = "New",
	[RP_JOB_STARTING] = "Starting",
	[RP_JOB_RUNNING] = "Running",
	[RP_JOB_SUSPENDED] = "Suspended",
	[RP_JOB_SHUTTING_DOWN] = "Shutting Down",
	[RP_JOB_COMPLETED] = "Completed",
	[RP_JOB_TERMINATED] = "Terminated",
	[RP_JOB_KILLED] = "Killed",
	[RP_JOB_EXCEPTION] = "Exception",
};

bool job_state_valid(uint64_t state)
{
	return state >= RP_JOB_NEW && state <= RP_JOB_EXCEPTION;
}

const char *job_state_name(enum rp_job_state state)
{
	return names[state];
}

bool job_has_ended(enum rp_job_state state)
{
	return state >= RP_JOB_COMPLETED;
}

/* A Suspend, or Start, that was not carried out yet is taken back by the other one: it
 * counts as if it had been. */
static unsigned on_its_way_to(unsigned state, uint32_t last)
{
	if (last == RP_JOB_SUSPEND && state < RP_JOB_SUSPENDED)
		return RP_JOB_SUSPENDED;
	if (last == RP_JOB_START && state == RP_JOB_SUSPENDED)
		return RP_JOB_STARTING;
	return state;
}

uint32_t job_answer(enum rp_job_state state, bool resumable, uint32_t last,
		    uint32_t request)
{
	unsigned row = state;
	uint32_t answer;

	if (request == (RP_JOB_TERMINATE | RP_JOB_DISCARD))
		request = RP_JOB_TERMINATE;
	if (request < RP_JOB_START || request > RP_JOB_KILL)
		return RP_JOB_INVALID;
	if (resumable && state >= RP_JOB_TERMINATED && state <= RP_JOB_EXCEPTION)
		row = RESUMABLE;
	answer = table[row][request];
	return answer == RP_JOB_FORBIDDEN ? table[on_its_way_to(row, last)][request]
					  : answer;
}
