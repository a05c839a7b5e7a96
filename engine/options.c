/* SPDX-License-Identifier: MIT */
/*
 * options.c - structs of callers, of this version or of a newer one, and their paths
 */
#include "options.h"

#include "doc.h"
#include "error.h"
#include "io/base.h"

/* A larger one is no struct of options: its size was never set. */
#define SIZE_MOST 4096

uint32_t options_check(const void *options, size_t known, const char *what,
		       struct rp_error *err)
{
	size_t size = options ? *(const size_t *)options : known;

	if (size < known || size > SIZE_MOST)
		return rp_fail(err, RP_INVALID_PARAMETER, "check", "%s.size is not set",
			       what);
	if (size > known && !is_zero((const char *)options + known, size - known))
		return rp_fail(err, RP_INVALID_PARAMETER, "check",
			       "%s: has set what refpoint %s does not know", what,
			       REFPOINT_VERSION);
	return RP_OK;
}

uint32_t options_check_path(const char *path, const char *step, const char *what,
			    struct rp_error *err)
{
	if (!path || path[0] != '/')
		return rp_fail(err, RP_INVALID_PARAMETER, step,
			       "%s '%s': not an absolute path", what, path ?: "");
	if (!doc_is_text(path))
		return rp_fail(err, RP_INVALID_PARAMETER, step, "%s '%s': not UTF-8",
			       what, path);
	return RP_OK;
}
