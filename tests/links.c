/* SPDX-License-Identifier: MIT */
/*
 * links.c - a chain of three exports
 */
#include "links.h"

#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "data.h"
#include "harness.h"

static void write_disk(const struct links *l, uint64_t seed, uint64_t start, uint64_t len)
{
	int fd = open(l->stage.disk, O_RDWR | O_CLOEXEC);

	ASSERT_GE(fd, 0);
	data_write(fd, seed, start, len);
	close(fd);
}

void links_make(struct links *l)
{
	struct rp_export_options options = stage_copying(RP_IO_AUTO);
	struct rp_error err;

	stage_make(&l->stage, test_dir(), LINKS_SIZE, 1);
	for (unsigned i = 0; i < LINKS; i++) {
		if (i)
			write_disk(l, 100 + i, i * MIB + 5, 70000);
		stage_take(&l->stage, l->points[i]);
		options.base = i ? l->points[i - 1] : NULL;
		ASSERT_EQ(rp_export(l->stage.store, l->points[i], l->stage.exports,
				    &options, NULL, &err),
			  RP_OK, "%s", err.message);
		snprintf(l->paths[i], PATH_MAX, "%s",
			 stage_export_path(l->stage.exports, l->points[i]));
	}
}

void links_close(struct links *l)
{
	stage_close(&l->stage);
}
