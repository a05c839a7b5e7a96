/* SPDX-License-Identifier: MIT */
/*
 * export.c - the methods that export: their arguments, checked
 */
#include "doc.h"
#include "export_images.h"
#include "exporting.h"
#include "io/base.h"
#include "options.h"
#include "set.h"
#include "settings.h"
#include "worker.h"

static uint32_t check_arguments(const struct rp_store *store, const char *directory,
				const struct rp_export_options *o, struct rp_error *err)
{
	uint32_t rc;

	if (!store)
		return rp_fail(err, RP_INVALID_PARAMETER, "check", "store is NULL");
	rc = options_check_path(directory, "check", "export directory", err);
	if (rc)
		return rc;
	if (o->disk_count && !o->disks)
		return rp_fail(err, RP_INVALID_PARAMETER, "check",
			       "options.disks is NULL");
	if (o->max_pressure > 99 ||
	    (o->pressure_of && (!o->max_pressure || o->pressure_of[0] != '/' ||
				!doc_is_text(o->pressure_of))))
		return rp_fail(
			err, RP_INVALID_PARAMETER, "check",
			"options: max_pressure is above 99, or pressure_of without "
			"it or not an absolute path in UTF-8");
	if (o->priority > 99)
		return rp_fail(err, RP_INVALID_PARAMETER, "check",
			       "options.priority %u: above 99", o->priority);
	if (o->merge && !o->base)
		return rp_fail(err, RP_INVALID_PARAMETER, "check",
			       "options.merge: there is no base to merge with");
	if ((unsigned)o->digest > RP_DIGEST_NEVER ||
	    (unsigned)o->ionice > RP_IONICE_IDLE ||
	    (unsigned)o->clone > RP_CLONE_ALWAYS || (unsigned)o->io > RP_IO_SYNC ||
	    (unsigned)o->format > RP_FORMAT_VHDX)
		return rp_fail(
			err, RP_INVALID_PARAMETER, "check",
			"options: io, clone, digest, ionice or format is not a value of "
			"its type");
	return export_images_check(o, err);
}

/* Now; or, with a @ret_job, as a job. */
static uint32_t export_point(struct rp_store *store, const char *point,
			     const char *directory,
			     const struct rp_export_options *options, char **ret_report,
			     struct rp_job **ret_job, struct rp_error *err)
{
	struct exporting *x;
	uint32_t rc;

	rc = check_arguments(store, directory, options, err);
	if (rc)
		return rc;
	if (ret_job) {
		rc = worker_export(store, point, directory, options, ret_job, err);
		return rc ? rc : RP_JOB_STARTED;
	}
	rc = exporting_new(store, point, directory, options, false, &x, err);
	if (rc)
		return rc;
	rc = exporting_run(x, ret_report, err);
	exporting_free(x);
	return rc;
}

/* Those that count: @options, or what their settings say, which @settings is to hold. */
static uint32_t read_options(const struct rp_export_options *options,
			     struct rp_export_options *settings,
			     struct rp_export_options *ret, struct rp_error *err)
{
	uint32_t rc;

	*ret = (struct rp_export_options){.size = sizeof(*ret)};
	if (!options)
		return RP_OK;
	rc = options_check_watched(options, err);
	if (rc)
		return rc;
	if (!options->settings) {
		*ret = *options;
		return RP_OK;
	}
	rc = settings_parse(options->settings, settings, err);
	if (rc)
		return rc;
	*ret = *settings;
	ret->watch = options->watch;
	return RP_OK;
}

static uint32_t export(struct rp_store *store, const char *point, const char *directory,
		       const struct rp_export_options *options, char **ret_report,
		       struct rp_job **ret_job, struct rp_error *reterr)
{
	_cleanup_(settings_free) struct rp_export_options settings = {0};
	struct rp_error own, *err = reterr ?: &own; /* the job's record wants it */
	struct rp_export_options read;
	uint32_t rc;

	rp_error_clear(err);
	rc = read_options(options, &settings, &read, err);
	return rc ? rc
		  : export_point(store, point, directory, &read, ret_report, ret_job,
				 err);
}

uint32_t rp_export(struct rp_store *store, const char *point, const char *directory,
		   const struct rp_export_options *options, char **ret_report,
		   struct rp_error *reterr)
{
	return export(store, point, directory, options, ret_report, NULL, reterr);
}

uint32_t rp_export_start(struct rp_store *store, const char *point, const char *directory,
			 const struct rp_export_options *options, struct rp_job **ret_job,
			 struct rp_error *reterr)
{
	rp_error_clear(reterr);
	if (!ret_job)
		return rp_fail(reterr, RP_INVALID_PARAMETER, "check", "ret_job is NULL");
	return export(store, point, directory, options, NULL, ret_job, reterr);
}

uint32_t rp_export_set(struct rp_store *store, const char *const *points, size_t count,
		       const char *directory, const struct rp_export_options *options,
		       set_done *done, void *context, struct rp_error *reterr)
{
	_cleanup_(settings_free) struct rp_export_options settings = {0};
	struct rp_error own, *err = reterr ?: &own;
	struct rp_export_options read; /* once: limits are of all points together */
	uint32_t rc;

	rp_error_clear(err);
	rc = read_options(options, &settings, &read, err);
	if (rc == RP_OK)
		rc = check_arguments(store, directory, &read, err);
	if (rc == RP_OK && count && !points)
		rc = rp_fail(err, RP_INVALID_PARAMETER, "check", "points is NULL");
	return rc ? rc
		  : set_export(store, points, count, directory, &read, done, context,
			       err);
}

uint32_t rp_export_reference_point(struct rp_store *store, const char *reference_point,
				   const char *export_directory,
				   const char *export_setting_data,
				   struct rp_job **ret_job, struct rp_error *reterr)
{
	const struct rp_export_options options = {.size = sizeof(options),
						  .settings = export_setting_data ?: ""};

	return export(store, reference_point, export_directory, &options, NULL, ret_job,
		      reterr);
}
