/* SPDX-License-Identifier: MIT */
/*
 * export_choice_test.c - what the caller of an export chooses: disks, whether blocks are
 * shared, digests; and what comes along unasked, the config files
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "data.h"
#include "engine_fixture.h"
#include "harness.h"

/* --------------------------------------------------------------- without a mount */

FIXTURE(choice)
{
	struct stage stage; /* for its store and folders; the system is web1 */
	char point[POINT_SIZE];
};

static const char *const disk_ids[] = {"vda", "vdb", "vdc"};
static const char *const config_names[] = {"domain.xml", "nvram.bin", ".hidden", "empty"};

static const char *config_path(const char *name)
{
	return fmt("%s/%s", test_dir(), name);
}

static const char *disk_path(const char *id)
{
	return fmt("%s/%s.img", test_dir(), id);
}

/* What config file @name holds: text, any bytes, a line without end, nothing. */
static size_t config_bytes(const char *name, char *buf)
{
	size_t len = !strcmp(name, "nvram.bin") ? 3 * MIB + 1 : 0;

	data_bytes(17, 0, buf, len);
	if (!strcmp(name, "domain.xml"))
		len = (size_t)sprintf(buf, "<domain>\r\n\xef\xbb\xbf</domain>\n");
	if (!strcmp(name, ".hidden"))
		len = (size_t)sprintf(buf, "no newline");
	return len;
}

static void save_bytes(const char *path, const char *bytes, size_t len)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

	ASSERT_GE(fd, 0, "%s: %s", path, strerror(errno));
	ASSERT_EQ(write(fd, bytes, len), len);
	close(fd);
}

static void add_system(struct rp_store *store)
{
	struct rp_disk disks[ARRAY_SIZE(disk_ids)];
	const char *configs[ARRAY_SIZE(config_names)];
	char *buf = malloc(4 * MIB);
	struct rp_error err;

	ASSERT_NE(buf, NULL);
	for (size_t i = 0; i < ARRAY_SIZE(disk_ids); i++) {
		disks[i] = (struct rp_disk){disk_ids[i], disk_path(disk_ids[i])};
		data_create_random(disks[i].path, (i + 1) * MIB + i, test_seed(), 9);
	}
	for (size_t i = 0; i < ARRAY_SIZE(config_names); i++) {
		configs[i] = config_path(config_names[i]);
		save_bytes(configs[i], buf, config_bytes(config_names[i], buf));
	}
	free(buf);
	ASSERT_EQ(rp_system_add(store, "many", disks, ARRAY_SIZE(disks), configs,
				ARRAY_SIZE(configs), &err),
		  RP_OK, "%s", err.message);
}

FIXTURE_SETUP(choice)
{
	const struct rp_create_options options = {.size = sizeof(options),
						  .allow_copy = true};
	struct rp_error err;
	char *point;

	stage_make(&self->stage, test_dir(), MIB, test_seed());
	add_system(self->stage.store);
	ASSERT_EQ(rp_create_reference_point(self->stage.store, "many", &options, &point,
					    &err),
		  RP_OK, "%s", err.message);
	snprintf(self->point, sizeof(self->point), "%s", point);
	rp_free(point);
}

FIXTURE_TEARDOWN(choice)
{
	stage_close(&self->stage);
}

static const char *export_path(const struct choice_fixture *self)
{
	return fmt("%s/many/%s", self->stage.exports, strchr(self->point, '@') + 1);
}

/* The export has these disks, in this order, and no file of another. */
static void expect_exported(const struct choice_fixture *self, const char *ids,
			    const char *files)
{
	json_t *manifest = load_json(fmt("%s/export.json", export_path(self))), *disk;
	char have[64] = "";
	size_t i;

	json_array_foreach(json_object_get(manifest, "Disks"), i, disk) {
		const char *id = json_text(disk, "DiskId");

		strcat(strcat(have, i ? " " : ""), id);
		EXPECT_TRUE(data_same(disk_path(id),
				      fmt("%s/%s.raw", export_path(self), id)));
	}
	EXPECT_STREQ(have, ids);
	EXPECT_STREQ(listing(export_path(self)), files);
	EXPECT_EQ(rp_verify(export_path(self), NULL, NULL, NULL), RP_OK);
	json_decref(manifest);
	remove_tree(export_path(self));
}

TEST_F(choice, of_disks)
{
	static const char *const last_and_first[] = {"vdc", "vda"};
	struct rp_export_options options = {.size = sizeof(options)};
	struct rp_store *store = self->stage.store;
	struct rp_error err;

	ASSERT_EQ(rp_export(store, self->point, self->stage.exports, NULL, NULL, &err),
		  RP_OK, "%s", err.message);
	expect_exported(self, "vda vdb vdc",
			"config export.json vda.digest vda.raw vdb.digest vdb.raw "
			"vdc.digest vdc.raw");
	options.disks = last_and_first;
	options.disk_count = 2;
	ASSERT_EQ(
		rp_export(store, self->point, self->stage.exports, &options, NULL, &err),
		RP_OK, "%s", err.message);
	expect_exported(self, "vda vdc",
			"config export.json vda.digest vda.raw vdc.digest vdc.raw");
	ASSERT_EQ(
		rp_export_reference_point(
			store, self->point, self->stage.exports,
			"{\"DisksToExport\": [\"vdb\"], \"Options\": "
			"{\"Digest\": \"never\", \"Clone\": \"never\", \"Io\": \"sync\"}}",
			NULL, &err),
		RP_OK, "%s", err.message);
	expect_exported(self, "vdb", "config export.json vdb.raw");
	ASSERT_EQ(rp_export_reference_point(store, self->point, self->stage.exports, "",
					    NULL, &err),
		  RP_OK, "%s", err.message);
	expect_exported(self, "vda vdb vdc",
			"config export.json vda.digest vda.raw vdb.digest vdb.raw "
			"vdc.digest vdc.raw");
}

TEST_F(choice, of_disks_that_are_not_there)
{
	static const char *const unknown[] = {"vda", "vdz"};
	static const char *const twice[] = {"vda", "vdb", "vda"};
	struct rp_export_options options = {.size = sizeof(options)};
	struct rp_error err;

	options.disks = unknown;
	options.disk_count = 2;
	EXPECT_EQ(rp_export(self->stage.store, self->point, self->stage.exports, &options,
			    NULL, &err),
		  RP_INVALID_PARAMETER);
	EXPECT_NE(strstr(err.message, "'vdz'"), NULL, "%s", err.message);
	options.disks = twice;
	options.disk_count = 3;
	EXPECT_EQ(rp_export(self->stage.store, self->point, self->stage.exports, &options,
			    NULL, &err),
		  RP_INVALID_PARAMETER);
	EXPECT_NE(strstr(err.message, "vda: given twice"), NULL, "%s", err.message);
	EXPECT_STREQ(listing(self->stage.exports), "");
	stage_expect_idle(&self->stage);
}

static void expect_config(const char *path, const char *name)
{
	char *want = malloc(4 * MIB), *have = malloc(4 * MIB);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	size_t len;

	ASSERT_NE(want, NULL);
	ASSERT_NE(have, NULL);
	ASSERT_GE(fd, 0, "%s: %s", path, strerror(errno));
	len = config_bytes(name, want);
	EXPECT_EQ(read(fd, have, 4 * MIB), len, "%s", path);
	EXPECT_EQ(memcmp(want, have, len), 0, "%s", path);
	close(fd);
	free(want);
	free(have);
}

/* They are those of the point, whatever became of them since. */
TEST_F(choice, config_files_come_along)
{
	struct rp_error err;
	json_t *manifest;

	save_text(config_path("domain.xml"), "<another/>");
	ASSERT_OK(unlink(config_path(".hidden")));
	ASSERT_EQ(rp_export(self->stage.store, self->point, self->stage.exports, NULL,
			    NULL, &err),
		  RP_OK, "%s", err.message);
	EXPECT_STREQ(listing(fmt("%s/config", export_path(self))),
		     ".hidden domain.xml empty nvram.bin");
	manifest = load_json(fmt("%s/export.json", export_path(self)));
	ASSERT_EQ(json_array_size(json_object_get(manifest, "ConfigFiles")),
		  ARRAY_SIZE(config_names));
	for (size_t i = 0; i < ARRAY_SIZE(config_names); i++) {
		EXPECT_STREQ(json_string_value(json_array_get(
				     json_object_get(manifest, "ConfigFiles"), i)),
			     fmt("config/%s", config_names[i]));
		expect_config(fmt("%s/config/%s", export_path(self), config_names[i]),
			      config_names[i]);
	}
	EXPECT_EQ(rp_verify(export_path(self), NULL, NULL, &err), RP_OK, "%s",
		  err.message);
	json_decref(manifest);
}

/* ---------------------------------------------------- where blocks can be shared */

FIXTURE(shared)
{
	struct engine e;
	struct loopfs other;
};

FIXTURE_VARIANT(shared)
{
	const char *type, *mkfs;
};

FIXTURE_VARIANT_ADD(shared, xfs){.type = "xfs"};
FIXTURE_VARIANT_ADD(shared, xfs_1k){"xfs", "-b size=1024"};
FIXTURE_VARIANT_ADD(shared, btrfs){.type = "btrfs"};

FIXTURE_SETUP(shared)
{
	static const struct shape shape = {"vda", 9 * MIB + 77, .runs = 30};
	const char *const ids[] = {shape.id};

	engine_open(&self->e, variant->type, 0, variant->mkfs, NULL);
	loopfs_mount(&self->other, "ext4", 0, NULL, NULL);
	shape_make(&shape, engine_disk(&self->e, shape.id), test_seed());
	engine_add(&self->e, ids, 1);
	json_decref(engine_take(&self->e, NULL));
}

FIXTURE_TEARDOWN(shared)
{
	loopfs_umount(&self->other);
	engine_close(&self->e);
}

TEST_F(shared, always_never_or_where_it_can)
{
	struct rp_export_options options = {.size = sizeof(options),
					    .clone = RP_CLONE_ALWAYS};
	struct rp_error err;
	json_t *report;

	EXPECT_EQ(rp_export(self->e.store, self->e.point, self->other.mnt, &options, NULL,
			    &err),
		  RP_NOT_SUPPORTED, "%s", err.message);
	EXPECT_EQ(err.os_error, EXDEV);
	EXPECT_STREQ(err.step, "clone");
	EXPECT_STREQ(err.system, "web1");
	EXPECT_STREQ(err.disk, "vda");
	EXPECT_STREQ(listing(self->other.mnt), "lost+found");
	engine_expect_idle(&self->e);

	report = engine_export(&self->e, self->e.out, &options);
	EXPECT_STREQ(json_text(disk_of(report, "vda"), "Method"), "clone");
	remove_tree(json_text(report, "ExportPath"));
	json_decref(report);

	options.clone = RP_CLONE_NEVER;
	report = engine_export(&self->e, self->e.out, &options);
	EXPECT_STREQ(json_text(disk_of(report, "vda"), "Method"), "copy");
	EXPECT_FALSE(is_shared(fmt("%s/vda.raw", json_text(report, "ExportPath"))));
	json_decref(report);
}

/* Exports and verifies; returns the root of the digest, "" if there is none. */
static const char *root_of(const struct engine *e, const char *directory,
			   enum rp_digest digest, const char *method)
{
	const struct rp_export_options options = {.size = sizeof(options),
						  .digest = digest};
	json_t *report = engine_export(e, directory, &options), *verified;
	const json_t *disk = disk_of(report, "vda");
	const json_t *d = json_object_get(disk, "Digest");
	const char *path = json_text(report, "ExportPath"), *root;
	struct rp_error err;
	char *text;

	EXPECT_STREQ(json_text(disk, "Method"), method);
	EXPECT_EQ(is_shared(fmt("%s/vda.raw", path)), !strcmp(method, "clone"));
	EXPECT_EQ(exists(fmt("%s/vda.digest", path)), json_is_object(d));
	root = fmt("%s", json_text(d, "Root"));
	if (json_is_object(d)) {
		EXPECT_STREQ(json_text(d, "Algorithm"), "XXH3-128");
		EXPECT_EQ(json_number(d, "ChunkSize"), 65536);
		EXPECT_EQ(strlen(root), 32);
	} else {
		EXPECT_TRUE(json_is_null(d));
	}
	ASSERT_EQ(rp_verify(path, NULL, &text, &err), RP_OK, "%s", err.message);
	verified = take_json(text);
	EXPECT_STREQ(json_text(disk_of(verified, "vda"), "Compared"),
		     json_is_object(d) ? "digest" : "size");
	json_decref(verified);
	remove_tree(path);
	json_decref(report);
	return root;
}

/* What is digested is the disk, not the way it went. */
TEST_F(shared, digests)
{
	const struct engine *e = &self->e;
	char copied[64];

	snprintf(copied, sizeof(copied), "%s",
		 root_of(e, self->other.mnt, RP_DIGEST_AUTO, "copy"));
	EXPECT_EQ(strlen(copied), 32);
	EXPECT_STREQ(root_of(e, e->out, RP_DIGEST_AUTO, "clone"), "");
	EXPECT_STREQ(root_of(e, e->out, RP_DIGEST_ALWAYS, "clone"), copied);
	EXPECT_STREQ(root_of(e, self->other.mnt, RP_DIGEST_ALWAYS, "copy"), copied);
	EXPECT_STREQ(root_of(e, self->other.mnt, RP_DIGEST_NEVER, "copy"), "");
	EXPECT_STREQ(root_of(e, e->out, RP_DIGEST_NEVER, "clone"), "");
}

/* ---------------------------------------------------------------------- progress */

struct watched {
	struct rp_progress last;
	char phases[256];
};

static int note(void *context, const struct rp_progress *p)
{
	struct watched *w = context;

	EXPECT_GE(p->bytes_done, w->last.bytes_done);
	EXPECT_LE(p->bytes_done, p->bytes_total, "%s", p->phase);
	if (!w->last.phase || strcmp(w->last.phase, p->phase))
		strcat(strcat(w->phases, *w->phases ? " " : ""), p->phase);
	w->last = *p;
	return 0;
}

/* Whatever has to be done, at the end all of it is. */
TEST_F(shared, progress_adds_up)
{
	static const struct {
		enum rp_clone clone;
		enum rp_digest digest;
		const char *phases;
	} ways[] = {
		{RP_CLONE_NEVER, RP_DIGEST_AUTO, "planning copying publishing"},
		{RP_CLONE_AUTO, RP_DIGEST_AUTO, "planning cloning syncing publishing"},
		{RP_CLONE_AUTO, RP_DIGEST_ALWAYS, "planning cloning copying publishing"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(ways); i++) {
		struct watched w = {.phases = ""};
		const struct rp_watch watch = {
			.size = sizeof(watch), .context = &w, .progress = note};
		const struct rp_export_options options = {.size = sizeof(options),
							  .clone = ways[i].clone,
							  .digest = ways[i].digest,
							  .watch = &watch};
		json_t *report = engine_export(&self->e, self->e.out, &options);

		EXPECT_STREQ(w.phases, ways[i].phases);
		EXPECT_EQ(w.last.bytes_done, w.last.bytes_total, "%zu", i);
		EXPECT_GE(w.last.bytes_total,
			  json_number(disk_of(report, "vda"), "DataBytes"));
		remove_tree(json_text(report, "ExportPath"));
		json_decref(report);
	}
}

TEST_MAIN
