/* SPDX-License-Identifier: MIT */
/*
 * iojob.h - a request that counts its deliveries
 */
#ifndef TESTS_IOJOB_H
#define TESTS_IOJOB_H

#include <stddef.h>
#include <stdint.h>

#include "io/io.h"

struct job {
	struct io_req req;
	unsigned delivered;
	unsigned turn; /* which delivery of this process it was, from 1 */
};

/* Its result is 1, which no request ends with, until it is delivered. */
struct job job_of(struct io_file *file, enum io_op op, uint64_t start, uint64_t len,
		  void *buf);

/* Runs one request alone and to its end; returns its result. */
int job_run(struct io_queue *q, struct job *job);

/* Names the first difference. */
void expect_same_bytes(const void *a, const void *b, size_t len);

#endif
