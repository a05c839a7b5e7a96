/* SPDX-License-Identifier: MIT */
/*
 * iojob.h - a request that counts its deliveries, and the kind of file it goes to
 */
#ifndef TESTS_IOJOB_H
#define TESTS_IOJOB_H

#include <stdbool.h>
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

/* Skips the test if a file that is to be @direct could not be opened so, and makes of one
 * that is not to be one that was not. */
void choose_mode(struct io_file *file, bool direct);

/* Names the first difference. */
void expect_same_bytes(const void *a, const void *b, size_t len);

#endif
