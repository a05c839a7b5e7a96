# SPDX-License-Identifier: MIT
# workloads.jq - refpoint in every workload, a row each, the others beside it
#
# Memory is judged here: bold is what is above 64 MiB of RSS, in any run, or leaves more
# than 16 MiB of page cache a disk.
include "stats";

def bold($limit): if . > $limit then "**\(figures)**" else figures end;

header, "",
"| workload | refpoint | seconds | GiB/s | CPU s/GiB | peak RSS, MiB | cache left, MiB a disk | seconds of others, times refpoint's |",
"| --- | --- | --- | --- | --- | --- | --- | --- |",
(map(select(.workload | startswith("growth") | not)) | group_by(.workload)[] | . as $runs
	| group_by(.tool)[] | select(.[0] | is_ours) | .[0] as $first
	| [$runs | map(select(is_ours | not).tool) | unique[] as $peer
		| "\($peer) \($runs | ratios($first.workload; $peer; $first.tool; .seconds) | median | figures)"]
		as $others
	| "| \($first.workload) | \($first.tool | sub("^refpoint[:-]?"; "")) | \(map(.seconds) | span)"
	+ " | \(map(.gib_per_s) | median | figures) | \(map(.cpu_per_gib) | median | figures)"
	+ " | \(map(.rss_kib / 1024) | max | bold(64))"
	+ " | \(map(.cached / disks | mib) | median | bold(16)) | \($others | join(", ")) |")
