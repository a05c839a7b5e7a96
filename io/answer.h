/* SPDX-License-Identifier: MIT */
/*
 * answer.h - whether a file system answers: a server that is gone holds whoever asks it
 * for ever, where it is mounted "hard"
 */
#ifndef IO_ANSWER_H
#define IO_ANSWER_H

/*
 * 0 if what holds @path has answered, whatever; -ETIME if it has not within two
 * seconds; or -errno. A thread goes on waiting for the answer, as long as it takes, and
 * holds nothing else; but the process ends only when the kernel lets go of it: NFS does
 * at once, FUSE if its server has not read the question yet.
 */
int io_answers(const char *path);

#endif
