/* SPDX-License-Identifier: MIT */
/*
 * replaced_test.c - what is released or merged while others read it: they read what has
 * taken its place
 */
#include <fcntl.h>
#include <stdarg.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "harness.h"
#include "links.h"

static struct links l;

/* What others do with @what, once, when the library has opened what it calls @opened. */
static struct {
	const char *opened;
	void (*act)(const char *what);
	const char *what;
} meanwhile;

static void come_by(const char *path)
{
	if (!meanwhile.opened || strcmp(path, meanwhile.opened))
		return;
	meanwhile.opened = NULL;
	meanwhile.act(meanwhile.what);
}

/* The library's calls come by here. */
int openat(int dirfd, const char *path, int flags, ...)
{
	mode_t mode = 0;
	va_list args;
	int fd;

	va_start(args, flags);
	if ((flags & O_CREAT) || (flags & O_TMPFILE) == O_TMPFILE)
		mode = va_arg(args, mode_t);
	va_end(args);
	fd = (int)syscall(SYS_openat, dirfd, path, flags, mode);
	come_by(path);
	return fd;
}

/* -------------------------------------------------------------------------- a point */

static const char *id_of(const char *point)
{
	return strchr(point, '@') + 1;
}

static void release(const char *point)
{
	struct rp_store *other = stage_open(&l.stage, 0);
	struct rp_error err;

	GIVES(OK, rp_release(other, point, NULL, &err));
	rp_store_close(other);
}

static void release_meanwhile(const char *point)
{
	meanwhile.opened = id_of(point);
	meanwhile.act = release;
	meanwhile.what = point;
}

static void expect_last(const char *point, size_t count)
{
	json_t *points = stage_points(l.stage.store);
	const json_t *last = json_array_get(points, count - 1);

	EXPECT_EQ(meanwhile.opened, NULL);
	EXPECT_EQ(json_array_size(points), count);
	EXPECT_STREQ(json_text(last, "InstanceID"), id_of(point));
	EXPECT_GT(json_number(last, "Sequence"),
		  json_number(json_array_get(points, count - 2), "Sequence"));
	json_decref(points);
}

/* It is there all the time, and so it counts. */
TEST(a_point_that_is_released)
{
	char last[POINT_SIZE];
	struct rp_error err;

	links_make(&l);
	release_meanwhile(l.points[2]);
	GIVES(OK, rp_destroy_reference_point(l.stage.store, "web1@latest~1", &err));
	EXPECT_TRUE(exists(stage_point_path(&l.stage, l.points[0])));
	EXPECT_FALSE(exists(stage_point_path(&l.stage, l.points[1])));
	expect_last(l.points[2], 3);

	stage_take(&l.stage, last);
	release_meanwhile(last);
	expect_last(last, 4);

	stage_take(&l.stage, last);
	release_meanwhile(last);
	stage_take(&l.stage, last);
	expect_last(last, 6);
	links_close(&l);
}

TEST_MAIN
