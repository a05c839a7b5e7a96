/* SPDX-License-Identifier: MIT */
/*
 * config.c - small files, whole
 */
#include "config.h"

#include <string.h>

#include "io/base.h"
#include "io/small_file.h"
#include "io/tree.h"

static void digest(const char *data, size_t len, char ret[DIGEST_TEXT_SIZE])
{
	uint8_t hash[DIGEST_SIZE];

	digest_leaf(data, len, hash);
	digest_text(hash, ret);
}

uint32_t config_copy(int from_dirfd, const char *from, int to_dirfd, const char *name,
		     struct io_unsynced *unsynced, char ret_digest[DIGEST_TEXT_SIZE],
		     struct rp_error *err)
{
	_cleanup_free_ char *data = NULL;
	size_t len;
	int r;

	r = io_read_file(from_dirfd, from, CONFIG_MAX, &data, &len);
	if (r == -EINVAL)
		return rp_fail(err, RP_NOT_AVAILABLE, "read",
			       "read config file %s: not a regular file", from);
	if (r < 0)
		return rp_fail_os(err, r, "read", "config file %s", from);
	r = unsynced ? io_write_unsynced(to_dirfd, name, data, len)
		     : io_write_new_file(to_dirfd, name, data, len);
	if (r < 0)
		return rp_fail_os(err, r, "write", "config file %s", name);
	if (unsynced)
		io_unsynced_take(unsynced, r, "config");
	if (ret_digest)
		digest(data, len, ret_digest);
	return RP_OK;
}

static const char *last_name(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

uint32_t config_copy_all(int from_dirfd, const json_t *paths, int dirfd,
			 struct rp_error *err)
{
	_cleanup_close_ int fd = -1;
	json_t *path;
	size_t i;
	int r;

	fd = io_dir_make(dirfd, "config", NULL);
	if (fd < 0)
		return rp_fail_os(err, fd, "mkdir", "config");
	json_array_foreach(paths, i, path) {
		const char *from = json_string_value(path);
		uint32_t rc = config_copy(from_dirfd, from, fd, last_name(from), NULL,
					  NULL, err);

		if (rc)
			return rc;
	}
	r = io_fsync(fd);
	return r < 0 ? rp_fail_os(err, r, "sync", "config") : RP_OK;
}

int config_digest(int dirfd, const char *name, char ret[DIGEST_TEXT_SIZE])
{
	_cleanup_free_ char *data = NULL;
	size_t len;
	int r = io_read_file(dirfd, name, CONFIG_MAX, &data, &len);

	if (r == 0)
		digest(data, len, ret);
	return r;
}
