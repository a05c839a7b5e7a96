/* SPDX-License-Identifier: MIT */
/*
 * verify.c - reading a whole export again
 */

#include "chain_disk.h"
#include "copy.h"
#include "doc.h"
#include "exported.h"
#include "verify.h"

/* What was compared of part @k: "digest", "size" as it has no digest, or only that as it
 * was not @read: "unread". */
static const char *compared(const struct chain *c, size_t k, bool read)
{
	if (!chain_has_digests(c, k))
		return "size";
	return read || k == 0 ? "digest" : "unread";
}

/* The parts, the export itself first. */
static json_t *describe_chain(const struct chain *c, bool read)
{
	json_t *list = json_array();

	for (size_t i = 0; i < c->count; i++) {
		const json_t *manifest = c->parts[i].manifest;

		json_array_append_new(
			list, json_pack("{s:s, s:O, s:O, s:s}", "ExportPath", c->paths[i],
					"ReferencePointId",
					json_object_get(manifest, "ReferencePointId"),
					"Kind", json_object_get(manifest, "Kind"),
					"Compared", compared(c, i, read)));
	}
	return list;
}

static json_t *describe(const struct chain *c, const struct stream *streams, size_t count,
			bool bases)
{
	const struct exported *e = &c->parts[0];
	json_t *disks = json_array();

	for (size_t i = 0; i < count; i++)
		json_array_append_new(
			disks,
			json_pack("{s:s, s:s, s:I, s:s, s:I}", "DiskId", streams[i].disk,
				  "File", streams[i].src_path, "VirtualSize",
				  (json_int_t)stream_size(&streams[i]), "Compared",
				  streams[i].digested ? "digest" : "size", "Chunks",
				  (json_int_t)(streams[i].digested
						       ? digest_chunk_count(
								 stream_size(&streams[i]))
						       : 0)));
	return json_pack("{s:s, s:O, s:O, s:O, s:o, s:O, s:o}", "ExportPath", e->path,
			 "ReferencePointId",
			 json_object_get(e->manifest, "ReferencePointId"),
			 "VirtualSystemIdentifier",
			 json_object_get(e->manifest, "VirtualSystemIdentifier"), "Kind",
			 json_object_get(e->manifest, "Kind"), "Disks", disks,
			 "ConfigFiles", json_object_get(e->manifest, "ConfigFiles"),
			 "Chain", describe_chain(c, bases));
}

static uint32_t report(const struct chain *c, const struct stream *streams, size_t count,
		       bool bases, char **ret_report, struct rp_error *err)
{
	_cleanup_doc_ json_t *doc = NULL;
	int r;

	if (!ret_report)
		return RP_OK;
	doc = describe(c, streams, count, bases);
	r = doc_give(doc, ret_report);
	return r < 0 ? rp_fail_os(err, r, "verify", "%s", c->paths[0]) : RP_OK;
}

/* @bases: and those that it is based on. */
static uint32_t verify(const struct chain *c, bool bases, const struct tuning *tuning,
		       struct watch *w, char **ret_report, struct rp_error *err)
{
	const struct exported *e = &c->parts[0];
	size_t count = json_array_size(exported_disks(e)), opened = 0;
	_cleanup_free_ struct stream *streams = calloc(count + 1, sizeof(*streams));
	uint32_t rc;

	if (!streams)
		return rp_fail_os(err, -ENOMEM, "verify", "%s", e->path);
	rc = exported_check_beside(e, err);
	for (; rc == RP_OK && opened < count; opened += rc == RP_OK) {
		streams[opened].dst = (struct io_file)IO_FILE_NONE;
		rc = exported_open_disk(e, json_array_get(exported_disks(e), opened),
					&streams[opened], w, err);
	}
	if (rc == RP_OK)
		rc = chain_disks_fit(c, w, err);
	if (rc == RP_OK && count)
		rc = copy_streams(streams, count, tuning, w, err);
	for (size_t k = 1; rc == RP_OK && bases && k < c->count; k++)
		rc = exported_check_beside(&c->parts[k], err);
	if (rc == RP_OK && bases)
		rc = chain_check(c, 1, c->count, NULL, tuning, w, err);
	if (rc == RP_OK)
		rc = report(c, streams, count, bases, ret_report, err);
	for (size_t i = 0; i < opened; i++)
		exported_close_disk(&streams[i]);
	return rc;
}

uint32_t verify_alone(const char *path, const struct tuning *tuning, struct watch *w,
		      struct rp_error *err)
{
	struct chain c = {0};
	uint32_t rc = chain_open_alone(path, &c, err);

	if (rc == RP_OK)
		rc = verify(&c, false, tuning, w, NULL, err);
	chain_close(&c);
	return rc;
}

static uint32_t verify_chain(const char *path, const struct rp_read_options *options,
			     char **ret_report, bool *ret_again, struct rp_error *err)
{
	struct chain c = {0};
	struct tuning tuning;
	struct watch watch;
	uint32_t rc = chain_open(path, NULL, options->search, options->search_count, &c,
				 err);

	tuning_init(&tuning, options->io);
	watch_init(&watch, options->watch, 0);
	if (rc == RP_OK)
		rc = verify(&c, options->chain, &tuning, &watch, ret_report, err);
	if (rc && c.count)
		rp_fail_of(err, c.parts[0].system, NULL);
	*ret_again = chain_was_merged(&c, rc);
	chain_close(&c);
	return rc;
}

uint32_t rp_verify(const char *export_path, const struct rp_read_options *options,
		   char **ret_report, struct rp_error *reterr)
{
	static const struct rp_read_options defaults = {.size = sizeof(defaults)};
	bool again = false;
	uint32_t rc;

	options = options ?: &defaults;
	do {
		rp_error_clear(reterr);
		rc = exported_check_options(options, reterr);
		if (rc == RP_OK)
			rc = verify_chain(export_path, options, ret_report, &again,
					  reterr);
	} while (again);
	return rc;
}
