/* SPDX-License-Identifier: MIT */
/*
 * nights_test.c - the life of a store at random: night after night a disk that has
 * changed, a point, an export on top of an older one or whole, in any format, then points
 * released, destroyed and imported again, exports merged, and every other command killed.
 * What each night's disk held is known, and must come back from every export there is
 */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "data.h"
#include "harness.h"
#include "loopfs.h"
#include "stage.h"

#define NIGHTS	 14
#define SIZE	 (3 * MIB + 1536)
#define KILLS	 4 /* of one command, at most: then it is left alone */
#define KILL_US	 40000
#define ARGS	 12
#define IS_WHOLE 8 /* the status of a merge that was done */

static const char *missing(void)
{
	return program_missing() ?: loopfs_skip_reason("xfs") ?: loopfs_skip_reason("btrfs");
}

/* A point, and its export. */
struct night {
	char point[POINT_SIZE];
	const char *format;
	bool released, destroyed;
	bool differential;
};

FIXTURE(nights)
{
	struct loopfs fs, other;
	struct stage stage;
	uint64_t random;
	struct night nights[NIGHTS];
	size_t count;
};

FIXTURE_VARIANT(nights)
{
	const char *type;  /* of the store's file system */
	const char *other; /* of that for the exports; NULL: the same one */
};

FIXTURE_VARIANT_ADD(nights, xfs){.type = "xfs"};
FIXTURE_VARIANT_ADD(nights, btrfs){.type = "btrfs"};
FIXTURE_VARIANT_ADD(nights, xfs_to_ext4){.type = "xfs", .other = "ext4"};

FIXTURE_SETUP(nights)
{
	struct stage *s = &self->stage;

	self->random = test_seed();
	loopfs_mount(&self->fs, variant->type, 0, NULL, NULL);
	stage_make(s, self->fs.mnt, SIZE, self->random);
	memcpy(self->nights[0].point, s->point, sizeof(s->point));
	self->count = 1;
	if (!variant->other)
		return;
	loopfs_mount(&self->other, variant->other, 128 * MIB, NULL, NULL);
	snprintf(s->exports, sizeof(s->exports), "%s",
		 fmt("%s/exports", self->other.mnt));
	ASSERT_OK(mkdir(s->exports, 0700));
}

FIXTURE_TEARDOWN(nights)
{
	stage_close(&self->stage);
	loopfs_umount(&self->other);
	loopfs_umount(&self->fs);
}

static uint64_t below(struct nights_fixture *self, uint64_t limit)
{
	return data_random(&self->random) % limit;
}

static const char *twin(const struct nights_fixture *self, size_t i)
{
	return fmt("%s/twin.%zu", self->fs.mnt, i);
}

static void keep_twin(const struct nights_fixture *self, size_t i)
{
	ASSERT_OK(system(
		fmt("cp --sparse=always '%s' '%s'", self->stage.disk, twin(self, i))));
}

static const char *export_path(const struct nights_fixture *self, const struct night *n)
{
	return stage_export_path(self->stage.exports, n->point);
}

/* ---------------------------------------------------------------- running commands */

/* Its status, or -SIGKILL. */
static int run(struct nights_fixture *self, const char *const args[], bool killed)
{
	const char *argv[ARGS + 3] = {program(), "--store", self->stage.path};
	int status;
	pid_t pid;

	for (size_t i = 0; i < ARGS - 1 && args[i]; i++)
		argv[i + 3] = args[i];
	pid = fork();
	ASSERT_GE(pid, 0);
	if (pid == 0) {
		dup2(open("/dev/null", O_WRONLY), STDOUT_FILENO);
		execv(argv[0], (char *const *)argv);
		_exit(98);
	}
	if (killed) {
		usleep((useconds_t)below(self, KILL_US));
		kill(pid, SIGKILL);
	}
	ASSERT_EQ(waitpid(pid, &status, 0), pid);
	return WIFSIGNALED(status) ? -WTERMSIG(status) : WEXITSTATUS(status);
}

/* Until it is done: @path is there then, or gone, or (NULL) it says so itself. */
static void insist(struct nights_fixture *self, const char *path, bool there,
		   const char *const args[])
{
	for (unsigned try = 0;; try++) {
		int status = run(self, args, try < KILLS && below(self, 2));

		if (status == 0 || (path && exists(path) == there))
			return;
		if (try > 0 && status == IS_WHOLE && !strcmp(args[0], "merge"))
			return;
		ASSERT_EQ(status, -SIGKILL, "%s %s", args[0], args[1]);
	}
}

#define INSIST(path, there, ...) \
	insist(self, path, there, (const char *const[ARGS]){__VA_ARGS__})

/* ------------------------------------------------------------------ what happens */

static void change_disk(struct nights_fixture *self)
{
	int fd = open(self->stage.disk, O_RDWR | O_CLOEXEC);
	struct stat st;

	ASSERT_GE(fd, 0);
	ASSERT_OK(fstat(fd, &st));
	for (uint64_t n = below(self, 8); n > 0; n--) {
		uint64_t start = below(self, (uint64_t)st.st_size);
		uint64_t len = min_u64((uint64_t)st.st_size - start,
				       1 + below(self, 200 * KIB));

		if (below(self, 2))
			start = round_down(start, 4096);
		if (below(self, 3))
			data_write(fd, data_random(&self->random), start, len);
		else
			fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
				  (off_t)start, (off_t)len);
	}
	if (below(self, 6) == 0)
		ASSERT_OK(ftruncate(fd, st.st_size + 512 * (off_t)below(self, 400)));
	close(fd);
}

/* Its ID in points, which is one longer then. */
static bool find_new_point(struct nights_fixture *self, size_t before)
{
	json_t *points = stage_points(self->stage.store);
	size_t count = json_array_size(points);

	ASSERT_LE(count, before + 1);
	if (count > before)
		snprintf(self->nights[self->count].point, POINT_SIZE, "web1@%s",
			 json_text(json_array_get(points, count - 1), "InstanceID"));
	json_decref(points);
	return count > before;
}

static size_t points_left(const struct nights_fixture *self)
{
	size_t left = 0;

	for (size_t i = 0; i < self->count; i++)
		left += !self->nights[i].destroyed;
	return left;
}

static void take(struct nights_fixture *self)
{
	const char *const args[ARGS] = {"create", "web1", "--allow-copy"};
	size_t before = points_left(self);

	change_disk(self);
	keep_twin(self, self->count);
	for (unsigned try = 0; !find_new_point(self, before); try++) {
		int status = run(self, args, try < KILLS && below(self, 2));

		ASSERT_TRUE(status == 0 || status == -SIGKILL, "create: %d", status);
	}
	self->count++;
}

/* An older one that is a base still, with an export of this format; NULL: none. */
static const struct night *pick_base(struct nights_fixture *self, const struct night *n)
{
	const struct night *base = &self->nights[below(self, self->count)];

	return base < n && !base->destroyed && base->format == n->format ? base : NULL;
}

static bool is_differential(const char *path)
{
	json_t *manifest = load_json(fmt("%s/export.json", path));
	bool differential = !strcmp(json_text(manifest, "Kind"), "differential");

	json_decref(manifest);
	return differential;
}

static void export(struct nights_fixture *self, struct night *n)
{
	static const char *const formats[] = {"raw", "raw", "qcow2", "vhdx"};
	static const char *const backends[] = {"auto", "uring", "aio", "sync"};
	const char *clone = below(self, 3) ? "auto" : "never";
	const char *io = backends[below(self, ARRAY_SIZE(backends))];
	const char *format = formats[below(self, ARRAY_SIZE(formats))];
	const struct night *base;

	n->format = format;
	base = pick_base(self, n);
	INSIST(export_path(self, n), true, "export", n->point, self->stage.exports,
	       "--format", format, "--io", io, "--clone", clone, base ? "--base" : NULL,
	       base ? base->point : NULL, below(self, 4) ? NULL : "--merge");
	n->differential = is_differential(export_path(self, n));
}

/* The first is kept: a base of all. */
static struct night *pick_old(struct nights_fixture *self)
{
	return &self->nights[below(self, self->count - 1)];
}

static void merge(struct nights_fixture *self, struct night *n)
{
	if (!n->differential || strcmp(n->format, "raw"))
		return;
	INSIST(NULL, true, "merge", export_path(self, n));
	n->differential = false;
}

static void release(struct nights_fixture *self, struct night *n)
{
	if (n->released || n->destroyed)
		return;
	INSIST(fmt("%s/vda.raw", stage_point_path(&self->stage, n->point)), false,
	       "release", n->point);
	n->released = true;
}

static void destroy(struct nights_fixture *self, struct night *n)
{
	if (n->destroyed)
		return;
	INSIST(stage_point_path(&self->stage, n->point), false, "destroy", n->point);
	n->destroyed = true;
}

/* A point without data, which can be a base. */
static void import(struct nights_fixture *self, struct night *n)
{
	if (!n->destroyed)
		return;
	INSIST(stage_point_path(&self->stage, n->point), true, "import",
	       export_path(self, n));
	n->destroyed = false;
	n->released = true;
}

static void expect_back(struct nights_fixture *self, size_t i)
{
	const char *output = fmt("%s/output", self->stage.exports);
	const char *path = export_path(self, &self->nights[i]);

	EXPECT_EQ(run(self, (const char *const[ARGS]){"verify", path, "--chain"}, false),
		  0, "night %zu", i);
	ASSERT_EQ(run(self,
		      (const char *const[ARGS]){"restore", path, "--disk", "vda", output},
		      false),
		  0, "night %zu", i);
	EXPECT_TRUE(data_same(output, twin(self, i)), "night %zu", i);
	ASSERT_OK(unlink(output));
}

TEST_F(nights, every_export_comes_back)
{
	static void (*const acts[])(struct nights_fixture * self,
				    struct night * n) = {merge, release, destroy, import};

	keep_twin(self, 0);
	export(self, &self->nights[0]);
	while (self->count < NIGHTS) {
		take(self);
		export(self, &self->nights[self->count - 1]);
		for (unsigned i = 0; i < 3; i++)
			acts[below(self, ARRAY_SIZE(acts))](self, pick_old(self));
		expect_back(self, below(self, self->count));
	}
	for (size_t i = 0; i < self->count; i++)
		expect_back(self, i);
	EXPECT_EQ(run(self, (const char *const[ARGS]){"list"}, false), 0);
	stage_expect_idle(&self->stage);
}

TEST_MAIN_REQUIRES(missing)
