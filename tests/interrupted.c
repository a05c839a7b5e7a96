/* SPDX-License-Identifier: MIT */
/*
 * interrupted.c - exports by the real command that are killed on the way, and go on
 */
#include "interrupted.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "harness.h"
#include "loopfs.h"

const char *interrupted_missing(void)
{
	return program_missing() ?: loopfs_skip_reason("xfs");
}

unsigned interrupted_count(const char *variable, unsigned otherwise)
{
	const char *text = getenv(variable);

	return text ? (unsigned)strtoul(text, NULL, 10) : otherwise;
}

pid_t interrupted_start(const struct interrupted *x, const char *rate)
{
	const struct stage *s = x->stage;
	const char *command = fmt("exec '%s' --store '%s' export %s '%s' --bwlimit %s %s",
				  program(), s->path, s->point, s->exports, rate,
				  x->options);
	pid_t pid = fork();

	ASSERT_GE(pid, 0);
	if (pid)
		return pid;
	dup2(open("/dev/null", O_WRONLY), STDOUT_FILENO);
	execl("/bin/sh", "sh", "-c", command, NULL);
	_exit(98);
}

uint64_t interrupted_bytes_written(pid_t pid)
{
	FILE *file = fopen(fmt("/proc/%d/io", (int)pid), "re");
	unsigned long long bytes = 0;
	char line[128];

	ASSERT_NE(file, NULL);
	while (fgets(line, sizeof(line), file))
		sscanf(line, "write_bytes: %llu", &bytes);
	fclose(file);
	return bytes;
}

static void sleep_ms(uint64_t ms)
{
	const struct timespec time = {(time_t)(ms / 1000), (long)(ms % 1000) * 1000000};

	nanosleep(&time, NULL);
}

bool interrupted_kill(struct interrupted *x, const char *rate, uint64_t ms)
{
	pid_t pid = interrupted_start(x, rate);
	siginfo_t info = {0};

	sleep_ms(ms);
	kill(pid, SIGSTOP);
	ASSERT_OK(waitid(P_PID, (id_t)pid, &info, WEXITED | WSTOPPED | WNOWAIT));
	if (info.si_code == CLD_STOPPED) {
		x->written += interrupted_bytes_written(pid);
		kill(pid, SIGKILL);
		x->killed++;
	}
	ASSERT_EQ(waitpid(pid, NULL, 0), pid);
	return info.si_code == CLD_STOPPED;
}

void interrupted_finish(const struct interrupted *x)
{
	pid_t pid = interrupted_start(x, "0");
	int status;

	ASSERT_EQ(waitpid(pid, &status, 0), pid);
	ASSERT_EQ(status, 0);
}

static uint64_t number_of(const struct interrupted *x, const char *key)
{
	json_t *manifest = load_json(fmt(
		"%s/export.json", stage_export_path(x->stage->exports, x->stage->point)));
	json_t *disk = json_array_get(json_object_get(manifest, "Disks"), 0);
	uint64_t number = (uint64_t)json_number(disk, key);

	json_decref(manifest);
	return number;
}

uint64_t interrupted_new_bytes(const struct interrupted *x)
{
	return number_of(x, "CopiedBytes") - number_of(x, "ResumedBytes");
}

uint64_t interrupted_kept_bytes(const struct interrupted *x)
{
	return number_of(x, "ResumedBytes");
}
