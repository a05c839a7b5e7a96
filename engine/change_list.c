/* SPDX-License-Identifier: MIT */
/*
 * change_list.c - checking a list, and finding a range in it
 */
#include "change_list_text.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "io/base.h"
#include "io/small_file.h"
#include "watch.h"

#define WINDOW 1024 /* lines */

/* Lines [first, first + count) of the file. */
struct window {
	uint64_t first;
	size_t count;
	uint64_t from; /* no line before them ends behind it */
	uint64_t used; /* when it was used last */
	char *text;
};

/* What was found last: it is the answer for all of [from, range.end). */
struct answer {
	uint64_t from;
	struct layer_range range;
	uint64_t used; /* when it was used last */
};

struct change_list {
	int fd;
	struct change_list_head head;
	unsigned width;
	size_t line;
	uint64_t begin; /* of the first line */
	uint64_t end;	/* of the last range */
	/* One for who looks ahead, and one for who comes behind. */
	struct window windows[2];
	struct answer answers[2];
	uint64_t uses;
};

/* *ret_size is that of the file. */
static int read_head(struct change_list *l, uint64_t *ret_size)
{
	char text[LIST_HEAD_MAX] = "", *newline;
	struct stat st;
	size_t len;
	int r;

	if (fstat(l->fd, &st) < 0)
		return -errno;
	if (!S_ISREG(st.st_mode))
		return -EBADMSG;
	len = (size_t)min_u64((uint64_t)st.st_size, sizeof(text) - 1);
	r = io_pread_all(l->fd, text, len, 0);
	if (r < 0)
		return r;
	newline = memchr(text, '\n', len);
	if (!newline)
		return -EBADMSG;
	l->begin = (uint64_t)(newline + 1 - text);
	newline[1] = '\0';
	r = list_parse_head(text, l->begin, &l->head);
	if (r < 0)
		return r;
	l->width = list_width(l->head.size);
	l->line = list_line_length(l->width);
	*ret_size = (uint64_t)st.st_size;
	return 0;
}

/* Whether the file has just the lines its head says. */
static bool has_size(const struct change_list *l, uint64_t size)
{
	uint64_t want;

	return !__builtin_mul_overflow(l->head.count, l->line, &want) &&
	       !add_overflows(want, l->begin + LIST_TAIL_LENGTH, &want) && want == size;
}

static int check_lines(struct change_list *l, struct watch *w, XXH3_state_t *hash,
		       char *buf)
{
	struct layer_range range = {0};

	for (uint64_t i = 0; i < l->head.count; i += WINDOW) {
		size_t count = (size_t)min_u64(WINDOW, l->head.count - i);
		int r = io_pread_all(l->fd, buf, count * l->line, l->begin + i * l->line);

		for (size_t k = 0; r == 0 && k < count; k++) {
			r = list_parse_line(buf + k * l->line, l->width, l->head.size,
					    &range);
			if (r == 0 && range.start < l->end)
				r = -EBADMSG;
			l->end = range.end;
		}
		if (r == 0)
			r = watch_tick(w);
		if (r < 0)
			return r;
		XXH3_128bits_update(hash, buf, count * l->line);
	}
	return 0;
}

static int check_text(struct change_list *l, struct watch *w, XXH3_state_t *hash,
		      char ret_digest[DIGEST_TEXT_SIZE])
{
	char head[LIST_HEAD_MAX], tail[LIST_TAIL_LENGTH + 1], have[LIST_TAIL_LENGTH];
	_cleanup_free_ char *buf = malloc(WINDOW * l->line);
	char digest[DIGEST_TEXT_SIZE];
	int r;

	if (!buf)
		return -ENOMEM;
	XXH3_128bits_reset(hash);
	XXH3_128bits_update(hash, head, (size_t)list_put_head(&l->head, head));
	r = check_lines(l, w, hash, buf);
	if (r == 0)
		r = io_pread_all(l->fd, have, LIST_TAIL_LENGTH,
				 l->begin + l->head.count * l->line);
	if (r < 0)
		return r;
	list_put_tail(hash, tail, digest);
	if (memcmp(tail, have, LIST_TAIL_LENGTH))
		return -EBADMSG;
	memcpy(ret_digest, digest, sizeof(digest));
	return 0;
}

static int check(struct change_list *l, struct watch *w,
		 char ret_digest[DIGEST_TEXT_SIZE])
{
	XXH3_state_t *hash;
	uint64_t size;
	int r;

	r = read_head(l, &size);
	if (r == 0 && !has_size(l, size))
		r = -EBADMSG;
	if (r < 0)
		return r;
	for (size_t i = 0; i < ARRAY_SIZE(l->windows); i++) {
		l->windows[i].text = malloc(WINDOW * l->line);
		if (!l->windows[i].text)
			return -ENOMEM;
	}
	hash = XXH3_createState();
	if (!hash)
		return -ENOMEM;
	r = check_text(l, w, hash, ret_digest);
	XXH3_freeState(hash);
	return r == -ENODATA ? -EBADMSG : r; /* somebody cuts it */
}

int change_list_open(int dirfd, const char *name, struct watch *w,
		     struct change_list **ret, char ret_digest[DIGEST_TEXT_SIZE])
{
	struct change_list *l = calloc(1, sizeof(*l));
	int r;

	if (!l)
		return -ENOMEM;
	l->fd = openat(dirfd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	r = l->fd < 0 ? -errno : check(l, w, ret_digest);
	if (r < 0)
		change_list_close(l);
	else
		*ret = l;
	return r;
}

void change_list_close(struct change_list *l)
{
	if (!l)
		return;
	if (l->fd >= 0)
		close(l->fd);
	for (size_t i = 0; i < ARRAY_SIZE(l->windows); i++)
		free(l->windows[i].text);
	free(l);
}

const struct change_list_head *change_list_head(const struct change_list *l)
{
	return &l->head;
}

/* The file was checked; if it is another one by now it must not harm us. */
static int read_lines(const struct change_list *l, uint64_t first, size_t count,
		      char *buf)
{
	int r = io_pread_all(l->fd, buf, count * l->line, l->begin + first * l->line);

	return r == -ENODATA ? -EBADMSG : r;
}

static int line_in(const struct change_list *l, const struct window *w, size_t i,
		   struct layer_range *ret)
{
	return list_parse_line(w->text + i * l->line, l->width, l->head.size, ret);
}

/* The first of the lines of @w that ends behind @pos, of which there is one. */
static int find_in(const struct change_list *l, const struct window *w, uint64_t pos,
		   struct answer *ret)
{
	size_t low = 0, high = w->count - 1;

	ret->from = w->from;
	while (low < high) {
		size_t middle = low + (high - low) / 2;
		int r = line_in(l, w, middle, &ret->range);

		if (r < 0)
			return r;
		if (ret->range.end > pos) {
			high = middle;
		} else {
			low = middle + 1;
			ret->from = ret->range.end;
		}
	}
	return line_in(l, w, low, &ret->range);
}

/* 1 if the line that is looked for is in @w, 0 if not. */
static int window_has(const struct change_list *l, const struct window *w, uint64_t pos)
{
	struct layer_range range;
	int r;

	if (!w->count || pos < w->from)
		return 0;
	r = line_in(l, w, w->count - 1, &range);
	return r < 0 ? r : range.end > pos;
}

/* The number of the line; head.count if there is none. */
static int search(const struct change_list *l, uint64_t pos, uint64_t *ret)
{
	uint64_t low = 0, high = l->head.count;

	while (low < high) {
		uint64_t middle = low + (high - low) / 2;
		struct layer_range range;
		char text[LIST_LINE_MAX];
		int r = read_lines(l, middle, 1, text);

		if (r == 0)
			r = list_parse_line(text, l->width, l->head.size, &range);
		if (r < 0)
			return r;
		if (range.end > pos)
			high = middle;
		else
			low = middle + 1;
	}
	*ret = low;
	return 0;
}

/* Reads from line @first on, which is the first that ends behind @from, instead of what
 * was used longest ago. */
static int load(struct change_list *l, uint64_t first, uint64_t from, struct window **ret)
{
	struct window *w = &l->windows[l->windows[1].used < l->windows[0].used];
	int r;

	w->first = first;
	w->from = first ? from : 0;
	w->count = 0;
	r = read_lines(l, first, (size_t)min_u64(WINDOW, l->head.count - first), w->text);
	if (r == 0)
		w->count = (size_t)min_u64(WINDOW, l->head.count - first);
	*ret = w;
	return r;
}

/* The window that has the line; it may have to be read. */
static int find_window(struct change_list *l, uint64_t pos, struct window **ret)
{
	uint64_t line;
	int r = 0;

	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(l->windows); i++) {
		*ret = &l->windows[i];
		r = window_has(l, *ret, pos);
	}
	if (r)
		return r < 0 ? r : 0;
	r = search(l, pos, &line);
	if (r < 0)
		return r;
	return line < l->head.count ? load(l, line, pos, ret) : -ENXIO;
}

/* *ret takes the place of what was used longest ago. */
static int find(struct change_list *l, uint64_t pos, struct answer **ret)
{
	struct answer found = {0};
	struct window *w;
	int r = find_window(l, pos, &w);

	if (r < 0)
		return r;
	w->used = ++l->uses;
	r = find_in(l, w, pos, &found);
	/* A file that changes under us: no progress is damage. */
	if (r == 0 && found.range.end <= pos)
		r = -EBADMSG;
	if (r < 0)
		return r;
	*ret = &l->answers[l->answers[1].used < l->answers[0].used];
	**ret = found;
	return 0;
}

/* NULL if it was not found lately. */
static struct answer *recall(struct change_list *l, uint64_t pos)
{
	for (size_t i = 0; i < ARRAY_SIZE(l->answers); i++) {
		struct answer *a = &l->answers[i];

		if (pos >= a->from && pos < a->range.end)
			return a;
	}
	return NULL;
}

/* In a chain every list is asked for every piece of the disk, and has changed nothing in
 * nearly all of them. */
int change_list_next(struct change_list *l, uint64_t pos, struct layer_range *ret)
{
	struct answer *answer;
	int r = 0;

	if (pos >= l->end)
		return -ENXIO;
	answer = recall(l, pos);
	if (!answer)
		r = find(l, pos, &answer);
	if (r < 0)
		return r;
	answer->used = ++l->uses;
	*ret = answer->range;
	return 0;
}
