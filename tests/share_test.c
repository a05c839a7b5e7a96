/* SPDX-License-Identifier: MIT */
/*
 * share_test.c - a clone that lost a part without an error is found out, whether its tail
 * was cloned too or is left to be copied, or a guest writes meanwhile; one that fails is
 * not answered by copying
 */
#include <fcntl.h>
#include <limits.h>
#include <linux/fiemap.h>
#include <linux/fs.h>
#include <stdarg.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "data.h"
#include "engine/layer.h"
#include "engine/share.h"
#include "engine_fixture.h"
#include "harness.h"
#include "io/base.h"
#include "loopfs.h"
#include "stage.h"

#define PIECE (64 * MIB)
#define SIZE  (3 * PIECE + 100)

/* What the kernel does with FICLONERANGE, as old ones did. */
static uint64_t loses_at; /* the clone that goes there, and says it has worked */
static bool refuses_tail;
static bool maps_no_more, fails; /* from then on; now */
static int clone_error;		 /* of all */

/* And with FICLONE: these many lose their end. Who looks at one then finds the disk just
 * written to. */
static unsigned losing;
static int written_fd;
static bool lost;

static int clone_half(int dst, int src)
{
	struct file_clone_range half = {.src_fd = src};
	struct stat st;

	if (fstat(src, &st) < 0)
		return -1;
	half.src_length = (uint64_t)st.st_size / 2;
	if (syscall(SYS_ioctl, dst, FICLONERANGE, &half) < 0)
		return -1;
	return ftruncate(dst, st.st_size);
}

/* In place of libc's. */
off_t lseek(int fd, off_t offset, int whence)
{
	if (!fails)
		return syscall(SYS_lseek, fd, offset, whence);
	errno = EIO;
	return -1;
}

/* In place of libc's. */
int ioctl(int fd, unsigned long request, ...)
{
	va_list args;
	void *arg;

	va_start(args, request);
	arg = va_arg(args, void *);
	va_end(args);
	if (request == FICLONE && losing) {
		losing--;
		lost = true;
		return clone_half(fd, (int)(intptr_t)arg);
	}
	if (request == FS_IOC_FIEMAP && lost) {
		lost = false;
		data_write(written_fd, 9, 0, 4096);
	}
	if (request == FICLONERANGE) {
		const struct file_clone_range *range = arg;

		if (clone_error) {
			errno = clone_error;
			return -1;
		}
		if (range->dest_offset == loses_at)
			return 0;
		if (refuses_tail && range->dest_offset + range->src_length == SIZE) {
			fails = maps_no_more;
			errno = EINVAL;
			return -1;
		}
	}
	return (int)syscall(SYS_ioctl, fd, request, arg);
}

FIXTURE(share)
{
	struct loopfs fs;
	struct stream s;
};

FIXTURE_SETUP(share)
{
	struct stream *s = &self->s;
	int fd;

	*s = (struct stream){
		.disk = "vda",
		.src_path = "from",
		.dst_path = "to",
		.src = IO_FILE_NONE,
		.dst = IO_FILE_NONE,
		.leaves.fd = -1,
	};
	loopfs_mount(&self->fs, "xfs", 300 * MIB, NULL, NULL);
	fd = data_create(fmt("%s/from", self->fs.mnt), SIZE);
	for (unsigned i = 0; i < 3; i++)
		data_write(fd, i, i * PIECE, MIB);
	data_write(fd, 3, 3 * PIECE, 100);
	ASSERT_OK(fsync(fd));
	close(fd);
	ASSERT_OK(io_file_open_read(AT_FDCWD, fmt("%s/from", self->fs.mnt), &s->src));
	ASSERT_OK(io_file_create(AT_FDCWD, fmt("%s/to", self->fs.mnt), -1, &s->dst));
	ASSERT_OK(io_file_set_size(&s->dst, SIZE));
	loses_at = UINT64_MAX;
	refuses_tail = maps_no_more = fails = false;
}

FIXTURE_TEARDOWN(share)
{
	io_file_close(&self->s.src);
	io_file_close(&self->s.dst);
	loopfs_umount(&self->fs);
}

static uint32_t clone_all(struct share_fixture *self, struct rp_error *err)
{
	struct watch w;

	rp_error_clear(err);
	watch_init(&w, NULL, 0);
	ASSERT_OK(stream_measure(&self->s, &w));
	return share_clone(&self->s, &w, err);
}

TEST_F(share, of_all)
{
	struct rp_error err;

	GIVES(OK, clone_all(self, &err));
	EXPECT_EQ(self->s.shared_to, SIZE);
	EXPECT_TRUE(data_same(fmt("%s/from", self->fs.mnt), fmt("%s/to", self->fs.mnt)));
}

TEST_F(share, of_all_but_the_tail)
{
	struct rp_error err;

	refuses_tail = true;
	GIVES(OK, clone_all(self, &err));
	EXPECT_EQ(self->s.shared_to, 3 * PIECE);
	EXPECT_EQ(self->s.cloned_bytes, 3 * MIB);
}

/* Or nobody would know that there is something left to copy. */
TEST_F(share, of_all_but_a_tail_that_cannot_be_counted)
{
	struct rp_error err;

	refuses_tail = maps_no_more = true;
	GIVES(FAILED, clone_all(self, &err));
	fails = false;
	EXPECT_STREQ(err.step, "map");
	EXPECT_EQ(err.os_error, EIO);
}

/* What XFS has reserved beside a block that was copied on write is told to be data as
 * soon as it lies in the page cache, though the file has a hole there. */
TEST_F(share, of_a_hole_that_was_read)
{
	const char *path = fmt("%s/from", self->fs.mnt);
	int fd = open(path, O_RDWR), kept = data_create(fmt("%s-kept", path), 0);
	struct layer whole = {.file = self->s.src, .path = path}, *list[] = {&whole};
	struct layers layers;
	struct rp_error err;
	char page[4096];

	data_write(fd, 4, 10 * MIB, sizeof(page));
	ASSERT_OK(fsync(fd));
	ASSERT_OK(syscall(SYS_ioctl, kept, FICLONE, fd));
	data_write(fd, 5, 10 * MIB, sizeof(page));
	ASSERT_OK(fsync(fd));
	ASSERT_EQ(pread(fd, page, sizeof(page), 10 * MIB + 8192), sizeof(page));
	layer_raw(&whole);
	layers_init(&layers, list, 1);
	self->s.from = &layers.source;
	GIVES(OK, clone_all(self, &err));
	EXPECT_TRUE(data_same(path, fmt("%s/to", self->fs.mnt)));
	close(kept);
	close(fd);
}

TEST_F(share, that_lost_a_part)
{
	struct rp_error err;

	loses_at = PIECE;
	GIVES(FAILED, clone_all(self, &err));
	EXPECT_STREQ(err.step, "check clone");
}

TEST_F(share, that_lost_a_part_and_has_no_tail)
{
	struct rp_error err;

	loses_at = PIECE;
	refuses_tail = true;
	GIVES(FAILED, clone_all(self, &err));
	EXPECT_STREQ(err.step, "check clone");
}

/* H18: copying all of it is no answer to a device that fails, or is full. */
TEST(base_of_a_merged_export_that_cannot_be_cloned_now)
{
	static const int errors[] = {ENOSPC, EIO};
	const char *const ids[] = {"vda"};
	char base[POINT_SIZE], *report = NULL;
	struct rp_export_options options = {
		.size = sizeof(options), .base = base, .merge = true};
	struct engine e = {.store = NULL};
	struct rp_error err;

	loses_at = UINT64_MAX;
	engine_open(&e, "xfs", 0, NULL, NULL);
	engine_make_disk(&e, "vda", 9 * MIB);
	engine_add(&e, ids, 1);
	json_decref(engine_take(&e, NULL));
	json_decref(engine_export(&e, e.out, NULL));
	snprintf(base, sizeof(base), "%s", e.point);
	json_decref(engine_take(&e, NULL));
	for (size_t i = 0; i < ARRAY_SIZE(errors); i++) {
		clone_error = errors[i];
		GIVES(FAILED,
		      rp_export(e.store, e.point, e.out, &options, &report, &err));
		clone_error = 0;
		EXPECT_STREQ(err.step, "clone");
		EXPECT_EQ(err.os_error, errors[i], "%s", err.message);
		EXPECT_STREQ(err.disk, "vda");
	}
	json_decref(engine_export(&e, e.out, &options));
	engine_close(&e);
}

/* H18: a disk that is written to need not be as its clone, but the end is not lost. */
TEST(point_that_lost_its_end_and_whose_disk_is_written_to)
{
	struct loopfs fs = {0};
	struct stage s = {0};
	struct rp_error err;
	char *point = NULL;

	loopfs_mount(&fs, "xfs", 300 * MIB, NULL, NULL);
	stage_make(&s, fs.mnt, 6 * MIB, test_seed());
	written_fd = open(s.disk, O_WRONLY | O_CLOEXEC);
	data_write(written_fd, 8, 0, 6 * MIB);
	losing = UINT_MAX;
	GIVES(FAILED, rp_create_reference_point(s.store, "web1", NULL, &point, &err));
	EXPECT_EQ(err.os_error, EIO, "%s", err.message);
	EXPECT_STREQ(err.step, "check clone");
	stage_expect_idle(&s);
	losing = 1;
	GIVES(OK, rp_create_reference_point(s.store, "web1", NULL, &point, &err));
	EXPECT_TRUE(!losing && !lost, "one has lost its end, and was looked at");
	EXPECT_TRUE(data_same(fmt("%s/vda.raw", stage_point_path(&s, point)), s.disk));
	losing = 0;
	rp_free(point);
	close(written_fd);
	stage_close(&s);
	loopfs_umount(&fs);
}

TEST_MAIN
