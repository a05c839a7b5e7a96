/* SPDX-License-Identifier: MIT */
/*
 * verify.h - reading a whole export again
 */
#ifndef ENGINE_VERIFY_H
#define ENGINE_VERIFY_H

#include "error.h"
#include "watch.h"

/* rp_verify() of what export @path has itself: what it is based on may be elsewhere. @w
 * is that of the operation this is part of, not of @options. */
uint32_t verify_alone(const char *path, const struct rp_read_options *options,
		      struct watch *w, struct rp_error *err);

#endif
