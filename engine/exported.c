/* SPDX-License-Identifier: MIT */
/*
 * exported.c - reading an export: its manifest is not believed, it is checked
 */
#include "exported.h"

#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "config.h"
#include "doc.h"
#include "io/tree.h"
#include "options.h"
#include "point.h"

static bool is_file_name(const char *name)
{
	return name[0] && strcmp(name, ".") && strcmp(name, "..") && !strchr(name, '/');
}

static int check_disk(const json_t *disk, bool differential)
{
	const json_t *changes = json_object_get(disk, "Changes");
	const json_t *digest = json_object_get(disk, "Digest");
	const char *text;
	uint64_t number;

	if (doc_string(disk, "DiskId", &text) < 0 || !name_valid(text) ||
	    doc_string(disk, "File", &text) < 0 || !is_file_name(text) ||
	    doc_string(disk, "Format", &text) < 0 ||
	    doc_u64(disk, "VirtualSize", &number) < 0)
		return -EBADMSG;
	if (differential && !changes) /* null if whole: lost, it would be taken for it */
		return -EBADMSG;
	if (changes && !json_is_null(changes) &&
	    (!differential || doc_string(changes, "File", &text) < 0 ||
	     !is_file_name(text) || doc_string(changes, "Digest", &text) < 0))
		return -EBADMSG;
	if (json_is_null(digest))
		return 0;
	if (doc_string(digest, "Algorithm", &text) < 0 ||
	    doc_u64(digest, "ChunkSize", &number) < 0)
		return -EBADMSG;
	if (strcmp(text, DIGEST_ALGORITHM) || number != DIGEST_CHUNK)
		return -EOPNOTSUPP;
	if (doc_string(digest, "Root", &text) < 0 ||
	    doc_string(digest, "File", &text) < 0 || !is_file_name(text))
		return -EBADMSG;
	return 0;
}

/* "full", "merged" and "differential"; the last one has a base. */
static int check_kind(const json_t *manifest, bool *ret_differential)
{
	const char *kind, *id, *base = NULL;

	if (doc_string(manifest, "Kind", &kind) < 0 ||
	    doc_string(manifest, "ReferencePointId", &id) < 0 || !id_valid(id))
		return -EBADMSG;
	*ret_differential = !strcmp(kind, "differential");
	if (!strcmp(kind, "full"))
		return json_is_null(json_object_get(manifest, "BaseReferencePointId"))
			       ? 0
			       : -EBADMSG;
	if (!*ret_differential)
		return !strcmp(kind, "merged") ? 0 : -EOPNOTSUPP;
	if (doc_string(manifest, "BaseReferencePointId", &base) < 0 || !id_valid(base) ||
	    !strcmp(base, id))
		return -EBADMSG;
	return 0;
}

/* Each once: a second one would be nobody's. *ret: they by their IDs. */
static int check_disks(const json_t *disks, bool differential, json_t **ret)
{
	_cleanup_doc_ json_t *by_id = json_object();
	json_t *disk;
	size_t i;
	int r = by_id ? 0 : -ENOMEM;

	json_array_foreach(disks, i, disk) {
		const char *id;

		if (r == 0)
			r = check_disk(disk, differential);
		if (r < 0)
			return r;
		doc_string(disk, "DiskId", &id);
		if (json_object_get(by_id, id))
			return -EBADMSG;
		r = json_object_set(by_id, id, disk) < 0 ? -ENOMEM : 0;
	}
	if (r == 0)
		*ret = take_ptr(by_id);
	return r;
}

static int check_manifest(const json_t *manifest, json_t **ret_by_id)
{
	json_t *disks, *configs, *digests, *item;
	const char *text;
	bool differential;
	uint64_t type;
	size_t i;
	int r;

	if (doc_array(manifest, "Disks", &disks) < 0 ||
	    doc_array(manifest, "ConfigFiles", &configs) < 0 ||
	    doc_array(manifest, "ConfigFileDigests", &digests) < 0 ||
	    json_array_size(configs) != json_array_size(digests) ||
	    doc_string(manifest, "VirtualSystemIdentifier", &text) < 0 ||
	    !name_valid(text) || doc_u64(manifest, "ReferencePointType", &type) < 0)
		return -EBADMSG;
	if (type != POINT_TYPE)
		return -EOPNOTSUPP;
	r = check_kind(manifest, &differential);
	if (r < 0)
		return r;
	json_array_foreach(configs, i, item)
		if (!json_is_string(item) ||
		    strncmp(json_string_value(item), "config/", 7) ||
		    !is_file_name(json_string_value(item) + 7) ||
		    !json_is_string(json_array_get(digests, i)))
			return -EBADMSG;
	return check_disks(disks, differential, ret_by_id);
}

static uint32_t load(struct exported *e, struct rp_error *err)
{
	struct stat st;
	bool again;
	int r;

	do { /* as long as what was opened has left its place to another, by a merge */
		if (e->fd >= 0)
			close(e->fd);
		e->fd = io_dir_open(AT_FDCWD, e->path);
		if (e->fd < 0)
			return rp_fail_os(err, e->fd, "open", "export %s", e->path);
		r = doc_load(e->fd, "export.json", &e->manifest);
		again = r == -ENOENT && !io_dir_is_at(AT_FDCWD, e->path, e->fd);
	} while (again);
	if (r == -ENOENT)
		return rp_fail(err, RP_NOT_AVAILABLE, "open",
			       "open export %s: no export (there is no export.json)",
			       e->path);
	if (r == 0)
		r = check_manifest(e->manifest, &e->by_id);
	if (r == 0 && fstat(e->fd, &st) < 0)
		r = -errno;
	if (is_damage(r))
		return rp_fail(err, RP_UNKNOWN_STATUS, "open",
			       "open export %s: export.json is %s", e->path,
			       r == -EBADMSG ? "damaged" : "unreadable");
	if (r == -EOPNOTSUPP)
		return rp_fail(
			err, RP_NOT_SUPPORTED, "open",
			"open export %s: of a kind or version this refpoint does not know",
			e->path);
	if (r < 0)
		return rp_fail_os(err, r, "read", "%s/export.json", e->path);
	e->dev = st.st_dev;
	e->ino = st.st_ino;
	return RP_OK;
}

/* Whether that is the folder that was opened first. */
static bool is_same(const struct exported *e, const struct stat *st)
{
	return st->st_dev == e->dev && st->st_ino == e->ino;
}

uint32_t exported_check_options(const struct rp_read_options *o, struct rp_error *err)
{
	uint32_t rc = options_check_watched(o, err);

	if (rc)
		return rc;
	if (o->search_count && !o->search)
		return rp_fail(err, RP_INVALID_PARAMETER, "check",
			       "options.search is NULL");
	if ((unsigned)o->io > RP_IO_SYNC || (unsigned)o->clone > RP_CLONE_ALWAYS)
		return rp_fail(err, RP_INVALID_PARAMETER, "check",
			       "options: io or clone is not a value of its type");
	return RP_OK;
}

uint32_t exported_open(const char *path, struct exported *ret, struct rp_error *err)
{
	struct exported e = {.path = path, .fd = -1};
	uint32_t rc;

	rc = options_check_path(path, "open", "open export", err);
	if (rc)
		return rc;
	rc = load(&e, err);
	if (rc) {
		exported_close(&e);
		return rc;
	}
	doc_string(e.manifest, "VirtualSystemIdentifier", &e.system);
	*ret = e;
	return RP_OK;
}

uint32_t exported_check_point(const struct exported *e, const char *system,
			      const char *id, struct rp_error *err)
{
	const char *own, *what = NULL;

	doc_string(e->manifest, "ReferencePointId", &own);
	if (strcmp(own, id))
		what = "it is one of another reference point";
	else if (strcmp(e->system, system))
		what = "it is one of another virtual system";
	return what ? rp_fail(err, RP_UNKNOWN_STATUS, "open", "open export %s: %s",
			      e->path, what)
		    : RP_OK;
}

void exported_close(struct exported *e)
{
	if (e->fd >= 0)
		close(e->fd);
	json_decref(e->by_id);
	json_decref(e->manifest);
	*e = (struct exported)EXPORTED_NONE;
}

bool exported_is_there(const char *path)
{
	struct stat st;
	char name[PATH_MAX];

	return (size_t)snprintf(name, sizeof(name), "%s/export.json", path) <
		       sizeof(name) &&
	       lstat(name, &st) == 0;
}

bool exported_was_merged(const struct exported *e)
{
	struct stat st;

	return exported_is_there(e->path) && (stat(e->path, &st) < 0 || !is_same(e, &st));
}

void exported_rest(struct exported *e)
{
	close(e->fd);
	e->fd = -1;
}

int exported_wake(const struct exported *e)
{
	int fd = io_dir_open(AT_FDCWD, e->path);
	struct stat st;

	if (fd < 0 || (fstat(fd, &st) == 0 && is_same(e, &st)))
		return fd;
	close(fd);
	return -ENOENT;
}

const char *exported_base(const struct exported *e)
{
	return json_string_value(json_object_get(e->manifest, "BaseReferencePointId"));
}

/* Whether it has all that it is to say, and not only what it takes to restore a disk. */
static bool is_told(const json_t *manifest)
{
	static const char *const numbers[] = {"DataBytes", "ClonedBytes", "CopiedBytes",
					      "ZeroBytes"};
	const char *made, *exported, *method, *reason;
	uint64_t number;
	json_t *disk;
	size_t i;

	if (json_object_get(manifest, "Sequence") && /* there was none once */
	    (doc_u64(manifest, "Sequence", &number) < 0 || number > UINT32_MAX))
		return false;
	if (doc_u64(manifest, "ConsistencyLevel", &number) < 0 ||
	    doc_string(manifest, "CreationTime", &made) < 0 || !doc_time_valid(made) ||
	    doc_string(manifest, "ExportTime", &exported) < 0 ||
	    !doc_time_valid(exported))
		return false;
	json_array_foreach(json_object_get(manifest, "Disks"), i, disk) {
		for (size_t k = 0; k < ARRAY_SIZE(numbers); k++)
			if (doc_u64(disk, numbers[k], &number) < 0)
				return false;
		if (doc_string(disk, "Method", &method) < 0 ||
		    doc_string(disk, "MethodReason", &reason) < 0)
			return false;
	}
	return true;
}

static uint32_t check_configs(const struct exported *e, struct rp_error *err)
{
	json_t *name;
	size_t i;

	json_array_foreach(json_object_get(e->manifest, "ConfigFiles"), i, name) {
		const char *path = json_string_value(name);
		const char *want = json_string_value(json_array_get(
			json_object_get(e->manifest, "ConfigFileDigests"), i));
		char have[DIGEST_TEXT_SIZE];
		int r = config_digest(e->fd, path, have);

		if (r < 0)
			return rp_fail_os(err, r, "read", "%s/%s", e->path, path);
		if (strcmp(have, want))
			return rp_fail(err, RP_FAILED, "digest",
				       "digest %s/%s: differs from the manifest", e->path,
				       path);
	}
	return RP_OK;
}

uint32_t exported_check_beside(const struct exported *e, struct rp_error *err)
{
	if (!is_told(e->manifest))
		return rp_fail(err, RP_UNKNOWN_STATUS, "check",
			       "check %s: export.json is damaged", e->path);
	return check_configs(e, err);
}
