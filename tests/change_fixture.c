/* SPDX-License-Identifier: MIT */
#include "change_fixture.h"

#include <fcntl.h>
#include <linux/fs.h>
#include <sys/ioctl.h>

#include "data.h"
#include "harness.h"

int new_file(const char *path)
{
	int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

	ASSERT_GE(fd, 0, "%s: %s", path, strerror(errno));
	return fd;
}

/* @size bytes that do not compress, or do. */
int filled(const char *path, uint64_t size, bool packs)
{
	int fd = new_file(path);

	if (packs)
		for (uint64_t i = 0; i < size; i += BLOCK) {
			char block[BLOCK];

			memset(block, 'a' + (int)(i / BLOCK % 20), sizeof(block));
			memcpy(block, &i, sizeof(i));
			ASSERT_EQ(pwrite(fd, block, min_u64(BLOCK, size - i), (off_t)i),
				  min_u64(BLOCK, size - i));
		}
	else
		data_write(fd, 1, 0, size);
	ASSERT_EQ(fsync(fd), 0);
	return fd;
}

void clone_to(int fd, const char *path)
{
	int copy = new_file(path);

	if (ioctl(copy, FICLONE, fd) < 0)
		FAIL("clone %s: %s", path, strerror(errno));
	close(copy);
}

void clone_range(int from, uint64_t at, uint64_t len, int to, uint64_t to_at)
{
	struct file_clone_range range = {.src_fd = from,
					 .src_offset = at,
					 .src_length = len,
					 .dest_offset = to_at};

	if (ioctl(to, FICLONERANGE, &range) < 0)
		FAIL("clone range: %s", strerror(errno));
}

void write_at(int fd, uint64_t seed, uint64_t start, uint64_t len)
{
	data_write(fd, seed, start, len);
	ASSERT_EQ(fsync(fd), 0);
}

void punch(int fd, uint64_t start, uint64_t len)
{
	ASSERT_EQ(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)start,
			    (off_t)len),
		  0);
}

void pair_open(struct pair *x, const char *base, const char *target)
{
	*x = (struct pair){0};
	tuning_init(&x->tuning, RP_IO_AUTO);
	watch_init(&x->watch, NULL, 0);
	x->p = (struct change_pair){.disk = "vda",
				    .leaves = {.fd = -1},
				    .tuning = &x->tuning,
				    .w = &x->watch,
				    .dirfd = AT_FDCWD};
	snprintf(x->p.base_path, sizeof(x->p.base_path), "BASE");
	snprintf(x->p.target_path, sizeof(x->p.target_path), "TARGET");
	ASSERT_OK(io_file_open_read(AT_FDCWD, base, &x->p.base));
	ASSERT_OK(io_file_open_read(AT_FDCWD, target, &x->p.target));
	ASSERT_OK(io_fs_of(x->p.base.fd, &x->p.base_fs));
	ASSERT_OK(io_fs_of(x->p.target.fd, &x->p.target_fs));
	x->p.base_size = x->p.base.size;
}

void pair_close(struct pair *x)
{
	ranges_free(&x->ranges);
	io_file_close(&x->p.base);
	io_file_close(&x->p.target);
}

/* "data 0+4096 zero 8192+4096" */
const char *changes_text(struct ranges *ranges)
{
	struct ranges_cursor cursor = {.ranges = ranges};
	const char *text = "";
	struct change c;

	for (uint64_t pos = 0; ranges_next(&cursor, pos, &c) == 0; pos = c.end)
		text = fmt("%s%s%s %llu+%llu", text, *text ? " " : "",
			   c.kind == CHANGE_ZERO ? "zero" : "data",
			   (unsigned long long)c.start,
			   (unsigned long long)(c.end - c.start));
	return text;
}

/* What changed between two files, by this source (NULL = the best); the sums are kept in
 * @ret_bytes, if given. */
const char *changes(const char *base, const char *target,
		    const struct change_source *source, uint64_t *ret_bytes)
{
	struct pair x;
	const char *text;

	pair_open(&x, base, target);
	if (source) {
		ASSERT_OK(ranges_begin(&x.ranges, x.p.target.size, AT_FDCWD));
		ASSERT_EQ(source->compare(&x.p, &x.ranges, &x.err), RP_OK, "%s",
			  x.err.message);
		ASSERT_FALSE(x.p.doubt, "%s", x.p.reason);
		ASSERT_OK(ranges_end(&x.ranges));
	} else {
		ASSERT_EQ(change_compare(&x.p, &x.ranges, &x.source, &x.err), RP_OK, "%s",
			  x.err.message);
	}
	ASSERT_EQ(change_prove(&x.p, &x.ranges, &x.err), RP_OK, "%s", x.err.message);
	text = ret_bytes ? "" : changes_text(&x.ranges);
	if (ret_bytes)
		*ret_bytes = x.ranges.bytes[CHANGE_DATA] + x.ranges.bytes[CHANGE_ZERO];
	pair_close(&x);
	return text;
}
