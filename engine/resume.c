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
		const char *file = json_string_value(json_object_get(disk, "File"));

		if (journal_mark(j, (int)i) && !strcmp(name, file))
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

/* It may be shorter, if whoever cut it off was killed then: its content tells whether too
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
		const char *file = json_string_value(json_object_get(disk, "File"));
		uint64_t size;

		doc_u64(disk, "FileSize", &size);
		if (journal_mark(j, (int)i) && !has_size(t->fd, file, size))
			return "the file of a disk is missing or has another size";
	}
	return NULL;
}

uint32_t resume_look(const struct target *t, const json_t *identity, struct journal *ret,
		     enum resume_kind *ret_kind, struct rp_error *err)
{
	struct journal j = JOURNAL_NONE;
	const char *why;
	int r = journal_open(&j, t->fd);

	if (r == 0 && !journal_has_marks(&j)) { /* whatever it was going to be */
		uint32_t rc = resume_clean(t, &j, err);

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

/* The part of a disk before its mark, as it is at one end. */
struct part {
	struct source source;
	struct source *of; /* cut off at source.size */
	struct digest leaves;
};

/* Of one disk: in the reference point, and as the export has it. */
struct kept {
	struct stream *s;
	struct part ends[2];
};

enum {
	POINT,
	EXPORT
};

static int next_of_part(struct source *source, uint64_t pos, struct source_range *ret)
{
	struct part *part = container_of(source, struct part, source);
	int r = pos < source->size ? part->of->next(part->of, pos, ret) : -ENXIO;

	if (r < 0 || ret->start >= source->size)
		return r < 0 ? r : -ENXIO;
	ret->end = min_u64(ret->end, source->size);
	return 0;
}

/* One end of @k's disk, as a stream that is only read and digested. */
static struct stream part_stream(struct kept *k, int end)
{
	const struct stream *s = k->s;
	struct part *part = &k->ends[end];
	struct stream ret = {
		.disk = s->disk,
		.src_path = end == POINT ? s->src_path : s->dst_path,
		.src = end == POINT ? s->src : s->dst,
		.dst = IO_FILE_NONE,
		.digest = STREAM_DIGEST_READ,
		.leaves = part->leaves,
	};

	ret.src.size = s->kept_to;
	ret.src.behind = ret.src.front = 0;
	part->of = s->from;
	if (end == EXPORT)
		part->of = s->place ? s->place->written : NULL;
	part->source = (struct source){.size = s->kept_to, .next = next_of_part};
	ret.from = part->of ? &part->source : NULL;
	return ret;
}

/* Those of the point are the export's, if it is to have any. */
static int make_leaves(struct kept *k, const struct target *t)
{
	int r = 0;

	for (int end = POINT; r == 0 && end <= EXPORT; end++) {
		struct digest *leaves = &k->ends[end].leaves;

		if (end == POINT && k->s->leaves.fd >= 0)
			*leaves = k->s->leaves;
		else
			r = leaves_create(t->fd, NULL, k->s->kept_to, leaves);
		leaves->size = k->s->kept_to;
	}
	return r;
}

static void close_leaves(struct kept *k)
{
	for (int end = POINT; end <= EXPORT; end++) {
		int fd = k->ends[end].leaves.fd;

		if (fd >= 0 && fd != k->s->leaves.fd)
			close(fd);
	}
}

/* What is behind the mark may be anything. 0 or -errno. */
static int cut_off(struct stream *s)
{
	uint64_t at = s->kept_to;
	int r = s->place ? s->place->behind(s->place, s->kept_to, &at) : 0;

	if (r < 0)
		return r;
	if (ftruncate(s->dst.fd, (off_t)at) < 0 ||
	    ftruncate(s->dst.fd, (off_t)s->dst.size) < 0)
		return -errno;
	return 0;
}

static uint32_t compare(const struct kept *k, const struct target *t,
			struct rp_error *err)
{
	struct stream *s = k->s;
	uint64_t index;
	char text[256];
	int r = digest_compare(&k->ends[POINT].leaves, &k->ends[EXPORT].leaves, &index);

	if (r == -ENXIO)
		return RP_OK;
	if (r < 0)
		return stream_fail(s, r, "read digests of", s->dst_path, RP_NO_OFFSET,
				   err);
	snprintf(text, sizeof(text), "disk %s was changed at %llu", s->disk,
		 (unsigned long long)(index * DIGEST_CHUNK));
	refuse(t, text, err);
	if (err)
		err->offset = index * DIGEST_CHUNK;
	rp_fail_of(err, NULL, s->disk);
	return RP_INVALID_STATE;
}

/* Both ends of all disks side by side: they are on devices of their own, as a rule. */
static uint32_t prove(struct kept *kept, size_t count, const struct target *t,
		      const struct tuning *tuning, struct watch *w, struct rp_error *err)
{
	_cleanup_free_ struct stream *parts = calloc(2 * count, sizeof(*parts));
	uint32_t rc = RP_OK;
	int r = parts ? 0 : -ENOMEM;

	for (size_t i = 0; r == 0 && i < count; i++) {
		r = make_leaves(&kept[i], t);
		for (int end = POINT; end <= EXPORT; end++)
			parts[2 * i + (size_t)end] = part_stream(&kept[i], end);
	}
	if (r < 0)
		return rp_fail_os(err, r, "create", "digests in %s", t->path);
	rc = copy_streams(parts, 2 * count, tuning, w, err);
	for (size_t i = 0; rc == RP_OK && i < count; i++) {
		kept[i].s->kept_bytes = parts[2 * i + POINT].data_bytes;
		rc = compare(&kept[i], t, err);
	}
	/* Nothing before all of them are proven. */
	for (size_t i = 0; rc == RP_OK && i < count; i++) {
		struct stream *s = kept[i].s;

		r = cut_off(s);
		if (r < 0)
			rc = stream_fail(s, r, "resume", s->dst_path, RP_NO_OFFSET, err);
	}
	return rc;
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
	_cleanup_free_ struct kept *kept = calloc(d->count, sizeof(*kept));
	uint64_t before = w->progress.bytes_total, rest;
	uint32_t rc = RP_OK;
	size_t count = 0;

	if (!journal_has_marks(j))
		return RP_OK;
	if (!kept)
		return rp_fail_os(err, -ENOMEM, "resume", "%s", t->path);
	/* What comes after it counts too, or this would look like all of it. */
	for (size_t i = 0; i < d->count; i++) {
		struct stream *s = &d->streams[i];

		stream_measure(s, w); /* errors come when it matters */
		if (s->kept_to)
			kept[count++] = (struct kept){
				.s = s, .ends = {{.leaves.fd = -1}, {.leaves.fd = -1}}};
	}
	rest = w->progress.bytes_total - before;
	if (count)
		rc = prove(kept, count, t, tuning, w, err);
	for (size_t i = 0; i < count; i++)
		close_leaves(&kept[i]);
	w->progress.bytes_total -= rest;
	return rc;
}
