/* SPDX-License-Identifier: MIT */
/*
 * restore.c - one exported disk to a new file, atomically, or to a block device
 */
#include <fcntl.h>
#include <limits.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "chain_disk.h"
#include "copy.h"
#include "doc.h"
#include "io/tree.h"
#include "manifest.h"
#include "salvage.h"

/* Where the disk goes. A file is written as .NAME.partial beside it, locked while
 * that runs, so that one left by a dead process can be told from one in work. */
struct output {
	const char *path, *name;
	char *real; /* path, if what was given is a link */
	bool exists;
	struct stat old; /* if it exists */
	char partial[NAME_MAX + 1];
	int dirfd;
	bool device, replace;
	bool made; /* the partial file is ours */
};

/* A link is followed: what it leads to is replaced, not the link. */
static uint32_t follow_link(struct output *o, const char *path, struct rp_error *err)
{
	struct stat st;

	o->path = path;
	if (lstat(path, &st) < 0 || !S_ISLNK(st.st_mode))
		return RP_OK;
	o->real = realpath(path, NULL);
	if (!o->real && errno == ENOENT)
		return rp_fail(err, RP_INVALID_STATE, "check",
			       "output %s: a link that leads nowhere", path);
	if (!o->real)
		return rp_fail_os(err, -errno, "open", "output %s", path);
	o->path = o->real;
	return RP_OK;
}

/* What is beside it says what it is a part of. */
static bool is_beside(const struct output *o, const char *name)
{
	const char *slash = strrchr(o->path, '/');
	char path[PATH_MAX];

	return (size_t)snprintf(path, sizeof(path), "%.*s/%s", (int)(slash - o->path),
				o->path, name) < sizeof(path) &&
	       faccessat(AT_FDCWD, path, F_OK, 0) == 0;
}

static uint32_t check_replaced(const struct output *o, struct rp_error *err)
{
	_cleanup_close_ int fd = open(o->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);

	if (is_beside(o, "export.json") || is_beside(o, "store.json"))
		return rp_fail(err, RP_INVALID_STATE, "check",
			       "output %s: lies in an export or a store", o->path);
	if (fd >= 0 && io_is_in_use(fd))
		return rp_fail(err, RP_IN_USE, "check",
			       "output %s: is in use, somebody has locked it", o->path);
	return RP_OK;
}

static uint32_t check_existing(struct output *o, struct rp_error *err)
{
	if (stat(o->path, &o->old) < 0)
		return errno == ENOENT
			       ? RP_OK
			       : rp_fail_os(err, -errno, "open", "output %s", o->path);
	o->exists = true;
	o->device = S_ISBLK(o->old.st_mode);
	if (!o->device && !S_ISREG(o->old.st_mode))
		return rp_fail(err, RP_INVALID_PARAMETER, "check",
			       "output %s: not a regular file or block device", o->path);
	if (!o->device && !o->replace)
		return rp_fail(err, RP_INVALID_STATE, "check",
			       "output %s: exists already", o->path);
	return o->device ? RP_OK : check_replaced(o, err);
}

static uint32_t check_output(struct output *o, const char *path, bool replace,
			     struct rp_error *err)
{
	uint32_t rc;

	o->replace = replace;
	if (!path || path[0] != '/' || !doc_is_text(path))
		return rp_fail(err, RP_INVALID_PARAMETER, "check",
			       "output '%s': not an absolute path in UTF-8", path ?: "");
	rc = follow_link(o, path, err);
	if (rc == RP_OK)
		rc = check_existing(o, err);
	if (rc)
		return rc;
	o->name = strrchr(o->path, '/') + 1;
	if (!o->device && (!o->name[0] ||
			   (size_t)snprintf(o->partial, sizeof(o->partial), ".%s.partial",
					    o->name) >= sizeof(o->partial)))
		return rp_fail(err, RP_INVALID_PARAMETER, "check",
			       "output %s: not a usable file name", o->path);
	return RP_OK;
}

/* A regular file that a dead restore left; anything else of the name is not ours. */
static int remove_left(const struct output *o)
{
	_cleanup_close_ int fd = -1;
	struct stat st;
	int r;

	/* Writable, because a network file system wants that for the lock. */
	fd = openat(o->dirfd, o->partial, O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	if (fd < 0)
		return errno == ENOENT ? 0 : -EEXIST;
	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
		return -EEXIST;
	r = io_lock(fd, true, 0);
	if (r < 0 || !io_dir_is_at(o->dirfd, o->partial, fd))
		return r;
	return unlinkat(o->dirfd, o->partial, 0) < 0 ? -errno : 0;
}

/* -EWOULDBLOCK: another restore to the same name runs. */
static int make_partial(struct output *o, int twin_fd, struct io_file *ret)
{
	int r = remove_left(o);

	if (r < 0)
		return r;
	r = io_file_create(o->dirfd, o->partial, twin_fd, ret);
	if (r == -EEXIST)
		return -EWOULDBLOCK;
	if (r < 0)
		return r;
	r = io_lock(ret->tail_fd, true, 0);
	if (r == -EWOULDBLOCK)
		return r;
	/* Between its birth and its lock another may have taken it for one left. */
	o->made = io_dir_is_at(o->dirfd, o->partial, ret->tail_fd);
	return r == 0 && !o->made ? -EWOULDBLOCK : r;
}

static uint32_t open_file(struct output *o, struct stream *s, int twin_fd,
			  struct rp_error *err)
{
	const char *slash = strrchr(o->path, '/');
	_cleanup_free_ char *folder = strndup(o->path, (size_t)(slash - o->path) + 1);
	int r;

	if (!folder)
		return stream_fail(s, -ENOMEM, "create", o->path, RP_NO_OFFSET, err);
	o->dirfd = io_dir_open(AT_FDCWD, folder);
	if (o->dirfd < 0)
		return stream_fail(s, o->dirfd, "open", folder, RP_NO_OFFSET, err);
	r = make_partial(o, twin_fd, &s->dst);
	if (r == 0)
		r = io_file_set_size(&s->dst, stream_size(s));
	return r < 0 ? stream_fail(s, r, "create", o->path, RP_NO_OFFSET, err) : RP_OK;
}

static uint32_t open_device(const struct output *o, struct stream *s,
			    struct rp_error *err)
{
	int r = io_file_open_device(o->path, &s->dst);

	if (r < 0)
		return stream_fail(s, r, "open", o->path, RP_NO_OFFSET, err);
	if (s->dst.size < stream_size(s)) {
		rp_fail(err, RP_INVALID_PARAMETER, "check",
			"output %s: %" PRIu64 " bytes, the disk has %" PRIu64, o->path,
			s->dst.size, stream_size(s));
		return rp_fail_of(err, NULL, s->disk), RP_INVALID_PARAMETER;
	}
	return RP_OK;
}

/* Who could open the old one must be able to open the new one, after a crash too. */
static int take_owner(const struct output *o, int fd)
{
	if (fchown(fd, o->old.st_uid, o->old.st_gid) < 0 ||
	    fchmod(fd, o->old.st_mode & 07777) < 0)
		return -errno;
	return io_fsync(fd);
}

/* The data is on stable storage; now the name. */
static uint32_t publish(struct output *o, const struct stream *s, struct rp_error *err)
{
	int r = 0;

	if (o->device)
		return RP_OK;
	if (o->exists)
		r = take_owner(o, s->dst.tail_fd);
	if (r < 0)
		return stream_fail(s, r, "set owner of", o->path, RP_NO_OFFSET, err);
	if (o->replace)
		r = renameat(o->dirfd, o->partial, o->dirfd, o->name) < 0 ? -errno : 0;
	else
		r = io_rename_new(o->dirfd, o->partial, o->dirfd, o->name);
	if (r == 0) {
		o->made = false;
		r = io_fsync(o->dirfd);
	}
	return r < 0 ? stream_fail(s, r, "publish", o->path, RP_NO_OFFSET, err) : RP_OK;
}

static json_t *describe(const struct output *o, const struct stream *s)
{
	return json_pack(
		"{s:s, s:s, s:I, s:I, s:I, s:I, s:I, s:s, s:s, s:s?, s:s?, s:b}",
		"DiskId", s->disk, "Output", o->path, "VirtualSize",
		(json_int_t)stream_size(s), "ClonedBytes", (json_int_t)s->cloned_bytes,
		"CopiedBytes", (json_int_t)s->copied_bytes, "ServerCopiedBytes",
		(json_int_t)s->server_bytes, "ZeroBytes",
		(json_int_t)(stream_size(s) - s->data_bytes), "Method", stream_method(s),
		"MethodReason", s->reason, "Backend", s->backend, "BackendReason",
		s->backend ? s->backend_reason : NULL, "DigestChecked", s->digested);
}

/* What is restored, from where, and how. */
struct restore {
	const struct rp_read_options *options;
	struct chain chain;
	struct chain_disk disk; /* if it lies in several files */
	struct salvage salvage; /* if that was asked for */
	struct rp_error cut;	/* why the chain ended before its time, then */
	struct stream stream;
	struct output output;
	struct tuning tuning;
	struct watch watch;
};

static int add_lost(json_t *doc, const struct salvage *s)
{
	return json_object_update_new(
		doc, json_pack("{s:I, s:I, s:O}", "LostBytes", (json_int_t)s->lost_bytes,
			       "LostCount", (json_int_t)s->lost_count, "Lost", s->lost));
}

/* What was shared has not passed: it is read for its digest, if there is one. */
static uint32_t check_shared(struct restore *r, struct rp_error *err)
{
	struct stream *s = &r->stream;
	uint32_t rc;

	if (s->leaves.fd < 0 || s->digested)
		return RP_OK;
	rc = chain_check(&r->chain, 0, 1, s->disk, &r->tuning, &r->watch, err);
	s->digested = rc == RP_OK;
	return rc;
}

static uint32_t run(struct restore *r, char **ret_report, struct rp_error *err)
{
	struct stream *s = &r->stream;
	struct output *o = &r->output;
	_cleanup_doc_ json_t *doc = NULL;
	char *text = NULL;
	int twin_fd = r->disk.count ? r->disk.layer[r->disk.count - 1]->file.tail_fd
				    : s->src.tail_fd;
	uint32_t rc;

	s->clone = r->options->clone;
	s->dst_path = o->path;
	rc = o->device ? open_device(o, s, err) : open_file(o, s, twin_fd, err);
	if (rc == RP_OK)
		rc = copy_streams(s, 1, &r->tuning, &r->watch, err);
	if (rc == RP_OK)
		rc = check_shared(r, err);
	if (rc == RP_OK && ret_report) {
		doc = describe(o, s);
		if (doc && r->options->salvage && add_lost(doc, &r->salvage) < 0)
			json_decref(take_ptr(doc));
		text = doc ? doc_text(doc) : NULL;
		if (!text)
			rc = rp_fail_os(err, -ENOMEM, "restore", "%s", o->path);
	}
	if (rc == RP_OK)
		rc = publish(o, s, err);
	if (o->made)
		io_tree_remove(o->dirfd, o->partial);
	if (rc)
		free(text);
	else if (ret_report)
		*ret_report = text;
	return rc;
}

static uint32_t check_disk(const struct exported *e, const char *id, const json_t **ret,
			   struct rp_error *err)
{
	const json_t *disk = id ? exported_disk(e, id) : NULL;

	if (!disk)
		return rp_fail(err, RP_INVALID_PARAMETER, "check",
			       "disk '%s': not in export %s", id ?: "", e->path);
	*ret = disk;
	return RP_OK;
}

/* What there is of the chain, without what is lost. */
static uint32_t open_salvaged(struct restore *r, const json_t *disk, struct rp_error *err)
{
	struct stream *s = &r->stream;
	struct rp_error cut, own;
	uint32_t rc;

	err = err ?: &own;
	doc_string(disk, "DiskId", &s->disk);
	rc = chain_disk_open_some(&r->chain, s->disk, &r->disk, &cut, err);
	if (rc)
		return rc;
	if (cut.code)
		r->cut = cut;
	if (r->cut.code)
		watch_warn(&r->watch, "%s; what was to come from there is lost",
			   r->cut.message);
	rc = salvage_open(&r->chain, &r->disk, r->cut.code != RP_OK, &r->watch,
			  &r->salvage, err);
	s->src_path = r->chain.paths[0];
	s->from = &r->salvage.layers.source;
	return rc;
}

/*
 * Of a disk in one file what passes is compared with its digest. The files of a chain
 * have a digest each, of which parts show only: they are read as wholes before.
 */
static uint32_t open_source(struct restore *r, const json_t *disk, struct rp_error *err)
{
	const char *id;
	uint32_t rc;

	if (r->options->salvage)
		return open_salvaged(r, disk, err);
	if (!exported_is_differential(disk))
		return exported_open_disk(&r->chain.parts[0], disk, &r->stream, err);
	doc_string(disk, "DiskId", &id);
	r->stream.disk = id;
	rc = chain_disk_open(&r->chain, id, &r->disk, err);
	if (rc == RP_OK)
		rc = chain_check(&r->chain, 0, r->chain.count, id, &r->tuning, &r->watch,
				 err);
	r->stream.src_path = r->chain.paths[0];
	r->stream.from = &r->disk.layers.source;
	return rc;
}

static uint32_t open_chain(struct restore *r, const char *path, const char *disk,
			   struct rp_error *err)
{
	const struct rp_read_options *o = r->options;
	struct rp_error own; /* what ends the chain is known by its error */

	if (!o->salvage)
		return chain_open(path, disk, o->search, o->search_count, &r->chain, err);
	return chain_open_some(path, disk, o->search, o->search_count, &r->chain, &r->cut,
			       err ?: &own);
}

uint32_t rp_restore(const char *export_path, const char *disk, const char *output,
		    const struct rp_read_options *options, char **ret_report,
		    struct rp_error *reterr)
{
	static const struct rp_read_options defaults = {.size = sizeof(defaults)};
	struct restore r = {
		.stream = {.src = IO_FILE_NONE, .dst = IO_FILE_NONE, .leaves.fd = -1},
		.output = {.dirfd = -1},
		.options = options ?: &defaults,
	};
	const json_t *found = NULL;
	uint32_t rc;

	rp_error_clear(reterr);
	rc = exported_check_options(r.options, reterr);
	if (rc)
		return rc;
	watch_init(&r.watch, r.options->watch, 0);
	tuning_init(&r.tuning, r.options->io);
	rc = open_chain(&r, export_path, disk, reterr);
	if (rc == RP_OK)
		rc = check_disk(&r.chain.parts[0], disk, &found, reterr);
	if (rc == RP_OK)
		rc = check_output(&r.output, output, r.options->replace, reterr);
	if (rc == RP_OK)
		rc = open_source(&r, found, reterr);
	if (rc == RP_OK)
		rc = run(&r, ret_report, reterr);
	io_file_close(&r.stream.dst);
	exported_close_disk(&r.stream);
	salvage_close(&r.salvage);
	chain_disk_close(&r.disk);
	if (r.output.dirfd >= 0)
		close(r.output.dirfd);
	free(r.output.real);
	if (rc && r.chain.count)
		rp_fail_of(reterr, r.chain.parts[0].system, NULL);
	chain_close(&r.chain);
	return rc;
}
