/* SPDX-License-Identifier: MIT */
/*
 * taken.c - from a disk to its clone
 */
#include "taken.h"

#include <endian.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "io/clock.h"
#include "io/clone.h"
#include "io/extent.h"
#include "io/fs.h"
#include "io/small_file.h"
#include "io/tree.h"
#include "io/writes.h"
#include "qcow2.h"
#include "share.h"
#include "watch.h"

/* Writers wait about this long per extent while a file is cloned (H20). */
#define STALL_US_BTRFS	     10
#define STALL_US_OTHER	     20
#define STALL_US_REVERSE_MAP 60

#define CLONE_TRIES 5

uint32_t taken_open(struct taken *d, int dirfd, struct rp_error *err)
{
	struct stream *s = &d->stream;
	int r;

	snprintf(d->file, sizeof(d->file), "%s.raw", d->id);
	s->disk = d->id;
	s->src_path = d->path;
	s->dst_path = d->file;
	s->clone = RP_CLONE_NEVER; /* when the stream is run, cloning has been tried */
	r = io_file_open_read(AT_FDCWD, d->path, &s->src);
	if (r < 0)
		return stream_fail(s, r, "open", d->path, RP_NO_OFFSET, err);
	if (s->src.device) {
		/* A device that is mounted is being written to. */
		d->exclusive_fd = open(d->path, O_RDONLY | O_EXCL | O_CLOEXEC);
		if (d->exclusive_fd < 0)
			return stream_fail(s, -errno, "open", d->path, RP_NO_OFFSET, err);
	}
	r = io_file_create(dirfd, d->file, s->src.fd, &s->dst);
	if (r < 0)
		return stream_fail(s, r, "create reference point file", d->file,
				   RP_NO_OFFSET, err);
	return RP_OK;
}

void taken_close(struct taken *d)
{
	io_file_close(&d->stream.src);
	io_file_close(&d->stream.dst);
	if (d->exclusive_fd >= 0)
		close(d->exclusive_fd);
	d->exclusive_fd = -1;
}

/* What warns of a stall, and what shows that a clone is complete. */
static void survey(struct taken *d)
{
	const struct stream *s = &d->stream;

	d->extents_known = io_survey_extents(s->src.fd, s->src.size, &d->extents,
					     &d->last_data) == 0;
}

/* Asks the server, too: what is remembered of a file (NFS, FUSE) may be a minute old. */
static int look_at(const struct taken *d, struct stat *ret)
{
	int fd = d->stream.src.fd;
	struct statx now;

	statx(fd, "", AT_EMPTY_PATH | AT_STATX_FORCE_SYNC, STATX_BASIC_STATS, &now);
	return fstat(fd, ret) < 0 ? -errno : 0;
}

/* A file system that is never written to (squashfs) has no sync, and nothing for it. One
 * that became read-only on an error (EROFS) may have. */
static int sync_source(int fd)
{
	int r = io_fsync(fd);

	return r == -EINVAL ? 0 : r;
}

uint32_t taken_prepare(struct taken *d, struct rp_error *err)
{
	struct stream *s = &d->stream;
	int r = sync_source(s->src.fd);

	if (r < 0)
		return stream_fail(s, r, "sync", d->path, RP_NO_OFFSET, err);
	r = look_at(d, &d->before);
	if (r < 0)
		return stream_fail(s, r, "stat", d->path, RP_NO_OFFSET, err);
	if (s->src.device) {
		if (io_count_writes(s->src.fd, &d->writes) < 0)
			d->writes = UINT64_MAX;
		d->counted = d->writes != UINT64_MAX && io_writes_are_counted(s->src.fd);
		return RP_OK;
	}
	s->src.size = (uint64_t)d->before.st_size; /* it may have grown since */
	survey(d);
	return RP_OK;
}

/* No more of it is read than that: reserved space that is in the page cache is taken for
 * data by SEEK_DATA. */
const char *taken_needs(const struct taken *d)
{
	int fd = d->stream.src.fd, r;
	bool backing, data_file;
	struct qcow2_header h;
	uint64_t start;

	if (io_seek_data(fd, 0, d->stream.src.size, &start) < 0 || start > 0)
		return NULL;
	posix_fadvise(fd, 0, 0, POSIX_FADV_RANDOM);
	r = io_pread_all(fd, &h, sizeof(h), 0);
	posix_fadvise(fd, 0, 0, POSIX_FADV_NORMAL);
	if (r < 0 || be32toh(h.magic) != QCOW2_MAGIC)
		return NULL;
	backing = h.base_at != 0;
	data_file = be32toh(h.version) >= QCOW2_VERSION &&
		    be64toh(h.incompatible) & QCOW2_DATA_FILE;
	if (data_file)
		return backing ? "a backing file and an external data file"
			       : "an external data file";
	return backing ? "a backing file" : NULL;
}

uint64_t taken_stall_ms(const struct taken *d)
{
	int fd = d->stream.src.fd;
	uint64_t us = STALL_US_OTHER;
	struct io_xfs xfs;

	if (io_fs_is(fd, BTRFS_SUPER_MAGIC))
		us = STALL_US_BTRFS;
	else if (io_xfs_of(fd, &xfs) == 0 && xfs.reverse_map)
		us = STALL_US_REVERSE_MAP;
	return d->extents_known ? d->extents * us / 1000 : 0;
}

static uint32_t refuse_copy(const struct taken *d, struct rp_error *err)
{
	if (d->stream.src.device)
		rp_fail_disk(
			err, d->id, RP_NO_OFFSET, RP_NOT_SUPPORTED, "clone",
			"clone %s: a block device cannot be cloned; a stopped machine's may be "
			"copied (allow copy)",
			d->path);
	else
		rp_fail_disk(
			err, d->id, RP_NO_OFFSET, RP_NOT_SUPPORTED, "clone",
			"clone %s: no FICLONE from there to the store: %s; a stopped machine's "
			"disk may be copied (allow copy)",
			d->path, strerrordesc_np(-d->refusal));
	if (err)
		err->os_error = -d->refusal;
	return RP_NOT_SUPPORTED;
}

uint32_t taken_clone(struct taken *d, bool allow_copy, struct rp_error *err)
{
	struct stream *s = &d->stream;
	uint64_t begin = io_now_ns();
	int r = s->src.device ? -EOPNOTSUPP : io_clone_file(s->src.fd, s->dst.fd);

	if (r < 0 && !io_clone_refused(r)) /* H18: no time to fall back */
		return stream_fail(s, r, "clone", d->path, RP_NO_OFFSET, err);
	if (r < 0) {
		d->refusal = r;
		if (s->src.device)
			stream_because(s, "a block device cannot be cloned");
		else
			stream_because(s, "FICLONE: %s", strerrordesc_np(-r));
		/* A limit of the size looks like that, too; and a copy wants it set. */
		r = io_file_set_size(&s->dst, s->src.size);
		if (r < 0)
			return stream_fail(s, r, "resize", s->dst_path, RP_NO_OFFSET,
					   err);
		return allow_copy ? RP_OK : refuse_copy(d, err);
	}
	d->clone_ms = (double)(io_now_ns() - begin) / 1e6;
	d->cloned = true;
	stream_because(s, "same file system, blocks shared by FICLONE");
	return RP_OK;
}

static bool unchanged(const struct taken *d)
{
	struct stat now;

	return look_at(d, &now) == 0 && now.st_size == d->before.st_size &&
	       now.st_mtim.tv_sec == d->before.st_mtim.tv_sec &&
	       now.st_mtim.tv_nsec == d->before.st_mtim.tv_nsec;
}

/* A clone that stopped half-way lacks its end. A running guest may have discarded the
 * last data meanwhile; then the source lacks it too. */
static int check_end(const struct taken *d)
{
	const struct stream *s = &d->stream;
	int r;

	if (!d->extents_known || d->last_data == UINT64_MAX)
		return 0;
	r = io_has_data_from(s->dst.fd, d->last_data, s->dst.size);
	if (r != 0)
		return r < 0 ? r : 0;
	r = io_has_data_from(s->src.fd, d->last_data, s->src.size);
	return r == 1 ? -EAGAIN : r;
}

static int check_clone(struct taken *d)
{
	struct stat st;
	int r;

	r = io_fsync(d->stream.dst.fd);
	if (r < 0)
		return r;
	if (fstat(d->stream.dst.fd, &st) < 0)
		return -errno;
	d->stream.dst.size = (uint64_t)st.st_size;
	if (!unchanged(d))
		return check_end(d);
	r = share_check(d->stream.src.fd, d->stream.dst.fd, (uint64_t)d->before.st_size);
	/* What was written to while it was looked at need not be as its clone. */
	return r < 0 && !unchanged(d) ? check_end(d) : r;
}

static int clone_again(struct taken *d)
{
	struct stream *s = &d->stream;

	survey(d);
	if (ftruncate(s->dst.fd, 0) < 0)
		return -errno;
	return io_clone_file(s->src.fd, s->dst.fd);
}

uint32_t taken_check(struct taken *d, struct rp_error *err)
{
	int r = check_clone(d);

	/* Or what was discarded was written again: another clone will show. */
	for (unsigned i = 0; r == -EAGAIN && i < CLONE_TRIES; i++) {
		r = clone_again(d);
		if (r == 0)
			r = check_clone(d);
	}
	if (r == -EAGAIN)
		r = -EIO;
	return r < 0 ? stream_fail(&d->stream, r, "check clone", d->path, RP_NO_OFFSET,
				   err)
		     : RP_OK;
}

/* What could be counted before and cannot be now is nothing to rely on. */
static bool was_written(const struct taken *d)
{
	uint64_t writes;

	return d->writes != UINT64_MAX &&
	       (io_count_writes(d->stream.src.fd, &writes) < 0 || writes != d->writes);
}

bool taken_disturbed(const struct taken *d, bool failed)
{
	struct stat now;

	if (d->stream.src.device)
		return !failed && was_written(d);
	if (failed)
		return look_at(d, &now) == 0 && now.st_size < d->before.st_size;
	return !unchanged(d);
}

uint32_t taken_confirm(const struct taken *d, struct rp_error *err)
{
	struct stat now;

	if (stat(d->path, &now) == 0 && now.st_dev == d->before.st_dev &&
	    now.st_ino == d->before.st_ino)
		return RP_OK;
	return rp_fail_disk(
		err, d->id, RP_NO_OFFSET, RP_IN_USE, "check",
		"check %s: it was replaced by another file, or removed, meanwhile",
		d->path);
}

uint32_t taken_protect(struct taken *d, struct rp_error *err)
{
	int fd = d->stream.dst.fd, r;

	r = fchmod(fd, 0400) < 0 ? -errno : io_fsync(fd);
	if (r < 0)
		return stream_fail(&d->stream, r, "protect", d->file, RP_NO_OFFSET, err);
	d->immutable = io_set_immutable(fd, true) == 0;
	return RP_OK;
}

json_t *taken_describe(const struct taken *d)
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
