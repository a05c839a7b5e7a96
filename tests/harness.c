/* SPDX-License-Identifier: MIT */
/*
 * harness.c - runs the tests that harness.h defines, one process each
 *
 *	runner ── fork ──> setup, test, teardown ── state (shared memory) ──> runner
 *
 * The runner waits for the process, its time limit or a signal to itself, then kills
 * what is left of the test: its process group, and as the subreaper of all its
 * descendants also those that left the group. So a failed test cannot hold a mount,
 * a loop device or the pipe that prove reads.
 */
#include <fcntl.h>
#include <fnmatch.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "harness.h"
#include "scratch.h"

#define SLOWER (SANITIZED ? 4 : 1)
/* For what has hung: many times what a test needs, or a busy machine fails it. */
#define DEFAULT_TIMEOUT 600

enum result {
	PASSED,
	FAILED,
	SKIPPED,
	XFAILED,
	XPASSED,
	RESULTS
};

/* What a test's processes tell the runner. */
struct state {
	bool finished; /* teardown has run */
	bool failed, skipped, expected;
	char reason[256];
};

/* A test that is to be run: one row of a fixture's table of tests by variants. */
struct choice {
	const struct test_case *test;
	const struct test_variant *variant;
	char name[256]; /* fixture.variant.test */
};

static struct test_case *tests;
static struct state *state;
static bool verbose;   /* -v: show the log of every test, as it comes */
static pid_t test_pid; /* in the test's process: itself */
static jmp_buf leave;  /* there: ends the current phase */

void test_add(struct test_case *test)
{
	struct test_case **at = &tests;

	while (*at && (*at)->line < test->line)
		at = &(*at)->next;
	test->next = *at;
	*at = test;
}

void test_add_variant(struct test_variant **list, struct test_variant *variant)
{
	while (*list && (*list)->line < variant->line)
		list = &(*list)->next;
	variant->next = *list;
	*list = variant;
}

/* ------------------------------------------------------- in the test's process */

/* Only the test's first thread can go back to the runner's loop. */
void test_end_phase(void)
{
	if (getpid() != test_pid)
		_exit(1);
	if (gettid() != test_pid)
		pthread_exit(NULL);
	longjmp(leave, 1);
}

void test_note_failure(void)
{
	__atomic_store_n(&state->failed, true, __ATOMIC_RELAXED);
}

void test_skip(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(state->reason, sizeof(state->reason), format, args);
	va_end(args);
	state->skipped = true;
	test_end_phase();
}

void test_expect_failure(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(state->reason, sizeof(state->reason), format, args);
	va_end(args);
	state->expected = true;
}

uint64_t test_seed(void)
{
	const char *given = getenv("TEST_SEED");
	uint64_t seed;

	if (given)
		seed = strtoull(given, NULL, 0);
	else if (getrandom(&seed, sizeof(seed), 0) != sizeof(seed))
		FAIL("getrandom: %s", strerror(errno));
	test_log("TEST_SEED=%llu", (unsigned long long)seed);
	return seed;
}

static void run_phase(void (*phase)(void *self, const void *variant), void *self,
		      const void *variant)
{
	if (phase && setjmp(leave) == 0)
		phase(self, variant);
}

/* Ends the process. Leaks are looked for at exit(), but only if nothing was cut short. */
__attribute__((noreturn)) static void run_test(const struct test_case *test,
					       const struct test_variant *variant)
{
	const void *data = variant ? variant->data : NULL;
	void *self = calloc(1, test->size ? test->size : 1);

	if (!self)
		abort();
	run_phase(test->setup, self, data);
	if (!state->failed && !state->skipped)
		run_phase(test->run, self, data);
	run_phase(test->teardown, self, data);
	free(self);
	state->finished = true;
	fflush(NULL);
	if (state->failed || state->skipped)
		_exit(0);
	exit(0);
}

/* ---------------------------------------------------------------- in the runner */

/* Ends what is left of the test: its group and, as orphans now children of ours, the
 * rest. */
static int end_test(pid_t group)
{
	int status = 0;
	char path[64];
	FILE *file;
	int pid;

	kill(-group, SIGKILL);
	waitpid(group, &status, 0);
	snprintf(path, sizeof(path), "/proc/self/task/%d/children", (int)getpid());
	do {
		file = fopen(path, "re");
		while (file && fscanf(file, "%d", &pid) == 1)
			kill(pid, SIGKILL);
		if (file)
			fclose(file);
	} while (waitpid(-1, NULL, file ? 0 : WNOHANG) > 0);
	return status;
}

/* Waits for the test's end, its time limit or a signal to us, which ends the runner. */
static bool wait_in_time(pid_t pid, unsigned seconds, int signals)
{
	struct pollfd fds[] = {{.events = POLLIN}, {.fd = signals, .events = POLLIN}};
	struct signalfd_siginfo info;
	int ready;

	fds[0].fd = (int)syscall(SYS_pidfd_open, pid, 0);
	do
		ready = poll(fds, 2, (int)seconds * 1000);
	while (ready < 0 && errno == EINTR);
	close(fds[0].fd);
	if (ready <= 0)
		return false;
	if (fds[0].revents)
		return true;
	end_test(pid);
	scratch_close();
	if (read(signals, &info, sizeof(info)) == sizeof(info))
		printf("Bail out! %s\n", strsignal((int)info.ssi_signo));
	exit(1);
}

/* Standard output is for the runner alone, so the test's goes where its log goes. */
__attribute__((noreturn)) static void child(const struct choice *choice, int log,
					    const sigset_t *mask)
{
	int null = open("/dev/null", O_RDONLY);

	setpgid(0, 0);
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	sigprocmask(SIG_SETMASK, mask, NULL);
	signal(SIGPIPE, SIG_DFL);
	dup2(null, STDIN_FILENO);
	dup2(log, STDOUT_FILENO);
	dup2(log, STDERR_FILENO);
	close(null);
	test_pid = getpid();
	run_test(choice->test, choice->variant);
}

static void show_log(int log)
{
	char buf[4096];
	ssize_t got;
	off_t at;

	for (at = 0; (got = pread(log, buf, sizeof(buf), at)) > 0; at += got)
		fwrite(buf, 1, (size_t)got, stderr);
}

static enum result judge(bool in_time, unsigned seconds, int status, char *note,
			 size_t size)
{
	*note = '\0';
	if (!in_time)
		snprintf(note, size, " # TIMEOUT %u seconds", seconds);
	else if (WIFSIGNALED(status))
		snprintf(note, size, " # killed by signal %d, %s", WTERMSIG(status),
			 strsignal(WTERMSIG(status)));
	else if (WEXITSTATUS(status))
		snprintf(note, size, " # exit status %d", WEXITSTATUS(status));
	else if (!state->finished)
		snprintf(note, size, " # left before its end");
	if (*note)
		return FAILED;
	if (state->expected)
		snprintf(note, size, " # %s %s", state->failed ? "XFAIL" : "XPASS",
			 state->reason);
	else if (state->skipped && !state->failed)
		snprintf(note, size, " # SKIP %s", state->reason);
	if (state->failed)
		return state->expected ? XFAILED : FAILED;
	return state->expected ? XPASSED : state->skipped ? SKIPPED : PASSED;
}

static enum result run_choice(const struct choice *choice, size_t index)
{
	unsigned seconds = (choice->test->timeout ? choice->test->timeout
						  : DEFAULT_TIMEOUT) *
			   SLOWER;
	enum result result;
	sigset_t ends, mask;
	int log, signals, status;
	bool in_time;
	char note[512];
	pid_t pid;

	memset(state, 0, sizeof(*state));
	scratch_begin(index);
	sigemptyset(&ends);
	sigaddset(&ends, SIGINT);
	sigaddset(&ends, SIGTERM);
	sigaddset(&ends, SIGHUP);
	sigprocmask(SIG_BLOCK, &ends, &mask);
	signals = signalfd(-1, &ends, SFD_CLOEXEC);
	log = verbose ? dup(STDERR_FILENO) : memfd_create("log", MFD_CLOEXEC);
	fflush(stdout);
	pid = fork();
	if (pid < 0) {
		perror("fork");
		exit(1);
	}
	if (pid == 0)
		child(choice, log, &mask);
	setpgid(pid, pid);
	in_time = wait_in_time(pid, seconds, signals);
	status = end_test(pid);
	close(signals);
	sigprocmask(SIG_SETMASK, &mask, NULL);
	scratch_end();

	result = judge(in_time, seconds, status, note, sizeof(note));
	if (!verbose && (result == FAILED || result == XPASSED)) {
		show_log(log);
		fprintf(stderr, "# not ok: %s%s\n", choice->name, note);
	}
	close(log);
	printf("%s %zu %s%s\n", result == FAILED || result == XPASSED ? "not ok" : "ok",
	       index, choice->name, note);
	return result;
}

/* Collects the tests whose names match, in the order of the source. */
static size_t choose(const char *pattern, struct choice **ret)
{
	const struct test_variant *variant;
	const struct test_case *test;
	struct choice *at;
	size_t count = 0;

	*ret = NULL;
	for (test = tests; test; test = test->next) {
		variant = test->variants ? *test->variants : NULL;
		do {
			*ret = reallocarray(*ret, count + 1, sizeof(**ret));
			if (!*ret)
				abort();
			at = &(*ret)[count];
			at->test = test;
			at->variant = variant;
			snprintf(at->name, sizeof(at->name), "%s%s%s%s%s",
				 test->fixture ? test->fixture : "",
				 test->fixture ? "." : "", variant ? variant->name : "",
				 variant ? "." : "", test->name);
			count += fnmatch(pattern, at->name, 0) == 0;
			variant = variant ? variant->next : NULL;
		} while (variant);
	}
	return count;
}

static bool prepare(void)
{
	/* A reader that leaves early must not cost the cleanup. */
	signal(SIGPIPE, SIG_IGN);
	state = mmap(NULL, sizeof(*state), PROT_READ | PROT_WRITE,
		     MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	return state != MAP_FAILED && scratch_open() &&
	       prctl(PR_SET_CHILD_SUBREAPER, 1) == 0;
}

static int run_choices(const struct choice *choices, size_t count, const char *reason)
{
	unsigned r[RESULTS] = {0};
	size_t i;

	printf("TAP version 13\n");
	if (reason) {
		printf("1..0 # SKIP %s\n", reason);
		return 0;
	}
	if (!prepare()) {
		printf("Bail out! %s\n", strerror(errno));
		return 1;
	}
	printf("1..%zu\n", count);
	for (i = 0; i < count; i++)
		r[run_choice(&choices[i], i + 1)]++;
	scratch_close();
	printf("# totals: pass %u fail %u skip %u xfail %u xpass %u\n", r[PASSED],
	       r[FAILED], r[SKIPPED], r[XFAILED], r[XPASSED]);
	return !count || r[FAILED] || r[XPASSED];
}

int test_main(int argc, char **argv, const char *(*requires)(void))
{
	const char *pattern = "*";
	struct choice *choices;
	bool list = false;
	int opt, status = 0;
	size_t count, i;

	while ((opt = getopt(argc, argv, "lt:v")) != -1) {
		if (opt == 'l')
			list = true;
		else if (opt == 't')
			pattern = optarg;
		else if (opt == 'v')
			verbose = true;
		else
			return 1;
	}
	count = choose(pattern, &choices);
	for (i = 0; list && i < count; i++)
		puts(choices[i].name);
	if (!list)
		status = run_choices(choices, count, requires ? requires() : NULL);
	free(choices);
	return status;
}
