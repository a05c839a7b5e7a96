/* SPDX-License-Identifier: MIT */
/*
 * output.c - a restored disk to a new file, atomically, or to a block device
 */
#include "output.h"

#include <fcntl.h>
#include <inttypes.h>
#include <linux/limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/xattr.h>

#include "doc.h"
#include "ground.h"
#include "io/lock.h"
#include "io/tree.h"
#include "options.h"

/* A ring holds the files of a process that was killed for some 20 ms more. */
#define GLANCE_MS 50

#define ACL "system.posix_acl_access"

/* A link is followed: what it leads to is replaced, not the link. */
static uint32_t follow_link(struct output *o, const char *path, struct rp_error *err)
{
	struct stat st;

	o->path = path;
	if (lstat(path, &st) < 0 || !S_ISLNK(st.st_mode))
		return RP_OK;
	o->real = realpath(path, NULL);
	if (!o->real && errno == ENOENT)
		return rp_fail(err, RP_INVALID_STATE, "check",
			       "output %s: a link that leads nowhere", path);
	if (!o->real)
		return rp_fail_os(err, -errno, "open", "output %s", path);
	o->path = o->real;
	return doc_is_text(o->path)
		       ? RP_OK
		       : rp_fail(err, RP_INVALID_PARAMETER, "check",
				 "output '%s': leads to '%s', which is not UTF-8", path,
				 o->path);
}

static int open_folder(const struct output *o)
{
	const char *slash = strrchr(o->path, '/');
	_cleanup_free_ char *folder = strndup(o->path, (size_t)(slash - o->path) + 1);

	return folder ? io_dir_open(AT_FDCWD, folder) : -ENOMEM;
}

/* An export and a store are written by who makes them, and by nobody else. */
static uint32_t check_ground(const struct output *o, struct rp_error *err)
{
	_cleanup_close_ int fd = -1;
	enum ground ground;
	int r;

	fd = open_folder(o);
	r = fd < 0 ? fd : ground_of(fd, NULL, &ground);
	if (r < 0)
		return rp_fail_os(err, r, "open", "folder of output %s", o->path);
	if (ground == GROUND_FREE)
		return RP_OK;
	return rp_fail(err, RP_INVALID_STATE, "check", "output %s: lies in %s", o->path,
		       ground == GROUND_STORE ? "a store" : "an export");
}

/* Writable, if we may, because a network file system wants that for the lock. */
static int open_replaced(const struct output *o)
{
	const int flags = O_CLOEXEC | O_NONBLOCK;
	int fd = o->device ? -1 : open(o->path, O_RDWR | flags);

	if (fd < 0)
		fd = open(o->path, O_RDONLY | flags);
	return fd < 0 ? -errno : fd;
}

/* What cannot be looked at may well be in use. */
static uint32_t check_replaced(const struct output *o, struct rp_error *err)
{
	_cleanup_close_ int fd = open_replaced(o);
	int r;

	if (fd == -ENOENT)
		return RP_OK;
	if (fd < 0)
		return rp_fail_os(err, fd, "open", "output %s", o->path);
	r = io_is_in_use(fd);
	if (r < 0)
		return rp_fail_os(err, r, "check", "locks of output %s", o->path);
	return r ? rp_fail(err, RP_IN_USE, "check",
			   "output %s: is in use, somebody has locked it", o->path)
		 : RP_OK;
}

static int read_acl(struct output *o)
{
	_cleanup_free_ char *acl = malloc(XATTR_SIZE_MAX);
	ssize_t size;

	if (!acl)
		return -ENOMEM;
	size = getxattr(o->path, ACL, acl, XATTR_SIZE_MAX);
	if (size < 0)
		return errno == ENODATA || errno == EOPNOTSUPP ? 0 : -errno;
	o->acl = take_ptr(acl);
	o->acl_size = (size_t)size;
	return 0;
}

/* Whether a rename can replace it, which is not found out after hours; and its ACL. */
static uint32_t look_at_old(struct output *o, struct rp_error *err)
{
	struct statx st;
	int r;

	if (statx(AT_FDCWD, o->path, 0, 0, &st) < 0)
		return rp_fail_os(err, -errno, "check", "output %s", o->path);
	if (st.stx_attributes & (STATX_ATTR_IMMUTABLE | STATX_ATTR_APPEND))
		return rp_fail_os(err, -EPERM, "check",
				  "output %s: immutable or append-only", o->path);
	r = read_acl(o);
	return r < 0 ? rp_fail_os(err, r, "check", "access list of output %s", o->path)
		     : RP_OK;
}

static uint32_t check_existing(struct output *o, struct rp_error *err)
{
	if (stat(o->path, &o->old) < 0)
		return errno == ENOENT
			       ? RP_OK
			       : rp_fail_os(err, -errno, "open", "output %s", o->path);
	o->exists = true;
	o->device = S_ISBLK(o->old.st_mode);
	if (!o->device && !S_ISREG(o->old.st_mode))
		return rp_fail(err, RP_INVALID_PARAMETER, "check",
			       "output %s: not a regular file or block device", o->path);
	if (!o->device && !o->replace)
		return rp_fail(err, RP_INVALID_STATE, "check",
			       "output %s: exists already", o->path);
	return check_replaced(o, err);
}

uint32_t output_check(struct output *o, const char *path, bool replace,
		      struct rp_error *err)
{
	uint32_t rc;

	o->replace = replace;
	rc = options_check_path(path, "check", "output", err);
	if (rc == RP_OK)
		rc = follow_link(o, path, err);
	if (rc == RP_OK)
		rc = check_existing(o, err);
	if (rc == RP_OK && !o->device)
		rc = check_ground(o, err);
	if (rc == RP_OK && o->exists && !o->device)
		rc = look_at_old(o, err);
	if (rc)
		return rc;
	o->name = strrchr(o->path, '/') + 1;
	if (!o->device && (!o->name[0] ||
			   (size_t)snprintf(o->partial, sizeof(o->partial), ".%s.partial",
					    o->name) >= sizeof(o->partial)))
		return rp_fail(err, RP_INVALID_PARAMETER, "check",
			       "output %s: not a usable file name", o->path);
	return RP_OK;
}

/* A regular file that a dead restore left; anything else of the name is not ours. */
static int remove_left(const struct output *o)
{
	_cleanup_unlock_ int fd = -1;
	struct stat st;
	int r;

	/* Writable, because a network file system wants that for the lock. */
	fd = openat(o->dirfd, o->partial, O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	if (fd < 0)
		return errno == ENOENT ? 0 : is_shortage(-errno) ? -errno : -EEXIST;
	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
		return -EEXIST;
	r = io_lock(fd, true, GLANCE_MS);
	if (r == -ETIME)
		return -EWOULDBLOCK;
	if (r < 0 || !io_dir_is_at(o->dirfd, o->partial, fd))
		return r;
	return unlinkat(o->dirfd, o->partial, 0) < 0 ? -errno : 0;
}

/* -EWOULDBLOCK: another restore to the same name runs. */
static int make_partial(struct output *o, int twin_fd, struct io_file *ret)
{
	int r = remove_left(o);

	if (r < 0)
		return r;
	r = io_file_create(o->dirfd, o->partial, twin_fd, ret);
	if (r == -EEXIST)
		return -EWOULDBLOCK;
	if (r < 0)
		return r;
	r = io_lock(ret->fd, true, 0);
	if (r == -EWOULDBLOCK)
		return r;
	/* Between its birth and its lock another may have taken it for one left. */
	if (!io_dir_is_at(o->dirfd, o->partial, ret->fd))
		return r ?: -EWOULDBLOCK;
	if (r == 0) {
		o->fd = fcntl(ret->fd, F_DUPFD_CLOEXEC, 0);
		r = o->fd < 0 ? -errno : 0;
	}
	if (r < 0)
		unlinkat(o->dirfd, o->partial, 0);
	return r;
}

/* Else somebody has removed it, and another's may have its name. */
static bool is_there(const struct output *o)
{
	return o->fd >= 0 && io_dir_is_at(o->dirfd, o->partial, o->fd);
}

static uint32_t open_file(struct output *o, struct stream *s, int twin_fd,
			  struct rp_error *err)
{
	int r;

	o->dirfd = open_folder(o);
	if (o->dirfd < 0)
		return stream_fail(s, o->dirfd, "open folder of", o->path, RP_NO_OFFSET,
				   err);
	r = make_partial(o, twin_fd, &s->dst);
	if (r == 0)
		r = io_file_set_size(&s->dst, stream_size(s));
	if (r == -EWOULDBLOCK)
		return rp_fail_disk(err, s->disk, RP_NO_OFFSET, RP_IN_USE, "create",
				    "create %s: another restore to it runs", o->path);
	if (r < 0)
		return stream_fail(s, r, "create", o->path, RP_NO_OFFSET, err);
	/* Nor is that found out after hours. The mode follows when it is whole. */
	if (o->exists && fchown(o->fd, o->old.st_uid, o->old.st_gid) < 0)
		return stream_fail(s, -errno, "set owner of", o->path, RP_NO_OFFSET, err);
	return RP_OK;
}

static uint32_t open_device(const struct output *o, struct stream *s,
			    struct rp_error *err)
{
	int r = io_file_open_device(o->path, &s->dst);

	if (r < 0)
		return stream_fail(s, r, "open", o->path, RP_NO_OFFSET, err);
	if (s->dst.size < stream_size(s))
		return rp_fail_disk(err, s->disk, RP_NO_OFFSET, RP_INVALID_PARAMETER,
				    "check",
				    "output %s: %" PRIu64 " bytes, the disk has %" PRIu64,
				    o->path, s->dst.size, stream_size(s));
	return RP_OK;
}

uint32_t output_open(struct output *o, struct stream *s, int twin_fd,
		     struct rp_error *err)
{
	return o->device ? open_device(o, s, err) : open_file(o, s, twin_fd, err);
}

/* If the old one has none, nor must the new one, which may have got one from its folder.
 */
static int take_acl(const struct output *o, int fd)
{
	if (o->acl)
		return fsetxattr(fd, ACL, o->acl, o->acl_size, 0) < 0 ? -errno : 0;
	if (fremovexattr(fd, ACL) < 0 && errno != ENODATA && errno != EOPNOTSUPP)
		return -errno;
	return 0;
}

/*
 * Who could open the old one, and nobody else, must be able to open the new one, after a
 * crash too. The group's bits of the mode are the mask of the ACL, so that comes first.
 */
static int take_mode(const struct output *o, int fd)
{
	int r = take_acl(o, fd);

	if (r == 0 && fchmod(fd, o->old.st_mode & 07777) < 0)
		r = -errno;
	return r < 0 ? r : io_fsync(fd);
}

/* Not known to be durable, it must not count; but what it has replaced is gone. */
static uint32_t take_back(const struct output *o, const struct stream *s, int why,
			  struct rp_error *err)
{
	uint32_t rc;

	if (!o->exists && io_dir_is_at(o->dirfd, o->name, o->fd) &&
	    io_rename_new(o->dirfd, o->name, o->dirfd, o->partial) == 0)
		return stream_fail(s, why, "publish", o->path, RP_NO_OFFSET, err);
	rc = rp_fail_os(err, why, "publish", "%s, which has its name by now", o->path);
	rp_fail_of(err, NULL, s->disk);
	return rc;
}

uint32_t output_publish(struct output *o, const struct stream *s, struct rp_error *err)
{
	uint32_t rc;
	int r = 0;

	if (o->device)
		return RP_OK;
	if (!is_there(o))
		return stream_fail(s, -ENOENT, "publish", o->path, RP_NO_OFFSET, err);
	rc = o->replace ? check_replaced(o, err) : RP_OK; /* it may have come into use */
	if (rc) {
		rp_fail_of(err, NULL, s->disk);
		return rc;
	}
	if (o->exists)
		r = take_mode(o, s->dst.fd);
	if (r < 0)
		return stream_fail(s, r, "set mode of", o->path, RP_NO_OFFSET, err);
	if (o->replace)
		r = renameat(o->dirfd, o->partial, o->dirfd, o->name) < 0 ? -errno : 0;
	else
		r = io_rename_new(o->dirfd, o->partial, o->dirfd, o->name);
	if (r < 0)
		return stream_fail(s, r, "publish", o->path, RP_NO_OFFSET, err);
	r = io_fsync(o->dirfd);
	return r < 0 ? take_back(o, s, r, err) : RP_OK;
}

void output_close(struct output *o)
{
	if (is_there(o))
		io_tree_remove(o->dirfd, o->partial);
	io_unlock_close(o->fd);
	if (o->dirfd >= 0)
		close(o->dirfd);
	free(o->real);
	free(o->acl);
	*o = (struct output)OUTPUT_NONE;
}
