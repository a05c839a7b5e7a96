/* SPDX-License-Identifier: MIT */
/*
 * stage.h - what tests of the engine play on: a store with one virtual system, "web1",
 * its disk "vda" and a config file, a reference point of it, and a folder to export to
 */
#ifndef TESTS_STAGE_H
#define TESTS_STAGE_H

#include <jansson.h>
#include <limits.h>
#include <refpoint.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/resource.h>
#include <sys/types.h>

#include "io/base.h"

#define POINT_SIZE 64	  /* "web1@UUID" */
#define SOON_MS	   120000 /* for what takes milliseconds */

struct stage {
	char path[PATH_MAX / 2]; /* of the store */
	char exports[PATH_MAX / 2];
	char disk[PATH_MAX / 2]; /* the source of vda */
	char twin[PATH_MAX / 2]; /* what it held when the point was taken */
	char point[POINT_SIZE];
	struct rp_store *store;
};

/*
 * Makes all of it in the folder @dir. The disk has data and holes at random, made from
 * @seed, but from 1/4 to 3/4 of its size there is data.
 */
void stage_make(struct stage *s, const char *dir, uint64_t size, uint64_t seed);
void stage_close(struct stage *s); /* zeros are fine */

/* Another handle of the store. */
struct rp_store *stage_open(const struct stage *s, uint64_t lock_timeout_ms);

/* Takes a point, by copying where it must. */
void stage_take(const struct stage *s, char ret_point[POINT_SIZE]);

/* Adds points to @system of which there is no more than the record, that of the first. */
void stage_add_records(const struct stage *s, const char *system, unsigned count);

/* Exports the first point; checks that there is a report if it is done. */
uint32_t stage_export(const struct stage *s, const struct rp_export_options *options,
		      struct rp_error *err);

/* A job of this process that never ends by itself. */
struct rp_job *stage_start(const struct stage *s);

/* Exports by copying all data. */
struct rp_export_options stage_copying(enum rp_io io);

/* The folder of a point in the store, of its export in @directory, and of what that is
 * until it is published. */
const char *stage_point_path(const struct stage *s, const char *point);
const char *stage_export_path(const char *directory, const char *point);
const char *stage_partial_path(const char *directory, const char *point);

/* Whether the export verifies, and its disk has the data of @disk. */
bool stage_good_export(const char *directory, const char *point, const char *disk);

/* The record of the one job that has ended. */
json_t *stage_only_job(const struct stage *s);

/* Restores a disk, which must work; returns the report, to be given up. */
json_t *stage_restore(const char *path, const char *disk, const char *output,
		      const struct rp_read_options *options);

/* Restores the disk of an export with --salvage: what is lost of it is zeros, all else is
 * as in @disk. Returns the bytes lost. */
uint64_t stage_salvage(const char *path, const char *disk);

/* Nothing is being made or removed, nothing was left behind. */
void stage_expect_idle(const struct stage *s);

/* That, and there is one point, the first, with its data; the source is as it was, and
 * @exports are the names in the folder to export to. */
void stage_expect_unharmed(const struct stage *s, const char *exports);

/* web1's points, oldest first; the caller frees it. */
json_t *stage_points(struct rp_store *store);

/* --------------------------------------------------------------- small helpers */

/* Whether @err says what @want does. @want->offset is RP_NO_OFFSET, or where the fault
 * is: the request that failed may have begun up to 4 MiB before it. */
void expect_error(uint32_t rc, const struct rp_error *err, const struct rp_error *want);

/* What a call gives that fills in the local err; a failure comes with a sentence. */
#define GIVES(value, call) expect_value(RP_##value, call, &err, #call)
void expect_value(uint32_t want, uint32_t got, const struct rp_error *err,
		  const char *call);

/* A text made by format, good for the next 32 calls of the thread. */
const char *fmt(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* The names in a folder, sorted, with a blank between; good as long as fmt()'s. */
const char *listing(const char *folder);

bool exists(const char *path);

/* Whether the path of what is open as @fd has @text in it. */
bool fd_path_has(int fd, const char *text);
void save_text(const char *path, const char *text);

/* What cancels the operation in this phase. */
struct rp_watch cancel_in(const char *phase);

/* How often there was a warning, and the last one; and what hears them. */
struct heard {
	unsigned count;
	char last[1024];
};
struct rp_watch hear_into(struct heard *heard);

/* The JSON document in a file, or in a text of the library's, which is freed. */
json_t *load_json(const char *path);
json_t *take_json(char *text);
void save_json(const char *path, json_t *doc); /* frees it */
const char *json_text(const json_t *object, const char *key);
int64_t json_number(const json_t *object, const char *key);

void set_version(const char *path, int version); /* the FormatVersion in a file */

/* The Status of the entry whose @key is @value, in a listing, which is freed. */
const char *status_of(json_t *list, const char *key, const char *value);

uint64_t now_ms(void);

/* How many descriptors a process may have open; it keeps those it has. Gives the limit
 * there was. */
rlim_t limit_files(pid_t pid, rlim_t limit);

/* The path of the command, $REFPOINT; and why there are no tests of it, NULL if there
 * are. */
const char *program(void);
const char *program_missing(void);

#endif
