/* SPDX-License-Identifier: MIT */
/*
 * stream.h - one disk on its way from a source to a destination
 *
 * The engine handles a set of streams together (copy.h). Each goes down a ladder,
 * best rung first, and remembers where a rung ended and why:
 *
 *	share (clone)  >  server copy  >  move (read, digest, write)
 */
#ifndef ENGINE_STREAM_H
#define ENGINE_STREAM_H

#include "digest.h"
#include "error.h"
#include "io/base.h"
#include "io/file.h"
#include "place.h"
#include "source.h"

struct journal;
struct watch;

enum stream_digest {
	STREAM_NO_DIGEST,
	STREAM_DIGEST,	     /* store the leaves, if all bytes pass anyway */
	STREAM_DIGEST_READ,  /* store the leaves, read for them what was shared */
	STREAM_DIGEST_CHECK, /* compare with the leaves what passes; all if only read */
};

struct stream {
	/* What is to be done; set by the caller, who closes the files. */
	const char *disk;     /* ID */
	const char *src_path; /* for people */
	const char *dst_path;
	struct io_file src; /* frozen, or its machine is stopped */
	struct source
		*from; /* instead of src, if the disk is not one plain file; borrowed */
	struct source *data; /* where src has data, if somebody knows; borrowed */
	struct io_file dst;  /* new and sized, or a device; unopened = only read */
	struct place *place; /* NULL: offsets in dst are those of the disk; borrowed */
	enum rp_clone clone;
	enum stream_digest digest;
	struct digest leaves; /* unless STREAM_NO_DIGEST */
	/* If they have no file: it is made, of this name, when what can be shared is. */
	const char *leaves_name;
	int leaves_dir;
	/* Who notes how far it is, and where there; NULL = nobody. Borrowed. */
	struct journal *journal;
	int slot;
	/* Its owner syncs the destination, with what belongs to it. */
	bool sync_later;
	/* Everything before it was moved by an export that this one goes on with, and was
	 * proven; its leaves are there again. So much of it is data. */
	uint64_t kept_to, kept_bytes;

	/* What was done. */
	uint64_t data_bytes; /* of the source; the rest is holes */
	bool measured;	     /* that is known by now, and part of the total */
	uint64_t cloned_bytes;
	uint64_t server_bytes; /* copied by a server */
	uint64_t copied_bytes; /* moved by us */
	uint64_t shared_to;    /* everything before it was cloned or copied by a server */
	bool digested;	       /* the leaves are complete, or all were compared */
	char reason[512];      /* why this method */
	const char *backend;   /* that moved bytes; NULL if none did */
	uint64_t block;	       /* it moved them in, so many at once */
	unsigned depth;
	char backend_reason[256];
};

static inline bool stream_writes(const struct stream *s)
{
	return s->dst.fd >= 0;
}

/* Of the disk. */
static inline uint64_t stream_size(const struct stream *s)
{
	return s->from ? s->from->size : s->src.size;
}

/* Only what is moved is noted; what is shared is shared again. */
static inline bool stream_journalled(const struct stream *s)
{
	return s->journal && !s->shared_to;
}

/* Nothing before it is left to write: whole blocks, or all of it. */
static inline uint64_t stream_placed_to(const struct stream *s)
{
	return s->shared_to == stream_size(s) ? s->shared_to
					      : round_down(s->shared_to, 4096);
}

/* "clone", "server-copy", "copy", "clone+copy", "server-copy+copy", "none". */
const char *stream_method(const struct stream *s);

/* Adds to the reason, after "; " if there is one. */
void stream_because(struct stream *s, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

/* Counts the data of the source, and adds it to @w's total as it is found. 0, -errno, or
 * what a tick says: there may be very many ranges. */
int stream_measure(struct stream *s, struct watch *w);

/* The next data range of the source, and where it lies: as source.h's next(). */
int stream_next(struct stream *s, uint64_t pos, struct source_range *ret);

/* Makes the file of its leaves, if it is to have one: 0 or -errno. */
int stream_make_leaves(struct stream *s);

/* Only the range: a plan_next_data for plans. */
int stream_next_data(void *stream, uint64_t pos, uint64_t *ret_start, uint64_t *ret_end);

/* Where byte @pos goes, and up to where those behind it follow: as place.h's at(). */
int stream_place(const struct stream *s, uint64_t pos, uint64_t *ret_at,
		 uint64_t *ret_end);

/* A step of this stream failed with @error at @offset; @path is what it was on. */
uint32_t stream_fail(const struct stream *s, int error, const char *step,
		     const char *path, uint64_t offset, struct rp_error *err);

#endif
