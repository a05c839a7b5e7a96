/* SPDX-License-Identifier: MIT */
/*
 * probe.h - trying out what a file system really does, with files that have no name
 *
 * Each of these makes unnamed files in a folder, so that nothing is left behind however
 * it ends, uses them in one way that some file system gets wrong or is slow at (H10,
 * H13, H17, H19, H24), and tells what came of it.
 */
#ifndef IO_PROBE_H
#define IO_PROBE_H

#include <stdbool.h>
#include <stdint.h>

enum io_fact {
	IO_FACT_UNKNOWN, /* does not apply here, or could not be found out */
	IO_FACT_NO,
	IO_FACT_YES,
};

/* What one mount does. */
struct io_mount_facts {
	uint32_t block;		    /* of the file system: the grain of its holes */
	uint32_t direct_align;	    /* io_file_direct_align(); 0 = it is refused */
	enum io_fact buffers;	    /* writes with O_DIRECT pass through the page cache */
	enum io_fact sees_maps;	    /* SEEK_DATA finds what was written by mmap */
	enum io_fact nocow_refused; /* to share a NOCOW file's blocks with another */
	enum io_fact reverse_map;   /* XFS with rmapbt: its clones cost thrice as much */
};

/* 0, or -errno of what kept it from finding out. */
int io_probe_mount(int dirfd, struct io_mount_facts *ret);

/* What can be done between two folders. */
struct io_pair_facts {
	int clone_error;	     /* 0 = FICLONE works, else -errno */
	uint64_t clone_ns;	     /* of a file that is one extent */
	uint64_t extent_ns;	     /* of each extent more */
	enum io_fact tail_refused;   /* a partial last block into the middle of a file */
	int copy_error;		     /* of copy_file_range; 0 = it works */
	enum io_fact copy_ends_late; /* it says "end of file" at the end only */
};

void io_probe_pair(int src_dirfd, int dst_dirfd, struct io_pair_facts *ret);

#endif
