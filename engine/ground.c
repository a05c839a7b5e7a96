/* SPDX-License-Identifier: MIT */
/*
 * ground.c - up to the root, looking for what is in a store or an export only
 */
#include "ground.h"

#include <fcntl.h>
#include <stdbool.h>
#include <unistd.h>

#include "io/base.h"
#include "io/tree.h"
#include "journal.h"

/* An export has folders of its own, but none in these. */
#define EXPORT_DEPTH 1

static bool has(int fd, const char *name)
{
	return faccessat(fd, name, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

static enum ground ground_at(int fd, unsigned depth)
{
	if (has(fd, "store.json") && has(fd, "pending") && has(fd, "systems"))
		return GROUND_STORE;
	if (depth <= EXPORT_DEPTH && (has(fd, "export.json") || has(fd, JOURNAL_FILE)))
		return GROUND_EXPORT;
	return GROUND_FREE;
}

int ground_of(int fd, enum ground *ret)
{
	const int flags = O_PATH | O_DIRECTORY | O_CLOEXEC;
	_cleanup_close_ int at = openat(fd, ".", flags);

	if (at < 0)
		return -errno;
	*ret = GROUND_FREE;
	for (unsigned depth = 0; *ret == GROUND_FREE; depth++) {
		int up = openat(at, "..", flags);

		*ret = ground_at(at, depth);
		if (up < 0)
			return -errno;
		if (io_dir_is_at(at, ".", up)) { /* the root is its own parent */
			close(up);
			break;
		}
		close(at);
		at = up;
	}
	return 0;
}
