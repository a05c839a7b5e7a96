/* SPDX-License-Identifier: MIT */
#include "faked.h"

#include <fcntl.h>
#include <stdio.h>

#include "data.h"
#include "harness.h"

static void open_file(struct io_file *file, const char *path, bool direct)
{
	file->fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	ASSERT_GE(file->fd, 0);
	if (direct) {
		file->direct_fd = open(path, O_RDWR | O_CLOEXEC);
		ASSERT_GE(file->direct_fd, 0);
	}
	file->align = direct ? 4096 : 1;
	file->writable = true;
}

void faked_open(struct faked *f, bool direct)
{
	char path[4096];

	f->file = (struct io_file)IO_FILE_NONE;
	ASSERT_OK(io_pool_open(&f->pool, DEPTH * FILE_SIZE));
	for (unsigned i = 0; i < DEPTH; i++)
		f->bufs[i] = io_pool_get(f->pool, FILE_SIZE, 0);
	f->bytes = malloc(FILE_SIZE);
	ASSERT_NE(f->bytes, NULL);
	data_bytes(1, 0, f->bytes, FILE_SIZE);
	snprintf(path, sizeof(path), "%s/file", test_dir());
	open_file(&f->file, path, direct);
	ASSERT_EQ(pwrite(f->file.fd, f->bytes, FILE_SIZE, 0), FILE_SIZE);
	ASSERT_OK(io_queue_open_backend(&f->q, &fakeio_backend, DEPTH, f->pool));
	f->fake = fakeio_of(f->q);
}

void faked_close(struct faked *f)
{
	if (f->q && !io_queue_in_flight(f->q))
		io_queue_close(f->q);
	io_file_close(&f->file);
	free(f->bytes);
	for (unsigned i = 0; i < DEPTH && f->bufs[i]; i++)
		io_pool_put(f->pool, f->bufs[i], FILE_SIZE);
	io_pool_close(f->pool);
}
