/* SPDX-License-Identifier: MIT */
/*
 * probe.c - what works between two mounts, and how fast: measured, kept in the store
 */
#include "probe.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/utsname.h>

#include "digest.h"
#include "doc.h"
#include "io/lock.h"
#include "io/mount.h"
#include "io/probe.h"
#include "io/tree.h"
#include "options.h"
#include "probe_speed.h"

/* What is found out again by itself for a move of at least this much. */
#define WORTH_IT (4 * GIB)

/* Another may measure for a while: 20 MB a second make it 20 s. */
#define KEEP_WAIT_MS 60000

/* One pair that is looked at. */
struct probing {
	const char *path[2]; /* for people; NULL = not known */
	int dirfd[2];
	json_t *identity; /* the kernel and both mounts */
	char name[DIGEST_TEXT_SIZE + 8];
};

static json_t *fact(enum io_fact fact)
{
	return fact == IO_FACT_UNKNOWN ? json_null() : json_boolean(fact == IO_FACT_YES);
}

/* ---------------------------------------------------------------- what it counts for */

static int describe_mount(int dirfd, json_t **ret)
{
	struct io_mount mount;
	int r = io_mount_of(dirfd, &mount);

	if (r < 0)
		return r;
	*ret = json_pack("{s:s, s:s, s:s, s:o}", "FileSystem", mount.type, "Device",
			 mount.source, "Options", mount.options, "Id",
			 json_sprintf("%016llx", (unsigned long long)mount.id));
	io_mount_free(&mount);
	return *ret ? 0 : -ENOMEM;
}

/* The file is named after the mounts, so that a new kernel or option replaces it. */
static int name_it(struct probing *p)
{
	_cleanup_free_ char *text = NULL;
	uint8_t digest[DIGEST_SIZE];
	char key[4][128] = {""};

	for (unsigned i = 0; i < 2; i++) {
		const json_t *mount = json_array_get(
			json_object_get(p->identity, "Mounts"), i);

		snprintf(key[2 * i], sizeof(key[0]), "%s",
			 json_string_value(json_object_get(mount, "Device")) ?: "");
		snprintf(key[2 * i + 1], sizeof(key[0]), "%s",
			 json_string_value(json_object_get(mount, "Id")) ?: "");
	}
	if (asprintf(&text, "%s\n%s\n%s\n%s", key[0], key[1], key[2], key[3]) < 0) {
		text = NULL;
		return -ENOMEM;
	}
	digest_leaf(text, strlen(text), digest);
	digest_text(digest, p->name);
	strcat(p->name, ".json");
	return 0;
}

static int identify(struct probing *p)
{
	json_t *from = NULL, *to = NULL;
	struct utsname uts;
	int r = uname(&uts) < 0 ? -errno : describe_mount(p->dirfd[0], &from);

	if (r == 0)
		r = describe_mount(p->dirfd[1], &to);
	if (r < 0) {
		json_decref(from);
		return r;
	}
	p->identity = json_pack("{s:s, s:s, s:[o, o]}", "Kernel", uts.release,
				"KernelVersion", uts.version, "Mounts", from, to);
	return p->identity ? name_it(p) : -ENOMEM;
}

/* ------------------------------------------------------------------------- facts */

static int add_mount(json_t *doc, const struct probing *p, unsigned which)
{
	const json_t *known = json_array_get(json_object_get(p->identity, "Mounts"),
					     which);
	struct io_mount_facts facts;
	json_t *mount;
	int r = io_probe_mount(p->dirfd[which], &facts);

	if (r < 0)
		return r;
	mount = json_pack("{s:s*, s:i, s:b, s:i, s:o, s:o, s:o, s:o}", "Path",
			  p->path[which], "BlockSize", facts.block, "DirectIo",
			  facts.direct_align != 0, "DirectIoAlignment",
			  facts.direct_align, "DirectWritesBuffered", fact(facts.buffers),
			  "SeekDataSeesMaps", fact(facts.sees_maps),
			  "NocowMismatchRefused", fact(facts.nocow_refused), "ReverseMap",
			  fact(facts.reverse_map));
	if (!mount || json_object_set_new(doc, which ? "Target" : "Source", mount) < 0 ||
	    json_object_update(mount, (json_t *)known) < 0)
		return -ENOMEM;
	return 0;
}

static const char *reason_of(int error)
{
	return error ? strerrordesc_np(-error) : NULL;
}

static int add_pair(json_t *doc, const struct probing *p)
{
	struct io_pair_facts facts;

	io_probe_pair(p->dirfd[0], p->dirfd[1], &facts);
	return json_object_update_new(
		       doc,
		       json_pack("{s:{s:b, s:s?, s:f, s:f, s:o}, s:{s:b, s:s?, s:o}}",
				 "Reflink", "Works", !facts.clone_error, "Reason",
				 reason_of(facts.clone_error), "Microseconds",
				 (double)facts.clone_ns / 1e3, "MicrosecondsPerExtent",
				 (double)facts.extent_ns / 1e3, "PartialTailRefused",
				 fact(facts.tail_refused), "CopyFileRange", "Works",
				 !facts.copy_error, "Reason", reason_of(facts.copy_error),
				 "EndsAtTheEnd", fact(facts.copy_ends_late))) < 0
		       ? -ENOMEM
		       : 0;
}

/* The whole document. */
static uint32_t find_out(const struct probing *p, struct watch *w, json_t **ret,
			 struct rp_error *err)
{
	_cleanup_doc_ json_t *doc = doc_new();
	char now[DOC_TIME_SIZE];
	int r;

	doc_time(now);
	if (!doc || json_object_update(doc, p->identity) < 0 ||
	    json_object_set_new(doc, "ProbeTime", json_string(now)) < 0)
		return rp_fail_os(err, -ENOMEM, "probe", "%s", p->path[1] ?: "mounts");
	r = add_mount(doc, p, 0);
	if (r < 0)
		return rp_fail_os(err, r, "probe", "%s", p->path[0] ?: "source");
	r = probe_tick(w);
	if (r == 0)
		r = add_mount(doc, p, 1);
	if (r == 0)
		r = probe_tick(w);
	if (r == 0)
		r = add_pair(doc, p);
	if (r == 0)
		r = probe_speed(doc, p->dirfd[0], p->dirfd[1], w);
	if (r < 0)
		return rp_fail_os(err, r, "probe", "%s", p->path[1] ?: "target");
	*ret = take_ptr(doc);
	return RP_OK;
}

/* ------------------------------------------------------------------------- keeping */

/* Where it is kept, locked: there is one writer, and who would measure beside another
 * measured both. Its fd or -errno. */
static int lock_probes(struct rp_store *store, uint64_t wait_ms)
{
	return io_locked(io_dir_make(store->fd, "probes", NULL), wait_ms);
}

/* 1 = it counts, 0 = it is of another kernel or mount, or damaged, -errno: there is none.
 */
static int recall(struct rp_store *store, const struct probing *p, json_t **ret)
{
	_cleanup_close_ int dirfd = io_dir_open(store->fd, "probes");
	const char *key;
	json_t *value;
	int r = dirfd < 0 ? dirfd : doc_load(dirfd, p->name, ret);

	if (r < 0)
		return r == -EBADMSG ? 0 : r;
	json_object_foreach(p->identity, key, value) {
		if (!json_equal(value, json_object_get(*ret, key)))
			return 0;
	}
	return 1;
}

/* Where nothing could be measured (no space, a quota) what was found before counts on,
 * and the next one looks again. */
static void keep(int dirfd, const struct probing *p, const json_t *doc)
{
	if (json_object_get(doc, "Choice"))
		doc_save(dirfd, p->name, doc); /* or the next one finds it out */
}

static void tune_by(const json_t *doc, struct tuning *t)
{
	const json_t *choice = json_object_get(doc, "Choice");
	const char *backend, *why;
	uint64_t block;
	int r;

	if (doc_string(choice, "Backend", &backend) < 0 ||
	    doc_u64(choice, "BlockSize", &block) < 0 ||
	    doc_string(choice, "Reason", &why) < 0)
		return; /* nothing could be measured */
	r = tuning_prefer(t, backend, block);
	if (r == 0)
		snprintf(t->reason, sizeof(t->reason), "probed: %s", why);
}

void probe_pair_close(struct probe_pair *pair)
{
	json_decref(pair->found);
	*pair = (struct probe_pair){0};
}

/* By who moves bytes and has no time to wait for another. */
static void find_again(struct probe_pair *pair, const struct probing *p, struct watch *w)
{
	_cleanup_unlock_ int locked = lock_probes(pair->store, 0);

	/* Who measures now will have found it out the next time. */
	pair->known = locked == -EWOULDBLOCK ? PROBE_UNASKED : PROBE_NONE;
	if (locked < 0)
		return;
	watch_phase(w, "planning");
	w->holds = true; /* what was timed across a rest would be wrong, too */
	if (find_out(p, w, &pair->found, NULL) == RP_OK) {
		keep(locked, p, pair->found);
		pair->known = PROBE_FOUND;
	} else if (w->to_rest) {
		pair->known = PROBE_UNASKED; /* by then another may have */
	}
	w->holds = false;
}

static void ask(struct probe_pair *pair, bool worth_it, struct watch *w)
{
	struct probing p = {.dirfd = {pair->src_dirfd, pair->dst_dirfd}};
	int r;

	/* To know the mounts takes longer than to export a small disk. */
	if (!worth_it && faccessat(pair->store->fd, "probes", F_OK, 0) < 0)
		return;
	r = identify(&p);
	if (r == 0 && pair->known == PROBE_UNASKED) {
		_cleanup_doc_ json_t *doc = NULL;

		r = recall(pair->store, &p, &doc);
		pair->known = is_shortage(r) ? PROBE_UNASKED
			      : r < 0	     ? PROBE_NONE
			      : r	     ? PROBE_FOUND
					     : PROBE_STALE;
		if (pair->known == PROBE_FOUND)
			pair->found = take_ptr(doc);
	}
	if (pair->known == PROBE_STALE && worth_it)
		find_again(pair, &p, w);
	json_decref(p.identity);
}

int probe_tune(struct tuning *t, uint64_t bytes, struct watch *w)
{
	struct probe_pair *pair = t->choose ? t->pair : NULL;
	bool worth_it = bytes >= WORTH_IT;

	if (!pair)
		return 0;
	if (pair->known == PROBE_UNASKED || (pair->known == PROBE_STALE && worth_it))
		ask(pair, worth_it, w);
	if (pair->known == PROBE_FOUND)
		tune_by(pair->found, t);
	return watch_tick(w);
}

static uint32_t open_folder(const char *path, int *ret, struct rp_error *err)
{
	uint32_t rc = options_check_path(path, "check", "directory", err);

	if (rc)
		return rc;
	*ret = io_dir_open(AT_FDCWD, path);
	return *ret < 0 ? rp_fail_os(err, *ret, "open", "directory %s", path) : RP_OK;
}

uint32_t rp_probe(struct rp_store *store, const char *source, const char *target,
		  char **ret_json, struct rp_error *reterr)
{
	_cleanup_close_ int from = -1, to = -1;
	_cleanup_unlock_ int locked = -1;
	_cleanup_doc_ json_t *doc = NULL;
	struct probing p = {.path = {source, target ?: source}};
	struct watch w;
	uint32_t rc;
	int r;

	rp_error_clear(reterr);
	if (!ret_json)
		return rp_fail(reterr, RP_INVALID_PARAMETER, "check", "ret_json is NULL");
	rc = open_folder(source, &from, reterr);
	if (rc == RP_OK)
		rc = open_folder(p.path[1], &to, reterr);
	if (rc)
		return rc;
	p.dirfd[0] = from;
	p.dirfd[1] = to;
	r = identify(&p);
	/* Keeping it is a service: a store that is read-only has no use for it. */
	if (r == 0 && store)
		locked = lock_probes(store, KEEP_WAIT_MS);
	watch_init(&w, NULL, 0);
	rc = r < 0 ? rp_fail_os(reterr, r, "probe", "%s", source)
		   : find_out(&p, &w, &doc, reterr);
	r = rc ? 0 : doc_give(doc, ret_json);
	if (r < 0)
		rc = rp_fail_os(reterr, r, "probe", "%s", source);
	if (rc == RP_OK && locked >= 0)
		keep(locked, &p, doc);
	json_decref(p.identity);
	return rc;
}
