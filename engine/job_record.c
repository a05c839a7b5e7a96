/* SPDX-License-Identifier: MIT */
/*
 * job_record.c - what a job's record says: who, what, where, and how it ended
 */
#include "job_record.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "doc.h"
#include "exported.h"
#include "slip.h"
#include "target.h"

int job_record_set_string(json_t *doc, const char *key, const char *text)
{
	return json_object_set_new(doc, key, text ? json_string(text) : json_null());
}

bool job_record_has_kept(const json_t *doc)
{
	return !json_is_false(json_object_get(doc, "Kept"));
}

enum rp_job_state job_record_state(const json_t *doc)
{
	uint64_t state;

	return doc_u64(doc, "JobState", &state) < 0 || !job_state_valid(state)
		       ? RP_JOB_RUNNING
		       : (enum rp_job_state)state;
}

/* What changes with the state. */
static const char *const state_keys[] = {
	"JobState",    "TimeOfLastStateChange",
	"StartTime",   "ErrorCode",
	"Cancellable", "ErrorDescription",
	"Error",       "ErrorSummaryDescription",
	"Resumable",   "Kept",
	"ElapsedTime",
};

int job_record_copy_state(const json_t *doc, json_t *told)
{
	for (size_t i = 0; i < ARRAY_SIZE(state_keys); i++) {
		json_t *value = json_object_get(doc, state_keys[i]);

		if (value && json_object_set(told, state_keys[i], value) < 0)
			return -ENOMEM;
	}
	return 0;
}

void job_record_drop_state(json_t *told)
{
	for (size_t i = 0; i < ARRAY_SIZE(state_keys); i++)
		json_object_del(told, state_keys[i]);
}

/* What was told is older than the record if that could be saved since. */
static int see_told_state(int fd, json_t *doc)
{
	_cleanup_doc_ json_t *told = NULL;
	const char *saved_at, *told_at;

	if (slip_read(fd, JOB_PROGRESS, &told) < 0 ||
	    doc_string(told, "TimeOfLastStateChange", &told_at) < 0 ||
	    doc_string(doc, "TimeOfLastStateChange", &saved_at) < 0 ||
	    strcmp(told_at, saved_at) <= 0)
		return 0;
	return job_record_copy_state(told, doc);
}

int job_record_load(int fd, json_t **ret)
{
	_cleanup_doc_ json_t *doc = NULL;
	int r = doc_load(fd, "job.json", &doc);
	uint64_t state;

	if (r == 0 && (doc_u64(doc, "JobState", &state) < 0 || !job_state_valid(state)))
		r = -EBADMSG;
	if (r == 0)
		r = see_told_state(fd, doc);
	if (r == 0)
		*ret = take_ptr(doc);
	return r;
}

int job_record_load_resumable(int dirfd, const char *id, const char *point, json_t **ret)
{
	char path[ID_SIZE + sizeof("/job.json")];
	_cleanup_free_ char *text = NULL;
	_cleanup_doc_ json_t *doc = NULL;
	const char *of = NULL;
	size_t len;
	int r;

	snprintf(path, sizeof(path), "%s/job.json", id);
	r = doc_read(dirfd, path, &text, &len);
	if (r < 0)
		return r;
	/* As it is written; within a string there would be no bare quotes. */
	if (strstr(text, "\"Resumable\": false") || (point && !strstr(text, point)))
		return -ENOENT;
	r = doc_parse(text, len, &doc);
	if (r < 0)
		return r;
	doc_string(doc, "ReferencePointId", &of);
	if (!json_is_true(json_object_get(doc, "Resumable")) ||
	    (point && (!of || strcmp(of, point))))
		return -ENOENT;
	*ret = take_ptr(doc);
	return 0;
}

int job_record_set_state(json_t *doc, enum rp_job_state state)
{
	char now[DOC_TIME_SIZE];

	doc_time(now);
	if (json_object_set_new(doc, "JobState", json_integer(state)) < 0 ||
	    job_record_set_string(doc, "TimeOfLastStateChange", now) < 0)
		return -ENOMEM;
	if (state == RP_JOB_RUNNING && json_is_null(json_object_get(doc, "StartTime")) &&
	    job_record_set_string(doc, "StartTime", now) < 0)
		return -ENOMEM;
	return 0;
}

int job_record_set_error(json_t *doc, uint32_t rc, const struct rp_error *err)
{
	_cleanup_doc_ json_t *error = json_object();

	if (!error || json_object_set_new(doc, "ErrorCode", json_integer(rc)) < 0 ||
	    job_record_set_string(doc, "ErrorDescription",
				  rc && err ? err->message : NULL) < 0 ||
	    job_record_set_string(doc, "ErrorSummaryDescription",
				  rc ? rp_return_name(rc) : NULL) < 0)
		return -ENOMEM;
	if (!rc || !err)
		return json_object_del(doc, "Error"), 0;
	if (job_record_set_string(error, "Step", err->step) < 0 ||
	    job_record_set_string(error, "System", err->system) < 0 ||
	    job_record_set_string(error, "Disk", err->disk) < 0 ||
	    json_object_set_new(error, "Errno", json_integer(err->os_error)) < 0 ||
	    json_object_set_new(error, "Offset",
				err->offset == RP_NO_OFFSET
					? json_null()
					: json_integer((json_int_t)err->offset)) < 0)
		return -ENOMEM;
	return json_object_set(doc, "Error", error);
}

bool job_record_target(const json_t *doc, const char **ret_directory,
		       const char **ret_system, const char **ret_id)
{
	return doc_string(doc, "ExportDirectory", ret_directory) == 0 &&
	       doc_string(doc, "VirtualSystemIdentifier", ret_system) == 0 &&
	       doc_string(doc, "ReferencePointId", ret_id) == 0 &&
	       **ret_directory == '/' && name_valid(*ret_system) && id_valid(*ret_id);
}

/* The manifest of what is published where the job was to export to, or NULL. */
static json_t *load_manifest(const json_t *doc)
{
	struct exported e = EXPORTED_NONE;
	json_t *manifest = NULL;
	struct rp_error ignored;
	const char *path;

	if (doc_string(doc, "ExportPath", &path) == 0 &&
	    exported_open(path, &e, &ignored) == RP_OK)
		manifest = json_incref(e.manifest);
	exported_close(&e);
	return manifest;
}

/* Another's may have come there first. Those that say nothing are of older versions. */
static bool is_its_own(const json_t *doc, const json_t *manifest)
{
	const json_t *job = json_object_get(manifest, "Job");

	return manifest && (!job || json_equal(job, json_object_get(doc, "InstanceID")) ||
			    json_equal(job, json_object_get(doc, "CompletedBy")));
}

int job_record_answers(struct rp_store *store, const json_t *doc)
{
	const char *directory, *system, *id;

	return job_record_target(doc, &directory, &system, &id)
		       ? store_answers(store, directory)
		       : 0;
}

bool job_record_confirm_published(const json_t *doc)
{
	enum rp_job_state state = job_record_state(doc);
	_cleanup_doc_ json_t *manifest = NULL;
	const char *directory, *system, *id;

	/* Who waited has published nothing: what is there is another's. */
	if (state != RP_JOB_RUNNING && state != RP_JOB_SHUTTING_DOWN)
		return false;
	if (!job_record_target(doc, &directory, &system, &id) ||
	    !target_is_published(directory, system, id))
		return false;
	manifest = load_manifest(doc);
	return is_its_own(doc, manifest) &&
	       target_sync_published(directory, system, id) == 0;
}

static int tell_exported(json_t *doc)
{
	_cleanup_doc_ json_t *manifest = load_manifest(doc);

	return manifest ? job_record_set_exported(doc, manifest) : 0;
}

/* It has ended when it was heard of last, whenever that is noticed. */
static int set_end(json_t *doc, int fd)
{
	const char *told = "";
	char seen[DOC_TIME_SIZE];
	struct stat st;

	doc_string(doc, "TimeOfLastStateChange", &told);
	if (fstatat(fd, JOB_PROGRESS, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return 0;
	doc_time_of(&st.st_mtim, seen);
	return strcmp(seen, told) > 0
		       ? job_record_set_string(doc, "TimeOfLastStateChange", seen)
		       : 0;
}

/* Where it was when it was heard of last. */
static void tell_interrupted(const json_t *doc, int fd, struct rp_error *err)
{
	_cleanup_doc_ json_t *told = NULL;
	const char *phase = "export", *system = NULL;

	if (slip_read(fd, JOB_PROGRESS, &told) == 0)
		doc_string(told, "Phase", &phase);
	doc_string(doc, "VirtualSystemIdentifier", &system);
	rp_fail(err, RP_FAILED, phase, "interrupted: its process is gone");
	rp_fail_of(err, system, NULL);
}

int job_record_set_dead(json_t *doc, int fd, enum rp_job_state state)
{
	bool published = state == RP_JOB_COMPLETED;
	bool resumable = state == RP_JOB_EXCEPTION ||
			 (!published && job_record_has_kept(doc));
	struct rp_error err;

	rp_error_clear(&err);
	if (!published)
		tell_interrupted(doc, fd, &err);
	if ((published && tell_exported(doc) < 0) ||
	    job_record_set_error(doc, err.code, &err) < 0 ||
	    json_object_set_new(doc, "Cancellable", json_false()) < 0 ||
	    json_object_set_new(doc, "Resumable", json_boolean(resumable)) < 0 ||
	    json_object_set_new(doc, "JobState", json_integer(state)) < 0 ||
	    set_end(doc, fd) < 0)
		return -ENOMEM;
	return 0;
}

/* What the model's class has. */
json_t *job_record_new(const struct job *job, const struct job_order *o)
{
	char now[DOC_TIME_SIZE];

	doc_time(now);
	return json_pack(
		"{s:i, s:s, s:s+++, s:s, s:n, s:s, s:i, s:b, s:s, s:s+++++, s:s, s:s, "
		"s:s, s:s?, s:b, s:[], s:n, s:[], s:[], s:i, s:b, s:b, s:I}",
		"FormatVersion", DOC_VERSION, "InstanceID", job->id, "Name", "Export ",
		o->system, "@", o->id, "TimeSubmitted", now, "StartTime", "Owner",
		store_owner(job->store), "Priority", (int)job->priority, "Cancellable", 1,
		"ExportDirectory", o->directory, "ExportPath", o->directory, "/",
		o->system, "/", o->id, "", "VirtualSystemIdentifier", o->system,
		"VirtualMachineId", o->system, "ReferencePointId", o->id,
		"BaseReferencePointId", o->base, "BaseIsExported", (int)o->base_exported,
		"ExportedDisks", "ExportedConfigFilePath", "Disks", "Warnings",
		"ProcessId", (int)getpid(), "Resumable", 0, "Queued", (int)o->queued,
		"TimeBeforeRemoval", (json_int_t)job->store->keep_seconds);
}

int job_record_set_exported(json_t *doc, const json_t *manifest)
{
	const char *path = json_string_value(json_object_get(doc, "ExportPath"));
	json_t *disks = json_object_get(manifest, "Disks"), *disk;
	_cleanup_doc_ json_t *files = json_array();
	size_t i;

	if (!files || json_object_set(doc, "Disks", disks) < 0)
		return -ENOMEM;
	json_array_foreach(disks, i, disk)
		if (json_array_append_new(files,
					  json_sprintf("%s/%s", path,
						       json_string_value(json_object_get(
							       disk, "File")))) < 0)
			return -ENOMEM;
	if (json_object_set(doc, "ExportedDisks", files) < 0 ||
	    json_object_set_new(doc, "ExportedConfigFilePath",
				json_sprintf("%s/config", path)) < 0)
		return -ENOMEM;
	return 0;
}
