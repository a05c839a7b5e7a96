/* SPDX-License-Identifier: MIT */
/*
 * data.h - disk contents for tests: made from a seed, and compared with their holes
 *
 * The byte at an offset depends on seed and offset alone, so what any range must hold
 * is known without a copy. All of these end the test when the system fails them.
 */
#ifndef TESTS_DATA_H
#define TESTS_DATA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The next number of a sequence that is given by where @state began. */
uint64_t data_random(uint64_t *state);

/* Fills [start, start+len) of an open file. */
void data_write(int fd, uint64_t seed, uint64_t start, uint64_t len);

/* A bit of the byte at @at; twice, and nothing has happened. */
void data_flip(const char *path, uint64_t at);

/* The bytes data_write() puts there. */
void data_bytes(uint64_t seed, uint64_t start, void *buf, size_t len);

/* A new file that is one hole of @size bytes; returns it open for reading and writing. */
int data_create(const char *path, uint64_t size);

/*
 * A new file with data and holes at random: about @runs runs of data, at odd places and
 * at block bounds, some of them zeros that are data nevertheless. Fsynced.
 */
void data_create_random(const char *path, uint64_t size, uint64_t seed, unsigned runs);

/* Whether size and bytes are the same; says where not. Reads data only, so a huge
 * sparse file is quick. */
bool data_same(const char *a, const char *b);

/* Whether what reads as a hole is the same; says where not. Both are fsynced first. */
bool data_same_holes(const char *a, const char *b);

/* Bytes the file system has allocated for it. */
uint64_t data_allocated(const char *path);

#endif
