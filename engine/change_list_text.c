/* SPDX-License-Identifier: MIT */
/*
 * change_list_text.c - the lines of a list, made and parsed
 */
#include "change_list_text.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "io/base.h"

#define HEAD_FORMAT                                                       \
	"refpoint-changes %u disk %s size %" PRIu64 " base-size %" PRIu64 \
	" point %s base %s ranges %" PRIu64 "\n"
#define VERSION 1u

unsigned list_width(uint64_t size)
{
	unsigned count = 1;

	while (size /= 10)
		count++;
	return count;
}

size_t list_line_length(unsigned width)
{
	return 2 * width + sizeof("  data\n") - 1;
}

int list_put_head(const struct change_list_head *h, char ret[LIST_HEAD_MAX])
{
	return snprintf(ret, LIST_HEAD_MAX, HEAD_FORMAT, VERSION, h->disk, h->size,
			h->base_size, h->point, h->base, h->count);
}

int list_put_line(unsigned width, uint64_t start, uint64_t end, bool zero,
		  char ret[LIST_LINE_MAX + 1])
{
	return snprintf(ret, LIST_LINE_MAX + 1, "%*" PRIu64 " %*" PRIu64 " %s\n",
			(int)width, start, (int)width, end - start,
			zero ? "zero" : "data");
}

int list_put_tail(const XXH3_state_t *hash, char ret[LIST_TAIL_LENGTH + 1],
		  char ret_digest[DIGEST_TEXT_SIZE])
{
	XXH128_canonical_t canonical;

	XXH128_canonicalFromHash(&canonical, XXH3_128bits_digest(hash));
	digest_text(canonical.digest, ret_digest);
	return snprintf(ret, LIST_TAIL_LENGTH + 1, LIST_TAIL "%s\n", ret_digest);
}

/* A number padded with blanks; nothing else. */
static bool parse_number(const char *text, unsigned width, uint64_t *ret)
{
	uint64_t number = 0;
	unsigned i = 0;

	while (i + 1 < width && text[i] == ' ')
		i++;
	if (text[i] == '0' && i + 1 < width)
		return false;
	for (; i < width; i++) {
		unsigned digit = (unsigned)(text[i] - '0');

		if (digit > 9 || __builtin_mul_overflow(number, 10, &number) ||
		    add_overflows(number, digit, &number))
			return false;
	}
	*ret = number;
	return true;
}

int list_parse_line(const char *text, unsigned width, uint64_t size,
		    struct layer_range *ret)
{
	const char *kind = text + 2 * width + 1;
	uint64_t start, len, end;

	if (!parse_number(text, width, &start) || text[width] != ' ' ||
	    !parse_number(text + width + 1, width, &len) || len == 0 ||
	    add_overflows(start, len, &end) || end > size || start % CHANGE_LIST_GRAIN ||
	    (end % CHANGE_LIST_GRAIN && end != size))
		return -EBADMSG;
	*ret = (struct layer_range){.start = start, .end = end, .at = start};
	if (!memcmp(kind, " data\n", 6))
		ret->state = LAYER_DATA;
	else if (!memcmp(kind, " zero\n", 6))
		ret->state = LAYER_ZERO;
	else
		return -EBADMSG;
	return 0;
}

/* The same as is written for what was understood of it: there is one way to say it. */
int list_parse_head(const char *text, size_t len, struct change_list_head *ret)
{
	char again[LIST_HEAD_MAX];
	unsigned version;
	int end = -1;

	if (sscanf(text, "refpoint-changes %u", &version) != 1)
		return -EBADMSG;
	if (version > VERSION)
		return -EOPNOTSUPP;
	if (sscanf(text,
		   "refpoint-changes %*u disk %127s size %" SCNu64 " base-size %" SCNu64
		   " point %36s base %36s ranges %" SCNu64 "%n",
		   ret->disk, &ret->size, &ret->base_size, ret->point, ret->base,
		   &ret->count, &end) != 6 ||
	    end < 0 || (size_t)end + 1 != len || list_put_head(ret, again) != (int)len ||
	    memcmp(again, text, len) || !name_valid(ret->disk) || !id_valid(ret->point) ||
	    !id_valid(ret->base) || ret->size > INT64_MAX || ret->base_size > INT64_MAX)
		return -EBADMSG;
	return 0;
}
