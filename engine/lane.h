/* SPDX-License-Identifier: MIT */
/*
 * lane.h - what the mover knows of one stream: how far it is planned, reserved, delivered
 * and synced
 */
#ifndef ENGINE_LANE_H
#define ENGINE_LANE_H

#include "chunk.h"

struct mover;

struct lane {
	struct stream *s;
	struct plan plan;
	uint64_t reserved_to; /* space is reserved up to here */
	bool reserves;	      /* the destination can reserve space */
	bool planned;	      /* no windows left */
	bool syncing, synced;
	unsigned in_flight; /* chunks */
	uint64_t lost_at;   /* the first window that was given up */
	struct io_req sync;
	struct mover *mover;
};

/* From where the rungs above have left it, in windows of @window bytes. */
void lane_open(struct lane *lane, struct mover *mover, struct stream *s, uint64_t window);

/*
 * Reserves the space of what was planned into @c, and of the whole run that goes on after
 * it at once: writes then need no allocation, and a full file system shows before
 * anything is written there. 0 or -errno.
 */
int lane_reserve(struct lane *lane, const struct chunk *c);

/* The window at @window was given up: nothing from there on counts as delivered. */
void lane_lose(struct lane *lane, uint64_t window);

/* All of it was delivered, and its destination is to be synced. */
bool lane_wants_sync(const struct lane *lane);

/* Whether that may be left to who syncs all: @last, nothing else moves. */
bool lane_may_wait(const struct lane *lane, bool last);

/* Everything of the stream before it has been delivered, but for chunks on their way. */
uint64_t lane_passed(const struct lane *lane);

#endif
