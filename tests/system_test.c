/* SPDX-License-Identifier: MIT */
/*
 * system_test.c - adding and removing systems, their names and paths, and damaged ones
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "data.h"
#include "engine_fixture.h"
#include "harness.h"
#include "stage.h"

#define SIZE (MIB + 4097)

FIXTURE(system)
{
	struct stage stage;
};

FIXTURE_SETUP(system)
{
	stage_make(&self->stage, test_dir(), SIZE, test_seed());
}

FIXTURE_TEARDOWN(system)
{
	stage_close(&self->stage);
}

TEST_F(system, removes_a_system_without_points)
{
	const struct stage *s = &self->stage;
	const struct rp_disk disk = {"vda", s->disk};
	struct rp_error err;

	GIVES(INVALID_STATE, rp_system_remove(s->store, "web1", &err));
	EXPECT_STREQ(err.system, "web1");
	stage_expect_unharmed(s, "");
	GIVES(OK, rp_destroy_reference_point(s->store, s->point, &err));
	GIVES(OK, rp_system_remove(s->store, "web1", &err));
	GIVES(NOT_AVAILABLE, rp_system_remove(s->store, "web1", &err));
	EXPECT_STREQ(err.system, "web1");
	EXPECT_STREQ(listing(fmt("%s/systems", s->path)), "");
	stage_expect_idle(s);
	EXPECT_TRUE(data_same(s->disk, s->twin));
	GIVES(OK, rp_system_add(s->store, "web1", &disk, 1, NULL, 0, &err));
}

static uint32_t add(const struct stage *s, const char *name, const char *id,
		    const char *path, const char *config, struct rp_error *err)
{
	const struct rp_disk disk = {id, path};

	return rp_system_add(s->store, name, &disk, 1, &config, config ? 1 : 0, err);
}

TEST_F(system, knows_good_names)
{
	static const char *const good[] = {"a",	       "A",	"0",	     "_",
					   "+",	       "a.b",	"a-b_c+d.e", "latest",
					   "web1.raw", "points"};
	static const char *const bad[] = {"",	 ".",	 "..",	".a",	   "-a", "a/b",
					  "a b", "a@b",	 "a\n", "\x7f",	   "ä",	 "a:b",
					  "a*",	 "/abs", "a\\", "\xff\xfe"};
	const struct stage *s = &self->stage;
	const char *before = fmt("%s", listing(fmt("%s/systems", s->path)));
	char name[129];
	struct rp_error err;

	memset(name, 'x', sizeof(name));
	name[128] = '\0';
	GIVES(INVALID_PARAMETER, add(s, name, "vda", s->disk, NULL, &err));
	GIVES(INVALID_PARAMETER, add(s, "web2", name, s->disk, NULL, &err));
	GIVES(INVALID_PARAMETER, add(s, NULL, "vda", s->disk, NULL, &err));
	GIVES(INVALID_PARAMETER, add(s, "web2", NULL, s->disk, NULL, &err));
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		test_log("'%s'", bad[i]);
		GIVES(INVALID_PARAMETER, add(s, bad[i], "vda", s->disk, NULL, &err));
		GIVES(INVALID_PARAMETER, add(s, "web2", bad[i], s->disk, NULL, &err));
		GIVES(INVALID_PARAMETER, rp_system_remove(s->store, bad[i], &err));
	}
	EXPECT_STREQ(listing(fmt("%s/systems", s->path)), before);
	name[127] = '\0';
	GIVES(OK, add(s, name, name, s->disk, NULL, &err));
	GIVES(OK, rp_system_remove(s->store, name, &err));
	for (size_t i = 0; i < ARRAY_SIZE(good); i++)
		GIVES(OK, add(s, good[i], good[i], s->disk, NULL, &err));
	stage_expect_unharmed(s, "");
}

/* The longest name does for everything that is named after it. */
TEST_F(system, exports_a_disk_with_the_longest_name)
{
	const struct stage *s = &self->stage;
	char name[128], *point = NULL, *report = NULL;
	const struct rp_disk disk = {name, s->disk};
	const struct rp_create_options options = {.size = sizeof(options),
						  .allow_copy = true};
	const struct rp_export_options copying = stage_copying(RP_IO_AUTO);
	json_t *doc;
	struct rp_error err;

	memset(name, 'x', sizeof(name));
	name[127] = '\0';
	GIVES(OK, rp_system_add(s->store, name, &disk, 1, NULL, 0, &err));
	GIVES(OK, rp_create_reference_point(s->store, name, &options, &point, &err));
	GIVES(OK, rp_export(s->store, point, s->exports, &copying, &report, &err));
	rp_free(point);
	doc = take_json(report);
	GIVES(OK, rp_verify(json_text(doc, "ExportPath"), NULL, NULL, &err));
	EXPECT_TRUE(
		data_same(fmt("%s/%s.raw", json_text(doc, "ExportPath"), name), s->twin));
	json_decref(doc);
}

TEST_F(system, knows_good_paths)
{
	const struct stage *s = &self->stage;
	const char *fifo = fmt("%s/fifo", test_dir()), *dir = test_dir();
	const char *link = fmt("%s/link", dir), *dead = fmt("%s/dead", dir);
	const char *odd = fmt("%s/\xff", dir);
	struct rp_error err;

	ASSERT_OK(mkfifo(fifo, 0600));
	ASSERT_OK(symlink(s->disk, link));
	ASSERT_OK(symlink("/nowhere", dead));
	save_text(odd, "");
	GIVES(INVALID_PARAMETER, add(s, "web2", "vda", NULL, NULL, &err));
	GIVES(INVALID_PARAMETER, add(s, "web2", "vda", "", NULL, &err));
	GIVES(INVALID_PARAMETER, add(s, "web2", "vda", "web1.img", NULL, &err));
	GIVES(INVALID_PARAMETER, add(s, "web2", "vda", dir, NULL, &err));
	GIVES(INVALID_PARAMETER, add(s, "web2", "vda", fifo, NULL, &err));
	GIVES(INVALID_PARAMETER, add(s, "web2", "vda", "/dev/null", NULL, &err));
	GIVES(INVALID_PARAMETER, add(s, "web2", "vda", odd, NULL, &err));
	GIVES(NOT_AVAILABLE, add(s, "web2", "vda", dead, NULL, &err));
	GIVES(NOT_AVAILABLE, add(s, "web2", "vda", fmt("%s/none", dir), NULL, &err));
	GIVES(NOT_AVAILABLE, add(s, "web2", "vda", fmt("%s/x", s->disk), NULL, &err));
	GIVES(INVALID_PARAMETER, add(s, "web2", "vda", s->disk, "x.xml", &err));
	GIVES(INVALID_PARAMETER, add(s, "web2", "vda", s->disk, dir, &err));
	GIVES(INVALID_PARAMETER, add(s, "web2", "vda", s->disk, fifo, &err));
	GIVES(INVALID_PARAMETER, add(s, "web2", "vda", s->disk, odd, &err));
	GIVES(NOT_AVAILABLE, add(s, "web2", "vda", s->disk, dead, &err));
	EXPECT_STREQ(listing(fmt("%s/systems", s->path)), "web1");
	stage_expect_idle(s);
	GIVES(OK, add(s, "web2", "vda", link, s->disk, &err));
}

TEST_F(system, knows_what_is_given_twice)
{
	const struct stage *s = &self->stage;
	const struct rp_disk same_id[] = {{"vda", s->disk}, {"vda", s->twin}};
	const struct rp_disk same_path[] = {{"vda", s->disk}, {"vdb", s->disk}};
	const struct rp_disk good[] = {{"vda", s->disk}, {"vdb", s->twin}};
	const char *link = fmt("%s/link", test_dir()), *hard = fmt("%s/hard", test_dir());
	const struct rp_disk same_by_link[] = {{"vda", link}, {"vdb", s->disk}};
	const struct rp_disk same_inode[] = {{"vda", s->disk}, {"vdb", hard}};
	const char *sub = fmt("%s/sub", test_dir());
	const char *const same_name[] = {s->disk, fmt("%s/web1.img", sub)};
	struct rp_error err;

	ASSERT_OK(mkdir(sub, 0700));
	save_text(same_name[1], "");
	ASSERT_OK(symlink(s->disk, link));
	ASSERT_OK(linkat(AT_FDCWD, s->disk, AT_FDCWD, hard, 0));
	GIVES(INVALID_PARAMETER,
	      rp_system_add(s->store, "web2", same_id, 2, NULL, 0, &err));
	GIVES(INVALID_PARAMETER,
	      rp_system_add(s->store, "web2", same_path, 2, NULL, 0, &err));
	GIVES(INVALID_PARAMETER,
	      rp_system_add(s->store, "web2", same_by_link, 2, NULL, 0, &err));
	EXPECT_NE(strstr(err.message, "the same file as"), NULL, "%s", err.message);
	GIVES(INVALID_PARAMETER,
	      rp_system_add(s->store, "web2", same_inode, 2, NULL, 0, &err));
	GIVES(INVALID_PARAMETER,
	      rp_system_add(s->store, "web2", good, 2, same_name, 2, &err));
	GIVES(INVALID_PARAMETER, rp_system_add(s->store, "web2", good, 0, NULL, 0, &err));
	GIVES(INVALID_PARAMETER, rp_system_add(s->store, "web2", NULL, 2, NULL, 0, &err));
	GIVES(INVALID_PARAMETER, rp_system_add(s->store, "web2", good, 2, NULL, 1, &err));
	GIVES(INVALID_PARAMETER, rp_system_add(NULL, "web2", good, 2, NULL, 0, &err));
	EXPECT_STREQ(listing(fmt("%s/systems", s->path)), "web1");
	GIVES(OK, rp_system_add(s->store, "web2", good, 2, same_name, 1, &err));
}

/* A device is the same by whatever node. */
TEST_F(system, knows_a_device_that_is_given_twice)
{
	const char *node = fmt("%s/node", test_dir()),
		   *image = fmt("%s/image", test_dir());
	char device[32];
	const struct rp_disk same[] = {{"vda", device}, {"vdb", node}};
	int fd = data_create(image, MIB), loop = loop_attach(image, device);
	struct rp_error err;
	struct stat st;

	close(fd);
	ASSERT_OK(stat(device, &st));
	ASSERT_OK(mknod(node, S_IFBLK | 0600, st.st_rdev));
	GIVES(INVALID_PARAMETER,
	      rp_system_add(self->stage.store, "web2", same, 2, NULL, 0, &err));
	close(loop);
}

/* ------------------------------------------------------------------------- damage */

static json_t *systems(struct rp_store *store)
{
	struct rp_error err;
	char *text;

	ASSERT_EQ(rp_system_list(store, &text, &err), RP_OK, "%s", err.message);
	return take_json(text);
}

static json_t *all_points(struct rp_store *store)
{
	struct rp_error err;
	char *text;

	ASSERT_EQ(rp_list_reference_points(store, NULL, &text, &err), RP_OK, "%s",
		  err.message);
	return take_json(text);
}

TEST_F(system, shows_a_damaged_system_among_others)
{
	static const char *const damaged[] = {
		"", "{\"FormatVersion\": 1}",
		"{\"FormatVersion\": 1, \"VirtualSystemIdentifier\": \"web1\", \"Disks\": "
		"[], \"ConfigFiles\": []}",
		"{\"FormatVersion\": 1, \"VirtualSystemIdentifier\": \"web2\", \"Disks\": "
		"[{\"DiskId\": \"../x\", \"Path\": \"/x\"}], \"ConfigFiles\": []}"};
	const struct stage *s = &self->stage;
	const struct rp_disk disk = {"vda", s->disk};
	const char *json = fmt("%s/systems/web2/system.json", s->path);
	const char *id = strchr(s->point, '@') + 1;
	struct rp_error err;
	char *text = NULL;

	ASSERT_EQ(rp_system_add(s->store, "web2", &disk, 1, NULL, 0, &err), RP_OK);
	set_version(json, 2);
	GIVES(NOT_SUPPORTED, rp_system_show(s->store, "web2", &text, &err));
	EXPECT_STREQ(err.system, "web2");
	EXPECT_STREQ(status_of(systems(s->store), "VirtualSystemIdentifier", "web2"),
		     "damaged");
	EXPECT_STREQ(status_of(all_points(s->store), "InstanceID", id), "");
	for (size_t i = 0; i < ARRAY_SIZE(damaged); i++) {
		test_log("%s", damaged[i]);
		save_text(json, damaged[i]);
		GIVES(UNKNOWN_STATUS, rp_system_show(s->store, "web2", &text, &err));
		GIVES(UNKNOWN_STATUS,
		      rp_create_reference_point(s->store, "web2", NULL, &text, &err));
		EXPECT_STREQ(err.system, "web2");
		EXPECT_STREQ(
			status_of(systems(s->store), "VirtualSystemIdentifier", "web2"),
			"damaged");
		EXPECT_STREQ(
			status_of(systems(s->store), "VirtualSystemIdentifier", "web1"),
			"");
		EXPECT_STREQ(status_of(all_points(s->store), "InstanceID", id), "");
	}
	EXPECT_EQ(text, NULL);
	ASSERT_EQ(rp_system_remove(s->store, "web2", &err), RP_OK, "%s", err.message);
	stage_expect_unharmed(s, "");
}

/* What others have put into the folder of systems. */
TEST_F(system, a_folder_of_others_is_no_system)
{
	const struct stage *s = &self->stage;
	const char *id = strchr(s->point, '@') + 1;
	struct rp_error err;
	char *text = NULL;
	json_t *list;

	ASSERT_OK(mkdir(fmt("%s/systems/lost+found", s->path), 0700));
	ASSERT_OK(mkdir(fmt("%s/systems/lost+found/some", s->path), 0700));
	save_text(fmt("%s/systems/notes", s->path), "");
	list = systems(s->store);
	EXPECT_EQ(json_array_size(list), 1);
	json_decref(list);
	EXPECT_STREQ(status_of(all_points(s->store), "InstanceID", id), "");
	GIVES(NOT_AVAILABLE, rp_system_show(s->store, "lost+found", &text, &err));
	GIVES(NOT_AVAILABLE, rp_system_remove(s->store, "lost+found", &err));
	EXPECT_TRUE(exists(fmt("%s/systems/lost+found/some", s->path)));
	/* But one that has lost its record, or its points, is. */
	ASSERT_OK(unlink(fmt("%s/systems/web1/system.json", s->path)));
	EXPECT_STREQ(status_of(systems(s->store), "VirtualSystemIdentifier", "web1"),
		     "damaged");
	EXPECT_STREQ(status_of(all_points(s->store), "InstanceID", id), "");
	EXPECT_EQ(text, NULL);
}

/* What is no point is not counted as one; but nobody's file goes silently. */
TEST_F(system, a_stray_file_among_its_points_is_named)
{
	const struct stage *s = &self->stage;
	const char *stray = fmt("%s/systems/web1/points/notes", s->path);
	struct rp_error err;

	save_text(stray, "mine");
	ASSERT_OK(mkdir(fmt("%s/systems/web1/points/lost+found", s->path), 0700));
	GIVES(INVALID_STATE, rp_system_remove(s->store, "web1", &err));
	EXPECT_STREQ(err.message,
		     "remove system web1: it has 1 reference point; its disks "
		     "and config files can be changed");
	GIVES(OK, rp_destroy_reference_point(s->store, s->point, &err));
	GIVES(INVALID_STATE, rp_system_remove(s->store, "web1", &err));
	EXPECT_STREQ(err.message,
		     fmt("remove system web1: systems/web1/points/lost+found in the "
			 "store is no reference point, and would be removed with it"));
	ASSERT_OK(rmdir(fmt("%s/systems/web1/points/lost+found", s->path)));
	GIVES(INVALID_STATE, rp_system_remove(s->store, "web1", &err));
	EXPECT_NE(strstr(err.message, "points/notes in"), NULL, "%s", err.message);
	EXPECT_TRUE(exists(stray));
	ASSERT_OK(unlink(stray));
	GIVES(OK, rp_system_remove(s->store, "web1", &err));
}

/* The data of a machine whose own record is lost is as good as before. */
TEST_F(system, points_of_a_damaged_system_are_there)
{
	const struct stage *s = &self->stage;
	struct rp_error err;
	char *text = NULL;
	json_t *points;

	save_text(fmt("%s/systems/web1/system.json", s->path), "");
	ASSERT_EQ(rp_show_reference_point(s->store, "web1@latest", &text, &err), RP_OK,
		  "%s", err.message);
	rp_free(text);
	points = all_points(s->store);
	EXPECT_EQ(json_array_size(points), 1);
	json_decref(points);
	ASSERT_EQ(stage_export(s, NULL, &err), RP_OK, "%s", err.message);
	GIVES(INVALID_STATE, rp_system_remove(s->store, "web1", &err));
	ASSERT_EQ(rp_destroy_reference_point(s->store, s->point, &err), RP_OK, "%s",
		  err.message);
	ASSERT_EQ(rp_system_remove(s->store, "web1", &err), RP_OK, "%s", err.message);
}

static void become_folder(const char *path)
{
	ASSERT_OK(unlink(path));
	ASSERT_OK(mkdir(path, 0700));
}

static void become_fifo(const char *path)
{
	ASSERT_OK(rmdir(path));
	ASSERT_OK(mkfifo(path, 0600));
}

/* Who copied the store may have left out what was empty. */
TEST_F(system, one_without_its_folder_of_points_can_be_removed)
{
	const struct stage *s = &self->stage;
	const struct rp_disk disk = {"vda", s->disk};
	struct rp_error err;
	char *point;

	GIVES(OK, rp_destroy_reference_point(s->store, s->point, &err));
	ASSERT_OK(rmdir(fmt("%s/systems/web1/points", s->path)));
	GIVES(UNKNOWN_STATUS,
	      rp_create_reference_point(s->store, "web1", NULL, &point, &err));
	GIVES(OK, rp_system_remove(s->store, "web1", &err));
	GIVES(OK, rp_system_add(s->store, "web1", &disk, 1, NULL, 0, &err));
}

/* What was a file when the system was added. */
TEST_F(system, says_what_a_disk_or_config_file_is_no_longer)
{
	static void (*const become[])(const char *) = {become_folder, become_fifo};
	const struct stage *s = &self->stage;
	const char *config = fmt("%s/web1.xml", test_dir());
	struct rp_error err;
	char *point = NULL;

	for (size_t i = 0; i < ARRAY_SIZE(become); i++) {
		become[i](config);
		GIVES(NOT_AVAILABLE,
		      rp_create_reference_point(s->store, "web1", NULL, &point, &err));
		EXPECT_NE(strstr(err.message, "web1.xml: not a regular file"), NULL, "%s",
			  err.message);
	}
	ASSERT_OK(unlink(config));
	save_text(config, "");
	for (size_t i = 0; i < ARRAY_SIZE(become); i++) {
		become[i](s->disk);
		GIVES(NOT_AVAILABLE,
		      rp_create_reference_point(s->store, "web1", NULL, &point, &err));
		EXPECT_NE(strstr(err.message, "not a regular file or block device"), NULL,
			  "%s", err.message);
		EXPECT_STREQ(err.disk, "vda");
	}
	EXPECT_EQ(point, NULL);
	stage_expect_idle(s);
}

/* Which create would refuse. */
TEST_F(system, takes_no_config_file_that_is_none)
{
	const struct stage *s = &self->stage;
	const struct rp_disk disk = {"vda", s->disk};
	const char *config = fmt("%s/large", test_dir());
	struct rp_error err;
	int fd = data_create(config, 64 * MIB + 1);

	GIVES(INVALID_PARAMETER,
	      rp_system_add(s->store, "web2", &disk, 1, &config, 1, &err));
	EXPECT_NE(strstr(err.message, "larger than 64 MiB"), NULL, "%s", err.message);
	ASSERT_OK(ftruncate(fd, 64 * MIB));
	close(fd);
	GIVES(OK, rp_system_add(s->store, "web2", &disk, 1, &config, 1, &err));
}

/* What is swept must not hold what is to be kept. */
TEST_F(system, no_export_into_the_store)
{
	const struct stage *s = &self->stage;
	const char *const inside[] = {"",
				      "/pending",
				      "/jobs/active",
				      "/jobs/ended",
				      "/systems",
				      "/systems/web1/points"};
	struct rp_error err;
	char *text = NULL;

	for (size_t i = 0; i < ARRAY_SIZE(inside); i++)
		GIVES(INVALID_PARAMETER,
		      rp_export(s->store, s->point, fmt("%s%s", s->path, inside[i]), NULL,
				&text, &err));
	EXPECT_EQ(text, NULL);
	stage_expect_unharmed(s, "");
}

TEST_MAIN
