/* SPDX-License-Identifier: MIT */
/*
 * doc.c - JSON documents by jansson
 */
#include "doc.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "io/small_file.h"

/* A manifest of a thousand disks is well below this. */
#define DOC_MAX (64 * MIB)

void doc_cleanup(json_t **doc)
{
	json_decref(*doc);
}

json_t *doc_new(void)
{
	return json_pack("{s:i}", "FormatVersion", DOC_VERSION);
}

int doc_read(int dirfd, const char *name, char **ret_text, size_t *ret_len)
{
	int r = io_read_file(dirfd, name, DOC_MAX, ret_text, ret_len);

	return r == -EFBIG || r == -EINVAL ? -EBADMSG : r;
}

int doc_parse(const char *text, size_t len, json_t **ret)
{
	_cleanup_doc_ json_t *doc = NULL;
	uint64_t version;

	/* jansson reports a failed allocation as a bad token, or not at all. */
	errno = 0;
	doc = json_loadb(text, len, JSON_REJECT_DUPLICATES, NULL);
	if (!doc && errno == ENOMEM)
		return -ENOMEM;
	if (!doc || !json_is_object(doc) || doc_u64(doc, "FormatVersion", &version) < 0 ||
	    version == 0)
		return -EBADMSG;
	if (version > DOC_VERSION)
		return -EOPNOTSUPP;
	*ret = take_ptr(doc);
	return 0;
}

int doc_load(int dirfd, const char *name, json_t **ret)
{
	_cleanup_free_ char *text = NULL;
	size_t len;
	int r = doc_read(dirfd, name, &text, &len);

	return r < 0 ? r : doc_parse(text, len, ret);
}

/* Not json_dumps(): the process may have given jansson an allocator of its own. What is
 * small, as most is, is gone through once. */
char *doc_dump(const json_t *value, size_t flags)
{
	char small[4096];
	size_t len = json_dumpb(value, small, sizeof(small), flags);
	_cleanup_free_ char *text = len ? malloc(len + 1) : NULL;

	if (!text)
		return NULL;
	if (len <= sizeof(small))
		memcpy(text, small, len);
	else if (json_dumpb(value, text, len, flags) != len)
		return NULL;
	text[len] = '\0';
	return take_ptr(text);
}

/* How a document's text gets into a file. */
typedef int doc_write(int dirfd, const char *name, const void *data, size_t len,
		      mode_t mode);

static int save(int dirfd, const char *name, const json_t *doc, doc_write *write)
{
	_cleanup_free_ char *text = doc_dump(doc,
					     JSON_INDENT(2) | JSON_REAL_PRECISION(6));
	size_t len;

	if (!text)
		return -ENOMEM;
	len = strlen(text);
	text[len] = '\n'; /* in place of the NUL: the length is known */
	return write(dirfd, name, text, len + 1, 0600);
}

int doc_save(int dirfd, const char *name, const json_t *doc)
{
	return save(dirfd, name, doc, io_replace_file);
}

int doc_swap(int dirfd, const char *name, const json_t *doc)
{
	return save(dirfd, name, doc, io_swap_file);
}

int doc_swap_begin(int dirfd, const char *name, const json_t *doc)
{
	return save(dirfd, name, doc, io_swap_begin);
}

static int write_new(int dirfd, const char *name, const void *data, size_t len,
		     mode_t mode)
{
	(void)mode; /* as of all of them */
	return io_write_unsynced(dirfd, name, data, len);
}

int doc_write_unsynced(int dirfd, const char *name, const json_t *doc)
{
	return save(dirfd, name, doc, write_new);
}

char *doc_text(const json_t *doc)
{
	return doc_dump(doc, JSON_COMPACT | JSON_REAL_PRECISION(6));
}

int doc_give(const json_t *doc, char **ret)
{
	char *text = doc ? doc_text(doc) : NULL;

	if (!text)
		return -ENOMEM;
	*ret = text;
	return 0;
}

bool doc_is_text(const char *text)
{
	_cleanup_doc_ json_t *string = NULL;

	errno = 0;
	string = json_string(text);
	return string || errno == ENOMEM; /* who puts it into one will hear of that */
}

int doc_string(const json_t *doc, const char *key, const char **ret)
{
	const char *text = json_string_value(json_object_get(doc, key));

	if (!text)
		return -EBADMSG;
	*ret = text;
	return 0;
}

int doc_u64(const json_t *doc, const char *key, uint64_t *ret)
{
	json_t *value = json_object_get(doc, key);

	if (!json_is_integer(value) || json_integer_value(value) < 0)
		return -EBADMSG;
	*ret = (uint64_t)json_integer_value(value);
	return 0;
}

int doc_array(const json_t *doc, const char *key, json_t **ret)
{
	json_t *value = json_object_get(doc, key);

	if (!json_is_array(value))
		return -EBADMSG;
	*ret = value;
	return 0;
}

void doc_time_of(const struct timespec *time, char ret[DOC_TIME_SIZE])
{
	struct tm tm;
	size_t n;

	gmtime_r(&time->tv_sec, &tm);
	n = strftime(ret, DOC_TIME_SIZE, "%Y-%m-%dT%H:%M:%S", &tm);
	snprintf(ret + n, DOC_TIME_SIZE - n, ".%03uZ",
		 (unsigned)(time->tv_nsec / 1000000));
}

void doc_time(char ret[DOC_TIME_SIZE])
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	doc_time_of(&now, ret);
}

bool doc_time_valid(const char *text)
{
	static const char form[] = "0000-00-00T00:00:00.000Z";
	struct tm tm = {0};

	if (strlen(text) != strlen(form))
		return false;
	for (size_t i = 0; form[i]; i++)
		if (form[i] == '0' ? text[i] < '0' || text[i] > '9' : text[i] != form[i])
			return false;
	return strptime(text, "%Y-%m-%dT%H:%M:%S", &tm);
}

double doc_time_seconds(const char *text)
{
	struct timespec now;
	struct tm tm = {0};
	const char *rest;
	unsigned ms = 0;

	if (!text) {
		clock_gettime(CLOCK_REALTIME, &now);
		return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
	}
	rest = strptime(text, "%Y-%m-%dT%H:%M:%S", &tm);
	if (!rest)
		return 0;
	sscanf(rest, ".%3u", &ms);
	return (double)timegm(&tm) + ms / 1000.0;
}

struct decimal decimal_of(uint64_t number, uint64_t unit)
{
	uint64_t tenths = (number % unit * 10 + unit / 2) / unit;
	struct decimal ret;

	snprintf(ret.text, sizeof(ret.text), "%llu.%llu",
		 (unsigned long long)(number / unit + tenths / 10),
		 (unsigned long long)(tenths % 10));
	return ret;
}
