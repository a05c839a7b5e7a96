/* SPDX-License-Identifier: MIT */
/*
 * verify.h - reading a whole export again
 */
#ifndef ENGINE_VERIFY_H
#define ENGINE_VERIFY_H

#include "error.h"
#include "tuning.h"
#include "watch.h"

/* rp_verify() of what export @path has itself, read by @tuning: what it is based on may
 * be elsewhere. */
uint32_t verify_alone(const char *path, const struct tuning *tuning, struct watch *w,
		      struct rp_error *err);

#endif
