/* SPDX-License-Identifier: MIT */
/*
 * exporting.c - one reference point, whole or what changed of it, to a directory
 *
 *	find and lock the point ──> job record ──> partial folder and journal ──> disks
 *	through the engine, config files ──> manifest ──> journal gone ──> publish
 *
 * The folder gets its name after everything in it is on stable storage. Whatever fails
 * before removes it, unless the journal says that there is something to go on with.
 *
 * Three times it is waited for: (1) the record, the partial folder and its empty journal,
 * (2) the files of the export, (3) its name and the record's end. What else is written
 * in between is none that a power cut could tell from one of these.
 */
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "config.h"
#include "copy.h"
#include "doc.h"
#include "export_merged.h"
#include "exporting_state.h"
#include "io/clock.h"
#include "io/nice.h"
#include "io/tree.h"
#include "job_sweep.h"
#include "manifest.h"
#include "resume.h"

static uint32_t export_configs(struct exporting *x, struct rp_error *err)
{
	_cleanup_close_ int from = -1, to = -1;
	json_t *name;
	size_t i;

	from = io_dir_open(x->point.fd, "config");
	if (from < 0)
		return rp_fail_os(err, from, "open",
				  "config files of the reference point");
	to = io_dir_make(x->target.fd, "config", NULL);
	if (to < 0)
		return rp_fail_os(err, to, "mkdir", "%s/config", x->target.path);
	json_array_foreach(json_object_get(x->point.doc, "ConfigFiles"), i, name) {
		const char *file = json_string_value(name);
		char digest[DIGEST_TEXT_SIZE];
		uint32_t rc = config_copy(from, file, to, file, &x->target.unsynced,
					  digest, err);

		if (rc)
			return rc;
		if (manifest_add_config(x->manifest, file, digest) < 0)
			return rp_fail_os(err, -ENOMEM, "write", "manifest");
	}
	io_unsynced_take_folder(&x->target.unsynced, take_fd(&to), "config");
	return RP_OK;
}

static uint32_t write_manifest(struct exporting *x, struct rp_error *err)
{
	int r = 0;

	/* What is shared was not synced yet, nor what is small. */
	for (size_t i = 0; r == 0 && i < x->disks.count; i++) {
		const struct stream *s = &x->disks.streams[i];
		const struct export_disk *disk = &x->disks.disks[i];

		r = export_disks_finish(&x->disks, i, &x->target);
		if (r == 0)
			r = manifest_add_disk(x->manifest, s, disk->file,
					      s->digested ? disk->leaves : NULL,
					      &x->watch);
		if (r == 0 && x->options.base)
			r = export_changes_finish(&x->changes, i, &x->point, &x->disks,
						  &x->target, x->manifest);
		if (r == 0 && x->images.format)
			r = manifest_add_to_disk(x->manifest,
						 export_images_describe(&x->images, i));
	}
	if (watch_is_stop(r))
		return watch_fail(&x->watch, r, err);
	if (r == 0)
		r = doc_write_unsynced(x->target.fd, "export.json", x->manifest);
	if (r >= 0)
		io_unsynced_take(&x->target.unsynced, r, "export.json");
	return r < 0 ? rp_fail_os(err, r, "write", "%s/export.json", x->target.path)
		     : RP_OK;
}

static uint32_t copy_disks(struct exporting *x, struct rp_error *err)
{
	uint32_t rc;

	rc = resume_bind(&x->disks, err);
	if (rc == RP_OK)
		rc = resume_prove(&x->disks, &x->target, &x->journal, &x->tuning,
				  &x->watch, err);
	if (rc) { /* evidence, or at least no worse than before */
		x->keep = true;
		return rc;
	}
	return copy_streams(x->disks.streams, x->disks.count, &x->tuning, &x->watch, err);
}

/* All that is in the partial folder. */
static uint32_t settle(struct exporting *x, struct rp_error *err)
{
	const char *name;
	uint32_t rc;

	target_written(&x->target);
	rc = target_settle(&x->target, &name, err);
	for (size_t i = 0; rc && i < x->disks.count; i++)
		if (name == x->disks.disks[i].file || name == x->disks.disks[i].leaves ||
		    (i < x->changes.count && name == x->changes.disks[i].list))
			rp_fail_of(err, NULL, x->disks.streams[i].disk);
	return rc;
}

/* Everything between the birth of the partial folder and its publication. */
static uint32_t fill_target(struct exporting *x, struct rp_error *err)
{
	uint32_t rc;

	x->manifest = manifest_new(&x->point, x->job.id);
	if (!x->manifest)
		return rp_fail_os(err, -ENOMEM, "write", "manifest");
	rc = export_disks_open(x->store, &x->point, &x->target, &x->options, &x->journal,
			       &x->disks, err);
	if (rc == RP_OK && x->options.base)
		rc = export_changes_find(&x->changes, &x->point, &x->target, &x->disks,
					 &x->tuning, &x->watch, err);
	if (rc == RP_OK && x->options.base && !x->options.merge &&
	    x->options.format == RP_FORMAT_RAW)
		rc = export_changes_apply(&x->changes, &x->disks, &x->watch, err);
	if (rc == RP_OK)
		rc = export_images_lay_out(&x->images, &x->options, &x->changes,
					   &x->target, &x->disks, &x->watch, err);
	if (rc == RP_OK)
		rc = export_configs(x, err);
	x->pair = (struct probe_pair){
		.store = x->store, .src_dirfd = x->point.fd, .dst_dirfd = x->target.fd};
	x->tuning.pair = &x->pair;
	if (rc == RP_OK && x->options.merge && x->options.format == RP_FORMAT_RAW)
		rc = export_merged(&x->changes, &x->disks, &x->target, &x->tuning,
				   &x->watch, err);
	else if (rc == RP_OK && x->disks.count)
		rc = copy_disks(x, err);
	if (rc == RP_OK)
		rc = write_manifest(x, err);
	return rc ? rc : settle(x, err);
}

/* The journal goes last: a folder without one has a manifest, and is complete. That it
 * has gone is known when the name is. */
static uint32_t publish(struct exporting *x, struct rp_error *err)
{
	bool worth = x->complete || journal_has_marks(&x->journal);
	uint32_t rc;
	int r;

	watch_phase(&x->watch, "publishing");
	r = watch_tick(&x->watch); /* the last chance to stop it */
	if (r < 0)
		return watch_fail(&x->watch, r, err);
	if (!io_dir_is_at(AT_FDCWD, x->directory, x->target.directory_fd))
		return rp_fail(err, RP_NOT_AVAILABLE, "publish",
			       "export directory %s: moved or removed meanwhile",
			       x->directory);
	if (!target_is_there(&x->target))
		return rp_fail(err, RP_NOT_AVAILABLE, "publish",
			       "%s: its partial folder was moved or removed meanwhile",
			       x->target.path);
	if (unlinkat(x->target.fd, JOURNAL_FILE, 0) < 0 && errno != ENOENT)
		return rp_fail_os(err, -errno, "publish", "%s", x->target.path);
	journal_close(&x->journal);
	x->complete = true;
	rc = target_rename(&x->target, err);
	if (rc == RP_OK) {
		/* Where both are on one file system this takes the name along. */
		job_tell_last(&x->job, &x->watch);
		job_write_end(&x->job, x->manifest);
		rc = target_publish(&x->target, err);
	}
	/* It lacks nothing but its name, unless another has got that. */
	x->keep = rc && worth && rc != RP_INVALID_STATE;
	return rc;
}

/* Whether there are marks to go on from: what the next one does not find in the folder,
 * as there was no room to note it, is no mark. */
static bool has_marks(const struct exporting *x)
{
	return journal_has_marks(&x->journal) && journal_worth_keeping(x->target.fd);
}

/* Whether there is something to go on with, and nobody who does not want it, or wants the
 * room it takes, unless that was taken before. */
static bool worth_keeping(const struct exporting *x, const struct rp_error *err)
{
	if (x->yields && !x->target.found &&
	    (err->os_error == ENOSPC || err->os_error == EDQUOT))
		return false;
	return (x->keep || has_marks(x)) && !x->job.kill && !x->job.discard;
}

static void keep_target(struct exporting *x, uint32_t rc, struct rp_error *err)
{
	bool there = target_is_there(&x->target);
	bool goes_on = x->complete || has_marks(x) || rc == RP_TIMEOUT ||
		       err->os_error == ECANCELED;

	target_keep(&x->target);
	x->job.kept |= goes_on; /* there or not: who cannot see it does not know */
	if (there && rc != RP_INVALID_STATE) /* that says what to do */
		strncat(err->message,
			goes_on ? "; what was exported is kept: the same export again "
				  "goes on"
				: "; what is there is kept: --restart starts over",
			sizeof(err->message) - strlen(err->message) - 1);
}

static char *make_report(const struct exporting *x)
{
	_cleanup_doc_ json_t *report = json_pack(
		"{s:i, s:s, s:s, s:f, s:O}", "ReturnValue", 0, "Job", x->job.id,
		"ExportPath", x->target.path, "Seconds",
		(double)(io_now_ns() - x->watch.begin_ns) / 1e9, "Warnings",
		x->watch.warnings);

	if (!report || json_object_update_missing(report, x->manifest) < 0)
		return NULL;
	return doc_text(report);
}

/*
 * The record is there before the folder has anything in it, so that what an export leaves
 * is found; and the folder's journal before any file beside it.
 */
static uint32_t settle_begin(struct exporting *x, struct rp_error *err)
{
	const char *name;
	uint32_t rc;

	target_written(&x->target); /* both may cross at once */
	rc = x->job.doc ? job_settle(&x->job, err) : RP_OK;
	if (rc) {
		x->watch.attend = NULL;
		rc = exporting_without_record(x, rc, err);
	}
	return rc || x->complete ? rc : target_settle(&x->target, &name, err);
}

/* What a job has kept is not begun again on what lies below where it was mounted. */
static uint32_t check_mounted(struct exporting *x, struct rp_error *err)
{
	struct stat st;
	int r = 0;

	if (x->job.doc)
		r = fstat(x->target.directory_fd, &st) < 0
			    ? -errno
			    : job_set_device(&x->job, st.st_dev, x->target.found);
	if (r == -ENODEV)
		return rp_fail(err, RP_NOT_AVAILABLE, "resume",
			       "%s: what job %s has kept is not there, is it mounted?",
			       x->target.path, x->job.id);
	return r < 0 ? rp_fail_os(err, r, "resume", "job %s", x->job.id) : RP_OK;
}

/* One that has taken up nothing yet was told to keep nothing of what there was before. */
static void discard_if_told(struct exporting *x)
{
	if (x->job.kill || x->job.discard)
		job_discard_kept(&x->job);
}

/* A job's turn. */
static uint32_t take_turn(struct exporting *x, struct rp_error *err)
{
	int r = job_start(&x->job, &x->watch);

	if (r < 0)
		discard_if_told(x);
	if (watch_is_stop(r))
		return watch_fail(&x->watch, r, err);
	return r < 0 ? rp_fail_os(err, r, "wait", "for the turn of job %s", x->job.id)
		     : RP_OK;
}

/* Without its turn: the other one may be waiting for that. */
static uint32_t wait_for_target(struct exporting *x, struct rp_error *err)
{
	uint64_t wait_ms = watch_left_ms(&x->watch, x->store->busy_ms);
	uint32_t rc;

	if (wait_ms)
		job_step_back(&x->job);
	rc = target_wait(&x->target, &x->watch, wait_ms, err);
	return rc || !wait_ms ? rc : take_turn(x, err);
}

static uint32_t open_target(struct exporting *x, struct rp_error *err)
{
	struct target *t = &x->target;
	uint32_t rc = target_open(x->directory, x->point.system, x->point.id, t, err);

	if (rc)
		return rc;
	while (rc == RP_OK && t->fd < 0) {
		rc = target_bear(t, &x->store->outside, x->options.restart, &x->watch,
				 err);
		if (rc == RP_OK && t->busy >= 0)
			rc = wait_for_target(x, err);
	}
	if (rc) {
		target_discard(t);
		discard_if_told(x);
	}
	return rc;
}

/* From what is there already to the name. */
static uint32_t make(struct exporting *x, char **ret_report, struct rp_error *err)
{
	_cleanup_free_ char *report = NULL;
	uint32_t rc = exporting_take_up(x, err);

	if (rc == RP_OK)
		rc = settle_begin(x, err);
	if (rc == RP_OK && !x->complete)
		rc = fill_target(x, err);
	if (rc)
		return rc;
	if (ret_report) {
		report = make_report(x);
		if (!report)
			return rp_fail_os(err, -ENOMEM, "export", "%s", x->target.path);
	}
	rc = publish(x, err);
	if (rc == RP_OK && ret_report)
		*ret_report = take_ptr(report);
	return rc;
}

/* With the point locked. */
static uint32_t run(struct exporting *x, char **ret_report, struct rp_error *err)
{
	uint32_t rc = open_target(x, err);

	if (rc) {
		x->job.kept &= rc != RP_INVALID_STATE; /* another has completed it */
		return rc;
	}
	/* By now DIRECTORY may lead elsewhere, and so may DIRECTORY/SYSTEM. */
	if (io_ferry_serves(x->ferry, x->target.fd) &&
	    io_ferry_serves(x->ferry, x->target.directory_fd))
		x->target.unsynced.ferry = x->ferry;
	rc = check_mounted(x, err);
	if (rc && x->target.found)
		target_keep(&x->target);
	else if (rc)
		target_discard(&x->target);
	if (rc)
		return rc;
	rc = make(x, ret_report, err);
	export_images_close(&x->images);
	export_disks_close(&x->disks);
	if (rc)
		job_hear_last(&x->job);
	if (rc && worth_keeping(x, err))
		keep_target(x, rc, err);
	else
		x->job.kept = target_discard(&x->target) < 0;
	return rc;
}

const char *exporting_job(const struct exporting *x)
{
	return x->job.id;
}

void exporting_use(struct exporting *x, const struct exporting_tools *tools)
{
	x->tuning.gear = tools->gear;
	x->ferry = tools->ferry;
	x->yields = tools->yields;
	x->before = tools->pressure;
	x->watch.limit_ms = tools->limit_ms; /* what is left of it is for the deadline */
	if (x->before && x->before->limit && x->pressure.limit)
		pressure_follow(&x->pressure, x->before);
}

uint32_t exporting_run(struct exporting *x, char **ret_report, struct rp_error *err)
{
	int nice = io_nice_set(x->options.ionice == RP_IONICE_LOW    ? IO_NICE_LOW
			       : x->options.ionice == RP_IONICE_IDLE ? IO_NICE_IDLE
								     : IO_NICE_AS_IS);
	uint32_t rc;

	if (!x->tuning.gear)
		x->tuning.gear = &x->gear;
	if (x->job.doc)
		job_attend(&x->job, &x->watch);
	if (x->queued)
		watch_warn_again(&x->watch);
	rc = take_turn(x, err);
	if (rc == RP_OK)
		rc = run(x, ret_report, err);
	if (rc)
		rp_fail_of(err, x->point.system, NULL);
	if (rc)
		job_tell_last(&x->job, &x->watch);
	job_end(&x->job, rc, x->manifest, err);
	if (x->before)
		pressure_follow(x->before, &x->pressure);
	gear_close(&x->gear);
	io_nice_restore(nice);
	return rc;
}
