/* SPDX-License-Identifier: MIT */
/*
 * leaves_test.c - the digest trees of large disks: they are imported and compared with
 * few system calls
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

/* The library's calls come by here. */
ssize_t pread(int fd, void *buf, size_t len, off_t start)
{
	calls++;
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

TEST_MAIN
