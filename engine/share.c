/* SPDX-License-Identifier: MIT */
/*
 * share.c - FICLONERANGE and server-side copy_file_range
 */
#include "share.h"

#include <string.h>
#include <sys/stat.h>

#include "io/clone.h"
#include "io/extent.h"
#include "io/small_file.h"

/* A clone call holds its files' locks: some 100 ms for a fragmented piece. */
#define PIECE (64 * MIB)

/* Disk bytes [start, end): from @at of @file to @to of the destination. */
struct piece {
	uint64_t start, end;
	const struct io_file *file;
	uint64_t at, to;
};

/* Of one plain file to one like it: what is a hole in the piece is cloned as one. */
static int plain_piece(const struct stream *s, uint64_t pos, struct piece *ret)
{
	uint64_t start;
	int r = io_seek_data(s->src.fd, pos, s->src.size, &start);

	if (r < 0)
		return r;
	start = max_u64(round_down(start, max_u64(s->src.block, s->dst.block)), pos);
	*ret = (struct piece){
		.start = start,
		.end = min_u64(start + PIECE, s->src.size),
		.file = &s->src,
		.at = start,
		.to = start,
	};
	return 0;
}

static bool is_plain(const struct stream *s)
{
	return !s->from && !s->place;
}

/*
 * The piece that begins with the first data at or after @pos: block-aligned, or up to the
 * end of the disk. -ENXIO if only a hole is left.
 */
static int next_piece(struct stream *s, uint64_t pos, struct piece *ret)
{
	struct source_range range;
	uint64_t to, placed, end;
	int r;

	if (is_plain(s))
		return plain_piece(s, pos, ret);
	r = stream_next(s, pos, &range);
	if (r == 0)
		r = stream_place(s, range.start, &to, &placed);
	if (r < 0)
		return r;
	/* Of a plain file what has its places in one run is cloned with its holes. */
	end = min_u64(s->from ? range.end : stream_size(s), placed);
	*ret = (struct piece){
		.start = range.start,
		.end = min_u64(end, range.start + PIECE),
		.file = range.file,
		.at = range.at,
		.to = to,
	};
	return 0;
}

/*
 * One piece, or -errno. What is left of the last block when either file goes on behind it
 * cannot be cloned (H17), so it is no part of a larger piece.
 */
static int clone_piece(struct stream *s, struct piece *p)
{
	uint64_t whole = round_down(p->end, s->dst.block);

	if (!is_plain(s) && whole > p->start)
		p->end = whole;
	else if (s->place && whole != p->end)
		return -EINVAL;
	return io_clone_range(p->file->fd, p->at, s->dst.fd, p->to, p->end - p->start);
}

/* What is left of the last block of the disk. */
static bool is_tail(const struct stream *s, const struct piece *p)
{
	return p->end == stream_size(s) && p->end - p->start < s->dst.block;
}

/*
 * Whether a refusal of the piece may be answered by copying: nothing was cloned yet, it
 * is a tail that the file system will not clone (H17), or one of several files cannot be
 * cloned from, because it lies elsewhere or its blocks are other ones.
 */
static bool may_copy(const struct stream *s, int error, const struct piece *p)
{
	return io_clone_refused(error) &&
	       (s->shared_to == 0 || (s->from && (error == -EXDEV || error == -EINVAL)) ||
		(error == -EINVAL && is_tail(s, p)));
}

/* What was found of a file last: to find the end of data takes time, the longer it is and
 * the more extents it has. */
struct found {
	const struct io_file *file;
	uint64_t from, start, end; /* a hole from here, data from there */
};

/* As io_next_data(); data that ends behind @stop is not followed again. */
static int find_data(struct found *f, const struct io_file *file, uint64_t pos,
		     uint64_t stop, uint64_t *ret_start, uint64_t *ret_end)
{
	int r;

	if (f->file != file || pos < f->from || pos >= f->end) {
		r = io_next_data(file->fd, pos, file->size, &f->start, &f->end);
		if (r == -ENXIO)
			f->start = f->end = UINT64_MAX;
		else if (r < 0)
			return r;
		f->file = file;
		f->from = pos;
	}
	*ret_start = max_u64(f->start, pos);
	*ret_end = min_u64(f->end, stop);
	return *ret_start < stop ? 0 : -ENXIO;
}

/* Whether there are only zeros: reserved space that was read is told to be data. */
static int check_zeros(const struct io_file *file, uint64_t pos, uint64_t end)
{
	while (pos < end) {
		char buf[4096];
		size_t len = (size_t)min_u64(end - pos, sizeof(buf));
		int r = io_pread_all(file->fd, buf, len, pos);

		if (r < 0)
			return r;
		if (!is_zero(buf, len))
			return -EIO;
		pos += len;
	}
	return 0;
}

/* Whether bytes [start, end) of the piece's file, which are data, are in the clone. */
static int check_data(const struct stream *s, const struct piece *p, uint64_t start,
		      uint64_t end, struct found *dst)
{
	uint64_t shift = p->to - p->at, from, to;
	int r = 0;

	while (r == 0 && start < end) {
		r = find_data(dst, &s->dst, start + shift, end + shift, &from, &to);
		if (r == -ENXIO)
			return check_zeros(p->file, start, end);
		if (r == 0)
			r = check_zeros(p->file, start, from - shift);
		start = to - shift;
	}
	return r;
}

/* Whether @len bytes of the clone have data where those it was made of have. */
static int check_piece(const struct stream *s, const struct piece *p, uint64_t len,
		       struct found *src, struct found *dst)
{
	uint64_t pos = p->at, stop = p->at + len, start, end;
	int r = 0;

	while (r == 0 && pos < stop &&
	       (r = find_data(src, p->file, pos, stop, &start, &end)) == 0) {
		r = check_data(s, p, start, end, dst);
		pos = end;
	}
	return r == -ENXIO ? 0 : r;
}

/* H18, where files cannot be compared as wholes. */
static int check_pieces(struct stream *s)
{
	struct found src = {0}, dst = {0};
	uint64_t pos = 0;
	struct piece p;
	int r = 0;

	while (r == 0 && pos < s->shared_to && (r = next_piece(s, pos, &p)) == 0) {
		pos = min_u64(p.end, s->shared_to);
		r = check_piece(s, &p, pos - p.start, &src, &dst);
	}
	return r == -ENXIO ? 0 : r;
}

bool share_is_known(int fd, const struct io_fs *fs)
{
	struct io_xfs xfs;

	return fs->type == IO_FS_BTRFS || (io_xfs_of(fd, &xfs) == 0 && xfs.reflink);
}

int share_check(int src, int dst, uint64_t size)
{
	struct stat a, b;
	int r;

	if (fstat(src, &a) < 0 || fstat(dst, &b) < 0)
		return -errno;
	if ((uint64_t)b.st_size != size)
		return -EIO;
	if (a.st_blocks == b.st_blocks)
		return 0;
	/* A map may need more or fewer blocks of its own: look at it. */
	r = io_same_ranges(src, dst, size);
	return r == -EOPNOTSUPP || r == -ENOTTY ? 0 : r;
}

/* The data from @pos to the end. 0 or -errno: what cannot be counted is not nothing. */
static int data_from(struct stream *s, uint64_t pos, uint64_t *ret)
{
	uint64_t start;
	int r;

	*ret = 0;
	while ((r = stream_next_data(s, pos, &start, &pos)) == 0)
		*ret += pos - start;
	return r == -ENXIO ? 0 : r;
}

/* A piece may have holes; to count them would cost as much as to clone it. */
static uint64_t share_tell(struct watch *w, uint64_t left, uint64_t piece)
{
	uint64_t bytes = min_u64(left, piece);

	w->progress.bytes_done += bytes;
	return bytes;
}

/* Why nothing of @p's file could be shared, were it whole blocks; 0 if it could. */
static int what_hinders(const struct stream *s, const struct piece *p)
{
	struct io_fs from, to;

	if (s->shared_to)
		return 0;
	if (io_fs_of(p->file->fd, &from) < 0 || io_fs_of(s->dst.fd, &to) < 0)
		return -EOPNOTSUPP;
	if (!io_fs_same(&from, &to))
		return -EXDEV;
	return share_is_known(s->dst.fd, &to) ? 0 : -EOPNOTSUPP;
}

/* Of all or of the rest. A tail of less than a block is moved whatever was asked for. */
static uint32_t clone_refused(struct stream *s, int error, const struct piece *p,
			      struct rp_error *err)
{
	bool tail = p && error == -EINVAL && is_tail(s, p);
	int r = tail ? what_hinders(s, p) : error;

	if (tail && r == 0) {
		stream_because(s,
			       "same file system, blocks shared by FICLONERANGE but the "
			       "last %u bytes: less than a block",
			       (unsigned)(p->end - p->start));
		return RP_OK;
	}
	if (s->clone == RP_CLONE_ALWAYS) {
		rp_fail_disk(err, s->disk, RP_NO_OFFSET, RP_NOT_SUPPORTED, "clone",
			     "clone %s to %s: %s", s->src_path, s->dst_path,
			     strerrordesc_np(-r));
		if (err)
			err->os_error = -r;
		return RP_NOT_SUPPORTED;
	}
	stream_because(s, "FICLONERANGE%s: %s", s->shared_to ? " of the rest" : "",
		       strerrordesc_np(-r));
	return RP_OK;
}

/* Pieces from the first to the last, or to the one that is left to the next rung. */
static uint32_t clone_pieces(struct stream *s, struct watch *w, bool *ret_refused,
			     struct rp_error *err)
{
	uint64_t pos = 0, told = 0, left = 0;
	struct piece p;
	int r, why;

	while ((r = next_piece(s, pos, &p)) == 0) {
		r = watch_tick(w);
		if (r < 0)
			return watch_fail(w, r, err);
		r = why = clone_piece(s, &p);
		if (r < 0 && may_copy(s, r, &p)) {
			r = s->shared_to ? data_from(s, p.start, &left) : 0;
			if (r < 0)
				return stream_fail(s, r, "map", s->src_path, p.start,
						   err);
			s->cloned_bytes = s->shared_to ? s->data_bytes - left : 0;
			*ret_refused = true;
			return clone_refused(s, why, &p, err);
		}
		if (r < 0)
			return stream_fail(s, r, "clone", s->dst_path, p.start, err);
		told += share_tell(w, s->data_bytes - told, p.end - p.start);
		s->shared_to = pos = p.end;
	}
	if (r != -ENXIO)
		return stream_fail(s, r, "map", s->src_path, pos, err);
	s->shared_to = stream_size(s);
	s->cloned_bytes = s->data_bytes;
	w->progress.bytes_done += s->data_bytes - told;
	return RP_OK;
}

uint32_t share_clone(struct stream *s, struct watch *w, struct rp_error *err)
{
	bool refused = false;
	uint32_t rc;
	int r;

	if (s->clone == RP_CLONE_NEVER || s->src.device || s->dst.device) {
		if (s->clone == RP_CLONE_ALWAYS)
			return clone_refused(s, -EOPNOTSUPP, NULL, err);
		if (!s->reason[0]) /* else the caller has tried it, and said why not */
			stream_because(s, s->clone == RP_CLONE_NEVER
						  ? "clone was not wanted"
						  : "a block device cannot share");
		return RP_OK;
	}
	watch_phase(w, "cloning");
	rc = clone_pieces(s, w, &refused, err);
	if (rc || !s->cloned_bytes)
		return rc;
	if (is_plain(s) && !refused)
		r = share_check(s->src.fd, s->dst.fd, s->src.size);
	else
		r = check_pieces(s);
	if (r < 0)
		return stream_fail(s, r, "check clone", s->dst_path, RP_NO_OFFSET, err);
	if (!refused)
		stream_because(s, "same file system, blocks shared by FICLONERANGE");
	return RP_OK;
}

bool share_is_refused(struct stream *s)
{
	struct piece p;
	int r;

	if (s->clone == RP_CLONE_NEVER)
		return true;
	if (is_plain(s) && io_server_copies(s->src.fs, s->dst.fs))
		return false;
	r = next_piece(s, 0, &p);
	if (r == 0)
		r = clone_piece(s, &p);
	return r < 0 && may_copy(s, r, &p);
}

/* H13: a server's "end of file" is believed only if there is nothing to read. */
static bool really_ended(const struct stream *s, uint64_t pos)
{
	char byte;

	return io_pread_all(s->src.fd, &byte, 1, pos) == -ENODATA;
}

/* The server knows of no limit. */
static bool is_limited(const struct watch *w)
{
	return w->bandwidth || w->iops || w->pressure;
}

/* H15: whatever stops the server, we go on from the exact byte where it did. */
uint32_t share_server_copy(struct stream *s, struct watch *w, struct rp_error *err)
{
	uint64_t start, end, pos = s->shared_to;
	int r;

	if (s->clone == RP_CLONE_NEVER || s->src.device || s->dst.device ||
	    s->cloned_bytes || !is_plain(s) || pos >= s->src.size ||
	    !io_server_copies(s->src.fs, s->dst.fs))
		return RP_OK;
	watch_phase(w, "copying");
	while ((r = stream_next_data(s, pos, &start, &end)) == 0) {
		while (start < end) {
			int64_t n;

			r = watch_tick(w);
			if (r < 0)
				return watch_fail(w, r, err);
			if (is_limited(w)) {
				stream_because(s, "by a server no limit can be kept");
				return RP_OK;
			}
			n = io_server_copy(s->src.fd, s->dst.fd, start, end - start);
			if (n == -ENOSPC || n == -EDQUOT || n == -EIO)
				return stream_fail(s, (int)n, "server copy", s->dst_path,
						   start, err);
			if (n == 0 && really_ended(s, start))
				return stream_fail(s, -ENODATA, "read", s->src_path,
						   start, err);
			if (n <= 0) {
				stream_because(s, "copy_file_range: %s",
					       n ? strerrordesc_np((int)-n)
						 : "ended before the data did");
				return RP_OK;
			}
			start += (uint64_t)n;
			s->server_bytes += (uint64_t)n;
			w->progress.bytes_done += (uint64_t)n;
			s->shared_to = start;
		}
		pos = end;
	}
	if (r != -ENXIO)
		return stream_fail(s, r, "map", s->src_path, pos, err);
	s->shared_to = s->src.size;
	stream_because(s, "copied by the server");
	return RP_OK;
}
