/* SPDX-License-Identifier: MIT */
/*
 * manifest.c - writing export.json
 */
#include "manifest.h"

#include "doc.h"
#include "leaves.h"

json_t *manifest_new(const struct point *point, const char *job)
{
	_cleanup_doc_ json_t *doc = doc_new();
	static const char *const same[] = {"VirtualSystemIdentifier",
					   "ReferencePointType", "ConsistencyLevel",
					   "Consistency", "CreationTime"};
	char now[DOC_TIME_SIZE];

	doc_time(now);
	for (size_t i = 0; doc && i < ARRAY_SIZE(same); i++)
		if (json_object_set(doc, same[i], json_object_get(point->doc, same[i])) <
		    0)
			return NULL;
	if (!doc ||
	    json_object_update_new(
		    doc, json_pack("{s:s, s:n, s:s, s:O*, s:s*, s:s, s:[], s:[], s:[]}",
				   "ReferencePointId", point->id, "BaseReferencePointId",
				   "ExportTime", now, "Sequence",
				   json_object_get(point->doc, "Sequence"), "Job",
				   job[0] ? job : NULL, "Kind", "full", "ConfigFiles",
				   "ConfigFileDigests", "Disks")) < 0)
		return NULL;
	return take_ptr(doc);
}

int manifest_add_disk(json_t *manifest, const struct stream *s, const char *file,
		      const char *leaves, struct watch *w)
{
	uint64_t zero = stream_size(s) - s->data_bytes;
	json_t *digest = json_null();
	int r = leaves ? leaves_describe(&s->leaves, leaves, w, &digest) : 0;

	if (r < 0)
		return r;
	return json_array_append_new(
		       json_object_get(manifest, "Disks"),
		       json_pack(
			       "{s:s, s:s, s:s, s:I, s:I, s:I, s:I, s:I, s:I, s:s, s:s, s:s?, "
			       "s:s?, s:I, s:i, s:I, s:o}",
			       "DiskId", s->disk, "File", file, "Format", "raw",
			       "VirtualSize", (json_int_t)stream_size(s), "DataBytes",
			       (json_int_t)s->data_bytes, "ClonedBytes",
			       (json_int_t)s->cloned_bytes, "CopiedBytes",
			       (json_int_t)s->copied_bytes, "ServerCopiedBytes",
			       (json_int_t)s->server_bytes, "ZeroBytes", (json_int_t)zero,
			       "Method", stream_method(s), "MethodReason", s->reason,
			       "Backend", s->backend, "BackendReason",
			       s->backend ? s->backend_reason : NULL, "BlockSize",
			       (json_int_t)s->block, "QueueDepth", (int)s->depth,
			       "ResumedBytes", (json_int_t)s->kept_bytes, "Digest",
			       digest)) < 0
		       ? -ENOMEM
		       : 0;
}

int manifest_add_to_disk(json_t *manifest, json_t *members)
{
	json_t *disks = json_object_get(manifest, "Disks");
	json_t *disk = json_array_get(disks, json_array_size(disks) - 1);
	int r = !members || json_object_update(disk, members) < 0 ? -ENOMEM : 0;

	json_decref(members);
	return r;
}

int manifest_set_base(json_t *manifest, const char *kind, const char *base_id)
{
	if (json_object_set_new(manifest, "Kind", json_string(kind)) < 0 ||
	    json_object_set_new(manifest, "BaseReferencePointId", json_string(base_id)) <
		    0)
		return -ENOMEM;
	return 0;
}

int manifest_add_config(json_t *manifest, const char *name, const char *digest)
{
	if (json_array_append_new(json_object_get(manifest, "ConfigFiles"),
				  json_sprintf("config/%s", name)) < 0 ||
	    json_array_append_new(json_object_get(manifest, "ConfigFileDigests"),
				  json_string(digest)) < 0)
		return -ENOMEM;
	return 0;
}
