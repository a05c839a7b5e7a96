/* SPDX-License-Identifier: MIT */
/*
 * store.h - the folder that holds systems, reference points and jobs
 *
 *	store.json			FormatVersion, when it was made
 *	systems/NAME/system.json	one virtual system: disks and config files
 *	systems/NAME/points/UUID/	one point: point.json, config/, DISK.raw, or
 *					DISK.digest if its data was released
 *	jobs/active/UUID/job.json	an export that runs; its folder is locked
 *	jobs/ended/UUID/job.json	one that has ended, however
 *	jobs/queue/			whose turn it is (job_queue.h)
 *	jobs/forgot			when old ones were forgotten last (job_sweep.c)
 *	probes/				what was found out of mounts (probe.h)
 *	pending/UUID/			being made or removed; its folder is locked
 *
 * Systems and points appear and disappear by one rename to or from pending/, jobs are
 * born in active/. What is found there or in jobs/active/ with a free lock belongs to a
 * process that died: rp_store_open() removes it. (One that was born and not locked yet
 * may be removed too; store_birth() notices and bears another.)
 *
 * Locks are flock(2) on the folders themselves, so they live and die with what they
 * protect; who has taken one gives it up by io_unlock_close(). Order, first to last;
 * nobody waits for one on the left while holding one on the right:
 *
 *	systems/NAME  >  points/UUID  >  jobs/active/UUID  >  export target (target.h)
 *	              >  pending/UUID  >  jobs/.../requests  >  jobs/queue
 *
 *	systems/NAME	exclusive: taking points, changing and removing the system
 *	points/UUID	shared: reading the point's data; exclusive: destroying it, or
 *			its data
 *	.../requests	exclusive, briefly: to request something of a job (job_request.c);
 *			what that takes of one that has ended is done without it
 *	jobs/queue	exclusive, briefly: to look whose turn it is, and to change it
 *	jobs/forgot	exclusive, and never waited for: who has it forgets old records
 *	the others	exclusive: whose they are works on them; jobs/.../UUID shared, for
 *			a moment, to see whether anybody does
 */
#ifndef ENGINE_STORE_H
#define ENGINE_STORE_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>
#include <time.h>

#include "error.h"
#include "ground.h"
#include "io/ferry.h"
#include "name.h"
#include "watch.h"

/* Of a store that is not told otherwise. */
#define STORE_JOB_LIMIT	   4
#define STORE_KEEP_SECONDS (7 * 24 * 60 * 60)
#define STORE_WAIT_MS	   30000 /* for its own locks */

/* Who looks whether a lock is free, a reader or a sweep, has it for no longer. */
#define STORE_GLANCE_MS 50

struct rp_store {
	char *path;
	bool borrowed; /* its descriptors */
	int fd;
	int systems_fd;
	int pending_fd;
	int active_fd;		/* jobs/active */
	int ended_fd;		/* jobs/ended */
	int queue_fd;		/* jobs/queue */
	uint64_t wait_ms;	/* for the store's own locks */
	struct io_ferry *ferry; /* those who write records share it; NULL = none */
	time_t forgot;		/* when old records were looked for last */
	uint64_t busy_ms;	/* for points and targets; 0 = not at all */
	char owner[64];		/* store_owner(); "" = not known yet */
	struct stat outside;	/* of a folder that is free; zeroed: of none */
	json_t *silent; /* folders whose file system did not answer: {path: when} */
	/* store.json's */
	uint64_t job_limit;    /* JobLimit: of those in the queue that work at once */
	uint64_t keep_seconds; /* TimeBeforeRemoval: of records of jobs that have ended */
};

/* Another handle of the same store: 0, -ENOMEM, or -errno of a descriptor. */
int store_dup(const struct rp_store *store, struct rp_store **ret);

/* One with the same descriptors, which is closed before @store is, and leaves it to that
 * to forget old records; NULL = no memory. */
struct rp_store *store_share(struct rp_store *store);

/* RP_INVALID_PARAMETER if @path of a store, of which @what is asked, cannot be one. */
uint32_t store_check_path(const char *path, const char *what, struct rp_error *err);

/* Adds the IDs in @dirfd that begin with @prefix to the set @found; a whole one is looked
 * at, not for. 0 or -errno. */
int store_find_ids(int dirfd, const char *prefix, json_t *found);

/* The name, or number, of who we are: the owner of the jobs that are begun. */
const char *store_owner(struct rp_store *store);

/*
 * Makes a locked folder with a new ID in @parent_fd, which is pending_fd or
 * active_fd. @ret_fd holds the lock, until io_unlock_close().
 */
uint32_t store_birth(struct rp_store *store, int parent_fd, char ret_id[ID_SIZE],
		     int *ret_fd, struct rp_error *err);

/*
 * Gives what is @id in pending/, and on stable storage, the @name by which it is found,
 * for good: 0, or -errno and it is in pending/ again. If it could not be put back,
 * @ret_but says so, to follow its name in the message; else it is "".
 */
int store_publish(struct rp_store *store, const char *id, int dirfd, const char *name,
		  const char **ret_but);

/* Fails if folder @name of @dirfd is known not to go: what is immutable in it stays so
 * (RP_ACCESS_DENIED), or there is a shortage. Changes nothing. */
uint32_t store_check_removable(int dirfd, const char *name, struct rp_error *err);

/*
 * Moves folder @name of @dirfd to pending/ and removes it there. The caller holds its
 * lock; after the move it is gone for everybody, whatever happens to us. If it fails
 * @name is as it was, unless it has gone by then: the message says where it lies.
 */
uint32_t store_bury(struct rp_store *store, int dirfd, const char *name,
		    struct rp_error *err);

/* Takes the lock of folder @fd, until io_unlock_close(); @what names it in the error.
 * RP_IN_USE or RP_TIMEOUT if another has it, or what @w says, which may be NULL, if that
 * ends it. */
uint32_t store_lock(int fd, bool exclusive, uint64_t wait_ms, const char *what,
		    struct watch *w, struct rp_error *err);

/* What folder @fd belongs to, as ground_of(). One that is free is remembered. */
int store_ground_of(struct rp_store *store, int fd, enum ground *ret);

/* Whether the file system of folder @path answers, as io_answers(): before anything is
 * looked at there that is not the caller's own target. One that does not is not asked
 * again for a while. */
int store_answers(struct rp_store *store, const char *path);

#endif
