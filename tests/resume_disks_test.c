/* SPDX-License-Identifier: MIT */
/*
 * resume_disks_test.c - an export of several disks that is interrupted while all of them
 * are on their way: each goes on at a mark of its own, nothing before it is written
 * again, and where one is not as it was left the others lose nothing
 */
#include <fcntl.h>
#include <unistd.h>

#include "data.h"
#include "engine_fixture.h"
#include "harness.h"
#include "interrupted.h"
#include "loopfs.h"

#define COUNT	4
#define WINDOW	MIB
#define RATE	(64 * MIB) /* much more than a second for all data */
#define PROCESS (2 * MIB)  /* journals, digests, documents; no data */

/* What is moved before the first stop, of 128 MiB, and before the second. As all disks
 * take turns, all are in the middle at the first, and one is whole at the second. */
#define FIRST  (16 * MIB)
#define SECOND (56 * MIB)

FIXTURE(disks)
{
	struct engine e;
	struct loopfs other; /* where is exported to */
	struct rp_export_options options;
	/* Of a run that is to stop: after so much, and what it began with. */
	uint64_t stop_after, began_at;
	bool began;
};

FIXTURE_VARIANT(disks)
{
	enum rp_io io;
	enum rp_digest digest;
};

FIXTURE_VARIANT_ADD(disks, uring){.io = RP_IO_URING};
FIXTURE_VARIANT_ADD(disks, aio){.io = RP_IO_AIO};
FIXTURE_VARIANT_ADD(disks, sync){.io = RP_IO_SYNC};
FIXTURE_VARIANT_ADD(disks, undigested){.digest = RP_DIGEST_NEVER};

static void all(int fd, uint64_t size, uint64_t seed)
{
	data_write(fd, seed, 0, size);
}

static void every_other(int fd, uint64_t size, uint64_t seed)
{
	for (uint64_t pos = MIB; pos < size; pos += 2 * MIB)
		data_write(fd, seed, pos, MIB);
}

static void all_but_the_beginning(int fd, uint64_t size, uint64_t seed)
{
	data_write(fd, seed, 24 * MIB, size - 24 * MIB);
}

/* As much data lies in each at another place. */
static const struct shape shape_of[COUNT] = {
	{"vda", 40 * MIB, .fill = all},
	{"vdb", 16 * MIB, .fill = all},
	{"vdc", 64 * MIB, .fill = every_other},
	{"vdd", 64 * MIB, .fill = all_but_the_beginning},
};

FIXTURE_SETUP(disks)
{
	const char *ids[COUNT];
	uint64_t seed = test_seed();

	if (variant->io && !backend_works(variant->io))
		SKIP("the backend is not there");
	engine_open(&self->e, "xfs", 640 * MIB, NULL, NULL);
	loopfs_mount(&self->other, "ext4", 320 * MIB, NULL, NULL);
	for (size_t i = 0; i < COUNT; i++) {
		ids[i] = shape_of[i].id;
		shape_make(&shape_of[i], engine_disk(&self->e, ids[i]), seed + i);
		shape_make(&shape_of[i], engine_twin(&self->e, ids[i]), seed + i);
	}
	engine_add(&self->e, ids, COUNT);
	json_decref(engine_take(&self->e, NULL));
	self->options = stage_copying(variant->io);
	self->options.digest = variant->digest;
	self->options.block_size = WINDOW; /* marks are multiples of it */
}

FIXTURE_TEARDOWN(disks)
{
	loopfs_umount(&self->other);
	engine_close(&self->e);
}

static const char *partial(const struct disks_fixture *self, const char *name)
{
	return fmt("%s/%s", stage_partial_path(self->other.mnt, self->e.point), name);
}

static int stop(void *context, const struct rp_progress *p)
{
	struct disks_fixture *self = context;

	if (strcmp(p->phase, "copying"))
		return 0;
	if (!self->began)
		self->began_at = p->bytes_done;
	self->began = true;
	return p->bytes_done >= self->began_at + self->stop_after;
}

/* Begins, or goes on, and stops when @bytes more were moved. */
static void interrupt(struct disks_fixture *self, uint64_t bytes)
{
	const struct rp_watch watch = {
		.size = sizeof(watch), .context = self, .progress = stop};
	struct rp_export_options options = self->options;
	struct rp_error err;

	self->stop_after = bytes;
	self->began = false;
	options.watch = &watch;
	options.bandwidth = RATE;
	options.memory = 2 * MIB; /* or the rest is on its way when we are asked */
	GIVES(FAILED, rp_export(self->e.store, self->e.point, self->other.mnt, &options,
				NULL, &err));
	EXPECT_EQ(err.os_error, ECANCELED);
}

/* Where each disk goes on. */
static void read_marks(const struct disks_fixture *self, uint64_t marks[COUNT])
{
	json_t *journal = load_json(partial(self, ".journal"));

	for (size_t i = 0; i < COUNT; i++)
		marks[i] = (uint64_t)json_number(disk_of(journal, shape_of[i].id),
						 "Mark");
	json_decref(journal);
}

struct data {
	uint64_t bytes, first, last; /* and where the first one and the last one are */
};

/* Of disk @i before @end. */
static struct data data_before(const struct disks_fixture *self, size_t i, uint64_t end)
{
	int fd = open(engine_twin(&self->e, shape_of[i].id), O_RDONLY | O_CLOEXEC);
	struct data data = {.first = UINT64_MAX};
	off_t pos = 0, hole;

	ASSERT_GE(fd, 0);
	while ((pos = lseek(fd, pos, SEEK_DATA)) >= 0 && (uint64_t)pos < end) {
		hole = lseek(fd, pos, SEEK_HOLE);
		ASSERT_GT(hole, pos);
		data.first = min_u64(data.first, (uint64_t)pos);
		data.last = min_u64((uint64_t)hole, end) - 1;
		data.bytes += data.last + 1 - (uint64_t)pos;
		pos = hole;
	}
	close(fd);
	return data;
}

/* Every disk is what it was, and was moved from its mark on, which all say. */
static void expect_whole(const struct disks_fixture *self, const uint64_t marks[COUNT])
{
	const char *folder = stage_export_path(self->other.mnt, self->e.point);
	json_t *manifest = load_json(fmt("%s/export.json", folder));
	struct rp_error err;

	GIVES(OK, rp_verify(folder, NULL, NULL, &err));
	for (size_t i = 0; i < COUNT; i++) {
		const char *id = shape_of[i].id;

		EXPECT_TRUE(data_same(fmt("%s/%s.raw", folder, id),
				      engine_twin(&self->e, id)));
		EXPECT_TRUE(data_same_holes(fmt("%s/%s.raw", folder, id),
					    engine_twin(&self->e, id)));
		EXPECT_EQ(json_number(disk_of(manifest, id), "ResumedBytes"),
			  data_before(self, i, marks[i]).bytes, "%s", id);
	}
	json_decref(manifest);
	engine_expect_idle(&self->e);
}

/* To its end; from these marks on it is written, and only that. */
static void finish(struct disks_fixture *self, const uint64_t marks[COUNT])
{
	uint64_t before = interrupted_bytes_written(getpid()), written, left = 0;
	struct rp_error err;

	GIVES(OK, rp_export(self->e.store, self->e.point, self->other.mnt, &self->options,
			    NULL, &err));
	written = interrupted_bytes_written(getpid()) - before;
	for (size_t i = 0; i < COUNT; i++)
		left += data_before(self, i, shape_of[i].size).bytes -
			data_before(self, i, marks[i]).bytes;
	test_log("%.1f MiB were left, %.1f MiB written", (double)left / (double)MIB,
		 (double)written / (double)MIB);
	EXPECT_GE(written, left);
	EXPECT_LE(written, left + PROCESS);
	expect_whole(self, marks);
}

TEST_F(disks, go_on_each_at_its_mark)
{
	uint64_t first[COUNT], second[COUNT];

	interrupt(self, FIRST);
	read_marks(self, first);
	for (size_t i = 0; i < COUNT; i++) {
		EXPECT_GE(data_before(self, i, first[i]).bytes, 2 * WINDOW);
		EXPECT_LT(first[i], shape_of[i].size);
	}
	interrupt(self, SECOND);
	read_marks(self, second);
	for (size_t i = 0; i < COUNT; i++)
		EXPECT_GT(second[i], first[i]);
	EXPECT_EQ(second[1], shape_of[1].size);
	finish(self, second);
}

static void expect_refused(struct disks_fixture *self, size_t i, uint64_t at)
{
	const char *before = listing(partial(self, ""));
	uint64_t marks[COUNT], now[COUNT];
	struct rp_error err;

	read_marks(self, marks);
	GIVES(INVALID_STATE, rp_export(self->e.store, self->e.point, self->other.mnt,
				       &self->options, NULL, &err));
	EXPECT_STREQ(err.step, "resume");
	EXPECT_STREQ(err.disk, shape_of[i].id);
	EXPECT_NE(strstr(err.message, shape_of[i].id), NULL, "%s", err.message);
	EXPECT_EQ(err.offset, round_down(at, 64 * KIB));
	EXPECT_STREQ(listing(partial(self, "")), before);
	read_marks(self, now);
	for (i = 0; i < COUNT; i++)
		EXPECT_EQ(now[i], marks[i], "%s", shape_of[i].id);
}

/* In the first byte that was moved of it, and in the last one. */
TEST_F(disks, keep_what_they_have_when_one_was_changed)
{
	uint64_t marks[COUNT];

	interrupt(self, FIRST);
	read_marks(self, marks);
	for (size_t i = 0; i < COUNT; i++) {
		const char *file = partial(self, fmt("%s.raw", shape_of[i].id));
		struct data data = data_before(self, i, marks[i]);
		uint64_t places[] = {data.first, data.last};

		for (size_t k = 0; k < ARRAY_SIZE(places); k++) {
			data_flip(file, places[k]);
			expect_refused(self, i, places[k]);
			data_flip(file, places[k]);
		}
	}
	finish(self, marks);
}

/* Nothing is known of it: whatever its file is, it begins again, and no other. */
TEST_F(disks, begin_again_where_there_is_no_mark)
{
	json_t *journal;
	uint64_t marks[COUNT];

	interrupt(self, FIRST);
	journal = load_json(partial(self, ".journal"));
	json_object_set_new(disk_of(journal, "vdc"), "Mark", json_integer(0));
	save_json(partial(self, ".journal"), journal);
	data_flip(partial(self, "vdc.raw"), MIB);
	read_marks(self, marks);
	EXPECT_EQ(marks[2], 0);
	finish(self, marks);
}

TEST_MAIN_REQUIRES(interrupted_missing)
