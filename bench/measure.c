/* SPDX-License-Identifier: MIT */
/*
 * measure.c - run one command once, cold, and print one JSON line of what it cost
 *
 *	measure [-n KEY=TEXT] [-b BYTES] [-s FILE] [-S FOLDER] [-r DEVICE] [-w DEVICE]
 *	        [-m MIB] -- COMMAND...
 *
 *	-n KEY=TEXT  goes into the line as it is; a number if TEXT looks like one
 *	-b BYTES     how much data it moves: rates are per GiB of it
 *	-s FILE      what must be on stable storage when the clock stops (fsync)
 *	-S FOLDER    a file system that must be (syncfs)
 *	-r DEVICE    count the bytes read from it, such as loop0 (/sys/block)
 *	-w DEVICE    count the bytes written to it
 *	-m MIB       memory touched and given back first: memory of a virtual machine
 *	             is slow when touched for the first time, and that is nobody's merit
 *
 * Before the clock starts: sync, page cache dropped, the program itself loaded again
 * ("--version"). The child is started from a small process, so its peak RSS is its own.
 * What the command prints is dropped. Page cache growth is what the whole machine's
 * cache has more at the end; Busy is the whole machine's processor time, with what the
 * kernel's own threads did for the command, and whatever else ran.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
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
	const char *sync, *syncfs, *read_from, *write_to;
	size_t prefault;
	char **command;
};

/* What is read before and after. */
struct counters {
	double seconds, busy;
	uint64_t cached, read, written;
};

struct cost {
	double seconds, user, sys;
	long rss_kib;
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

/* The 3rd and 7th number of a device's statistics are sectors read and written. */
static void read_device(const char *device, uint64_t *ret_read, uint64_t *ret_written)
{
	unsigned long long in = 0, out = 0;
	char path[128];
	FILE *f;

	if (!device)
		return;
	snprintf(path, sizeof(path), "/sys/block/%s/stat", device);
	f = fopen(path, "r");
	if (!f || fscanf(f, "%*u %*u %llu %*u %*u %*u %llu", &in, &out) != 2)
		die(path);
	fclose(f);
	if (ret_read)
		*ret_read = in * 512;
	if (ret_written)
		*ret_written = out * 512;
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

static uint64_t read_cached(void)
{
	FILE *f = fopen("/proc/meminfo", "r");
	unsigned long long kib = 0;
	char line[128];

	if (!f)
		die("/proc/meminfo");
	while (fgets(line, sizeof(line), f) && sscanf(line, "Cached: %llu", &kib) != 1)
		;
	fclose(f);
	return kib << 10;
}

static void take_counters(const struct args *a, struct counters *ret)
{
	*ret = (struct counters){.busy = read_busy(), .cached = read_cached()};
	read_device(a->read_from, &ret->read, NULL);
	read_device(a->write_to, NULL, &ret->written);
	ret->seconds = now_seconds();
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
	int status;

	touch_memory(a->prefault);
	drop_caches();
	execute(version, &usage);
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
}

/* "key=text" as a member; digits and points alone are a number. */
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
	printf("\"cache_growth\": %lld, \"read\": %llu, \"written\": %llu}\n",
	       (long long)(after->cached - before->cached),
	       (unsigned long long)(after->read - before->read),
	       (unsigned long long)(after->written - before->written));
}

static bool parse(struct args *a, int argc, char **argv)
{
	int c;

	while ((c = getopt(argc, argv, "+n:b:s:S:r:w:m:")) != -1) {
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
				"[-m MIB] -- COMMAND...\n");
		return 64;
	}
	run(&a, &cost, &before, &after);
	print_line(&a, &cost, &before, &after);
	return 0;
}
