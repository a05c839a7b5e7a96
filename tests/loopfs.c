/* SPDX-License-Identifier: MIT */
/*
 * loopfs.c - a real file system for one test
 */
#include <fcntl.h>
#include <linux/loop.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "harness.h"
#include "loopfs.h"

/* The smallest images, and what makes mkfs quiet and the result common. */
static const struct kind {
	const char *type;
	uint64_t mib;
	const char *mkfs;
} kinds[] = {
	{"ext4", 64, "mkfs.ext4 -q -F"},
	{"btrfs", 128, "mkfs.btrfs -q -f"},
	{"xfs", 300, "mkfs.xfs -q -f -m reflink=1"},
	{"tmpfs", 16, NULL},
};

static const struct kind *find_kind(const char *type)
{
	size_t i;

	for (i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
		if (strcmp(kinds[i].type, type) == 0)
			return &kinds[i];
	FAIL("no such kind of file system: %s", type);
}

/* Runs a shell command where the mkfs programs are; its output is that of the test. */
static int run(const char *format, ...) __attribute__((format(printf, 1, 2)));
static int run(const char *format, ...)
{
	char command[2 * PATH_MAX];
	va_list args;

	va_start(args, format);
	vsnprintf(command, sizeof(command), format, args);
	va_end(args);
	return system(command);
}

/* A file system that is a module shows up only after it was asked for. */
static bool kernel_has(const char *type)
{
	return run("PATH=$PATH:/usr/sbin:/sbin; grep -qw %s /proc/filesystems || "
		   "modprobe %s 2>/dev/null",
		   type, type) == 0;
}

const char *loopfs_skip_reason(const char *type)
{
	const struct kind *kind = find_kind(type);
	static char reason[64];

	if (geteuid() != 0)
		return "not root";
	if (!kernel_has(type))
		snprintf(reason, sizeof(reason), "the kernel has no %s", type);
	else if (kind->mkfs &&
		 run("PATH=$PATH:/usr/sbin:/sbin; command -v mkfs.%s >/dev/null", type) !=
			 0)
		snprintf(reason, sizeof(reason), "no mkfs.%s", type);
	else if (kind->mkfs && access("/dev/loop-control", R_OK | W_OK) < 0)
		return "no loop devices";
	else
		return NULL;
	return reason;
}

/* Once per process: a second one would hide the first one's mounts from our children. */
static void enter_namespace(void)
{
	static pid_t entered;

	if (entered == getpid())
		return;
	if (unshare(CLONE_NEWNS) < 0)
		SKIP("no mount namespace: %s", strerror(errno));
	if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
		FAIL("make mounts private: %s", strerror(errno));
	entered = getpid();
}

/* The fd keeps the device until it is mounted. Others may take the free one first. */
static int attach(struct loopfs *fs)
{
	struct loop_config config = {.info.lo_flags = LO_FLAGS_AUTOCLEAR};
	int control, img, n, loop = -1;

	control = open("/dev/loop-control", O_RDWR | O_CLOEXEC);
	img = open(fs->img, O_RDWR | O_CLOEXEC);
	ASSERT_GE(control, 0);
	ASSERT_GE(img, 0);
	config.fd = (unsigned)img;
	do {
		close(loop);
		n = ioctl(control, LOOP_CTL_GET_FREE);
		ASSERT_GE(n, 0, "LOOP_CTL_GET_FREE: %s", strerror(errno));
		snprintf(fs->loop, sizeof(fs->loop), "/dev/loop%d", n);
		loop = open(fs->loop, O_RDWR | O_CLOEXEC);
		if (loop < 0)
			SKIP("%s: %s", fs->loop, strerror(errno));
	} while (ioctl(loop, LOOP_CONFIGURE, &config) < 0 && errno == EBUSY);
	close(img);
	close(control);
	return loop;
}

static void make_image(struct loopfs *fs, const struct kind *kind, uint64_t size,
		       const char *mkfs_opts)
{
	int fd = open(fs->img, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

	ASSERT_GE(fd, 0, "%s: %s", fs->img, strerror(errno));
	ASSERT_EQ(ftruncate(fd, (off_t)size), 0);
	close(fd);
	ASSERT_EQ(run("PATH=$PATH:/usr/sbin:/sbin; %s %s '%s'", kind->mkfs,
		      mkfs_opts ? mkfs_opts : "", fs->img),
		  0);
}

void loopfs_mount(struct loopfs *fs, const char *type, uint64_t size,
		  const char *mkfs_opts, const char *mount_opts)
{
	const struct kind *kind = find_kind(type);
	const char *reason = loopfs_skip_reason(type);
	char dir[PATH_MAX / 2];
	int loop = -1, rc;

	if (reason)
		SKIP("%s", reason);
	enter_namespace();
	*fs = (struct loopfs){0};
	snprintf(dir, sizeof(dir), "%s/%s.XXXXXX", test_dir(), type);
	ASSERT_NE(mkdtemp(dir), NULL, "%s: %s", dir, strerror(errno));
	snprintf(fs->mnt, sizeof(fs->mnt), "%s/mnt", dir);
	ASSERT_EQ(mkdir(fs->mnt, 0755), 0);
	ASSERT_EQ(chmod(dir, 0711), 0);
	if (kind->mkfs) {
		snprintf(fs->img, sizeof(fs->img), "%s/img", dir);
		make_image(fs, kind, size ? size : kind->mib << 20, mkfs_opts);
		loop = attach(fs);
	}
	rc = mount(kind->mkfs ? fs->loop : "none", fs->mnt, type, 0, mount_opts);
	ASSERT_EQ(rc, 0, "mount %s with %s: %s", type, mount_opts, strerror(errno));
	fs->mounted = true;
	if (loop >= 0)
		close(loop);
}

void loopfs_read_only(const struct loopfs *fs)
{
	int r = -1;

	/* As below. */
	for (int tries = 0; r < 0 && tries < 6000; tries++) {
		r = mount(NULL, fs->mnt, NULL, MS_REMOUNT | MS_RDONLY, NULL);
		if (r < 0 && errno != EBUSY)
			break;
		if (r < 0)
			usleep(10000);
	}
	if (r < 0)
		FAIL("remount %s: %s", fs->mnt, strerror(errno));
}

void loopfs_umount(struct loopfs *fs)
{
	int tries;

	/* The kernel lets go of a closed io_uring's files only a moment later. */
	for (tries = 0; fs->mounted && tries < 6000; tries++) {
		if (umount2(fs->mnt, UMOUNT_NOFOLLOW) == 0)
			fs->mounted = false;
		else if (errno == EBUSY)
			usleep(10000);
		else
			break;
	}
	if (fs->mounted)
		FAIL("umount %s: %s", fs->mnt, strerror(errno));
	if (*fs->img)
		unlink(fs->img);
}
