/* SPDX-License-Identifier: MIT */
/*
 * change_source.h - a source of change evidence, and what all of them work on
 */
#ifndef ENGINE_CHANGE_SOURCE_H
#define ENGINE_CHANGE_SOURCE_H

#include <jansson.h>

#include "digest.h"
#include "io/file.h"
#include "io/fs.h"
#include "io/map.h"
#include "ranges.h"
#include "tuning.h"
#include "watch.h"

/* One disk in two points. */
struct change_pair {
	const char *disk;
	char base_path[256], target_path[256]; /* for people */
	/* Open to read as long as the map is made and proved (H6); the base's only if it
	 * has its data. */
	struct io_file base, target;
	struct digest leaves; /* of the base; fd -1 = none */
	uint64_t base_size;
	struct io_fs base_fs, target_fs;
	bool copied; /* one of the points was not taken by cloning */
	bool doubt;  /* the maps cannot be trusted now: nothing is taken from them */
	const char *no_base; /* why there is no base at all; NULL = there is one */
	int dirfd;	     /* where large maps are kept meanwhile */
	const struct tuning *tuning; /* for what has to be read */
	struct watch *w;
	char reason[512];
};

struct change_source {
	const char *name;
	/* Whether there is this evidence; the reason is added if it is, or if one would
	 * have expected it to be. */
	bool (*fits)(struct change_pair *p);
	/* Adds what has changed. With p->doubt set when it returns it has no answer, and
	 * the reason says why. */
	uint32_t (*compare)(struct change_pair *p, struct ranges *ranges,
			    struct rp_error *err);
};

extern const struct change_source change_digest, change_tree, change_extents,
	change_content, change_all;

/* The files are open, all else of the pair is set. Fills @ranges, which is zeroed, and
 * ends it. */
uint32_t change_compare(struct change_pair *p, struct ranges *ranges,
			const char **ret_source, struct rp_error *err);

/* Compares the bytes of what @ranges call unchanged, and looks at those called zero. */
uint32_t change_prove(struct change_pair *p, const struct ranges *ranges,
		      struct rp_error *err);

/* Adds to the reason, after "; ". */
void change_because(struct change_pair *p, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

/* Step @step failed with @error on the base, the target, or (NULL) the map itself. */
uint32_t change_fail(const struct change_pair *p, const struct io_file *file, int error,
		     const char *step, uint64_t offset, struct rp_error *err);

/* Both maps by @open, compared in lockstep. */
typedef int change_open_map(struct io_map **ret, int fd, uint64_t size);
uint32_t change_compare_maps(struct change_pair *p, change_open_map *open,
			     const char *what, struct ranges *ranges,
			     struct rp_error *err);

/* Where @from is not sure the bytes are compared; the rest is passed on to @to. */
uint32_t change_resolve(struct change_pair *p, const struct ranges *from,
			struct ranges *to, struct rp_error *err);

#endif
