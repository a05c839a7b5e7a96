/* SPDX-License-Identifier: MIT */
/*
 * badfs.c - a FUSE file system with faults to order
 */
#define FUSE_USE_VERSION  31
#define _FILE_OFFSET_BITS 64
#include <dirent.h>
#include <fcntl.h>
#include <fuse3/fuse.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/wait.h>
#include <unistd.h>

#include "badfs.h"
#include "harness.h"

#define STALL_SIZE 65536

/* In the server's process. */
static int root = -1;
static struct badfs_orders *orders;

/* ----------------------------------------------------------------- the server */

static const char *below(const char *path)
{
	return path[1] ? path + 1 : ".";
}

static int or_errno(int rc)
{
	return rc < 0 ? -errno : 0;
}

static void *bad_init(struct fuse_conn_info *conn, struct fuse_config *cfg)
{
	(void)conn;
	cfg->use_ino = 1;
	cfg->hard_remove = 1; /* no hidden files that would keep a folder from going */
	return NULL;
}

static int bad_getattr(const char *path, struct stat *st, struct fuse_file_info *fi)
{
	return or_errno(fi ? fstat((int)fi->fh, st)
			   : fstatat(root, below(path), st, AT_SYMLINK_NOFOLLOW));
}

static int bad_mkdir(const char *path, mode_t mode)
{
	return or_errno(mkdirat(root, below(path), mode));
}

static int bad_mknod(const char *path, mode_t mode, dev_t device)
{
	return or_errno(mknodat(root, below(path), mode, device));
}

static int bad_unlink(const char *path)
{
	return or_errno(unlinkat(root, below(path), 0));
}

static int bad_rmdir(const char *path)
{
	return or_errno(unlinkat(root, below(path), AT_REMOVEDIR));
}

static bool is_called(const char *path, const char *name)
{
	return name[0] && !strcmp(strrchr(path, '/') + 1, name);
}

static int bad_rename(const char *from, const char *to, unsigned flags)
{
	if (is_called(from, orders->stuck))
		return -EIO;
	return or_errno(renameat2(root, below(from), root, below(to), flags));
}

static int bad_chmod(const char *path, mode_t mode, struct fuse_file_info *fi)
{
	return or_errno(fi ? fchmod((int)fi->fh, mode)
			   : fchmodat(root, below(path), mode, 0));
}

static int bad_chown(const char *path, uid_t uid, gid_t gid, struct fuse_file_info *fi)
{
	return or_errno(fi ? fchown((int)fi->fh, uid, gid)
			   : fchownat(root, below(path), uid, gid, 0));
}

static int bad_truncate(const char *path, off_t size, struct fuse_file_info *fi)
{
	(void)path;
	return fi ? or_errno(ftruncate((int)fi->fh, size)) : -EOPNOTSUPP;
}

/* The kernel has dealt with O_DIRECT; here any alignment must do. */
static int open_below(const char *path, int flags, mode_t mode, struct fuse_file_info *fi)
{
	int fd = openat(root, below(path), (flags & ~O_DIRECT) | O_CLOEXEC, mode);

	fi->fh = (uint64_t)fd;
	return or_errno(fd);
}

static int bad_open(const char *path, struct fuse_file_info *fi)
{
	return open_below(path, fi->flags, 0, fi);
}

static int bad_create(const char *path, mode_t mode, struct fuse_file_info *fi)
{
	return open_below(path, fi->flags | O_CREAT, mode, fi);
}

static int bad_release(const char *path, struct fuse_file_info *fi)
{
	(void)path;
	return or_errno(close((int)fi->fh));
}

static bool reaches(uint64_t at, off_t offset, size_t size)
{
	return at >= (uint64_t)offset && at - (uint64_t)offset < size;
}

static int bad_read(const char *path, char *buf, size_t size, off_t offset,
		    struct fuse_file_info *fi)
{
	ssize_t n;

	(void)path;
	if (orders->read_error && reaches(orders->read_at, offset, size))
		return -orders->read_error;
	n = pread((int)fi->fh, buf, size, offset);
	return n < 0 ? -errno : (int)n;
}

static int bad_write(const char *path, const char *buf, size_t size, off_t offset,
		     struct fuse_file_info *fi)
{
	while (orders->stalls && size >= STALL_SIZE) {
		orders->stalled = true;
		usleep(1000);
	}
	ssize_t n;

	(void)path;
	if (orders->write_error && reaches(orders->write_at, offset, size))
		return -orders->write_error;
	n = pwrite((int)fi->fh, buf, size, offset);
	return n < 0 ? -errno : (int)n;
}

static int bad_fsync(const char *path, int datasync, struct fuse_file_info *fi)
{
	(void)path;
	(void)datasync;
	return orders->sync_error ? -orders->sync_error : or_errno(fsync((int)fi->fh));
}

static int bad_fsyncdir(const char *path, int datasync, struct fuse_file_info *fi)
{
	(void)datasync;
	(void)fi;
	return is_called(path, orders->unsynced) ? -EIO : 0;
}

static int bad_fallocate(const char *path, int mode, off_t offset, off_t len,
			 struct fuse_file_info *fi)
{
	(void)path;
	return orders->allocate_error
		       ? -orders->allocate_error
		       : or_errno(fallocate((int)fi->fh, mode, offset, len));
}

static off_t bad_lseek(const char *path, off_t offset, int whence,
		       struct fuse_file_info *fi)
{
	off_t at = lseek((int)fi->fh, offset, whence);

	(void)path;
	return at < 0 ? -errno : at;
}

static ssize_t bad_copy(const char *from, struct fuse_file_info *src, off_t src_offset,
			const char *to, struct fuse_file_info *dst, off_t dst_offset,
			size_t size, int flags)
{
	ssize_t n;

	(void)from;
	(void)to;
	(void)flags;
	orders->copy_calls++;
	if (orders->copy_stops && orders->copied >= orders->copy_bytes)
		return -orders->copy_error;
	if (orders->copy_stops && size > orders->copy_bytes - orders->copied)
		size = orders->copy_bytes - orders->copied;
	if (orders->copy_most && size > orders->copy_most)
		size = orders->copy_most;
	n = copy_file_range((int)src->fh, &src_offset, (int)dst->fh, &dst_offset, size,
			    0);
	if (n < 0)
		return -errno;
	orders->copied += (uint64_t)n;
	return n;
}

static int bad_readdir(const char *path, void *buf, fuse_fill_dir_t fill, off_t offset,
		       struct fuse_file_info *fi, enum fuse_readdir_flags flags)
{
	int fd = openat(root, below(path), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *entry;

	(void)offset;
	(void)fi;
	(void)flags;
	if (!dir)
		return -errno;
	while ((entry = readdir(dir)))
		fill(buf, entry->d_name, NULL, 0, 0);
	closedir(dir);
	return 0;
}

static int bad_statfs(const char *path, struct statvfs *st)
{
	(void)path;
	return or_errno(fstatvfs(root, st));
}

static const struct fuse_operations operations = {
	.init = bad_init,
	.getattr = bad_getattr,
	.mkdir = bad_mkdir,
	.mknod = bad_mknod,
	.unlink = bad_unlink,
	.rmdir = bad_rmdir,
	.rename = bad_rename,
	.chmod = bad_chmod,
	.chown = bad_chown,
	.truncate = bad_truncate,
	.open = bad_open,
	.create = bad_create,
	.release = bad_release,
	.read = bad_read,
	.write = bad_write,
	.fsync = bad_fsync,
	.fsyncdir = bad_fsyncdir,
	.fallocate = bad_fallocate,
	.lseek = bad_lseek,
	.copy_file_range = bad_copy,
	.readdir = bad_readdir,
	.statfs = bad_statfs,
};

/* Ends when the file system is unmounted. */
__attribute__((noreturn)) static void serve(const char *mnt, int ready)
{
	char *argv[] = {"badfs", NULL};
	struct fuse_args args = FUSE_ARGS_INIT(1, argv);
	struct fuse *fuse = fuse_new(&args, &operations, sizeof(operations), NULL);
	bool ok = fuse && fuse_mount(fuse, mnt) == 0;

	if (write(ready, &ok, sizeof(ok)) != sizeof(ok) || !ok)
		_exit(1);
	_exit(fuse_loop_mt(fuse, 0) == 0 ? 0 : 1); /* one may stall */
}

/* --------------------------------------------------------------- in the test */

const char *badfs_skip_reason(void)
{
	if (geteuid() != 0)
		return "not root";
	if (access("/dev/fuse", R_OK | W_OK) < 0)
		return "no /dev/fuse";
	if (system("command -v fusermount3 >/dev/null") != 0)
		return "no fusermount3";
	return NULL;
}

void badfs_mount(struct badfs *fs, const struct loopfs *lower)
{
	const char *reason = badfs_skip_reason();
	bool ok = false;
	int ready[2];

	if (reason)
		SKIP("%s", reason);
	*fs = (struct badfs){0};
	ASSERT_LT(snprintf(fs->mnt, sizeof(fs->mnt), "%s.bad", lower->mnt),
		  sizeof(fs->mnt));
	ASSERT_OK(mkdir(fs->mnt, 0755));
	fs->orders = mmap(NULL, sizeof(*fs->orders), PROT_READ | PROT_WRITE,
			  MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(fs->orders, MAP_FAILED);
	ASSERT_OK(pipe2(ready, O_CLOEXEC));
	fs->server = fork();
	ASSERT_GE(fs->server, 0);
	if (fs->server == 0) {
		close(ready[0]);
		orders = fs->orders;
		root = open(lower->mnt, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		serve(fs->mnt, ready[1]);
	}
	close(ready[1]);
	fs->mounted = read(ready[0], &ok, sizeof(ok)) == sizeof(ok) && ok;
	close(ready[0]);
	ASSERT_TRUE(fs->mounted, "mount %s", fs->mnt);
}

void badfs_umount(struct badfs *fs)
{
	char command[PATH_MAX + 64];
	int tries, status;

	/* The kernel lets go of a closed queue's files only a moment later. */
	snprintf(command, sizeof(command), "fusermount3 -q -u '%s'", fs->mnt);
	for (tries = 0; fs->mounted && tries < 1200; tries++) {
		fs->mounted = system(command) != 0;
		if (fs->mounted)
			usleep(50000);
	}
	if (fs->mounted)
		FAIL("%s stays busy", fs->mnt);
	if (fs->server > 0) {
		EXPECT_EQ(waitpid(fs->server, &status, 0), fs->server);
		EXPECT_EQ(status, 0, "the server of %s failed", fs->mnt);
	}
	if (fs->orders)
		munmap(fs->orders, sizeof(*fs->orders));
	*fs = (struct badfs){0};
}
