/* SPDX-License-Identifier: MIT */
/*
 * error.h - the one error currency of the engine
 *
 * Functions of io/ return 0 or -errno. Functions of the engine that know what
 * was being done return a value of enum rp_return and fill a struct rp_error;
 * they are the only place where one becomes the other.
 */
#ifndef ENGINE_ERROR_H
#define ENGINE_ERROR_H

#include <refpoint.h>
#include <stdbool.h>

/* Nothing has failed yet. @err may be NULL, here and below. */
void rp_error_clear(struct rp_error *err);

/* @format makes the sentence. Returns @code. */
uint32_t rp_fail(struct rp_error *err, uint32_t code, const char *step,
		 const char *format, ...) __attribute__((format(printf, 4, 5)));

/* As rp_fail(), of @disk, which is put before the sentence; @offset is where in it, or
 * RP_NO_OFFSET. */
uint32_t rp_fail_disk(struct rp_error *err, const char *disk, uint64_t offset,
		      uint32_t code, const char *step, const char *format, ...)
	__attribute__((format(printf, 6, 7)));

/*
 * A system call of @step failed with @error (-errno). @format names what it was
 * done to; the sentence is "<step> <what>: <reason>". Returns the value that
 * belongs to the error.
 */
uint32_t rp_fail_os(struct rp_error *err, int error, const char *step, const char *format,
		    ...) __attribute__((format(printf, 4, 5)));

/* Adds which system and disk (NULL = not known, or known already) it was. The
 * disk is put before the sentence. */
void rp_fail_of(struct rp_error *err, const char *system, const char *disk);

/* Whether @code, and @err that came with it, say nothing of what was asked for: the
 * process, or the machine, was short of something. */
bool rp_is_shortage(uint32_t code, const struct rp_error *err);

/* Nor if its caller, or a time limit, has stopped it. */
bool rp_is_stopped(const struct rp_error *err);

/* The return value that stands for -errno. */
uint32_t rp_return_of(int error);

#endif
