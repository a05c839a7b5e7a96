/* SPDX-License-Identifier: MIT */
/*
 * iojob.c - a request that counts its deliveries, and the kind of file it goes to
 */
#include "iojob.h"

#include <unistd.h>

#include "harness.h"
#include "io/base.h"

static void job_done(struct io_req *req)
{
	static unsigned deliveries;
	struct job *job = container_of(req, struct job, req);

	job->delivered++;
	job->turn = __atomic_add_fetch(&deliveries, 1, __ATOMIC_RELAXED);
}

struct job job_of(struct io_file *file, enum io_op op, uint64_t start, uint64_t len,
		  void *buf)
{
	return (struct job){
		.req = {.op = op,
			.file = file,
			.start = start,
			.len = len,
			.buf = buf,
			.result = 1,
			.done = job_done},
	};
}

int job_run(struct io_queue *q, struct job *job)
{
	ASSERT_OK(io_queue_add(q, &job->req));
	ASSERT_EQ(io_queue_reap(q, 1, -1), 1);
	ASSERT_EQ(job->delivered, 1);
	ASSERT_EQ(io_queue_in_flight(q), 0);
	return job->req.result;
}

void choose_mode(struct io_file *file, bool direct)
{
	if (direct && !io_file_is_direct(file))
		SKIP("no direct I/O to %s: %s", test_dir(), file->buffered);
	if (!direct && io_file_is_direct(file))
		close(take_fd(&file->direct_fd));
}

void expect_same_bytes(const void *a, const void *b, size_t len)
{
	const unsigned char *x = a, *y = b;
	size_t at = 0;

	while (at < len && x[at] == y[at])
		at++;
	EXPECT_EQ(at, len, "first difference at %zu", at);
}
