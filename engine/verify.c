/* SPDX-License-Identifier: MIT */
/*
 * verify.c - reading a whole export again
 */
#include <string.h>

#include "copy.h"
#include "doc.h"
#include "manifest.h"

static json_t *describe(const struct exported *e, const struct stream *streams,
			size_t count)
{
	json_t *disks = json_array();

	for (size_t i = 0; i < count; i++)
		json_array_append_new(
			disks,
			json_pack("{s:s, s:s, s:I, s:s, s:I}", "DiskId", streams[i].disk,
				  "File", streams[i].src_path, "VirtualSize",
				  (json_int_t)streams[i].src.size, "Compared",
				  streams[i].digested ? "digest" : "size", "Chunks",
				  (json_int_t)(streams[i].digested
						       ? digest_chunk_count(
								 streams[i].src.size)
						       : 0)));
	return json_pack(
		"{s:s, s:O, s:O, s:o, s:O}", "ExportPath", e->path, "ReferencePointId",
		json_object_get(e->manifest, "ReferencePointId"),
		"VirtualSystemIdentifier",
		json_object_get(e->manifest, "VirtualSystemIdentifier"), "Disks", disks,
		"ConfigFiles", json_object_get(e->manifest, "ConfigFiles"));
}

static uint32_t report(const struct exported *e, const struct stream *streams,
		       size_t count, char **ret_report, struct rp_error *err)
{
	_cleanup_doc_ json_t *doc = NULL;
	char *text;

	if (!ret_report)
		return RP_OK;
	doc = describe(e, streams, count);
	text = doc ? doc_text(doc) : NULL;
	if (!text)
		return rp_fail_os(err, -ENOMEM, "verify", "%s", e->path);
	*ret_report = text;
	return RP_OK;
}

static uint32_t verify(const struct exported *e, const struct rp_read_options *options,
		       char **ret_report, struct rp_error *err)
{
	size_t count = json_array_size(exported_disks(e)), opened = 0;
	_cleanup_free_ struct stream *streams = calloc(count + 1, sizeof(*streams));
	struct tuning tuning;
	struct watch watch;
	uint32_t rc;

	if (!streams)
		return rp_fail_os(err, -ENOMEM, "verify", "%s", e->path);
	watch_init(&watch, options->watch, 0);
	tuning_init(&tuning, options->io);
	rc = exported_check_configs(e, err);
	for (; rc == RP_OK && opened < count; opened += rc == RP_OK) {
		streams[opened].dst = (struct io_file)IO_FILE_NONE;
		rc = exported_open_disk(e, json_array_get(exported_disks(e), opened),
					&streams[opened], err);
	}
	if (rc == RP_OK && count)
		rc = copy_streams(streams, count, &tuning, &watch, err);
	if (rc == RP_OK)
		rc = report(e, streams, count, ret_report, err);
	for (size_t i = 0; i < opened; i++)
		exported_close_disk(&streams[i]);
	return rc;
}

uint32_t rp_verify(const char *export_path, const struct rp_read_options *options,
		   char **ret_report, struct rp_error *reterr)
{
	static const struct rp_read_options defaults = {.size = sizeof(defaults)};
	struct exported e = EXPORTED_NONE;
	uint32_t rc;

	rp_error_clear(reterr);
	options = options ?: &defaults;
	rc = exported_check_options(options, reterr);
	if (rc == RP_OK)
		rc = exported_open(export_path, &e, reterr);
	if (rc == RP_OK)
		rc = verify(&e, options, ret_report, reterr);
	if (rc)
		rp_fail_of(reterr, e.system, NULL);
	exported_close(&e);
	return rc;
}
