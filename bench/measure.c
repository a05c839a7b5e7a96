/* SPDX-License-Identifier: MIT */
/*
 * measure.c - run one command once, cold, and print one JSON line of what it cost
 *
 *	measure [-n KEY=TEXT] [-b BYTES] [-s FILE] [-S FOLDER] [-r DEVICE] [-w DEVICE]
 *	        [-p FILE] [-c FOLDER]
 *	        [-m MIB] -- COMMAND...
 *
 *	-n KEY=TEXT  goes into the line as it is; a number if TEXT looks like one
 *	-b BYTES     how much data it moves: rates are per GiB of it
 *	-s FILE      what must be on stable storage when the clock stops (fsync)
 *	-S FOLDER    a file system that must be (syncfs)
 *	-r DEVICE    count the bytes read from it, and the requests: loop0 (/sys/block)
 *	-w DEVICE    count the bytes and requests written to it
 *	-p FILE      the "id" of a tracepoint: count how often the command came by, as
 *	             "punts"
 *	-c FOLDER    count what the page cache holds of the files on its file system when
 *	             the clock has stopped; may be given twice
 *	-m MIB       memory touched and given back first: memory of a virtual machine
 *	             is slow when touched for the first time, and that is nobody's merit
 *
 * Before the clock starts: sync, page cache dropped, the program itself loaded again
 * ("--version"). The child is started from a small process, so its peak RSS is its own.
 * What the command prints is dropped. "busy" is the whole machine's processor time, with
 * what the kernel's own threads did for the command, and whatever else ran.
 */
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <linux/perf_event.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "bench.h"

#define NOTES_MAX 16

struct args {
	const char *notes[NOTES_MAX];
	unsigned note_count;
	uint64_t bytes;
	const char *sync, *syncfs, *read_from, *write_to, *tracepoint;
	const char *cached[2];
	size_t prefault;
	char **command;
};

/* What is read before and after. */
struct counters {
	double seconds, busy;
	struct traffic {
		uint64_t requests, bytes;
	} read, written;
};

struct cost {
	double seconds, user, sys;
	long rss_kib;
	uint64_t cached;
	int64_t punts; /* -1 = not to be seen */
};

static void touch_memory(size_t bytes)
{
	char *p;

	if (!bytes)
		return;
	p = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
		 MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
	if (p != MAP_FAILED)
		munmap(p, bytes);
}

static void drop_caches(void)
{
	int fd = open("/proc/sys/vm/drop_caches", O_WRONLY);

	sync();
	if (fd < 0 || write(fd, "3", 1) != 1)
		die("/proc/sys/vm/drop_caches");
	close(fd);
}

/* A device's statistics: requests, merged ones, sectors, time; of reads, then writes. */
static void read_device(const char *device, struct traffic *ret_read,
			struct traffic *ret_written)
{
	unsigned long long n[4];
	char path[128];
	FILE *f;

	if (!device)
		return;
	snprintf(path, sizeof(path), "/sys/block/%s/stat", device);
	f = fopen(path, "r");
	if (!f ||
	    fscanf(f, "%llu %*u %llu %*u %llu %*u %llu", &n[0], &n[1], &n[2], &n[3]) != 4)
		die(path);
	fclose(f);
	if (ret_read)
		*ret_read = (struct traffic){.requests = n[0], .bytes = n[1] * 512};
	if (ret_written)
		*ret_written = (struct traffic){.requests = n[2], .bytes = n[3] * 512};
}

/* Processor time of everybody since the start: all of the first line but idle, iowait. */
static double read_busy(void)
{
	unsigned long long user, nice, system, irq, softirq;
	FILE *f = fopen("/proc/stat", "r");

	if (!f || fscanf(f, "cpu %llu %llu %llu %*u %*u %llu %llu", &user, &nice, &system,
			 &irq, &softirq) != 5)
		die("/proc/stat");
	fclose(f);
	return (double)(user + nice + system + irq + softirq) /
	       (double)sysconf(_SC_CLK_TCK);
}

static uint64_t cached; /* nftw() passes nothing on */

static int add_cached(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	static unsigned char pages[1 << 16];
	const size_t step = sizeof(pages) << 12;
	int fd = type == FTW_F && S_ISREG(st->st_mode) ? open(path, O_RDONLY) : -1;

	(void)ftw;
	for (off_t start = 0; fd >= 0 && start < st->st_size; start += (off_t)step) {
		off_t left = st->st_size - start;
		size_t len = left < (off_t)step ? (size_t)left : step;
		void *p = mmap(NULL, len, PROT_READ, MAP_SHARED, fd, start);

		if (p == MAP_FAILED || mincore(p, len, pages) < 0)
			die(path);
		for (size_t i = 0; i < (len + 4095) >> 12; i++)
			cached += (pages[i] & 1u) << 12;
		munmap(p, len);
	}
	if (fd >= 0)
		close(fd);
	return 0;
}

static uint64_t read_cached(const char *const folders[2])
{
	for (unsigned i = 0; i < 2; i++)
		if (folders[i] &&
		    nftw(folders[i], add_cached, 16, FTW_PHYS | FTW_MOUNT) < 0)
			die(folders[i]);
	return cached;
}

static void take_counters(const struct args *a, struct counters *ret)
{
	*ret = (struct counters){.busy = read_busy()};
	read_device(a->read_from, &ret->read, NULL);
	read_device(a->write_to, NULL, &ret->written);
	ret->seconds = now_seconds();
}

/* Counts for this process and those it starts from now on; -1 if that cannot be. */
static int count_tracepoint(const char *id_file)
{
	struct perf_event_attr attr = {
		.type = PERF_TYPE_TRACEPOINT,
		.size = sizeof(attr),
		.inherit = 1,
	};
	FILE *f = id_file ? fopen(id_file, "r") : NULL;
	unsigned long long id = 0;
	int fd = -1;

	if (f && fscanf(f, "%llu", &id) == 1) {
		attr.config = id;
		fd = (int)syscall(SYS_perf_event_open, &attr, 0, -1, -1,
				  PERF_FLAG_FD_CLOEXEC);
	}
	if (f)
		fclose(f);
	return fd;
}

static void flush(const char *path, int (*call)(int))
{
	int fd = open(path, O_RDONLY);

	if (fd < 0 || call(fd) < 0)
		die(path);
	close(fd);
}

static int execute(char **command, struct rusage *usage)
{
	int status;
	pid_t pid = fork();

	if (pid == 0) {
		int null = open("/dev/null", O_WRONLY);

		dup2(null, STDOUT_FILENO);
		execvp(command[0], command);
		_exit(127);
	}
	if (pid < 0 || wait4(pid, &status, 0, usage) < 0)
		die(command[0]);
	return status;
}

static double seconds(struct timeval tv)
{
	return (double)tv.tv_sec + (double)tv.tv_usec / 1e6;
}

static void run(const struct args *a, struct cost *ret, struct counters *before,
		struct counters *after)
{
	char *version[] = {a->command[0], "--version", NULL};
	struct rusage usage;
	int status, tracepoint;

	touch_memory(a->prefault);
	drop_caches();
	execute(version, &usage);
	tracepoint = count_tracepoint(a->tracepoint);
	take_counters(a, before);
	status = execute(a->command, &usage);
	if (status) {
		fprintf(stderr, "measure: %s: status %d\n", a->command[0], status);
		exit(1);
	}
	if (a->sync)
		flush(a->sync, fsync);
	if (a->syncfs)
		flush(a->syncfs, syncfs);
	ret->seconds = now_seconds() - before->seconds;
	take_counters(a, after);
	ret->user = seconds(usage.ru_utime);
	ret->sys = seconds(usage.ru_stime);
	ret->rss_kib = usage.ru_maxrss;
	ret->cached = read_cached(a->cached);
	if (read(tracepoint, &ret->punts, sizeof(ret->punts)) != sizeof(ret->punts))
		ret->punts = -1;
}

/* "key=text" as a member; digits alone are a number. */
static void print_note(const char *note)
{
	const char *text = strchr(note, '=');
	const char *quote;

	if (!text) {
		errno = EINVAL;
		die(note);
	}
	text++;
	quote = *text && !text[strspn(text, "0123456789")] ? "" : "\"";
	printf("\"%.*s\": %s%s%s, ", (int)(text - 1 - note), note, quote, text, quote);
}

static void print_traffic(const char *what, const struct traffic *before,
			  const struct traffic *after)
{
	printf("\"%s\": %llu, \"%s_requests\": %llu", what,
	       (unsigned long long)(after->bytes - before->bytes), what,
	       (unsigned long long)(after->requests - before->requests));
}

static void print_line(const struct args *a, const struct cost *cost,
		       const struct counters *before, const struct counters *after)
{
	double gib = (double)a->bytes / (double)(1u << 30);
	struct utsname uts;
	char date[32];
	time_t t = time(NULL);

	uname(&uts);
	strftime(date, sizeof(date), "%FT%TZ", gmtime(&t));
	putchar('{');
	for (unsigned i = 0; i < a->note_count; i++)
		print_note(a->notes[i]);
	printf("\"kernel\": \"%s\", \"cores\": %ld, \"date\": \"%s\", ", uts.release,
	       sysconf(_SC_NPROCESSORS_ONLN), date);
	printf("\"bytes\": %llu, \"seconds\": %.5f, ", (unsigned long long)a->bytes,
	       cost->seconds);
	if (gib > 0)
		printf("\"gib_per_s\": %.4f, \"cpu_per_gib\": %.5f, ",
		       gib / cost->seconds, (cost->user + cost->sys) / gib);
	printf("\"user\": %.4f, \"sys\": %.4f, \"busy\": %.2f, \"rss_kib\": %ld, ",
	       cost->user, cost->sys, after->busy - before->busy, cost->rss_kib);
	printf("\"cached\": %llu, ", (unsigned long long)cost->cached);
	if (cost->punts >= 0)
		printf("\"punts\": %lld, ", (long long)cost->punts);
	print_traffic("read", &before->read, &after->read);
	printf(", ");
	print_traffic("written", &before->written, &after->written);
	printf("}\n");
}

static bool parse(struct args *a, int argc, char **argv)
{
	int c;

	while ((c = getopt(argc, argv, "+n:b:s:S:r:w:p:c:m:")) != -1) {
		if (c == 'n' && a->note_count < NOTES_MAX)
			a->notes[a->note_count++] = optarg;
		else if (c == 'b')
			a->bytes = parse_size(optarg);
		else if (c == 's')
			a->sync = optarg;
		else if (c == 'S')
			a->syncfs = optarg;
		else if (c == 'r')
			a->read_from = optarg;
		else if (c == 'w')
			a->write_to = optarg;
		else if (c == 'p')
			a->tracepoint = optarg;
		else if (c == 'c')
			a->cached[a->cached[0] != NULL] = optarg;
		else if (c == 'm')
			a->prefault = strtoul(optarg, NULL, 10) << 20;
		else
			return false;
	}
	a->command = argv + optind;
	return optind < argc;
}

int main(int argc, char **argv)
{
	struct counters before, after;
	struct args a = {0};
	struct cost cost;

	if (!parse(&a, argc, argv)) {
		fprintf(stderr, "usage: measure [-n KEY=TEXT] [-b BYTES] [-s FILE] "
				"[-S FOLDER]\n               [-r DEVICE] [-w DEVICE] "
				"[-p FILE] [-c FOLDER] [-m MIB] -- COMMAND...\n");
		return 64;
	}
	run(&a, &cost, &before, &after);
	print_line(&a, &cost, &before, &after);
	return 0;
}
