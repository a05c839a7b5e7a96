/* SPDX-License-Identifier: MIT */
/*
 * opaque_test.c - a disk whose image is itself a qcow2 file is exported as the file it
 * is: full, differential, merged; what is restored is that file, and what its guest wrote
 */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "data.h"
#include "engine_fixture.h"
#include "harness.h"

#define NIGHTS 4

FIXTURE(opaque)
{
	struct engine e;
	struct loopfs to;
	char out[PATH_MAX + 8];
	char points[NIGHTS][POINT_SIZE];
	uint64_t state;
};
FIXTURE_VARIANT(opaque)
{
	const char *from, *to; /* to NULL = the same */
	const char *options;   /* of qemu-img create */
	const char *source;
};
FIXTURE_VARIANT_ADD(opaque,
		    xfs){.from = "xfs", .options = "compat=1.1", .source = "extents"};
FIXTURE_VARIANT_ADD(opaque, xfs_ext4){.from = "xfs",
				      .to = "ext4",
				      .options = "extended_l2=on,cluster_size=128k",
				      .source = "extents"};
FIXTURE_VARIANT_ADD(opaque, btrfs_xfs){.from = "btrfs",
				       .to = "xfs",
				       .options = "preallocation=metadata",
				       .source = "tree"};

FIXTURE_SETUP(opaque)
{
	static const char *const ids[] = {"vda"};

	self->state = test_seed();
	engine_open(&self->e, variant->from, 700 * MIB, NULL, NULL);
	snprintf(self->out, sizeof(self->out), "%s", self->e.out);
	if (variant->to) {
		loopfs_mount(&self->to, variant->to, 700 * MIB, NULL, NULL);
		snprintf(self->out, sizeof(self->out), "%s", self->to.mnt);
	}
	ASSERT_EQ(system(fmt("qemu-img create -q -f qcow2 -o %s '%s' 96M",
			     variant->options, engine_disk(&self->e, "vda"))),
		  0);
	engine_add(&self->e, ids, 1);
}

FIXTURE_TEARDOWN(opaque)
{
	engine_close(&self->e);
	if (variant->to)
		loopfs_umount(&self->to);
}

static uint64_t chance(struct opaque_fixture *self, uint64_t below)
{
	return data_random(&self->state) % below;
}

/* A day of the guest, which knows nothing of the file; and of its host. */
static void write_as_guest(struct opaque_fixture *self, unsigned night)
{
	static const char *const commands[] = {"write -q -P", "write -q -z", "discard -q",
					       "write -q -P"};
	const char *path = engine_disk(&self->e, "vda");

	char script[2048] = "";

	for (unsigned i = 0; i < 12; i++) {
		const char *command = commands[chance(self, ARRAY_SIZE(commands))];
		bool data = strstr(command, "-P");
		size_t used = strlen(script);

		snprintf(script + used, sizeof(script) - used, " -c '%s %s %uk %uk'",
			 command, data ? fmt("%u", 1 + night * 12 + i) : "",
			 (unsigned)chance(self, 90 * 1024),
			 (unsigned)(4 + 4 * chance(self, 400)));
	}
	ASSERT_EQ(system(fmt("qemu-io -d unmap -f qcow2 %s '%s'", script, path)), 0);
	if (night == 2) /* it is larger, and some of its clusters have moved */
		ASSERT_EQ(system(fmt("qemu-img snapshot -c before '%s' && "
				     "qemu-img resize -q -f qcow2 '%s' 128M",
				     path, path)),
			  0);
}

static const char *twin_of(const struct opaque_fixture *self, unsigned night,
			   const char *kind)
{
	return fmt("%s/twins/%u.%s", self->e.fs.mnt, night, kind);
}

static void keep_twins(const struct opaque_fixture *self, unsigned night)
{
	const char *path = engine_disk(&self->e, "vda");

	ASSERT_EQ(system(fmt("cp --sparse=always '%s' '%s' && "
			     "qemu-img convert -f qcow2 -O raw '%s' '%s'",
			     path, twin_of(self, night, "qcow2"), path,
			     twin_of(self, night, "raw"))),
		  0);
}

static const char *export_of(const struct opaque_fixture *self, unsigned night)
{
	return stage_export_path(self->out, self->points[night]);
}

/* @source: the evidence of what has changed. */
static void nights_pass(struct opaque_fixture *self, const char *source, bool merge)
{
	for (unsigned night = 0; night < NIGHTS; night++) {
		struct rp_export_options options = {
			.size = sizeof(options),
			.base = night ? self->points[night - 1] : NULL,
			.merge = night && merge,
		};
		json_t *report;

		write_as_guest(self, night);
		keep_twins(self, night);
		json_decref(engine_take(&self->e, NULL));
		snprintf(self->points[night], POINT_SIZE, "%s", self->e.point);
		report = engine_export(&self->e, self->out, &options);
		EXPECT_STREQ(json_text(report, "Kind"), !night	? "full"
							: merge ? "merged"
								: "differential");
		if (night)
			EXPECT_STREQ(json_text(disk_of(report, "vda"), "ChangeSource"),
				     source);
		json_decref(report);
	}
}

/* @path is the file of that night, and QEMU finds in it what the guest had written. */
static void expect_image(const struct opaque_fixture *self, unsigned night,
			 const char *path)
{
	EXPECT_TRUE(data_same(twin_of(self, night, "qcow2"), path), "night %u", night);
	EXPECT_EQ(system(fmt("qemu-img check -q -f qcow2 '%s'", path)), 0);
	EXPECT_EQ(system(fmt("qemu-img compare -q -f qcow2 -F raw '%s' '%s'", path,
			     twin_of(self, night, "raw"))),
		  0);
}

TEST_F(opaque, differential)
{
	const struct rp_read_options options = {.size = sizeof(options), .chain = true};
	char restored[PATH_MAX + 16];
	struct rp_error err;

	snprintf(restored, sizeof(restored), "%s/restored", self->e.fs.mnt);
	nights_pass(self, variant->source, false);
	for (unsigned night = 0; night < NIGHTS; night++) {
		EXPECT_EQ(rp_verify(export_of(self, night), &options, NULL, &err), RP_OK,
			  "%s", err.message);
		ASSERT_EQ(rp_restore(export_of(self, night), "vda", restored, &options,
				     NULL, &err),
			  RP_OK, "%s", err.message);
		expect_image(self, night, restored);
		ASSERT_OK(unlink(restored));
	}
}

TEST_F(opaque, merged)
{
	nights_pass(self, variant->source, true);
	for (unsigned night = 0; night < NIGHTS; night++)
		expect_image(self, night, fmt("%s/vda.raw", export_of(self, night)));
}

/* Clusters of ours in clusters of theirs would be of no use to anybody. */
TEST_F(opaque, is_no_source_of_images)
{
	struct rp_export_options options = {.size = sizeof(options)};
	struct rp_error err;

	write_as_guest(self, 0);
	json_decref(engine_take(&self->e, NULL));
	for (enum rp_format f = RP_FORMAT_QCOW2; f <= RP_FORMAT_VHDX; f++) {
		options.format = f;
		EXPECT_EQ(rp_export(self->e.store, self->e.point, self->out, &options,
				    NULL, &err),
			  RP_NOT_SUPPORTED);
		EXPECT_NE(strstr(err.message, "raw"), NULL, "%s", err.message);
	}
}

TEST_MAIN
