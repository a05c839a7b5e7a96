/* SPDX-License-Identifier: MIT */
/*
 * change_list_test.c - the list of a differential disk: what was written is found again,
 * wherever one looks, and looked for once; what is not a list, or no longer, is refused
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

#include "data.h"
#include "engine/change_list_text.h"
#include "engine/layer_diff.h"
#include "engine/touched.h"
#include "engine/watch.h"
#include "harness.h"
#include "io/base.h"
#include "io/small_file.h"
#include "stage.h"

static unsigned parsed; /* lines */

static int parse_counted(const char *text, unsigned width, uint64_t size,
			 struct layer_range *ret)
{
	parsed++;
	return list_parse_line(text, width, size, ret);
}

/* Here, and its calls come by there. */
#define list_parse_line parse_counted
#include "engine/change_list.c"
#undef list_parse_line

#define POINT "11111111-2222-4333-8444-555555555555"
#define BASE  "66666666-7777-4888-9999-aaaaaaaaaaaa"

static struct change_list_head head_of(uint64_t size, uint64_t count)
{
	struct change_list_head head = {.size = size, .base_size = 8192, .count = count};

	snprintf(head.disk, sizeof(head.disk), "vda");
	snprintf(head.point, sizeof(head.point), POINT);
	snprintf(head.base, sizeof(head.base), BASE);
	return head;
}

static void write_list(int dirfd, const struct change_list_head *head,
		       const struct layer_range *ranges, char digest[DIGEST_TEXT_SIZE])
{
	struct change_list_writer *w;
	int fd;

	ASSERT_OK(change_list_create(dirfd, "vda.changes", head, &w));
	for (uint64_t i = 0; i < head->count; i++)
		ASSERT_OK(change_list_add(w, ranges[i].start, ranges[i].end,
					  ranges[i].state == LAYER_ZERO));
	ASSERT_OK(change_list_finish(w, digest, &fd));
	close(fd);
}

static int open_dir(void)
{
	int fd = open(test_dir(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	ASSERT_GE(fd, 0);
	return fd;
}

/* As the list should answer. */
static int model_next(const struct layer_range *ranges, uint64_t count, uint64_t pos,
		      struct layer_range *ret)
{
	for (uint64_t i = 0; i < count; i++) {
		if (ranges[i].end > pos) {
			*ret = ranges[i];
			return 0;
		}
	}
	return -ENXIO;
}

static uint64_t make_ranges(uint64_t *state, uint64_t count, uint64_t size,
			    struct layer_range *ranges)
{
	uint64_t pos = 0, made = 0;

	while (made < count) {
		uint64_t start = pos + data_random(state) % 4 * CHANGE_LIST_GRAIN;
		uint64_t end = start + (1 + data_random(state) % 3) * CHANGE_LIST_GRAIN;

		if (start >= size)
			break;
		end = min_u64(end, size);
		ranges[made++] = (struct layer_range){
			.start = start,
			.end = end,
			.at = start,
			.state = data_random(state) % 3 ? LAYER_DATA : LAYER_ZERO,
		};
		pos = end;
	}
	return made;
}

/* Several windows long, read in order, by two at once, and at random. */
TEST(written_and_found)
{
	uint64_t seed = test_seed(), state = seed, count;
	struct layer_range *ranges = calloc(5000, sizeof(*ranges)), want, have;
	uint64_t size = 80 * MIB + 1234;
	char digest[DIGEST_TEXT_SIZE], again[DIGEST_TEXT_SIZE];
	struct change_list_head head;
	struct change_list *list;
	int dirfd = open_dir();

	count = make_ranges(&state, 5000, size, ranges);
	head = head_of(size, count);
	write_list(dirfd, &head, ranges, digest);
	ASSERT_OK(change_list_open(dirfd, "vda.changes", NULL, &list, again));
	EXPECT_STREQ(digest, again);
	EXPECT_EQ(memcmp(&head, change_list_head(list), sizeof(head)), 0);
	for (uint64_t i = 0, pos = 0; i < count; i++, pos = have.end) {
		ASSERT_OK(change_list_next(list, pos, &have));
		ASSERT_EQ(memcmp(&have, &ranges[i], sizeof(have)), 0, "%llu",
			  (unsigned long long)i);
		if (i >= 700) {
			struct layer_range behind;

			ASSERT_OK(change_list_next(list, ranges[i - 700].start, &behind));
			ASSERT_EQ(behind.start, ranges[i - 700].start);
		}
	}
	EXPECT_EQ(change_list_next(list, ranges[count - 1].end, &have), -ENXIO);
	EXPECT_EQ(change_list_next(list, size, &have), -ENXIO);
	for (unsigned i = 0; i < 3000; i++) {
		uint64_t pos = data_random(&state) % (size + 10);
		int r = model_next(ranges, count, pos, &want);

		ASSERT_EQ(change_list_next(list, pos, &have), r);
		if (r == 0)
			ASSERT_EQ(memcmp(&have, &want, sizeof(have)), 0);
	}
	change_list_close(list);
	close(dirfd);
	free(ranges);
}

/* Calls that read, of this process. */
static uint64_t reads_made(void)
{
	FILE *f = fopen("/proc/self/io", "re");
	unsigned long long count = 0;

	ASSERT_NE(f, NULL);
	ASSERT_EQ(fscanf(f, "rchar: %*u wchar: %*u syscr: %llu", &count), 1);
	fclose(f);
	return count;
}

/* One window after the other, wherever between ranges one asks, and behind them. */
TEST(gone_through_with_few_reads)
{
	struct layer_range ranges[5000], have;
	const struct change_list_head head = head_of(GIB, ARRAY_SIZE(ranges));
	char digest[DIGEST_TEXT_SIZE];
	struct change_list *list;
	int dirfd = open_dir();
	uint64_t before;

	for (uint64_t i = 0; i < ARRAY_SIZE(ranges); i++)
		ranges[i] = (struct layer_range){.start = (4 * i + 2) * 4096,
						 .end = (4 * i + 3) * 4096,
						 .state = LAYER_DATA};
	write_list(dirfd, &head, ranges, digest);
	ASSERT_OK(change_list_open(dirfd, "vda.changes", NULL, &list, digest));
	before = reads_made();
	for (uint64_t i = 1; i < ARRAY_SIZE(ranges); i++)
		for (uint64_t pos = 4 * i; pos < 4 * i + 3; pos++) {
			ASSERT_OK(change_list_next(list, pos * 4096, &have));
			ASSERT_EQ(have.start, ranges[i].start);
		}
	for (uint64_t i = 0; i < 1000; i++)
		ASSERT_EQ(change_list_next(list, GIB / 2 + i * 4096, &have), -ENXIO);
	EXPECT_LT(reads_made() - before, 100);
	change_list_close(list);
	close(dirfd);
}

/* ------------------------------------------------------------- what was found lately */

#define LISTS  16
#define RANGES 200 /* of each */
#define SHARE  (2 * DIGEST_CHUNK)
#define ROUND  (LISTS * SHARE)
#define MOST   12 /* lines that are parsed to find one of so many */

/* The lists of a disk of which each has every LISTS-th share, and of that the first
 * half. */
struct shares {
	struct change_list *list[LISTS];
	struct layer_diff diff[LISTS];
	struct layer *layer[LISTS];
	uint64_t size;
};

static void open_shares(struct shares *s, int dirfd)
{
	struct change_list_head head;
	char digest[DIGEST_TEXT_SIZE];

	s->size = RANGES * ROUND;
	head = head_of(s->size, RANGES);
	for (uint64_t i = 0; i < LISTS; i++) {
		struct layer_range ranges[RANGES];

		for (uint64_t k = 0; k < RANGES; k++) {
			uint64_t start = k * ROUND + i * SHARE;

			ranges[k] = (struct layer_range){.start = start,
							 .end = start + SHARE / 2,
							 .state = LAYER_DATA};
		}
		write_list(dirfd, &head, ranges, digest);
		ASSERT_OK(change_list_open(dirfd, "vda.changes", NULL, &s->list[i],
					   digest));
		ASSERT_OK(unlinkat(dirfd, "vda.changes", 0));
		s->diff[i].layer.file = (struct io_file)IO_FILE_NONE;
		layer_diff_listed(&s->diff[i], s->list[i]);
		s->layer[i] = &s->diff[i].layer;
	}
	parsed = 0;
}

static void close_shares(struct shares *s)
{
	for (size_t i = 0; i < LISTS; i++)
		change_list_close(s->list[i]);
}

/* However many pieces the disk has by the lists of others. */
TEST(a_chain_finds_each_range_once)
{
	struct layers layers;
	struct layer_range range;
	struct shares s = {0};
	int dirfd = open_dir();

	open_shares(&s, dirfd);
	layers_init(&layers, s.layer, LISTS);
	for (uint64_t pos = 0; pos < s.size; pos = range.end) {
		bool has = pos % SHARE < SHARE / 2;

		ASSERT_OK(layers_at(&layers, pos, &range));
		ASSERT_EQ(range.state, has ? LAYER_DATA : LAYER_BELOW);
		ASSERT_EQ(range.end, round_down(pos, SHARE) + (has ? SHARE / 2 : SHARE));
	}
	EXPECT_LT(parsed, RANGES * LISTS * MOST);
	close_shares(&s);
	close(dirfd);
}

/* Where it asks for what has not changed, and then for what has. */
TEST(what_was_touched_is_found_once)
{
	struct touched touched;
	struct source_range range;
	struct shares s = {0};
	int dirfd = open_dir();
	uint64_t pos = 0;

	open_shares(&s, dirfd);
	touched_init(&touched, s.layer, LISTS, s.size, s.size, NULL, NULL);
	for (uint64_t i = 0; i < RANGES * LISTS; i++, pos = range.end) {
		ASSERT_OK(touched.source.next(&touched.source, pos, &range));
		ASSERT_EQ(range.start, i * SHARE);
		ASSERT_EQ(range.end, i * SHARE + SHARE / 2);
	}
	EXPECT_EQ(touched.source.next(&touched.source, pos, &range), -ENXIO);
	EXPECT_LT(parsed, RANGES * LISTS * MOST);
	close_shares(&s);
	close(dirfd);
}

/* In one list, asked in turn. */
TEST(who_comes_behind_does_not_make_who_looks_ahead_look_again)
{
	const uint64_t ahead = 30 * ROUND + 7 * SHARE;
	struct layer_range range;
	struct shares s = {0};
	int dirfd = open_dir();

	open_shares(&s, dirfd);
	for (uint64_t pos = SHARE; pos + ahead < s.size - ROUND; pos += SHARE / 4) {
		for (uint64_t at = pos; at <= pos + ahead; at += ahead) {
			ASSERT_OK(change_list_next(s.list[0], at, &range));
			ASSERT_EQ(range.start, round_up(at - SHARE / 2 + 1, ROUND));
		}
	}
	EXPECT_LT(parsed, 2 * RANGES * MOST);
	close_shares(&s);
	close(dirfd);
}

static int ask_anew(int dirfd, uint64_t pos, struct layer_range *ret)
{
	char digest[DIGEST_TEXT_SIZE];
	struct change_list *list;
	int r;

	ASSERT_OK(change_list_open(dirfd, "vda.changes", NULL, &list, digest));
	r = change_list_next(list, pos, ret);
	change_list_close(list);
	return r;
}

/* From @pos a little forwards or back, or to anywhere. */
static uint64_t wander(uint64_t *state, uint64_t pos, uint64_t size)
{
	uint64_t step = data_random(state) % (6 * CHANGE_LIST_GRAIN);
	uint64_t way = data_random(state) % 16;

	if (way == 0)
		return data_random(state) % (size + 10);
	return way < 7 ? pos - min_u64(pos, step) : pos + step;
}

/* By two in turn, in more lines than are in memory at once. */
TEST(what_is_remembered_is_what_would_be_found)
{
	uint64_t seed = test_seed(), state = seed, count, pos[2] = {0, 0};
	struct layer_range *ranges = calloc(4000, sizeof(*ranges)), want, have;
	uint64_t size = 60 * MIB + 1234;
	char digest[DIGEST_TEXT_SIZE];
	struct change_list_head head;
	struct change_list *list;
	int dirfd = open_dir();

	count = make_ranges(&state, 4000, size, ranges);
	ASSERT_GT(count, 3 * WINDOW);
	head = head_of(size, count);
	write_list(dirfd, &head, ranges, digest);
	ASSERT_OK(change_list_open(dirfd, "vda.changes", NULL, &list, digest));
	for (unsigned i = 0; i < 2000; i++) {
		uint64_t *at = &pos[data_random(&state) % 2];
		int r;

		*at = wander(&state, *at, size);
		r = change_list_next(list, *at, &have);
		ASSERT_EQ(r, ask_anew(dirfd, *at, &want), "at %llu",
			  (unsigned long long)*at);
		if (r < 0)
			continue;
		ASSERT_EQ(have.start, want.start, "at %llu", (unsigned long long)*at);
		ASSERT_EQ(have.end, want.end);
		ASSERT_EQ(have.state, want.state);
		ASSERT_EQ(have.at, want.at);
	}
	change_list_close(list);
	close(dirfd);
	free(ranges);
}

TEST(nothing_has_changed)
{
	char digest[DIGEST_TEXT_SIZE], again[DIGEST_TEXT_SIZE];
	struct change_list_head head = head_of(0, 0);
	struct layer_diff d = {.layer.file = IO_FILE_NONE};
	struct change_list *list;
	struct layer_range range;
	int dirfd = open_dir();

	write_list(dirfd, &head, NULL, digest);
	ASSERT_OK(change_list_open(dirfd, "vda.changes", NULL, &list, again));
	EXPECT_EQ(change_list_next(list, 0, &range), -ENXIO);
	change_list_close(list);
	ASSERT_OK(unlinkat(dirfd, "vda.changes", 0));
	head = head_of(MIB, 0);
	write_list(dirfd, &head, NULL, digest);
	ASSERT_OK(change_list_open(dirfd, "vda.changes", NULL, &list, again));
	layer_diff_listed(&d, list);
	ASSERT_OK(d.layer.at(&d.layer, 5, &range));
	EXPECT_EQ(range.state, LAYER_BELOW);
	EXPECT_EQ(range.end, MIB);
	layer_close(&d.layer);
	change_list_close(list);
	close(dirfd);
}

/* -------------------------------------------------------------------- hostile lists */

static void save_bytes(const char *text, size_t len)
{
	int fd = open(fmt("%s/vda.changes", test_dir()),
		      O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	ASSERT_GE(fd, 0);
	ASSERT_EQ(write(fd, text, len), len);
	close(fd);
}

static void expect_refused(int dirfd, int error, const char *what)
{
	char digest[DIGEST_TEXT_SIZE];
	struct change_list *list = NULL;

	EXPECT_EQ(change_list_open(dirfd, "vda.changes", NULL, &list, digest), error,
		  "%s", what);
	EXPECT_EQ(list, NULL, "%s", what);
}

/* With the hash that belongs to it: whoever writes lies can compute that. */
static void save_signed(const char *text)
{
	XXH128_canonical_t canonical;
	char hash[33];

	XXH128_canonicalFromHash(&canonical, XXH3_128bits(text, strlen(text)));
	for (unsigned i = 0; i < 16; i++)
		snprintf(hash + 2 * i, 3, "%02x", canonical.digest[i]);
	text = fmt("%sxxh3-128 %s\n", text, hash);
	save_bytes(text, strlen(text));
}

static char *read_list(size_t *ret_len)
{
	int fd = open(fmt("%s/vda.changes", test_dir()), O_RDONLY | O_CLOEXEC);
	char *text = malloc(4096);
	ssize_t n = read(fd, text, 4096);

	ASSERT_GT(n, 0);
	ASSERT_LT(n, 4096);
	close(fd);
	*ret_len = (size_t)n;
	return text;
}

/* A list of three ranges, cut everywhere, longer, and with every bit changed. */
TEST(cut_or_changed)
{
	static const struct layer_range ranges[] = {
		{.start = 0, .end = 4096, .state = LAYER_DATA},
		{.start = 8192, .end = 16384, .state = LAYER_ZERO},
		{.start = 16384, .end = 20000, .state = LAYER_DATA},
	};
	const struct change_list_head head = head_of(20000, 3);
	char digest[DIGEST_TEXT_SIZE];
	struct change_list *list;
	int dirfd = open_dir(), r;
	size_t len;
	char *text;

	write_list(dirfd, &head, ranges, digest);
	text = read_list(&len);
	for (size_t cut = 0; cut < len; cut++) {
		save_bytes(text, cut);
		expect_refused(dirfd, -EBADMSG, fmt("cut to %zu", cut));
	}
	save_bytes(text, len + 1);
	expect_refused(dirfd, -EBADMSG, "longer");
	for (size_t i = 0; i < len; i++) {
		for (unsigned bit = 0; bit < 8; bit++) {
			text[i] = (char)(text[i] ^ 1 << bit);
			save_bytes(text, len);
			r = change_list_open(dirfd, "vda.changes", NULL, &list, digest);
			EXPECT_TRUE(r == -EBADMSG || r == -EOPNOTSUPP, "%zu.%u: %d", i,
				    bit, r);
			text[i] = (char)(text[i] ^ 1 << bit);
		}
	}
	save_bytes(text, len);
	ASSERT_OK(change_list_open(dirfd, "vda.changes", NULL, &list, digest));
	change_list_close(list);
	free(text);
	close(dirfd);
}

#define HEAD(size, count)                                                       \
	"refpoint-changes 1 disk vda size " size " base-size 8192 point " POINT \
	" base " BASE " ranges " count "\n"

TEST(lies)
{
	static const struct {
		const char *text;
		int error;
	} lies[] = {
		{HEAD("20000", "1") "    0  4096 data\n", 0},
		{HEAD("20000", "1") " 4096  4096 zero\n", 0},
		{HEAD("20000", "1") "    0  4096 dat\n\n", -EBADMSG},
		{HEAD("20000", "1") "    0  4096 DATA\n", -EBADMSG},
		{HEAD("20000", "1") "00000  4096 data\n", -EBADMSG},
		{HEAD("20000", "1") "    0 04096 data\n", -EBADMSG},
		{HEAD("20000", "1") "    0     0 data\n", -EBADMSG},
		{HEAD("20000", "1") "    0     - data\n", -EBADMSG},
		{HEAD("20000", "1") "   +0  4096 data\n", -EBADMSG},
		{HEAD("20000", "1") "   -1  4097 data\n", -EBADMSG},
		{HEAD("20000", "1") "  0x0  4096 data\n", -EBADMSG},
		{HEAD("20000", "1") "    1  4095 data\n", -EBADMSG},
		{HEAD("20000", "1") "    0  4000 data\n", -EBADMSG},
		{HEAD("20000", "1") "16384  3617 data\n", -EBADMSG},
		{HEAD("20000", "1") "20480  4096 data\n", -EBADMSG},
		{HEAD("20000", "1") "16384 99999 data\n", -EBADMSG},
		{HEAD("20000", "2") "    0  8192 data\n 4096  4096 data\n", -EBADMSG},
		{HEAD("20000", "2") " 8192  4096 data\n    0  4096 data\n", -EBADMSG},
		{HEAD("20000", "2") " 8192  4096 data\n 8192  4096 data\n", -EBADMSG},
		{HEAD("20000", "2") "    0  4096 data\n", -EBADMSG},
		{HEAD("20000", "0") "    0  4096 data\n", -EBADMSG},
		{HEAD("20000", "18446744073709551615") "    0  4096 data\n", -EBADMSG},
		{HEAD("20000", "99999999999999999999") "    0  4096 data\n", -EBADMSG},
		{HEAD("20000", "-1") "    0  4096 data\n", -EBADMSG},
		{HEAD("020000", "1") "     0   4096 data\n", -EBADMSG},
		{HEAD("18446744073709551615", "0"), -EBADMSG},
		{HEAD("9223372036854775807",
		      "1") "9223372036854771712                4095 "
			   "data\n",
		 0},
		{HEAD("9223372036854775807",
		      "1") "9223372036854771712 9223372036854771712 "
			   "data\n",
		 -EBADMSG},
		{HEAD(" 20000", "0"), -EBADMSG},
		{HEAD("20000\t", "0"), -EBADMSG},
		{"refpoint-changes 2\nwho knows\n", -EOPNOTSUPP},
		{"refpoint-changes 0 disk vda size 1 base-size 1 point " POINT
		 " base " BASE " ranges 0\n",
		 -EBADMSG},
		{"refpoint-changes 1 disk ../x size 1 base-size 1 point " POINT
		 " base " BASE " ranges 0\n",
		 -EBADMSG},
		{"refpoint-changes 1 disk vda size 1 base-size 1 point x base " BASE
		 " ranges 0\n",
		 -EBADMSG},
		{"\n", -EBADMSG},
	};
	char digest[DIGEST_TEXT_SIZE];
	struct change_list *list;
	int dirfd = open_dir();

	for (size_t i = 0; i < ARRAY_SIZE(lies); i++) {
		save_signed(lies[i].text);
		if (lies[i].error) {
			expect_refused(dirfd, lies[i].error, lies[i].text);
			continue;
		}
		EXPECT_OK(change_list_open(dirfd, "vda.changes", NULL, &list, digest),
			  "%s", lies[i].text);
		change_list_close(list);
	}
	close(dirfd);
}

TEST(who_watches_may_stop_it)
{
	const struct rp_watch user = cancel_in("planning"); /* as all begin */
	const struct layer_range range = {.end = 4096, .state = LAYER_DATA};
	const struct change_list_head head = head_of(20000, 1);
	char digest[DIGEST_TEXT_SIZE];
	struct change_list *list;
	int dirfd = open_dir();
	struct watch w;

	write_list(dirfd, &head, &range, digest);
	watch_init(&w, &user, 0);
	EXPECT_EQ(change_list_open(dirfd, "vda.changes", &w, &list, digest), -ECANCELED);
	close(dirfd);
}

/* Checked, and then another file: no harm, no loop. */
TEST(changed_after_it_was_opened)
{
	const struct layer_range ranges[] = {
		{.start = 0, .end = 4096, .state = LAYER_DATA},
		{.start = 8192, .end = 16384, .state = LAYER_ZERO},
	};
	const struct change_list_head head = head_of(20000, 2);
	char digest[DIGEST_TEXT_SIZE];
	struct change_list *list;
	struct layer_range range;
	int dirfd = open_dir();

	write_list(dirfd, &head, ranges, digest);
	ASSERT_OK(change_list_open(dirfd, "vda.changes", NULL, &list, digest));
	save_bytes("short", 5);
	EXPECT_EQ(change_list_next(list, 0, &range), -EBADMSG);
	change_list_close(list);
	close(dirfd);
}

/* The file is there again. */
TEST(an_error_is_not_remembered)
{
	struct layer_range *ranges = calloc(3 * WINDOW, sizeof(*ranges)), have;
	const struct change_list_head head = head_of(GIB, 3 * WINDOW);
	char digest[DIGEST_TEXT_SIZE], *text;
	struct change_list *list;
	int dirfd = open_dir();
	size_t len;

	for (uint64_t i = 0; i < head.count; i++)
		ranges[i] = (struct layer_range){.start = (2 * i + 1) * 4096,
						 .end = (2 * i + 2) * 4096,
						 .state = LAYER_DATA};
	write_list(dirfd, &head, ranges, digest);
	ASSERT_OK(change_list_open(dirfd, "vda.changes", NULL, &list, digest));
	ASSERT_OK(io_read_file(dirfd, "vda.changes", MIB, &text, &len));
	for (uint64_t i = 0; i < head.count; i += WINDOW / 4) {
		ASSERT_OK(change_list_next(list, ranges[i].start, &have));
		ASSERT_EQ(have.start, ranges[i].start);
		ASSERT_OK(truncate(fmt("%s/vda.changes", test_dir()), 5));
		for (uint64_t k = head.count; k-- > 0;) {
			int r = change_list_next(list, ranges[k].start, &have);

			if (r < 0)
				ASSERT_EQ(r, -EBADMSG);
			else
				ASSERT_EQ(have.start, ranges[k].start);
		}
		save_bytes(text, len);
	}
	for (uint64_t k = head.count; k-- > 0;) {
		ASSERT_OK(change_list_next(list, ranges[k].start - 4096, &have));
		ASSERT_EQ(have.start, ranges[k].start);
	}
	change_list_close(list);
	close(dirfd);
	free(text);
	free(ranges);
}

TEST(no_file_of_that_kind)
{
	const char *path = fmt("%s/vda.changes", test_dir());
	int dirfd = open_dir();

	expect_refused(dirfd, -ENOENT, "missing");
	ASSERT_OK(symlink("/etc/passwd", path));
	expect_refused(dirfd, -ELOOP, "a link");
	ASSERT_OK(unlink(path));
	ASSERT_OK(mkfifo(path, 0600));
	expect_refused(dirfd, -EBADMSG, "a pipe");
	ASSERT_OK(unlink(path));
	ASSERT_OK(mkdir(path, 0700));
	expect_refused(dirfd, -EBADMSG, "a folder");
	close(dirfd);
}

TEST_MAIN
