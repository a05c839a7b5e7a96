/* SPDX-License-Identifier: MIT */
/*
 * change_list.c - writing a list, checking one, and finding a range in it
 */
#include "change_list.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <xxhash.h>

#include "io/base.h"
#include "io/tree.h"

#define HEAD_FORMAT                                                       \
	"refpoint-changes %u disk %s size %" PRIu64 " base-size %" PRIu64 \
	" point %s base %s ranges %" PRIu64 "\n"
#define VERSION	    1u
#define HEAD_MAX    512
#define TAIL	    "xxh3-128 "
#define TAIL_LENGTH (sizeof(TAIL) - 1 + 2 * DIGEST_SIZE + 1)
#define WINDOW	    1024 /* lines */
#define LINE_MAX    (2 * 20 + sizeof("  data\n") - 1)

static unsigned digits(uint64_t number)
{
	unsigned count = 1;

	while (number /= 10)
		count++;
	return count;
}

static size_t line_length(uint64_t size)
{
	return 2 * digits(size) + sizeof("  data\n") - 1;
}

static int head_text(const struct change_list_head *h, char ret[HEAD_MAX])
{
	return snprintf(ret, HEAD_MAX, HEAD_FORMAT, VERSION, h->disk, h->size,
			h->base_size, h->point, h->base, h->count);
}

static void hash_text(const XXH3_state_t *hash, char ret[DIGEST_TEXT_SIZE])
{
	XXH128_canonical_t canonical;

	XXH128_canonicalFromHash(&canonical, XXH3_128bits_digest(hash));
	digest_text(canonical.digest, ret);
}

/* ----------------------------------------------------------------------- writing */

struct change_list_writer {
	int fd;
	XXH3_state_t *hash;
	uint64_t at; /* where the buffer goes */
	size_t used;
	int width;
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
	char text[HEAD_MAX];
	int r;

	if (!w)
		return -ENOMEM;
	w->fd = -1;
	w->width = (int)digits(head->size);
	w->hash = XXH3_createState();
	r = w->hash ? 0 : -ENOMEM;
	if (r == 0) {
		XXH3_128bits_reset(w->hash);
		w->fd = openat(dirfd, name,
			       O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW,
			       0600);
		r = w->fd < 0 ? -errno
			      : put_hashed(w, text, (size_t)head_text(head, text));
	}
	if (r < 0)
		change_list_abandon(w);
	else
		*ret = w;
	return r;
}

int change_list_add(struct change_list_writer *w, uint64_t start, uint64_t end, bool zero)
{
	char line[LINE_MAX + 1];
	int len = snprintf(line, sizeof(line), "%*" PRIu64 " %*" PRIu64 " %s\n", w->width,
			   start, w->width, end - start, zero ? "zero" : "data");

	return put_hashed(w, line, (size_t)len);
}

int change_list_finish(struct change_list_writer *w, char ret_digest[DIGEST_TEXT_SIZE])
{
	char digest[DIGEST_TEXT_SIZE], tail[TAIL_LENGTH + 1];
	int r;

	hash_text(w->hash, digest);
	snprintf(tail, sizeof(tail), TAIL "%s\n", digest);
	r = put(w, tail, TAIL_LENGTH);
	if (r == 0)
		r = flush(w);
	if (r == 0)
		r = io_fsync(w->fd);
	if (close(take_fd(&w->fd)) < 0 && r == 0)
		r = -errno;
	if (r == 0)
		memcpy(ret_digest, digest, sizeof(digest));
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

/* ----------------------------------------------------------------------- reading */

/* Lines [first, first + count) of the file. */
struct window {
	uint64_t first;
	size_t count;
	uint64_t used; /* when it was used last */
	char *text;
};

struct change_list {
	int fd;
	struct change_list_head head;
	unsigned width;
	size_t line;
	uint64_t begin; /* of the first line */
	/* One for who looks ahead, and one for who comes behind. */
	struct window windows[2];
	uint64_t uses;
};

/* A number padded with blanks; nothing else. */
static bool parse_number(const char *text, unsigned width, uint64_t *ret)
{
	uint64_t number = 0;
	unsigned i = 0;

	while (i + 1 < width && text[i] == ' ')
		i++;
	if (text[i] == '0' && i + 1 < width)
		return false;
	for (; i < width; i++) {
		unsigned digit = (unsigned)(text[i] - '0');

		if (digit > 9 || __builtin_mul_overflow(number, 10, &number) ||
		    add_overflows(number, digit, &number))
			return false;
	}
	*ret = number;
	return true;
}

static int parse_line(const struct change_list *l, const char *text,
		      struct layer_range *ret)
{
	const char *kind = text + 2 * l->width + 1;
	uint64_t start, len, end;

	if (!parse_number(text, l->width, &start) || text[l->width] != ' ' ||
	    !parse_number(text + l->width + 1, l->width, &len) || len == 0 ||
	    add_overflows(start, len, &end) || end > l->head.size ||
	    start % CHANGE_LIST_GRAIN || (end % CHANGE_LIST_GRAIN && end != l->head.size))
		return -EBADMSG;
	*ret = (struct layer_range){.start = start, .end = end, .at = start};
	if (!memcmp(kind, " data\n", 6))
		ret->state = LAYER_DATA;
	else if (!memcmp(kind, " zero\n", 6))
		ret->state = LAYER_ZERO;
	else
		return -EBADMSG;
	return 0;
}

/* The same as is written for what was understood of it: there is one way to say it. */
static int parse_head(const char *text, size_t len, struct change_list_head *ret)
{
	char again[HEAD_MAX];
	unsigned version;
	int end = -1;

	if (sscanf(text, "refpoint-changes %u", &version) != 1)
		return -EBADMSG;
	if (version > VERSION)
		return -EOPNOTSUPP;
	if (sscanf(text,
		   "refpoint-changes %*u disk %127s size %" SCNu64 " base-size %" SCNu64
		   " point %36s base %36s ranges %" SCNu64 "%n",
		   ret->disk, &ret->size, &ret->base_size, ret->point, ret->base,
		   &ret->count, &end) != 6 ||
	    end < 0 || (size_t)end + 1 != len || head_text(ret, again) != (int)len ||
	    memcmp(again, text, len) || !name_valid(ret->disk) || !id_valid(ret->point) ||
	    !id_valid(ret->base) || ret->size > INT64_MAX || ret->base_size > INT64_MAX)
		return -EBADMSG;
	return 0;
}

/* *ret_size is that of the file. */
static int read_head(struct change_list *l, uint64_t *ret_size)
{
	char text[HEAD_MAX] = "", *newline;
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
	r = parse_head(text, l->begin, &l->head);
	if (r < 0)
		return r;
	l->width = digits(l->head.size);
	l->line = line_length(l->head.size);
	*ret_size = (uint64_t)st.st_size;
	return 0;
}

/* Whether the file has just the lines its head says. */
static bool has_size(const struct change_list *l, uint64_t size)
{
	uint64_t want;

	return !__builtin_mul_overflow(l->head.count, l->line, &want) &&
	       !add_overflows(want, l->begin + TAIL_LENGTH, &want) && want == size;
}

static int check_lines(const struct change_list *l, XXH3_state_t *hash, char *buf)
{
	struct layer_range range = {0};
	uint64_t end = 0;

	for (uint64_t i = 0; i < l->head.count; i += WINDOW) {
		size_t count = (size_t)min_u64(WINDOW, l->head.count - i);
		int r = io_pread_all(l->fd, buf, count * l->line, l->begin + i * l->line);

		for (size_t k = 0; r == 0 && k < count; k++) {
			r = parse_line(l, buf + k * l->line, &range);
			if (r == 0 && range.start < end)
				r = -EBADMSG;
			end = range.end;
		}
		if (r < 0)
			return r;
		XXH3_128bits_update(hash, buf, count * l->line);
	}
	return 0;
}

static int check_text(const struct change_list *l, XXH3_state_t *hash,
		      char ret_digest[DIGEST_TEXT_SIZE])
{
	char head[HEAD_MAX], tail[TAIL_LENGTH + 1], have[TAIL_LENGTH];
	_cleanup_free_ char *buf = malloc(WINDOW * l->line);
	char digest[DIGEST_TEXT_SIZE];
	int r;

	if (!buf)
		return -ENOMEM;
	XXH3_128bits_reset(hash);
	XXH3_128bits_update(hash, head, (size_t)head_text(&l->head, head));
	r = check_lines(l, hash, buf);
	if (r == 0)
		r = io_pread_all(l->fd, have, TAIL_LENGTH,
				 l->begin + l->head.count * l->line);
	if (r < 0)
		return r;
	hash_text(hash, digest);
	snprintf(tail, sizeof(tail), TAIL "%s\n", digest);
	if (memcmp(tail, have, TAIL_LENGTH))
		return -EBADMSG;
	memcpy(ret_digest, digest, sizeof(digest));
	return 0;
}

static int check(struct change_list *l, char ret_digest[DIGEST_TEXT_SIZE])
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
	r = check_text(l, hash, ret_digest);
	XXH3_freeState(hash);
	return r == -ENODATA ? -EBADMSG : r; /* somebody cuts it */
}

int change_list_open(int dirfd, const char *name, struct change_list **ret,
		     char ret_digest[DIGEST_TEXT_SIZE])
{
	struct change_list *l = calloc(1, sizeof(*l));
	int r;

	if (!l)
		return -ENOMEM;
	l->fd = openat(dirfd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	r = l->fd < 0 ? -errno : check(l, ret_digest);
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
	return parse_line(l, w->text + i * l->line, ret);
}

/* The first of the lines of @w that ends behind @pos, of which there is one. */
static int find_in(const struct change_list *l, const struct window *w, uint64_t pos,
		   struct layer_range *ret)
{
	size_t low = 0, high = w->count - 1;

	while (low < high) {
		size_t middle = low + (high - low) / 2;
		int r = line_in(l, w, middle, ret);

		if (r < 0)
			return r;
		if (ret->end > pos)
			high = middle;
		else
			low = middle + 1;
	}
	return line_in(l, w, low, ret);
}

/* 1 if the line that is looked for is in @w, 0 if not. */
static int window_has(const struct change_list *l, const struct window *w, uint64_t pos)
{
	struct layer_range range;
	int r;

	if (!w->count)
		return 0;
	r = line_in(l, w, w->count - 1, &range);
	if (r == 0 && range.end <= pos)
		return 0;
	if (r == 0 && w->first)
		r = line_in(l, w, 0, &range);
	if (r < 0)
		return r;
	return w->first == 0 || range.start <= pos;
}

/* The number of the line; head.count if there is none. */
static int search(const struct change_list *l, uint64_t pos, uint64_t *ret)
{
	uint64_t low = 0, high = l->head.count;

	while (low < high) {
		uint64_t middle = low + (high - low) / 2;
		struct layer_range range;
		char text[LINE_MAX];
		int r = read_lines(l, middle, 1, text);

		if (r == 0)
			r = parse_line(l, text, &range);
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

/* Reads from line @first on, instead of what was used longest ago. */
static int load(struct change_list *l, uint64_t first, struct window **ret)
{
	struct window *w = &l->windows[l->windows[1].used < l->windows[0].used];
	int r;

	w->first = first;
	w->count = 0;
	r = read_lines(l, first, (size_t)min_u64(WINDOW, l->head.count - first), w->text);
	if (r == 0)
		w->count = (size_t)min_u64(WINDOW, l->head.count - first);
	*ret = w;
	return r;
}

int change_list_next(struct change_list *l, uint64_t pos, struct layer_range *ret)
{
	struct window *w = NULL;
	uint64_t line;
	int r = 0;

	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(l->windows); i++) {
		w = &l->windows[i];
		r = window_has(l, w, pos);
	}
	if (r == 0) {
		r = search(l, pos, &line);
		if (r == 0 && line == l->head.count)
			return -ENXIO;
		if (r == 0)
			r = load(l, line, &w);
	}
	if (r < 0)
		return r;
	w->used = ++l->uses;
	r = find_in(l, w, pos, ret);
	/* A file that changes under us: no progress is damage. */
	return r == 0 && ret->end <= pos ? -EBADMSG : r;
}
