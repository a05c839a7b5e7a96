#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# report.sh - from the runs to $O/bench/table.md, and plots beside it
#
# A row is a tool's median of all its runs with their least and most; "times refpoint" is
# the median of the ratios of runs in the same round, so that what else the machine did
# in that minute is in both.
set -euo pipefail
: "${O:?}"
cd "$(dirname "$0")"
table=$O/bench/table.md

table() {
	cat "$O"/bench/runs/*.jsonl | jq -rs '
		def median: sort | if length % 2 == 1 then .[length / 2 | floor]
			else (.[length / 2 - 1] + .[length / 2]) / 2 end;
		def r(n): . * pow(10; n) | round / pow(10; n);
		def span(n): "\(median | r(n)) [\(min | r(n))-\(max | r(n))]";
		def name: if (.[0].x // "") != "" then "\(.[0].workload), \(.[0].x)" else .[0].workload end;
		.[0] as $first
		| ([.[] | select(.workload == $first.workload and .tool == $first.tool)] | length) as $n
		| "Medians of interleaved runs, least-most in brackets.",
		  "Linux \($first.kernel), \($first.cores) cores, \($first.date[0:10]).",
		  "",
		  "| workload | tool | n | seconds | GiB/s | CPU s/GiB | peak RSS MiB | cache left MiB | read MiB | written MiB | times refpoint |",
		  "| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |",
		  (group_by([.workload, .x])[] | (map(select(.tool | startswith("refpoint"))) ) as $all
		   | (map(select(.tool == ($all[0].tool)))) as $own
		   | [group_by(.tool)[] | {
			w: name, n: length, tool: (.[0].tool | sub(":"; " ")), t: (map(.seconds) | median),
			span: (map(.seconds) | span(3)),
			rate: (map(.gib_per_s // 0) | median | r(2)),
			cpu: (map(.cpu_per_gib // 0) | median | r(3)),
			rss: (map(.rss_kib / 1024) | median | r(1)),
			grows: (map(.cached / 1048576) | median | r(0)),
			read: (map(.read / 1048576) | median | r(0)),
			written: (map(.written / 1048576) | median | r(0)),
			ratio: ([., $own] | transpose | map(select(.[0] and .[1]) | .[0].seconds / .[1].seconds)
				| median | r(2))}]
		   | sort_by(.t)[]
		   | "| \(.w) | \(.tool) | \(.n) | \(.span) | \(.rate) | \(.cpu) | \(.rss) | \(.grows) | \(.read) | \(.written) | \(.ratio) |")'
}

# growth FILE XLABEL WORKLOAD...: seconds over x, both logarithmic, medians.
growth() {
	local file=$1 label=$2 workload tool data series=()
	shift 2
	data=$(mktemp -d)
	for workload in "$@"; do
		for tool in $(jq -r --arg w "$workload" 'select(.workload == $w).tool' \
			"$O/bench/runs/growth.jsonl" | sort -u); do
			jq -rs --arg w "$workload" --arg t "$tool" '
				map(select(.workload == $w and .tool == $t)) | group_by(.x)[]
				| "\(.[0].x) \(map(.seconds) | sort | .[length / 2 | floor])"' \
				"$O/bench/runs/growth.jsonl" >"$data/$workload $tool"
			series+=("'$data/$workload $tool' using 1:2 with linespoints title '${workload#*, }: $tool'")
		done
	done
	gnuplot <<-END
		set terminal svg size 720,420 background '#ffffff'
		set output '$O/bench/$file'
		set logscale xy
		set key left top
		set grid
		set xlabel '$label'
		set ylabel 'seconds, whole command'
		plot $(IFS=,; echo "${series[*]}")
	END
	rm -r "$data"
}

# Throughput of every tool in the workloads that move bytes.
rates() {
	local data
	data=$(mktemp)
	jq -rs 'map(select(.workload == "ext4 to ext4" or .workload == "ext4 to XFS"
			or .workload == "XFS to ext4"))
		| group_by(.tool)[] | (group_by(.workload) | map({key: .[0].workload,
			value: (map(.gib_per_s) | sort | .[length / 2 | floor])}) | from_entries) as $v
		| "\(.[0].tool) \($v["ext4 to ext4"] // 0) \($v["ext4 to XFS"] // 0) \($v["XFS to ext4"] // 0)"' \
		"$O"/bench/runs/cross.jsonl | sort -k 2 -g >"$data"
	gnuplot <<-END
		set terminal svg size 720,420 background '#ffffff'
		set output '$O/bench/rates.svg'
		set style data histograms
		set style fill solid
		set key left top
		set grid y
		set xtics rotate by -30
		set ylabel 'GiB/s'
		plot '$data' using 2:xtic(1) title 'ext4 to ext4', '' using 3 title 'ext4 to XFS', \
			'' using 4 title 'XFS to ext4'
	END
	rm "$data"
}

table | tee "$table"
if [[ -s $O/bench/runs/cross.jsonl ]]; then
	rates
fi
if [[ -s $O/bench/runs/growth.jsonl ]]; then
	growth size.svg 'MiB of data' 'growth with size, XFS to ext4' 'growth with size, same XFS'
	growth disks.svg disks 'growth with disks, same XFS' 'growth with disks, XFS to ext4'
	growth extents.svg extents 'growth with extents, same XFS' 'growth with extents, XFS to ext4'
fi
