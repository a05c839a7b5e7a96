/* SPDX-License-Identifier: MIT */
/*
 * exported_disks.c - the disks of an export that is read: which, and their files, lists
 * of changes and digests
 */
#include "exported.h"

#include <inttypes.h>
#include <string.h>

#include "doc.h"
#include "exported_image.h"
#include "leaves.h"
#include "watch.h"

json_t *exported_disks(const struct exported *e)
{
	return json_object_get(e->manifest, "Disks");
}

json_t *exported_disk(const struct exported *e, const char *id)
{
	return json_object_get(e->by_id, id);
}

bool exported_is_differential(const json_t *disk)
{
	return json_is_object(json_object_get(disk, "Changes"));
}

static uint32_t damaged_list(const struct exported *e, const json_t *disk,
			     const char *file, const char *what, struct rp_error *err)
{
	const char *id = json_string_value(json_object_get(disk, "DiskId"));

	return rp_fail_disk(err, id, RP_NO_OFFSET, RP_UNKNOWN_STATUS, "check",
			    "check %s/%s: %s", e->path, file, what);
}

/* The hash makes it the very list; what it says must be what is said elsewhere too. */
static const char *wrong_list(const struct exported *e, const json_t *disk,
			      const struct change_list_head *head, const char *digest)
{
	const char *want, *id, *point;
	uint64_t size;

	doc_string(json_object_get(disk, "Changes"), "Digest", &want);
	doc_string(disk, "DiskId", &id);
	doc_string(e->manifest, "ReferencePointId", &point);
	doc_u64(disk, "VirtualSize", &size);
	if (strcmp(digest, want))
		return "its digest is not the manifest's";
	if (strcmp(head->disk, id) || strcmp(head->point, point) ||
	    strcmp(head->base, exported_base(e)) || head->size != size)
		return "it is the list of another disk";
	return NULL;
}

uint32_t exported_open_list(const struct exported *e, const json_t *disk, struct watch *w,
			    struct change_list **ret, struct rp_error *err)
{
	char digest[DIGEST_TEXT_SIZE];
	struct change_list *list;
	const char *file, *wrong;
	uint32_t rc;
	int r;

	doc_string(json_object_get(disk, "Changes"), "File", &file);
	r = change_list_open(e->fd, file, w, &list, digest);
	if (watch_is_stop(r))
		return watch_fail(w, r, err);
	if (r == -EBADMSG)
		return damaged_list(e, disk, file, "no list of changes, or damaged", err);
	if (r < 0) {
		rc = rp_fail_os(err, r, "open", "%s/%s", e->path, file);
		rp_fail_of(err, NULL, json_string_value(json_object_get(disk, "DiskId")));
		return rc;
	}
	wrong = wrong_list(e, disk, change_list_head(list), digest);
	if (wrong) {
		change_list_close(list);
		return damaged_list(e, disk, file, wrong, err);
	}
	*ret = list;
	return RP_OK;
}

static uint32_t open_leaves(const struct exported *e, const json_t *digest,
			    struct stream *s, struct watch *w, struct rp_error *err)
{
	const char *file = "";
	int r = leaves_open(e->fd, digest, stream_size(s), w, &s->leaves);

	if (watch_is_stop(r))
		return watch_fail(w, r, err);
	if (r == -EBADMSG)
		return rp_fail_disk(
			err, s->disk, RP_NO_OFFSET, RP_UNKNOWN_STATUS, "check",
			"check digests of %s: they are not those of the manifest",
			s->src_path);
	doc_string(digest, "File", &file);
	if (r < 0)
		return stream_fail(s, r, "open", file, RP_NO_OFFSET, err);
	s->digest = STREAM_DIGEST_CHECK;
	return RP_OK;
}

/* A raw disk's is its own. An image may have grown: QEMU writes a new bitmap into one
 * that it opens to write to it. */
static bool is_size(const json_t *disk, const struct io_file *file, uint64_t *ret_want)
{
	if (!exported_is_image(disk)) {
		doc_u64(disk, "VirtualSize", ret_want);
		return file->size == *ret_want;
	}
	return doc_u64(disk, "FileSize", ret_want) < 0 || file->size >= *ret_want;
}

uint32_t exported_open_some(const struct exported *e, const json_t *disk,
			    const char *path, struct io_file *ret, struct rp_error *err)
{
	const char *id, *name;
	uint32_t rc;
	int r;

	doc_string(disk, "DiskId", &id);
	doc_string(disk, "File", &name);
	r = io_file_open_read(e->fd, name, ret);
	if (r < 0) {
		rc = rp_fail_os(err, r, "open", "%s", path);
		rp_fail_of(err, NULL, id);
		return rc;
	}
	if (!ret->device)
		return RP_OK;
	io_file_close(ret);
	return rp_fail_disk(err, id, RP_NO_OFFSET, RP_FAILED, "check",
			    "check %s: it is a block device", path);
}

uint32_t exported_open_file(const struct exported *e, const json_t *disk,
			    const char *path, struct io_file *ret, struct rp_error *err)
{
	uint32_t rc = exported_open_some(e, disk, path, ret, err);
	uint64_t want = 0;
	const char *id;

	if (rc || is_size(disk, ret, &want))
		return rc;
	doc_string(disk, "DiskId", &id);
	rc = rp_fail_disk(err, id, RP_NO_OFFSET, RP_FAILED, "check",
			  "check size of %s: %" PRIu64
			  " bytes, the manifest says %" PRIu64,
			  path, ret->size, want);
	io_file_close(ret);
	return rc;
}

uint32_t exported_open_disk(const struct exported *e, const json_t *disk,
			    struct stream *s, struct watch *w, struct rp_error *err)
{
	const json_t *digest = json_object_get(disk, "Digest");
	uint32_t rc;

	s->src = (struct io_file)IO_FILE_NONE;
	s->leaves.fd = -1;
	doc_string(disk, "DiskId", &s->disk);
	doc_string(disk, "File", &s->src_path);
	rc = exported_open_file(e, disk, s->src_path, &s->src, err);
	if (rc == RP_OK && exported_is_image(disk))
		rc = exported_image_stream(disk, s, err);
	if (rc == RP_OK && !json_is_null(digest))
		rc = open_leaves(e, digest, s, w, err);
	if (rc == RP_OK && s->digest == STREAM_DIGEST_CHECK)
		rc = leaves_check_holes(s, w, err);
	if (rc)
		exported_close_disk(s);
	return rc;
}

void exported_close_disk(struct stream *s)
{
	if (s->from && s->from->close)
		s->from->close(s->from);
	s->from = NULL;
	io_file_close(&s->src);
	if (s->leaves.fd >= 0)
		close(s->leaves.fd);
	s->leaves.fd = -1;
}
