/* SPDX-License-Identifier: MIT */
/*
 * change_list_text.h - the lines of a list, and what they say
 */
#ifndef ENGINE_CHANGE_LIST_TEXT_H
#define ENGINE_CHANGE_LIST_TEXT_H

#include <xxhash.h>

#include "change_list.h"

#define LIST_HEAD_MAX	 512
#define LIST_LINE_MAX	 (2 * 20 + sizeof("  data\n") - 1)
#define LIST_TAIL	 "xxh3-128 "
#define LIST_TAIL_LENGTH (sizeof(LIST_TAIL) - 1 + 2 * DIGEST_SIZE + 1)

/* Of the numbers in a list of a disk of @size: as many digits as that has. */
unsigned list_width(uint64_t size);

/* Each writes a line, with a newline and a NUL, and returns its length without the NUL.
 */
int list_put_head(const struct change_list_head *head, char ret[LIST_HEAD_MAX]);
int list_put_line(unsigned width, uint64_t start, uint64_t end, bool zero,
		  char ret[LIST_LINE_MAX + 1]);
/* Of the @hash of all before it, which it also gives alone. */
int list_put_tail(const XXH3_state_t *hash, char ret[LIST_TAIL_LENGTH + 1],
		  char ret_digest[DIGEST_TEXT_SIZE]);

/* How long every line between the head and the tail is. */
size_t list_line_length(unsigned width);

/* -EBADMSG if it is not what list_put_head() makes; -EOPNOTSUPP if of a newer version. */
int list_parse_head(const char *text, size_t len, struct change_list_head *ret);
/* -EBADMSG if it is not what list_put_line() makes, or none of a disk of @size. */
int list_parse_line(const char *text, unsigned width, uint64_t size,
		    struct layer_range *ret);

#endif
