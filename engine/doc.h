/* SPDX-License-Identifier: MIT */
/*
 * doc.h - documents: the JSON files of stores and exports
 *
 * Every stored document has a FormatVersion; one that is newer than this engine
 * is refused (-EOPNOTSUPP), one that does not parse or lacks what it must have is
 * damaged (-EBADMSG).
 */
#ifndef ENGINE_DOC_H
#define ENGINE_DOC_H

#include <jansson.h>
#include <stdint.h>

#include "io/base.h"

#define DOC_VERSION 1

/* Gives up its reference at the end of the scope. */
#define _cleanup_doc_ _cleanup_(doc_cleanup)
void doc_cleanup(json_t **doc);

/* An object with FormatVersion set; NULL = no memory. */
json_t *doc_new(void);

/* Reads @name under @dirfd and checks its version. 0 or -errno. */
int doc_load(int dirfd, const char *name, json_t **ret);

/* Its two halves: many are not worth the second. @ret_text, NUL added, is the caller's.
 */
int doc_read(int dirfd, const char *name, char **ret_text, size_t *ret_len);
int doc_parse(const char *text, size_t len, json_t **ret);

/* Writes atomically and durably, mode 0600. */
int doc_save(int dirfd, const char *name, const json_t *doc);

/* Writes a new file: the descriptor, which is to be synced and closed, or -errno. */
int doc_write_unsynced(int dirfd, const char *name, const json_t *doc);

/* As io_swap_begin(). */
int doc_swap_begin(int dirfd, const char *name, const json_t *doc);

/* Writes atomically: after a power cut there may still be the one before. */
int doc_swap(int dirfd, const char *name, const json_t *doc);

/* @value as text, with jansson's @flags, to be given up by free(); NULL = no memory, or
 * there is none. */
char *doc_dump(const json_t *value, size_t flags);

/* The document as text for a caller of the library; NULL = no memory. */
char *doc_text(const json_t *doc);

/* That text in *ret. 0 or -ENOMEM, also if there was no memory for @doc: it is NULL. */
int doc_give(const json_t *doc, char **ret);

/* Whether a document can hold it: UTF-8. */
bool doc_is_text(const char *text);

/* Typed members: -EBADMSG if missing or of another type. */
int doc_string(const json_t *doc, const char *key, const char **ret);
int doc_u64(const json_t *doc, const char *key, uint64_t *ret);
int doc_array(const json_t *doc, const char *key, json_t **ret);

/* Now, as 2026-11-23T12:34:56.789Z. */
#define DOC_TIME_SIZE 32
void doc_time(char ret[DOC_TIME_SIZE]);
void doc_time_of(const struct timespec *time, char ret[DOC_TIME_SIZE]);

/* Whether it is a time as doc_time() writes it: what compares as text, too. */
bool doc_time_valid(const char *text);

/* The other way round: seconds since 1970, of now for NULL; 0 if it is no time. */
double doc_time_seconds(const char *text);

/* @number in units with one decimal, for a sentence: printf() would write it as the
 * locale of the process has it. */
struct decimal {
	char text[32];
};
struct decimal decimal_of(uint64_t number, uint64_t unit);

#endif
