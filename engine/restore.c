/* SPDX-License-Identifier: MIT */
/*
 * restore.c - one exported disk, of a chain or salvaged, to where it is wanted
 */

#include "chain_disk.h"
#include "copy.h"
#include "doc.h"
#include "exported.h"
#include "output.h"
#include "salvage.h"

static json_t *describe(const char *system, const struct output *o,
			const struct stream *s)
{
	return json_pack(
		"{s:s, s:s, s:s, s:I, s:I, s:I, s:I, s:I, s:s, s:s, s:s?, s:s?, s:b}",
		"VirtualSystemIdentifier", system, "DiskId", s->disk, "Output", o->path,
		"VirtualSize", (json_int_t)stream_size(s), "ClonedBytes",
		(json_int_t)s->cloned_bytes, "CopiedBytes", (json_int_t)s->copied_bytes,
		"ServerCopiedBytes", (json_int_t)s->server_bytes, "ZeroBytes",
		(json_int_t)(stream_size(s) - s->data_bytes), "Method", stream_method(s),
		"MethodReason", s->reason, "Backend", s->backend, "BackendReason",
		s->backend ? s->backend_reason : NULL, "DigestChecked", s->digested);
}

/* What is restored, from where, and how. */
struct restore {
	const struct rp_read_options *options;
	struct chain chain;
	struct chain_disk disk; /* if it lies in several files */
	struct salvage salvage; /* if that was asked for */
	struct rp_error cut;	/* why the chain ended before its time, then */
	struct stream stream;
	struct output output;
	struct tuning tuning;
	struct watch watch;
};

static int add_lost(json_t *doc, const struct salvage *s)
{
	return json_object_update_new(
		doc, json_pack("{s:I, s:I, s:O}", "LostBytes", (json_int_t)s->lost_bytes,
			       "LostCount", (json_int_t)s->lost_count, "Lost", s->lost));
}

/* What was shared has not passed: it is read for its digest, if there is one. */
static uint32_t check_shared(struct restore *r, struct rp_error *err)
{
	struct stream *s = &r->stream;
	uint32_t rc;

	if (s->leaves.fd < 0 || s->digested)
		return RP_OK;
	rc = chain_check(&r->chain, 0, 1, s->disk, &r->tuning, &r->watch, err);
	s->digested = rc == RP_OK;
	return rc;
}

static uint32_t open_output(struct restore *r, struct rp_error *err)
{
	struct stream *s = &r->stream;
	int twin_fd = r->disk.count ? r->disk.layer[r->disk.count - 1]->file.fd
				    : s->src.fd;

	s->clone = r->options->clone;
	s->dst_path = r->output.path;
	return output_open(&r->output, s, twin_fd, err);
}

static uint32_t run(struct restore *r, char **ret_report, struct rp_error *err)
{
	struct stream *s = &r->stream;
	struct output *o = &r->output;
	_cleanup_doc_ json_t *doc = NULL;
	char *text = NULL;
	uint32_t rc;

	rc = copy_streams(s, 1, &r->tuning, &r->watch, err);
	if (rc == RP_OK)
		rc = check_shared(r, err);
	if (rc == RP_OK && ret_report) {
		doc = describe(r->chain.parts[0].system, o, s);
		if (doc && r->options->salvage && add_lost(doc, &r->salvage) < 0)
			json_decref(take_ptr(doc));
		text = doc ? doc_text(doc) : NULL;
		if (!text)
			rc = rp_fail_os(err, -ENOMEM, "restore", "%s", o->path);
	}
	if (rc == RP_OK)
		rc = output_publish(o, s, err);
	if (rc)
		free(text);
	else if (ret_report)
		*ret_report = text;
	return rc;
}

static uint32_t check_disk(const struct exported *e, const char *id, const json_t **ret,
			   struct rp_error *err)
{
	const json_t *disk = id ? exported_disk(e, id) : NULL;

	if (!disk)
		return rp_fail(err, RP_INVALID_PARAMETER, "check",
			       "disk '%s': not in export %s", id ?: "", e->path);
	*ret = disk;
	return RP_OK;
}

/* What is missing is not lost: it was there for a part that is another now. */
static uint32_t was_merged(const struct restore *r, struct rp_error *err)
{
	return rp_fail(err, RP_NOT_AVAILABLE, "open",
		       "open export %s: a part of its chain was merged meanwhile",
		       r->chain.paths[0]);
}

/* What there is of the chain. */
static uint32_t open_salvaged(struct restore *r, const json_t *disk, struct rp_error *err)
{
	struct stream *s = &r->stream;
	struct rp_error cut, own;
	uint32_t rc;

	err = err ?: &own;
	doc_string(disk, "DiskId", &s->disk);
	rc = chain_disk_open_some(&r->chain, s->disk, &r->watch, &r->disk, &cut, err);
	if (rc)
		return rc;
	if (cut.code)
		r->cut = cut;
	if (r->cut.code && chain_was_merged(&r->chain, RP_NOT_AVAILABLE))
		return was_merged(r, err);
	if (r->cut.code)
		watch_warn(&r->watch, "%s; what was to come from there is lost",
			   r->cut.message);
	for (size_t i = 0; i < r->disk.count; i++)
		if (r->disk.layer[i]->file.fd < 0)
			watch_warn(&r->watch,
				   "%s: missing or damaged; what it had is lost",
				   r->disk.path[i]);
	s->src_path = r->chain.paths[0];
	s->from = &r->disk.layers.source;
	return RP_OK;
}

/* Without what is lost, which is found out by reading it. */
static uint32_t check_salvaged(struct restore *r, struct rp_error *err)
{
	uint32_t rc = salvage_open(&r->chain, &r->disk, r->cut.code != RP_OK, &r->watch,
				   &r->salvage, err);

	r->stream.from = &r->salvage.layers.source;
	if (rc == RP_OK && chain_was_merged(&r->chain, RP_NOT_AVAILABLE))
		return was_merged(r, err);
	return rc;
}

static uint32_t open_source(struct restore *r, const json_t *disk, struct rp_error *err)
{
	const char *id;
	uint32_t rc;

	if (r->options->salvage)
		return open_salvaged(r, disk, err);
	if (!exported_is_differential(disk))
		return exported_open_disk(&r->chain.parts[0], disk, &r->stream, &r->watch,
					  err);
	doc_string(disk, "DiskId", &id);
	r->stream.disk = id;
	rc = chain_disk_open(&r->chain, id, &r->watch, &r->disk, err);
	r->stream.src_path = r->chain.paths[0];
	r->stream.from = &r->disk.layers.source;
	return rc;
}

/*
 * Of a disk in one file what passes is compared with its digest. The files of a chain
 * have a digest each, of which parts show only: they are read as wholes before, when
 * nothing else can be refused any more.
 */
static uint32_t check_source(struct restore *r, struct rp_error *err)
{
	uint32_t rc;

	if (r->options->salvage)
		return check_salvaged(r, err);
	if (!r->disk.count)
		return RP_OK;
	rc = copy_check_room(&r->stream, &r->watch, err);
	if (rc == RP_OK)
		rc = chain_check(&r->chain, 0, r->chain.count, r->stream.disk, &r->tuning,
				 &r->watch, err);
	return rc;
}

static uint32_t open_chain(struct restore *r, const char *path, const char *disk,
			   struct rp_error *err)
{
	const struct rp_read_options *o = r->options;
	struct rp_error own; /* what ends the chain is known by its error */

	if (!o->salvage)
		return chain_open(path, disk, o->search, o->search_count, &r->chain, err);
	return chain_open_some(path, disk, o->search, o->search_count, &r->chain, &r->cut,
			       err ?: &own);
}

static uint32_t restore(const char *path, const char *disk, const char *output,
			const struct rp_read_options *options, char **ret_report,
			bool *ret_again, struct rp_error *err)
{
	struct restore r = {
		.stream = {.src = IO_FILE_NONE, .dst = IO_FILE_NONE, .leaves.fd = -1},
		.output = OUTPUT_NONE,
		.options = options,
	};
	const json_t *found = NULL;
	uint32_t rc;

	watch_init(&r.watch, options->watch, 0);
	tuning_init(&r.tuning, options->io);
	rc = open_chain(&r, path, disk, err);
	if (rc == RP_OK)
		rc = check_disk(&r.chain.parts[0], disk, &found, err);
	if (rc == RP_OK)
		rc = output_check(&r.output, output, options->replace, err);
	if (rc == RP_OK)
		rc = open_source(&r, found, err);
	if (rc == RP_OK)
		rc = open_output(&r, err);
	if (rc == RP_OK)
		rc = check_source(&r, err);
	if (rc == RP_OK)
		rc = run(&r, ret_report, err);
	io_file_close(&r.stream.dst);
	exported_close_disk(&r.stream);
	salvage_close(&r.salvage);
	chain_disk_close(&r.disk);
	output_close(&r.output);
	if (rc && r.chain.count)
		rp_fail_of(err, r.chain.parts[0].system, NULL);
	*ret_again = chain_was_merged(&r.chain, rc);
	chain_close(&r.chain);
	return rc;
}

uint32_t rp_restore(const char *export_path, const char *disk, const char *output,
		    const struct rp_read_options *options, char **ret_report,
		    struct rp_error *reterr)
{
	static const struct rp_read_options defaults = {.size = sizeof(defaults)};
	bool again = false;
	uint32_t rc;

	options = options ?: &defaults;
	do {
		rp_error_clear(reterr);
		rc = exported_check_options(options, reterr);
		if (rc == RP_OK)
			rc = restore(export_path, disk, output, options, ret_report,
				     &again, reterr);
	} while (again);
	return rc;
}
