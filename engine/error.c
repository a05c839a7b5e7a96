/* SPDX-License-Identifier: MIT */
/*
 * error.c - from errno to the documented return values, with a sentence
 */
#include "error.h"

#include <errno.h>
#include <limits.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "doc.h"
#include "io/base.h"
#include "name.h"

/* Of two paths, and what is said of them. */
#define SENTENCE_MAX (2 * PATH_MAX + 512)

const char *rp_return_name(uint32_t code)
{
	switch (code) {
	case RP_OK:
		return "Completed with No Error";
	case RP_JOB_STARTED:
		return "Method Parameters Checked - Job Started";
	case RP_FAILED:
		return "Failed";
	case RP_ACCESS_DENIED:
		return "Access Denied";
	case RP_NOT_SUPPORTED:
		return "Not Supported";
	case RP_UNKNOWN_STATUS:
		return "Status is unknown";
	case RP_TIMEOUT:
		return "Timeout";
	case RP_INVALID_PARAMETER:
		return "Invalid parameter";
	case RP_IN_USE:
		return "System is in use";
	case RP_INVALID_STATE:
		return "Invalid state for this operation";
	case RP_INVALID_TYPE:
		return "Incorrect data type";
	case RP_NOT_AVAILABLE:
		return "System is not available";
	case RP_OUT_OF_MEMORY:
		return "Out of memory";
	default:
		return "Unknown return value";
	}
}

uint32_t rp_return_of(int error)
{
	switch (-error) {
	case 0:
		return RP_OK;
	case EACCES:
	case EPERM:
	case EROFS:
		return RP_ACCESS_DENIED;
	case EOPNOTSUPP:
	case ENOSYS:
	case ENOTTY:
		return RP_NOT_SUPPORTED;
	case EBADMSG:
		return RP_UNKNOWN_STATUS;
	case ETIME: /* ours; a device or a server that gives up says ETIMEDOUT */
		return RP_TIMEOUT;
	case ENAMETOOLONG:
		return RP_INVALID_PARAMETER;
	case EWOULDBLOCK:
	case EBUSY:
	case ETXTBSY:
		return RP_IN_USE;
	case EEXIST:
	case ENOTEMPTY:
		return RP_INVALID_STATE;
	case ENOENT:
	case ENOTDIR:
	case ENOTBLK: /* as io_file_open_read() means it */
	case ENODEV:
	case ENXIO:
	case ENOMEDIUM:
		return RP_NOT_AVAILABLE;
	case ENOMEM:
		return RP_OUT_OF_MEMORY;
	default:
		return RP_FAILED;
	}
}

void rp_error_clear(struct rp_error *err)
{
	if (!err)
		return;
	memset(err, 0, sizeof(*err));
	err->offset = RP_NO_OFFSET;
}

static void set_step(struct rp_error *err, uint32_t code, const char *step)
{
	rp_error_clear(err);
	err->code = code;
	snprintf(err->step, sizeof(err->step), "%s", step);
}

/* Where @text is too long its middle goes: a sentence ends with the reason. */
static void shorten(const char *text, char *ret, size_t size)
{
	size_t len = strlen(text), head;
	const char *tail = text + len - min_u64(len, size / 3);

	if (len < size) {
		memcpy(ret, text, len + 1);
		return;
	}
	while ((*tail & 0xc0) == 0x80)
		tail++;
	head = size - sizeof("...") - strlen(tail);
	while (head && (text[head] & 0xc0) == 0x80)
		head--;
	snprintf(ret, size, "%.*s...%s", (int)head, text, tail);
}

/* A path may hold a line break; the sentence is one line of UTF-8 that commands no
 * terminal. */
static void keep_one_line(struct rp_error *err)
{
	bool text = doc_is_text(err->message);

	for (char *p = err->message; *p; p++) {
		unsigned char c = *p, next = p[1];

		if (c < ' ' || c == 0x7f || (!text && c >= 0x80))
			*p = '?';
		else if (c == 0xc2 && next < 0xa0) /* U+0080 to U+009f */
			p[0] = p[1] = '?';
	}
}

static void set_sentence(struct rp_error *err, const char *format, va_list args)
{
	char whole[SENTENCE_MAX];

	vsnprintf(whole, sizeof(whole), format, args);
	shorten(whole, err->message, sizeof(err->message));
	keep_one_line(err);
}

uint32_t rp_fail(struct rp_error *err, uint32_t code, const char *step,
		 const char *format, ...)
{
	va_list args;

	if (!err)
		return code;
	set_step(err, code, step);
	va_start(args, format);
	set_sentence(err, format, args);
	va_end(args);
	return code;
}

uint32_t rp_fail_disk(struct rp_error *err, const char *disk, uint64_t offset,
		      uint32_t code, const char *step, const char *format, ...)
{
	va_list args;

	if (!err)
		return code;
	set_step(err, code, step);
	va_start(args, format);
	set_sentence(err, format, args);
	va_end(args);
	err->offset = offset;
	rp_fail_of(err, NULL, disk);
	return code;
}

static const char *reason(int error)
{
	if (error == -ENOTBLK) /* as io_file_open_read() means it */
		return "not a regular file or block device";
	if (error == -EEXIST)
		return "exists already";
	return strerrordesc_np(-error) ?: "unknown error";
}

uint32_t rp_fail_os(struct rp_error *err, int error, const char *step, const char *format,
		    ...)
{
	uint32_t code = rp_return_of(error);
	char whole[SENTENCE_MAX], what[sizeof(err->message) - 200];
	va_list args;

	if (!err)
		return code;
	set_step(err, code, step);
	err->os_error = -error;
	va_start(args, format);
	vsnprintf(whole, sizeof(whole), format, args);
	va_end(args);
	shorten(whole, what, sizeof(what));
	snprintf(err->message, sizeof(err->message), "%s %s: %s", step, what,
		 reason(error));
	keep_one_line(err);
	return code;
}

void rp_fail_of(struct rp_error *err, const char *system, const char *disk)
{
	char sentence[sizeof(err->message) - NAME_SIZE - 2];

	if (!err)
		return;
	if (system && !err->system[0])
		snprintf(err->system, sizeof(err->system), "%s", system);
	if (disk && !err->disk[0]) {
		snprintf(err->disk, sizeof(err->disk), "%s", disk);
		shorten(err->message, sentence, sizeof(sentence));
		snprintf(err->message, sizeof(err->message), "%s: %s", disk, sentence);
		keep_one_line(err);
	}
}

bool rp_is_shortage(uint32_t code, const struct rp_error *err)
{
	return code == RP_OUT_OF_MEMORY || (code && err && is_shortage(-err->os_error));
}

bool rp_is_stopped(const struct rp_error *err)
{
	return err && (err->os_error == ECANCELED || err->os_error == ETIME);
}
