/* SPDX-License-Identifier: MIT */
#include "powercut.h"

#include <fcntl.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "data.h"
#include "harness.h"
#include "stage.h"

static void mount_image(struct powercut *p, const char *image, const char *options)
{
	ASSERT_OK(system(fmt("mount -o '%s' '%s' '%s'", options, image, p->mnt)));
	p->mounted = true;
}

static const char *image_of_cut(const struct powercut *p, unsigned number)
{
	return fmt("%s/cut%u", p->host.mnt, number);
}

void powercut_make(struct powercut *p, const struct powercut_kind *kind,
		   uint64_t host_size, unsigned within_ms)
{
	const char *why = loopfs_skip_reason(kind->type);

	if (why)
		SKIP("%s", why);
	p->kind = kind;
	p->random = test_seed();
	p->within_ms = within_ms;
	loopfs_mount(&p->host, "xfs", host_size, NULL, NULL);
	snprintf(p->image, sizeof(p->image), "%s/image", p->host.mnt);
	snprintf(p->mnt, sizeof(p->mnt), "%s/mnt", test_dir());
	ASSERT_OK(mkdir(p->mnt, 0700));
	ASSERT_OK(system(fmt("truncate -s %s '%s' && %s '%s' >/dev/null 2>&1", kind->size,
			     p->image, kind->mkfs, p->image)));
}

void powercut_destroy(struct powercut *p)
{
	powercut_unmount(p);
	loopfs_umount(&p->host);
}

void powercut_mount(struct powercut *p)
{
	mount_image(p, p->image, "loop");
}

void powercut_unmount(struct powercut *p)
{
	if (p->mounted)
		EXPECT_OK(system(fmt("umount '%s'", p->mnt)));
	p->mounted = false;
}

/* All that the device has at this instant. */
static void cut(const struct powercut *p, unsigned number)
{
	int from = open(p->image, O_RDONLY | O_CLOEXEC);
	int to = open(image_of_cut(p, number), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC,
		      0600);

	ASSERT_GE(from, 0);
	ASSERT_GE(to, 0);
	ASSERT_OK(ioctl(to, FICLONE, from));
	close(from);
	close(to);
}

static int by_number(const void *a, const void *b)
{
	return *(const int *)a - *(const int *)b;
}

void powercut_take(struct powercut *p, unsigned count, pid_t pid)
{
	int instants[count], now = 0, status;
	bool ended;

	for (unsigned i = 0; i < count; i++)
		instants[i] = (int)(data_random(&p->random) % p->within_ms);
	qsort(instants, count, sizeof(instants[0]), by_number);
	for (unsigned i = 0; i < count; i++) {
		usleep((useconds_t)(instants[i] - now) * 1000);
		now = instants[i];
		cut(p, i);
	}
	/* However fast the machine is: two of three runs end before the last cut. */
	ended = waitpid(pid, &status, WNOHANG) == pid;
	p->within_ms = p->within_ms * (ended ? 7 : 10) / 8 + 1;
	if (!ended)
		ASSERT_EQ(waitpid(pid, &status, 0), pid);
	ASSERT_EQ(status, 0);
}

void powercut_look(struct powercut *p, unsigned number)
{
	mount_image(p, image_of_cut(p, number), p->kind->mount);
}

void powercut_drop(struct powercut *p, unsigned number)
{
	powercut_unmount(p);
	ASSERT_OK(unlink(image_of_cut(p, number)));
}
