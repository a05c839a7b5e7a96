/* SPDX-License-Identifier: MIT */
/*
 * concurrency_test.c - many at once on one store, as processes and as threads: each call
 * gives a documented value, whatever was exported is whole, and nothing is left behind
 */
#include <dirent.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "data.h"
#include "harness.h"
#include "loopfs.h"
#include "stage.h"

#define SIZE	   (2 * MIB)
#define WORKERS	   5  /* the first does nothing but open the store */
#define SECONDS	   3  /* that each works for; longer, ... */
#define CALLS	   24 /* ... if it has not done so many */
#define MOST	   12 /* points; more are destroyed */
#define MAX_VALUES 6

struct worker {
	const struct stage *stage;
	struct rp_store *store; /* its own */
	unsigned number;
	uint64_t random;
	unsigned done; /* calls that did what they are for */
	pthread_t thread;
};

/* The values a call may give while others are at work; 0 ends the list, RP_OK is always
 * fine. What was not done says why. */
static void expect_one_of(struct worker *w, uint32_t value, const struct rp_error *err,
			  const char *call, const uint32_t values[MAX_VALUES])
{
	if (value == RP_OK) {
		w->done++;
		return;
	}
	EXPECT_NE(err->message[0], '\0');
	for (size_t i = 0; i < MAX_VALUES && values[i]; i++)
		if (value == values[i])
			return;
	FAIL("%s gave %u: %s", call, value, err->message);
}

#define EXPECT_ONE_OF(w, call, ...) \
	expect_one_of(w, call, &err, #call, (const uint32_t[MAX_VALUES]){__VA_ARGS__})

/* One of the newest points, if there is any by then. */
static const char *some_point(struct worker *w)
{
	return fmt("web1@latest~%u", (unsigned)(data_random(&w->random) % MOST));
}

static void do_create(struct worker *w)
{
	struct rp_error err;
	char *point = NULL;

	EXPECT_ONE_OF(w, rp_create_reference_point(w->store, "web1", NULL, &point, &err),
		      RP_TIMEOUT);
	rp_free(point);
}

/* The oldest goes, but for the first, if there are many. */
static void do_list(struct worker *w)
{
	struct rp_error err;
	char *text = NULL;
	json_t *points;

	EXPECT_ONE_OF(w, rp_list_reference_points(w->store, NULL, &text, &err),
		      RP_TIMEOUT);
	if (!text)
		return;
	points = take_json(text);
	EXPECT_GE(json_array_size(points), 1);
	if (json_array_size(points) > MOST) {
		const char *id = json_text(json_array_get(points, 1), "InstanceID");

		EXPECT_ONE_OF(
			w, rp_destroy_reference_point(w->store, fmt("web1@%s", id), &err),
			RP_IN_USE, RP_NOT_AVAILABLE);
	}
	json_decref(points);
}

static void do_show(struct worker *w)
{
	struct rp_error err;
	char *text = NULL;
	json_t *point;

	EXPECT_ONE_OF(w, rp_show_reference_point(w->store, some_point(w), &text, &err),
		      RP_NOT_AVAILABLE);
	if (!text)
		return;
	point = take_json(text);
	EXPECT_STREQ(json_text(point, "VirtualSystemIdentifier"), "web1");
	json_decref(point);
}

/* To a folder of its own, where it is verified and removed. */
static void do_export(struct worker *w)
{
	const char *folder = fmt("%s/own%u", w->stage->exports, w->number);
	struct rp_export_options options = stage_copying(RP_IO_AUTO);
	struct rp_error err;
	char *text = NULL;
	json_t *report;

	if (data_random(&w->random) % 2)
		options.clone = RP_CLONE_AUTO;
	ASSERT_OK(mkdir(folder, 0700));
	EXPECT_ONE_OF(w,
		      rp_export(w->store, some_point(w), folder, &options, &text, &err),
		      RP_IN_USE, RP_NOT_AVAILABLE);
	if (text) {
		report = take_json(text);
		EXPECT_TRUE(stage_good_export(
			folder, fmt("web1@%s", json_text(report, "ReferencePointId")),
			w->stage->twin));
		json_decref(report);
		ASSERT_OK(system(fmt("rm -r '%s/web1'", folder)));
	}
	ASSERT_OK(rmdir(folder), "%s holds %s", folder, listing(folder));
}

/* To where all export, so that they meet. It stays. */
static void do_export_together(struct worker *w)
{
	const char *folder = fmt("%s/all", w->stage->exports);
	struct rp_error err;

	EXPECT_ONE_OF(w, rp_export(w->store, some_point(w), folder, NULL, NULL, &err),
		      RP_IN_USE, RP_NOT_AVAILABLE, RP_INVALID_STATE);
}

static void do_destroy(struct worker *w)
{
	const char *point = fmt("web1@latest~%u", /* not all of them */
				(unsigned)(1 + data_random(&w->random) % 4));
	struct rp_error err;
	char *text = NULL;
	json_t *shown;
	bool first;

	if (rp_show_reference_point(w->store, point, &text, &err) != RP_OK)
		return;
	shown = take_json(text);
	point = fmt("web1@%s", json_text(shown, "InstanceID"));
	first = strcmp(point, w->stage->point) == 0;
	json_decref(shown);
	if (!first)
		EXPECT_ONE_OF(w, rp_destroy_reference_point(w->store, point, &err),
			      RP_IN_USE, RP_NOT_AVAILABLE);
}

/* What a command does first and last; it removes what is left by the dead. */
static void do_reopen(struct worker *w)
{
	rp_store_close(w->store);
	w->store = stage_open(w->stage, 0);
}

static void *work(void *arg)
{
	static void (*const acts[])(struct worker * w) = {
		do_create, do_create,	       do_list,	   do_show,
		do_export, do_export_together, do_destroy, do_reopen,
	};
	struct worker *w = arg;
	uint64_t end = now_ms() + (uint64_t)SECONDS * 1000;

	w->store = stage_open(w->stage, 0);
	while (now_ms() < end || (w->number && w->done < CALLS))
		if (w->number)
			acts[data_random(&w->random) % ARRAY_SIZE(acts)](w);
		else
			do_reopen(w);
	rp_store_close(w->store);
	return NULL;
}

FIXTURE(together)
{
	struct loopfs fs;
	struct stage stage;
	struct worker workers[WORKERS];
};

FIXTURE_SETUP(together)
{
	uint64_t random = test_seed();

	loopfs_mount(&self->fs, "xfs", 0, NULL, NULL);
	stage_make(&self->stage, self->fs.mnt, SIZE, random);
	ASSERT_OK(mkdir(fmt("%s/all", self->stage.exports), 0700));
	for (unsigned i = 0; i < WORKERS; i++)
		self->workers[i] = (struct worker){
			.stage = &self->stage,
			.number = i,
			.random = data_random(&random),
		};
}

FIXTURE_TEARDOWN(together)
{
	stage_close(&self->stage);
	loopfs_umount(&self->fs);
}

/* Calls @check for each entry of a folder, and counts them. */
static unsigned each(const struct stage *s, const char *folder,
		     void (*check)(const struct stage *s, const char *folder,
				   const char *name))
{
	DIR *dir = opendir(folder);
	struct dirent *entry;
	unsigned count = 0;

	ASSERT_NE(dir, NULL, "%s", folder);
	while ((entry = readdir(dir))) {
		if (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, ".."))
			continue;
		check(s, folder, entry->d_name);
		count++;
	}
	closedir(dir);
	return count;
}

static void check_export(const struct stage *s, const char *folder, const char *name)
{
	EXPECT_TRUE(
		stage_good_export(fmt("%s/..", folder), fmt("web1@%s", name), s->twin));
}

/* Nobody has died: each has ended as its caller was told. */
static void check_job(const struct stage *s, const char *folder, const char *name)
{
	json_t *job = load_json(fmt("%s/%s/job.json", folder, name));
	int64_t code = json_number(job, "ErrorCode");

	EXPECT_EQ(json_number(job, "JobState"), code ? 10 : 7);
	EXPECT_NE(code, RP_FAILED, "%s: %s", s->path, json_text(job, "ErrorDescription"));
	json_decref(job);
}

/* When all is quiet, all that is there is whole. */
static void expect_peace(const struct stage *s)
{
	json_t *points = stage_points(s->store), *point;
	char scratch[PATH_MAX];
	struct rp_error err;
	unsigned exports, jobs;
	size_t i;

	stage_expect_idle(s);
	snprintf(scratch, sizeof(scratch), "%s/all/web1", s->exports);
	exports = each(s, scratch, check_export);
	snprintf(scratch, sizeof(scratch), "%s/jobs/ended", s->path);
	jobs = each(s, scratch, check_job);
	EXPECT_STREQ(listing(s->exports), "all");
	snprintf(scratch, sizeof(scratch), "%s/last", s->exports);
	ASSERT_OK(mkdir(scratch, 0700));
	json_array_foreach(points, i, point) {
		const char *name = fmt("web1@%s", json_text(point, "InstanceID"));

		EXPECT_STREQ(json_text(point, "Status"), "");
		EXPECT_EQ(rp_export(s->store, name, scratch, NULL, NULL, &err), RP_OK,
			  "%s", err.message);
		EXPECT_TRUE(stage_good_export(scratch, name, s->twin));
	}
	test_log("%zu points, %u exports, %u jobs", i, exports, jobs);
	EXPECT_GT(i, 1);
	EXPECT_GT(exports, 1);
	json_decref(points);
	EXPECT_TRUE(data_same(s->disk, s->twin));
}

TEST_F(together, as_processes)
{
	pid_t pids[WORKERS];
	int status;

	for (unsigned i = 0; i < WORKERS; i++) {
		pids[i] = fork();
		if (pids[i] == 0) {
			work(&self->workers[i]);
			_exit(0);
		}
	}
	for (unsigned i = 0; i < WORKERS; i++) {
		ASSERT_EQ(waitpid(pids[i], &status, 0), pids[i]);
		EXPECT_EQ(status, 0);
	}
	expect_peace(&self->stage);
}

TEST_F(together, as_threads)
{
	for (unsigned i = 0; i < WORKERS; i++)
		ASSERT_OK(pthread_create(&self->workers[i].thread, NULL, work,
					 &self->workers[i]));
	for (unsigned i = 0; i < WORKERS; i++)
		ASSERT_OK(pthread_join(self->workers[i].thread, NULL));
	expect_peace(&self->stage);
}

TEST_MAIN
