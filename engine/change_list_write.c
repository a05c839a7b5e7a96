/* SPDX-License-Identifier: MIT */
/*
 * change_list_write.c - a new list
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "change_list_text.h"
#include "io/base.h"
#include "io/small_file.h"

struct change_list_writer {
	int fd;
	XXH3_state_t *hash;
	uint64_t at; /* where the buffer goes */
	size_t used;
	unsigned width;
	char buf[64 * KIB];
};

static int flush(struct change_list_writer *w)
{
	int r = io_pwrite_all(w->fd, w->buf, w->used, w->at);

	w->at += w->used;
	w->used = 0;
	return r;
}

static int put(struct change_list_writer *w, const char *text, size_t len)
{
	int r = w->used + len > sizeof(w->buf) ? flush(w) : 0;

	memcpy(w->buf + w->used, text, len);
	w->used += len;
	return r;
}

static int put_hashed(struct change_list_writer *w, const char *text, size_t len)
{
	XXH3_128bits_update(w->hash, text, len);
	return put(w, text, len);
}

int change_list_create(int dirfd, const char *name, const struct change_list_head *head,
		       struct change_list_writer **ret)
{
	struct change_list_writer *w = calloc(1, sizeof(*w));
	char text[LIST_HEAD_MAX];
	int r;

	if (!w)
		return -ENOMEM;
	w->fd = -1;
	w->width = list_width(head->size);
	w->hash = XXH3_createState();
	r = w->hash ? 0 : -ENOMEM;
	if (r == 0) {
		XXH3_128bits_reset(w->hash);
		w->fd = openat(dirfd, name,
			       O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW,
			       0600);
		r = w->fd < 0 ? -errno
			      : put_hashed(w, text, (size_t)list_put_head(head, text));
	}
	if (r < 0)
		change_list_abandon(w);
	else
		*ret = w;
	return r;
}

int change_list_add(struct change_list_writer *w, uint64_t start, uint64_t end, bool zero)
{
	char line[LIST_LINE_MAX + 1];
	int len = list_put_line(w->width, start, end, zero, line);

	return put_hashed(w, line, (size_t)len);
}

int change_list_finish(struct change_list_writer *w, char ret_digest[DIGEST_TEXT_SIZE],
		       int *ret_fd)
{
	char digest[DIGEST_TEXT_SIZE], tail[LIST_TAIL_LENGTH + 1];
	int r = put(w, tail, (size_t)list_put_tail(w->hash, tail, digest));

	if (r == 0)
		r = flush(w);
	if (r == 0) {
		memcpy(ret_digest, digest, sizeof(digest));
		*ret_fd = take_fd(&w->fd);
	}
	change_list_abandon(w);
	return r;
}

void change_list_abandon(struct change_list_writer *w)
{
	if (!w)
		return;
	if (w->fd >= 0)
		close(w->fd);
	XXH3_freeState(w->hash);
	free(w);
}
