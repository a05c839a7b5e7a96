/* SPDX-License-Identifier: MIT */
/*
 * manifest_test.c - what the manifest of an export says is not believed: neither verify
 * nor restore does more with one that is damaged or hostile than to say so
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "engine_fixture.h"
#include "harness.h"

FIXTURE(manifest)
{
	struct stage stage;
	char path[PATH_MAX]; /* of the export */
};

FIXTURE_SETUP(manifest)
{
	struct rp_export_options options = stage_copying(RP_IO_AUTO);
	struct rp_error err;

	stage_make(&self->stage, test_dir(), 3 * MIB + 77, 1);
	ASSERT_EQ(stage_export(&self->stage, &options, &err), RP_OK, "%s", err.message);
	snprintf(self->path, sizeof(self->path), "%s",
		 stage_export_path(self->stage.exports, self->stage.point));
}

FIXTURE_TEARDOWN(manifest)
{
	stage_close(&self->stage);
}

static void cut(const struct manifest_fixture *self, const char *name, uint64_t size)
{
	ASSERT_OK(truncate(fmt("%s/%s", self->path, name), (off_t)size));
}

static void expect_unopened(const struct manifest_fixture *self, const char *what,
			    uint32_t code)
{
	const char *output = fmt("%s/restored", test_dir());
	struct rp_error err;
	char *report = NULL;

	EXPECT_EQ(rp_verify(self->path, NULL, &report, &err), code, "%s: %s", what,
		  err.message);
	EXPECT_EQ(report, NULL);
	EXPECT_NE(strstr(err.message, self->path), NULL, "%s", err.message);
	EXPECT_EQ(rp_restore(self->path, "vda", output, NULL, NULL, &err), code, "%s: %s",
		  what, err.message);
	EXPECT_FALSE(exists(output), "%s", what);
}

TEST_F(manifest, that_cannot_be_read)
{
	const char *path = fmt("%s/export.json", self->path);
	char *deep = malloc(1 << 20);
	struct stat st;

	ASSERT_NE(deep, NULL);
	ASSERT_OK(stat(path, &st));
	cut(self, "export.json", (uint64_t)st.st_size - 3);
	expect_unopened(self, "short", RP_UNKNOWN_STATUS);
	cut(self, "export.json", (uint64_t)st.st_size + 1);
	expect_unopened(self, "a NUL behind it", RP_UNKNOWN_STATUS);
	cut(self, "export.json", 65 * MIB);
	expect_unopened(self, "huge", RP_UNKNOWN_STATUS);
	cut(self, "export.json", 0);
	expect_unopened(self, "empty", RP_UNKNOWN_STATUS);
	save_text(path, "[]");
	expect_unopened(self, "no object", RP_UNKNOWN_STATUS);
	save_text(path, "{\"FormatVersion\": 1, \"FormatVersion\": 1}");
	expect_unopened(self, "a key twice", RP_UNKNOWN_STATUS);
	memset(deep, '[', (1 << 20) - 1);
	deep[(1 << 20) - 1] = '\0';
	save_text(path, deep);
	expect_unopened(self, "deep", RP_UNKNOWN_STATUS);
	ASSERT_OK(unlink(path));
	expect_unopened(self, "missing", RP_NOT_AVAILABLE);
	ASSERT_OK(mkdir(path, 0755));
	expect_unopened(self, "a folder", RP_UNKNOWN_STATUS);
	remove_tree(self->path);
	expect_unopened(self, "no export", RP_NOT_AVAILABLE);
	free(deep);
}

/* One member of the manifest, and a JSON text it is replaced by. */
struct lie {
	const char *where; /* "Disks.0.File" */
	const char *value; /* NULL = removed */
	uint32_t code;
};

static const struct lie lies[] = {
	{"FormatVersion", "2", RP_NOT_SUPPORTED},
	{"FormatVersion", "9223372036854775807", RP_NOT_SUPPORTED},
	{"FormatVersion", "0", RP_UNKNOWN_STATUS},
	{"FormatVersion", "-1", RP_UNKNOWN_STATUS},
	{"FormatVersion", "1.0", RP_UNKNOWN_STATUS},
	{"FormatVersion", "\"1\"", RP_UNKNOWN_STATUS},
	{"FormatVersion", NULL, RP_UNKNOWN_STATUS},
	{"Kind", "\"incremental\"", RP_NOT_SUPPORTED},
	{"Kind", "\"differential\"", RP_UNKNOWN_STATUS}, /* there is no base */
	{"Kind", "[]", RP_UNKNOWN_STATUS},
	{"BaseReferencePointId", "\"x\"", RP_UNKNOWN_STATUS}, /* of a full one */
	{"BaseReferencePointId", NULL, RP_UNKNOWN_STATUS},
	{"ReferencePointType", "1", RP_NOT_SUPPORTED},
	{"ReferencePointType", "null", RP_UNKNOWN_STATUS},
	{"ReferencePointId", "\"../..\"", RP_UNKNOWN_STATUS},
	{"ReferencePointId", "null", RP_UNKNOWN_STATUS},
	{"VirtualSystemIdentifier", "\"../web1\"", RP_UNKNOWN_STATUS},
	{"VirtualSystemIdentifier", "17", RP_UNKNOWN_STATUS},
	{"Disks", NULL, RP_UNKNOWN_STATUS},
	{"Disks", "null", RP_UNKNOWN_STATUS},
	{"Disks", "{}", RP_UNKNOWN_STATUS},
	{"Disks.0", "[]", RP_UNKNOWN_STATUS},
	{"Disks.0", "\"vda\"", RP_UNKNOWN_STATUS},
	{"Disks.0.DiskId", "\"../vda\"", RP_UNKNOWN_STATUS},
	{"Disks.0.DiskId", "\"\"", RP_UNKNOWN_STATUS},
	{"Disks.0.DiskId", "0", RP_UNKNOWN_STATUS},
	{"Disks.0.File", "\"../../../etc/passwd\"", RP_UNKNOWN_STATUS},
	{"Disks.0.File", "\"/etc/passwd\"", RP_UNKNOWN_STATUS},
	{"Disks.0.File", "\"config/web1.xml\"", RP_UNKNOWN_STATUS},
	{"Disks.0.File", "\"..\"", RP_UNKNOWN_STATUS},
	{"Disks.0.File", "\".\"", RP_UNKNOWN_STATUS},
	{"Disks.0.File", "\"\"", RP_UNKNOWN_STATUS},
	{"Disks.0.File", "null", RP_UNKNOWN_STATUS},
	{"Disks.0.Format", NULL, RP_UNKNOWN_STATUS},
	{"Disks.0.VirtualSize", "-1", RP_UNKNOWN_STATUS},
	{"Disks.0.VirtualSize", "1e30", RP_UNKNOWN_STATUS},
	{"Disks.0.VirtualSize", "\"12\"", RP_UNKNOWN_STATUS},
	{"Disks.0.VirtualSize", NULL, RP_UNKNOWN_STATUS},
	{"Disks.0.Digest", "true", RP_UNKNOWN_STATUS},
	{"Disks.0.Digest", "{}", RP_UNKNOWN_STATUS},
	{"Disks.0.Digest.Algorithm", "\"MD5\"", RP_NOT_SUPPORTED},
	{"Disks.0.Digest.Algorithm", "1", RP_UNKNOWN_STATUS},
	{"Disks.0.Digest.ChunkSize", "0", RP_NOT_SUPPORTED},
	{"Disks.0.Digest.ChunkSize", "4096", RP_NOT_SUPPORTED},
	{"Disks.0.Digest.ChunkSize", "-4096", RP_UNKNOWN_STATUS},
	{"Disks.0.Digest.Root", "[0]", RP_UNKNOWN_STATUS},
	{"Disks.0.Digest.File", "\"../vda.digest\"", RP_UNKNOWN_STATUS},
	{"Disks.0.Digest.File", "\"/dev/zero\"", RP_UNKNOWN_STATUS},
	{"Disks.0.Digest.File", NULL, RP_UNKNOWN_STATUS},
	{"ConfigFiles", "[]", RP_UNKNOWN_STATUS},
	{"ConfigFiles.0", "\"../export.json\"", RP_UNKNOWN_STATUS},
	{"ConfigFiles.0", "\"config/../export.json\"", RP_UNKNOWN_STATUS},
	{"ConfigFiles.0", "\"config/..\"", RP_UNKNOWN_STATUS},
	{"ConfigFiles.0", "\"config/\"", RP_UNKNOWN_STATUS},
	{"ConfigFiles.0", "\"/etc/passwd\"", RP_UNKNOWN_STATUS},
	{"ConfigFiles.0", "null", RP_UNKNOWN_STATUS},
	{"ConfigFileDigests", NULL, RP_UNKNOWN_STATUS},
	{"ConfigFileDigests.0", "7", RP_UNKNOWN_STATUS},
};

static void tell_lie(const struct manifest_fixture *self, const char *truth,
		     const struct lie *lie)
{
	char where[64], *key, *next, *rest = where;
	json_t *doc = json_loads(truth, 0, NULL), *at = doc;
	json_t *value = lie->value ? json_loads(lie->value, JSON_DECODE_ANY, NULL) : NULL;

	ASSERT_NE(doc, NULL);
	ASSERT_EQ(value == NULL, lie->value == NULL, "%s", lie->value);
	snprintf(where, sizeof(where), "%s", lie->where);
	for (key = strsep(&rest, "."); (next = strsep(&rest, ".")); key = next)
		at = json_is_array(at) ? json_array_get(at, (size_t)atoi(key))
				       : json_object_get(at, key);
	if (json_is_array(at))
		ASSERT_OK(json_array_set_new(at, (size_t)atoi(key), value));
	else if (value)
		ASSERT_OK(json_object_set_new(at, key, value));
	else
		ASSERT_OK(json_object_del(at, key));
	save_json(fmt("%s/export.json", self->path), doc);
}

TEST_F(manifest, lies)
{
	json_t *doc = load_json(fmt("%s/export.json", self->path));
	char *truth = json_dumps(doc, 0);
	struct rp_error err;

	json_decref(doc);
	for (size_t i = 0; i < ARRAY_SIZE(lies); i++) {
		tell_lie(self, truth, &lies[i]);
		expect_unopened(self, fmt("%s: %s", lies[i].where, lies[i].value),
				lies[i].code);
	}
	save_text(fmt("%s/export.json", self->path), truth);
	EXPECT_EQ(rp_verify(self->path, NULL, NULL, &err), RP_OK, "%s", err.message);
	free(truth);
}

/* What a disk can be restored without, verify still misses. */
TEST_F(manifest, that_says_too_little)
{
	static const struct lie little[] = {
		{"ConsistencyLevel", NULL, RP_UNKNOWN_STATUS},
		{"CreationTime", NULL, RP_UNKNOWN_STATUS},
		{"CreationTime", "\"yesterday\"", RP_UNKNOWN_STATUS},
		{"ExportTime", "true", RP_UNKNOWN_STATUS},
		{"Sequence", NULL, RP_OK}, /* of older versions */
		{"Sequence", "-1", RP_UNKNOWN_STATUS},
		{"Sequence", "\"7\"", RP_UNKNOWN_STATUS},
		{"Sequence", "4294967296", RP_UNKNOWN_STATUS},
		{"Disks.0.DataBytes", NULL, RP_UNKNOWN_STATUS},
		{"Disks.0.ClonedBytes", "true", RP_UNKNOWN_STATUS},
		{"Disks.0.CopiedBytes", "-1", RP_UNKNOWN_STATUS},
		{"Disks.0.ZeroBytes", "\"0\"", RP_UNKNOWN_STATUS},
		{"Disks.0.Method", NULL, RP_UNKNOWN_STATUS},
		{"Disks.0.MethodReason", "7", RP_UNKNOWN_STATUS},
	};
	json_t *doc = load_json(fmt("%s/export.json", self->path));
	char *truth = json_dumps(doc, 0);
	struct rp_error err;

	json_decref(doc);
	for (size_t i = 0; i < ARRAY_SIZE(little); i++) {
		const char *output = fmt("%s/restored-%zu", test_dir(), i);

		tell_lie(self, truth, &little[i]);
		EXPECT_EQ(rp_verify(self->path, NULL, NULL, &err), little[i].code,
			  "%s: %s", little[i].where, err.message);
		EXPECT_EQ(rp_restore(self->path, "vda", output, NULL, NULL, &err), RP_OK,
			  "%s: %s", little[i].where, err.message);
	}
	free(truth);
}

/* The other one would be neither verified nor restored. */
TEST_F(manifest, has_a_disk_twice)
{
	const char *path = fmt("%s/export.json", self->path);
	json_t *doc = load_json(path), *disks = json_object_get(doc, "Disks");
	json_t *other = json_deep_copy(json_array_get(disks, 0));

	json_object_set_new(other, "File", json_string("other.raw"));
	ASSERT_OK(json_array_append_new(disks, other));
	save_json(path, doc);
	expect_unopened(self, "a disk twice", RP_UNKNOWN_STATUS);
}

static void expect_differs(const struct manifest_fixture *self, const char *what,
			   uint32_t code)
{
	const char *output = fmt("%s/restored", test_dir());
	struct rp_error err;

	EXPECT_EQ(rp_verify(self->path, NULL, NULL, &err), code, "%s: %s", what,
		  err.message);
	EXPECT_STREQ(err.disk, "vda", "%s", what);
	EXPECT_EQ(rp_restore(self->path, "vda", output, NULL, NULL, &err), code, "%s: %s",
		  what, err.message);
	EXPECT_STREQ(err.disk, "vda", "%s", what);
	EXPECT_FALSE(exists(output), "%s", what);
}

/* Well-formed, but not true of the files. */
TEST_F(manifest, of_other_files)
{
	static const struct lie wrong[] = {
		{"Disks.0.VirtualSize", "12583688", RP_FAILED},
		{"Disks.0.VirtualSize", "9223372036854775807", RP_FAILED},
		{"Disks.0.VirtualSize", "0", RP_FAILED},
		{"Disks.0.Digest.Root", "\"00000000000000000000000000000000\"",
		 RP_UNKNOWN_STATUS},
		{"Disks.0.Digest.Root", "\"\"", RP_UNKNOWN_STATUS},
		{"Disks.0.Digest.File", "\"vda.raw\"", RP_UNKNOWN_STATUS},
		{"Disks.0.File", "\"export.json\"", RP_FAILED},
		{"Disks.0.File", "\"config\"", RP_NOT_AVAILABLE},
		{"Disks.0.File", "\"other.raw\"", RP_NOT_AVAILABLE},
	};
	json_t *doc = load_json(fmt("%s/export.json", self->path));
	char *truth = json_dumps(doc, 0);

	json_decref(doc);
	for (size_t i = 0; i < ARRAY_SIZE(wrong); i++) {
		tell_lie(self, truth, &wrong[i]);
		expect_differs(self, fmt("%s: %s", wrong[i].where, wrong[i].value),
			       wrong[i].code);
	}
	free(truth);
}

TEST_MAIN
