/* SPDX-License-Identifier: MIT */
/*
 * leaves_test.c - the digest trees of large disks: they are imported and compared with
 * few system calls, and who watches is called while they are read
 */
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "data.h"
#include "engine/digest.h"
#include "engine_fixture.h"
#include "harness.h"

#define SIZE (160 * MIB + 777)

static atomic_uint calls;
static atomic_uint nodes; /* that were read, ... */
static bool slow;	  /* which takes a while */

/* The library's calls come by here. */
ssize_t pread(int fd, void *buf, size_t len, off_t start)
{
	calls++;
	if (slow && len == MIB) {
		nodes++;
		usleep(20000);
	}
	return syscall(SYS_pread64, fd, buf, len, start);
}

ssize_t pwrite(int fd, const void *buf, size_t len, off_t start)
{
	calls++;
	return syscall(SYS_pwrite64, fd, buf, len, start);
}

off_t lseek(int fd, off_t offset, int whence)
{
	calls++;
	return syscall(SYS_lseek, fd, offset, whence);
}

/* A base without data: it was imported. */
FIXTURE(imported)
{
	struct engine e;
	char base[POINT_SIZE];
	unsigned calls; /* of the import */
};

static void write_disk(const struct imported_fixture *self, uint64_t seed, uint64_t start,
		       uint64_t len)
{
	int fd = open(engine_disk(&self->e, "vda"), O_RDWR | O_CLOEXEC);

	ASSERT_GE(fd, 0);
	data_write(fd, seed, start, len);
	close(fd);
}

FIXTURE_SETUP(imported)
{
	const struct rp_export_options options = {.size = sizeof(options),
						  .digest = RP_DIGEST_ALWAYS};
	const char *const ids[] = {"vda"};
	struct rp_error err;
	json_t *report;
	char *name;

	engine_open(&self->e, "xfs", GIB, NULL, NULL);
	close(data_create(engine_disk(&self->e, "vda"), SIZE));
	write_disk(self, 1, 0, SIZE);
	engine_add(&self->e, ids, 1);
	json_decref(engine_take(&self->e, NULL));
	memcpy(self->base, self->e.point, sizeof(self->base));
	report = engine_export(&self->e, self->e.out, &options);
	GIVES(OK, rp_destroy_reference_point(self->e.store, self->base, &err));
	calls = 0;
	GIVES(OK, rp_import(self->e.store, json_text(report, "ExportPath"), &name, &err));
	self->calls = calls;
	rp_free(name);
	json_decref(report);
}

FIXTURE_TEARDOWN(imported)
{
	engine_close(&self->e);
}

/* What has changed since the base, in that many bytes. */
static void expect_changes(struct imported_fixture *self, uint64_t bytes)
{
	struct rp_error err;
	json_t *report, *disk;
	char *text;

	json_decref(engine_take(&self->e, NULL));
	calls = 0;
	GIVES(OK,
	      rp_changes(self->e.store, self->e.point, self->base, NULL, &text, &err));
	EXPECT_LT(calls, SIZE / DIGEST_CHUNK / 4);
	report = take_json(text);
	disk = disk_of(report, "vda");
	EXPECT_STREQ(json_text(disk, "Source"), "digest");
	EXPECT_EQ(json_number(disk, "DataBytes") + json_number(disk, "ZeroBytes"), bytes);
	json_decref(report);
}

TEST_F(imported, leaves_are_not_moved_one_by_one)
{
	EXPECT_LT(self->calls, 100);
	expect_changes(self, 0);
	write_disk(self, 2, 0, 1);
	write_disk(self, 2, 64 * MIB - 1, 2);
	write_disk(self, 2, SIZE - 1, 1);
	expect_changes(self, 3 * DIGEST_CHUNK + 777);
	write_disk(self, 2, 0, SIZE);
	expect_changes(self, SIZE);
}

/* ------------------------------------------------------------------------ watching */

#define NODES 16
#define APART (4 * GIB) /* what a node is of */

/* In each node of its digest tree there is something. */
FIXTURE(large)
{
	struct engine e;
	char points[2][POINT_SIZE];
	char paths[2][PATH_MAX]; /* of the exports */
};

static struct rp_export_options exporting(const struct large_fixture *self, unsigned i)
{
	return (struct rp_export_options){
		.size = sizeof(struct rp_export_options),
		.base = i ? self->points[0] : NULL,
		.digest = RP_DIGEST_ALWAYS,
	};
}

FIXTURE_SETUP(large)
{
	const char *const ids[] = {"vda"};
	const char *disk;
	int fd;

	engine_open(&self->e, "xfs", GIB, NULL, NULL);
	disk = engine_disk(&self->e, "vda");
	fd = data_create(disk, NODES * APART);
	engine_add(&self->e, ids, 1);
	for (unsigned i = 0; i < 2; i++) {
		struct rp_export_options options = exporting(self, i);
		json_t *report;

		for (unsigned k = 0; k < NODES; k++)
			data_write(fd, i, k * APART + i * MIB, 4096);
		json_decref(engine_take(&self->e, NULL));
		memcpy(self->points[i], self->e.point, POINT_SIZE);
		report = engine_export(&self->e, self->e.out, &options);
		snprintf(self->paths[i], PATH_MAX, "%s", json_text(report, "ExportPath"));
		json_decref(report);
	}
	close(fd);
	slow = true;
}

FIXTURE_TEARDOWN(large)
{
	engine_close(&self->e);
}

/* Who watches, and stops it when the first node was read. */
struct watcher {
	bool stops;
	unsigned told; /* nodes */
	unsigned most; /* of them between two calls */
};

static int look(void *context, const struct rp_progress *progress)
{
	struct watcher *w = context;

	(void)progress;
	if (nodes - w->told > w->most)
		w->most = nodes - w->told;
	w->told = nodes;
	return w->stops && nodes;
}

typedef uint32_t work(struct large_fixture *self, const struct rp_watch *watch,
		      struct rp_error *err);

static void expect_watched(struct large_fixture *self, work *run)
{
	struct watcher w = {.stops = true};
	const struct rp_watch watch = {
		.size = sizeof(watch), .context = &w, .progress = look};
	struct rp_error err;

	nodes = 0;
	GIVES(FAILED, run(self, &watch, &err));
	EXPECT_EQ(err.os_error, ECANCELED, "%s", err.message);
	EXPECT_EQ(nodes, w.told, "it goes on");
	nodes = 0;
	w = (struct watcher){.stops = false};
	GIVES(OK, run(self, &watch, &err));
	EXPECT_GE(nodes, NODES);
	EXPECT_LT(w.most, NODES / 2);
	EXPECT_LT(nodes - w.told, NODES / 2);
}

static uint32_t verify(struct large_fixture *self, const struct rp_watch *watch,
		       struct rp_error *err)
{
	const struct rp_read_options options = {.size = sizeof(options), .watch = watch};

	return rp_verify(self->paths[1], &options, NULL, err);
}

static uint32_t restore(struct large_fixture *self, const struct rp_watch *watch,
			struct rp_error *err)
{
	const struct rp_read_options options = {.size = sizeof(options), .watch = watch};

	return rp_restore(self->paths[1], "vda", fmt("%s/restored", self->e.fs.mnt),
			  &options, NULL, err);
}

static uint32_t merge(struct large_fixture *self, const struct rp_watch *watch,
		      struct rp_error *err)
{
	const struct rp_read_options options = {.size = sizeof(options), .watch = watch};

	return rp_merge(self->paths[1], &options, NULL, err);
}

static uint32_t export_merged(struct large_fixture *self, const struct rp_watch *watch,
			      struct rp_error *err)
{
	struct rp_export_options options = exporting(self, 1);

	options.merge = true;
	options.watch = watch;
	return rp_export(self->e.store, self->points[1], self->e.out, &options, NULL,
			 err);
}

static uint32_t release(struct large_fixture *self, const struct rp_watch *watch,
			struct rp_error *err)
{
	const struct rp_read_options options = {.size = sizeof(options), .watch = watch};

	return rp_release(self->e.store, self->points[0], &options, err);
}

static uint32_t compare(struct large_fixture *self, const struct rp_watch *watch,
			struct rp_error *err)
{
	const struct rp_changes_options options = {.size = sizeof(options),
						   .watch = watch};

	return rp_changes(self->e.store, self->points[1], self->points[0], &options, NULL,
			  err);
}

TEST_F(large, who_watches_is_called_while_leaves_are_read)
{
	expect_watched(self, verify);
	expect_watched(self, restore);
	expect_watched(self, merge);
	remove_tree(self->paths[1]);
	expect_watched(self, export_merged);
	expect_watched(self, release);
	expect_watched(self, compare);
}

TEST_MAIN
