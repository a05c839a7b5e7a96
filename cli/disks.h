/* SPDX-License-Identifier: MIT */
/*
 * disks.h - the disks of an export as a table: how much of each, and by which method
 */
#ifndef CLI_DISKS_H
#define CLI_DISKS_H

#include <jansson.h>

/* The "Disks" of a report, manifest or job, each line behind @indent; nothing if there
 * are none. */
void print_disks(const json_t *report, const char *indent);

#endif
