/* SPDX-License-Identifier: MIT */
/*
 * measure.c - run one command once, cold, and print one JSON line of what it cost
 *
 *	measure NAME [-s FILE] [-d BLOCKDEV] [-m MIB] -- COMMAND...
 *
 *	-s FILE      what must be on stable storage when the clock stops (fsync)
 *	-d BLOCKDEV  count the bytes written to it, such as loop0 (/sys/block)
 *	-m MIB       memory touched and given back first: memory of a virtual machine
 *	             is slow when touched for the first time, and that is nobody's merit
 *
 * Before the clock starts: sync, page cache dropped, the program itself loaded again
 * ("--version"). The child is started from a small process, so its peak RSS is its own.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

struct args {
	const char *name, *sync, *device;
	size_t prefault;
	char **command;
};

__attribute__((noreturn)) static void die(const char *what)
{
	fprintf(stderr, "measure: %s: %s\n", what, strerror(errno));
	exit(1);
}

static double now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static double seconds(struct timeval tv)
{
	return (double)tv.tv_sec + (double)tv.tv_usec / 1e6;
}

static void touch_memory(size_t bytes)
{
	char *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
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

/* Bytes written to the device since it is there: the 7th number of its statistics. */
static unsigned long long written(const char *device)
{
	unsigned long long sectors = 0;
	char path[128];
	FILE *f;

	if (!device)
		return 0;
	snprintf(path, sizeof(path), "/sys/block/%s/stat", device);
	f = fopen(path, "r");
	if (!f || fscanf(f, "%*u %*u %*u %*u %*u %*u %llu", &sectors) != 1)
		die(path);
	fclose(f);
	return sectors * 512;
}

static void fsync_path(const char *path)
{
	int fd = open(path, O_RDONLY);

	if (fd < 0 || fsync(fd) < 0)
		die(path);
	close(fd);
}

/* Runs a command to its end; what it prints is nobody's business. */
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

static void run(const struct args *a)
{
	char *version[] = {a->command[0], "--version", NULL};
	unsigned long long before;
	struct rusage usage;
	double begin, end;
	int status;

	touch_memory(a->prefault);
	drop_caches();
	execute(version, &usage);
	before = written(a->device);
	begin = now();
	status = execute(a->command, &usage);
	if (a->sync && status == 0)
		fsync_path(a->sync);
	end = now();
	if (status) {
		fprintf(stderr, "measure: %s: status %d\n", a->command[0], status);
		exit(1);
	}
	printf("{\"name\": \"%s\", \"seconds\": %.4f, \"cpu\": %.4f, \"rss_kib\": %ld, "
	       "\"written\": %llu}\n",
	       a->name, end - begin, seconds(usage.ru_utime) + seconds(usage.ru_stime),
	       usage.ru_maxrss, written(a->device) - before);
}

int main(int argc, char **argv)
{
	struct args a = {0};
	int c;

	if (argc < 3)
		goto usage;
	a.name = argv[1];
	argv++, argc--;
	while ((c = getopt(argc, argv, "+s:d:m:")) != -1) {
		if (c == 's')
			a.sync = optarg;
		else if (c == 'd')
			a.device = optarg;
		else if (c == 'm')
			a.prefault = strtoul(optarg, NULL, 10) << 20;
		else
			goto usage;
	}
	if (optind == argc)
		goto usage;
	a.command = argv + optind;
	run(&a);
	return 0;
usage:
	fprintf(stderr,
		"usage: measure NAME [-s FILE] [-d BLOCKDEV] [-m MIB] -- COMMAND...\n");
	return 64;
}
