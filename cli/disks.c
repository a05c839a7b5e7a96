/* SPDX-License-Identifier: MIT */
/*
 * disks.c - a row for each disk
 */
#include "cli/disks.h"

#include "cli/out.h"
#include "cli/table.h"
#include "cli/text.h"

void print_disks(const json_t *report, const char *indent)
{
	struct table table = {
		{"DISK", ">SIZE", ">CLONED", ">COPIED", ">ZERO", "METHOD", "REASON",
		 NULL},
		NULL,
		0,
	};
	const json_t *disk;
	size_t i;

	json_array_foreach(json_object_get(report, "Disks"), i, disk)
		table_row(&table, member_text(disk, "DiskId"),
			  size_text(member_number(disk, "VirtualSize")).s,
			  size_text(member_number(disk, "ClonedBytes")).s,
			  size_text(member_number(disk, "CopiedBytes") +
				    member_number(disk, "ServerCopiedBytes"))
				  .s,
			  size_text(member_number(disk, "ZeroBytes")).s,
			  member_text(disk, "Method"), member_text(disk, "MethodReason"));
	if (table.count)
		table_print(&table, indent);
}
