/* SPDX-License-Identifier: MIT */
/*
 * export.c - one reference point, whole, to a directory
 *
 *	find and lock the point ──> job record ──> partial folder ──> disks through
 *	the engine, config files ──> manifest ──> publish
 *
 * The folder gets its name after everything in it is on stable storage; until then
 * whatever fails removes it.
 */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "config.h"
#include "copy.h"
#include "doc.h"
#include "io/clone.h"
#include "io/tree.h"
#include "job.h"
#include "manifest.h"
#include "settings.h"
#include "target.h"

/* File names of one disk in the export. */
struct exporting_disk {
	char file[NAME_SIZE + 8];
	char leaves[NAME_SIZE + 8];
	char *src_path; /* for people */
	char *dst_path;
};

struct exporting {
	struct rp_store *store;
	const struct rp_export_options *options;
	struct point point;
	struct target target;
	struct job job;
	struct stream *streams;
	struct exporting_disk *disks;
	size_t count;
	json_t *manifest;
	struct watch watch;
};

static bool wanted(const struct rp_export_options *o, const char *id)
{
	for (size_t i = 0; i < o->disk_count; i++)
		if (!strcmp(o->disks[i], id))
			return true;
	return o->disk_count == 0;
}

static json_t *find_disk(const struct point *point, const char *id)
{
	json_t *disk;
	size_t i;

	json_array_foreach(json_object_get(point->doc, "Disks"), i, disk)
		if (!strcmp(json_string_value(json_object_get(disk, "DiskId")), id))
			return disk;
	return NULL;
}

static uint32_t check_disks(const struct exporting *x, struct rp_error *err)
{
	const struct rp_export_options *o = x->options;

	for (size_t i = 0; i < o->disk_count; i++) {
		if (!o->disks[i] || !find_disk(&x->point, o->disks[i]))
			return rp_fail(err, RP_INVALID_PARAMETER, "check",
				       "disk '%s': not in the reference point",
				       o->disks[i] ?: "");
		for (size_t k = 0; k < i; k++)
			if (!strcmp(o->disks[i], o->disks[k]))
				return rp_fail(err, RP_INVALID_PARAMETER, "check",
					       "disk %s: given twice", o->disks[i]);
	}
	if (!json_is_true(json_object_get(x->point.doc, "HasAssociatedData")))
		return rp_fail(err, RP_INVALID_STATE, "check",
			       "reference point %s@%s: its data was released",
			       x->point.system, x->point.id);
	return RP_OK;
}

static const enum stream_digest digest_modes[] = {
	[RP_DIGEST_AUTO] = STREAM_DIGEST,
	[RP_DIGEST_ALWAYS] = STREAM_DIGEST_READ,
	[RP_DIGEST_NEVER] = STREAM_NO_DIGEST,
};

static int open_leaves(struct exporting *x, size_t i)
{
	struct stream *s = &x->streams[i];

	s->digest = digest_modes[x->options->digest];
	if (s->digest == STREAM_NO_DIGEST)
		return 0;
	s->leaves.size = s->src.size;
	s->leaves.fd = openat(x->target.fd, x->disks[i].leaves,
			      O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (s->leaves.fd < 0)
		return -errno;
	return ftruncate(s->leaves.fd, (off_t)digest_file_size(s->src.size)) < 0 ? -errno
										 : 0;
}

static uint32_t open_disk(struct exporting *x, size_t i, const json_t *disk,
			  struct rp_error *err)
{
	struct stream *s = &x->streams[i];
	struct exporting_disk *d = &x->disks[i];
	const char *file;
	uint64_t size;
	int r;

	doc_string(disk, "DiskId", &s->disk);
	doc_string(disk, "File", &file);
	doc_u64(disk, "VirtualSize", &size);
	snprintf(d->file, sizeof(d->file), "%s.raw", s->disk);
	snprintf(d->leaves, sizeof(d->leaves), "%s.digest", s->disk);
	if (asprintf(&d->src_path, "%s/systems/%s/points/%s/%s", x->store->path,
		     x->point.system, x->point.id, file) < 0)
		d->src_path = NULL;
	if (asprintf(&d->dst_path, "%s/%s", x->target.path, d->file) < 0)
		d->dst_path = NULL;
	if (!d->src_path || !d->dst_path)
		return stream_fail(s, -ENOMEM, "open", file, RP_NO_OFFSET, err);
	s->src_path = d->src_path;
	s->dst_path = d->dst_path;
	s->clone = x->options->clone;
	r = io_file_open_read(x->point.fd, file, &s->src);
	if (r < 0)
		return stream_fail(s, r, "open", s->src_path, RP_NO_OFFSET, err);
	if (s->src.size != size) {
		rp_fail(err, RP_UNKNOWN_STATUS, "check",
			"check %s: its size is not what the reference point says",
			s->src_path);
		rp_fail_of(err, NULL, s->disk);
		return RP_UNKNOWN_STATUS;
	}
	r = io_file_create(x->target.fd, d->file, io_is_nocow(s->src.tail_fd), &s->dst);
	if (r == 0)
		r = io_file_set_size(&s->dst, s->src.size);
	if (r == 0)
		r = open_leaves(x, i);
	return r < 0 ? stream_fail(s, r, "create", s->dst_path, RP_NO_OFFSET, err)
		     : RP_OK;
}

static uint32_t open_disks(struct exporting *x, struct rp_error *err)
{
	json_t *disks = json_object_get(x->point.doc, "Disks"), *disk;
	uint32_t rc = RP_OK;
	size_t k;

	x->streams = calloc(json_array_size(disks) + 1, sizeof(*x->streams));
	x->disks = calloc(json_array_size(disks) + 1, sizeof(*x->disks));
	if (!x->streams || !x->disks)
		return rp_fail_os(err, -ENOMEM, "open", "disks");
	json_array_foreach(disks, k, disk) {
		struct stream *s = &x->streams[x->count];

		if (rc || !wanted(x->options,
				  json_string_value(json_object_get(disk, "DiskId"))))
			continue;
		s->src = (struct io_file)IO_FILE_NONE;
		s->dst = (struct io_file)IO_FILE_NONE;
		s->leaves.fd = -1;
		rc = open_disk(x, x->count++, disk, err);
	}
	return rc;
}

static uint32_t export_configs(struct exporting *x, struct rp_error *err)
{
	_cleanup_close_ int from = -1, to = -1;
	json_t *name;
	bool made;
	size_t i;
	int r;

	from = io_dir_open(x->point.fd, "config");
	if (from < 0)
		return rp_fail_os(err, from, "open",
				  "config files of the reference point");
	to = io_dir_make(x->target.fd, "config", &made);
	if (to < 0)
		return rp_fail_os(err, to, "mkdir", "%s/config", x->target.path);
	json_array_foreach(json_object_get(x->point.doc, "ConfigFiles"), i, name) {
		const char *file = json_string_value(name);
		char digest[DIGEST_TEXT_SIZE];
		uint32_t rc = config_copy(from, file, to, file, digest, err);

		if (rc)
			return rc;
		if (manifest_add_config(x->manifest, file, digest) < 0)
			return rp_fail_os(err, -ENOMEM, "write", "manifest");
	}
	r = io_fsync(to);
	return r < 0 ? rp_fail_os(err, r, "sync", "%s/config", x->target.path) : RP_OK;
}

/* After its disk is complete: kept if it is too, else removed. */
static int finish_leaves(struct exporting *x, size_t i)
{
	struct stream *s = &x->streams[i];

	if (s->digested)
		return io_fsync(s->leaves.fd);
	if (s->leaves.fd >= 0 && unlinkat(x->target.fd, x->disks[i].leaves, 0) < 0)
		return -errno;
	return 0;
}

static uint32_t write_manifest(struct exporting *x, struct rp_error *err)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < x->count; i++) {
		r = finish_leaves(x, i);
		if (r == 0)
			r = manifest_add_disk(
				x->manifest, &x->streams[i], x->disks[i].file,
				x->streams[i].digested ? x->disks[i].leaves : NULL);
	}
	if (r == 0)
		r = doc_save(x->target.fd, "export.json", x->manifest);
	return r < 0 ? rp_fail_os(err, r, "write", "%s/export.json", x->target.path)
		     : RP_OK;
}

/* Everything between the birth of the partial folder and its publication. */
static uint32_t fill_target(struct exporting *x, struct rp_error *err)
{
	uint32_t rc;

	x->manifest = manifest_new(&x->point);
	if (!x->manifest)
		return rp_fail_os(err, -ENOMEM, "write", "manifest");
	rc = open_disks(x, err);
	if (rc == RP_OK)
		rc = export_configs(x, err);
	if (rc == RP_OK && x->count)
		rc = copy_streams(x->streams, x->count, x->options->io, &x->watch, err);
	if (rc == RP_OK)
		rc = write_manifest(x, err);
	return rc;
}

static void close_disks(struct exporting *x)
{
	for (size_t i = 0; i < x->count; i++) {
		io_file_close(&x->streams[i].src);
		io_file_close(&x->streams[i].dst);
		if (x->streams[i].leaves.fd >= 0)
			close(x->streams[i].leaves.fd);
		free(x->disks[i].src_path);
		free(x->disks[i].dst_path);
	}
	free(x->streams);
	free(x->disks);
	json_decref(x->manifest);
}

static char *make_report(const struct exporting *x, const char *path)
{
	_cleanup_doc_ json_t *report = json_pack(
		"{s:i, s:s, s:s, s:f}", "ReturnValue", 0, "Job", x->job.id, "ExportPath",
		path, "Seconds", (double)(watch_now_ns() - x->watch.begin_ns) / 1e9);

	if (!report || json_object_update(report, x->manifest) < 0)
		return NULL;
	return doc_text(report);
}

/* With the point locked. */
static uint32_t run(struct exporting *x, const char *directory, char **ret_report,
		    struct rp_error *err)
{
	_cleanup_free_ char *path = NULL;
	char *report = NULL;
	uint32_t rc;
	int r;

	rc = target_open(directory, x->point.system, x->point.id, &x->watch,
			 x->store->busy_ms, &x->target, err);
	if (rc)
		return rc;
	rc = fill_target(x, err);
	if (rc == RP_OK && ret_report) {
		path = strdup(x->target.path);
		report = path ? make_report(x, path) : NULL;
		if (!report)
			rc = rp_fail_os(err, -ENOMEM, "export", "%s", x->target.path);
	}
	if (rc == RP_OK) {
		watch_phase(&x->watch, "publishing");
		r = watch_tick(&x->watch); /* the last chance to stop it */
		rc = r < 0 ? watch_fail(&x->watch, r, err)
			   : target_publish(&x->target, err);
	}
	close_disks(x);
	target_discard(&x->target);
	if (rc)
		free(report);
	else if (ret_report)
		*ret_report = report;
	return rc;
}

/*
 * The record is there so that what a killed export leaves is found. A store that is
 * full or read-only must not keep anybody from getting the data out of it.
 */
static uint32_t begin_job(struct exporting *x, const char *directory,
			  struct rp_error *err)
{
	_cleanup_close_ int fd = io_dir_open(AT_FDCWD, directory);
	uint32_t rc;

	if (fd < 0)
		return rp_fail_os(err, fd, "open", "export directory %s", directory);
	if (store_holds(x->store, fd))
		return rp_fail(err, RP_INVALID_PARAMETER, "check",
			       "export directory %s: lies in the store, which sweeps it",
			       directory);
	rc = job_begin(x->store, x->point.system, x->point.id, directory, &x->job, err);
	if (rc != RP_FAILED && rc != RP_ACCESS_DENIED)
		return rc;
	watch_warn(&x->watch, "no record of this export: %s", err->message);
	rp_error_clear(err);
	return RP_OK;
}

static uint32_t check_arguments(const struct rp_store *store, const char *directory,
				const struct rp_export_options *o, struct rp_error *err)
{
	if (!store)
		return rp_fail(err, RP_INVALID_PARAMETER, "check", "store is NULL");
	if (!directory || directory[0] != '/')
		return rp_fail(err, RP_INVALID_PARAMETER, "check",
			       "export directory '%s': not an absolute path",
			       directory ?: "");
	if (!doc_is_text(directory))
		return rp_fail(err, RP_INVALID_PARAMETER, "check",
			       "export directory '%s': not UTF-8", directory);
	if (o->size < sizeof(*o) || (o->watch && o->watch->size < sizeof(*o->watch)))
		return rp_fail(err, RP_INVALID_PARAMETER, "check",
			       "options.size or its watch's is not set");
	if (o->disk_count && !o->disks)
		return rp_fail(err, RP_INVALID_PARAMETER, "check",
			       "options.disks is NULL");
	if ((unsigned)o->digest >= ARRAY_SIZE(digest_modes) ||
	    (unsigned)o->clone > RP_CLONE_ALWAYS || (unsigned)o->io > RP_IO_SYNC)
		return rp_fail(err, RP_INVALID_PARAMETER, "check",
			       "options: io, clone or digest is not a value of its type");
	return RP_OK;
}

static uint32_t export_point(struct rp_store *store, const char *point,
			     const char *directory,
			     const struct rp_export_options *options, char **ret_report,
			     struct rp_error *err)
{
	struct exporting x = {.store = store, .options = options, .point = POINT_NONE};
	uint32_t rc;

	rc = check_arguments(store, directory, options, err);
	if (rc)
		return rc;
	watch_init(&x.watch, options->watch, options->timeout_ms);
	rc = point_open(store, point, POINT_SHARED,
			watch_left_ms(&x.watch, store->busy_ms), &x.point, err);
	if (rc)
		return rc;
	rc = check_disks(&x, err);
	if (rc == RP_OK)
		rc = begin_job(&x, directory, err);
	if (rc == RP_OK) {
		rc = run(&x, directory, ret_report, err);
		job_end(&x.job, rc, err);
	}
	if (rc)
		rp_fail_of(err, x.point.system, NULL);
	point_close(&x.point);
	return rc;
}

static uint32_t export_by_settings(struct rp_store *store, const char *point,
				   const char *directory,
				   const struct rp_export_options *given,
				   char **ret_report, struct rp_error *err)
{
	struct rp_export_options options = {.size = sizeof(options),
					    .watch = given->watch};
	struct settings settings;
	uint32_t rc;

	rc = settings_parse(given->settings, &settings, err);
	if (rc)
		return rc;
	options.disks = (const char *const *)settings.disks;
	options.disk_count = settings.disk_count;
	options.io = settings.io;
	options.clone = settings.clone;
	options.digest = settings.digest;
	options.timeout_ms = settings.timeout_ms;
	if (settings.base)
		rc = rp_fail(
			err, RP_NOT_SUPPORTED, "settings",
			"BaseReferencePoint: differential exports are not supported in "
			"this version");
	else
		rc = export_point(store, point, directory, &options, ret_report, err);
	settings_free(&settings);
	return rc;
}

uint32_t rp_export(struct rp_store *store, const char *point, const char *directory,
		   const struct rp_export_options *options, char **ret_report,
		   struct rp_error *reterr)
{
	static const struct rp_export_options defaults = {.size = sizeof(defaults)};
	struct rp_error own, *err = reterr ?: &own; /* the job's record wants it */

	rp_error_clear(err);
	options = options ?: &defaults;
	if (options->size >= sizeof(*options) && options->settings)
		return export_by_settings(store, point, directory, options, ret_report,
					  err);
	return export_point(store, point, directory, options, ret_report, err);
}

uint32_t rp_export_reference_point(struct rp_store *store, const char *reference_point,
				   const char *export_directory,
				   const char *export_setting_data,
				   struct rp_job **ret_job, struct rp_error *reterr)
{
	const struct rp_export_options options = {.size = sizeof(options),
						  .settings = export_setting_data ?: ""};

	rp_error_clear(reterr);
	if (ret_job)
		return rp_fail(reterr, RP_NOT_SUPPORTED, "job",
			       "asynchronous exports are not supported in this version");
	return rp_export(store, reference_point, export_directory, &options, NULL,
			 reterr);
}
