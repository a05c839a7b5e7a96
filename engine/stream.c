/* SPDX-License-Identifier: MIT */
/*
 * stream.c - what a stream knows of itself
 */
#include "stream.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "io/extent.h"

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
	size_t used = strlen(s->reason);
	va_list args;

	if (used && used + 2 < sizeof(s->reason))
		used += (size_t)snprintf(s->reason + used, sizeof(s->reason) - used,
					 "; ");
	va_start(args, format);
	vsnprintf(s->reason + used, sizeof(s->reason) - used, format, args);
	va_end(args);
}

/* A file that somebody cuts has no more data either, and it is no hole. */
static bool is_cut(const struct io_file *file)
{
	struct stat st;

	return !file->device && fstat(file->tail_fd, &st) == 0 &&
	       (uint64_t)st.st_size < file->size;
}

int stream_next_data(void *stream, uint64_t pos, uint64_t *ret_start, uint64_t *ret_end)
{
	struct stream *s = stream;
	int r = io_next_data(s->src.tail_fd, pos, s->src.size, ret_start, ret_end);

	return r == -ENXIO && is_cut(&s->src) ? -ENODATA : r;
}

int stream_measure(struct stream *s)
{
	uint64_t pos = 0, start, end;
	int r;

	s->data_bytes = 0;
	while ((r = stream_next_data(s, pos, &start, &end)) == 0) {
		s->data_bytes += end - start;
		pos = end;
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
