/* SPDX-License-Identifier: MIT */
/*
 * chunk.h - one window of one stream on its way through a buffer
 *
 *	PLANNED ──> READING ──┬──────────> WRITING + digest ──┬──> DONE
 *	               │       └> CHECKING ───────^      │     │
 *	               └───────── error ────┴────────────┴──> FAILED
 *
 * Of one plain file one read from the first to the last segment (holes between them
 * read as zeros without touching the device), else one per range of the source; then one
 * write per segment, or per place it goes to, so that holes stay holes. A chunk has room
 * for some requests only: what has more goes in rounds. Its owner has it digested when
 * that keeps no request waiting: beside the writes, but before them where the digest is
 * known and has to be right.
 */
#ifndef ENGINE_CHUNK_H
#define ENGINE_CHUNK_H

#include "io/io.h"
#include "plan.h"
#include "stream.h"

enum chunk_state {
	CHUNK_PLANNED,
	CHUNK_READING,
	CHUNK_CHECKING,
	CHUNK_WRITING,
	CHUNK_DONE,
	CHUNK_FAILED,
};

struct chunk;

struct chunk_part {
	struct io_req req;
	struct chunk *chunk;
	uint64_t pos; /* of the disk */
	const char *path;
};

struct chunk {
	enum chunk_state state;
	struct stream *stream;
	void *buf;     /* NULL = it has nothing to do */
	size_t room;   /* of buf */
	uint64_t base; /* byte 0 of buf is this one of the disk */
	uint64_t window, len;
	uint64_t bytes; /* of data in it: what it counts for in the progress */
	unsigned count; /* segments */
	/* How far the state has come: the next segment, and where in it. */
	unsigned seg;
	uint64_t pos;
	/* The requests of the round. */
	unsigned parts;
	unsigned queued; /* handed to the queue */
	unsigned ended;	 /* delivered */
	bool undigested; /* to be done */
	/* The first failure, if any. */
	int error;
	const char *step, *path;
	uint64_t offset;
	void (*changed)(struct chunk *chunk); /* called after each delivery */
	void *owner;			      /* whose chunk it is, for changed() */
	struct chunk *next;		      /* in a list of the owner's */
	struct plan_segment *plan; /* room for the most segments a window has */
	struct chunk_part part[];
};

/* A chunk for windows of @window bytes. NULL = no memory. */
struct chunk *chunk_new(uint64_t window, void (*changed)(struct chunk *chunk));
void chunk_free(struct chunk *chunk); /* NULL is fine */

/* How much buffer it needs for what the plan has filled in: window, plan and count. */
size_t chunk_room(const struct chunk *c);

/* After the plan has filled those, the owner itself, buf and room. */
void chunk_begin(struct chunk *c, struct stream *s, uint64_t window_size);

/* Hands to the queue what it has to do next: 0, -EAGAIN if the queue is full, or
 * what it says. */
int chunk_queue(struct chunk *c, struct io_queue *q);

/* Whether it has something to hand to the queue. */
bool chunk_has_work(const struct chunk *c);

/* Whether it is to be digested, and that now. */
bool chunk_has_digest(const struct chunk *c);
void chunk_digest(struct chunk *c);

/* Hands nothing more to the queue; fails now, or when what is on its way is back. */
void chunk_abandon(struct chunk *c);

#endif
