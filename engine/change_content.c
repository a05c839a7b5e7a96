/* SPDX-License-Identifier: MIT */
/*
 * change_content.c - change evidence: the bytes of both files
 *
 * Read only where one of them has data. Also what decides where maps are not sure, and
 * what proves that what was called unchanged is so.
 */

#include "change_source.h"
#include "compare.h"
#include "io/base.h"
#include "io/extent.h"
#include "io/small_file.h"

static const char *why_not_maps(const struct change_pair *p)
{
	if (p->doubt)
		return NULL; /* told already */
	if (!io_fs_same(&p->base_fs, &p->target_fs))
		return "base on another file system";
	if (p->base_fs.realtime || p->target_fs.realtime)
		return "XFS realtime file";
	if (p->target_fs.type == IO_FS_OTHER)
		return "extent maps are trusted on XFS and Btrfs only";
	return "a point was copied, not cloned";
}

static bool fits(struct change_pair *p)
{
	const char *why = why_not_maps(p);

	if (p->no_base || p->base.fd < 0)
		return false;
	if (why)
		change_because(p, "%s: contents compared", why);
	else
		change_because(p, "contents compared");
	return true;
}

struct finding {
	struct change_pair *p;
	struct ranges *ranges;
	uint64_t differs_at; /* a proof's: the first byte, or block of no zeros */
	bool zeros;	     /* they were to be zeros */
};

static int found_change(void *finding, uint64_t start, uint64_t end, bool zero)
{
	struct finding *f = finding;

	return ranges_add(f->ranges, start, end, zero ? CHANGE_ZERO : CHANGE_DATA);
}

static uint32_t failed(const struct change_pair *p, const struct compare *c, int error,
		       struct rp_error *err)
{
	uint64_t offset = RP_NO_OFFSET;
	const struct io_file *file = c ? compare_failed(c, &offset) : NULL;

	return change_fail(p, file, error, file ? "read" : "compare", offset, err);
}

/* Adds what either has as data in [pos, end), which both files hold. */
static int add_data_of_both(struct change_pair *p, struct compare *c, uint64_t pos,
			    uint64_t end)
{
	while (pos < end) {
		uint64_t start = end, stop = end, s, e;
		int fds[] = {p->base.fd, p->target.fd};

		for (unsigned i = 0; i < 2; i++) {
			int r = io_next_data(fds[i], pos, end, &s, &e);

			if (r < 0 && r != -ENXIO)
				return r;
			if (r == 0 && max_u64(s, pos) < start) {
				start = max_u64(s, pos);
				stop = e;
			}
		}
		if (start < end) {
			int r = compare_add(c, start, stop);

			if (r < 0)
				return r;
		}
		pos = stop;
	}
	return 0;
}

/* Data of the target in [start, end), where the base reads as zeros: it has changed. */
static int add_data(struct change_pair *p, struct ranges *ranges, uint64_t start,
		    uint64_t end)
{
	uint64_t s, e;
	int r = 0;

	while (start < end && (r = io_next_data(p->target.fd, start, end, &s, &e)) == 0) {
		r = ranges_add(ranges, s, e, CHANGE_DATA);
		if (r < 0)
			return r;
		start = e;
	}
	return r == -ENXIO ? 0 : r;
}

static uint32_t compare(struct change_pair *p, struct ranges *ranges,
			struct rp_error *err)
{
	uint64_t both = min_u64(p->base_size, p->target.size), edge = both;
	struct finding f = {.p = p, .ranges = ranges};
	struct compare *c;
	uint32_t rc;
	int r;

	/* The block a disk was cut in has changed: an image's last sector goes on. */
	if (p->base_size > both)
		edge = round_down(both, RANGES_GRAIN);
	watch_phase(p->w, "comparing");
	rc = compare_open(&c, &p->base, &p->target, p->tuning, p->w, found_change, &f,
			  err);
	if (rc)
		return rc;
	r = add_data_of_both(p, c, 0, edge);
	if (r == 0)
		r = compare_finish(c);
	if (r == 0)
		r = ranges_add(ranges, edge, both, CHANGE_DATA);
	if (r == 0)
		r = add_data(p, ranges, both, p->target.size);
	if (r < 0)
		rc = failed(p, c, r, err);
	compare_close(c);
	return rc;
}

/* Compares [start, end); behind the base's end, what is data has changed. */
static int resolve_range(struct change_pair *p, struct compare *c, struct ranges *to,
			 uint64_t start, uint64_t end)
{
	uint64_t both = min_u64(p->base_size, p->target.size);
	int r = compare_add(c, start, min_u64(end, both));

	if (r == 0 && end > both) {
		r = compare_finish(c);
		if (r == 0)
			r = add_data(p, to, max_u64(start, both), end);
	}
	return r;
}

uint32_t change_resolve(struct change_pair *p, const struct ranges *from,
			struct ranges *to, struct rp_error *err)
{
	struct ranges_cursor cursor = {.ranges = from};
	struct finding f = {.p = p, .ranges = to};
	struct compare *c = NULL;
	struct change range;
	uint32_t rc = RP_OK;
	uint64_t pos = 0;
	int r = 0;

	if (from->bytes[CHANGE_UNSURE]) {
		watch_phase(p->w, "comparing");
		change_because(p,
			       "contents compared where extents are compressed, inline "
			       "or unknown");
		rc = compare_open(&c, &p->base, &p->target, p->tuning, p->w, found_change,
				  &f, err);
		if (rc)
			return rc;
	}
	while (r == 0 && (r = ranges_next(&cursor, pos, &range)) == 0) {
		if (range.kind == CHANGE_UNSURE) {
			r = resolve_range(p, c, to, range.start, range.end);
		} else {
			r = c ? compare_finish(c) : 0;
			if (r == 0)
				r = ranges_add(to, range.start, range.end, range.kind);
		}
		pos = range.end;
	}
	if (r == -ENXIO)
		r = c ? compare_finish(c) : 0;
	if (r < 0)
		rc = failed(p, c, r, err);
	compare_close(c);
	return rc;
}

/* The first byte of a block that differs. */
static uint64_t first_difference(const struct change_pair *p, uint64_t start,
				 uint64_t end)
{
	char a[4096], b[4096];
	size_t len = (size_t)min_u64(end - start, sizeof(a)), i = 0;

	if (io_pread_all(p->base.fd, a, len, start) < 0 ||
	    io_pread_all(p->target.fd, b, len, start) < 0)
		return start;
	while (i < len && a[i] == b[i])
		i++;
	return start + (i < len ? i : 0);
}

static int found_lie(void *finding, uint64_t start, uint64_t end, bool zero)
{
	struct finding *f = finding;

	(void)zero;
	f->differs_at = first_difference(f->p, start, end);
	f->zeros = false;
	return -EILSEQ;
}

/* [start, end) is called unchanged. */
static int prove_range(struct change_pair *p, struct compare *c, struct finding *f,
		       uint64_t start, uint64_t end)
{
	uint64_t both = min_u64(p->base_size, p->target.size), e;
	int r = add_data_of_both(p, c, start, min_u64(end, both));

	if (r < 0 || end <= both)
		return r;
	/* Behind the end of the base there were zeros: no data may be there now. */
	f->zeros = false;
	r = io_next_data(p->target.fd, max_u64(start, both), end, &f->differs_at, &e);
	return r == 0 ? -EILSEQ : r == -ENXIO ? 0 : r;
}

/* [start, end) is called zero. What the file system has as data there, reserved space
 * that was read, or zeros that were written, is looked at. */
static int prove_zeros(struct change_pair *p, struct finding *f, uint64_t start,
		       uint64_t end)
{
	uint64_t s, e;
	int r;

	while ((r = io_next_data(p->target.fd, start, end, &s, &e)) == 0) {
		for (start = s; r == 0 && start < e; start += RANGES_GRAIN) {
			size_t len = (size_t)min_u64(e - start, RANGES_GRAIN);
			char block[RANGES_GRAIN];

			r = io_pread_all(p->target.fd, block, len, start);
			f->differs_at = start;
			f->zeros = true;
			if (r == 0 && !is_zero(block, len))
				r = -EILSEQ;
		}
		if (r == 0)
			r = watch_tick(p->w);
		if (r < 0)
			return r;
		start = e;
	}
	return r == -ENXIO ? 0 : r;
}

static uint32_t not_proved(const struct change_pair *p, const struct finding *f,
			   struct rp_error *err)
{
	uint64_t offset = f->differs_at;

	if (f->zeros)
		return rp_fail_disk(err, p->disk, offset, RP_FAILED, "prove",
				    "prove %s at %llu: it has data, and was called zero",
				    p->target_path, (unsigned long long)offset);
	return rp_fail_disk(
		err, p->disk, offset, RP_FAILED, "prove",
		"prove %s at %llu: it differs from %s, and was called unchanged",
		p->target_path, (unsigned long long)offset, p->base_path);
}

static uint32_t nothing_to_prove_with(const struct change_pair *p, struct rp_error *err)
{
	return rp_fail_disk(err, p->disk, RP_NO_OFFSET, RP_INVALID_STATE, "prove",
			    "prove %s: the data of the base, %s, was released",
			    p->target_path, p->base_path);
}

uint32_t change_prove(struct change_pair *p, const struct ranges *ranges,
		      struct rp_error *err)
{
	struct ranges_cursor cursor = {.ranges = ranges};
	struct finding f = {.p = p};
	struct compare *c;
	struct change range;
	uint64_t pos = 0;
	uint32_t rc;
	int r = 0;

	if (p->no_base) /* nothing was called unchanged */
		return RP_OK;
	if (p->base.fd < 0)
		return nothing_to_prove_with(p, err);
	watch_phase(p->w, "proving");
	rc = compare_open(&c, &p->base, &p->target, p->tuning, p->w, found_lie, &f, err);
	if (rc)
		return rc;
	while (r == 0 && pos < p->target.size) {
		r = ranges_next(&cursor, pos, &range);
		if (r == -ENXIO) {
			range = (struct change){p->target.size, p->target.size,
						CHANGE_DATA};
			r = 0;
		}
		if (r == 0 && pos < range.start)
			r = prove_range(p, c, &f, pos, range.start);
		if (r == 0 && range.kind == CHANGE_ZERO && range.start < range.end)
			r = prove_zeros(p, &f, range.start, range.end);
		pos = range.end;
	}
	if (r == 0)
		r = compare_finish(c);
	if (r == -EILSEQ)
		rc = not_proved(p, &f, err);
	else if (r < 0)
		rc = failed(p, c, r, err);
	compare_close(c);
	return rc;
}

const struct change_source change_content = {
	.name = "content",
	.fits = fits,
	.compare = compare,
};
