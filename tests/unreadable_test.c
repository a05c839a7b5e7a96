/* SPDX-License-Identifier: MIT */
/*
 * unreadable_test.c - metadata that the file system itself calls damaged (EUCLEAN) is
 * told as damaged, hides nothing else, and can be destroyed
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "data.h"
#include "engine_fixture.h"
#include "harness.h"

FIXTURE(unreadable)
{
	struct engine e;
	char first[POINT_SIZE];
};

FIXTURE_SETUP(unreadable)
{
	struct engine *e = &self->e;
	const char *const ids[] = {"vda"};
	const struct rp_disk disk = {.id = "vda"};
	struct rp_disk of_web2 = disk;
	struct rp_error err;

	engine_open(e, "xfs", 0, NULL, NULL);
	engine_make_disk(e, "vda", MIB);
	engine_add(e, ids, 1);
	of_web2.path = engine_disk(e, "vda");
	GIVES(OK, rp_system_add(e->store, "web2", &of_web2, 1, NULL, 0, &err));
	json_decref(engine_take(e, NULL));
	snprintf(self->first, sizeof(self->first), "%s", e->point);
	json_decref(engine_take(e, NULL));
	json_decref(engine_export(e, e->out, NULL));
}

FIXTURE_TEARDOWN(unreadable)
{
	engine_close(&self->e);
}

/* From now on the file system will not read that file, or folder, of it. */
static void damage(struct engine *e, const char *path)
{
	const char *store = fmt("%s/store", e->fs.mnt);
	struct rp_error err;
	struct stat st;

	ASSERT_OK(stat(path, &st), "%s", path);
	rp_store_close(e->store);
	e->store = NULL;
	ASSERT_EQ(system(fmt(
			  "PATH=$PATH:/usr/sbin:/sbin; umount '%s' && "
			  "xfs_db -x -c 'inode %llu' -c 'write -d core.mode 0xf180' '%s' "
			  ">/dev/null && mount -o loop '%s' '%s'",
			  e->fs.mnt, (unsigned long long)st.st_ino, e->fs.img, e->fs.img,
			  e->fs.mnt)),
		  0);
	ASSERT_EQ(stat(path, &st), -1);
	ASSERT_EQ(errno, EUCLEAN);
	GIVES(OK, rp_store_open(store, NULL, &e->store, &err));
}

static const char *uuid(const char *point)
{
	return strchr(point, '@') + 1;
}

static const char *system_path(const struct engine *e, const char *name)
{
	return fmt("%s/store/systems/%s", e->fs.mnt, name);
}

/* What is said of the entry with @key as @id in the list. */
static const char *status_in(char *list, const char *key, const char *id)
{
	json_t *array = json_loads(list, 0, NULL), *entry;
	const char *status = "not there";
	size_t i;

	json_array_foreach(array, i, entry)
		if (!strcmp(json_string_value(json_object_get(entry, key)) ?: "", id)) {
			json_t *said = json_object_get(entry, "JobStatus")
					       ?: json_object_get(entry, "Status");

			status = said ? fmt("%s", json_string_value(said)) : "good";
		}
	json_decref(array);
	rp_free(list);
	return status;
}

static const char *status_of_point(const struct engine *e, const char *id)
{
	struct rp_error err;
	char *list = NULL;

	GIVES(OK, rp_list_reference_points(e->store, NULL, &list, &err));
	return status_in(list, "InstanceID", id);
}

TEST_F(unreadable, point)
{
	struct engine *e = &self->e;
	struct rp_error err;
	char *text = NULL;

	damage(e,
	       fmt("%s/points/%s/point.json", system_path(e, "web1"), uuid(self->first)));
	EXPECT_STREQ(status_of_point(e, uuid(self->first)), "damaged");
	EXPECT_STREQ(status_of_point(e, uuid(e->point)), "good");
	GIVES(UNKNOWN_STATUS,
	      rp_show_reference_point(e->store, self->first, &text, &err));
	GIVES(UNKNOWN_STATUS,
	      rp_show_reference_point(e->store, "web1@latest", &text, &err));
	EXPECT_NE(strstr(err.message, "or destroy the damaged one"), NULL, "%s",
		  err.message);
	/* The file itself stays where it is: nothing but a repair removes it. */
	GIVES(FAILED, rp_destroy_reference_point(e->store, self->first, &err));
	EXPECT_EQ(err.os_error, EUCLEAN, "%s", err.message);
	EXPECT_STREQ(status_of_point(e, uuid(self->first)), "not there");
	GIVES(OK, rp_show_reference_point(e->store, "web1@latest", &text, &err));
	rp_free(text);
}

TEST_F(unreadable, folder_of_a_point)
{
	struct engine *e = &self->e;
	struct rp_error err;
	char *text = NULL;

	damage(e, fmt("%s/points/%s", system_path(e, "web1"), uuid(self->first)));
	EXPECT_STREQ(status_of_point(e, uuid(self->first)), "damaged");
	GIVES(UNKNOWN_STATUS,
	      rp_show_reference_point(e->store, self->first, &text, &err));
	EXPECT_STREQ(status_of_point(e, uuid(e->point)), "good");
}

TEST_F(unreadable, system)
{
	struct engine *e = &self->e;
	struct rp_error err;
	char *text = NULL;

	damage(e, system_path(e, "web2"));
	EXPECT_STREQ(status_of_point(e, uuid(e->point)), "good");
	GIVES(OK, rp_system_list(e->store, &text, &err));
	EXPECT_STREQ(status_in(text, "VirtualSystemIdentifier", "web2"), "damaged");
	GIVES(UNKNOWN_STATUS, rp_system_show(e->store, "web2", &text, &err));
}

TEST_F(unreadable, job)
{
	struct engine *e = &self->e;
	const char *ended = fmt("%s/store/jobs/ended", e->fs.mnt);
	struct rp_error err;
	char *text = NULL;
	char id[64];

	snprintf(id, sizeof(id), "%s", listing(ended));
	damage(e, fmt("%s/%s/job.json", ended, id));
	GIVES(OK, rp_job_list(e->store, &text, &err));
	EXPECT_STREQ(status_in(text, "InstanceID", id), "damaged");
	GIVES(UNKNOWN_STATUS, rp_job_show(e->store, id, &text, &err));
}

TEST_F(unreadable, export)
{
	struct engine *e = &self->e;
	const char *path = stage_export_path(e->out, e->point);
	struct rp_error err;

	damage(e, fmt("%s/export.json", path));
	GIVES(UNKNOWN_STATUS, rp_verify(path, NULL, NULL, &err));
	EXPECT_NE(strstr(err.message, "unreadable"), NULL, "%s", err.message);
}

TEST_MAIN
