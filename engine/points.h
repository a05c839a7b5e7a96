/* SPDX-License-Identifier: MIT */
/*
 * points.h - all reference points of a system, in the order they were made
 */
#ifndef ENGINE_POINTS_H
#define ENGINE_POINTS_H

#include "point.h"

/* The points of @system, without their folders and documents: oldest first; damaged ones,
 * of unknown age, before all. 0 or -errno; the caller frees them. */
int points_load(const struct system *system, struct point **ret, size_t *ret_count);
void points_free(struct point *points, size_t count);

/* The sequence number of a point made at @time and registered now, of which its export
 * has @number: that, or the nearest with which it lies between those that are older and
 * those that are newer. */
int points_sequence_at(const struct system *system, const char *time, uint64_t number,
		       uint64_t *ret);

/* The sequence number the next point of @system gets; the caller holds its lock. */
int points_next_sequence(const struct system *system, uint64_t *ret);

#endif
