/* SPDX-License-Identifier: MIT */
/*
 * host_test.c - the process the library lives in has ways of its own: texts of the
 * library are freed as its header says
 */
#include "harness.h"
#include "stage.h"

/* What it gives free() must not get. */
#define SHIFT 64

static void *shifted(size_t size)
{
	char *p = malloc(size + SHIFT);

	return p ? p + SHIFT : NULL;
}

static void shifted_free(void *p)
{
	if (p)
		free((char *)p - SHIFT);
}

/* Of each kind of text one, and what is only written; with what is said of settings that
 * are wrong. */
TEST(that_has_an_allocator_of_its_own_for_jansson)
{
	struct rp_export_options options = stage_copying(RP_IO_AUTO);
	char *text, point[POINT_SIZE];
	struct rp_store *store;
	struct rp_error err;
	struct rp_job *job;
	struct stage s;

	json_set_alloc_funcs(shifted, shifted_free);
	stage_make(&s, test_dir(), 5 * MIB, test_seed());
	GIVES(OK, rp_system_show(s.store, "web1", &text, &err));
	rp_free(text);
	GIVES(OK, rp_list_reference_points(s.store, NULL, &text, &err));
	rp_free(text);
	GIVES(OK, stage_export(&s, NULL, &err));
	stage_take(&s, point);
	GIVES(OK, rp_changes(s.store, point, s.point, NULL, &text, &err));
	rp_free(text);

	options.bandwidth = 4 * MIB; /* so that its progress is written */
	ASSERT_EQ(rp_export_start(s.store, point, s.exports, &options, &job, &err),
		  RP_JOB_STARTED, "%s", err.message);
	EXPECT_EQ(rp_job_request_state_change(job, RP_JOB_TERMINATE, SOON_MS, &err),
		  RP_JOB_DONE, "%s", err.message);
	EXPECT_EQ(rp_job_request_state_change(job, RP_JOB_START, SOON_MS, &err),
		  RP_JOB_DONE, "%s", err.message);
	GIVES(OK, rp_job_wait(job, NULL, SOON_MS, &err));
	GIVES(OK, rp_job_show(s.store, rp_job_id(job), &text, &err));
	rp_free(text);
	rp_job_close(job);

	save_text(fmt("%s/store.json", s.path),
		  "{\"FormatVersion\": 1, \"JobLimit\": -1}");
	GIVES(UNKNOWN_STATUS, rp_store_open(s.path, NULL, &store, &err));
	stage_close(&s);
}

TEST_MAIN
