/* SPDX-License-Identifier: MIT */
/*
 * released.c - what released and imported points have in common
 */
#include "released.h"

#include <stdio.h>

#include "config.h"
#include "io/tree.h"

void released_leaves_name(const char *disk, char ret[RELEASED_NAME_SIZE])
{
	snprintf(ret, RELEASED_NAME_SIZE, "%s.digest", disk);
}

int released_disk(json_t *disk, json_t *digest)
{
	if (json_object_set_new(disk, "AllocatedBytes", json_integer(0)) < 0 ||
	    json_object_set_new(disk, "Digest", digest ?: json_null()) < 0)
		return -ENOMEM;
	return 0;
}

uint32_t released_configs(int from, const json_t *names, int to, struct rp_error *err)
{
	_cleanup_close_ int fd = -1;
	json_t *name;
	bool made;
	size_t i;
	int r;

	fd = io_dir_make(to, "config", &made);
	if (fd < 0)
		return rp_fail_os(err, fd, "mkdir", "config");
	json_array_foreach(names, i, name) {
		const char *file = json_string_value(name);
		uint32_t rc = config_copy(from, file, fd, file, NULL, NULL, err);

		if (rc)
			return rc;
	}
	r = io_fsync(fd);
	return r < 0 ? rp_fail_os(err, r, "sync", "config") : RP_OK;
}
