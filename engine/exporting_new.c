/* SPDX-License-Identifier: MIT */
/*
 * exporting_new.c - the beginning of an export: what is asked of it, checked before work
 * begins, its point locked and its job recorded; and its end
 */
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "doc.h"
#include "export_base.h"
#include "exporting_state.h"
#include "io/tree.h"
#include "job_sweep.h"
#include "settings.h"

static struct exporting *new (struct rp_store *store, const char *directory,
			      const struct rp_export_options *options)
{
	struct exporting *x = calloc(1, sizeof(*x));

	if (!x)
		return NULL;
	x->store = store;
	x->job = (struct job)JOB_NONE;
	x->point = (struct point)POINT_NONE;
	x->changes = (struct export_changes)EXPORT_CHANGES_NONE;
	x->journal = (struct journal)JOURNAL_NONE;
	x->directory = strdup(directory);
	if (x->directory && settings_copy(options, &x->options) == 0)
		return x;
	exporting_free(x);
	return NULL;
}

/* Of many systems that are asked for it a new one may have no older point, or none that
 * was exported. */
static bool is_new(const struct exporting *x, uint32_t rc, const struct rp_error *err)
{
	return rc == RP_NOT_AVAILABLE && !strcmp(err->step, "find") &&
	       (!strncmp(x->options.base, "@latest", strlen("@latest")) ||
		export_base_is_told(x->options.base));
}

/* What is there already is told as such: nothing else will be done. */
static uint32_t go_without_base(struct exporting *x, struct rp_error *err)
{
	_cleanup_close_ int fd = io_dir_open(AT_FDCWD, x->directory);
	struct rp_error why = *err;
	uint32_t rc = fd < 0 ? RP_OK
			     : target_check(fd, x->directory, x->point.system,
					    x->point.id, true, err);

	if (rc)
		return rc;
	if (x->options.strict)
		return rp_fail(err, RP_INVALID_STATE, "check", "no usable base: %s",
			       why.message);
	watch_warn(&x->watch, "exported in full, there is no usable base: %s",
		   why.message);
	rp_error_clear(err);
	free((char *)x->options.base);
	x->options.base = NULL;
	x->options.merge = false;
	return RP_OK;
}

static uint32_t open_base(struct exporting *x, struct rp_error *err)
{
	_cleanup_free_ char *name = NULL;
	bool told = export_base_is_told(x->options.base);
	uint32_t rc = RP_OK;

	x->changes.needs_export |= told; /* or was, when the job began */
	if (told)
		rc = export_base_find(x->store, x->options.base, &x->point, x->directory,
				      &x->watch, &name, err);
	return rc ? rc
		  : export_changes_begin(&x->changes, x->store, name ?: x->options.base,
					 &x->point, x->options.strict, &x->watch, err);
}

/* From now on the base has its full name, which goes on meaning the same. */
static uint32_t begin_changes(struct exporting *x, struct rp_error *err)
{
	uint32_t rc = open_base(x, err);
	char *name;

	if (is_new(x, rc, err))
		return go_without_base(x, err);
	if (rc)
		return rc;
	if (asprintf(&name, "%s@%s", x->changes.base.system, x->changes.base.id) < 0)
		return rp_fail_os(err, -ENOMEM, "open", "base %s", x->options.base);
	free((char *)x->options.base);
	x->options.base = name;
	return RP_OK;
}

static uint32_t check_limits(struct exporting *x, struct rp_error *err)
{
	const struct rp_export_options *o = &x->options;
	uint32_t rc;
	int r;

	x->watch.bandwidth = o->bandwidth;
	x->watch.iops = o->iops;
	if (!o->max_pressure)
		return RP_OK;
	r = pressure_open(&x->pressure, o->max_pressure, o->pressure_of);
	if (r < 0) {
		rc = rp_fail_os(err, r, "open", "I/O pressure of %s",
				o->pressure_of ?: "the system");
		if (r == -ENOENT &&
		    (!o->pressure_of || access(o->pressure_of, F_OK) == 0))
			rc = RP_NOT_SUPPORTED; /* it is not kept here */
		if (err)
			err->code = rc;
		return rc;
	}
	x->watch.pressure = &x->pressure;
	return RP_OK;
}

/* Without its job. */
static uint32_t check(struct exporting *x, const char *point, struct rp_error *err)
{
	uint32_t rc;

	/* Who has a job is told from its thread alone. */
	watch_init(&x->watch, x->queued ? NULL : x->options.watch, x->options.timeout_ms);
	x->watch.warnings = json_array();
	if (!x->watch.warnings)
		return rp_fail_os(err, -ENOMEM, "export", "%s", point ?: "");
	rc = tuning_of_options(&x->tuning, &x->options, err);
	if (rc == RP_OK)
		rc = check_limits(x, err);
	if (rc)
		return rc;
	rc = point_open(x->store, point, POINT_SHARED,
			watch_left_ms(&x->watch, x->store->busy_ms), &x->watch, &x->point,
			err);
	if (rc)
		return rc;
	rc = export_disks_check(&x->point, &x->options, err);
	if (rc == RP_OK && x->options.base)
		rc = begin_changes(x, err);
	if (rc)
		rp_fail_of(err, x->point.system, NULL);
	return rc;
}

uint32_t exporting_without_record(struct exporting *x, uint32_t rc, struct rp_error *err)
{
	if (x->queued || (rc != RP_FAILED && rc != RP_ACCESS_DENIED))
		return rc;
	watch_warn(&x->watch, "no record of this export: %s", err->message);
	rp_error_clear(err);
	return RP_OK;
}

static uint32_t open_directory(const struct exporting *x, int *ret, struct rp_error *err)
{
	_cleanup_close_ int fd = io_dir_open(AT_FDCWD, x->directory);
	enum ground ground;
	int r = fd < 0 ? fd : store_ground_of(x->store, fd, &ground);

	if (r < 0)
		return rp_fail_os(err, r, "open", "export directory %s", x->directory);
	if (ground != GROUND_FREE)
		return rp_fail(err, RP_INVALID_PARAMETER, "check",
			       "export directory %s: lies in %s", x->directory,
			       ground == GROUND_STORE
				       ? "a store, which sweeps it"
				       : "an export, which nothing is put into");
	*ret = take_fd(&fd);
	return RP_OK;
}

static uint32_t begin_job(struct exporting *x, struct rp_error *err)
{
	const struct job_order order = {
		.system = x->point.system,
		.id = x->point.id,
		.base = x->options.base ? x->changes.base.id : NULL,
		.base_exported = x->changes.needs_export,
		.directory = x->directory,
		.options = &x->options,
		.queued = x->queued,
	};
	_cleanup_close_ int fd = -1;
	uint32_t rc = open_directory(x, &fd, err);

	/* Who waits hours for a turn wants to know it before. */
	if (rc == RP_OK && x->queued)
		rc = target_check(fd, x->directory, x->point.system, x->point.id,
				  x->store->busy_ms || x->options.timeout_ms, err);
	if (rc)
		return rc;
	rc = job_begin(x->store, &order, &x->job, err);
	return rc ? exporting_without_record(x, rc, err) : RP_OK;
}

uint32_t exporting_new(struct rp_store *store, const char *point, const char *directory,
		       const struct rp_export_options *options, bool queued,
		       struct exporting **ret, struct rp_error *err)
{
	struct exporting *x = new (store, directory, options);
	uint32_t rc;

	if (!x)
		return rp_fail_os(err, -ENOMEM, "export", "%s", point ?: "");
	x->queued = queued;
	rc = check(x, point, err);
	x->watch.user = x->options.watch;
	if (rc == RP_OK) {
		rc = begin_job(x, err);
		if (rc)
			rp_fail_of(err, x->point.system, NULL);
	}
	if (rc)
		exporting_free(x);
	else
		*ret = x;
	return rc;
}

/* Without a point that it would be the base of. */
static uint32_t check_base(struct exporting *x, struct rp_error *err)
{
	const struct point nobody = {.system = "any"};
	uint32_t rc;

	if (export_base_is_told(x->options.base))
		return RP_OK;
	rc = point_open_base(x->store, x->options.base, &nobody, POINT_UNLOCKED, 0, NULL,
			     &x->changes.base, err);
	if (*x->options.base != '@' || rc == RP_INVALID_PARAMETER)
		return rc;
	rp_error_clear(err);
	return RP_OK;
}

uint32_t exporting_check(struct rp_store *store, const char *directory,
			 const struct rp_export_options *options, struct rp_error *err)
{
	struct exporting *x = new (store, directory, options);
	_cleanup_close_ int fd = -1;
	uint32_t rc;

	if (!x)
		return rp_fail_os(err, -ENOMEM, "export", "%s", directory);
	rc = tuning_of_options(&x->tuning, &x->options, err);
	if (rc == RP_OK)
		rc = check_limits(x, err);
	if (rc == RP_OK && x->options.base)
		rc = check_base(x, err);
	if (rc == RP_OK)
		rc = open_directory(x, &fd, err);
	exporting_free(x);
	return rc;
}

/* As the record in @doc says, but for its job. */
static uint32_t again(struct rp_store *store, const json_t *doc, struct exporting **ret,
		      struct rp_error *err)
{
	_cleanup_(settings_free) struct rp_export_options options = {0};
	_cleanup_free_ char *text = NULL;
	const char *system, *id, *directory;
	char point[NAME_SIZE + ID_SIZE];
	struct exporting *x;
	uint32_t rc;

	text = doc_dump(json_object_get(doc, "Settings"), JSON_COMPACT);
	if (!text || doc_string(doc, "VirtualSystemIdentifier", &system) < 0 ||
	    doc_string(doc, "ReferencePointId", &id) < 0 ||
	    doc_string(doc, "ExportDirectory", &directory) < 0)
		return rp_fail(err, RP_UNKNOWN_STATUS, "resume",
			       "the job's record is damaged");
	rc = settings_parse(text, &options, err);
	if (rc)
		return rc;
	x = new (store, directory, &options);
	if (!x)
		return rp_fail_os(err, -ENOMEM, "resume", "job");
	x->changes.needs_export = json_is_true(json_object_get(doc, "BaseIsExported"));
	snprintf(point, sizeof(point), "%s@%s", system, id);
	rc = check(x, point, err);
	if (rc)
		exporting_free(x);
	else
		*ret = x;
	return rc;
}

uint32_t exporting_resume(struct rp_store *store, const char *job, struct exporting **ret,
			  struct rp_error *err)
{
	_cleanup_close_ int fd = io_dir_open(store->ended_fd, job);
	_cleanup_doc_ json_t *doc = NULL;
	struct exporting *x;
	uint32_t rc;
	int r = fd < 0 ? fd : doc_load(fd, "job.json", &doc);

	if (r < 0)
		return rp_fail_os(err, r, "resume", "job %s", job);
	/* The point is locked before the job, as always. */
	rc = again(store, doc, &x, err);
	if (rc)
		return rc;
	x->queued = true;
	rc = job_resume(store, job, &x->job, err);
	if (rc)
		exporting_free(x);
	else
		*ret = x;
	return rc;
}

void exporting_drop(struct exporting *x, uint32_t rc, struct rp_error *err)
{
	rp_fail_of(err, x->point.system, NULL);
	job_end(&x->job, rc, NULL, err);
	exporting_free(x);
}

void exporting_free(struct exporting *x)
{
	if (!x)
		return;
	export_changes_close(&x->changes);
	journal_close(&x->journal);
	probe_pair_close(&x->pair);
	point_close(&x->point);
	/* At once: who destroys the point now looks for what its jobs have kept. */
	job_release(&x->job);
	if (x->job.id[0]) /* nobody waits for that, nor for what was closed */
		job_forget_old(x->store);
	json_decref(x->manifest);
	json_decref(x->watch.warnings);
	settings_free(&x->options);
	pressure_close(&x->pressure);
	free(x->directory);
	free(x);
}
