/* SPDX-License-Identifier: MIT */
/*
 * search.h - the folders of --search, in which bases of an export may be
 */
#ifndef CLI_SEARCH_H
#define CLI_SEARCH_H

#include <stdlib.h>

#include "cli/cli.h"
#include "cli/text.h"

struct search {
	const char **paths; /* absolute */
	size_t count;
};

static inline void take_search(const struct arguments *args, struct search *ret)
{
	ret->paths = option_values(args, "search", &ret->count);
	for (size_t i = 0; i < ret->count; i++)
		ret->paths[i] = absolute_path(ret->paths[i]);
}

static inline void search_cleanup(struct search *s)
{
	for (size_t i = 0; i < s->count; i++)
		free((char *)s->paths[i]);
	free(s->paths);
}

#endif
