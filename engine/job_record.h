/* SPDX-License-Identifier: MIT */
/*
 * job_record.h - what a job's record says: who, what, where, and how it ended
 *
 * The functions return 0 or -ENOMEM if nothing else is said.
 */
#ifndef ENGINE_JOB_RECORD_H
#define ENGINE_JOB_RECORD_H

#include "job.h"

/* The record of @job, which is to do what @order says, without its state; or NULL. */
json_t *job_record_new(const struct job *job, const struct job_order *order);

/* Whether something is at its target, or may be, that a resume goes on from. */
bool job_record_has_kept(const json_t *doc);

/* The record of job @id in jobs/ended/ (@dirfd) if it can be resumed, and is of point
 * @point if that is not NULL. 0, -ENOENT if not, or -errno. For who looks at all of them:
 * of most the text is enough to know. */
int job_record_load_resumable(int dirfd, const char *id, const char *point, json_t **ret);

enum rp_job_state job_record_state(const json_t *doc);

/* The record in folder @fd, with a state that was told later and could not be saved. 0,
 * -EBADMSG or -errno. */
int job_record_load(int fd, json_t **ret);

/* From the record to what is told beside the progress; and out of that again. */
int job_record_copy_state(const json_t *doc, json_t *told);
void job_record_drop_state(json_t *told);

/* A new state, from now on. */
int job_record_set_state(json_t *doc, enum rp_job_state state);

/* The error it ended with; none if @rc is RP_OK. */
int job_record_set_error(json_t *doc, uint32_t rc, const struct rp_error *err);

/* Where the export is to be, if the record says so: all of it is valid. */
bool job_record_target(const json_t *doc, const char **ret_directory,
		       const char **ret_system, const char **ret_id);

/* Whether the target's file system answers: store_answers(). */
int job_record_answers(struct rp_store *store, const json_t *doc);

/* Whether a job that died, and has not been ended by anybody, has published its export:
 * if so, the name of that is on stable storage now. */
bool job_record_confirm_published(const json_t *doc);

/* The end of one that died, in folder @fd: if it is RP_JOB_COMPLETED, what its last
 * record would have said, which has not got to stable storage; else it was interrupted,
 * and can be resumed if it is RP_JOB_EXCEPTION, or may have kept something. */
int job_record_set_dead(json_t *doc, int fd, enum rp_job_state state);

/* What was exported, as @manifest has it. */
int job_record_set_exported(json_t *doc, const json_t *manifest);

int job_record_set_string(json_t *doc, const char *key, const char *text); /* or null */

#endif
