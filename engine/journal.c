/* SPDX-License-Identifier: MIT */
/*
 * journal.c - beginning, advancing and reading journals
 */
#include "journal.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "digest.h"
#include "doc.h"
#include "io/tree.h"
#include "settings.h"

#define JOURNAL_VERSION 3

json_t *journal_identity(const struct point *point,
			 const struct rp_export_options *options)
{
	json_t *shape = settings_shape(options);

	if (!shape)
		return NULL;
	return json_pack("{s:i, s:i, s:s, s:s, s:s, s:o}", "FormatVersion", DOC_VERSION,
			 "JournalVersion", JOURNAL_VERSION, "EngineVersion", rp_version(),
			 "VirtualSystemIdentifier", point->system, "ReferencePointId",
			 point->id, "Settings", shape);
}

int journal_revoke(int dir)
{
	_cleanup_close_ int fd = -1;
	struct stat st;

	fd = openat(dir, JOURNAL_FILE, O_WRONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	if (fd < 0 && errno == ENOENT) { /* for want of space it is done without */
		fd = openat(dir, JOURNAL_FILE, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC,
			    0600);
		return 0;
	}
	if (fd < 0) /* what is no file has no marks */
		return errno == ELOOP || errno == EISDIR || errno == ENXIO ? 0 : -errno;
	if (fstat(fd, &st) < 0)
		return -errno;
	if (!S_ISREG(st.st_mode) || st.st_nlink != 1) /* somebody else's too */
		return 0;
	return ftruncate(fd, 0) < 0 ? -errno : 0;
}

int journal_begin(struct journal *j, int dir, json_t *identity)
{
	int fd;

	if (!identity || json_object_set_new(identity, "Disks", json_array()) < 0) {
		json_decref(identity);
		return -ENOMEM;
	}
	*j = (struct journal){.dir = dir, .doc = identity};
	fd = openat(dir, JOURNAL_FILE,
		    O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return -errno;
	close(fd);
	return 0;
}

static json_t *disks_of(const struct journal *j)
{
	return json_object_get(j->doc, "Disks");
}

static int add_mark(struct journal *j, uint64_t mark)
{
	uint64_t *marks = reallocarray(j->marks, j->count + 1, sizeof(*marks));

	if (!marks)
		return -ENOMEM;
	j->marks = marks;
	marks[j->count++] = mark;
	return 0;
}

static int check_disk(struct journal *j, const json_t *disk)
{
	const char *text;
	uint64_t mark, size, file;

	if (doc_string(disk, "DiskId", &text) < 0 || doc_u64(disk, "Size", &size) < 0 ||
	    doc_string(disk, "File", &text) < 0 || doc_u64(disk, "FileSize", &file) < 0 ||
	    doc_u64(disk, "Mark", &mark) < 0 || mark > size ||
	    (mark % DIGEST_CHUNK && mark != size))
		return -EBADMSG;
	return add_mark(j, mark);
}

/* One that was begun is empty. */
static int load(int dir, json_t **ret)
{
	struct stat st;

	if (fstatat(dir, JOURNAL_FILE, &st, AT_SYMLINK_NOFOLLOW) < 0 ||
	    !S_ISREG(st.st_mode) || st.st_size)
		return doc_load(dir, JOURNAL_FILE, ret);
	*ret = json_pack("{s:[]}", "Disks");
	return *ret ? 0 : -ENOMEM;
}

int journal_open(struct journal *ret, int dir)
{
	struct journal j = {.dir = dir};
	json_t *disk;
	size_t i;
	int r = load(dir, &j.doc);

	if (r == 0 && !json_is_array(disks_of(&j)))
		r = -EBADMSG;
	if (r == 0)
		json_array_foreach(disks_of(&j), i, disk)
			if (r == 0)
				r = check_disk(&j, disk);
	if (r < 0)
		journal_close(&j);
	else
		*ret = j;
	return r;
}

void journal_close(struct journal *j)
{
	free(j->marks);
	json_decref(j->doc);
	*j = (struct journal)JOURNAL_NONE;
}

const char *journal_differs(const struct journal *j, const json_t *identity)
{
	static const struct {
		const char *key, *text;
	} keys[] = {
		{"JournalVersion", "it was written by another version of refpoint"},
		{"EngineVersion", "it was written by another version of refpoint"},
		{"VirtualSystemIdentifier", "it is of another virtual system"},
		{"ReferencePointId", "it is of another reference point"},
		{"Settings", "it is of other disks, another base or another format"},
	};
	const char *why = identity ? NULL : "there is no memory to compare it";

	for (size_t i = 0; !why && i < ARRAY_SIZE(keys); i++)
		if (!json_equal(json_object_get(j->doc, keys[i].key),
				json_object_get(identity, keys[i].key)))
			why = keys[i].text;
	return why;
}

int journal_disk(struct journal *j, const char *disk, const char *file, uint64_t size)
{
	json_t *entry;
	size_t i;
	int r;

	json_array_foreach(disks_of(j), i, entry) {
		const char *id;
		uint64_t had;

		if (doc_string(entry, "DiskId", &id) < 0 || strcmp(id, disk))
			continue;
		return doc_u64(entry, "Size", &had) == 0 && had == size ? (int)i
									: -ESTALE;
	}
	entry = json_pack("{s:s, s:I, s:s, s:I, s:i}", "DiskId", disk, "Size",
			  (json_int_t)size, "File", file, "FileSize", (json_int_t)size,
			  "Mark", 0);
	r = json_array_append_new(disks_of(j), entry) < 0 ? -ENOMEM : add_mark(j, 0);
	return r < 0 ? r : (int)j->count - 1;
}

uint64_t journal_mark(const struct journal *j, int disk)
{
	return j->marks[disk];
}

int journal_advance(struct journal *j, int disk, uint64_t mark)
{
	json_t *entry = json_array_get(disks_of(j), (size_t)disk);

	if (mark <= j->marks[disk])
		return 0;
	j->marks[disk] = mark;
	return json_object_set_new(entry, "Mark", json_integer((json_int_t)mark)) < 0
		       ? -ENOMEM
		       : 0;
}

int journal_bind(struct journal *j, int disk, const char *plan)
{
	json_t *entry = json_array_get(disks_of(j), (size_t)disk);
	const char *had = "";

	doc_string(entry, "Plan", &had);
	if (!strcmp(had, plan))
		return 0;
	if (json_object_set_new(entry, "Plan", json_string(plan)) < 0)
		return -ENOMEM;
	return j->marks[disk] != 0;
}

int journal_set_file_size(struct journal *j, int disk, uint64_t size)
{
	json_t *entry = json_array_get(disks_of(j), (size_t)disk);

	return json_object_set_new(entry, "FileSize", json_integer((json_int_t)size)) < 0
		       ? -ENOMEM
		       : 0;
}

void journal_forget(struct journal *j, int disk)
{
	json_t *entry = json_array_get(disks_of(j), (size_t)disk);

	json_object_set_new(entry, "Mark", json_integer(0));
	j->marks[disk] = 0;
}

int journal_save(const struct journal *j)
{
	return doc_save(j->dir, JOURNAL_FILE, j->doc);
}

int journal_note(const struct journal *j)
{
	return doc_swap(j->dir, JOURNAL_FILE, j->doc);
}

bool journal_has_marks(const struct journal *j)
{
	for (size_t i = 0; i < j->count; i++)
		if (j->marks[i])
			return true;
	return false;
}

bool journal_is_unborn(int dir)
{
	char **names;
	size_t count;
	bool is = true;

	if (io_dir_names(dir, &names, &count) < 0)
		return false;
	for (size_t i = 0; i < count; i++)
		is &= !strcmp(names[i], "." JOURNAL_FILE ".new");
	io_names_free(names, count);
	return is;
}

bool journal_worth_keeping(int dir)
{
	struct journal j = JOURNAL_NONE;
	bool has;
	int r = journal_open(&j, dir);

	if (r < 0)
		return r != -ENOENT || !journal_is_unborn(dir);
	has = journal_has_marks(&j);
	journal_close(&j);
	return has;
}
