/* SPDX-License-Identifier: MIT */
/*
 * store_test.c - the store on disk: how it is made and opened, who may read it, what its
 * documents never hold
 */
#include <fcntl.h>
#include <ftw.h>
#include <linux/fiemap.h>
#include <linux/fs.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "data.h"
#include "harness.h"
#include "loopfs.h"
#include "stage.h"

#define SIZE (MIB + 4097)

static char *owner; /* the name of every account; NULL = what it is */

/* The library's calls come by here. */
int getpwuid_r(uid_t uid, struct passwd *entry, char *text, size_t size,
	       struct passwd **ret)
{
	*entry = (struct passwd){.pw_name = owner ?: text, .pw_uid = uid};
	snprintf(text, size, "uid%u", (unsigned)uid);
	*ret = entry;
	return 0;
}

FIXTURE(store)
{
	struct stage stage;
};

FIXTURE_SETUP(store)
{
	ASSERT_OK(chmod(test_dir(), 0711));
	stage_make(&self->stage, test_dir(), SIZE, test_seed());
}

FIXTURE_TEARDOWN(store)
{
	stage_close(&self->stage);
}

/* ------------------------------------------------------------------ made and opened */

static void expect_store(const char *path)
{
	struct stage s = {0};

	snprintf(s.path, sizeof(s.path), "%s", fmt("%s", path));
	EXPECT_STREQ(listing(path), "jobs pending store.json systems");
	s.store = stage_open(&s, 0);
	stage_expect_idle(&s);
	stage_close(&s);
}

TEST(is_made)
{
	const char *path = fmt("%s/store", test_dir()), *dir = test_dir();
	struct rp_error err;

	GIVES(OK, rp_store_init(path, &err));
	expect_store(path);
	GIVES(INVALID_STATE, rp_store_init(path, &err));
	expect_store(path);

	path = fmt("%s/empty", dir);
	ASSERT_OK(mkdir(path, 0755));
	GIVES(OK, rp_store_init(path, &err));
	expect_store(path);

	path = fmt("%s/slash/", dir);
	GIVES(OK, rp_store_init(path, &err));
	expect_store(path);

	/* What an init that was killed has left. */
	path = fmt("%s/killed", dir);
	ASSERT_OK(mkdir(path, 0700));
	ASSERT_OK(mkdir(fmt("%s/systems", path), 0700));
	ASSERT_OK(mkdir(fmt("%s/jobs", path), 0700));
	save_text(fmt("%s/.store.json.new", path), "{");
	GIVES(OK, rp_store_init(path, &err));
	expect_store(path);
}

TEST(is_not_made)
{
	const char *dir = test_dir(), *path = fmt("%s/full", dir);
	struct rp_error err;

	ASSERT_OK(mkdir(path, 0755));
	save_text(fmt("%s/mine", path), "mine");
	GIVES(INVALID_STATE, rp_store_init(path, &err));
	EXPECT_STREQ(listing(path), "mine");
	GIVES(NOT_AVAILABLE, rp_store_init(fmt("%s/none/store", dir), &err));
	GIVES(NOT_AVAILABLE, rp_store_init(fmt("%s/mine", path), &err));
	GIVES(NOT_AVAILABLE, rp_store_init(fmt("%s/mine/store", path), &err));
	GIVES(INVALID_PARAMETER, rp_store_init("store", &err));
	GIVES(INVALID_PARAMETER, rp_store_init("./store", &err));
	EXPECT_STREQ(listing(dir), "full");
	EXPECT_STREQ(listing(path), "mine");
}

TEST(is_not_opened)
{
	static const char *const damaged[] = {
		"",
		"{",
		"null",
		"[]",
		"\"FormatVersion\"",
		"{}",
		"{\"FormatVersion\": null}",
		"{\"FormatVersion\": \"1\"}",
		"{\"FormatVersion\": 0}",
		"{\"FormatVersion\": -1}",
		"{\"FormatVersion\": 1.0}",
		"{\"FormatVersion\": 1, \"FormatVersion\": 1}",
		"{\"FormatVersion\": 1} more",
	};
	static const char *const folders[] = {"systems", "pending", "jobs/active",
					      "jobs/ended"};
	const char *path = fmt("%s/store", test_dir());
	const char *json = fmt("%s/store.json", path), *away = fmt("%s/away", test_dir());
	struct rp_store *store = NULL;
	struct rp_error err;

	ASSERT_EQ(rp_store_init(path, &err), RP_OK);
	for (size_t i = 0; i < ARRAY_SIZE(folders); i++) {
		const char *folder = fmt("%s/%s", path, folders[i]);

		ASSERT_OK(rename(folder, away));
		GIVES(UNKNOWN_STATUS, rp_store_open(path, NULL, &store, &err));
		EXPECT_NE(strstr(err.message, folders[i]), NULL, "%s", err.message);
		ASSERT_OK(rename(away, folder));
	}
	for (size_t i = 0; i < ARRAY_SIZE(damaged); i++) {
		test_log("%s", damaged[i]);
		save_text(json, damaged[i]);
		GIVES(UNKNOWN_STATUS, rp_store_open(path, NULL, &store, &err));
	}
	ASSERT_OK(unlink(json));
	ASSERT_OK(mkdir(json, 0700));
	GIVES(UNKNOWN_STATUS, rp_store_open(path, NULL, &store, &err));
	ASSERT_OK(rmdir(json));
	GIVES(NOT_AVAILABLE, rp_store_open(path, NULL, &store, &err));
	save_text(json, "{\"FormatVersion\": 2, \"CreationTime\": null}");
	GIVES(NOT_SUPPORTED, rp_store_open(path, NULL, &store, &err));
	GIVES(INVALID_STATE, rp_store_init(path, &err));
	save_text(json, "{\"FormatVersion\": 1}");
	GIVES(INVALID_PARAMETER,
	      rp_store_open(fmt("%s/\xff", test_dir()), NULL, &store, &err));
	EXPECT_EQ(store, NULL);
	GIVES(OK, rp_store_open(path, NULL, &store, &err));
	rp_store_close(store);
}

/* Stores made before there was a queue, or jobs at all but synchronous ones, go on. */
TEST(says_which_setting_cannot_be)
{
	static const char *const limits[] = {"0", "-1", "\"x\"", "1.5", "null"};
	static const char *const times[] = {"-1", "\"x\"", "1.5", "4294967296"};
	const char *path = fmt("%s/store", test_dir());
	char json[PATH_MAX];
	struct rp_store *store = NULL;
	struct rp_error err;

	ASSERT_EQ(rp_store_init(path, &err), RP_OK);
	snprintf(json, sizeof(json), "%s/store.json", path);
	for (size_t i = 0; i < ARRAY_SIZE(limits); i++) {
		save_text(json,
			  fmt("{\"FormatVersion\": 1, \"JobLimit\": %s}", limits[i]));
		GIVES(UNKNOWN_STATUS, rp_store_open(path, NULL, &store, &err));
		EXPECT_STREQ(err.message, fmt("open store %s: JobLimit in store.json is "
					      "%s, not a whole number of 1 or more",
					      path, limits[i]));
	}
	for (size_t i = 0; i < ARRAY_SIZE(times); i++) {
		save_text(json, fmt("{\"FormatVersion\": 1, \"TimeBeforeRemoval\": %s}",
				    times[i]));
		GIVES(UNKNOWN_STATUS, rp_store_open(path, NULL, &store, &err));
		EXPECT_STREQ(err.message,
			     fmt("open store %s: TimeBeforeRemoval in store.json is %s, "
				 "not a whole number from 0 to 4294967295",
				 path, times[i]));
	}
	save_text(json, fmt("{\"FormatVersion\": 1, \"JobLimit\": \"%01000d\"}", 0));
	GIVES(UNKNOWN_STATUS, rp_store_open(path, NULL, &store, &err));
	EXPECT_NE(strstr(err.message, "of 1 or more"), NULL, "%s", err.message);
	save_text(json, "{\"FormatVersion\": 1, \"JobLimit\": 1, "
			"\"TimeBeforeRemoval\": 0}");
	GIVES(OK, rp_store_open(path, NULL, &store, &err));
	rp_store_close(store);
}

TEST(without_a_queue_gets_one)
{
	const char *path = fmt("%s/store", test_dir());
	struct rp_store *store = NULL;
	struct rp_error err;

	GIVES(OK, rp_store_init(path, &err));
	ASSERT_OK(rmdir(fmt("%s/jobs/queue", path)));
	GIVES(OK, rp_store_open(path, NULL, &store, &err));
	EXPECT_TRUE(exists(fmt("%s/jobs/queue", path)));
	rp_store_close(store);
	ASSERT_OK(rmdir(fmt("%s/jobs/ended", path)));
	store = NULL;
	GIVES(UNKNOWN_STATUS, rp_store_open(path, NULL, &store, &err));
	EXPECT_EQ(store, NULL);
}

/* ------------------------------------------------------------------------- rights */

static unsigned looked_at;

static int check_mode(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	mode_t mode = st->st_mode & 07777;
	const char *name = path + ftw->base;

	looked_at++;
	if (type == FTW_D)
		EXPECT_EQ(mode, 0700, "%s", path);
	else if (strstr(path, "/points/") && !strcmp(name, "vda.raw"))
		EXPECT_EQ(mode, 0400, "%s", path);
	else
		EXPECT_EQ(mode, 0600, "%s", path);
	return 0;
}

/* Whatever the caller's umask, which stays as it is. */
TEST(is_for_its_owner_alone)
{
	static const mode_t masks[] = {0, 022, 077};
	struct rp_error err;

	for (size_t i = 0; i < ARRAY_SIZE(masks); i++) {
		const char *dir = fmt("%s/%zu", test_dir(), i);
		struct stage s = {0};
		const char *output = fmt("%s/restored", dir);
		struct stat st;

		ASSERT_OK(mkdir(dir, 0700));
		umask(masks[i]);
		stage_make(&s, dir, SIZE, 1);
		ASSERT_EQ(stage_export(&s, NULL, &err), RP_OK, "%s", err.message);
		ASSERT_EQ(rp_restore(stage_export_path(s.exports, s.point), "vda", output,
				     NULL, NULL, &err),
			  RP_OK, "%s", err.message);
		stage_close(&s);
		EXPECT_EQ(umask(022), masks[i]);
		looked_at = 0;
		EXPECT_OK(nftw(s.path, check_mode, 16, FTW_PHYS));
		EXPECT_GT(looked_at, 15);
		EXPECT_OK(nftw(fmt("%s/web1", s.exports), check_mode, 16, FTW_PHYS));
		ASSERT_OK(stat(output, &st));
		EXPECT_EQ(st.st_mode & 07777, 0600);
	}
}

/* Calls @look with a handle of user nobody. */
static void as_nobody(const struct stage *s, void (*look)(const struct stage *mine))
{
	struct stage mine = *s;
	int status;
	pid_t pid = fork();

	if (pid == 0) {
		ASSERT_OK(setresgid(65534, 65534, 65534));
		ASSERT_OK(setresuid(65534, 65534, 65534));
		mine.store = stage_open(s, 0);
		look(&mine);
		stage_close(&mine);
		_exit(0);
	}
	ASSERT_EQ(waitpid(pid, &status, 0), pid);
	EXPECT_EQ(status, 0);
}

static void let_read(const struct stage *s)
{
	ASSERT_OK(system(fmt("chmod -R a+rX '%s' 2>/dev/null; chmod a+rX "
			     "'%s/systems/web1/points'",
			     s->path, s->path)));
}

static void look_and_no_more(const struct stage *mine)
{
	struct rp_error err;
	json_t *points;
	char *text = NULL;

	points = stage_points(mine->store);
	EXPECT_EQ(json_array_size(points), 1);
	json_decref(points);
	GIVES(OK, rp_show_reference_point(mine->store, mine->point, &text, &err));
	rp_free(text);
	GIVES(ACCESS_DENIED, rp_destroy_reference_point(mine->store, mine->point, &err));
	text = NULL;
	GIVES(ACCESS_DENIED,
	      rp_create_reference_point(mine->store, "web1", NULL, &text, &err));
	EXPECT_EQ(text, NULL);
	GIVES(ACCESS_DENIED, stage_export(mine, NULL, &err));
}

/* Who may read it, but not write, can look; and leaves even the dead alone. */
TEST_F(store, may_be_shown_to_others)
{
	const struct stage *s = &self->stage;
	const char *left = fmt("%s/pending/00000000-0000-4000-8000-000000000000",
			       s->path);

	if (geteuid() != 0)
		SKIP("not root");
	ASSERT_OK(mkdir(left, 0700));
	let_read(s);
	as_nobody(s, look_and_no_more);
	EXPECT_TRUE(exists(left));
	EXPECT_TRUE(data_same(fmt("%s/vda.raw", stage_point_path(s, s->point)), s->twin));
}

static const char unread[] = "not permitted to be read";

/* Of the two points of web1 the second may not be read. */
static void list_points(const struct stage *mine)
{
	json_t *list = stage_points(mine->store), *second = json_array_get(list, 0);
	const char *ref = fmt("web1@%s", json_text(second, "InstanceID"));
	struct rp_error err;
	char *text;

	EXPECT_EQ(json_array_size(list), 2);
	EXPECT_STREQ(json_text(second, "Status"), unread);
	EXPECT_NE(strstr(json_text(second, "StatusReason"), "Permission denied"), NULL,
		  "%s", json_text(second, "StatusReason"));
	EXPECT_STREQ(status_of(list, "InstanceID", strchr(mine->point, '@') + 1), "");
	GIVES(OK, rp_list_reference_points(mine->store, NULL, &text, &err));
	rp_free(text);
	GIVES(ACCESS_DENIED, rp_show_reference_point(mine->store, ref, &text, &err));
	GIVES(ACCESS_DENIED, rp_destroy_reference_point(mine->store, ref, &err));
	/* Nobody knows which it is. */
	GIVES(ACCESS_DENIED,
	      rp_show_reference_point(mine->store, "web1@latest", &text, &err));
	GIVES(ACCESS_DENIED,
	      rp_export(mine->store, "web1@latest", mine->exports, NULL, &text, &err));
}

TEST_F(store, tells_of_points_that_may_not_be_read)
{
	const struct stage *s = &self->stage;
	char second[POINT_SIZE];

	if (geteuid() != 0)
		SKIP("not root");
	stage_take(s, second);
	let_read(s);
	ASSERT_OK(chmod(fmt("%s/point.json", stage_point_path(s, second)), 0600));
	as_nobody(s, list_points);
	ASSERT_OK(chmod(stage_point_path(s, second), 0700));
	as_nobody(s, list_points);
}

static void list_systems(const struct stage *mine)
{
	struct rp_error err;
	json_t *list;
	char *text;

	GIVES(OK, rp_list_reference_points(mine->store, NULL, &text, &err));
	list = take_json(text);
	EXPECT_EQ(json_array_size(list), 1);
	json_decref(list);
	GIVES(ACCESS_DENIED, rp_list_reference_points(mine->store, "web0", &text, &err));
	GIVES(OK, rp_system_list(mine->store, &text, &err));
	list = take_json(text);
	EXPECT_EQ(json_array_size(list), 2);
	EXPECT_STREQ(status_of(list, "VirtualSystemIdentifier", "web0"), unread);
}

TEST_F(store, tells_of_systems_that_may_not_be_read)
{
	const struct stage *s = &self->stage;
	const struct rp_disk disk = {"vda", s->disk};
	const char *folder = fmt("%s/systems/web0", s->path);
	struct rp_error err;

	if (geteuid() != 0)
		SKIP("not root");
	GIVES(OK, rp_system_add(s->store, "web0", &disk, 1, NULL, 0, &err));
	let_read(s);
	ASSERT_OK(chmod(fmt("%s/points", folder), 0700));
	as_nobody(s, list_systems);
	ASSERT_OK(chmod(folder, 0700));
	as_nobody(s, list_systems);
}

/* There are two, of which one must not hide the other. */
static void list_jobs(const struct stage *mine)
{
	const char *status[2], *id;
	struct rp_error err;
	json_t *list;
	char *text;

	GIVES(OK, rp_job_list(mine->store, &text, &err));
	list = take_json(text);
	ASSERT_EQ(json_array_size(list), 2);
	for (size_t i = 0; i < 2; i++)
		status[i] = json_text(json_array_get(list, i), "JobStatus");
	EXPECT_STREQ(status[0], unread);
	EXPECT_STREQ(status[1], "Exception");
	id = json_text(json_array_get(list, 0), "InstanceID");
	GIVES(ACCESS_DENIED, rp_job_show(mine->store, id, &text, &err));
	json_decref(list);
}

TEST_F(store, tells_of_jobs_that_may_not_be_read)
{
	const struct stage *s = &self->stage;
	struct rp_error err;
	const char *folder;

	if (geteuid() != 0)
		SKIP("not root");
	GIVES(OK, stage_export(s, NULL, &err));
	folder = fmt("%s/jobs/ended/%s", s->path, listing(fmt("%s/jobs/ended", s->path)));
	GIVES(INVALID_STATE, stage_export(s, NULL, &err));
	let_read(s);
	ASSERT_OK(chmod(fmt("%s/job.json", folder), 0600));
	as_nobody(s, list_jobs);
	ASSERT_OK(chmod(folder, 0700));
	as_nobody(s, list_jobs);
}

/* ---------------------------------------------------------------- what documents say */

/* Calls @see for each number and each key below @doc. */
static void walk(const json_t *doc,
		 void (*see)(const char *key, json_int_t number, void *context),
		 const char *key, void *context)
{
	const char *name;
	json_t *value;
	size_t i;

	see(key, json_is_integer(doc) ? json_integer_value(doc) : -1, context);
	json_object_foreach((json_t *)doc, name, value)
		walk(value, see, name, context);
	json_array_foreach(doc, i, value)
		walk(value, see, key, context);
}

struct address {
	uint64_t physical;
	unsigned keys;
};

static void see_no_address(const char *key, json_int_t number, void *context)
{
	static const char *const words[] = {"hysical", "ddress", "lock", "lba", "LBA"};
	static const unsigned units[] = {1, 512, 4096};
	struct address *a = context;

	a->keys++;
	if (!strcmp(key, "ProcessId") || !strcmp(key, "BlockSize"))
		return;
	for (size_t i = 0; i < ARRAY_SIZE(words); i++)
		EXPECT_EQ(strstr(key, words[i]), NULL, "%s", key);
	for (size_t i = 0; i < ARRAY_SIZE(units); i++)
		EXPECT_NE((uint64_t)number, a->physical / units[i], "%s", key);
}

static uint64_t physical_of(const char *path)
{
	struct fiemap *map = calloc(1, sizeof(*map) + sizeof(map->fm_extents[0]));
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	uint64_t physical;

	ASSERT_NE(map, NULL);
	ASSERT_GE(fd, 0);
	map->fm_length = UINT64_MAX;
	map->fm_flags = FIEMAP_FLAG_SYNC;
	map->fm_extent_count = 1;
	ASSERT_OK(ioctl(fd, FS_IOC_FIEMAP, map));
	ASSERT_EQ(map->fm_mapped_extents, 1);
	physical = map->fm_extents[0].fe_physical;
	close(fd);
	free(map);
	return physical;
}

/* Blocks move, and their addresses are used again: none is ever stored (H5, H6). */
TEST(stores_no_block_address)
{
	struct address address = {0};
	struct stage s = {0};
	struct loopfs fs = {0};
	struct rp_error err;
	const char *files[3];
	json_t *doc;
	int fd;

	/* All data, so that no size can be taken for an address or part of one. */
	loopfs_mount(&fs, "xfs", 0, NULL, NULL);
	fd = open(fmt("%s/filler", fs.mnt), O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	ASSERT_OK(fallocate(fd, 0, 0, (off_t)(64 * MIB)));
	close(fd);
	stage_make(&s, fs.mnt, SIZE, test_seed());
	fd = open(s.disk, O_WRONLY | O_CLOEXEC);
	data_write(fd, 1, 0, SIZE);
	close(fd);
	stage_take(&s, s.point);
	ASSERT_EQ(stage_export(&s, NULL, &err), RP_OK, "%s", err.message);
	address.physical = physical_of(s.disk);
	EXPECT_GT(address.physical, 16 * MIB);
	EXPECT_EQ(physical_of(fmt("%s/vda.raw", stage_point_path(&s, s.point))),
		  address.physical);
	files[0] = fmt("%s/point.json", stage_point_path(&s, s.point));
	files[1] = fmt("%s/export.json", stage_export_path(s.exports, s.point));
	files[2] = fmt("%s/jobs/ended/%s/job.json", s.path,
		       listing(fmt("%s/jobs/ended", s.path)));
	for (size_t i = 0; i < ARRAY_SIZE(files); i++) {
		doc = load_json(files[i]);
		walk(doc, see_no_address, "", &address);
		json_decref(doc);
	}
	EXPECT_GT(address.keys, 40);
	stage_close(&s);
	loopfs_umount(&fs);
}

static void expect_job(const struct stage *s, int64_t state, int64_t code)
{
	json_t *job = stage_only_job(s);

	EXPECT_EQ(json_number(job, "JobState"), state);
	EXPECT_EQ(json_number(job, "ErrorCode"), code);
	EXPECT_EQ(json_text(job, "ErrorDescription")[0] != '\0', code != 0);
	EXPECT_STREQ(json_text(job, "ExportDirectory"), s->exports);
	EXPECT_STREQ(json_text(job, "ReferencePointId"), strchr(s->point, '@') + 1);
	EXPECT_EQ(json_number(job, "ProcessId"), getpid());
	json_decref(job);
}

TEST_F(store, records_how_an_export_ended)
{
	const struct stage *s = &self->stage;
	struct rp_error err;

	GIVES(OK, stage_export(s, NULL, &err));
	expect_job(s, 7, 0);
	ASSERT_OK(system(fmt("rm -r '%s'/jobs/ended/*", s->path)));
	GIVES(INVALID_STATE, stage_export(s, NULL, &err));
	expect_job(s, 10, RP_INVALID_STATE);
}

/* By another process, as far as the store can tell. */
static void export_again(const struct stage *s)
{
	struct stage other = *s;
	struct rp_error err;

	other.store = stage_open(s, 0);
	GIVES(INVALID_STATE, stage_export(&other, NULL, &err));
	rp_store_close(other.store);
}

/* A record is UTF-8, whatever the name of an account is. */
TEST_F(store, records_an_owner_without_text)
{
	const struct rp_export_options options = stage_copying(RP_IO_AUTO);
	struct rp_error err;
	json_t *job;

	owner = "m\xfcller";
	GIVES(OK, stage_export(&self->stage, &options, &err));
	owner = NULL;
	job = stage_only_job(&self->stage);
	EXPECT_STREQ(json_text(job, "Owner"), fmt("%u", (unsigned)geteuid()));
	json_decref(job);
}

/* After a week; the first that ends looks, of all processes once a minute. */
TEST_F(store, forgets_old_exports)
{
	const struct stage *s = &self->stage;
	const char *ended = fmt("%s/jobs/ended", s->path);
	const char *old, *new;
	struct rp_error err;

	GIVES(OK, stage_export(s, NULL, &err));
	old = fmt("%s", listing(ended));
	GIVES(INVALID_STATE, stage_export(s, NULL, &err));
	EXPECT_EQ(strlen(listing(ended)), 2 * strlen(old) + 1);
	ASSERT_OK(system(fmt("touch -d '8 days ago' '%s/%s'", ended, old)));
	ASSERT_OK(system(fmt("touch '%s/jobs/forgot'", s->path)));
	export_again(s);
	EXPECT_NE(strstr(listing(ended), old), NULL);
	ASSERT_OK(system(fmt("touch -d '2 minutes ago' '%s/jobs/forgot'", s->path)));
	export_again(s);
	new = listing(ended);
	EXPECT_EQ(strlen(new), 3 * strlen(old) + 2);
	EXPECT_EQ(strstr(new, old), NULL);
	/* A clock that went back, or no minute that is known of. */
	ASSERT_OK(system(fmt("touch -d '8 days ago' '%s'/*", ended)));
	ASSERT_OK(system(fmt("touch -d '2 days' '%s/jobs/forgot'", s->path)));
	export_again(s);
	EXPECT_EQ(strlen(listing(ended)), strlen(old));
}

TEST_MAIN
