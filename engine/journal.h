/* SPDX-License-Identifier: MIT */
/*
 * journal.h - how far an export is known to be on stable storage
 *
 * The file .journal in the partial folder: what is exported, and for each disk a mark.
 * Everything of the disk before its mark was written and synced before the mark was, so
 * what a mark says is true after a power cut too. What lies behind it is not believed,
 * and what lies before it only when it equals the reference point (resume.h).
 *
 * It is the first file in the folder and, if that is removed, the last to go: a folder
 * with files but without it (and without a manifest, see exporting.c) has lost its
 * evidence. It is empty until the first mark, so there is nothing of it that could be
 * torn; and again before what it tells of is removed.
 */
#ifndef ENGINE_JOURNAL_H
#define ENGINE_JOURNAL_H

#include <jansson.h>

#include "point.h"

#define JOURNAL_FILE ".journal"

struct journal {
	int dir; /* the partial folder; borrowed */
	json_t *doc;
	uint64_t *marks; /* of each disk */
	size_t count;
};

#define JOURNAL_NONE      \
	{                 \
		.dir = -1 \
	}

/* What is exported: two journals of one export have the same. NULL = no memory. */
json_t *journal_identity(const struct point *point,
			 const struct rp_export_options *options);

/* Begins one in folder @dir, with no marks; the caller syncs the folder. Takes over
 * @identity. 0 or -errno. */
int journal_begin(struct journal *j, int dir, json_t *identity);

/* Takes all marks from the one in @dir, or makes one without, before all that is there is
 * removed. 0 or -errno. */
int journal_revoke(int dir);

/* Opens the one in @dir: 0, -ENOENT, -EBADMSG (damaged) or -errno. */
int journal_open(struct journal *j, int dir);

void journal_close(struct journal *j); /* unopened is fine */

/* Why @identity is not that of the journal; NULL if it is. */
const char *journal_differs(const struct journal *j, const json_t *identity);

/* The disk's place in the journal, which has no mark if it is new there; -ESTALE if it
 * has another size there, or -ENOMEM. */
int journal_disk(struct journal *j, const char *disk, const char *file, uint64_t size);

/* Its mark: 0 if nothing is known of it. */
uint64_t journal_mark(const struct journal *j, int disk);

/* The disk's data before @mark is on stable storage. Not saved. 0 or -ENOMEM. */
int journal_advance(struct journal *j, int disk, uint64_t mark);

/* Notes which ranges the disk's data are, or how its image is laid out, as a hash: 1 if
 * it was another with this mark. */
int journal_bind(struct journal *j, int disk, const char *plan);

/* Notes the size of the disk's file, if that is not the disk's. -ENOMEM. */
int journal_set_file_size(struct journal *j, int disk, uint64_t size);

/* The disk begins again. */
void journal_forget(struct journal *j, int disk);

int journal_save(const struct journal *j); /* 0 or -errno */

/* The same where marks have only grown: after a power cut there may be the one before,
 * which claims less and is true as well. */
int journal_note(const struct journal *j);

/* Whether there is something that a resume could use. */
bool journal_has_marks(const struct journal *j);

/* Whether folder @dir has no more in it than a process leaves that dies before its
 * journal is there. */
bool journal_is_unborn(int dir);

/* As journal_has_marks(), of an export that has died, whose partial folder is @dir: also
 * if its journal cannot be read, or it has lost it: what is there is evidence. */
bool journal_worth_keeping(int dir);

#endif
