/* SPDX-License-Identifier: MIT */
/*
 * faked.h - a file behind a backend that can be told to cut, fail and delay (fakeio.h)
 *
 * Direct files are two descriptors of an ordinary file, so that cuts can be anywhere;
 * what O_DIRECT itself does is tested with the real backends.
 */
#ifndef TESTS_FAKED_H
#define TESTS_FAKED_H

#include "fakeio.h"
#include "io/base.h"
#include "io/io.h"

#define FILE_SIZE (1 * MIB)
#define DEPTH	  8

struct faked {
	struct io_pool *pool;
	void *bufs[DEPTH]; /* all of the pool */
	struct io_queue *q;
	struct fakeio *fake;
	struct io_file file;
	unsigned char *bytes; /* what the file holds at first */
};

void faked_open(struct faked *f, bool direct);
void faked_close(struct faked *f);

#endif
