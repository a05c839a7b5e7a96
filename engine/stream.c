/* SPDX-License-Identifier: MIT */
/*
 * stream.c - what a stream knows of itself
 */
#include "stream.h"

#include <inttypes.h>
#include <stdarg.h>

#include "io/extent.h"
#include "io/reason.h"
#include "leaves.h"
#include "watch.h"

#define RANGES_PER_TICK 256

const char *stream_method(const struct stream *s)
{
	if (s->cloned_bytes)
		return s->copied_bytes ? "clone+copy" : "clone";
	if (s->server_bytes)
		return s->copied_bytes ? "server-copy+copy" : "server-copy";
	return s->copied_bytes ? "copy" : "none";
}

void stream_because(struct stream *s, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	io_reason_add_va(s->reason, sizeof(s->reason), format, args);
	va_end(args);
}

int stream_next(struct stream *s, uint64_t pos, struct source_range *ret)
{
	uint64_t start, end;
	int r;

	if (s->from)
		return s->from->next(s->from, pos, ret);
	if (s->data)
		return s->data->next(s->data, pos, ret);
	r = io_next_data(s->src.fd, pos, s->src.size, &start, &end);
	if (r < 0)
		return r;
	*ret = (struct source_range){
		.start = start,
		.end = end,
		.file = &s->src,
		.at = start,
		.path = s->src_path,
	};
	return 0;
}

int stream_make_leaves(struct stream *s)
{
	uint64_t size = s->leaves.size;

	if (s->digest == STREAM_NO_DIGEST || !s->leaves_name || s->leaves.fd >= 0)
		return 0;
	return leaves_create(s->leaves_dir, s->leaves_name, size, &s->leaves);
}

int stream_next_data(void *stream, uint64_t pos, uint64_t *ret_start, uint64_t *ret_end)
{
	struct source_range range;
	int r = stream_next(stream, pos, &range);

	if (r < 0)
		return r;
	*ret_start = range.start;
	*ret_end = range.end;
	return 0;
}

int stream_place(const struct stream *s, uint64_t pos, uint64_t *ret_at,
		 uint64_t *ret_end)
{
	int r;

	if (!s->place) {
		*ret_at = pos;
		*ret_end = stream_size(s);
		return 0;
	}
	r = s->place->at(s->place, pos, ret_at, ret_end);
	return r == 0 && *ret_end <= pos ? -EBADMSG : r;
}

int stream_measure(struct stream *s, struct watch *w)
{
	uint64_t pos = 0, start, end;
	unsigned ranges = 0;
	int r;

	s->data_bytes = 0;
	while ((r = stream_next_data(s, pos, &start, &end)) == 0) {
		s->data_bytes += end - start;
		w->progress.bytes_total += end - start;
		pos = end;
		if (++ranges % RANGES_PER_TICK == 0)
			r = watch_tick(w);
		if (r < 0)
			break;
	}
	return r == -ENXIO ? 0 : r;
}

uint32_t stream_fail(const struct stream *s, int error, const char *step,
		     const char *path, uint64_t offset, struct rp_error *err)
{
	uint32_t rc;

	if (offset == RP_NO_OFFSET)
		rc = rp_fail_os(err, error, step, "%s", path);
	else
		rc = rp_fail_os(err, error, step, "%s at %" PRIu64, path, offset);
	if (err)
		err->offset = offset;
	rp_fail_of(err, NULL, s->disk);
	return rc;
}
