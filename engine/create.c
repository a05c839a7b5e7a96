/* SPDX-License-Identifier: MIT */
/*
 * create.c - taking a reference point
 *
 *	open all disks ──> fsync, count extents ──> FICLONE each ──> copy the rest
 *	(if allowed) ──> protect ──> point.json ──> one rename
 *
 * The guest's writers wait while a disk is cloned, so everything that can be done
 * before is done before, and the clones follow each other directly.
 */
#include <fcntl.h>
#include <linux/magic.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#include "config.h"
#include "copy.h"
#include "doc.h"
#include "io/clone.h"
#include "io/extent.h"
#include "io/tree.h"
#include "point.h"
#include "share.h"

/* Writers wait about this long per extent while a file is cloned (H20). */
#define STALL_US_BTRFS 10
#define STALL_US_OTHER 20
#define STALL_WARN_MS  500

/* One disk on its way into the point. */
struct taken {
	const char *id, *path; /* borrowed from the system */
	char file[NAME_SIZE + 8];
	struct stream stream;
	struct stat before; /* of the source, to see that it did not change */
	uint64_t extents;
	bool extents_known;
	bool cloned;
	double clone_ms;
	bool immutable;
	int refusal; /* why it could not be cloned */
};

struct taking {
	struct rp_store *store;
	const struct rp_create_options *options;
	struct system system;
	char id[ID_SIZE];
	int fd; /* pending/UUID; locked */
	struct taken *disks;
	size_t disk_count;
	json_t *warnings, *configs;
	struct watch watch;
};

static uint32_t open_disk(struct taking *t, struct taken *d, struct rp_error *err)
{
	struct stream *s = &d->stream;
	int r;

	s->disk = d->id;
	s->src_path = d->path;
	s->dst_path = d->file;
	s->clone = RP_CLONE_NEVER; /* when a stream is run, cloning has been tried */
	r = io_file_open_read(AT_FDCWD, d->path, &s->src);
	if (r < 0)
		return stream_fail(s, r, "open", d->path, RP_NO_OFFSET, err);
	if (s->src.device) {
		/* A device that is mounted here is being written to. */
		_cleanup_close_ int excl = open(d->path, O_RDONLY | O_EXCL | O_CLOEXEC);

		if (excl < 0)
			return stream_fail(s, -errno, "open", d->path, RP_NO_OFFSET, err);
	}
	r = io_file_create(t->fd, d->file, io_is_nocow(s->src.tail_fd), &s->dst);
	if (r < 0)
		return stream_fail(s, r, "create", d->file, RP_NO_OFFSET, err);
	return RP_OK;
}

static void warn(struct taking *t, const char *text)
{
	watch_warn(&t->watch, "%s", text);
	json_array_append_new(t->warnings, json_string(text));
}

static void warn_of_stall(struct taking *t, const struct taken *d)
{
	uint64_t us = STALL_US_OTHER, ms;
	struct statfs fs;
	char text[256];

	if (fstatfs(d->stream.src.tail_fd, &fs) == 0 && fs.f_type == BTRFS_SUPER_MAGIC)
		us = STALL_US_BTRFS;
	ms = d->extents * us / 1000;
	if (ms < STALL_WARN_MS)
		return;
	snprintf(text, sizeof(text),
		 "%s: %llu extents: a running guest's writes will wait for about %.1f s; "
		 "defragment the image, or set an extent size hint",
		 d->id, (unsigned long long)d->extents, (double)ms / 1000);
	warn(t, text);
}

/* What makes the clone long is done now: dirty pages out, extents counted. */
static uint32_t prepare_disk(struct taking *t, struct taken *d, struct rp_error *err)
{
	int r = io_fsync(d->stream.src.tail_fd);

	if (r < 0)
		return stream_fail(&d->stream, r, "sync", d->path, RP_NO_OFFSET, err);
	d->extents_known = io_count_extents(d->stream.src.tail_fd, &d->extents) == 0;
	if (d->extents_known && !d->stream.src.device)
		warn_of_stall(t, d);
	if (fstat(d->stream.src.tail_fd, &d->before) < 0)
		return stream_fail(&d->stream, -errno, "stat", d->path, RP_NO_OFFSET,
				   err);
	return RP_OK;
}

static bool unchanged(const struct taken *d)
{
	struct stat now;

	return fstat(d->stream.src.tail_fd, &now) == 0 &&
	       now.st_size == d->before.st_size &&
	       now.st_mtim.tv_sec == d->before.st_mtim.tv_sec &&
	       now.st_mtim.tv_nsec == d->before.st_mtim.tv_nsec;
}

static uint32_t refuse_copy(const struct taken *d, struct rp_error *err)
{
	if (d->stream.src.device)
		rp_fail(err, RP_NOT_SUPPORTED, "clone",
			"clone %s: a block device cannot be cloned; a stopped machine's may be "
			"copied (allow copy)",
			d->path);
	else
		rp_fail(err, RP_NOT_SUPPORTED, "clone",
			"clone %s: no FICLONE from there to the store: %s; a stopped machine's "
			"disk may be copied (allow copy)",
			d->path, strerrordesc_np(-d->refusal));
	if (err)
		err->os_error = -d->refusal;
	rp_fail_of(err, NULL, d->id);
	return RP_NOT_SUPPORTED;
}

/* H18: only a refusal may be answered by copying, and a clone is looked at. */
static uint32_t clone_disk(struct taking *t, struct taken *d, struct rp_error *err)
{
	struct stream *s = &d->stream;
	uint64_t begin = watch_now_ns();
	int r = s->src.device ? -EOPNOTSUPP
			      : io_clone_file(s->src.tail_fd, s->dst.tail_fd);

	if (r < 0 && !io_clone_refused(r))
		return stream_fail(s, r, "clone", d->path, RP_NO_OFFSET, err);
	if (r < 0) {
		d->refusal = r;
		if (s->src.device)
			stream_because(s, "a block device cannot be cloned");
		else
			stream_because(s, "FICLONE: %s", strerrordesc_np(-r));
		return t->options->allow_copy ? RP_OK : refuse_copy(d, err);
	}
	d->clone_ms = (double)(watch_now_ns() - begin) / 1e6;
	d->cloned = true;
	stream_because(s, "same file system, blocks shared by FICLONE");
	return RP_OK;
}

static uint32_t check_clone(struct taken *d, struct rp_error *err)
{
	struct stat st;
	int r = fstat(d->stream.dst.tail_fd, &st) < 0 ? -errno : 0;

	if (r == 0) {
		d->stream.dst.size = (uint64_t)st.st_size;
		r = io_fsync(d->stream.dst.tail_fd);
	}
	/* A running guest's disk cannot be compared any more. */
	if (r == 0 && unchanged(d)) {
		r = share_check(d->stream.src.tail_fd, d->stream.dst.tail_fd,
				(uint64_t)d->before.st_size);
		if (!unchanged(d))
			r = 0;
	}
	return r < 0 ? stream_fail(&d->stream, r, "check clone", d->path, RP_NO_OFFSET,
				   err)
		     : RP_OK;
}

/* Whether it was written to while it was copied. Of a copy that failed that is the
 * reason only if the disk was cut. */
static bool is_disturbed(const struct taken *d, bool failed)
{
	struct stat now;

	if (d->stream.src.device)
		return false;
	if (failed)
		return fstat(d->stream.src.tail_fd, &now) == 0 &&
		       (uint64_t)now.st_size < d->stream.src.size;
	return !unchanged(d) || (uint64_t)d->before.st_size != d->stream.src.size;
}

/* The disks that could not be cloned, together through the engine. */
static uint32_t copy_disks(struct taking *t, struct rp_error *err)
{
	_cleanup_free_ struct stream *streams = calloc(t->disk_count, sizeof(*streams));
	size_t n = 0;
	uint32_t rc;

	if (!streams)
		return rp_fail_os(err, -ENOMEM, "copy", "disks");
	for (size_t i = 0; i < t->disk_count; i++) {
		struct stream *s = &t->disks[i].stream;
		int r = t->disks[i].cloned ? 0 : io_file_set_size(&s->dst, s->src.size);

		if (r < 0)
			return stream_fail(s, r, "resize", s->dst_path, RP_NO_OFFSET,
					   err);
		if (!t->disks[i].cloned)
			streams[n++] = *s;
	}
	if (n == 0)
		return RP_OK;
	rc = copy_streams(streams, n, t->options->io, &t->watch, err);
	for (size_t i = 0, k = 0; i < t->disk_count; i++) {
		struct taken *d = &t->disks[i];

		if (d->cloned)
			continue;
		d->stream = streams[k++];
		if (!is_disturbed(d, rc != RP_OK))
			continue;
		rc = rp_fail(err, RP_IN_USE, "copy",
			     "copy %s: it was written to meanwhile; a copy is only for "
			     "stopped machines",
			     d->path);
		rp_fail_of(err, NULL, d->id);
		break;
	}
	return rc;
}

static uint32_t capture_configs(struct taking *t, struct rp_error *err)
{
	_cleanup_close_ int fd = -1;
	bool made;
	json_t *path;
	size_t i;

	fd = io_dir_make(t->fd, "config", &made);
	if (fd < 0)
		return rp_fail_os(err, fd, "mkdir", "config");
	json_array_foreach(json_object_get(t->system.doc, "ConfigFiles"), i, path) {
		const char *from = json_string_value(path),
			   *name = strrchr(from, '/') + 1;
		uint32_t rc = config_copy(AT_FDCWD, from, fd, name, NULL, err);

		if (rc)
			return rc;
		json_array_append_new(t->configs, json_string(name));
	}
	return RP_OK;
}

/* Nobody should write to it by mistake; as far as the file system lets us. */
static uint32_t protect_disk(struct taken *d, struct rp_error *err)
{
	int fd = d->stream.dst.tail_fd, r;

	r = fchmod(fd, 0400) < 0 ? -errno : io_fsync(fd);
	if (r < 0)
		return stream_fail(&d->stream, r, "protect", d->file, RP_NO_OFFSET, err);
	d->immutable = io_set_immutable(fd, true) == 0;
	return RP_OK;
}

static uint32_t take_disks(struct taking *t, struct rp_error *err)
{
	uint32_t rc = RP_OK;
	size_t i;

	for (i = 0; rc == RP_OK && i < t->disk_count; i++)
		rc = open_disk(t, &t->disks[i], err);
	for (i = 0; rc == RP_OK && i < t->disk_count; i++)
		rc = prepare_disk(t, &t->disks[i], err);
	for (i = 0; rc == RP_OK && i < t->disk_count; i++)
		rc = clone_disk(t, &t->disks[i], err);
	for (i = 0; rc == RP_OK && i < t->disk_count; i++)
		if (t->disks[i].cloned)
			rc = check_clone(&t->disks[i], err);
	if (rc == RP_OK)
		rc = copy_disks(t, err);
	for (i = 0; rc == RP_OK && i < t->disk_count; i++)
		rc = protect_disk(&t->disks[i], err);
	return rc;
}

static json_t *describe_disk(const struct taken *d)
{
	uint64_t allocated = 0;

	io_file_allocated(&d->stream.dst, &allocated);
	return json_pack(
		"{s:s, s:s, s:s, s:I, s:I, s:o, s:o, s:s, s:s, s:b, s:b}", "DiskId",
		d->id, "SourcePath", d->path, "File", d->file, "VirtualSize",
		(json_int_t)d->stream.dst.size, "AllocatedBytes", (json_int_t)allocated,
		"Extents",
		d->extents_known ? json_integer((json_int_t)d->extents) : json_null(),
		"CloneMilliseconds", d->cloned ? json_real(d->clone_ms) : json_null(),
		"Method", d->cloned ? "clone" : "copy", "MethodReason", d->stream.reason,
		"ReadOnly", true, "Immutable", d->immutable);
}

static const char *consistency(const struct taking *t)
{
	for (size_t i = 0; i < t->disk_count; i++)
		if (!t->disks[i].cloned)
			return "consistent only if the machine was stopped";
	return t->disk_count == 1 ? "crash consistent" : "crash consistent per disk";
}

static int describe(const struct taking *t, json_t **ret)
{
	_cleanup_doc_ json_t *doc = doc_new();
	json_t *disks = json_array(), *ids = json_array(), *tracking = json_array();
	char now[DOC_TIME_SIZE], tracking_id[ID_SIZE];
	uint64_t sequence;
	int r = point_next_sequence(&t->system, &sequence);

	for (size_t i = 0; r == 0 && i < t->disk_count; i++) {
		id_new(tracking_id);
		if (json_array_append_new(disks, describe_disk(&t->disks[i])) < 0 ||
		    json_array_append_new(ids, json_string(t->disks[i].id)) < 0 ||
		    json_array_append_new(tracking, json_string(tracking_id)) < 0)
			r = -ENOMEM;
	}
	doc_time(now);
	if (!doc || json_object_set_new(doc, "Disks", disks) < 0 ||
	    json_object_set_new(doc, "VirtualDiskIdentifiers", ids) < 0 ||
	    json_object_set_new(doc, "ResilientChangeTrackingIdentifiers", tracking) <
		    0 ||
	    json_object_set(doc, "ConfigFiles", t->configs) < 0 ||
	    json_object_set(doc, "Warnings", t->warnings) < 0)
		return -ENOMEM;
	if (r == 0 &&
	    json_object_update_new(
		    doc,
		    json_pack("{s:s, s:s, s:i, s:i, s:s, s:s, s:I, s:s?, s:b}",
			      "InstanceID", t->id, "VirtualSystemIdentifier",
			      t->system.name, "ReferencePointType", 2, "ConsistencyLevel",
			      2, "Consistency", consistency(t), "CreationTime", now,
			      "Sequence", (json_int_t)sequence, "Label",
			      t->options->label, "HasAssociatedData", true)) < 0)
		r = -ENOMEM;
	if (r == 0)
		*ret = take_ptr(doc);
	return r;
}

/* From pending/ to where it is found; everything in it is on stable storage. */
static uint32_t publish(struct taking *t, struct rp_error *err)
{
	_cleanup_doc_ json_t *doc = NULL;
	int r = describe(t, &doc);

	if (r == 0)
		r = doc_save(t->fd, "point.json", doc); /* syncs the folder too */
	if (r == 0)
		r = io_rename_new(t->store->pending_fd, t->id, t->system.points_fd,
				  t->id);
	if (r == 0)
		r = io_fsync(t->system.points_fd);
	return r < 0 ? rp_fail_os(err, r, "publish", "reference point %s@%s",
				  t->system.name, t->id)
		     : RP_OK;
}

static uint32_t take(struct taking *t, struct rp_error *err)
{
	uint32_t rc;

	t->disk_count = system_disk_count(&t->system);
	t->disks = calloc(t->disk_count, sizeof(*t->disks));
	t->warnings = json_array();
	t->configs = json_array();
	if (!t->disks || !t->warnings || !t->configs)
		return rp_fail_os(err, -ENOMEM, "create", "reference point of %s",
				  t->system.name);
	for (size_t i = 0; i < t->disk_count; i++) {
		struct taken *d = &t->disks[i];

		d->stream.src = (struct io_file)IO_FILE_NONE;
		d->stream.dst = (struct io_file)IO_FILE_NONE;
		system_disk(&t->system, i, &d->id, &d->path);
		snprintf(d->file, sizeof(d->file), "%s.raw", d->id);
	}
	rc = store_birth(t->store, t->store->pending_fd, t->id, &t->fd, err);
	if (rc)
		return rc;
	rc = capture_configs(t, err);
	if (rc == RP_OK)
		rc = take_disks(t, err);
	if (rc == RP_OK)
		rc = publish(t, err);
	if (rc)
		io_tree_remove(t->store->pending_fd, t->id);
	return rc;
}

static void taking_close(struct taking *t)
{
	for (size_t i = 0; t->disks && i < t->disk_count; i++) {
		io_file_close(&t->disks[i].stream.src);
		io_file_close(&t->disks[i].stream.dst);
	}
	free(t->disks);
	json_decref(t->warnings);
	json_decref(t->configs);
	if (t->fd >= 0)
		close(t->fd);
	system_close(&t->system);
}

static uint32_t check_options(const struct rp_create_options *options,
			      struct rp_error *err)
{
	_cleanup_doc_ json_t *label = NULL;

	if (options->size < sizeof(*options))
		return rp_fail(err, RP_INVALID_PARAMETER, "check",
			       "options.size is not set");
	if ((unsigned)options->io > RP_IO_SYNC)
		return rp_fail(err, RP_INVALID_PARAMETER, "check",
			       "options: io is not a value of its type");
	if (options->label && strlen(options->label) > 255)
		return rp_fail(err, RP_INVALID_PARAMETER, "check",
			       "label: longer than 255 bytes");
	label = options->label ? json_string(options->label) : json_null();
	if (!label)
		return rp_fail(err, RP_INVALID_PARAMETER, "check", "label: not UTF-8");
	return RP_OK;
}

uint32_t rp_create_reference_point(struct rp_store *store, const char *system,
				   const struct rp_create_options *options,
				   char **ret_point, struct rp_error *reterr)
{
	static const struct rp_create_options defaults = {.size = sizeof(defaults)};
	struct taking t = {.store = store, .system = SYSTEM_NONE, .fd = -1};
	char *name = NULL;
	uint32_t rc;

	rp_error_clear(reterr);
	if (!store || !ret_point)
		return rp_fail(reterr, RP_INVALID_PARAMETER, "check",
			       "an argument is NULL");
	t.options = options ?: &defaults;
	rc = check_options(t.options, reterr);
	if (rc)
		return rc;
	watch_init(&t.watch, t.options->watch, 0);
	rc = system_open(store, system, true, &t.system, reterr);
	if (rc == RP_OK)
		rc = take(&t, reterr);
	if (rc == RP_OK && asprintf(&name, "%s@%s", system, t.id) < 0)
		rc = rp_fail_os(reterr, -ENOMEM, "create", "reference point of %s",
				system);
	taking_close(&t);
	if (rc)
		return rp_fail_of(reterr, system, NULL), rc;
	*ret_point = name;
	return RP_OK;
}
