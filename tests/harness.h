/* SPDX-License-Identifier: MIT */
/*
 * harness.h - a small test harness in the manner of kselftest; speaks TAP 13
 *
 *	FIXTURE(disk) { struct loopfs fs; };		struct disk_fixture *self
 *	FIXTURE_VARIANT(disk) { const char *type; };	struct disk_variant *variant
 *	FIXTURE_VARIANT_ADD(disk, xfs) { .type = "xfs" };
 *	FIXTURE_VARIANT_ADD(disk, ext4) { .type = "ext4" };
 *	FIXTURE_SETUP(disk) { ... self->fs ... variant->type ... }
 *	FIXTURE_TEARDOWN(disk) { ... }
 *	TEST_F(disk, is_empty) { ASSERT_EQ(size, 0); }    disk.xfs.is_empty, disk.ext4...
 *	TEST(adds_up) { EXPECT_EQ(1 + 1, 2, "round %d", i); }
 *	TEST_MAIN
 *
 * Every test is a process and process group of its own, has 10 minutes (see
 * TEST_TIMEOUT) and a scratch folder, test_dir(). EXPECT_ notes a failure and goes
 * on, ASSERT_ ends the test; both also work in its threads and forked children.
 * Teardown runs in the test's process, also after a failed setup: it must cope with
 * a half-built self, which begins as zeros. After a crash or a timeout there is no
 * such process any more; then, as always, the runner kills what the test has started,
 * daemons included, and empties the folder. What a test mounts it mounts in a mount
 * namespace of its own (loopfs.h), so nothing is left of that either.
 *
 * The programs take -l (list), -t PATTERN (only these names) and -v (show what tests
 * log as it comes; otherwise it is shown when they fail); TEST_SEED=N repeats a random
 * test.
 */
#ifndef TESTS_HARNESS_H
#define TESTS_HARNESS_H

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* Whether it is built with a sanitizer that takes memory and time of its own. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SANITIZED 1
#endif
#endif
#ifndef SANITIZED
#define SANITIZED 0
#endif

struct test_variant {
	const char *name;
	const void *data;
	int line;
	struct test_variant *next;
};

struct test_case {
	const char *fixture, *name;
	int line;
	unsigned timeout; /* seconds; 0 = default */
	size_t size;	  /* of the fixture's data */
	void (*setup)(void *self, const void *variant);
	void (*run)(void *self, const void *variant);
	void (*teardown)(void *self, const void *variant);
	struct test_variant **variants;
	struct test_case *next;
};

enum test_op {
	TEST_EQ,
	TEST_NE,
	TEST_LT,
	TEST_LE,
	TEST_GT,
	TEST_GE
};

/* Where a check stands in the source. */
struct test_where {
	const char *file;
	int line;
	bool fatal; /* ASSERT_ */
	const char *a, *b;
};

void test_add(struct test_case *test);
void test_add_variant(struct test_variant **list, struct test_variant *variant);
int test_main(int argc, char **argv, const char *(*requires)(void));

#define TEST_PRINTF(n) __attribute__((format(printf, n, (n) + 1)))
void test_compare(const struct test_where *where, enum test_op op, __int128 a, __int128 b,
		  const char *format, ...) TEST_PRINTF(5);
void test_compare_strings(const struct test_where *where, const char *a, const char *b,
			  const char *format, ...) TEST_PRINTF(4);
void test_check_ok(const struct test_where *where, long long rc, const char *format, ...)
	TEST_PRINTF(3);
void test_fail(const struct test_where *where, const char *format, ...) TEST_PRINTF(2)
	__attribute__((noreturn));
void test_skip(const char *format, ...) TEST_PRINTF(1) __attribute__((noreturn));
void test_expect_failure(const char *format, ...) TEST_PRINTF(1);

/* The running test has failed; and: back to the runner, from any thread or child of it.
 */
void test_note_failure(void);
void test_end_phase(void) __attribute__((noreturn));

/* A line "# ..." on stderr. */
void test_log(const char *format, ...) TEST_PRINTF(1);

/* This test's scratch folder: an absolute path, made when first asked for. */
const char *test_dir(void);

/* A new seed, or that of $TEST_SEED; logged, so that a failure can be repeated. */
uint64_t test_seed(void);

/* ------------------------------------------------------------------ defining */

#define TEST_REGISTER(id, call)                                         \
	__attribute__((constructor)) static void tc_register_##id(void) \
	{                                                               \
		call;                                                   \
	}

#define TEST(id) TEST_TIMEOUT(id, 0)
#define TEST_TIMEOUT(id, seconds)                                \
	static void tc_##id(void);                               \
	static void tc_run_##id(void *self, const void *variant) \
	{                                                        \
		(void)self;                                      \
		(void)variant;                                   \
		tc_##id();                                       \
	}                                                        \
	static struct test_case tc_case_##id = {                 \
		.name = #id,                                     \
		.line = __LINE__,                                \
		.timeout = seconds,                              \
		.run = tc_run_##id,                              \
	};                                                       \
	TEST_REGISTER(id, test_add(&tc_case_##id))               \
	static void tc_##id(void)

#define FIXTURE(f)                                   \
	static struct test_variant *tc_variants_##f; \
	struct f##_fixture
#define FIXTURE_VARIANT(f) struct f##_variant
#define FIXTURE_VARIANT_ADD(f, v)                                                \
	static const struct f##_variant tc_data_##f##_##v;                       \
	static struct test_variant tc_variant_##f##_##v = {                      \
		.name = #v,                                                      \
		.line = __LINE__,                                                \
		.data = &tc_data_##f##_##v,                                      \
	};                                                                       \
	TEST_REGISTER(variant_##f##_##v,                                         \
		      test_add_variant(&tc_variants_##f, &tc_variant_##f##_##v)) \
	static const struct f##_variant tc_data_##f##_##v =

/* A function of the fixture, and one of a common type that calls it. */
#define TEST_FUNCTION(f, id)                                         \
	static void tc_body_##id(struct f##_fixture *self,           \
				 const struct f##_variant *variant); \
	static void tc_call_##id(void *self, const void *variant)    \
	{                                                            \
		tc_body_##id(self, variant);                         \
	}
#define TEST_BODY(f, id)                                                           \
	static void tc_body_##id(__attribute__((unused)) struct f##_fixture *self, \
				 __attribute__((unused))                           \
				 const struct f##_variant *variant)

#define FIXTURE_SETUP(f)    \
	struct f##_variant; \
	TEST_FUNCTION(f, f##_setup) TEST_BODY(f, f##_setup)
#define FIXTURE_TEARDOWN(f) TEST_FUNCTION(f, f##_teardown) TEST_BODY(f, f##_teardown)
#define TEST_F(f, id)	    TEST_F_TIMEOUT(f, id, 0)
#define TEST_F_TIMEOUT(f, id, seconds)                         \
	TEST_FUNCTION(f, f##_##id)                             \
	static struct test_case tc_case_##f##_##id = {         \
		.fixture = #f,                                 \
		.name = #id,                                   \
		.line = __LINE__,                              \
		.timeout = seconds,                            \
		.size = sizeof(struct f##_fixture),            \
		.setup = tc_call_##f##_setup,                  \
		.run = tc_call_##f##_##id,                     \
		.teardown = tc_call_##f##_teardown,            \
		.variants = &tc_variants_##f,                  \
	};                                                     \
	TEST_REGISTER(f##_##id, test_add(&tc_case_##f##_##id)) \
	TEST_BODY(f, f##_##id)

#define TEST_MAIN                                   \
	int main(int argc, char **argv)             \
	{                                           \
		return test_main(argc, argv, NULL); \
	}
/* @reason() returns why the whole file cannot run here, or NULL. */
#define TEST_MAIN_REQUIRES(reason)                    \
	int main(int argc, char **argv)               \
	{                                             \
		return test_main(argc, argv, reason); \
	}

/* ------------------------------------------------------------------ checking */

/* Any integer or pointer, its value unchanged: no surprise from mixed signs. */
#define TEST_NUMBER(x)                                                    \
	((__int128)__builtin_choose_expr(__builtin_classify_type(x) == 5, \
					 (uintptr_t)(x), (x)))
#define TEST_WHERE(fatal, a, b) \
	(&(const struct test_where){__FILE__, __LINE__, fatal, a, b})
#define TEST_COMPARE(fatal, op, a, b, a_text, b_text, ...)                  \
	test_compare(TEST_WHERE(fatal, a_text, b_text), op, TEST_NUMBER(a), \
		     TEST_NUMBER(b), " " __VA_ARGS__)

/* All may end with a format and its arguments, shown when the check fails. */
#define EXPECT_EQ(a, b, ...) TEST_COMPARE(false, TEST_EQ, a, b, #a, #b, __VA_ARGS__)
#define EXPECT_NE(a, b, ...) TEST_COMPARE(false, TEST_NE, a, b, #a, #b, __VA_ARGS__)
#define EXPECT_LT(a, b, ...) TEST_COMPARE(false, TEST_LT, a, b, #a, #b, __VA_ARGS__)
#define EXPECT_LE(a, b, ...) TEST_COMPARE(false, TEST_LE, a, b, #a, #b, __VA_ARGS__)
#define EXPECT_GT(a, b, ...) TEST_COMPARE(false, TEST_GT, a, b, #a, #b, __VA_ARGS__)
#define EXPECT_GE(a, b, ...) TEST_COMPARE(false, TEST_GE, a, b, #a, #b, __VA_ARGS__)
#define EXPECT_TRUE(a, ...) \
	TEST_COMPARE(false, TEST_EQ, !!(a), 1, #a, "true", __VA_ARGS__)
#define EXPECT_FALSE(a, ...) \
	TEST_COMPARE(false, TEST_EQ, !!(a), 0, #a, "false", __VA_ARGS__)
#define EXPECT_STREQ(a, b, ...) \
	test_compare_strings(TEST_WHERE(false, #a, #b), a, b, " " __VA_ARGS__)
/* 0 is fine; of a negative value the error's name is shown. */
#define EXPECT_OK(rc, ...) test_check_ok(TEST_WHERE(false, #rc, ""), rc, " " __VA_ARGS__)

#define ASSERT_EQ(a, b, ...) TEST_COMPARE(true, TEST_EQ, a, b, #a, #b, __VA_ARGS__)
#define ASSERT_NE(a, b, ...) TEST_COMPARE(true, TEST_NE, a, b, #a, #b, __VA_ARGS__)
#define ASSERT_LT(a, b, ...) TEST_COMPARE(true, TEST_LT, a, b, #a, #b, __VA_ARGS__)
#define ASSERT_LE(a, b, ...) TEST_COMPARE(true, TEST_LE, a, b, #a, #b, __VA_ARGS__)
#define ASSERT_GT(a, b, ...) TEST_COMPARE(true, TEST_GT, a, b, #a, #b, __VA_ARGS__)
#define ASSERT_GE(a, b, ...) TEST_COMPARE(true, TEST_GE, a, b, #a, #b, __VA_ARGS__)
#define ASSERT_TRUE(a, ...)  TEST_COMPARE(true, TEST_EQ, !!(a), 1, #a, "true", __VA_ARGS__)
#define ASSERT_FALSE(a, ...) \
	TEST_COMPARE(true, TEST_EQ, !!(a), 0, #a, "false", __VA_ARGS__)
#define ASSERT_STREQ(a, b, ...) \
	test_compare_strings(TEST_WHERE(true, #a, #b), a, b, " " __VA_ARGS__)
#define ASSERT_OK(rc, ...) test_check_ok(TEST_WHERE(true, #rc, ""), rc, " " __VA_ARGS__)
/* Fails and ends the test. */
#define FAIL(...) test_fail(TEST_WHERE(false, "", ""), __VA_ARGS__)

/* Ends the test, with a reason; teardown runs. */
#define SKIP(...) test_skip(__VA_ARGS__)
/* From here on this test is expected to fail; if it then passes, that is a failure. */
#define XFAIL(...) test_expect_failure(__VA_ARGS__)

#endif
