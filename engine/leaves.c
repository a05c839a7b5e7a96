/* SPDX-License-Identifier: MIT */
/*
 * leaves.c - making, describing and opening leaves
 */
#include "leaves.h"

#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>

#include "copy.h"
#include "doc.h"
#include "io/small_file.h"

int leaves_create(int dirfd, const char *name, uint64_t size, struct digest *ret)
{
	_cleanup_close_ int fd = -1;

	if (name)
		fd = openat(dirfd, name,
			    O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	else
		fd = io_temporary_file(dirfd);
	if (fd < 0)
		return name ? -errno : fd;
	if (ftruncate(fd, (off_t)digest_file_size(size)) < 0)
		return -errno;
	*ret = (struct digest){.fd = take_fd(&fd), .size = size};
	return 0;
}

uint32_t leaves_make(const char *disk, const char *path, const struct io_file *file,
		     const struct digest *leaves, const struct tuning *tuning,
		     struct watch *w, struct rp_error *err)
{
	struct stream s = {
		.disk = disk,
		.src_path = path,
		.src = *file,
		.dst = IO_FILE_NONE,
		.digest = STREAM_DIGEST_READ,
		.leaves = *leaves,
	};

	return copy_streams(&s, 1, tuning, w, err);
}

int leaves_describe(const struct digest *leaves, const char *file, struct watch *w,
		    json_t **ret)
{
	uint8_t root[DIGEST_SIZE];
	char text[DIGEST_TEXT_SIZE];
	int r = digest_root(leaves, w, root);

	if (r < 0)
		return r;
	digest_text(root, text);
	*ret = json_pack("{s:s, s:I, s:s, s:s}", "Algorithm", DIGEST_ALGORITHM,
			 "ChunkSize", (json_int_t)DIGEST_CHUNK, "Root", text, "File",
			 file);
	return *ret ? 0 : -ENOMEM;
}

static int check_root(const struct digest *leaves, const char *want, struct watch *w)
{
	char have[DIGEST_TEXT_SIZE];
	uint8_t root[DIGEST_SIZE];
	int r = digest_root(leaves, w, root);

	if (r < 0)
		return r;
	digest_text(root, have);
	return strcmp(have, want) ? -EBADMSG : 0;
}

int leaves_open(int dirfd, const json_t *digest, uint64_t size, struct watch *w,
		struct digest *ret)
{
	struct digest leaves = {.size = size};
	_cleanup_close_ int fd = -1;
	const char *algorithm, *root, *file;
	struct stat st;
	uint64_t chunk;
	int r;

	if (doc_string(digest, "Algorithm", &algorithm) < 0 ||
	    doc_u64(digest, "ChunkSize", &chunk) < 0 ||
	    doc_string(digest, "Root", &root) < 0 ||
	    doc_string(digest, "File", &file) < 0 || file[0] == '.' || strchr(file, '/'))
		return -EBADMSG;
	if (strcmp(algorithm, DIGEST_ALGORITHM) || chunk != DIGEST_CHUNK)
		return -EOPNOTSUPP;
	fd = io_open_read(dirfd, file);
	if (fd < 0)
		return fd;
	if (fstat(fd, &st) < 0)
		return -errno;
	if (!S_ISREG(st.st_mode) || (uint64_t)st.st_size != digest_file_size(size))
		return -EBADMSG;
	leaves.fd = fd;
	r = check_root(&leaves, root, w);
	if (r < 0)
		return r;
	take_fd(&fd);
	*ret = leaves;
	return 0;
}

uint32_t leaves_check_holes(struct stream *s, struct watch *w, struct rp_error *err)
{
	uint64_t index = 0, start, end;
	int r;

	while ((r = digest_next(&s->leaves, index, &index)) == 0) {
		r = stream_next_data(s, index * DIGEST_CHUNK, &start, &end);
		if (r < 0 && r != -ENXIO)
			break;
		if (r == -ENXIO || start >= (index + 1) * DIGEST_CHUNK)
			return rp_fail_disk(err, s->disk, index * DIGEST_CHUNK, RP_FAILED,
					    "digest",
					    "digest %s at %" PRIu64 ": chunk %" PRIu64
					    " is a hole but had data",
					    s->src_path, index * DIGEST_CHUNK, index);
		index = max_u64(index + 1, end / DIGEST_CHUNK);
		r = watch_tick(w);
		if (r < 0)
			return watch_fail(w, r, err);
	}
	return r == -ENXIO ? RP_OK
			   : stream_fail(s, r, "map", s->src_path, RP_NO_OFFSET, err);
}
