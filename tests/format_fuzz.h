/* SPDX-License-Identifier: MIT */
/*
 * format_fuzz.h - images from strangers: one input, and how it is made from a file
 *
 * An input is an image without its zeros: pieces of { size: 2 bytes, page: 4 bytes,
 * bytes }, little-endian, each placed at a page of 512 bytes, behind a byte of format and
 * flags and 4 bytes of file size in pages.
 */
#ifndef TESTS_FORMAT_FUZZ_H
#define TESTS_FORMAT_FUZZ_H

#include <stddef.h>
#include <stdint.h>

#define FUZZ_VHDX 1 /* else qcow2 */
#define FUZZ_SUMS 2 /* checksums are made right */

/* Reads the image as restore and verify do; aborts if what is told cannot be. 0. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Makes the input of the file @fd: its size, 0 if it is larger than @room. */
size_t fuzz_pack(int fd, uint8_t flags, uint8_t *ret, size_t room);

#endif
