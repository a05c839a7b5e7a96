/* SPDX-License-Identifier: MIT */
/*
 * resume.c - looking, cleaning and proving
 */
#include "resume.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <xxhash.h>

#include "copy.h"
#include "doc.h"
#include "io/tree.h"
#include "leaves.h"

static uint32_t refuse(const struct target *t, const char *why, struct rp_error *err)
{
	return rp_fail(err, RP_INVALID_STATE, "resume",
		       "resume %s: what is there of an interrupted export cannot be "
		       "used: %s; --restart starts over",
		       t->path, why);
}

/* Whether @name is a file of a disk that has a mark. */
static bool is_marked(const struct journal *j, const char *name)
{
	json_t *disk;
	size_t i;

	json_array_foreach(json_object_get(j->doc, "Disks"), i, disk) {
		const char *id = json_string_value(json_object_get(disk, "DiskId"));
		const char *file = json_string_value(json_object_get(disk, "File"));
		size_t len = strlen(id);

		if (journal_mark(j, (int)i) &&
		    (!strcmp(name, file) ||
		     (!strncmp(name, id, len) && !strcmp(name + len, ".digest"))))
			return true;
	}
	return false;
}

uint32_t resume_clean(const struct target *t, const struct journal *j,
		      struct rp_error *err)
{
	char **names;
	size_t count;
	int r = io_dir_names(t->fd, &names, &count);

	if (r < 0)
		return rp_fail_os(err, r, "resume", "%s", t->path);
	for (size_t i = 0; r == 0 && i < count; i++)
		if (strcmp(names[i], JOURNAL_FILE) && !is_marked(j, names[i]))
			r = io_tree_remove(t->fd, names[i]);
	io_names_free(names, count);
	return r < 0 ? rp_fail_os(err, r, "resume", "%s", t->path) : RP_OK;
}

/* It may be shorter, if whoever cut it off was killed then: its digests tell whether too
 * much is missing. */
static bool has_size(int dir, const char *name, uint64_t size)
{
	struct stat st;

	return fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(st.st_mode) &&
	       (uint64_t)st.st_size <= size;
}

/* Whether the files are there, and of the right sizes, that the marks are of. */
static const char *check_files(const struct target *t, const struct journal *j)
{
	json_t *disk;
	size_t i;

	json_array_foreach(json_object_get(j->doc, "Disks"), i, disk) {
		const char *id = json_string_value(json_object_get(disk, "DiskId"));
		const char *file = json_string_value(json_object_get(disk, "File"));
		uint64_t size, file_size;
		char leaves[NAME_SIZE + 16];

		if (!journal_mark(j, (int)i))
			continue;
		doc_u64(disk, "Size", &size);
		doc_u64(disk, "FileSize", &file_size);
		if (!has_size(t->fd, file, file_size))
			return "the file of a disk is missing or has another size";
		snprintf(leaves, sizeof(leaves), "%.*s.digest", NAME_SIZE, id);
		if (!has_size(t->fd, leaves, digest_file_size(size)))
			return "the digests of a disk are missing or have another size";
	}
	return NULL;
}

uint32_t resume_look(const struct target *t, json_t *identity, struct journal *ret,
		     enum resume_kind *ret_kind, struct rp_error *err)
{
	struct journal j = JOURNAL_NONE;
	const char *why;
	int r = journal_open(&j, t->fd);

	if (r == 0 && !journal_has_marks(&j)) { /* whatever it was going to be */
		uint32_t rc = resume_clean(t, &j, err);

		json_decref(identity);
		journal_close(&j);
		*ret_kind = RESUME_NOTHING;
		return rc;
	}
	if (r == 0) {
		why = journal_differs(&j, identity) ?: check_files(t, &j);
		if (!why) {
			*ret = j;
			*ret_kind = RESUME_JOURNAL;
			return RP_OK;
		}
		journal_close(&j);
		return refuse(t, why, err);
	}
	json_decref(identity);
	if (r == -ENOENT && journal_is_unborn(t->fd)) {
		*ret_kind = RESUME_NOTHING;
		return RP_OK;
	}
	if (r == -ENOENT && faccessat(t->fd, "export.json", F_OK, 0) == 0) {
		*ret_kind = RESUME_COMPLETE;
		return RP_OK;
	}
	if (r == -ENOENT)
		return refuse(t, "its journal is missing", err);
	if (r == -EBADMSG || r == -EOPNOTSUPP || r == -ELOOP)
		return refuse(t, "its journal is damaged or of a newer version", err);
	return rp_fail_os(err, r, "resume", "%s", t->path);
}

/* The part before its mark, as a stream that is only read. */
static struct stream kept_part(const struct stream *s)
{
	struct stream part = {
		.disk = s->disk,
		.src_path = s->dst_path,
		.src = s->dst,
		.dst = IO_FILE_NONE,
		.digest = STREAM_DIGEST_CHECK,
		.leaves = {.fd = s->leaves.fd, .size = s->kept_to},
	};

	part.src.size = s->kept_to;
	part.src.behind = part.src.front = 0;
	if (s->place) {
		part.from = s->place->written;
		part.from->size = s->kept_to;
	}
	return part;
}

static uint32_t read_kept(struct stream *s, const struct tuning *tuning, struct watch *w,
			  struct rp_error *err)
{
	struct stream part = kept_part(s);
	uint32_t rc = leaves_check_holes(&part, err);

	if (rc == RP_OK)
		rc = copy_streams(&part, 1, tuning, w, err);
	s->kept_bytes = part.data_bytes;
	return rc;
}

/* What is behind the mark may be anything. 0 or -errno. */
static int cut_off(struct stream *s)
{
	uint64_t leaves = digest_file_size(s->kept_to), at = s->kept_to;
	int r = s->place ? s->place->behind(s->place, s->kept_to, &at) : 0;

	if (r < 0)
		return r;
	if (ftruncate(s->dst.tail_fd, (off_t)at) < 0 ||
	    ftruncate(s->dst.tail_fd, (off_t)s->dst.size) < 0 ||
	    ftruncate(s->leaves.fd, (off_t)leaves) < 0 ||
	    ftruncate(s->leaves.fd, (off_t)digest_file_size(s->leaves.size)) < 0)
		return -errno;
	return 0;
}

static uint32_t prove(struct stream *s, const struct target *t, struct journal *j,
		      const struct tuning *tuning, struct watch *w, struct rp_error *err)
{
	int r = journal_check_leaves(j, s->slot, &s->leaves);
	const char *why = NULL;
	char text[256];
	uint32_t rc;

	if (r == -EILSEQ || r == -ENODATA)
		why = "its digests were changed";
	else if (r < 0)
		return stream_fail(s, r, "read digests of", s->dst_path, RP_NO_OFFSET,
				   err);
	if (why) {
		snprintf(text, sizeof(text), "disk %s: %s", s->disk, why);
		return refuse(t, text, err);
	}
	rc = read_kept(s, tuning, w, err);
	if (rc == RP_FAILED && err && !strcmp(err->step, "digest")) {
		uint64_t offset = err->offset;

		snprintf(text, sizeof(text), "disk %s was changed at %llu", s->disk,
			 (unsigned long long)offset);
		rc = refuse(t, text, err);
		err->offset = offset;
		rp_fail_of(err, NULL, s->disk);
	}
	if (rc)
		return rc;
	r = cut_off(s);
	return r < 0 ? stream_fail(s, r, "resume", s->dst_path, RP_NO_OFFSET, err)
		     : RP_OK;
}

/* A hash of where the stream has data. 0 or -errno. */
static int hash_ranges(struct stream *s, char ret[DIGEST_TEXT_SIZE])
{
	XXH3_state_t *hash = XXH3_createState();
	XXH128_canonical_t canonical;
	uint64_t range[2] = {0, 0};
	int r;

	if (!hash)
		return -ENOMEM;
	XXH3_128bits_reset(hash);
	while ((r = stream_next_data(s, range[1], &range[0], &range[1])) == 0)
		XXH3_128bits_update(hash, range, sizeof(range));
	XXH128_canonicalFromHash(&canonical, XXH3_128bits_digest(hash));
	digest_text(canonical.digest, ret);
	XXH3_freeState(hash);
	return r == -ENXIO ? 0 : r;
}

static int start_over(struct stream *s)
{
	int r;

	journal_forget(s->journal, s->slot);
	r = journal_save(s->journal); /* before there is less than it says */
	s->kept_to = 0;
	return r < 0 ? r : cut_off(s);
}

int resume_bind_plan(struct stream *s, const char *plan)
{
	int r = journal_bind(s->journal, s->slot, plan);

	return r == 1 ? start_over(s) : r;
}

uint32_t resume_bind(struct export_disks *d, struct rp_error *err)
{
	for (size_t i = 0; i < d->count; i++) {
		struct stream *s = &d->streams[i];
		char ranges[DIGEST_TEXT_SIZE] = "";
		int r = 0;

		if (s->place)
			continue;
		/* A disk that lost its base is whole, and no part of it is kept. */
		if (s->from)
			r = hash_ranges(s, ranges);
		if (r == 0)
			r = resume_bind_plan(s, ranges);
		if (r < 0)
			return stream_fail(s, r, "resume", s->dst_path, RP_NO_OFFSET,
					   err);
	}
	return RP_OK;
}

uint32_t resume_prove(struct export_disks *d, const struct target *t, struct journal *j,
		      const struct tuning *tuning, struct watch *w, struct rp_error *err)
{
	uint64_t before = w->progress.bytes_total, rest;
	uint32_t rc = RP_OK;

	if (!journal_has_marks(j))
		return RP_OK;
	/* What comes after it counts too, or this would look like all of it. */
	for (size_t i = 0; i < d->count; i++)
		stream_measure(&d->streams[i], w); /* errors come when it matters */
	rest = w->progress.bytes_total - before;
	for (size_t i = 0; rc == RP_OK && i < d->count; i++)
		if (d->streams[i].kept_to)
			rc = prove(&d->streams[i], t, j, tuning, w, err);
	w->progress.bytes_total -= rest;
	return rc;
}
