/* SPDX-License-Identifier: MIT */
/*
 * config.h - config files of a system: captured into a point, copied to an export
 */
#ifndef ENGINE_CONFIG_H
#define ENGINE_CONFIG_H

#include <jansson.h>

#include "digest.h"
#include "error.h"
#include "io/base.h"
#include "io/unsynced.h"

/* A domain XML has some 10 KiB; what is larger is not a config file. */
#define CONFIG_MAX (64 * MIB)

/*
 * Copies file @from (under @from_dirfd) byte for byte to the new file @name of
 * folder @to_dirfd, which the caller syncs, and the file too if it is put in @unsynced
 * as a part of "config" (NULL: it is synced). @ret_digest (may be NULL) is its XXH3-128.
 */
uint32_t config_copy(int from_dirfd, const char *from, int to_dirfd, const char *name,
		     struct io_unsynced *unsynced, char ret_digest[DIGEST_TEXT_SIZE],
		     struct rp_error *err);

/* Copies config files @paths (under @from_dirfd) to the new folder "config" of @dirfd,
 * durably; each is named by what follows the last slash. */
uint32_t config_copy_all(int from_dirfd, const json_t *paths, int dirfd,
			 struct rp_error *err);

/* The digest of config file @name of folder @dirfd. 0 or -errno. */
int config_digest(int dirfd, const char *name, char ret[DIGEST_TEXT_SIZE]);

#endif
