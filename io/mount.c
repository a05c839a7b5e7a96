/* SPDX-License-Identifier: MIT */
/*
 * mount.c - the mount a file is on: what /proc/self/mountinfo says of it
 */
#include "mount.h"

#include <stdio.h>
#include <string.h>
#include <sys/vfs.h>

#include "base.h"

/*
 * The mount's line: 1, 0 if it is another's, or -ENOMEM.
 *
 *	36 35 98:0 /root /mnt rw,noatime master:1 - ext3 /dev/root rw,errors=continue
 */
static int parse(char *line, const char *id, struct io_mount *ret)
{
	char *fields[6], *save = NULL, *tail = strstr(line, " - ");
	const char *type, *source, *options;

	if (!tail)
		return 0;
	*tail = '\0';
	for (unsigned i = 0; i < ARRAY_SIZE(fields); i++) {
		fields[i] = strtok_r(i ? NULL : line, " ", &save);
		if (!fields[i])
			return 0;
	}
	if (strcmp(fields[0], id))
		return 0;
	type = strtok_r(tail + 3, " \n", &save);
	source = strtok_r(NULL, " \n", &save);
	options = strtok_r(NULL, " \n", &save);
	ret->type = strdup(type ?: "");
	ret->source = strdup(source ?: "");
	if (asprintf(&ret->options, "%s;%s", fields[5], options ?: "") < 0)
		ret->options = NULL;
	return ret->type && ret->source && ret->options ? 1 : -ENOMEM;
}

/* The mount's number; "" if that is not to be had. */
static void read_id(int fd, char ret[24])
{
	char path[48], line[128];
	FILE *f;

	ret[0] = '\0';
	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", fd);
	f = fopen(path, "re");
	while (f && fgets(line, sizeof(line), f) &&
	       sscanf(line, "mnt_id: %23s", ret) != 1)
		;
	if (f)
		fclose(f);
}

static int find(int fd, struct io_mount *ret)
{
	_cleanup_free_ char *line = NULL;
	size_t room = 0;
	char id[24];
	FILE *f;
	int r = 0;

	read_id(fd, id);
	f = fopen("/proc/self/mountinfo", "re");
	while (f && r == 0 && getline(&line, &room, f) > 0)
		r = parse(line, id, ret);
	if (f)
		fclose(f);
	if (r)
		return r < 0 ? r : 0;
	ret->type = strdup("");
	ret->source = strdup("");
	ret->options = strdup("");
	return ret->type && ret->source && ret->options ? 0 : -ENOMEM;
}

int io_mount_of(int fd, struct io_mount *ret)
{
	struct io_mount mount = {0};
	struct statfs fs;
	int r;

	if (fstatfs(fd, &fs) < 0)
		return -errno;
	memcpy(&mount.id, &fs.f_fsid, sizeof(mount.id));
	r = find(fd, &mount);
	if (r < 0)
		io_mount_free(&mount);
	else
		*ret = mount;
	return r;
}

void io_mount_free(struct io_mount *mount)
{
	free(mount->type);
	free(mount->source);
	free(mount->options);
	*mount = (struct io_mount){0};
}
