/* SPDX-License-Identifier: MIT */
/*
 * host_test.c - the process the library lives in has ways of its own: an allocator for
 * jansson, a locale; texts of the library are freed as its header says, and read the same
 */
#include <locale.h>
#include <stdio.h>
#include <unistd.h>

#include "engine/doc.h"
#include "engine/tuning.h"
#include "engine/watch.h"
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

/* Nobody has to have one installed: it is made of nothing. localedef ends with 1 for it
 * lacks all but the numbers. */
static void use_commas(void)
{
	const char *dir = test_dir();
	FILE *map = fopen(fmt("%s/map", dir), "w");

	ASSERT_NE(map, NULL);
	fputs("<code_set_name> ASCII\n<escape_char> /\nCHARMAP\n", map);
	for (unsigned c = 0; c < 128; c++)
		fprintf(map, "<U%04X> /x%02x x\n", c, c);
	fputs("END CHARMAP\n", map);
	ASSERT_OK(fclose(map));
	save_text(fmt("%s/comma", dir), "escape_char /\nLC_NUMERIC\n"
					"decimal_point \",\"\nthousands_sep \"\"\n"
					"grouping -1\nEND LC_NUMERIC\n");
	if (system(fmt("cd %s && localedef -c -f ./map -i ./comma ./xx_XX >log 2>&1",
		       dir)) < 0 ||
	    !exists(fmt("%s/xx_XX/LC_NUMERIC", dir)))
		SKIP("localedef makes no locale");
	ASSERT_OK(setenv("LOCPATH", dir, 1));
	ASSERT_NE(setlocale(LC_ALL, "xx_XX"), NULL);
	ASSERT_STREQ(fmt("%.1f", 0.5), "0,5");
}

TEST(that_writes_numbers_with_commas)
{
	struct rp_export_options small = {.size = sizeof(small), .memory = 3 * MIB / 2};
	const char *reason, *settings = "{\"Options\": {\"Timeout\": -1.5}}";
	struct tuning tuning;
	struct rp_error err;
	struct stage s;
	struct watch w;
	json_t *doc;
	char *text;

	use_commas();
	EXPECT_EQ((uint64_t)(doc_time_seconds("2026-11-23T12:34:56.789Z") * 1000 + 0.5),
		  1795437296789);
	watch_init(&w, NULL, 1500);
	watch_fail(&w, -ETIME, &err);
	EXPECT_STREQ(err.message, "planning: the time limit of 1.5 s has passed");
	GIVES(OUT_OF_MEMORY, tuning_of_options(&tuning, &small, &err));
	EXPECT_NE(strstr(err.message, "of 1.5 MiB"), NULL, "%s", err.message);

	stage_make(&s, test_dir(), 5 * MIB, test_seed());
	GIVES(INVALID_PARAMETER, rp_export_reference_point(s.store, s.point, s.exports,
							   settings, NULL, &err));
	EXPECT_NE(strstr(err.message, "is -1.5 seconds"), NULL, "%s", err.message);
	settings = "{\"Options\": {\"Timeout\": 60.5}}";
	GIVES(OK, rp_export_reference_point(s.store, s.point, s.exports, settings, NULL,
					    &err));
	GIVES(OK, rp_job_list(s.store, &text, &err));
	EXPECT_NE(strstr(text, "\"Timeout\":60.5"), NULL, "%s", text);
	rp_free(text);
	GIVES(OK, rp_probe(NULL, s.path, s.exports, &text, &err));
	doc = take_json(text);
	reason = json_text(json_object_get(doc, "Choice"), "Reason");
	EXPECT_NE(strstr(reason, " moved "), NULL, "%s", reason);
	EXPECT_EQ(strchr(reason, ','), NULL, "%s", reason);
	json_decref(doc);
	stage_close(&s);
}

TEST_MAIN
