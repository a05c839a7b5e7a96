/* SPDX-License-Identifier: MIT */
/*
 * doc_test.c - documents: what is a good one, and that a file holds the old one or the
 * new one, whatever happens
 */
#include "engine/doc.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>

#include "blocked.h"
#include "harness.h"
#include "io/small_file.h"
#include "io/tree.h"
#include "loopfs.h"

#define NAME "thing.json"

FIXTURE(doc)
{
	int dir;
};

FIXTURE_SETUP(doc)
{
	self->dir = io_dir_open(AT_FDCWD, test_dir());
	ASSERT_GE(self->dir, 0);
}

FIXTURE_TEARDOWN(doc)
{
	close(self->dir);
}

static void put_bytes(int dir, const char *name, const void *bytes, size_t len)
{
	_cleanup_close_ int fd = -1;

	fd = openat(dir, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	ASSERT_GE(fd, 0, "%s", strerror(errno));
	ASSERT_OK(io_pwrite_all(fd, bytes, len, 0));
}

static void put_text(int dir, const char *text)
{
	put_bytes(dir, NAME, text, strlen(text));
}

/* A document with one member, "Number". */
static json_t *numbered(uint64_t number)
{
	json_t *doc = doc_new();

	ASSERT_NE(doc, NULL);
	ASSERT_EQ(json_object_set_new(doc, "Number", json_integer((json_int_t)number)),
		  0);
	return doc;
}

static int save_number(int dir, uint64_t number)
{
	_cleanup_doc_ json_t *doc = numbered(number);

	return doc_save(dir, NAME, doc);
}

static uint64_t load_number(int dir)
{
	_cleanup_doc_ json_t *doc = NULL;
	uint64_t number = 0;

	ASSERT_OK(doc_load(dir, NAME, &doc));
	ASSERT_OK(doc_u64(doc, "Number", &number));
	return number;
}

/* The folder holds the file and nothing else. */
static void expect_alone(int dir)
{
	char **names;
	size_t count;

	ASSERT_OK(io_dir_names(dir, &names, &count));
	EXPECT_EQ(count, 1);
	for (size_t i = 0; i < count; i++)
		EXPECT_STREQ(names[i], NAME);
	io_names_free(names, count);
}

static unsigned mode_of(int dir, const char *name)
{
	struct stat st;

	ASSERT_EQ(fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW), 0);
	ASSERT_TRUE(S_ISREG(st.st_mode));
	return st.st_mode & 07777;
}

/* ------------------------------------------------------------------------ loading */

/* Fails with @error and leaves the caller's variable alone. */
static void expect_refused(int dir, int error, const char *what)
{
	json_t *untouched = (json_t *)&dir, *doc = untouched;

	EXPECT_EQ(doc_load(dir, NAME, &doc), error, "%s", what);
	EXPECT_EQ(doc, untouched, "%s", what);
}

TEST_F(doc, what_is_saved_is_loaded)
{
	_cleanup_doc_ json_t *doc = doc_new(), *loaded = NULL;

	json_object_set_new(doc, "Text",
			    json_string("\xc3\xa4\n\"\\\x01 \xf0\x9f\x92\xbe"));
	json_object_set_new(doc, "Big", json_integer(INT64_MAX));
	json_object_set_new(doc, "Small", json_integer(INT64_MIN));
	json_object_set_new(doc, "List",
			    json_pack("[s, i, n, b, {s:f}]", "", 0, 1, "x", 0.5));
	json_object_set_new(doc, "", json_object());
	ASSERT_OK(doc_save(self->dir, NAME, doc));
	ASSERT_OK(doc_load(self->dir, NAME, &loaded));
	EXPECT_TRUE(json_equal(doc, loaded));
	expect_alone(self->dir);
}

TEST_F(doc, good_texts)
{
	static const char *const good[] = {
		"{\"FormatVersion\":1}",
		" \r\n\t{ \"FormatVersion\" : 1 } \r\n\t",
		"{\"A\":[[[[{\"FormatVersion\":7}]]]],\"FormatVersion\":1}",
	};

	for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
		_cleanup_doc_ json_t *doc = NULL;

		put_text(self->dir, good[i]);
		EXPECT_OK(doc_load(self->dir, NAME, &doc), "%s", good[i]);
	}
}

TEST_F(doc, a_newer_version_is_not_supported)
{
	static const char *const newer[] = {
		"{\"FormatVersion\":2}",
		"{\"FormatVersion\":1000,\"Number\":[]}",
		"{\"FormatVersion\":9223372036854775807}",
	};

	ASSERT_EQ(DOC_VERSION, 1);
	for (size_t i = 0; i < ARRAY_SIZE(newer); i++) {
		put_text(self->dir, newer[i]);
		expect_refused(self->dir, -EOPNOTSUPP, newer[i]);
	}
}

TEST_F(doc, a_version_that_never_was_is_damage)
{
	static const char *const bad[] = {
		"{}",
		"{\"Number\":1}",
		"{\"formatversion\":1}",
		"{\"FormatVersion\":0}",
		"{\"FormatVersion\":-0}",
		"{\"FormatVersion\":-1}",
		"{\"FormatVersion\":-9223372036854775808}",
		"{\"FormatVersion\":9223372036854775808}",
		"{\"FormatVersion\":18446744073709551617}",
		"{\"FormatVersion\":1.0}",
		"{\"FormatVersion\":1e0}",
		"{\"FormatVersion\":2.5}",
		"{\"FormatVersion\":\"1\"}",
		"{\"FormatVersion\":null}",
		"{\"FormatVersion\":true}",
		"{\"FormatVersion\":[1]}",
		"{\"FormatVersion\":{\"FormatVersion\":1}}",
	};

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		put_text(self->dir, bad[i]);
		expect_refused(self->dir, -EBADMSG, bad[i]);
	}
}

TEST_F(doc, what_does_not_parse_is_damage)
{
	static const char *const bad[] = {
		"",
		"\n",
		"{",
		"}",
		"{\"FormatVersion\":1",
		"{\"FormatVersion\":1,}",
		"{\"FormatVersion\":1}}",
		"{\"FormatVersion\":1} x",
		"{\"FormatVersion\":1}{\"FormatVersion\":1}",
		"{\"FormatVersion\":01}",
		"{'FormatVersion':1}",
		"{FormatVersion:1}",
		"// {\n{\"FormatVersion\":1}",
		"{\"FormatVersion\":1,\"A\":NaN}",
		"{\"FormatVersion\":1,\"A\":\"\xff\"}",
		"{\"FormatVersion\":1,\"A\":\"\\ud800\"}",
		"{\"FormatVersion\":1,\"A\":\"\\u0000\"}",
		"{\"FormatVersion\":1,\"A\":\"line\nbreak\"}",
		"\xef\xbb\xbf{\"FormatVersion\":1}",
		"[{\"FormatVersion\":1}]",
		"[]",
		"null",
		"1",
		"\"FormatVersion\"",
		/* twice the same, so that no two readers disagree */
		"{\"FormatVersion\":1,\"FormatVersion\":1}",
		"{\"FormatVersion\":2,\"FormatVersion\":1}",
		"{\"FormatVersion\":1,\"A\":1,\"A\":2}",
		"{\"FormatVersion\":1,\"A\":{\"B\":1,\"B\":1}}",
		"{\"FormatVersion\":1,\"\\u0041\":1,\"A\":1}",
	};

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		put_text(self->dir, bad[i]);
		expect_refused(self->dir, -EBADMSG, bad[i]);
	}
}

TEST_F(doc, bytes_that_are_no_text_are_damage)
{
	static const char nul[] = "{\"FormatVersion\":1}\0{}";
	static const char zeros[4096];
	char *deep = malloc(MIB);

	put_bytes(self->dir, NAME, nul, sizeof(nul));
	expect_refused(self->dir, -EBADMSG, "goes on after a NUL");
	put_bytes(self->dir, NAME, zeros, sizeof(zeros));
	expect_refused(self->dir, -EBADMSG, "zeros, as a crash may leave them");
	ASSERT_NE(deep, NULL);
	memset(deep, '[', MIB);
	put_bytes(self->dir, NAME, deep, MIB);
	expect_refused(self->dir, -EBADMSG, "a million lists in each other");
	for (size_t i = 0; i + 5 <= MIB; i += 5)
		memcpy(deep + i, "{\"a\":", 5);
	put_bytes(self->dir, NAME, deep, MIB);
	expect_refused(self->dir, -EBADMSG, "objects in each other");
	free(deep);
}

/* Every beginning of a good document, as a file system may leave it. */
TEST_F(doc, half_a_document_is_damage)
{
	char text[4096];
	ssize_t len;
	int fd;

	ASSERT_OK(save_number(self->dir, 12345));
	fd = openat(self->dir, NAME, O_RDONLY | O_CLOEXEC);
	len = read(fd, text, sizeof(text));
	close(fd);
	ASSERT_GT(len, 20);
	ASSERT_EQ(text[len - 1], '\n');
	ASSERT_EQ(text[len - 2], '}');
	for (ssize_t i = 0; i < len - 1; i++) {
		put_bytes(self->dir, NAME, text, (size_t)i);
		expect_refused(self->dir, -EBADMSG, "cut");
	}
}

TEST_F(doc, a_huge_file_is_damage_and_is_not_read)
{
	int fd = openat(self->dir, NAME, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

	ASSERT_GE(fd, 0);
	ASSERT_EQ(ftruncate(fd, (off_t)1 << 40), 0);
	close(fd);
	expect_refused(self->dir, -EBADMSG, "1 TiB");
}

TEST_F(doc, something_else_in_its_place_is_damage)
{
	ASSERT_EQ(mkfifoat(self->dir, NAME, 0600), 0);
	expect_refused(self->dir, -EBADMSG, "a FIFO nobody writes to");
	ASSERT_EQ(unlinkat(self->dir, NAME, 0), 0);
	ASSERT_EQ(mkdirat(self->dir, NAME, 0700), 0);
	expect_refused(self->dir, -EBADMSG, "a folder");
	ASSERT_EQ(unlinkat(self->dir, NAME, AT_REMOVEDIR), 0);
	expect_refused(self->dir, -ENOENT, "nothing");
}

TEST_F(doc, a_link_is_not_followed_to_load)
{
	static const char *const targets[] = {"other.json", "/dev/zero", "nowhere", NAME};

	put_bytes(self->dir, "other.json", "{\"FormatVersion\":1}", 19);
	for (size_t i = 0; i < ARRAY_SIZE(targets); i++) {
		ASSERT_EQ(symlinkat(targets[i], self->dir, NAME), 0);
		expect_refused(self->dir, -ELOOP, targets[i]);
		ASSERT_EQ(unlinkat(self->dir, NAME, 0), 0);
	}
}

static void expect_opened_below(int dir)
{
	static const struct {
		const char *path;
		int error;
	} paths[] = {
		{"folder/file", 0},
		{"link", -ELOOP},
		{"link/file", -ELOOP},
		{"folder/none", -ENOENT},
		{"folder/../..", -EXDEV},
		{"/dev/null", -EXDEV},
		{"folder/file/file", -ENOTDIR},
	};

	for (size_t i = 0; i < ARRAY_SIZE(paths); i++) {
		int fd = io_open_read(dir, paths[i].path);

		EXPECT_EQ(fd < 0 ? fd : 0, paths[i].error, "%s", paths[i].path);
		if (fd >= 0)
			close(fd);
	}
}

/* A kernel before 5.6 has no openat2(), nor have some filters. */
TEST_F(doc, nothing_is_opened_but_what_is_below)
{
	ASSERT_EQ(mkdirat(self->dir, "folder", 0700), 0);
	put_bytes(self->dir, "folder/file", "x", 1);
	ASSERT_EQ(symlinkat("folder", self->dir, "link"), 0);
	expect_opened_below(self->dir);
	block_syscall(SYS_openat2, ENOSYS);
	expect_opened_below(self->dir);
}

TEST_F(doc, a_file_of_somebody_else_is_no_damage)
{
	if (geteuid() != 0)
		SKIP("must be root to become somebody else");
	ASSERT_OK(save_number(self->dir, 1));
	ASSERT_EQ(seteuid(65534), 0);
	expect_refused(self->dir, -EACCES, "mode 0600");
	EXPECT_EQ(save_number(self->dir, 2), -EACCES);
	ASSERT_EQ(seteuid(0), 0);
	EXPECT_EQ(load_number(self->dir), 1);
	expect_alone(self->dir);
}

/* ------------------------------------------------------------------------- saving */

TEST_F(doc, is_for_its_owner_alone)
{
	static const mode_t masks[] = {0, 022, 077};

	for (size_t i = 0; i < ARRAY_SIZE(masks); i++) {
		umask(masks[i]);
		ASSERT_OK(save_number(self->dir, i));
		EXPECT_EQ(mode_of(self->dir, NAME), 0600, "umask %o", masks[i]);
		/* One that was open to all is replaced, not written to. */
		ASSERT_EQ(fchmodat(self->dir, NAME, 0666, 0), 0);
		ASSERT_OK(save_number(self->dir, i));
		EXPECT_EQ(mode_of(self->dir, NAME), 0600, "umask %o", masks[i]);
	}
}

static void expect_owner(int dir, uid_t uid, gid_t gid)
{
	struct stat st;

	ASSERT_EQ(fstatat(dir, NAME, &st, AT_SYMLINK_NOFOLLOW), 0);
	EXPECT_EQ(st.st_uid, uid);
	EXPECT_EQ(st.st_gid, gid);
}

/* Root may come to replace what is another's, who is to go on reading it. */
TEST_F(doc, stays_whose_it_was)
{
	static const struct {
		uid_t uid;
		gid_t gid;
	} owners[] = {{65534, 65533}, {65534, 0}, {0, 65533}, {0, 0}};

	if (geteuid() != 0)
		SKIP("must be root to make it somebody else's");
	for (size_t i = 0; i < ARRAY_SIZE(owners); i++) {
		ASSERT_OK(save_number(self->dir, i));
		ASSERT_EQ(fchownat(self->dir, NAME, owners[i].uid, owners[i].gid, 0), 0);
		ASSERT_OK(save_number(self->dir, i + 1));
		expect_owner(self->dir, owners[i].uid, owners[i].gid);
		EXPECT_EQ(mode_of(self->dir, NAME), 0600);
	}
}

TEST_F(doc, is_replaced_by_who_may_not_give_it_back)
{
	if (geteuid() != 0)
		SKIP("must be root to become somebody else");
	ASSERT_OK(save_number(self->dir, 1));
	ASSERT_EQ(fchmod(self->dir, 0777), 0);
	ASSERT_EQ(seteuid(65534), 0);
	ASSERT_OK(save_number(self->dir, 2));
	EXPECT_EQ(load_number(self->dir), 2);
	ASSERT_EQ(seteuid(0), 0);
	expect_owner(self->dir, 65534, 0);
	expect_alone(self->dir);
}

TEST_F(doc, an_open_file_keeps_the_old_content)
{
	_cleanup_close_ int fd = -1;
	char text[256] = "";

	put_text(self->dir, "old");
	fd = openat(self->dir, NAME, O_RDONLY | O_CLOEXEC);
	ASSERT_GE(fd, 0);
	ASSERT_OK(save_number(self->dir, 2));
	ASSERT_EQ(read(fd, text, sizeof(text)), 3);
	EXPECT_STREQ(text, "old");
	EXPECT_EQ(load_number(self->dir), 2);
	expect_alone(self->dir);
}

TEST_F(doc, a_link_is_replaced_and_not_followed)
{
	put_bytes(self->dir, "other", "other", 5);
	ASSERT_EQ(symlinkat("other", self->dir, NAME), 0);
	ASSERT_OK(save_number(self->dir, 1));
	EXPECT_EQ(mode_of(self->dir, NAME), 0600, "a file now");
	ASSERT_EQ(renameat(self->dir, "other", self->dir, NAME), 0);
	expect_refused(self->dir, -EBADMSG, "still \"other\"");
}

TEST_F(doc, what_a_dead_process_left_is_no_obstacle)
{
	char *text = malloc(MIB);

	ASSERT_NE(text, NULL);
	memset(text, 'x', MIB);
	put_bytes(self->dir, "." NAME ".new", text, MIB);
	free(text);
	ASSERT_OK(save_number(self->dir, 3));
	EXPECT_EQ(load_number(self->dir), 3);
	expect_alone(self->dir);
}

TEST_F(doc, a_folder_in_its_place_is_an_error_without_litter)
{
	ASSERT_EQ(mkdirat(self->dir, NAME, 0700), 0);
	EXPECT_EQ(save_number(self->dir, 1), -EISDIR);
	expect_alone(self->dir);
}

TEST_F(doc, the_old_one_survives_a_write_that_fails)
{
	struct rlimit limit;

	ASSERT_OK(save_number(self->dir, 1));
	ASSERT_EQ(getrlimit(RLIMIT_FSIZE, &limit), 0);
	signal(SIGXFSZ, SIG_IGN);
	for (rlim_t most = 0; most < 10; most += 3) {
		limit.rlim_cur = most;
		ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &limit), 0);
		EXPECT_EQ(save_number(self->dir, 2), -EFBIG, "after %d bytes", (int)most);
		EXPECT_EQ(load_number(self->dir), 1);
		expect_alone(self->dir);
	}
	limit.rlim_cur = limit.rlim_max;
	ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &limit), 0);
	ASSERT_OK(save_number(self->dir, 2));
	EXPECT_EQ(load_number(self->dir), 2);
}

/* Writes until there is no more room. */
static void fill_up(int dir)
{
	static const char zeros[4096];
	int fd = openat(dir, "filler", O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

	ASSERT_GE(fd, 0);
	while (write(fd, zeros, sizeof(zeros)) > 0)
		;
	EXPECT_EQ(errno, ENOSPC);
	close(fd);
}

FIXTURE(full)
{
	struct loopfs fs;
	int dir;
};

FIXTURE_VARIANT(full)
{
	const char *type, *mount_opts;
};

FIXTURE_VARIANT_ADD(full, tmpfs){.type = "tmpfs", .mount_opts = "size=1m"};
FIXTURE_VARIANT_ADD(full, ext4){.type = "ext4"};

FIXTURE_SETUP(full)
{
	self->dir = -1;
	loopfs_mount(&self->fs, variant->type, 0, NULL, variant->mount_opts);
	self->dir = io_dir_open(AT_FDCWD, self->fs.mnt);
	ASSERT_GE(self->dir, 0);
}

FIXTURE_TEARDOWN(full)
{
	if (self->dir >= 0)
		close(self->dir);
	loopfs_umount(&self->fs);
}

TEST_F(full, the_old_one_survives_a_full_file_system)
{
	_cleanup_doc_ json_t *large = numbered(2), *doc = NULL;

	for (int i = 0; i < 2000; i++)
		json_object_set_new(large,
				    (char[8]){(char)('a' + i % 26),
					      (char)('a' + i / 26 % 26),
					      (char)('a' + i / 676)},
				    json_integer(i));
	ASSERT_OK(save_number(self->dir, 1));
	fill_up(self->dir);
	EXPECT_EQ(doc_save(self->dir, NAME, large), -ENOSPC);
	EXPECT_EQ(load_number(self->dir), 1);
	EXPECT_NE(faccessat(self->dir, "." NAME ".new", F_OK, 0), 0, "no litter");
	ASSERT_EQ(unlinkat(self->dir, "filler", 0), 0);
	ASSERT_OK(doc_save(self->dir, NAME, large));
	ASSERT_OK(doc_load(self->dir, NAME, &doc));
	EXPECT_TRUE(json_equal(doc, large));
}

/* ------------------------------------------------------------ old or new, never half */

/* A document whose members all say the same number, and how many they are. */
static json_t *consistent(unsigned number)
{
	json_t *doc = numbered(number), *list = json_array();

	for (unsigned i = 0; i < number % 97 * 10; i++)
		json_array_append_new(list, json_integer(number));
	json_object_set_new(doc, "List", list);
	return doc;
}

static void save_for_ever(int dir)
{
	for (unsigned number = 1;; number++) {
		_cleanup_doc_ json_t *doc = consistent(number);

		if (doc_save(dir, NAME, doc) < 0)
			_exit(1);
	}
}

TEST_F(doc, readers_and_a_killed_writer_see_whole_documents)
{
	uint64_t last = 0;

	ASSERT_OK(save_number(self->dir, 0));
	for (unsigned round = 0; round < 10; round++) {
		struct timespec pause = {.tv_nsec = 3000000 + round * 1700000};
		pid_t writer = fork();
		unsigned news = 0;
		int status;

		ASSERT_GE(writer, 0);
		if (writer == 0)
			save_for_ever(self->dir);
		while (news < 4) {
			_cleanup_doc_ json_t *doc = NULL, *whole = NULL;
			uint64_t number;

			ASSERT_EQ(waitpid(writer, &status, WNOHANG), 0, "saving failed");
			ASSERT_OK(doc_load(self->dir, NAME, &doc));
			ASSERT_OK(doc_u64(doc, "Number", &number));
			if (!number)
				continue; /* the first */
			whole = consistent((unsigned)number);
			ASSERT_TRUE(json_equal(doc, whole), "%llu",
				    (unsigned long long)number);
			news += number != last;
			last = number;
		}
		nanosleep(&pause, NULL);
		ASSERT_EQ(kill(writer, SIGKILL), 0);
		ASSERT_EQ(waitpid(writer, &status, 0), writer);
	}
	ASSERT_OK(save_number(self->dir, 1));
	expect_alone(self->dir);
}

/* ------------------------------------------------------------------------- memory */

static unsigned before_none; /* allocations that there is memory for */

static void *scarce(size_t size)
{
	if (before_none) {
		before_none--;
		return malloc(size);
	}
	errno = ENOMEM;
	return NULL;
}

/* Who has no memory for a good document does not take it for a damaged one: it might be
 * retired for that. */
TEST_F(doc, for_want_of_memory_none_is_damaged)
{
	json_t *doc = NULL;
	json_malloc_t usual;
	json_free_t give_back;
	int r = -ENOMEM;

	put_text(self->dir, "{\"FormatVersion\": 1, \"A\": [\"text\", 1.5, {\"B\": 7}]}");
	json_get_alloc_funcs(&usual, &give_back);
	json_set_alloc_funcs(scarce, free);
	for (unsigned some = 0; r == -ENOMEM && some < 1000; some++) {
		before_none = some;
		r = doc_load(self->dir, NAME, &doc);
	}
	json_set_alloc_funcs(usual, give_back);
	EXPECT_OK(r);
	json_decref(doc);
}

/* ------------------------------------------------------------------------ members */

TEST(members_are_there_and_of_their_type)
{
	_cleanup_doc_ json_t *doc = json_pack(
		"{s:s, s:s, s:i, s:I, s:i, s:f, s:b, s:n, s:[], s:{}}", "string", "text",
		"empty", "", "zero", 0, "big", (json_int_t)INT64_MAX, "minus", -1, "real",
		1.0, "true", 1, "null", "array", "object");
	static const char *const keys[] = {"string", "empty", "zero",  "big",	"minus",
					   "real",   "true",  "null",  "array", "object",
					   "",	     "none",  "STRING"};

	ASSERT_NE(doc, NULL);
	for (size_t i = 0; i < ARRAY_SIZE(keys); i++) {
		const char *key = keys[i], *text = "untouched";
		json_t *value = json_object_get(doc, key), *list = doc;
		uint64_t number = 42;

		if (json_is_string(value)) {
			EXPECT_OK(doc_string(doc, key, &text), "%s", key);
			EXPECT_STREQ(text, json_string_value(value));
		} else {
			EXPECT_EQ(doc_string(doc, key, &text), -EBADMSG, "%s", key);
			EXPECT_STREQ(text, "untouched");
		}
		if (!strcmp(key, "zero") || !strcmp(key, "big")) {
			EXPECT_OK(doc_u64(doc, key, &number), "%s", key);
			EXPECT_EQ(number, json_integer_value(value));
		} else {
			EXPECT_EQ(doc_u64(doc, key, &number), -EBADMSG, "%s", key);
			EXPECT_EQ(number, 42);
		}
		if (!strcmp(key, "array")) {
			EXPECT_OK(doc_array(doc, key, &list), "%s", key);
			EXPECT_EQ(list, value);
		} else {
			EXPECT_EQ(doc_array(doc, key, &list), -EBADMSG, "%s", key);
			EXPECT_EQ(list, doc);
		}
	}
}

TEST(a_new_document_has_the_version_and_a_text_without_line_breaks)
{
	_cleanup_doc_ json_t *doc = doc_new();
	_cleanup_free_ char *text = NULL;

	json_object_set_new(doc, "A", json_pack("[s]", "x\ny"));
	text = doc_text(doc);
	EXPECT_STREQ(text, "{\"FormatVersion\":1,\"A\":[\"x\\ny\"]}");
}

/* The machine's clock may be set meanwhile; this one only by a test. */
static struct timespec clock_time;
static clockid_t clock_asked;

int clock_gettime(clockid_t id, struct timespec *ret)
{
	clock_asked = id;
	*ret = clock_time;
	return 0;
}

TEST(times_are_utc_with_milliseconds_and_sort_as_text)
{
	/* One after the other, across the seconds' ends. */
	static const struct {
		struct timespec time;
		const char *text;
	} times[] = {
		{{0, 0}, "1970-01-01T00:00:00.000Z"},
		{{1795437296, 0}, "2026-11-23T12:34:56.000Z"},
		{{1795437296, 7999999}, "2026-11-23T12:34:56.007Z"},
		{{1795437296, 789000000}, "2026-11-23T12:34:56.789Z"},
		{{1795437296, 999999999}, "2026-11-23T12:34:56.999Z"},
		{{1795437297, 1000000}, "2026-11-23T12:34:57.001Z"},
		{{1798761600, 0}, "2027-01-01T00:00:00.000Z"},
	};
	char before[DOC_TIME_SIZE] = "", now[DOC_TIME_SIZE];

	setenv("TZ", "America/Caracas", 1);
	tzset();
	for (size_t i = 0; i < ARRAY_SIZE(times); i++) {
		clock_time = times[i].time;
		doc_time(now);
		EXPECT_EQ(clock_asked, CLOCK_REALTIME);
		EXPECT_STREQ(now, times[i].text);
		EXPECT_LT(strcmp(before, now), 0, "%s, then %s", before, now);
		memcpy(before, now, sizeof(now));
	}
}

static void *no_memory(size_t size)
{
	(void)size;
	errno = ENOMEM;
	return NULL;
}

/* That a path is no text is told to who gave it. */
TEST(what_there_is_no_memory_for_is_not_called_no_text)
{
	json_set_alloc_funcs(no_memory, free);
	EXPECT_TRUE(doc_is_text("/srv/store"));
}

TEST_MAIN
