/* SPDX-License-Identifier: MIT */
/*
 * exporting_found.c - what an interrupted export has left in the partial folder: gone on
 * with, or known to be complete and what is asked for
 */
#include <string.h>

#include "chain.h"
#include "chain_disk.h"
#include "doc.h"
#include "exporting_state.h"
#include "format.h"
#include "resume.h"
#include "verify.h"

#define BLOCK_MAX (64 * KIB) /* of any file system */

/* Goes on where the journal says; if all is to be cloned, what was moved is of no use. */
static uint32_t go_on(struct exporting *x, struct rp_error *err)
{
	int r = 0;

	if (x->options.clone == RP_CLONE_ALWAYS && journal_has_marks(&x->journal)) {
		for (size_t i = 0; i < x->journal.count; i++)
			journal_forget(&x->journal, (int)i);
		r = journal_save(&x->journal);
	}
	return r < 0 ? rp_fail_os(err, r, "write", "journal of %s", x->target.path)
		     : resume_clean(&x->target, &x->journal, err);
}

/* Whether it is based as it is to be. Without a usable base it is full: then its disks
 * say that one was asked for. */
static bool is_based(const struct exporting *x, const json_t *manifest)
{
	const char *base = "", *kind = "";

	doc_string(manifest, "BaseReferencePointId", &base);
	doc_string(manifest, "Kind", &kind);
	if (!x->options.base)
		return !base[0];
	if (!strcmp(kind, "full"))
		return !x->options.strict;
	return !strcmp(base, x->changes.base.id) &&
	       !strcmp(kind, "merged") == x->options.merge;
}

/* Whether what the manifest says of @disk can come of the options. */
static bool is_made_so(const struct rp_export_options *o, const json_t *disk)
{
	uint64_t cluster = 0, cloned = 0, copied = 0, server = 0, size = 0;

	doc_u64(disk, "ClusterSize", &cluster);
	doc_u64(disk, "ClonedBytes", &cloned);
	doc_u64(disk, "CopiedBytes", &copied);
	doc_u64(disk, "ServerCopiedBytes", &server);
	doc_u64(disk, "VirtualSize", &size);
	if (o->digest == RP_DIGEST_ALWAYS &&
	    !json_is_object(json_object_get(disk, "Digest")))
		return false;
	if (o->cluster_size && o->cluster_size != cluster)
		return false;
	if (o->clone == RP_CLONE_NEVER)
		return !cloned && !server;
	if (o->clone != RP_CLONE_ALWAYS)
		return true;
	/* An image's tail is copied, whatever was asked for. */
	return !server && copied <= (o->format == RP_FORMAT_RAW ? 0 : size % BLOCK_MAX);
}

/* Whether the manifest is of what is to be exported: there is no journal to tell. */
static bool is_asked_for(const struct exporting *x, const json_t *manifest)
{
	const struct format *format = format_of(x->options.format);
	const char *id = "", *text;
	size_t i, count = 0;
	json_t *disk;

	doc_string(manifest, "ReferencePointId", &id);
	if (strcmp(id, x->point.id) || !is_based(x, manifest))
		return false;
	json_array_foreach(json_object_get(manifest, "Disks"), i, disk) {
		if (doc_string(disk, "DiskId", &text) < 0 ||
		    !export_disks_wanted(&x->options, text) ||
		    (x->options.base && !json_object_get(disk, "ChangeSource")) ||
		    doc_string(disk, "Format", &text) < 0 ||
		    strcmp(text, format ? format->name : "raw") ||
		    !is_made_so(&x->options, disk))
			return false;
		count++;
	}
	return count ==
	       (x->options.disk_count
			?: json_array_size(json_object_get(x->point.doc, "Disks")));
}

static uint32_t try_chain(const char *path, struct watch *w, bool *ret_again,
			  struct rp_error *err)
{
	struct chain chain = {0};
	uint32_t rc = chain_open(path, NULL, NULL, 0, &chain, err);

	if (rc == RP_OK)
		rc = chain_disks_fit(&chain, w, err);
	*ret_again = chain_was_merged(&chain, rc);
	chain_close(&chain);
	return rc;
}

/* What is based on others can be restored by what is there. */
static uint32_t check_restorable(struct exporting *x, const char *path,
				 struct rp_error *err)
{
	struct rp_error why;
	uint32_t rc;
	bool again;

	do {
		rp_error_clear(&why);
		rc = try_chain(path, &x->watch, &again, &why);
	} while (again);
	if (rp_is_shortage(rc, &why) || (rc && watch_has_stopped(&x->watch))) {
		*err = why;
		return rc;
	}
	return rc ? rp_fail(err, RP_INVALID_STATE, "resume", "resume %s: %s",
			    x->target.path, why.message)
		  : RP_OK;
}

/* It has lost its journal, so everything in it was synced; it is read again all the same.
 */
static uint32_t check_complete(struct exporting *x, struct rp_error *err)
{
	_cleanup_free_ char *path = NULL;
	uint32_t rc;

	x->keep = true;
	if (asprintf(&path, "%s/%s/%s", x->directory, x->point.system,
		     x->target.partial) < 0)
		return rp_fail_os(err, -ENOMEM, "resume", "%s", x->target.path);
	rc = verify_alone(path, &x->tuning, &x->watch, err);
	if (rc)
		return rc;
	if (x->options.strict && x->options.base)
		rc = check_restorable(x, path, err);
	if (rc)
		return rc;
	if (doc_load(x->target.fd, "export.json", &x->manifest) < 0 ||
	    !is_asked_for(x, x->manifest))
		return rp_fail(err, RP_INVALID_STATE, "resume",
			       "resume %s: the manifest there is of another export; "
			       "--restart starts over",
			       x->target.path);
	x->complete = true;
	/* If we die when it has its name, it is ours. */
	if (x->job.doc && json_object_set(x->job.doc, "CompletedBy",
					  json_object_get(x->manifest, "Job")) == 0)
		job_save_state(&x->job);
	return RP_OK;
}

uint32_t exporting_take_up(struct exporting *x, struct rp_error *err)
{
	_cleanup_doc_ json_t *identity = journal_identity(&x->point, &x->options);
	enum resume_kind kind = RESUME_NOTHING;
	uint32_t rc;
	int r;

	if (x->target.found) {
		rc = resume_look(&x->target, identity, &x->journal, &kind, err);
		x->keep = rc != RP_OK; /* as evidence */
		if (rc)
			return rc;
	}
	if (kind == RESUME_JOURNAL)
		return go_on(x, err);
	if (kind == RESUME_COMPLETE)
		return check_complete(x, err);
	r = journal_begin(&x->journal, x->target.fd, take_ptr(identity));
	return r < 0 ? rp_fail_os(err, r, "write", "journal of %s", x->target.path)
		     : RP_OK;
}
