/* SPDX-License-Identifier: MIT */
/*
 * target.h - where an export is written: a hidden partial folder that becomes the
 * published one by a single rename
 *
 *	DIRECTORY/SYSTEM/.UUID.partial/		while it is written; locked
 *	DIRECTORY/SYSTEM/UUID/			published; never touched again
 *
 * DIRECTORY/SYSTEM is locked (exclusive, briefly) while a partial folder is born or
 * a dead one is removed, the partial folder itself as long as its export runs. A
 * partial folder with a free lock belongs to an export that was interrupted.
 * DIRECTORY/SYSTEM may be a link to a folder; what is in it may not.
 */
#ifndef ENGINE_TARGET_H
#define ENGINE_TARGET_H

#include <stdint.h>
#include <sys/stat.h>

#include "error.h"
#include "io/unsynced.h"
#include "name.h"
#include "watch.h"

struct target {
	char *path;	    /* DIRECTORY/SYSTEM/UUID, for people */
	char name[ID_SIZE]; /* UUID */
	char partial[ID_SIZE + 16];
	const char *system; /* borrowed */
	bool made;	    /* DIRECTORY/SYSTEM is ours */
	bool found;	    /* the partial folder: an interrupted export's */
	int directory_fd;
	int system_fd;		     /* DIRECTORY/SYSTEM */
	int fd;			     /* the partial folder; holds the lock */
	int busy;		     /* it, while another export has the lock */
	struct io_unsynced unsynced; /* what was written there */
};

#define TARGET_NONE(of_system)                                                      \
	{                                                                           \
		.system = of_system, .directory_fd = -1, .system_fd = -1, .fd = -1, \
		.busy = -1,                                                         \
	}

/* The place for an export of point @id of @system, which must outlive @ret. To be closed
 * with one of those below. */
uint32_t target_open(const char *directory, const char *system, const char *id,
		     struct target *ret, struct rp_error *err);

/*
 * Makes the partial folder. RP_INVALID_STATE if it is published. What an interrupted
 * export left is taken over as it is or, to @restart, removed. If another export of it
 * runs it is RP_OK without a folder: there is one to wait for instead (target->busy).
 * @known is of DIRECTORY if that was found free, as for ground_of().
 */
uint32_t target_bear(struct target *target, const struct stat *known, bool restart,
		     struct watch *w, struct rp_error *err);

/* Waits for the end of that export, for @wait_ms: RP_TIMEOUT; RP_IN_USE if that is 0. */
uint32_t target_wait(struct target *target, struct watch *w, uint64_t wait_ms,
		     struct rp_error *err);

/* RP_INVALID_STATE if it is published in @directory, which is open as @fd; RP_IN_USE if
 * another export of it runs, and this one does not wait (@waits). */
uint32_t target_check(int fd, const char *directory, const char *system, const char *id,
		      bool waits, struct rp_error *err);

/* Its folder was written: that goes with what is settled next. */
void target_written(struct target *target);

/* Brings what is unsynced to stable storage; *ret_name tells which of the files could not
 * be, "" = the folder. */
uint32_t target_settle(struct target *target, const char **ret_name,
		       struct rp_error *err);

/* Gives it its name: everything in it is on stable storage already, but for the end of
 * its journal. */
uint32_t target_rename(struct target *target, struct rp_error *err);

/* Returns when the name is on stable storage, else it is taken back. Closes on success.
 */
uint32_t target_publish(struct target *target, struct rp_error *err);

/* Removes what was written and closes; fine after target_publish(). 0, or -errno: it is
 * still there. */
int target_discard(struct target *target);

/* Whether the partial folder still has its name: nobody has removed it, or moved it or
 * the system's. */
bool target_is_there(const struct target *t);

/* Closes and leaves what was written to who resumes the export. */
void target_keep(struct target *target);

/* What has become of a partial folder; 0 = there was none. */
#define TARGET_REMOVED 1
#define TARGET_STAYS   2

/*
 * Removes the partial folder that an export left that is no more, unless @keep says of
 * the folder that it is worth to be kept (NULL: none is), or another export is at it.
 * TARGET_REMOVED, TARGET_STAYS, 0 or -errno. *ret_published tells whether the export is
 * there, complete.
 */
int target_discard_dead(const char *directory, const char *system, const char *id,
			bool (*keep)(int dir), bool *ret_published);

/* Brings the name of an export that is published to stable storage, as who published it
 * may have died before. 0 or -errno. */
int target_sync_published(const char *directory, const char *system, const char *id);

/* Whether the export is there, complete, and nothing is left of one on its way there. */
bool target_is_published(const char *directory, const char *system, const char *id);

#endif
