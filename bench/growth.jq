# SPDX-License-Identifier: MIT
# growth.jq - how seconds grow with size, extents and number of disks
#
# "power" is that of the last step: 1 grows with what it is plotted over, 0 not at all.
include "stats";

def axis($word; $title): map(select(.workload | startswith("growth with \($word)")))
	| select(length > 0)
	| (map(.x) | unique) as $places
	| "| \($title): | \($places | map(tostring) | join(" | ")) | power |",
	"| --- |\($places | map(" --- |") | add) --- |",
	(group_by([.workload, .tool])[] | . as $series
		| ($places | map(. as $x | $series | map(select(.x == $x).seconds))) as $at
		| ($at[-2:] | map(median)) as [$before, $last]
		| ($places[-2:]) as [$from, $to]
		| "| \(.[0].workload | sub(".*, "; "")), \(.[0].tool) | \($at | map(span) | join(" | ")) | "
		+ if $before then "\($last / $before | log / ($to / $from | log) * 100 | round / 100) |"
			else "- |" end),
	"";

axis("size"; "seconds for MiB of data"),
axis("extents"; "seconds for extents of 8 KiB"),
axis("disks"; "seconds for disks of 4 MiB")
