/* SPDX-License-Identifier: MIT */
/*
 * chain.c - finding the parts of a chain, and comparing them with their digests
 */
#include "chain.h"

#include <stdio.h>
#include <string.h>

#include "copy.h"
#include "io/base.h"
#include "options.h"

static const char *id_of(const struct exported *e)
{
	return json_string_value(json_object_get(e->manifest, "ReferencePointId"));
}

bool chain_needs(const struct chain *c, size_t k, const char *id)
{
	return k <= (size_t)json_integer_value(json_object_get(c->depths, id));
}

/* The disks of the export, of no depth yet. */
static int begin_depths(struct chain *c, const struct exported *e)
{
	json_t *disk;
	size_t i;

	c->depths = json_object();
	json_array_foreach(exported_disks(e), i, disk) {
		const json_t *id = json_object_get(disk, "DiskId");

		if (json_object_set_new(c->depths, json_string_value(id),
					json_integer(0)) < 0)
			return -ENOMEM;
	}
	return c->depths ? 0 : -ENOMEM;
}

/* For the last part. */
static void go_deeper(struct chain *c)
{
	const struct exported *last = &c->parts[c->count - 1];
	const char *id;
	json_t *depth;

	json_object_foreach(c->depths, id, depth) {
		const json_t *disk = exported_disk(last, id);

		if (chain_needs(c, c->count - 1, id) && exported_is_differential(disk))
			json_integer_set(depth, (json_int_t)c->count);
	}
}

/* The first disk of the export (@filter, if not NULL) that needs what is below the last
 * part; NULL if the chain is complete. */
static const char *open_end(const struct chain *c, const char *filter)
{
	const char *id;
	json_t *depth;

	if (filter)
		return chain_needs(c, c->count, filter) ? filter : NULL;
	json_object_foreach(c->depths, id, depth)
		if (chain_needs(c, c->count, id))
			return id;
	return NULL;
}

/* ---------------------------------------------------------------- finding the parts */

/* A search for the base of the last part. */
struct search {
	struct chain *chain;
	const char *filter;
	const char *base; /* its ID */
	bool found;	  /* it is the last part now */
	uint32_t rc;	  /* of the first that was there, and was not it */
	struct rp_error error;
};

static uint32_t lacks(const struct exported *e, const char *id, struct rp_error *err)
{
	return rp_fail_disk(err, id, RP_NO_OFFSET, RP_NOT_AVAILABLE, "open",
			    "open export %s: it was exported without this disk", e->path);
}

/* Whether @e is the base that is looked for, with what is needed of it. */
static uint32_t check_base(const struct search *s, const struct exported *e,
			   struct rp_error *err)
{
	const struct chain *c = s->chain;
	uint32_t rc = exported_check_point(e, c->parts[0].system, s->base, err);
	json_t *disk;
	size_t i;

	if (rc)
		return rc;
	json_array_foreach(exported_disks(&c->parts[0]), i, disk) {
		const char *id = json_string_value(json_object_get(disk, "DiskId"));

		if ((!s->filter || !strcmp(s->filter, id)) &&
		    chain_needs(c, c->count, id) && !exported_disk(e, id))
			return lacks(e, id, err);
	}
	return RP_OK;
}

static uint32_t add_part(struct chain *c, char *path, const struct exported *e,
			 struct rp_error *err)
{
	struct exported *parts = realloc(c->parts, (c->count + 1) * sizeof(*parts));
	char **paths;

	if (parts)
		c->parts = parts;
	paths = parts ? realloc(c->paths, (c->count + 1) * sizeof(*paths)) : NULL;
	if (paths)
		c->paths = paths;
	if (!paths || (!c->count && begin_depths(c, e) < 0))
		return rp_fail_os(err, -ENOMEM, "open", "export %s", path);
	c->paths[c->count] = path;
	c->parts[c->count++] = *e;
	go_deeper(c);
	if (c->rests)
		exported_rest(&c->parts[c->count - 1]);
	return RP_OK;
}

/* Takes over @path, if it could be made: @r is 0. Else there is none, but for want of
 * memory. */
static void try_path(struct search *s, int r, char *path)
{
	struct exported e = EXPORTED_NONE;
	struct rp_error err;
	uint32_t rc;

	rp_error_clear(&err);
	if (r < 0)
		path = NULL;
	if (s->found || (path ? !exported_is_there(path) : r != -ENOMEM)) {
		free(path);
		return;
	}
	rc = path ? exported_open(path, &e, &err)
		  : rp_fail_os(&err, r, "open", "base %s", s->base);
	if (rc == RP_OK)
		rc = check_base(s, &e, &err);
	if (rc == RP_OK)
		rc = add_part(s->chain, path, &e, &err);
	s->found = rc == RP_OK;
	if (s->found)
		return;
	if (!s->rc) {
		s->rc = rc;
		s->error = err;
	}
	exported_close(&e);
	free(path);
}

static void try_beside(struct search *s, const char *part)
{
	_cleanup_free_ char *real = realpath(part, NULL);
	char *path = NULL;
	int r = real ? 0 : -errno;

	if (r == 0 && asprintf(&path, "%.*s/%s", (int)(strrchr(real, '/') - real), real,
			       s->base) < 0)
		r = -ENOMEM;
	try_path(s, r, path);
}

static void try_below(struct search *s, const char *dir, const char *system)
{
	char *path = NULL;
	int r = asprintf(&path, "%s%s%s/%s", dir, system ? "/" : "", system ?: "",
			 s->base);

	try_path(s, r < 0 ? -ENOMEM : 0, path);
}

static uint32_t find_base(struct chain *c, const char *filter, const char *const *dirs,
			  size_t count, struct rp_error *err)
{
	const char *last = c->paths[c->count - 1], *system = c->parts[0].system;
	struct search s = {.chain = c,
			   .filter = filter,
			   .base = exported_base(&c->parts[c->count - 1])};

	for (size_t i = 0; i < c->count; i++)
		if (!strcmp(id_of(&c->parts[i]), s.base))
			return rp_fail(err, RP_UNKNOWN_STATUS, "open",
				       "open export %s: its base is an export that is "
				       "based on it",
				       last);
	for (size_t i = c->count; !s.found && i-- > 0;)
		try_beside(&s, c->paths[i]);
	for (size_t i = 0; !s.found && i < count; i++) {
		try_below(&s, dirs[i], system);
		try_below(&s, dirs[i], NULL);
	}
	if (s.found)
		return RP_OK;
	if (s.rc) {
		if (err)
			*err = s.error;
		return s.rc;
	}
	return rp_fail_disk(err, open_end(c, filter), RP_NO_OFFSET, RP_NOT_AVAILABLE,
			    "open",
			    "open export of %s, the base of %s: not found beside it%s",
			    s.base, last, count ? " nor where to search" : "");
}

bool chain_is_cut(uint32_t rc, struct rp_error *cut, struct rp_error *err)
{
	if (!rc || !cut || rp_is_shortage(rc, err) || rp_is_stopped(err))
		return false;
	*cut = *err;
	rp_error_clear(err);
	return true;
}

uint32_t chain_open_alone(const char *path, struct chain *ret, struct rp_error *err)
{
	struct exported e = EXPORTED_NONE;
	char *own = path ? strdup(path) : NULL;
	uint32_t rc;

	*ret = (struct chain){0};
	rc = path && !own ? rp_fail_os(err, -ENOMEM, "open", "export %s", path)
			  : exported_open(own, &e, err);
	if (rc == RP_OK)
		rc = add_part(ret, own, &e, err);
	if (rc) {
		exported_close(&e);
		free(own);
	}
	return rc;
}

/* All that @disk needs, or NULL: every one. */
static uint32_t find_bases(struct chain *c, const char *disk, const char *const *search,
			   size_t search_count, struct rp_error *cut,
			   struct rp_error *err)
{
	uint32_t rc = RP_OK;

	while (rc == RP_OK && open_end(c, disk)) {
		rc = find_base(c, disk, search, search_count, err);
		if (chain_is_cut(rc, cut, err))
			return RP_OK;
	}
	if (rc)
		rp_fail_of(err, c->parts[0].system, NULL);
	return rc;
}

static uint32_t open_parts(const char *path, const char *disk, const char *const *search,
			   size_t search_count, struct chain *ret, struct rp_error *cut,
			   struct rp_error *err)
{
	uint32_t rc = RP_OK;

	*ret = (struct chain){0};
	for (size_t i = 0; rc == RP_OK && i < search_count; i++)
		rc = options_check_path(search[i], "check", "search", err);
	rc = rc ?: chain_open_alone(path, ret, err);
	return rc ?: find_bases(ret, disk, search, search_count, cut, err);
}

uint32_t chain_open(const char *path, const char *disk, const char *const *search,
		    size_t search_count, struct chain *ret, struct rp_error *err)
{
	return open_parts(path, disk, search, search_count, ret, NULL, err);
}

uint32_t chain_open_some(const char *path, const char *disk, const char *const *search,
			 size_t search_count, struct chain *ret, struct rp_error *ret_cut,
			 struct rp_error *err)
{
	rp_error_clear(ret_cut);
	return open_parts(path, disk, search, search_count, ret, ret_cut, err);
}

uint32_t chain_reach(struct chain *c, const char *disk, struct rp_error *err)
{
	uint32_t rc = find_bases(c, disk, NULL, 0, NULL, err);
	const struct exported *last;

	if (rc)
		return rc;
	last = &c->parts[json_integer_value(json_object_get(c->depths, disk))];
	return exported_disk(last, disk) ? RP_OK : lacks(last, disk, err);
}

void chain_rest(struct chain *c)
{
	c->rests = true;
	for (size_t i = 0; i < c->count; i++)
		exported_rest(&c->parts[i]);
}

void chain_close(struct chain *c)
{
	for (size_t i = 0; i < c->count; i++) {
		exported_close(&c->parts[i]);
		free(c->paths[i]);
	}
	json_decref(c->depths);
	free(c->parts);
	free(c->paths);
	*c = (struct chain){0};
}

bool chain_was_merged(const struct chain *c, uint32_t rc)
{
	for (size_t i = 0; rc == RP_NOT_AVAILABLE && i < c->count; i++)
		if (exported_was_merged(&c->parts[i]))
			return true;
	return false;
}

/* ------------------------------------------------------------------------ checking */

static uint32_t check_disk(const struct exported *e, const char *id,
			   const struct tuning *tuning, struct watch *w,
			   struct rp_error *err)
{
	struct stream s = {.dst = IO_FILE_NONE};
	_cleanup_free_ char *path = NULL;
	uint32_t rc;

	rc = exported_open_disk(e, exported_disk(e, id), &s, w, err);
	if (rc)
		return rc;
	if (asprintf(&path, "%s/%s", e->path, s.src_path) < 0)
		rc = rp_fail_os(err, -ENOMEM, "verify", "export %s", e->path);
	if (rc == RP_OK) {
		s.src_path = path;
		rc = copy_streams(&s, 1, tuning, w, err);
	}
	exported_close_disk(&s);
	return rc;
}

bool chain_has_digests(const struct chain *c, size_t k)
{
	json_t *disk;
	size_t i;

	json_array_foreach(exported_disks(&c->parts[0]), i, disk) {
		const char *id = json_string_value(json_object_get(disk, "DiskId"));

		if (chain_needs(c, k, id) &&
		    !json_is_object(
			    json_object_get(exported_disk(&c->parts[k], id), "Digest")))
			return false;
	}
	return true;
}

bool chain_proves(const struct chain *c, size_t count, const char *id)
{
	for (size_t k = 0; k < count; k++)
		if (!json_is_object(
			    json_object_get(exported_disk(&c->parts[k], id), "Digest")))
			return false;
	return true;
}

uint32_t chain_check(const struct chain *c, size_t first, size_t end, const char *id,
		     const struct tuning *tuning, struct watch *w, struct rp_error *err)
{
	uint32_t rc = RP_OK;

	for (size_t k = first; k < end; k++) {
		json_t *disk;
		size_t i;

		json_array_foreach(exported_disks(&c->parts[0]), i, disk) {
			const char *name = json_string_value(
				json_object_get(disk, "DiskId"));

			if (rc || (id && strcmp(id, name)) || !chain_needs(c, k, name))
				continue;
			rc = check_disk(&c->parts[k], name, tuning, w, err);
		}
	}
	return rc;
}
