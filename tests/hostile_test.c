/* SPDX-License-Identifier: MIT */
/*
 * hostile_test.c - places that are not as they should be: links, folders, locks and names
 * of others, targets that are not mounted, stores that cannot be written
 */
#include <endian.h>
#include <fcntl.h>
#include <linux/posix_acl.h>
#include <linux/posix_acl_xattr.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "blocked.h"
#include "data.h"
#include "engine_fixture.h"
#include "harness.h"

/* Of <xfs/xfs_fs.h>, which needs xfslibs-dev. */
#define XFS_IOC_GOINGDOWN _IOR('X', 125, uint32_t)

#define SIZE (6 * MIB)

FIXTURE(place)
{
	struct stage stage;
	char system[PATH_MAX], partial[PATH_MAX + 64]; /* DIRECTORY/SYSTEM */
};

FIXTURE_SETUP(place)
{
	struct stage *s = &self->stage;

	stage_make(s, test_dir(), SIZE, test_seed());
	snprintf(self->system, sizeof(self->system), "%s/web1", s->exports);
	snprintf(self->partial, sizeof(self->partial), "%s",
		 stage_partial_path(s->exports, s->point));
}

FIXTURE_TEARDOWN(place)
{
	stage_close(&self->stage);
}

/* What a watch dies at. */
static int die_at(void *phase, const struct rp_progress *progress)
{
	if (!strcmp(progress->phase, phase))
		raise(SIGKILL);
	return 0;
}

static void export_cancelled(const struct stage *s)
{
	const struct rp_watch watch = cancel_in("copying");
	struct rp_export_options options = stage_copying(RP_IO_AUTO);
	struct rp_error err;

	options.watch = &watch;
	GIVES(FAILED, stage_export(s, &options, &err));
	EXPECT_EQ(err.os_error, ECANCELED, "%s", err.message);
}

/* In a process of its own, which dies on the way. */
static void export_killed(const struct stage *s)
{
	const struct rp_watch watch = {
		.size = sizeof(watch), .context = "copying", .progress = die_at};
	struct rp_export_options options = stage_copying(RP_IO_AUTO);
	pid_t pid = fork();
	int status;

	ASSERT_GE(pid, 0);
	if (pid == 0) {
		options.watch = &watch;
		rp_export(stage_open(s, 0), s->point, s->exports, &options, NULL, NULL);
		_exit(0);
	}
	ASSERT_EQ(waitpid(pid, &status, 0), pid);
	ASSERT_TRUE(WIFSIGNALED(status));
}

static void open_and_close(const struct stage *s)
{
	rp_store_close(stage_open(s, 0));
}

/* ------------------------------------------------------------------- links of others */

TEST_F(place, of_a_system_may_be_a_link)
{
	const char *there = fmt("%s/there", test_dir());
	const struct stage *s = &self->stage;
	struct rp_error err;

	ASSERT_OK(mkdir(there, 0755));
	ASSERT_OK(symlink(there, self->system));
	export_cancelled(s);
	export_killed(s);
	EXPECT_NE(listing(there)[0], '\0');
	open_and_close(s);
	EXPECT_STREQ(listing(there), "");
	GIVES(OK, stage_export(s, NULL, &err));
	EXPECT_STREQ(listing(there), strchr(s->point, '@') + 1);
	EXPECT_TRUE(stage_good_export(s->exports, s->point, s->twin));
}

TEST_F(place, of_a_system_may_be_a_link_that_leads_nowhere)
{
	const struct stage *s = &self->stage;
	struct rp_error err;

	ASSERT_OK(symlink("nowhere", self->system));
	GIVES(NOT_AVAILABLE, stage_export(s, NULL, &err));
	EXPECT_NE(strstr(err.message, self->system), NULL, "%s", err.message);
	stage_expect_unharmed(s, "web1");
}

/* A link or file where the partial folder belongs is neither followed nor removed. */
TEST_F(place, of_a_partial_folder_may_be_taken)
{
	const char *there = fmt("%s/there", test_dir());
	const struct stage *s = &self->stage;
	struct rp_error err;

	ASSERT_OK(mkdir(self->system, 0755));
	ASSERT_OK(mkdir(there, 0755));
	save_text(fmt("%s/precious", there), "precious");
	ASSERT_OK(symlink(there, self->partial));
	EXPECT_NE(stage_export(s, NULL, &err), RP_OK);
	EXPECT_NE(strstr(err.message, s->exports), NULL, "%s", err.message);
	EXPECT_STREQ(listing(there), "precious");
	EXPECT_TRUE(exists(self->partial));
	ASSERT_OK(unlink(self->partial));
	save_text(self->partial, "precious");
	EXPECT_NE(stage_export(s, NULL, &err), RP_OK);
	EXPECT_TRUE(exists(self->partial));
	ASSERT_OK(unlink(self->partial));
	GIVES(OK, stage_export(s, NULL, &err));
}

/* Nothing below an export leads out of it. */
static void expect_no_way_out(const struct stage *s)
{
	static const char *const names[] = {"vda.raw", "vda.digest", "config",
					    "config/web1.xml", "export.json"};
	struct rp_export_options options = stage_copying(RP_IO_AUTO);
	const char *output = fmt("%s/restored", test_dir());
	const char *away = fmt("%s/away", test_dir());
	const char *path = stage_export_path(s->exports, s->point);
	struct rp_error err;

	GIVES(OK, stage_export(s, &options, &err));
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		const char *name = fmt("%s/%s", path, names[i]);

		ASSERT_OK(rename(name, away));
		ASSERT_OK(symlink(away, name));
		EXPECT_NE(rp_verify(path, NULL, NULL, &err), RP_OK, "%s", names[i]);
		EXPECT_EQ(err.os_error, ELOOP, "%s: %s", names[i], err.message);
		if (strncmp(names[i], "config", 6)) {
			EXPECT_NE(rp_restore(path, "vda", output, NULL, NULL, &err),
				  RP_OK, "%s", names[i]);
			EXPECT_EQ(err.os_error, ELOOP, "%s: %s", names[i], err.message);
		}
		EXPECT_FALSE(exists(output));
		ASSERT_OK(unlink(name));
		ASSERT_OK(rename(away, name));
	}
	GIVES(OK, rp_verify(path, NULL, NULL, &err));
}

TEST_F(place, of_an_exported_file_may_be_taken)
{
	expect_no_way_out(&self->stage);
}

/* By a kernel before 5.6, or by a filter. */
TEST_F(place, of_an_exported_file_may_be_taken_without_openat2)
{
	block_syscall(SYS_openat2, ENOSYS);
	expect_no_way_out(&self->stage);
}

TEST_F(place, of_an_exported_file_may_be_taken_where_openat2_is_forbidden)
{
	block_syscall(SYS_openat2, EPERM);
	expect_no_way_out(&self->stage);
}

/* ----------------------------------------------------------------- folders of others */

TEST_F(place, of_a_system_may_be_anothers_folder)
{
	static const mode_t modes[] = {02770, 0755};
	const struct stage *s = &self->stage;
	struct stat st;

	for (size_t i = 0; i < ARRAY_SIZE(modes); i++) {
		ASSERT_OK(mkdir(self->system, 0700));
		ASSERT_OK(chmod(self->system, modes[i]));
		export_cancelled(s);
		stage_expect_unharmed(s, "web1");
		export_killed(s);
		EXPECT_NE(listing(self->system)[0], '\0');
		open_and_close(s);
		stage_expect_unharmed(s, "web1");
		EXPECT_STREQ(listing(self->system), "");
		ASSERT_OK(stat(self->system, &st));
		EXPECT_EQ(st.st_mode & 07777, modes[i]);
		ASSERT_OK(rmdir(self->system));
	}
	export_killed(s); /* who made it then is known */
	open_and_close(s);
	stage_expect_unharmed(s, "");
}

/* And to what is made in that. */
TEST_F(place, may_give_its_group_to_what_is_made_in_it)
{
	const struct stage *s = &self->stage;
	struct stat st;

	ASSERT_OK(chmod(s->exports, 02775));
	export_killed(s);
	ASSERT_OK(stat(self->system, &st));
	EXPECT_EQ(st.st_mode & 07777, 02700);
	open_and_close(s);
	stage_expect_unharmed(s, "");
}

/* What is put into a store is swept, whosever it is and whatever leads there. */
TEST_F(place, may_lie_in_a_store)
{
	const struct stage *s = &self->stage;
	const char *other = fmt("%s/other", test_dir());
	const char *const folders[] = {"", "/pending", "/systems", "/jobs/ended"};
	struct rp_error err;

	GIVES(OK, rp_store_init(other, &err));
	for (size_t i = 0; i < ARRAY_SIZE(folders); i++) {
		const char *folder = fmt("%s%s", other, folders[i]);

		GIVES(INVALID_PARAMETER,
		      rp_export(s->store, s->point, folder, NULL, NULL, &err));
		EXPECT_FALSE(exists(fmt("%s/web1", folder)));
		ASSERT_OK(symlink(folder, self->system));
		GIVES(INVALID_PARAMETER, stage_export(s, NULL, &err));
		ASSERT_OK(unlink(self->system));
		GIVES(INVALID_STATE, rp_store_init(fmt("%s/new", folder), &err));
		EXPECT_FALSE(exists(fmt("%s/new", folder)));
	}
	EXPECT_STREQ(listing(other), "jobs pending store.json systems");
	/* By its name a store may be where a system's exports would be. */
	ASSERT_OK(rename(other, self->system));
	GIVES(INVALID_PARAMETER, stage_export(s, NULL, &err));
	EXPECT_STREQ(listing(self->system), "jobs pending store.json systems");
	/* It is no better for lying in the directory, which is known to lie in none. */
	ASSERT_OK(rename(self->system, fmt("%s/other", s->exports)));
	ASSERT_OK(symlink("other/pending", self->system));
	GIVES(INVALID_PARAMETER, stage_export(s, NULL, &err));
	EXPECT_STREQ(listing(fmt("%s/other/pending", s->exports)), "");
	ASSERT_OK(unlink(self->system));
	ASSERT_OK(rename(fmt("%s/other", s->exports), other));
	stage_expect_unharmed(s, "");
}

/* One that is published is never modified, and a partial one may be emptied. */
TEST_F(place, may_lie_in_an_export)
{
	const struct stage *s = &self->stage;
	const char *const points[] = {s->point};
	const char *path = stage_export_path(s->exports, s->point);
	const char *other = fmt("%s/other", test_dir());
	const char *const folders[] = {path, fmt("%s/config", path),
				       fmt("%s/.dead.partial", self->system)};
	struct rp_error err;

	GIVES(OK, stage_export(s, NULL, &err));
	ASSERT_OK(mkdir(folders[2], 0700));
	save_text(fmt("%s/.journal", folders[2]), "");
	ASSERT_OK(mkdir(other, 0700));
	for (size_t i = 0; i < ARRAY_SIZE(folders); i++) {
		const char *link = fmt("%s/web1", other), *before = listing(folders[i]);

		GIVES(INVALID_PARAMETER,
		      rp_export(s->store, s->point, folders[i], NULL, NULL, &err));
		GIVES(INVALID_PARAMETER, rp_export_set(s->store, points, 1, folders[i],
						       NULL, NULL, NULL, &err));
		ASSERT_OK(symlink(folders[i], link));
		GIVES(INVALID_PARAMETER,
		      rp_export(s->store, s->point, other, NULL, NULL, &err));
		ASSERT_OK(unlink(link));
		GIVES(INVALID_STATE, rp_store_init(fmt("%s/new", folders[i]), &err));
		EXPECT_STREQ(listing(folders[i]), before);
	}
	GIVES(OK, rp_verify(path, NULL, NULL, &err));
	/* Beside the exports of a system is no part of one, whatever was printed into a
	 * file there. */
	save_text(fmt("%s/export.json", self->system), "{}");
	GIVES(OK, rp_export(s->store, s->point, self->system, NULL, NULL, &err));
	GIVES(OK, rp_store_init(fmt("%s/new", self->system), &err));
}

/* Holds the lock of folder @path until it is killed. */
static pid_t lock_folder(const char *path)
{
	int ready[2];
	char byte;
	pid_t pid;

	ASSERT_OK(pipe2(ready, O_CLOEXEC));
	pid = fork();
	ASSERT_GE(pid, 0);
	if (pid == 0) {
		ASSERT_OK(flock(open(path, O_RDONLY | O_CLOEXEC), LOCK_EX));
		ASSERT_EQ(write(ready[1], "", 1), 1);
		pause();
	}
	close(ready[1]);
	ASSERT_EQ(read(ready[0], &byte, 1), 1);
	close(ready[0]);
	return pid;
}

TEST_F(place, of_a_system_may_be_locked)
{
	struct rp_export_options options = stage_copying(RP_IO_AUTO);
	const struct stage *s = &self->stage;
	uint64_t begin;
	struct rp_error err;
	pid_t pid;

	ASSERT_OK(mkdir(self->system, 0755));
	pid = lock_folder(self->system);
	options.timeout_ms = 700;
	begin = now_ms();
	GIVES(TIMEOUT, stage_export(s, &options, &err));
	EXPECT_GE(now_ms() - begin, 700);
	EXPECT_LT(now_ms() - begin, 30000, "which it may take without a limit");
	EXPECT_NE(strstr(err.message, ": the time limit of 0.7 s has passed"), NULL, "%s",
		  err.message);
	stage_expect_unharmed(s, "web1");
	kill(pid, SIGKILL);
	ASSERT_EQ(waitpid(pid, NULL, 0), pid);
	GIVES(OK, stage_export(s, NULL, &err));
}

/* ------------------------------------------------------------------- names of others */

TEST_F(place, may_have_any_config_name)
{
	const char *dir = fmt("%s/configs", test_dir());
	char longest[256], names[3][PATH_MAX];
	const char *const configs[] = {names[0], names[1], names[2]};
	const struct stage *s = &self->stage;
	const struct rp_disk disk = {"vda", s->disk};
	const struct rp_create_options options = {.size = sizeof(options),
						  .allow_copy = true};
	struct rp_error err;
	const char *path;
	char *point;

	memset(longest, 'x', 255);
	longest[255] = '\0';
	ASSERT_OK(mkdir(dir, 0755));
	snprintf(names[0], PATH_MAX, "%s/.foo.xml.new", dir);
	snprintf(names[1], PATH_MAX, "%s/foo.xml", dir);
	snprintf(names[2], PATH_MAX, "%s/%s", dir, longest);
	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		save_text(names[i], fmt("config %zu", i));
	GIVES(OK, rp_system_add(s->store, "web2", &disk, 1, configs, 3, &err));
	ASSERT_EQ(rp_create_reference_point(s->store, "web2", &options, &point, &err),
		  RP_OK, "%s", err.message);
	GIVES(OK, rp_export(s->store, point, s->exports, NULL, NULL, &err));
	path = fmt("%s/web2/%s", s->exports, strchr(point, '@') + 1);
	EXPECT_STREQ(listing(fmt("%s/config", path)),
		     fmt(".foo.xml.new foo.xml %s", longest));
	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		EXPECT_TRUE(data_same(
			names[i], fmt("%s/config/%s", path, strrchr(names[i], '/') + 1)));
	GIVES(OK, rp_verify(path, NULL, NULL, &err));
	rp_free(point);
}

/* Documents hold paths, and are UTF-8. */
TEST_F(place, must_have_a_name_in_utf8)
{
	const char *bad = fmt("%s/\xff", test_dir()), *path;
	const struct stage *s = &self->stage;
	struct rp_error err;

	ASSERT_OK(mkdir(bad, 0755));
	GIVES(INVALID_PARAMETER, rp_export(s->store, s->point, bad, NULL, NULL, &err));
	EXPECT_STREQ(listing(bad), "");
	EXPECT_STREQ(listing(fmt("%s/jobs/ended", s->path)), "");
	GIVES(OK, stage_export(s, NULL, &err));
	path = stage_export_path(s->exports, s->point);
	GIVES(INVALID_PARAMETER,
	      rp_restore(path, "vda", fmt("%s/vda", bad), NULL, NULL, &err));
	EXPECT_STREQ(listing(bad), "");
	path = fmt("%s/export", bad);
	ASSERT_OK(rename(stage_export_path(s->exports, s->point), path));
	GIVES(INVALID_PARAMETER, rp_verify(path, NULL, NULL, &err));
	GIVES(INVALID_PARAMETER,
	      rp_restore(path, "vda", fmt("%s/vda", test_dir()), NULL, NULL, &err));
	EXPECT_FALSE(exists(fmt("%s/vda", test_dir())));
}

/* ------------------------------------------------------------- outputs of others */

TEST_F(place, of_a_restored_disk_may_be_taken)
{
	const char *folder = fmt("%s/restored", test_dir());
	const char *output = fmt("%s/vda", folder), *mine = fmt("%s/mine", test_dir());
	const char *partial = fmt("%s/.vda.partial", folder);
	const struct stage *s = &self->stage;
	const char *path = stage_export_path(s->exports, s->point);
	struct rp_error err;

	GIVES(OK, stage_export(s, NULL, &err));
	ASSERT_OK(mkdir(folder, 0755));
	ASSERT_OK(mkdir(partial, 0755));
	save_text(fmt("%s/precious", partial), "precious");
	GIVES(INVALID_STATE, rp_restore(path, "vda", output, NULL, NULL, &err));
	EXPECT_STREQ(listing(partial), "precious");
	ASSERT_OK(rename(partial, mine));
	ASSERT_OK(symlink(fmt("%s/precious", mine), partial));
	GIVES(INVALID_STATE, rp_restore(path, "vda", output, NULL, NULL, &err));
	EXPECT_STREQ(listing(mine), "precious");
	ASSERT_OK(unlink(partial));
	ASSERT_OK(mkfifo(partial, 0600));
	GIVES(INVALID_STATE, rp_restore(path, "vda", output, NULL, NULL, &err));
	EXPECT_STREQ(listing(folder), ".vda.partial");
	ASSERT_OK(unlink(partial));
	GIVES(OK, rp_restore(path, "vda", output, NULL, NULL, &err));
}

TEST_F(place, of_a_replaced_disk_may_be_anothers)
{
	const struct rp_read_options replace = {.size = sizeof(replace), .replace = true};
	const char *folder = fmt("%s/restored", test_dir());
	const char *output = fmt("%s/vda", folder), *link = fmt("%s/link", test_dir());
	const struct stage *s = &self->stage;
	const char *path = stage_export_path(s->exports, s->point);
	struct rp_error err;
	struct stat st;

	if (geteuid() != 0)
		SKIP("not root");
	GIVES(OK, stage_export(s, NULL, &err));
	ASSERT_OK(mkdir(folder, 0755));
	ASSERT_OK(symlink(output, link));
	GIVES(INVALID_STATE, rp_restore(path, "vda", link, &replace, NULL, &err));
	EXPECT_STREQ(listing(folder), "");
	save_text(output, "old");
	ASSERT_OK(chown(output, 107, 64055));
	ASSERT_OK(chmod(output, 0664));
	GIVES(OK, rp_restore(path, "vda", link, &replace, NULL, &err));
	ASSERT_OK(lstat(link, &st));
	EXPECT_TRUE(S_ISLNK(st.st_mode));
	EXPECT_TRUE(data_same(output, s->twin));
	ASSERT_OK(stat(output, &st));
	EXPECT_EQ(st.st_uid, 107);
	EXPECT_EQ(st.st_gid, 64055);
	EXPECT_EQ(st.st_mode & 07777, 0664);
	EXPECT_STREQ(listing(folder), "vda");
}

#define ACL_ACCESS  "system.posix_acl_access"
#define ACL_DEFAULT "system.posix_acl_default"

/* Gives a user and, by the mask, a group all but execution; the owning group nothing. */
static void set_acl(const char *path, const char *kind, unsigned user)
{
	struct {
		struct posix_acl_xattr_header head;
		struct posix_acl_xattr_entry entries[5];
	} acl = {
		{htole32(POSIX_ACL_XATTR_VERSION)},
		{{htole16(ACL_USER_OBJ), htole16(6), htole32(UINT32_MAX)},
		 {htole16(ACL_USER), htole16(6), htole32(user)},
		 {htole16(ACL_GROUP_OBJ), 0, htole32(UINT32_MAX)},
		 {htole16(ACL_MASK), htole16(6), htole32(UINT32_MAX)},
		 {htole16(ACL_OTHER), 0, htole32(UINT32_MAX)}},
	};

	if (setxattr(path, kind, &acl, sizeof(acl), 0) < 0 && errno == EOPNOTSUPP)
		SKIP("no access control lists here");
	ASSERT_EQ(getxattr(path, kind, NULL, 0), sizeof(acl));
}

/* The group's bits of the mode are its mask then, and not what the group may. */
TEST_F(place, of_a_replaced_disk_may_have_an_acl)
{
	const struct rp_read_options replace = {.size = sizeof(replace), .replace = true};
	const char *folder = fmt("%s/restored", test_dir());
	const char *output = fmt("%s/vda", folder);
	const struct stage *s = &self->stage;
	const char *path = stage_export_path(s->exports, s->point);
	char before[256], after[256];
	struct rp_error err;
	struct stat st;
	ssize_t size;

	GIVES(OK, stage_export(s, NULL, &err));
	ASSERT_OK(mkdir(folder, 0755));
	save_text(output, "old");
	set_acl(output, ACL_ACCESS, 107);
	size = getxattr(output, ACL_ACCESS, before, sizeof(before));
	GIVES(OK, rp_restore(path, "vda", output, &replace, NULL, &err));
	EXPECT_EQ(getxattr(output, ACL_ACCESS, after, sizeof(after)), size);
	EXPECT_EQ(memcmp(before, after, (size_t)size), 0);
	ASSERT_OK(stat(output, &st));
	EXPECT_EQ(st.st_mode & 07777, 0660);

	/* Nor does a new one get what the old one had not, from its folder. */
	ASSERT_OK(removexattr(output, ACL_ACCESS));
	ASSERT_OK(chmod(output, 0660));
	set_acl(folder, ACL_DEFAULT, 108);
	GIVES(OK, rp_restore(path, "vda", output, &replace, NULL, &err));
	EXPECT_EQ(getxattr(output, ACL_ACCESS, after, sizeof(after)), -1);
	ASSERT_OK(stat(output, &st));
	EXPECT_EQ(st.st_mode & 07777, 0660);
}

/* ------------------------------------------------------ file systems come and go */

FIXTURE(target)
{
	struct loopfs fs;
	struct stage stage;
	int loop; /* keeps the device while it is not mounted */
};

FIXTURE_VARIANT(target)
{
	const char *type;
	const char *folder; /* of exports: its root, or below */
};

FIXTURE_VARIANT_ADD(target, ext4_root){"ext4", ""};
FIXTURE_VARIANT_ADD(target, ext4_folder){"ext4", "/exports"};
FIXTURE_VARIANT_ADD(target, btrfs_root){"btrfs", ""};
FIXTURE_VARIANT_ADD(target, btrfs_folder){"btrfs", "/exports"};

FIXTURE_SETUP(target)
{
	struct stage *s = &self->stage;

	loopfs_mount(&self->fs, variant->type, 0, NULL, NULL);
	self->loop = open(self->fs.loop, O_RDONLY | O_CLOEXEC);
	ASSERT_GE(self->loop, 0);
	stage_make(s, test_dir(), SIZE, test_seed());
	snprintf(s->exports, sizeof(s->exports), "%s%s", fmt("%.2000s", self->fs.mnt),
		 variant->folder);
	if (variant->folder[0])
		ASSERT_OK(mkdir(s->exports, 0755));
}

FIXTURE_TEARDOWN(target)
{
	stage_close(&self->stage);
	if (self->loop > 0)
		close(self->loop);
	loopfs_umount(&self->fs);
}

static void take_away(struct target_fixture *self)
{
	ASSERT_OK(umount2(self->fs.mnt, UMOUNT_NOFOLLOW));
	self->fs.mounted = false;
}

/* Its device may have another number by then. */
static void bring_back(struct target_fixture *self, const char *type)
{
	const char *other = fmt("%s/other", test_dir());

	ASSERT_OK(mkdir(other, 0700));
	ASSERT_OK(mount("none", other, "tmpfs", 0, "size=1m"));
	ASSERT_OK(mount(self->fs.loop, self->fs.mnt, type, 0, NULL));
	self->fs.mounted = true;
	ASSERT_OK(umount2(other, UMOUNT_NOFOLLOW));
}

TEST_F(target, is_not_mounted_when_the_dead_are_buried)
{
	const struct stage *s = &self->stage;
	const char *system = fmt("%s/web1", s->exports), *job;

	export_killed(s);
	job = fmt("%s/jobs/active/%s", s->path, listing(fmt("%s/jobs/active", s->path)));
	EXPECT_NE(listing(system)[0], '\0');
	take_away(self);
	open_and_close(s);
	EXPECT_TRUE(exists(fmt("%s/job.json", job)));
	EXPECT_STREQ(listing(fmt("%s/jobs/ended", s->path)), "");
	bring_back(self, variant->type);
	EXPECT_NE(listing(system)[0], '\0');
	open_and_close(s);
	stage_expect_idle(s);
	EXPECT_FALSE(exists(system), "%s", listing(system));
}

static struct rp_job *only_job(const struct stage *s)
{
	json_t *doc = stage_only_job(s);
	struct rp_job *job = NULL;
	struct rp_error err;

	GIVES(OK, rp_job_open(s->store, json_text(doc, "InstanceID"), &job, &err));
	json_decref(doc);
	return job;
}

static int shut_down(void *context, const struct rp_progress *progress)
{
	const struct loopfs *fs = context;
	int fd = open(fs->mnt, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	/* What is in the log is written, and nothing after it. */
	if (!strcmp(progress->phase, "copying"))
		EXPECT_OK(ioctl(fd, XFS_IOC_GOINGDOWN, &(uint32_t){1}));
	if (fd >= 0)
		close(fd);
	return 0;
}

/* Nobody can see then what is left there: it goes with the job when it is back. */
TEST(a_target_fails_under_its_export)
{
	struct rp_export_options options = stage_copying(RP_IO_AUTO);
	struct loopfs fs;
	struct rp_watch watch = {
		.size = sizeof(watch), .context = &fs, .progress = shut_down};
	struct rp_error err;
	struct rp_job *job;
	struct stage s;
	int loop;

	stage_make(&s, test_dir(), SIZE, test_seed());
	loopfs_mount(&fs, "xfs", 0, NULL, NULL);
	loop = open(fs.loop, O_RDONLY | O_CLOEXEC);
	ASSERT_GE(loop, 0);
	options.watch = &watch;
	GIVES(FAILED, rp_export(s.store, s.point, fs.mnt, &options, NULL, &err));
	EXPECT_EQ(err.os_error, EIO);
	ASSERT_OK(umount2(fs.mnt, UMOUNT_NOFOLLOW));
	ASSERT_OK(mount(fs.loop, fs.mnt, "xfs", 0, NULL));
	EXPECT_STREQ(listing(fs.mnt), "web1");
	job = only_job(&s);
	EXPECT_EQ(rp_job_request_state_change(job, RP_JOB_KILL, 0, &err), RP_JOB_DONE,
		  "%s", err.message);
	rp_job_close(job);
	EXPECT_STREQ(listing(fs.mnt), "");
	close(loop);
	loopfs_umount(&fs);
	stage_close(&s);
}

FIXTURE(source)
{
	struct loopfs fs;
	struct stage stage;
};

FIXTURE_SETUP(source)
{
	struct stage *s = &self->stage;

	loopfs_mount(&self->fs, "ext4", 0, "-m 0", NULL);
	stage_make(s, self->fs.mnt, SIZE, test_seed());
	snprintf(s->exports, sizeof(s->exports), "%s/exports", test_dir());
	ASSERT_OK(mkdir(s->exports, 0755));
}

FIXTURE_TEARDOWN(source)
{
	stage_close(&self->stage);
	loopfs_umount(&self->fs);
}

static void expect_exported_without_record(struct source_fixture *self)
{
	struct heard heard = {0};
	const struct rp_watch watch = hear_into(&heard);
	const struct rp_export_options options = {.size = sizeof(options),
						  .watch = &watch};
	struct stage *s = &self->stage;
	struct rp_error err;

	stage_close(s);
	s->store = stage_open(s, 0);
	GIVES(OK, stage_export(s, &options, &err));
	EXPECT_EQ(heard.count, 1);
	EXPECT_NE(strstr(heard.last, "record"), NULL, "%s", heard.last);
	EXPECT_STREQ(listing(fmt("%s/jobs/ended", s->path)), "");
	EXPECT_TRUE(stage_good_export(s->exports, s->point, s->twin));
	stage_expect_unharmed(s, "web1");
}

TEST_F(source, store_is_read_only)
{
	loopfs_read_only(&self->fs);
	expect_exported_without_record(self);
}

static void fill_store(const struct source_fixture *self)
{
	static const char zeros[4096];
	int fd = open(fmt("%s/filler", self->fs.mnt), O_WRONLY | O_CREAT | O_CLOEXEC,
		      0600);

	ASSERT_GE(fd, 0);
	for (uint64_t step = MIB; step >= 4096; step /= 4)
		while (fallocate(fd, 0, lseek(fd, 0, SEEK_END), (off_t)step) == 0)
			;
	while (write(fd, zeros, sizeof(zeros)) > 0)
		;
	EXPECT_EQ(errno, ENOSPC);
	ASSERT_OK(fsync(fd));
	close(fd);
}

TEST_F(source, store_is_full)
{
	fill_store(self);
	expect_exported_without_record(self);
}

/* What has changed is found out where there is room. */
TEST_F(source, store_is_full_and_the_base_was_released)
{
	struct rp_export_options options = {.size = sizeof(options)};
	struct stage *s = &self->stage;
	char base[POINT_SIZE];
	struct rp_error err;

	memcpy(base, s->point, sizeof(base));
	stage_take(s, s->point);
	GIVES(OK, rp_release(s->store, base, NULL, &err));
	fill_store(self);
	options.base = base;
	GIVES(OK, stage_export(s, &options, &err));
	EXPECT_STREQ(listing(stage_export_path(s->exports, s->point)),
		     "config export.json vda.changes vda.digest vda.raw");
}

TEST_MAIN
