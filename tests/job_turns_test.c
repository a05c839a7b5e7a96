/* SPDX-License-Identifier: MIT */
/*
 * job_turns_test.c - jobs that wait for their turn: limit, priority, and who dies
 */
#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "badfs.h"
#include "data.h"
#include "harness.h"
#include "jobs.h"
#include "loopfs.h"

/* ------------------------------------------------------------------------------ turns */

#define PROCESSES 4
#define EACH	  50
#define LIMIT	  3
#define WAIT_MS	  20000

static void start_many(const struct stage *s, unsigned process)
{
	uint64_t random = 77 + process;
	struct rp_store *store = stage_open(s, 0);
	struct rp_job *job[EACH];
	struct rp_error err;

	for (unsigned i = 0; i < EACH; i++) {
		const char *directory = fmt("%s/%u-%u", s->exports, process, i);
		struct rp_export_options options = {
			.size = sizeof(options),
			.priority = 1 + (uint32_t)(data_random(&random) % 9)};

		ASSERT_OK(mkdir(directory, 0700));
		ASSERT_EQ(rp_export_start(store, s->point, directory, &options, &job[i],
					  &err),
			  RP_JOB_STARTED, "%s", err.message);
	}
	for (unsigned i = 0; i < EACH; i++) {
		EXPECT_EQ(rp_job_wait(job[i], NULL, 0, &err), RP_OK, "%s", err.message);
		rp_job_close(job[i]);
	}
	rp_store_close(store);
}

static unsigned count_waiting(const struct stage *s)
{
	DIR *dir = opendir(fmt("%s/jobs/queue", s->path));
	struct dirent *entry;
	unsigned count = 0;

	ASSERT_NE(dir, NULL);
	while ((entry = readdir(dir)))
		count += entry->d_name[0] == 'w';
	closedir(dir);
	return count;
}

/* Processes that end at once do not leave the queue, but the next one sees that they are
 * gone. */
static void expect_nobody_left(const struct stage *s)
{
	const char *path = fmt("%s/jobs/queue", s->path);
	DIR *dir = opendir(path);
	struct dirent *entry;

	ASSERT_NE(dir, NULL);
	while ((entry = readdir(dir))) {
		if (entry->d_name[0] == '.')
			continue;
		EXPECT_EQ(open(fmt("%s/%s", path, entry->d_name),
			       O_WRONLY | O_NONBLOCK | O_CLOEXEC),
			  -1, "%s", entry->d_name);
		EXPECT_EQ(errno, ENXIO);
	}
	closedir(dir);
}

/* More than so many at once had to overlap. */
static void expect_never_more(json_t *const jobs[], size_t count)
{
	for (size_t i = 0; i < count; i++) {
		unsigned together = 0;

		for (size_t k = 0; k < count; k++)
			together += strcmp(json_text(jobs[k], "StartTime"),
					   json_text(jobs[i], "StartTime")) <= 0 &&
				    strcmp(json_text(jobs[k], "TimeOfLastStateChange"),
					   json_text(jobs[i], "StartTime")) > 0;
		EXPECT_LE(together, LIMIT);
	}
}

/* Of those that come first, fewer than may work at once are not done when one begins.
 * When each of them wrote down that it had begun is another matter. */
static void expect_in_order(json_t *const jobs[], size_t count)
{
	for (size_t i = 0; i < count; i++) {
		unsigned before = 0;

		for (size_t k = 0; k < count; k++)
			before += json_number(jobs[k], "Priority") <
					  json_number(jobs[i], "Priority") &&
				  strcmp(json_text(jobs[k], "TimeOfLastStateChange"),
					 json_text(jobs[i], "StartTime")) > 0;
		EXPECT_LT(before, LIMIT, "%zu", i);
	}
}

TEST(two_hundred_jobs_take_turns)
{
	struct jobs j = {0};
	struct stage *s = &j.stage;
	struct rp_job *first[LIMIT];
	json_t *list, *jobs[PROCESSES * EACH];
	size_t count = 0, i;
	char *text;
	json_t *job;

	stage_make(s, test_dir(), MIB, test_seed());
	jobs_limit(s, LIMIT);
	for (i = 0; i < LIMIT; i++) {
		first[i] = jobs_start(&j, true);
		jobs_expect(first[i], RP_JOB_RUNNING);
	}
	for (unsigned p = 0; p < PROCESSES; p++)
		if (fork() == 0) {
			start_many(s, p);
			_exit(0);
		}
	/* Nobody works before all are there. */
	while (count_waiting(s) < PROCESSES * EACH)
		usleep(10000);
	for (i = 0; i < LIMIT; i++) {
		jobs_request(first[i], RP_JOB_KILL);
		rp_job_close(first[i]);
	}
	for (unsigned p = 0; p < PROCESSES; p++) {
		int status;

		ASSERT_GT(wait(&status), 0);
		EXPECT_EQ(status, 0);
	}
	ASSERT_EQ(rp_job_list(s->store, &text, NULL), RP_OK);
	list = take_json(text);
	count = 0;
	json_array_foreach(list, i, job) {
		if (json_number(job, "Priority") == 50)
			continue;
		EXPECT_EQ(json_number(job, "JobState"), RP_JOB_COMPLETED);
		jobs[count++] = job;
	}
	ASSERT_EQ(count, PROCESSES * EACH);
	expect_never_more(jobs, count);
	expect_in_order(jobs, count);
	expect_nobody_left(s);
	json_decref(list);
	stage_close(s);
}

FIXTURE(turns)
{
	struct jobs jobs;
};

FIXTURE_SETUP(turns)
{
	jobs_make(&self->jobs);
	jobs_limit(&self->jobs.stage, 1);
}

FIXTURE_VARIANT(turns)
{
	char none;
};
FIXTURE_VARIANT_ADD(turns, one_by_one){0};

FIXTURE_TEARDOWN(turns)
{
	jobs_close(&self->jobs);
}

/* Whoever dies, waiting or working, those behind it go on. */
TEST_F(turns, go_on_when_a_process_dies)
{
	struct jobs *j = &self->jobs;
	struct rp_job *jobs[5];
	struct rp_error err;

	for (size_t i = 0; i < ARRAY_SIZE(jobs); i++)
		jobs[i] = jobs_start(j, i < 4);
	jobs_expect(jobs[0], RP_JOB_RUNNING);
	ASSERT_OK(kill((pid_t)jobs_shown(j, jobs[2], "ProcessId"), SIGKILL)); /* waits */
	ASSERT_OK(kill((pid_t)jobs_shown(j, jobs[0], "ProcessId"), SIGKILL)); /* works */
	jobs_expect(jobs[1], RP_JOB_RUNNING);
	ASSERT_OK(kill((pid_t)jobs_shown(j, jobs[3], "ProcessId"), SIGKILL));
	jobs_request(jobs[1], RP_JOB_SUSPEND); /* leaves its turn to the last one */
	GIVES(OK, rp_job_wait(jobs[4], NULL, SOON_MS, &err));
	jobs_request(jobs[1], RP_JOB_START);
	EXPECT_EQ(jobs_state(jobs[1]), RP_JOB_RUNNING);
	for (size_t i = 0; i < ARRAY_SIZE(jobs); i++)
		rp_job_close(jobs[i]);
}

/* After a restart its directory may lie on a file system of another number. */
static void move_target(const struct stage *s, const struct rp_job *job)
{
	const char *path = fmt("%s/jobs/active/%s/job.json", s->path, rp_job_id(job));
	json_t *doc = load_json(path);

	json_object_set_new(doc, "ExportDevice",
			    json_integer(json_number(doc, "ExportDevice") + 1));
	save_json(path, doc);
}

/* Who never had its turn has nothing at its target that could keep it from going. */
TEST_F(turns, may_never_have_come)
{
	struct jobs *j = &self->jobs;
	struct rp_job *jobs[3];
	struct rp_error err;

	for (size_t i = 0; i < ARRAY_SIZE(jobs); i++)
		jobs[i] = jobs_start(j, true);
	jobs_expect(jobs[0], RP_JOB_RUNNING);
	for (size_t i = 1; i < ARRAY_SIZE(jobs); i++) {
		EXPECT_EQ(jobs_state(jobs[i]), RP_JOB_NEW);
		ASSERT_OK(kill((pid_t)jobs_shown(j, jobs[i], "ProcessId"), SIGKILL));
		jobs_expect(jobs[i], RP_JOB_EXCEPTION);
		move_target(&j->stage, jobs[i]);
	}
	EXPECT_EQ(rp_job_request_state_change(jobs[1], RP_JOB_KILL, 0, &err), RP_JOB_DONE,
		  "%s", err.message);
	EXPECT_EQ(jobs_state(jobs[1]), RP_JOB_KILLED);
	EXPECT_EQ(rp_job_request_state_change(jobs[2], RP_JOB_START, 0, &err),
		  RP_JOB_TRANSITION, "%s", err.message);
	for (size_t i = 0; i < ARRAY_SIZE(jobs); i++)
		rp_job_close(jobs[i]);
}

/* Once more what the first one does, by a thread of this process. */
static struct rp_job *start_again(const struct jobs *j)
{
	const struct rp_export_options options = {.size = sizeof(options),
						  .timeout_ms = 10 * WAIT_MS};
	struct rp_job *job;
	struct rp_error err;

	EXPECT_EQ(rp_export_start(j->stage.store, j->stage.point,
				  fmt("%s/0", j->stage.exports), &options, &job, &err),
		  RP_JOB_STARTED, "%s", err.message);
	return job;
}

/* Who waits looks again where another has the queue for longer than locks are waited for.
 */
TEST_F(turns, come_when_the_queue_is_let_go_of)
{
	struct jobs *j = &self->jobs;
	struct stage hurried = j->stage;
	struct rp_job *second;
	int queue;

	jobs_make_running(j);
	hurried.store = stage_open(&j->stage, 50);
	second = stage_start(&hurried);
	queue = open(fmt("%s/jobs/queue", j->stage.path), O_RDONLY | O_CLOEXEC);
	ASSERT_OK(flock(queue, LOCK_EX));
	ASSERT_OK(kill((pid_t)jobs_shown(j, j->job, "ProcessId"), SIGKILL));
	usleep(500000);
	ASSERT_EQ(jobs_state(second), RP_JOB_NEW);
	close(queue);
	jobs_expect(second, RP_JOB_RUNNING);
	jobs_request(second, RP_JOB_KILL);
	rp_job_close(second);
	rp_store_close(hurried.store);
}

/* Who waits for another at its target has no turn, which that one needs to get away. */
TEST_F(turns, are_left_while_the_target_is_waited_for)
{
	struct jobs *j = &self->jobs;
	struct rp_job *first = jobs_start(j, true), *again, *other;
	struct rp_error err;

	jobs_expect(first, RP_JOB_RUNNING);
	jobs_reach(j, first, "copying");
	jobs_request(first, RP_JOB_SUSPEND);
	again = start_again(j);
	while (jobs_state(again) == RP_JOB_NEW)
		usleep(1000);
	other = jobs_start(j, false);
	GIVES(OK, rp_job_wait(other, NULL, WAIT_MS, &err));
	jobs_expect(again, RP_JOB_STARTING);
	GIVES(OK, rp_job_set_bandwidth(first, 0, &err));
	EXPECT_EQ(rp_job_request_state_change(first, RP_JOB_START, WAIT_MS, &err),
		  RP_JOB_DONE, "%s", err.message);
	GIVES(OK, rp_job_wait(first, NULL, WAIT_MS, &err));
	GIVES(INVALID_STATE, rp_job_wait(again, NULL, WAIT_MS, &err));
	EXPECT_NE(strstr(err.message, "exists already"), NULL, "%s", err.message);
	rp_job_close(first);
	rp_job_close(again);
	rp_job_close(other);
}

/* One that was suspended, and then waited for its turn again, is as fast as before. */
TEST_F(turns, do_not_slow_down_who_waits_for_them)
{
	struct jobs *j = &self->jobs;
	struct rp_job *other;
	int64_t done;

	j->job = jobs_start(j, true);
	ASSERT_EQ(rp_job_set_bandwidth(j->job, MIB, NULL), RP_OK);
	while (jobs_shown(j, j->job, "BytesDone") < (int64_t)MIB)
		usleep(1000);
	jobs_request(j->job, RP_JOB_SUSPEND);
	other = jobs_start(j, true);
	jobs_expect(other, RP_JOB_RUNNING);
	rp_job_request_state_change(j->job, RP_JOB_START, 0, NULL);
	usleep(3000000);
	done = jobs_shown(j, j->job, "BytesDone");
	ASSERT_EQ(jobs_state(j->job), RP_JOB_STARTING);
	jobs_request(other, RP_JOB_KILL);
	while (jobs_shown(j, j->job, "BytesDone") == done)
		usleep(1000);
	EXPECT_GE(jobs_shown(j, j->job, "BytesPerSecond"), MIB / 2);
	rp_job_close(other);
}

/* The store may lie where two names of a file are two files to the kernel (bindfs,
 * ntfs-3g and others). */
TEST(turns_on_a_file_system_of_paths)
{
	struct loopfs lower = {0};
	struct badfs fs = {0};
	struct jobs j = {0};
	struct rp_job *jobs[3];
	struct rp_error err;

	loopfs_mount(&lower, "ext4", 96 * MIB, NULL, NULL);
	badfs_mount(&fs, &lower);
	stage_make(&j.stage, fs.mnt, MIB, test_seed());
	jobs_limit(&j.stage, 1);
	for (size_t i = 0; i < ARRAY_SIZE(jobs); i++)
		jobs[i] = jobs_start(&j, i < 2);
	jobs_expect(jobs[0], RP_JOB_RUNNING);
	EXPECT_EQ(jobs_state(jobs[1]), RP_JOB_NEW);
	jobs_request(jobs[0], RP_JOB_SUSPEND); /* leaves its turn to the next one */
	jobs_expect(jobs[1], RP_JOB_RUNNING);
	ASSERT_OK(kill((pid_t)jobs_shown(&j, jobs[1], "ProcessId"), SIGKILL));
	GIVES(OK, rp_job_wait(jobs[2], NULL, SOON_MS, &err));
	for (size_t i = 0; i < ARRAY_SIZE(jobs); i++)
		rp_job_close(jobs[i]);
	jobs_close(&j);
	badfs_umount(&fs);
	loopfs_umount(&lower);
}

TEST_MAIN_REQUIRES(program_missing)
