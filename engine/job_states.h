/* SPDX-License-Identifier: MIT */
/*
 * job_states.h - the states of a job and what may be requested in each
 */
#ifndef ENGINE_JOB_STATES_H
#define ENGINE_JOB_STATES_H

#include <refpoint.h>
#include <stdbool.h>

/* The answer to @request (of enum rp_job_request) in @state; @resumable counts when it
 * has ended, before that @last, what was requested before (0 = nothing). */
uint32_t job_answer(enum rp_job_state state, bool resumable, uint32_t last,
		    uint32_t request);

bool job_has_ended(enum rp_job_state state);
bool job_state_valid(uint64_t state);
const char *job_state_name(enum rp_job_state state);

#endif
