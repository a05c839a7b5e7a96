/* SPDX-License-Identifier: MIT */
/*
 * name.c - what may be a name, and what a reference to a point means
 */
#include "name.h"

#include <string.h>
#include <uuid/uuid.h>

#include "io/base.h"

#define NAME_CHARS "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._+-"
#define ID_CHARS   "0123456789abcdef-"

bool name_valid(const char *name)
{
	size_t len = strlen(name);

	return len > 0 && len < NAME_SIZE && name[0] != '.' && name[0] != '-' &&
	       strspn(name, NAME_CHARS) == len;
}

bool id_valid(const char *id)
{
	uuid_t parsed;

	return strlen(id) == ID_SIZE - 1 && strspn(id, ID_CHARS) == ID_SIZE - 1 &&
	       uuid_parse(id, parsed) == 0;
}

void id_new(char ret[ID_SIZE])
{
	uuid_t id;

	uuid_generate_random(id);
	uuid_unparse_lower(id, ret);
}

static int parse_back(const char *text, uint64_t *ret_back)
{
	char *end;

	if (*text == '\0') {
		*ret_back = 0;
		return 0;
	}
	/* Digits only: strtoull would take a sign or a space too. */
	if (*text != '~' || text[1] < '0' || text[1] > '9')
		return -EINVAL;
	errno = 0;
	*ret_back = strtoull(text + 1, &end, 10);
	return errno || *end ? -EINVAL : 0;
}

int point_ref_parse(const char *text, struct point_ref *ret)
{
	const char *at = strchr(text, '@'), *point;
	struct point_ref ref = {0};
	size_t len;
	int r = 0;

	if (!at || (size_t)(at - text) >= sizeof(ref.system))
		return -EINVAL;
	memcpy(ref.system, text, (size_t)(at - text));
	point = at + 1;
	len = strlen(point);
	if (!name_valid(ref.system))
		return -EINVAL;
	if (!strncmp(point, "latest", 6)) {
		r = parse_back(point + 6, &ref.back);
	} else {
		if (len < 4 || len >= ID_SIZE || strspn(point, ID_CHARS) != len)
			return -EINVAL;
		memcpy(ref.prefix, point, len + 1);
	}
	if (r == 0)
		*ret = ref;
	return r;
}
