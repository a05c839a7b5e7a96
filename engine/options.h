/* SPDX-License-Identifier: MIT */
/*
 * options.h - what callers give: structs that begin with their size, which may be those
 * of another version, and paths
 */
#ifndef ENGINE_OPTIONS_H
#define ENGINE_OPTIONS_H

#include <refpoint.h>

/*
 * Whether all that is asked for in @options (NULL: nothing) is known here, where the
 * struct has @known bytes: RP_INVALID_PARAMETER if it has less, or is of a newer program
 * that has set what comes behind. @what names it in the error.
 */
uint32_t options_check(const void *options, size_t known, const char *what,
		       struct rp_error *err);

/* The same, of one and its watch, which may be NULL. */
#define options_check_watched(options, err)                                  \
	(options_check(options, sizeof(*(options)), "options", err)          \
		 ?: options_check((options)->watch, sizeof(struct rp_watch), \
				  "options.watch", err))

/* RP_INVALID_PARAMETER of @step if @path, which is @what, is none: absolute, in UTF-8. */
uint32_t options_check_path(const char *path, const char *step, const char *what,
			    struct rp_error *err);

#endif
