# SPDX-License-Identifier: MIT
# table.jq - every tool in every workload, a row each: table.md
include "stats";

def name: .workload + if (.x // "") == "" then "" else ", \(.x)" end;

header, "",
"| workload | tool | n | seconds | GiB/s | CPU s/GiB | peak RSS MiB | cache left MiB | read MiB | requests | written MiB | requests | punts | times refpoint |",
"| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |",
(. as $all | group_by([.workload, .x])[]
	| ([.[] | select(is_ours)][0].tool // .[0].tool) as $own | . as $runs
	| group_by(.tool) | sort_by(map(.seconds) | median)[]
	| .[0] as $first | def middle(f): map(f | values) | median | figures;
	[($first | name), ($first.tool | sub(":"; " ")), length, (map(.seconds) | span),
		middle(.gib_per_s), middle(.cpu_per_gib), middle(.rss_kib / 1024),
		middle(.cached | mib), middle(.read | mib), middle(.read_requests),
		middle(.written | mib), middle(.written_requests), middle(.punts),
		($runs | ratios($first.workload; $first.tool; $own; .seconds) | median | figures)]
	| "| \(map(tostring) | join(" | ")) |")
