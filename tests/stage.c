/* SPDX-License-Identifier: MIT */
/*
 * stage.c - a store with one virtual system and a point
 */
#include <dirent.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "data.h"
#include "harness.h"
#include "stage.h"

#define TEXTS 32

static char *next_text(void)
{
	static _Thread_local char texts[TEXTS][PATH_MAX];
	static _Thread_local unsigned turn;

	return texts[turn++ % TEXTS];
}

const char *fmt(const char *format, ...)
{
	char *text = next_text();
	va_list args;

	va_start(args, format);
	ASSERT_LT(vsnprintf(text, PATH_MAX, format, args), PATH_MAX);
	va_end(args);
	return text;
}

bool fd_path_has(int fd, const char *text)
{
	char link[64], path[PATH_MAX];
	ssize_t n;

	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	n = readlink(link, path, sizeof(path) - 1);
	path[n > 0 ? n : 0] = '\0';
	return strstr(path, text);
}

bool exists(const char *path)
{
	return faccessat(AT_FDCWD, path, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

static int is_entry(const struct dirent *entry)
{
	return strcmp(entry->d_name, ".") && strcmp(entry->d_name, "..");
}

const char *listing(const char *folder)
{
	char *text = next_text();
	struct dirent **names;
	size_t used = 0;
	int i, n = scandir(folder, &names, is_entry, alphasort);

	if (n < 0)
		return fmt("%s: %s", folder, strerror(errno));
	*text = '\0';
	for (i = 0; i < n; i++) {
		used += (size_t)snprintf(text + used, PATH_MAX - used, "%s%s",
					 i ? " " : "", names[i]->d_name);
		ASSERT_LT(used, PATH_MAX, "%s has too many entries", folder);
		free(names[i]);
	}
	free(names);
	return text;
}

void save_text(const char *path, const char *text)
{
	FILE *file = fopen(path, "we");

	ASSERT_NE(file, NULL, "%s: %s", path, strerror(errno));
	ASSERT_GE(fputs(text, file), 0);
	ASSERT_OK(fclose(file));
}

static int is_in(void *phase, const struct rp_progress *progress)
{
	return !strcmp(progress->phase, phase);
}

struct rp_watch cancel_in(const char *phase)
{
	return (struct rp_watch){.size = sizeof(struct rp_watch),
				 .context = (void *)phase,
				 .progress = is_in};
}

static void hear(void *context, const char *text)
{
	struct heard *heard = context;

	heard->count++;
	snprintf(heard->last, sizeof(heard->last), "%s", text);
}

struct rp_watch hear_into(struct heard *heard)
{
	return (struct rp_watch){
		.size = sizeof(struct rp_watch), .context = heard, .warning = hear};
}

json_t *load_json(const char *path)
{
	json_error_t error;
	json_t *doc = json_load_file(path, JSON_REJECT_DUPLICATES, &error);

	ASSERT_NE(doc, NULL, "%s: %s", path, error.text);
	return doc;
}

json_t *take_json(char *text)
{
	json_error_t error;
	json_t *doc = json_loads(text, JSON_REJECT_DUPLICATES, &error);

	ASSERT_NE(doc, NULL, "%s: %s", text, error.text);
	rp_free(text);
	return doc;
}

void save_json(const char *path, json_t *doc)
{
	ASSERT_OK(json_dump_file(doc, path, JSON_INDENT(1)), "%s", path);
	json_decref(doc);
}

const char *json_text(const json_t *object, const char *key)
{
	const char *text = json_string_value(json_object_get(object, key));

	return text ? text : "";
}

int64_t json_number(const json_t *object, const char *key)
{
	return json_integer_value(json_object_get(object, key));
}

void set_version(const char *path, int version)
{
	json_t *doc = load_json(path);

	ASSERT_OK(json_object_set_new(doc, "FormatVersion", json_integer(version)));
	save_json(path, doc);
}

const char *status_of(json_t *list, const char *key, const char *value)
{
	const char *status = "not listed";
	json_t *entry;
	size_t i;

	json_array_foreach(list, i, entry)
		if (!strcmp(json_text(entry, key), value))
			status = fmt("%s", json_text(entry, "Status"));
	json_decref(list);
	return status;
}

uint64_t now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

void expect_error(uint32_t rc, const struct rp_error *err, const struct rp_error *want)
{
	ASSERT_EQ(rc, want->code, "%s", err->message);
	EXPECT_EQ(err->code, want->code);
	EXPECT_EQ(err->os_error, want->os_error, "%s", err->message);
	EXPECT_STREQ(err->step, want->step, "%s", err->message);
	EXPECT_STREQ(err->system, want->system, "%s", err->message);
	EXPECT_STREQ(err->disk, want->disk, "%s", err->message);
	if (want->offset == RP_NO_OFFSET) {
		EXPECT_EQ(err->offset, RP_NO_OFFSET, "%s", err->message);
	} else {
		EXPECT_LE(err->offset, want->offset);
		EXPECT_GT(err->offset + 4 * MIB, want->offset);
	}
	/* One line. */
	EXPECT_NE(err->message[0], '\0');
	EXPECT_EQ(strchr(err->message, '\n'), NULL, "%s", err->message);
}

void expect_value(uint32_t want, uint32_t got, const struct rp_error *err,
		  const char *call)
{
	EXPECT_EQ(got, want, "%s: %s", call, err->message);
	EXPECT_EQ(err->code, want, "%s", call);
	EXPECT_EQ(err->message[0] != '\0', want != RP_OK, "%s: %s", call, err->message);
	EXPECT_EQ(err->step[0] != '\0', want != RP_OK, "%s: %s", call, err->step);
}

/* The same bytes for the disk and for its twin. */
static void make_disk(const char *path, uint64_t size, uint64_t seed)
{
	int fd;

	data_create_random(path, size, seed, 24);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	ASSERT_GE(fd, 0, "%s", path);
	data_write(fd, seed, size / 4, size / 2);
	ASSERT_OK(fsync(fd));
	close(fd);
}

struct rp_store *stage_open(const struct stage *s, uint64_t lock_timeout_ms)
{
	const struct rp_store_options options = {.size = sizeof(options),
						 .lock_timeout_ms = lock_timeout_ms};
	struct rp_store *store = NULL;
	struct rp_error err;

	ASSERT_EQ(rp_store_open(s->path, &options, &store, &err), RP_OK, "%s",
		  err.message);
	return store;
}

void stage_make(struct stage *s, const char *dir, uint64_t size, uint64_t seed)
{
	const struct rp_disk disk = {"vda", s->disk};
	const char *config = fmt("%s/web1.xml", dir);
	struct rp_error err;

	snprintf(s->path, sizeof(s->path), "%s/store", dir);
	snprintf(s->exports, sizeof(s->exports), "%s/exports", dir);
	snprintf(s->disk, sizeof(s->disk), "%s/web1.img", dir);
	snprintf(s->twin, sizeof(s->twin), "%s/twin.img", dir);
	ASSERT_OK(mkdir(s->exports, 0755));
	make_disk(s->disk, size, seed);
	make_disk(s->twin, size, seed);
	save_text(config, "<domain><name>web1</name></domain>\n");
	ASSERT_EQ(rp_store_init(s->path, &err), RP_OK, "%s", err.message);
	s->store = stage_open(s, 0);
	ASSERT_EQ(rp_system_add(s->store, "web1", &disk, 1, &config, 1, &err), RP_OK,
		  "%s", err.message);
	stage_take(s, s->point);
}

void stage_close(struct stage *s)
{
	rp_store_close(s->store);
	s->store = NULL;
}

void stage_take(const struct stage *s, char ret_point[POINT_SIZE])
{
	const struct rp_create_options options = {.size = sizeof(options),
						  .allow_copy = true};
	struct rp_error err;
	char *point;

	ASSERT_EQ(rp_create_reference_point(s->store, "web1", &options, &point, &err),
		  RP_OK, "%s", err.message);
	snprintf(ret_point, POINT_SIZE, "%s", point);
	rp_free(point);
}

struct rp_export_options stage_copying(enum rp_io io)
{
	return (struct rp_export_options){
		.size = sizeof(struct rp_export_options),
		.io = io,
		.clone = RP_CLONE_NEVER,
	};
}

void stage_add_records(const struct stage *s, const char *system, unsigned count)
{
	json_t *doc = load_json(fmt("%s/point.json", stage_point_path(s, s->point)));

	json_object_set_new(doc, "VirtualSystemIdentifier", json_string(system));
	for (unsigned i = 0; i < count; i++) {
		const char *id = fmt("%08x-0000-4000-8000-000000000000", i);
		const char *folder = fmt("%s/systems/%s/points/%s", s->path, system, id);

		json_object_set_new(doc, "InstanceID", json_string(id));
		ASSERT_OK(mkdir(folder, 0700));
		ASSERT_OK(json_dump_file(doc, fmt("%s/point.json", folder), 0));
	}
	json_decref(doc);
}

uint32_t stage_export(const struct stage *s, const struct rp_export_options *options,
		      struct rp_error *err)
{
	char *report = NULL;
	uint32_t rc;

	rc = rp_export(s->store, s->point, s->exports, options, &report, err);
	EXPECT_EQ(rc == RP_OK, report != NULL);
	rp_free(report);
	return rc;
}

struct rp_job *stage_start(const struct stage *s)
{
	struct rp_export_options options = stage_copying(RP_IO_AUTO);
	struct rp_error err;
	struct rp_job *job;

	options.bandwidth = 1024;
	ASSERT_EQ(rp_export_start(s->store, s->point, s->exports, &options, &job, &err),
		  RP_JOB_STARTED, "%s", err.message);
	return job;
}

const char *stage_point_path(const struct stage *s, const char *point)
{
	return fmt("%s/systems/web1/points/%s", s->path, strchr(point, '@') + 1);
}

const char *stage_export_path(const char *directory, const char *point)
{
	return fmt("%s/web1/%s", directory, strchr(point, '@') + 1);
}

const char *stage_partial_path(const char *directory, const char *point)
{
	return fmt("%s/web1/.%s.partial", directory, strchr(point, '@') + 1);
}

/* An image is not the disk itself. */
static bool restores(const char *path, const char *disk)
{
	const char *restored = fmt("%s/restored", test_dir());
	struct rp_error err;
	bool same;

	if (rp_restore(path, "vda", restored, NULL, NULL, &err) != RP_OK) {
		test_log("%s", err.message);
		return false;
	}
	same = data_same(restored, disk);
	unlink(restored);
	return same;
}

bool stage_good_export(const char *directory, const char *point, const char *disk)
{
	const char *path = stage_export_path(directory, point);
	struct rp_error err;

	if (rp_verify(path, NULL, NULL, &err) != RP_OK) {
		test_log("%s", err.message);
		return false;
	}
	if (exists(fmt("%s/vda.raw", path)))
		return data_same(fmt("%s/vda.raw", path), disk);
	return restores(path, disk);
}

json_t *stage_restore(const char *path, const char *disk, const char *output,
		      const struct rp_read_options *options)
{
	struct rp_error err;
	char *text;

	ASSERT_EQ(rp_restore(path, disk, output, options, &text, &err), RP_OK, "%s: %s",
		  disk, err.message);
	return take_json(text);
}

uint64_t stage_salvage(const char *path, const char *disk)
{
	const struct rp_read_options options = {.size = sizeof(options), .salvage = true};
	char *output = strdup(fmt("%s/salvaged", test_dir()));
	char *want = strdup(fmt("%s/want", test_dir()));
	uint64_t lost = 0;
	struct rp_error err;
	json_t *report, *range;
	size_t i;
	char *text;
	int fd;

	ASSERT_EQ(rp_restore(path, "vda", output, &options, &text, &err), RP_OK, "%s",
		  err.message);
	report = take_json(text);
	ASSERT_EQ(system(fmt("cp '%s' '%s'", disk, want)), 0);
	fd = open(want, O_RDWR | O_CLOEXEC);
	ASSERT_GE(fd, 0);
	json_array_foreach(json_object_get(report, "Lost"), i, range) {
		lost += (uint64_t)json_number(range, "Length");
		ASSERT_OK(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
				    json_number(range, "Offset"),
				    json_number(range, "Length")));
	}
	close(fd);
	EXPECT_EQ(json_array_size(json_object_get(report, "Lost")),
		  json_number(report, "LostCount"));
	EXPECT_EQ(lost, json_number(report, "LostBytes"));
	EXPECT_TRUE(data_same(want, output));
	ASSERT_OK(unlink(want));
	ASSERT_OK(unlink(output));
	json_decref(report);
	free(want);
	free(output);
	return lost;
}

void stage_expect_idle(const struct stage *s)
{
	EXPECT_STREQ(listing(fmt("%s/pending", s->path)), "");
	EXPECT_STREQ(listing(fmt("%s/jobs/active", s->path)), "");
}

void stage_expect_unharmed(const struct stage *s, const char *exports)
{
	json_t *points = stage_points(s->store);

	stage_expect_idle(s);
	EXPECT_STREQ(listing(s->exports), exports);
	EXPECT_EQ(json_array_size(points), 1);
	EXPECT_STREQ(json_text(json_array_get(points, 0), "InstanceID"),
		     strchr(s->point, '@') + 1);
	json_decref(points);
	EXPECT_TRUE(data_same(s->disk, s->twin));
	EXPECT_TRUE(data_same(fmt("%s/vda.raw", stage_point_path(s, s->point)), s->twin));
}

json_t *stage_points(struct rp_store *store)
{
	struct rp_error err;
	char *text;

	ASSERT_EQ(rp_list_reference_points(store, "web1", &text, &err), RP_OK, "%s",
		  err.message);
	return take_json(text);
}

json_t *stage_only_job(const struct stage *s)
{
	return load_json(fmt("%s/jobs/ended/%s/job.json", s->path,
			     listing(fmt("%s/jobs/ended", s->path))));
}

rlim_t limit_files(pid_t pid, rlim_t limit)
{
	struct rlimit old, new;

	ASSERT_OK(prlimit(pid, RLIMIT_NOFILE, NULL, &old));
	new = (struct rlimit){.rlim_cur = limit, .rlim_max = old.rlim_max};
	ASSERT_OK(prlimit(pid, RLIMIT_NOFILE, &new, NULL));
	return old.rlim_cur;
}

const char *program(void)
{
	return getenv("REFPOINT");
}

const char *program_missing(void)
{
	return program() ? NULL : "REFPOINT, the path of the program, is not set";
}
