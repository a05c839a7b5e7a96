/* SPDX-License-Identifier: MIT */
/*
 * exported_base_test.c - a base that is told by what the directory has exports of: nights
 * that failed leave no hole in the chain, and what would not be restored is exported
 * whole
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "data.h"
#include "harness.h"
#include "stage.h"

#define SIZE   (4 * MIB)
#define NIGHTS 4

FIXTURE(exported_base)
{
	struct stage stage;
	char points[NIGHTS][POINT_SIZE]; /* the first is the stage's */
	char disks[NIGHTS][PATH_MAX];	 /* what they hold */
	struct rp_export_options options;
	struct rp_watch watch;
	struct heard heard; /* by the last export */
	struct rp_error err;
};

FIXTURE_SETUP(exported_base)
{
	struct stage *s = &self->stage;

	stage_make(s, test_dir(), SIZE, test_seed());
	memcpy(self->points[0], s->point, sizeof(self->points[0]));
	snprintf(self->disks[0], sizeof(self->disks[0]), "%s", s->twin);
	for (unsigned i = 1; i < NIGHTS; i++) {
		int fd = open(s->disk, O_WRONLY);

		ASSERT_EQ(pwrite(fd, fmt("night %u", i), 7, (off_t)(i * MIB)), 7);
		close(fd);
		stage_take(s, self->points[i]);
		snprintf(self->disks[i], sizeof(self->disks[i]), "%s/disk%u", test_dir(),
			 i);
		ASSERT_EQ(system(fmt("cp '%s' '%s'", s->disk, self->disks[i])), 0);
	}
	self->watch = hear_into(&self->heard);
	self->options = stage_copying(RP_IO_AUTO);
	self->options.base = "@exported";
	self->options.watch = &self->watch;
}

FIXTURE_TEARDOWN(exported_base)
{
	stage_close(&self->stage);
}

static uint32_t export_night(struct exported_base_fixture *self, unsigned i)
{
	self->heard = (struct heard){0};
	return rp_export(self->stage.store, self->points[i], self->stage.exports,
			 &self->options, NULL, &self->err);
}

static const char *path_of(const struct exported_base_fixture *self, unsigned i)
{
	return stage_export_path(self->stage.exports, self->points[i]);
}

/* The ID of the base it was exported with; "" if in full. */
static const char *base_of(const struct exported_base_fixture *self, unsigned i)
{
	json_t *doc = load_json(fmt("%s/export.json", path_of(self, i)));
	const char *base = json_string_value(
		json_object_get(doc, "BaseReferencePointId"));
	const char *ret = fmt("%s", base ?: "");

	json_decref(doc);
	return ret;
}

/* It verifies, with what it needs, and gives back what the disk was. */
static void expect_good(const struct exported_base_fixture *self, unsigned i)
{
	const struct rp_read_options options = {.size = sizeof(options), .chain = true};
	const char *back = fmt("%s/back%u", test_dir(), i);
	struct rp_error err;

	GIVES(OK, rp_verify(path_of(self, i), &options, NULL, &err));
	GIVES(OK, rp_restore(path_of(self, i), "vda", back, NULL, NULL, &err));
	EXPECT_TRUE(data_same(self->disks[i], back), "night %u", i);
	unlink(back);
}

#define ID_OF(i) (strchr(self->points[i], '@') + 1)

/* Of nights 1 and 2 nothing was exported. */
TEST_F(exported_base, nights_that_failed_leave_no_hole)
{
	struct rp_error err;

	EXPECT_EQ(export_night(self, 0), RP_OK, "%s", self->err.message);
	EXPECT_EQ(self->heard.count, 1);
	EXPECT_STREQ(self->heard.last,
		     fmt("exported in full, there is no usable base: %s has no "
			 "export of an older point of web1 that is in the store",
			 self->stage.exports));
	EXPECT_EQ(export_night(self, 3), RP_OK, "%s", self->err.message);
	EXPECT_EQ(self->heard.count, 0, "%s", self->heard.last);
	EXPECT_STREQ(base_of(self, 0), "");
	EXPECT_STREQ(base_of(self, 3), ID_OF(0));
	expect_good(self, 0);
	expect_good(self, 3);
	/* What is newer is no base, and what is in between fits in. */
	self->options.base = "web1@exported";
	EXPECT_EQ(export_night(self, 2), RP_OK, "%s", self->err.message);
	EXPECT_STREQ(base_of(self, 2), ID_OF(0));
	expect_good(self, 2);
	GIVES(OK, rp_destroy_reference_point(self->stage.store, self->points[0], &err));
	EXPECT_EQ(export_night(self, 1), RP_OK, "%s", self->err.message);
	EXPECT_STREQ(base_of(self, 1), "");
	expect_good(self, 1);
}

TEST_F(exported_base, strictly_there_is_one)
{
	self->options.strict = true;
	EXPECT_EQ(export_night(self, 1), RP_INVALID_STATE);
	EXPECT_NE(strstr(self->err.message,
			 "has no export of an older point of web1 that is in"),
		  NULL, "%s", self->err.message);
	EXPECT_STREQ(listing(self->stage.exports), "");
	stage_expect_idle(&self->stage);
	self->options.strict = false;
	EXPECT_EQ(export_night(self, 0), RP_OK, "%s", self->err.message);
	self->options.strict = true;
	EXPECT_EQ(export_night(self, 1), RP_OK, "%s", self->err.message);
	EXPECT_STREQ(base_of(self, 1), ID_OF(0));
}

TEST_F(exported_base, what_cannot_be_read_is_passed_over)
{
	EXPECT_EQ(export_night(self, 0), RP_OK, "%s", self->err.message);
	EXPECT_EQ(export_night(self, 1), RP_OK, "%s", self->err.message);
	save_text(fmt("%s/export.json", path_of(self, 1)), "{");
	EXPECT_EQ(export_night(self, 2), RP_OK, "%s", self->err.message);
	EXPECT_EQ(self->heard.count, 1);
	EXPECT_NE(strstr(self->heard.last, "passed over as a base: "), NULL, "%s",
		  self->heard.last);
	EXPECT_NE(strstr(self->heard.last, ID_OF(1)), NULL, "%s", self->heard.last);
	EXPECT_STREQ(base_of(self, 2), ID_OF(0));
	expect_good(self, 2);
}

/* Of night 1 there is an export, but not what that needs. */
TEST_F(exported_base, a_broken_chain_is_not_gone_on_with)
{
	EXPECT_EQ(export_night(self, 0), RP_OK, "%s", self->err.message);
	EXPECT_EQ(export_night(self, 1), RP_OK, "%s", self->err.message);
	ASSERT_EQ(system(fmt("rm -rf '%s'", path_of(self, 0))), 0);
	self->options.strict = true;
	EXPECT_EQ(export_night(self, 2), RP_INVALID_STATE);
	EXPECT_NE(strstr(self->err.message, "no usable base"), NULL, "%s",
		  self->err.message);
	self->options.strict = false;
	EXPECT_EQ(export_night(self, 2), RP_OK, "%s", self->err.message);
	EXPECT_EQ(self->heard.count, 1);
	EXPECT_NE(strstr(self->heard.last,
			 "disk vda: exported in full, there is no usable base: "),
		  NULL, "%s", self->heard.last);
	expect_good(self, 2);
	EXPECT_EQ(export_night(self, 3), RP_OK, "%s", self->err.message);
	EXPECT_EQ(self->heard.count, 0, "%s", self->heard.last);
	EXPECT_STREQ(base_of(self, 3), ID_OF(2));
	expect_good(self, 3);
}

TEST_F(exported_base, merged_each_night)
{
	self->options.merge = true;
	for (unsigned i = 0; i < NIGHTS; i++) {
		EXPECT_EQ(export_night(self, i), RP_OK, "%s", self->err.message);
		EXPECT_EQ(self->heard.count, i == 0, "%s", self->heard.last);
	}
	ASSERT_EQ(system(fmt("rm -rf '%s'", path_of(self, NIGHTS - 2))), 0);
	expect_good(self, NIGHTS - 1);
}

TEST_F(exported_base, is_one_of_the_same_system_and_of_a_directory)
{
	struct rp_error err;
	char *report;

	self->options.base = "web2@exported";
	EXPECT_EQ(export_night(self, 1), RP_INVALID_STATE, "%s", self->err.message);
	self->options.base = "web@exported";
	EXPECT_EQ(export_night(self, 1), RP_INVALID_STATE, "%s", self->err.message);
	self->options.base = "@exported~1";
	EXPECT_EQ(export_night(self, 1), RP_INVALID_PARAMETER);
	GIVES(INVALID_PARAMETER, rp_changes(self->stage.store, self->points[1],
					    "@exported", NULL, &report, &err));
	EXPECT_STREQ(listing(self->stage.exports), "");
	stage_expect_idle(&self->stage);
}

/* What is the base is known when the job begins, and in its record. */
TEST_F(exported_base, of_a_job)
{
	struct rp_error err;
	struct rp_job *job;
	json_t *record;
	char *text;

	EXPECT_EQ(export_night(self, 0), RP_OK, "%s", self->err.message);
	ASSERT_EQ(rp_export_start(self->stage.store, self->points[2], self->stage.exports,
				  &self->options, &job, &err),
		  RP_JOB_STARTED, "%s", err.message);
	GIVES(OK, rp_job_wait(job, NULL, SOON_MS, &err));
	GIVES(OK, rp_job_show(self->stage.store, rp_job_id(job), &text, &err));
	record = take_json(text);
	EXPECT_STREQ(json_text(record, "BaseReferencePointId"), ID_OF(0));
	json_decref(record);
	rp_job_close(job);
	EXPECT_STREQ(base_of(self, 2), ID_OF(0));
	expect_good(self, 2);
}

/* What was begun in full goes on so, though the record tells the base by its ID. */
TEST_F(exported_base, of_a_job_that_is_resumed)
{
	struct rp_error err;
	struct rp_job *job;

	EXPECT_EQ(export_night(self, 0), RP_OK, "%s", self->err.message);
	EXPECT_EQ(export_night(self, 1), RP_OK, "%s", self->err.message);
	ASSERT_EQ(system(fmt("rm -rf '%s'", path_of(self, 0))), 0);
	self->options.bandwidth = MIB;
	ASSERT_EQ(rp_export_start(self->stage.store, self->points[2], self->stage.exports,
				  &self->options, &job, &err),
		  RP_JOB_STARTED, "%s", err.message);
	usleep(1000000);
	ASSERT_EQ(rp_job_request_state_change(job, RP_JOB_TERMINATE, SOON_MS, &err),
		  RP_JOB_DONE, "%s", err.message);
	ASSERT_EQ(rp_job_request_state_change(job, RP_JOB_START, SOON_MS, &err),
		  RP_JOB_DONE, "%s", err.message);
	GIVES(OK, rp_job_wait(job, NULL, SOON_MS, &err));
	rp_job_close(job);
	expect_good(self, 2);
}

/* Again, as after a set that was cut off: it says that it is there, and no more. */
TEST_F(exported_base, of_what_is_there_already)
{
	EXPECT_EQ(export_night(self, 0), RP_OK, "%s", self->err.message);
	for (unsigned i = 0; i < 2; i++) {
		self->options.strict = i;
		EXPECT_EQ(export_night(self, 0), RP_INVALID_STATE);
		EXPECT_EQ(self->err.os_error, EEXIST, "%s", self->err.message);
		EXPECT_EQ(self->heard.count, 0, "%s", self->heard.last);
	}
}

TEST_MAIN
